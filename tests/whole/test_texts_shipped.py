"""What a person does with a model of texts: predict, explain, serve, write files, look at it, go on from it."""

from __future__ import annotations

import csv
import io
import json
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path

import pytest
from starlette.testclient import TestClient

import flambeau as fb
from flambeau.cli.main import run as run_command
from flambeau.data.tables.rows import rows_as_columns
from flambeau.deploy.serve.app import App
from flambeau.deploy.serve.limits import TEXT_LETTERS, Limits
from flambeau.deploy.serve.models import Models, load_model
from flambeau.deploy.serve.page import page_models
from flambeau.deploy.why.text import cut_in_pieces, explain_texts

WORDS = {"pets": ("cat", "dog", "purr"), "food": ("soup", "bread", "salt")}
QUICK = {
    "epochs": 8,
    "threads": 1,
    "folds": 0,
    "evaluation": {"baselines": False, "resamples": 100},
    "text": {"buckets": 400},
    "training": {"batch_size": 8},
}
EVIL = "<script>alert(1)</script> the dog \x1b[31m and a cat"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> fb.Run:
    """Trained on short notes, each with one word that tells its class."""
    root = tmp_path_factory.mktemp("notes")
    with (root / "notes.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["note", "label"])
        for number in range(80):
            label = tuple(WORDS)[number % 2]
            word = WORDS[label][number // 2 % 3]
            writer.writerow([f"note {number}: the {word} on day {number * 7 % 31}", label])
    return fb.train(
        root / "notes.csv", target="label", out=root / "notes-1", data={"columns": {"note": "text"}}, **QUICK
    )


def call(*words: str) -> str:
    out, err = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(err):
        code = run_command(list(words))
    assert code == 0, err.getvalue()
    return out.getvalue()


def test_texts_are_predicted_and_explained_from_the_command_line(run: fb.Run) -> None:
    place = str(run.folder.path)
    told = call("predict", place, "--text", "salt in the soup", "--text", EVIL, "--explain")
    first, why, second, _ = told.splitlines()
    assert first.startswith('"salt in the soup"  food')
    assert "because of" in why and ("salt" in why or "soup" in why)
    assert "\x1b" not in second
    answer = json.loads(call("predict", place, "--text", "a dog", "--json"))
    assert answer["label"] == run.predict({"note": "a dog"})[0]["label"] == "pets"


def test_what_does_not_go_with_texts_is_told(run: fb.Run) -> None:
    place = str(run.folder.path)
    for words in (["--explain", "x.csv"], ["--text", "a", "x.csv"]):
        told: list[str] = []
        assert run_command(["predict", place, *words], say=told.append) != 0
        assert "--text stands in place of files" in " ".join(told)


def test_words_speak_for_what_they_tell(run: fb.Run) -> None:
    columns = rows_as_columns([{"note": "all day the dog and bread"}], run.bundle.schema)
    why = explain_texts(run.bundle, columns, "pets")
    effects = {word["text"].strip(): word["effect"] for word in why["words"]["note"]}
    assert effects["dog"] > 0 > effects["bread"]
    assert "".join(word["text"] for word in why["words"]["note"]) == "all day the dog and bread"
    (effect,) = why["effects"]
    assert effect["column"] == "note" and effect["typical"] == ""


@pytest.mark.parametrize("text", ["", "   ", "one", " a  b\n", "w " * 1000])
def test_pieces_are_the_text(text: str) -> None:
    pieces = cut_in_pieces(text)
    assert len(pieces) <= 200
    assert "".join(pieces) == text or not text.strip()


def test_files_of_texts_are_predicted(run: fb.Run, tmp_path: Path) -> None:
    texts = ["the cat", "", "salt, bread", "line\nbreak 😀"]
    rows = [{"note": text} for text in texts]
    expected = [answer["label"] for answer in run.predict(rows)]
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n", encoding="utf-8")
    with (tmp_path / "rows.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, ["note"], quoting=csv.QUOTE_ALL)
        writer.writeheader()
        writer.writerows(rows)
    for name in ("rows.jsonl", "rows.csv"):
        call(
            "predict",
            str(run.folder.path),
            str(tmp_path / name),
            "--out",
            str(tmp_path / "out.csv"),
            "--restart",
        )
        with (tmp_path / "out.csv").open(encoding="utf-8", newline="") as file:
            assert [row["label"] for row in csv.DictReader(file)] == expected


def test_texts_are_served(run: fb.Run) -> None:
    models = Models([load_model(str(run.folder.path), Limits())])
    (page,) = page_models(models)
    assert [(column["name"], column["kind"]) for column in page["columns"]] == [("note", "text")]
    with TestClient(App(models, Limits(), api_key="", decoders=1)) as client:
        answer = client.post("/predict", json={"row": {"note": "a dog"}}).json()
        assert answer["probabilities"] == pytest.approx(
            run.predict({"note": "a dog"})[0]["probabilities"], abs=2e-6
        )
        why = client.post("/predict?explain=pets", json={"row": {"note": "a dog"}}).json()["why"]
        assert [word["text"] for word in why["words"]["note"]] == ["a", " dog"]
        refused = client.post("/predict", json={"row": {"note": "a" * (TEXT_LETTERS + 1)}})
        assert refused.status_code == 413 and "too long" in refused.json()["what"]
        document = client.get("/openapi.json").json()
        row = next(part for name, part in document["components"]["schemas"].items() if name.startswith("Row"))
        assert row["properties"]["note"]["anyOf"][0]["maxLength"] == TEXT_LETTERS


def test_other_verbs_take_texts(run: fb.Run, tmp_path: Path) -> None:
    place = str(run.folder.path)
    assert "encoder.vectors" in call("inspect", place)
    assert "every file" in call("verify", place)
    again = fb.train(
        run.folder.path.parent / "notes.csv",
        target="label",
        data={"columns": {"note": "text"}},
        out=tmp_path / "again",
        from_run=run.folder.path,
        **{**QUICK, "epochs": 1},
    )
    assert again.bundle.preparation == run.bundle.preparation
    report = (run.folder.path / "report.html").read_text(encoding="utf-8")
    assert "<script>alert" not in report
