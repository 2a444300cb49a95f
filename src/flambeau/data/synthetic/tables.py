"""Made tables: classes, several labels, a number; with missing values, a category and a column of no use."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

_NUMBERS = 6
_MISSING = 0.02
_COLOURS = ("amber", "blue", "cyan")


def _inputs(count: int, random: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (count, 6) and codes of colours (count,)."""
    return random.normal(size=(count, _NUMBERS)), random.integers(len(_COLOURS), size=count)


def _write(
    path: Path,
    numbers: np.ndarray,
    colours: np.ndarray,
    target: str,
    values: Sequence[str],
    random: np.random.Generator,
) -> None:
    gone = random.uniform(size=numbers.shape) < _MISSING
    scale = 10.0 ** np.arange(-1, _NUMBERS - 1)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([*(f"x{place + 1}" for place in range(_NUMBERS)), "colour", target])
        for row, (places, missing) in enumerate(zip(numbers * scale, gone, strict=True)):
            shown = ["" if hidden else f"{value:.6g}" for value, hidden in zip(places, missing, strict=True)]
            writer.writerow([*shown, _COLOURS[colours[row]], values[row]])


def _bent(numbers: np.ndarray, colours: np.ndarray) -> np.ndarray:
    """(count, 3) scores that no straight line gives: a product, a wave and a step, the last by colour."""
    return np.stack(
        [
            1.5 * numbers[:, 0] * numbers[:, 1] + numbers[:, 2],
            2.0 * np.sin(1.5 * numbers[:, 3]) + 0.8 * numbers[:, 0],
            1.5 * (numbers[:, 2] > 0.3) - 1.0 + 0.8 * (colours == 1) - 0.6 * (colours == 2),
        ],
        axis=1,
    )


def make_table(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """Rows of three classes in `label`."""
    numbers, colours = _inputs(count, random)
    scores = _bent(numbers, colours) + random.gumbel(size=(count, 3)) * 0.35 * noise
    labels = [("high", "low", "middle")[place] for place in scores.argmax(axis=1)]
    _write(folder / "table.csv", numbers, colours, "label", labels, random)


def make_multilabel(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """Rows with none to three of three labels in `labels`, joined by a bar."""
    numbers, colours = _inputs(count, random)
    flags = _bent(numbers, colours) + random.logistic(size=(count, 3)) * 0.35 * noise > 0.4
    names = np.array(["fast", "loud", "warm"])
    labels = ["|".join(names[row]) or "plain" for row in flags]
    _write(folder / "multilabel.csv", numbers, colours, "labels", labels, random)


def make_regression(folder: Path, count: int, random: np.random.Generator, noise: float) -> None:
    """Rows with a number in `value`."""
    numbers, colours = _inputs(count, random)
    values = 20 + 4 * _bent(numbers, colours).sum(axis=1) + random.normal(0, 2.5 * noise, count)
    _write(folder / "regression.csv", numbers, colours, "value", [f"{value:.4f}" for value in values], random)
