"""Reports of every kind of run: complete, unfinished, damaged, with hostile names; never from the network."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from run_folders import digits_schema, edit_json, houses_schema, write_run

from flambeau.errors import RunError
from flambeau.insight.report import write_report
from flambeau.insight.wording import compare_with_baseline, format_metric, format_number, format_seconds

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Collects a page's text and tags, and fails on tags that do not close."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(html)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", "".join(self.words))


@pytest.fixture
def no_plots(monkeypatch: pytest.MonkeyPatch) -> None:
    """Drawing takes most of a report's time; tests of words do without."""
    monkeypatch.setattr("flambeau.insight.report.draw_plots", lambda facts: {})


def report_of(folder: Path) -> Page:
    return Page(write_report(folder).read_text(encoding="utf-8"))


def test_classification_of_pictures(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "digits-1", digits_schema(tuple("0123456789")))
    page = report_of(folder)
    for words in (
        "of 270 pictures that the model had never seen are classified correctly.",
        "It beats the best baseline, logistic regression",
        "95 % interval",
        "Stratified: each class keeps its share",
        "14 pictures are exact copies",
        "Probabilities were softened with temperature 1.31",
        "pictures up to 64 pixels need no deeper net",
        "yours The largest learning rate.",
        "flambeau train 'photos of digits/' --set training.optimizer.lr=0.002",
        "--recipe",
        "flambeau predict",
    ):
        assert words in page.text, words
    pictures = [attributes["src"] for tag, attributes in page.tags if tag == "img"]
    assert len(pictures) >= 3
    assert all(source and source.startswith("data:image/png;base64,") for source in pictures)
    names = {path.stem for path in (folder / "plots").glob("*.png")}
    assert names == {"loss", "score", "lr", "gradient_norm", "scores", "classes", "calibration", "confusion"}


def test_nothing_is_fetched_and_no_script_runs(tmp_path: Path) -> None:
    html = write_report(write_run(tmp_path / "run", digits_schema(("cat", "dog")))).read_text()
    assert not re.search(r"<(script|link|iframe|object)\b", html)
    assert not re.search(r"(src|href)=\"(?!#|data:image/png)", html)
    assert "url(http" not in html
    assert "prefers-color-scheme: dark" in html
    assert "ROC curve of" in html


def test_regression_on_a_table(tmp_path: Path) -> None:
    page = report_of(write_run(tmp_path / "houses-1", houses_schema(), count=600, scored=200, item="row {}"))
    for words in (
        "is the root mean squared error of price, on 200 rows",
        "every row has another value, so it says nothing",
        "inland, near bay, coast, island",
        "Half of the predictions are within",
        "off by",
        "missing",
        "Predicted against actual",
    ):
        assert words in page.text, words


def test_fifty_classes_and_folds(tmp_path: Path) -> None:
    schema = digits_schema(tuple(f"species {i}" for i in range(50)))
    stages = ("fold 1", "fold 2", "final")
    page = report_of(write_run(tmp_path / "fifty", schema, scored=900, stages=stages))
    assert "faint lines are fold 1, fold 2" in page.text
    assert "25 more" in page.text
    assert all(f"species {i}" in page.text for i in range(50))


def test_multilabel_with_hostile_names(tmp_path: Path) -> None:
    names = ("sky", "<script>alert(1)</script>", '"><img src=x onerror=alert(1)>', "{{ 7 * 7 }}", "$100$")
    schema = replace(digits_schema(names), task="multilabel")
    folder = write_run(tmp_path / "labels", schema, item="<b>{}</b>.png")
    edit_json(folder / "data.json", source="</code><script>alert(2)</script>")
    page = report_of(folder)
    tags = {tag for tag, _ in page.tags}
    assert "script" not in tags
    assert all("onerror" not in attributes for _, attributes in page.tags)
    assert "<script>alert(1)</script>" in page.text
    assert "{{ 7 * 7 }}" in page.text
    assert "mean average precision on 270 pictures" in page.text


