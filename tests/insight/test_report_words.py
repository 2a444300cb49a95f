"""What a report promises and how it says it: shifts at the top, nets apart, models by the names that people know."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from run_folders import digits_schema, edit_json, write_run

from flambeau.insight.drawings import _curve_figures
from flambeau.insight.facts import read_facts
from flambeau.insight.parts import part_rows
from flambeau.insight.report import write_report
from flambeau.insight.tables import headline, model_title
from flambeau.insight.wording import as_sentence, headline_metric
from flambeau.stages.chat.keeping import note_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run", digits_schema(("well", "ill")), count=60, scored=20)


def test_the_score_is_promised_only_where_the_parts_are_alike(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("flambeau.insight.report.draw_plots", lambda facts: {})
    assert "On other data of the same kind, expect" in write_report(folder).read_text()
    edit_json(folder / "scores.json", shift={"metric": "roc_auc", "valid": 0.995, "test": 0.974})
    text = write_report(folder).read_text()
    lead = text[text.index('<p class="lead">') : text.index('<p class="verdict')]
    assert "On data like this test part, expect" in lead and "On other data" not in lead
    assert "harder than the validation part" in lead and "0.974 against 0.995" in lead


def test_nets_with_different_scores_have_plots_of_their_own(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "two", digits_schema(("a", "b")), stages=("finding", "writing"), scored=20)
    log = (folder / "log.jsonl").read_text().splitlines()
    changed = [
        line.replace('"log_loss"', '"nats_per_token"').replace('"accuracy"', '"nats_per_token"')
        if '"stage":"writing"' in line.replace(": ", ":") and '"kind":"epoch"' in line.replace(": ", ":")
        else line
        for line in log
    ]
    (folder / "log.jsonl").write_text("\n".join(changed) + "\n")
    titles = {name: figure.axes[0].get_title("left") for name, figure in _curve_figures(read_facts(folder))}
    assert {"loss", "score", "loss_2", "score_2"} <= titles.keys()
    assert titles["loss"] == "Loss, finding" and titles["score_2"] == "Validation: nats per token, writing"


def test_models_are_called_as_people_call_them(folder: Path) -> None:
    assert model_title(read_facts(folder)) == "small CNN"


def test_notes_are_sentences() -> None:
    assert as_sentence("it answers where it is sure") == "It answers where it is sure."
    assert as_sentence("net.pth: 16 tensors") == "net.pth: 16 tensors." and as_sentence("no.") == "No."
    assert as_sentence("") == "" and as_sentence("Done!") == "Done!"


def test_the_score_that_chose_a_forecast_leads() -> None:
    scores: dict[str, Any] = {
        "task": "forecast",
        "test": {"mae": {}, "scaled_mse": {}},
        "metric": "scaled_mse",
    }
    assert headline_metric(scores) == "scaled_mse"
    assert headline_metric({**scores, "metric": "gone"}) == "mae"
    assert headline_metric({**scores, "task": "regression", "metric": "log_loss"}) == "mae"


def test_long_lists_of_columns_stay_short() -> None:
    part = {"columns": [f"c{number}" for number in range(9)], "scores": {"rmse": 1.0}, "difference": {}}
    told = part_rows({"test": {"rmse": {"value": 2.0}}, "parts": {"numbers": part}})
    assert told is not None and told["kinds"]["numbers"] == "c0, c1, c2, c3, c4, c5 and 3 more"


@pytest.mark.parametrize(
    ("missed", "answered", "told"),
    [
        ("", True, "63% sure, and right."),
        ("", False, "The answer that it found and kept back was right; it was 63% sure."),
        ("right would be: Yes.", True, "63% sure, and wrong; right would be: Yes."),
        (
            "right would be: Yes.",
            False,
            "The answer that it found and kept back was wrong, too (63% sure); right would be: Yes.",
        ),
    ],
)
def test_what_a_bot_kept_back_is_not_called_right(missed: str, answered: bool, told: str) -> None:
    assert note_of(0.63, missed, answered=answered) == told


def test_the_headline_of_a_run_without_scores(folder: Path) -> None:
    (folder / "scores.json").unlink()
    assert headline(read_facts(folder)) == ("", "This run has no scores yet.")
