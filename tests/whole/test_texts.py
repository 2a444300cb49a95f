"""Texts through the whole flow: tables and folders of them, every model, what is odd about them, exact repeats."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from flambeau import load
from flambeau.cli.main import run as run_command
from flambeau.deploy.bundle import load_bundle, weights_digest
from flambeau.transforms.subwords import train_subwords

Command = Callable[..., str]
SLOW = pytest.mark.slow
SHORT = (
    "--epochs",
    "4",
    "--threads",
    "1",
    "--folds",
    "0",
    "--set",
    "text.buckets=2048",
    "--set",
    "model.width=16",
)
PRAISE = ["lovely", "wonderful", "splendid", "charming", "brilliant"]
BLAME = ["dreadful", "tedious", "broken", "useless", "shabby"]
THINGS = ["film", "book", "hotel", "meal", "phone", "concert", "garden", "story", "train", "coat"]


@pytest.fixture
def flambeau(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Command:
    """Runs a command in this process; gives what it printed. `code` is 0 where it should succeed."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str, code: int = 0) -> str:
        found = run_command([str(word) for word in words])
        captured = capfd.readouterr()
        text = captured.out + captured.err
        assert "Traceback" not in text and "defect of flambeau" not in text, text
        assert bool(found) == bool(code), text
        return text

    return command


def reviews(count: int = 240, seed: int = 0) -> list[tuple[str, str, float]]:
    """Texts with their label and a number that they tell."""
    generator = np.random.default_rng(seed)
    made = []
    for row in range(count):
        good = bool(row % 2)
        words = generator.choice(PRAISE if good else BLAME, 2)
        thing, many = generator.choice(THINGS), int(generator.integers(1, 9))
        text = f"The {thing} was {words[0]}, " + "and so " * many + f"very {words[1]}. No {row}"
        made.append((text, "good" if good else "bad", float(good) + 0.1 * many))
    return made


def write_jsonl(path: Path, rows: Sequence[tuple[str, str, float]]) -> None:
    keys = ("text", "label", "stars")
    path.write_text("\n".join(json.dumps(dict(zip(keys, row, strict=True))) for row in rows))


def write_csv(path: Path, rows: Sequence[tuple[str, str, float]], delimiter: str = ",") -> None:
    lines = [delimiter.join(("text", "label"))]
    lines += [delimiter.join((f'"{text}"', label)) for text, label, _ in rows]
    path.write_text("\n".join(lines))


def scores_of(run: str) -> dict[str, object]:
    found: dict[str, object] = json.loads((Path(run) / "scores.json").read_text())
    return found


@pytest.mark.parametrize(
    "suffix", [".jsonl", *(pytest.param(one, marks=SLOW) for one in (".csv", ".tsv", ".parquet"))]
)
def test_reviews_of_each_format_are_learnt(flambeau: Command, tmp_path: Path, suffix: str) -> None:
    path, rows = tmp_path / f"reviews{suffix}", reviews()
    if suffix == ".jsonl":
        write_jsonl(path, rows)
    elif suffix == ".parquet":
        columns = dict(zip(("text", "label"), list(zip(*rows, strict=True))[:2], strict=True))
        parquet.write_table(pyarrow.table({name: list(values) for name, values in columns.items()}), path)
    else:
        write_csv(path, rows, "\t" if suffix == ".tsv" else ",")
    drop = ("--set", "data.drop=[stars]") if suffix == ".jsonl" else ()
    # after 4 epochs no word weighs much yet, and luck decides between 50 and 100 %
    told = flambeau("train", path, "--target", "label", "--out", "run", "--epochs", "8", *SHORT[2:], *drop)
    assert "TF-IDF" in told and "text.tokens" in told
    scores = scores_of("run")
    assert scores["test"]["accuracy"]["value"] > 0.9  # type: ignore[index]
    answers = list(
        load("run").predict([{"text": "a splendid, charming concert"}, {"text": "so tedious and shabby"}])
    )
    assert [answer["label"] for answer in answers] == ["good", "bad"]


