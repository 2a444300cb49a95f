"""Made data: equal words give equal files, ordinary readers read them, and they are neither trivial nor noise."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from flambeau.data.known.named import at_place, clear_made, made_bytes, place_of
from flambeau.data.known.names import DATA_WORDS, SYNTHETIC_KINDS, is_data_name, read_synthetic_name
from flambeau.data.pictures.image import decode_picture
from flambeau.data.read import read
from flambeau.data.synthetic.make import MAKERS, synthetic_settings
from flambeau.errors import DataError
from flambeau.planning.named import plan_named
from flambeau.recipe import Choices, Recipe


def content(place: Path) -> str:
    files = sorted(place.rglob("*")) if place.is_dir() else [place]
    digest = hashlib.sha256()
    for file in files:
        if file.is_file():
            digest.update(file.name.encode() + file.read_bytes())
    return digest.hexdigest()


def recipe_of(source: str) -> Recipe:
    recipe = Recipe()
    recipe.source = source
    choices = Choices(recipe)
    plan_named(choices)
    return choices.recipe


@pytest.mark.parametrize("kind", [kind for kind in SYNTHETIC_KINDS if kind != "scans"])
def test_equal_words_give_equal_files(kind: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = []
    for number, words in enumerate(
        (f"synthetic:{kind}:40", f"synthetic:{kind}:40", f"synthetic:{kind}:40:seed=1")
    ):
        monkeypatch.setenv("FLAMBEAU_CACHE", str(tmp_path / str(number)))
        made.append(content(Path(place_of(words))))
    assert made[0] == made[1] != made[2]


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("image", "classification"),
        ("table", "classification"),
        ("multilabel", "multilabel"),
        ("regression", "regression"),
        ("text", "classification"),
        ("mixed", "regression"),
    ],
)
def test_ordinary_readers_read_made_data(kind: str, task: str) -> None:
    recipe = recipe_of(f"synthetic:{kind}:60")
    samples = read(str(recipe.source), recipe)
    assert len(samples) == 60 and samples.schema.task == task


def test_made_scans_are_dicom_of_twelve_bits() -> None:
    pydicom = pytest.importorskip("pydicom", reason="pydicom is not installed beside this Python")
    place = Path(place_of("synthetic:scans:9"))
    files = sorted(place.rglob("*.dcm"))
    assert len(files) == 9 and {file.parent.name for file in files} == {"healthy", "lesion"}
    first = pydicom.dcmread(files[0])
    assert first.BitsStored == 12 and first.PatientID.startswith("made")
    assert first.pixel_array.shape == (64, 64) and first.pixel_array.max() < 4096


def test_made_series_and_prices_hold_together() -> None:
    rows = np.genfromtxt(place_of("synthetic:prices:300"), delimiter=",", skip_header=1)[:, 1:]
    opened, high, low, close, volume = rows.T
    assert (
        (high >= np.maximum(opened, close)).all()
        and (low <= np.minimum(opened, close)).all()
        and (volume > 0).all()
    )
    load = np.genfromtxt(place_of("synthetic:series:1000"), delimiter=",", skip_header=1)[:, 1]
    day = np.abs(load[24:] - load[:-24]).mean()
    assert day < np.abs(load[12:] - load[:-12]).mean() / 2  # a day repeats, half a day does not
    assert day > 1  # and not exactly


def test_dialogue_and_language_have_the_usual_forms() -> None:
    told = json.loads(Path(place_of("synthetic:dialogue:60")).read_text(encoding="utf-8"))
    assert len(told["intents"]) == 6
    assert all(intent["patterns"] and intent["responses"] for intent in told["intents"])
    text = Path(place_of("synthetic:language:200")).read_text(encoding="utf-8")
    assert (
        (text.count(".") == 200 and "sailors carry" in text)
        or "sailors see" in text
        or "sailors sell" in text
    )


def test_a_good_model_is_neither_at_chance_nor_perfect() -> None:
    """The usual classical models, without any tuning."""
    recipe = recipe_of("synthetic:table:1500")
    samples = read(str(recipe.source), recipe)
    assert samples.columns is not None
    numbers = np.stack([values for name, values in samples.columns.items() if name != "colour"], axis=1)
    colours = np.unique(samples.columns["colour"].astype(str), return_inverse=True)[1]
    inputs = np.column_stack([numbers, colours])
    model = HistGradientBoostingClassifier(random_state=0).fit(inputs[:1000], samples.targets[:1000])
    assert 0.7 < model.score(inputs[1000:], samples.targets[1000:]) < 0.97
    recipe = recipe_of("synthetic:regression:1500")
    values = read(str(recipe.source), recipe)
    assert values.columns is not None
    inputs = np.stack([column for name, column in values.columns.items() if name != "colour"], axis=1)
    trees = HistGradientBoostingRegressor(random_state=0).fit(inputs[:1000], values.targets[:1000])
    assert 0.5 < trees.score(inputs[1000:], values.targets[1000:]) < 0.97
    lines = Path(place_of("synthetic:text:1200")).read_text(encoding="utf-8").splitlines()[1:]
    texts, labels = zip(*(line.rsplit(",", 1) for line in lines), strict=True)
    features = TfidfVectorizer().fit(texts[:800])
    words = LogisticRegression(max_iter=1000).fit(features.transform(texts[:800]), labels[:800])
    assert 0.6 < words.score(features.transform(texts[800:]), labels[800:]) < 0.97


def test_noise_makes_it_harder() -> None:
    def rough(words: str) -> float:
        place = Path(place_of(words))
        pictures = [
            decode_picture(file, channels=1, bits=8, size=(28, 28)) for file in sorted(place.rglob("*.png"))
        ]
        return float(np.mean([np.abs(np.diff(one[..., 0].astype(float))).mean() for one in pictures]))

    assert (
        rough("synthetic:image:20:noise=0")
        < rough("synthetic:image:20")
        < rough("synthetic:image:20:noise=3")
    )


def test_names_and_their_errors() -> None:
    assert read_synthetic_name("synthetic:image:500:seed=3:noise=0.5").count == 500
    assert is_data_name("synthetic:image") and is_data_name("CIFAR-10") and not is_data_name("photos")
    assert "synthetic:KIND" in DATA_WORDS and tuple(MAKERS) == SYNTHETIC_KINDS
    for words, part in (
        ("synthetic:imag", "did you mean 'image'?"),
        ("synthetic", "which kind"),
        ("synthetic:image:-1", "cannot be '-1'"),
        ("synthetic:image:5:5", "given twice"),
        ("synthetic:image:sed=1", "did you mean 'seed'?"),
        ("synthetic:image:noise=x", "a number from 0"),
        ("synthetic:image:99999999999", "10,000,000"),
    ):
        with pytest.raises(DataError) as caught:
            read_synthetic_name(words)
        assert part in str(caught.value), words


def test_a_persons_own_target_and_paths_come_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = Recipe()
    recipe.source, recipe.data.target = "synthetic:table", "colour"
    choices = Choices(recipe)
    plan_named(choices)
    assert choices.recipe.data.target == "colour"
    assert synthetic_settings("synthetic:series")["task"] == "forecast"
    monkeypatch.chdir(tmp_path)
    (tmp_path / "synthetic:table").write_text("a,b\n1,2\n")
    assert at_place(recipe) is recipe


def test_made_data_leave_with_the_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("FLAMBEAU_CACHE", str(tmp_path))
    place = Path(place_of("synthetic:table:20"))
    assert made_bytes() == place.stat().st_size == clear_made()
    assert not place.exists() and Path(place_of("synthetic:table:20")).exists()
