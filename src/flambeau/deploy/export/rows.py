"""Rows to try an artefact on: the run's own where its data are still there, else made up within the schema's ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from flambeau.data.read import read, read_test
from flambeau.data.samples import PictureArray, PictureFiles, Samples
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.prepare_mixed import made_up_pictures
from flambeau.deploy.export.series_inputs import made_up_series
from flambeau.errors import FlambeauError
from flambeau.recipe import Recipe, load_recipe
from flambeau.records import RunFolder
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation
from flambeau.transforms.text import TextPreparation

MADE_UP_ROWS = 64
MISSING_SHARE = 0.2
PICTURES_A_SHAPE = 3
MOST_WORDS, LONGEST_WORD = 100, 9
LETTERS = "etaoinshrdlucmfwypvbg.,é"
PICTURE_SHAPES = ((1, 1), (1, 9), (33, 7), (64, 64), (97, 131))


@dataclass(frozen=True)
class TrialRows:
    """Samples and where they come from.

    Args:
        parts: (samples, positions in them), in order.
        origin: in words.
        real: whether they are the run's own.
        unseen: whether the model was neither trained nor chosen on them.
    """

    parts: tuple[tuple[Samples, list[int]], ...]
    origin: str
    real: bool = True
    unseen: bool = True

    @property
    def files(self) -> bool:
        """Whether they are picture files, which both sides of a comparison decode for themselves."""
        return any(isinstance(samples.pictures, PictureFiles) for samples, _ in self.parts)

    def __len__(self) -> int:
        return sum(len(rows) for _, rows in self.parts)


class RunData:
    """The data of a run, read again from where its recipe says.

    Raises:
        FlambeauError: they are no longer there, or are not what they were.
    """

    def __init__(self, run: RunFolder) -> None:
        recipe = load_recipe(run.recipe)
        self._split = run.read_json("split.json")
        self._sources = _read_sources(recipe)
        self._places = _places(run.read_json("data.json"), self._sources)
        self._all_trained = bool(self._split["folds"]) or recipe.split.refit

    def rows(self, part: str, most: int) -> TrialRows:
        """At most this many rows of the part "train" or "test", evenly spaced.

        After a cross-validation or a refit the kept model was trained on all rows; those of the first fold's part
        are given then.
        """
        split = self._split["folds"][0] if self._split["folds"] else self._split
        indices = split[part]
        chosen = np.unique(np.linspace(0, len(indices) - 1, min(most, len(indices))).round().astype(np.int64))
        places = [self._places[indices[position]] for position in chosen]
        parts = tuple(
            (samples, [row for source, row in places if source == number])
            for number, samples in enumerate(self._sources)
        )
        seen = self._all_trained and part == "test"
        origin = f"the {part} part" + (", which the model was trained on in the end" if seen else "")
        return TrialRows(tuple(one for one in parts if one[1]), origin, unseen=not seen)


def _read_sources(recipe: Recipe) -> list[Samples]:
    if recipe.source is None:
        raise FlambeauError("the recipe names no source")
    first = read(recipe.source, recipe)
    return [first, read_test(recipe.data.test, first.schema, recipe)] if recipe.data.test else [first]


def _places(data: dict[str, Any], sources: list[Samples]) -> list[tuple[int, int]]:
    """(number of the source, position in it) of every sample, in the order of the split."""
    if not data["ids"]:
        places = [(number, row) for number, samples in enumerate(sources) for row in range(len(samples))]
        if len(places) != data["count"]:
            raise FlambeauError(f"there were {data['count']:,} rows, and now there are {len(places):,}")
        return places
    known = {}
    for number, samples in enumerate(sources):
        prefix = "test: " if number else ""
        for row, (name, digest) in enumerate(zip(samples.ids, samples.digests, strict=True)):
            known[f"{prefix}{name}", digest] = (number, row)
    wanted = list(zip(data["ids"], data["digests"], strict=True))
    changed = [name for name, digest in wanted if (name, digest) not in known]
    if changed:
        raise FlambeauError(f"{len(changed):,} pictures are gone or changed, such as {changed[0]}")
    return [known[one] for one in wanted]


def made_up_rows(bundle: Bundle, reason: str) -> TrialRows:
    """Samples drawn at random within the ranges that the preparation was fitted on, some values missing or unknown."""
    generator = np.random.default_rng(0)
    parts: tuple[tuple[Samples, list[int]], ...]
    if isinstance(bundle.preparation, SeriesPreparation):
        parts = (made_up_series(bundle, generator),)
    elif isinstance(bundle.preparation, PicturePreparation):
        parts = tuple(_made_up_pictures(bundle, generator, shape) for shape in PICTURE_SHAPES)
    else:
        assert isinstance(bundle.preparation, TablePreparation)
        columns = made_up_columns(bundle, bundle.preparation, MADE_UP_ROWS, generator)
        ids = tuple(f"row {number}" for number in range(1, MADE_UP_ROWS + 1))
        samples = Samples(bundle.schema, ids, np.full(MADE_UP_ROWS, np.nan), columns=columns)
        parts = ((samples, list(range(MADE_UP_ROWS))),)
    return TrialRows(parts, f"made up, because {reason}", real=False)


def _made_up_pictures(
    bundle: Bundle, generator: np.random.Generator, shape: tuple[int, int]
) -> tuple[Samples, list[int]]:
    preparation = bundle.preparation
    assert isinstance(preparation, PicturePreparation)
    count, largest = PICTURES_A_SHAPE, 2**preparation.bits - 1
    # Of all brightnesses and contrasts: models hardly tell plain noise from other noise.
    level, contrast = generator.random((2, count, 1, 1, 1))
    noise = generator.random((count, *shape, preparation.channels)) - 0.5
    kind = np.uint8 if preparation.bits == 8 else np.uint16
    pixels = (np.clip(level + contrast * noise, 0, 1) * largest).round().astype(kind)
    ids = tuple(f"picture {number}" for number in range(count))
    return Samples(bundle.schema, ids, np.full(count, np.nan), pictures=PictureArray(pixels)), list(
        range(count)
    )


def made_up_columns(
    bundle: Bundle, preparation: TablePreparation, count: int, generator: np.random.Generator
) -> dict[str, np.ndarray]:
    """Columns as `Samples` holds them, each (count,)."""
    kinds = {column.name: column.kind for column in bundle.schema.columns}
    columns: dict[str, np.ndarray] = {}
    for name in dict.fromkeys(feature.column for feature in preparation.numbers):
        kind = kinds[name]
        low, high = _fitted_range(preparation, name, kind)
        share = generator.random(count)
        values = low * (1 - share) + high * share
        missing = generator.random(count) < MISSING_SHARE
        if kind == "date":
            dates = (values * 86_400).astype(np.int64).astype("datetime64[s]")
            columns[name] = np.where(missing, np.datetime64("NaT"), dates)
        else:
            values = generator.integers(0, 2, count).astype(np.float64) if kind == "boolean" else values
            columns[name] = np.where(missing, np.nan, values)
    for name in preparation.text.columns if preparation.text is not None else ():
        columns[name] = np.array(
            [_made_up_text(preparation.text, generator) for _ in range(count)], dtype=object
        )
    for pictures in preparation.pictures:
        columns[pictures.column] = made_up_pictures(pictures, count, generator)
    for category in preparation.categories:
        known = np.array([*category.values, "a value that nobody has seen", None], dtype=object)
        columns[category.column] = known[generator.integers(0, len(known), count)]
    return columns


def _made_up_text(text: TextPreparation | None, generator: np.random.Generator) -> str:
    """Up to a hundred words that the model knows, or made of letters; now and then there are none."""
    known = text.vocabulary if text is not None and text.tokens == "words" else ()
    count = int(generator.integers(0, MOST_WORDS))
    if known:
        return " ".join(known[place] for place in generator.integers(0, len(known), count))
    sizes = generator.integers(1, LONGEST_WORD, count)
    return " ".join(
        "".join(LETTERS[place] for place in generator.integers(0, len(LETTERS), size)) for size in sizes
    )


def _fitted_range(preparation: TablePreparation, column: str, kind: str) -> tuple[float, float]:
    """The range of a column's values, for dates in days; any usual one where only other parts were kept of it."""
    for feature in preparation.numbers:
        if feature.column == column and feature.part in ("value", "days"):
            if feature.quantiles:
                return feature.quantiles[0], feature.quantiles[-1]
            return feature.centre - 3 * feature.spread, feature.centre + 3 * feature.spread
    return (0.0, 20_000.0) if kind == "date" else (0.0, 1.0)