@pytest.mark.parametrize("parts", [pytest.param(False, marks=SLOW), True])
def test_a_folder_of_files_a_class(flambeau: Command, tmp_path: Path, parts: bool) -> None:
    for row, (text, label, _) in enumerate(reviews(120)):
        part = ("test/" if row % 5 == 0 else "train/") if parts else ""
        folder = tmp_path / "texts" / (part + label)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{row}.txt").write_text(text)
    if parts:
        (tmp_path / "texts" / "train" / "good" / "latin.txt").write_bytes(
            "so charming, señor".encode("latin-1")
        )
        (tmp_path / "texts" / "train" / "good" / "zero.txt").write_bytes(b"\0\1\2" * 9)
    told = flambeau("train", "texts", "--out", "run", *SHORT)
    assert "each folder is a class" in told
    if parts:
        assert "1 file, whose letters were read as cp1252" in told and "1 file that cannot be read" in told
        assert scores_of("run")["rows"]["test"] == 24  # type: ignore[index]


@pytest.mark.parametrize(
    ("model", "tokens"),
    [
        ("text_cnn", "words"),
        pytest.param("lstm", "characters", marks=SLOW),
        pytest.param("gru", "words", marks=SLOW),
        pytest.param("rnn", "bytes", marks=SLOW),
        pytest.param("transformer", "words", marks=SLOW),
    ],
)
def test_every_model_reads_texts(flambeau: Command, tmp_path: Path, model: str, tokens: str) -> None:
    write_csv(tmp_path / "reviews.csv", reviews(120))
    words = ("--epochs", "2", "--threads", "1", "--folds", "0", "--set", "model.width=16")
    told = flambeau(
        "train", "reviews.csv", "--target", "label", "--model", model, "--set", f"text.tokens={tokens}",
        "--out", "run", *words,
    )  # fmt: skip
    assert "text.length" in told
    before = weights_digest(load_bundle(Path("run/model")).module)
    flambeau("train", "reviews.csv", "--recipe", "run/recipe.yaml", "--out", "again")
    assert weights_digest(load_bundle(Path("again/model")).module) == before


@pytest.mark.slow
def test_numbers_and_several_labels_are_predicted_from_texts(flambeau: Command, tmp_path: Path) -> None:
    rows = reviews()
    write_jsonl(tmp_path / "stars.jsonl", rows)
    drop = ("--set", "data.drop=[label]")
    told = flambeau("train", "stars.jsonl", "--target", "stars", "--out", "number", *SHORT, *drop)
    assert "ridge" in told
    labels = [f"{label}|long" if "and so and so" in text else label for text, label, _ in rows]
    many = "\n".join(
        ["text\tlabel", *(f"{row[0]}\t{names}" for row, names in zip(rows, labels, strict=True))]
    )
    (tmp_path / "many.tsv").write_text(many)
    flambeau("train", "many.tsv", "--target", "label", "--out", "many", *SHORT)
    assert scores_of("many")["task"] == "multilabel"
    answer = next(iter(load("many").predict([{"text": "charming and so and so lovely"}])))
    assert set(answer["probabilities"]) == {"bad", "good", "long"}


def test_answers_are_given_up_below_a_threshold(flambeau: Command, tmp_path: Path) -> None:
    rows = [*reviews(300), *((f"quite unrelated words {i} about taxes", "oos", 0.0) for i in range(30))]
    write_csv(tmp_path / "intents.csv", rows)
    told = flambeau("train", "intents.csv", "--target", "label", "--out", "run", *SHORT)
    assert "stands for what is out of scope" in told and "chosen on the validation part" in told
    scores = scores_of("run")["unknown"]
    assert isinstance(scores, dict) and 0 < scores["threshold"] < 1 and scores["label"] == "oos"
    bundle = load_bundle(Path("run/model"))
    assert (bundle.unknown, round(bundle.threshold, 6)) == ("oos", scores["threshold"])
    answer = next(iter(load("run").predict([{"text": "lovely dreadful"}])))
    sure = max(answer["probabilities"].values()) >= bundle.threshold
    assert (answer["label"] == "oos") == (not sure or answer["probabilities"]["oos"] > 0.5)