@pytest.mark.usefixtures("no_plots")
def test_picture_that_is_not_base64_is_left_out(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", digits_schema(("a", "b")))
    (folder / "worst.json").write_text(
        '[{"id": "x", "target": "a", "predicted": "b", "png": "\\" onload=\\"x"}]'
    )
    page = report_of(folder)
    assert all(tag != "img" for tag, _ in page.tags)
    assert "labelled a" in page.text


@pytest.mark.usefixtures("no_plots")
def test_unfinished_run_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", digits_schema(("a", "b")), finished=False)
    page = report_of(folder)
    assert "This run has no scores yet." in page.text
    assert "7 of 20" in page.text
    assert "flambeau resume" in page.text
    assert "flambeau predict" not in page.text


def test_run_that_stopped_at_once(tmp_path: Path) -> None:
    (tmp_path / "log.jsonl").write_text(
        '{"kind": "stage", "time": 0, "name": "read", "text": "Reading"}\n{"kin'
    )
    page = report_of(tmp_path)
    for words in ("It stopped before the training began.", "The data has not been read.", "No epoch"):
        assert words in page.text


@pytest.mark.usefixtures("no_plots")
@pytest.mark.parametrize(
    "missing", ["evaluation.safetensors", "worst.json", "recipe.yaml", "environment.json", "split.json"]
)
def test_missing_file_costs_only_its_section(tmp_path: Path, missing: str) -> None:
    folder = write_run(tmp_path / "run", digits_schema(("a", "b")))
    (folder / missing).unlink()
    assert "It beats the best baseline" in report_of(folder).text


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("data.json", '{"schema": {"source": "pictures"}}'),
        ("data.json", "[1]"),
        ("scores.json", '{"task": "ranking", "test": {}}'),
        ("scores.json", '{"task": "classification", "test": {"accuracy": 0.9}}'),
        ("scores.json", '{"task": '),
        ("evaluation.safetensors", "not tensors"),
        ("worst.json", '{"a": 1}'),
        ("recipe.yaml", "seed: [1"),
        ("log.jsonl", '{"kind": \n{"kind": "note"}\n'),
    ],
)
def test_damaged_file_is_named(tmp_path: Path, name: str, content: str) -> None:
    folder = write_run(tmp_path / "run", digits_schema(("a", "b")), count=60, scored=20)
    (folder / name).write_text(content)
    with pytest.raises(RunError) as caught:
        write_report(folder)
    assert name in str(caught.value)


def test_no_run_is_an_error_with_a_next_command(tmp_path: Path) -> None:
    for folder in (tmp_path / "nowhere", tmp_path):
        with pytest.raises(RunError) as caught:
            write_report(folder)
        assert str(folder) in str(caught.value)
        assert "flambeau runs" in str(caught.value)


@pytest.mark.parametrize(
    ("baseline", "standing", "words"),
    [(0.80, "better", "beats"), (0.89, "unclear", "may be luck"), (0.95, "worse", "does not beat")],
)
def test_verdict_is_honest(baseline: float, standing: str, words: str) -> None:
    scores = {
        "task": "classification",
        "test": {"accuracy": {"value": 0.9, "low": 0.88, "high": 0.92}},
        "baselines": {"majority": {"accuracy": 0.5}, "logistic regression": {"accuracy": baseline}},
    }
    assert compare_with_baseline(scores)[0] == standing
    assert words in compare_with_baseline(scores)[1]


def test_verdict_on_errors_counts_downwards() -> None:
    scores = {
        "task": "regression",
        "test": {"rmse": {"value": 4.0, "low": 3.5, "high": 4.5}},
        "baselines": {"mean": {"rmse": 9.0}, "ridge regression": {"rmse": 4.2}},
    }
    assert compare_with_baseline(scores)[0] == "unclear"
    assert "ridge regression (4.2)" in compare_with_baseline(scores)[1]
    assert compare_with_baseline({**scores, "baselines": {}})[0] == "none"


def test_numbers_in_words() -> None:
    assert [format_number(x) for x in (None, 1234567, 45912.3, 3.14159, 0.0123, 2.5e-7)] == [
        "–", "1,234,567", "45,912", "3.14", "0.0123", "2.50e-07",
    ]  # fmt: skip
    assert [format_metric("accuracy", 0.9794), format_metric("r2", -0.5)] == ["97.9 %", "−0.500"]
    assert [format_seconds(x) for x in (None, 3.21, 42, 125, 4321)] == [
        "–",
        "3.2 s",
        "42 s",
        "2 min 5 s",
        "1 h 12 min",
    ]


@pytest.mark.usefixtures("no_plots")
def test_verdict_of_the_run_stands(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", digits_schema(("a", "b")), count=60, scored=20)
    edit_json(folder / "scores.json", verdict="It does not beat ridge regression.", standing="worse")
    page = report_of(folder)
    assert "It does not beat ridge regression." in page.text
    assert "It beats" not in page.text
    assert ("p", {"class": "verdict worse"}) in page.tags
