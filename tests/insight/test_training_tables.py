"""What a report tells of the training: what bounded it, its memory, trials before it, groups, weights loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
from run_folders import digits_schema, write_run, write_trials

from flambeau.insight.facts import read_facts
from flambeau.insight.plots_of_training import plot_rate_test, plot_spans
from flambeau.insight.report import write_report
from flambeau.insight.style import figure_to_svg
from flambeau.insight.training_tables import (
    bound_rows,
    bound_sentence,
    last_spans,
    load_rows,
    peak_memory,
    rate_test,
    timing_tables,
)
from flambeau.records.folder import RunFolder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = write_run(tmp_path / "run", digits_schema(("0", "1", "2")), count=120, scored=30)
    write_trials(RunFolder(path), ("fold 1 of 2", "fold 2 of 2"))
    return path


def test_the_largest_span_is_named_and_all_add_up(folder: Path) -> None:
    facts = read_facts(folder)
    rows = bound_rows(facts)
    assert [row["name"] for row in rows][:2] == ["compute", "optimizer"]
    assert rows[0]["seconds"] == "16 s" and rows[0]["share"] == "80.0 %"
    assert sum(float(row["share"].split()[0]) for row in rows) == pytest.approx(100, abs=0.3)
    assert bound_sentence(facts).startswith("The training was bound by computing: 80.0 % of its time.")
    assert "1.2 % of the time" in bound_sentence(facts)
    assert peak_memory(facts) == "1.25 GB"


def test_a_resumed_training_counts_both_of_its_parts(folder: Path) -> None:
    run = RunFolder(folder)
    run.append({"kind": "spans", "stage": "fold 2 of 2", "spans": {"data": 30.0}, "resumed": True, "time": 9})
    assert last_spans(read_facts(folder))["fold 2 of 2"]["spans"]["data"] == pytest.approx(30.4)
    run.append(
        {"kind": "spans", "stage": "fold 2 of 2", "spans": {"data": 3.0}, "resumed": False, "time": 10}
    )
    assert last_spans(read_facts(folder))["fold 2 of 2"]["spans"] == {"data": 3.0}


def test_the_page_tells_all_of_it_and_escapes_names(folder: Path) -> None:
    html = write_report(folder).read_text(encoding="utf-8")
    for words in (
        "What bounded the run",
        "Timed before the training: a training step",
        "Weights that were loaded",
        "Groups of parameters",
        "Range test",
        "memory at most",
        "stem.&lt;norm&gt;.weight",
    ):
        assert words in html, words
    assert "<norm>" not in html
    assert {"rate_test.png", "spans.png"} <= {path.name for path in (folder / "plots").iterdir()}


def test_a_run_without_any_of_it_has_none_of_it(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", digits_schema(("0", "1")), count=60, scored=20)
    facts = read_facts(path)
    assert (bound_rows(facts), bound_sentence(facts), peak_memory(facts)) == ([], "", "")
    assert (timing_tables(facts), load_rows(facts), rate_test(facts)) == ([], [], None)
    html = write_report(path).read_text(encoding="utf-8")
    assert "What bounded" not in html and "Range test" not in html


def test_load_report_counts_each_kind(folder: Path) -> None:
    rows = load_rows(read_facts(folder))
    assert [(title, count) for title, count, _ in rows] == [("loaded", 1), ("not in the file", 2)]


def test_plots_bear_flat_and_diverging_curves() -> None:
    for losses in ([1.0, 1.0, 1.0], [2.0, 1.0, 1e9], [0.0, 0.0, 0.0]):
        svg = figure_to_svg(plot_rate_test([1e-3, 1e-2, 1e-1], losses, losses, 1e-3), "rate_test")
        assert "taken: 0.001" in svg
    assert "compute" in figure_to_svg(plot_spans({"": {"compute": 0.0}, "b": {"data": 1.0}}), "spans")
