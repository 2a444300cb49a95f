"""Leaks and faults planted in files of each kind are told by `flambeau check`, and honest files are left in peace."""

from __future__ import annotations

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import flambeau as fb
from flambeau.cli.main import run as run_command
from flambeau.data.split import Split
from flambeau.stages.series.feed import divide_series

WORDS = [
    "river", "stone", "lamp", "garden", "winter", "copper", "basket", "thunder", "meadow", "ladder", "silver",
    "pocket", "candle", "forest",
]  # fmt: skip
Check = Callable[..., str]


class DividedError(Exception):
    """The parts are made and checked; nothing need be trained."""


@pytest.fixture
def check(capfd: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Runs `flambeau check` in this process; gives all it printed, in one line."""
    monkeypatch.chdir(tmp_path)

    def command(*words: str) -> str:
        run_command(["check", *words])
        captured = capfd.readouterr()
        assert "Traceback" not in captured.out + captured.err
        return " ".join((captured.out + captured.err).split())

    return command


def write(path: Path, columns: dict[str, Any]) -> str:
    with path.open("w", newline="", encoding="utf-8") as handle:
        writer = csv.writer(handle)
        writer.writerow(columns)
        writer.writerows(zip(*columns.values(), strict=True))
    return path.name


def sentence(draw: np.random.Generator) -> str:
    return " ".join(draw.choice(WORDS, 14))


@pytest.mark.parametrize("planted", [True, False])
def test_near_copies_of_texts_on_two_sides(check: Check, tmp_path: Path, planted: bool) -> None:
    draw = np.random.default_rng(0)
    for part, count in (("train", 24), ("test", 12)):
        for number in range(count):
            file = tmp_path / "mails" / part / ("ham", "spam")[number % 2] / f"{number}.txt"
            file.parent.mkdir(parents=True, exist_ok=True)
            text = sentence(draw)
            if planted and part == "test" and number < 2:
                text = (tmp_path / "mails/train" / file.parent.name / f"{number}.txt").read_text() + " indeed"
            file.write_text(text)
    told = check("mails")
    assert ("2 samples of the test part repeat one that is trained on" in told) == planted


@pytest.mark.parametrize("planted", [True, False])
def test_one_patient_on_two_sides(check: Check, tmp_path: Path, planted: bool) -> None:
    draw = np.random.default_rng(4)
    for part, patients in (("train", range(20, 28)), ("test", range(27 if planted else 28, 33))):
        for patient, number in product(patients, range(2)):
            picture = draw.integers(0, 120, (12, 12), dtype=np.uint8) + np.uint8(100 * (patient % 2))
            file = (
                tmp_path
                / "lungs"
                / part
                / ("clear", "opaque")[patient % 2]
                / f"patient{patient}_{number}.png"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(file)
    told = check("lungs")
    assert ("1 group of samples that belong together are in the test part and outside it" in told) == planted
    assert "values of 'patient'" in told


@pytest.mark.parametrize("planted", [True, False])
def test_columns_that_add_up_to_the_target(check: Check, tmp_path: Path, planted: bool) -> None:
    draw = np.random.default_rng(1)
    casual, registered = draw.poisson(30, 120), draw.poisson(150, 120)
    total = casual + registered + (0 if planted else draw.poisson(5, 120))
    heat = draw.normal(15, 8, 120).round(1)
    write(tmp_path / "rides.csv", {"casual": casual, "registered": registered, "heat": heat, "total": total})
    told = check("rides.csv", "--target", "total")
    assert ("casual, registered add up to it" in told) == planted
    assert ("--set data.drop=[casual,registered]" in told) == planted


@pytest.mark.parametrize("planted", [True, False])
def test_columns_with_a_few_far_off_rows(check: Check, tmp_path: Path, planted: bool) -> None:
    draw = np.random.default_rng(5)
    fee, tip, total = draw.lognormal(0, 1, (3, 400)).round(3)
    # two rows hold nearly all the variance, and are met by two columns of whatever kind
    fee[5] = tip[9] = 1e5
    total[[5, 9]] = 3e5, 2e5
    write(tmp_path / "rides.csv", {"fee": fee, "tip": tip, "total": fee + tip if planted else total})
    told = check("rides.csv", "--target", "total")
    assert ("fee, tip add up to it" in told) == planted
    assert ("'total' follows from columns" in told) == planted


@pytest.mark.parametrize(
    ("planted", "words", "told"),
    [
        ("shifted", (), "'x' foretells the next changes of 'y'"),
        ("mean", (), "'x' foretells the next changes of 'y'"),
        ("parts", ("--set", "forecast.known=[x,z]"), "'y' follows from the columns whose future is said"),
        ("", (), ""),
    ],
)
def test_the_future_in_columns_of_a_series(
    check: Check, tmp_path: Path, planted: str, words: tuple[str, ...], told: str
) -> None:
    draw = np.random.default_rng(2)
    y, z = np.cumsum(draw.normal(size=300)), draw.normal(size=300)
    x = {
        "shifted": np.append(y[1:], y[-1]),
        "mean": np.convolve(y, np.ones(3) / 3, mode="same"),
        "parts": y - z,
        "": np.append(y[0], y[:-1]) + z,
    }[planted]
    days = np.datetime64("2024-01-01") + np.arange(300)
    write(tmp_path / "series.csv", {"day": days, "x": x, "z": z, "y": y})
    found = check("series.csv", "--task", "forecast", "--target", "y", *words, "--set", "forecast.lookback=4")
    for sentence_of in ("foretells the next changes", "follows from the columns"):
        assert (sentence_of in found) == (sentence_of in told)
    assert told in found


@pytest.mark.parametrize("planted", [True, False])
def test_windows_that_overlap_the_test_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, planted: bool
) -> None:
    # No file and no option makes such a split, which is why the division itself is spoilt.
    def without_gap(*arguments: Any) -> list[Split]:
        (split,) = divide_series(*arguments)
        return [replace(split, valid=np.arange(split.valid[0], split.test[0]))]

    if planted:
        monkeypatch.setattr("flambeau.stages.dividing.divide_series", without_gap)
    y = np.sin(np.arange(160.0)).round(3)
    write(tmp_path / "waves.csv", {"day": np.datetime64("2024-01-01") + np.arange(160), "y": y})
    told: list[dict[str, Any]] = []

    def listen(record: dict[str, Any]) -> None:
        told.append(record)
        if record["kind"] == "epoch":
            raise DividedError

    options: dict[str, Any] = {
        "model.name": "nlinear",
        "threads": 1,
        "forecast.horizon": 5,
        "forecast.lookback": 4,
    }
    with pytest.raises(DividedError):
        fb.train(
            str(tmp_path / "waves.csv"),
            task="forecast",
            target="y",
            out=tmp_path / "run",
            on_record=listen,
            **options,
        )
    found = [one["message"] for one in told if one.get("code") == "leak-between-splits"]
    assert len(found) == planted
    assert not found or found[0].startswith("4 windows trained on or chosen with hold values that are tested")


def test_targets_that_are_filled_in_are_counted(check: Check, tmp_path: Path) -> None:
    y = np.sin(np.arange(200.0)).round(3).astype(object)
    y[5::6] = ""
    write(tmp_path / "holes.csv", {"day": np.datetime64("2024-01-01") + np.arange(200), "y": y})
    words = ("--task", "forecast", "--target", "y", "--horizon", "4", "--set", "forecast.lookback=4")
    assert "trained and tested on targets that are filled in" in check("holes.csv", *words)


@pytest.mark.slow
def test_wrong_labels_are_named_by_a_run(tmp_path: Path) -> None:
    draw = np.random.default_rng(3)
    truth = draw.integers(0, 2, 400)
    values = draw.normal(0, 0.5, (400, 3)) + truth[:, None] * 2
    wrong = draw.choice(400, 16, replace=False)
    labels = truth.copy()
    labels[wrong] = 1 - truth[wrong]
    columns = {name: values[:, place].round(4) for place, name in enumerate("abc")}
    write(tmp_path / "rows.csv", {**columns, "kind": np.array(["no", "yes"])[labels]})
    source = str(tmp_path / "rows.csv")
    options: dict[str, Any] = {"threads": 1, "folds": 4, "training.bags": 1, "evaluation.resamples": 100}
    run = fb.train(source, target="kind", out=tmp_path / "run", epochs=8, **options)
    told = json.loads((run.folder.path / "suspects.json").read_text())
    named = {int(one["id"].split()[-1]) - 1 for one in told["suspects"]}
    assert len(named & set(wrong.tolist())) >= 10 and len(named - set(wrong.tolist())) <= 4
    assert "labels of the test and validation parts are doubtful" in " ".join(
        str(record.get("message")) for record in run.folder.read_log()
    )