def test_what_is_odd_about_texts_is_told(flambeau: Command, tmp_path: Path) -> None:
    rows = reviews()
    rows[3] = ("", "good", 0.0)
    rows[10] = (rows[20][0].upper(), "good", 0.0)
    rows[5] = ("a " * 300_000, "good", 0.0)
    rows[6] = ("你好 😀 мир, שלום", "bad", 0.0)
    write_csv(tmp_path / "odd.csv", rows)
    told = flambeau("check", "odd.csv", "--target", "label")
    assert "1 text is empty" in told
    assert "say the same, with different targets" in told
    told = flambeau("train", "odd.csv", "--target", "label", "--out", "run", *SHORT)
    assert "longer ones" in told or "no longer" in told


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--set", "text.tokens=words", "--set", "text.buckets=99"), "text.buckets says nothing of words"),
        (("--model", "lstn"), "lstm"),
        (("--model", "tabm"), "no model 'tabm' for texts"),
        (("--model", "small_cnn"), "no model 'small_cnn' for texts"),
        (("--model", "transformers/nowhere-at-all"), "directory of a transformer"),
    ],
)
def test_options_that_cannot_be_with_texts(
    flambeau: Command, tmp_path: Path, words: tuple[str, ...], told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    write_csv(tmp_path / "reviews.csv", reviews(60))
    kept = [word for word in SHORT if word != "--set" and not word.startswith("text.buckets")]
    kept.insert(kept.index("model.width=16"), "--set")
    assert told in flambeau(
        "train", "reviews.csv", "--target", "label", "--out", "run", *kept, *words, code=1
    )
    assert not Path("run/model").exists()


def test_texts_beside_no_target_ask_for_one(flambeau: Command, tmp_path: Path) -> None:
    write_csv(tmp_path / "reviews.csv", reviews(60))
    assert "--target label" in flambeau("train", "reviews.csv", code=1)


@SLOW
def test_a_directory_of_transformers_is_trained_and_answers(flambeau: Command, tmp_path: Path) -> None:
    library = pytest.importorskip("transformers", reason="the library transformers is not installed")
    rows, place = reviews(80), tmp_path / "tiny"
    write_csv(tmp_path / "reviews.csv", rows)
    config = library.BertConfig(
        vocab_size=330, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32,
        max_position_embeddings=40,
    )  # fmt: skip
    library.BertModel(config).save_pretrained(place)
    (place / "tokenizer.json").write_text(train_subwords([text for text, _, _ in rows], 320))
    words = ("--epochs", "1", "--threads", "1", "--folds", "0", "--set", "evaluation.baselines=false")
    train = ("train", "reviews.csv", "--target", "label", "--model", f"transformers/{place}", *words)
    assert "starting from the transformer" in flambeau(*train, "--out", "run")
    answer = next(iter(load("run").predict([{"text": "a splendid, charming concert"}])))
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5)
    assert "agrees" in flambeau("export", "run", "--to", "pt2", "--out", "model.pt2")
    assert "bit for bit" in flambeau("eject", "run", "--out", "script.py", "--check")
    script = Path("script.py").read_text()
    assert "from transformers import AutoConfig, AutoModel" in script and "from flambeau" not in script
    frozen = flambeau(
        *train, "--out", "frozen", "--set", "training.freeze=[body]", "--set", "training.bags=1"
    )
    assert "only the head is trained" in frozen
    assert "bit for bit" in flambeau("eject", "frozen", "--check")
