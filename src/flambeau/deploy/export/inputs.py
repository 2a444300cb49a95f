"""What an artefact takes: names, types and meanings of its raw inputs, and samples as those inputs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flambeau.data.image import decode_picture
from flambeau.data.load import fit_pixels
from flambeau.data.samples import PictureFiles, Samples
from flambeau.data.spelling import MISSING_SPELLINGS
from flambeau.deploy.bundle import Bundle
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import MISSING, UNKNOWN, CategoryFeature, TablePreparation

PIXELS = "pixels"
CATEGORY_MEANING = (
    "the value as text, compared letter by letter: without spaces around it, numbers without needless digits "
    "(1.5 and not 1.50), true and false in small letters; empty for missing; any other spelling counts as unknown"
)
MOST_ROWS = 32
MOST_PIXELS = 4_000_000
Raw = dict[str, np.ndarray]


@dataclass(frozen=True)
class RawInput:
    """One input of an artefact.

    Args:
        name: "pixels", or the column.
        kind: pictures, number, boolean, date or category.
        meaning: in words.
        bits: of pictures, 8 or 16.
        date_format: how dates are written in the training data, as for strptime; empty for ISO 8601.
        codes: of a category: spelling → index; what is not in it is unknown, 0.
    """

    name: str
    kind: str
    meaning: str
    bits: int = 8
    date_format: str = ""
    codes: dict[str, int] = field(default_factory=dict)

    @property
    def dtype(self) -> torch.dtype:
        """The type of its tensor."""
        if self.kind == "pictures":
            return torch.uint8 if self.bits == 8 else torch.int32
        return torch.int64 if self.kind == "category" else torch.float64

    def tensor(self, values: np.ndarray) -> Tensor:
        """Raw values as a tensor; categories by their codes."""
        if self.kind == "category":
            return torch.tensor([self.codes.get(str(value), UNKNOWN) for value in values], dtype=torch.int64)
        return torch.from_numpy(np.ascontiguousarray(values))

    def to_json(self, strings: bool) -> dict[str, Any]:
        """Plain values.

        Args:
            strings: whether the format takes categories as strings, so that the codes need not be told.
        """
        told: dict[str, Any] = {"name": self.name, "kind": self.kind, "meaning": self.meaning}
        if self.kind == "pictures":
            return {**told, "dtype": str(self.dtype)[6:], "shape": ["batch", "height", "width", "channels"]}
        if self.kind == "category" and strings:
            return {**told, "dtype": "string", "shape": ["batch"]}
        told |= {"dtype": str(self.dtype)[6:], "shape": ["batch"]}
        if self.kind == "date":
            told["date_format"] = self.date_format
        return {**told, "codes": self.codes, "unknown": UNKNOWN} if self.kind == "category" else told


def raw_inputs(bundle: Bundle) -> list[RawInput]:
    """The inputs in the order of the graph: pixels, or the columns of numbers and then the categories."""
    preparation = bundle.preparation
    if isinstance(preparation, PicturePreparation):
        depth = "int32, 0 to 65,535" if preparation.bits == 16 else "uint8"
        colours = {1: "grey", 3: "red, green, blue"}.get(preparation.channels, "as in the training data")
        meaning = f"decoded pixels of any size, {depth}, {preparation.channels} channels ({colours})"
        return [RawInput(PIXELS, "pictures", meaning.replace("1 channels", "1 channel"), preparation.bits)]
    columns = {column.name: column for column in bundle.schema.columns}
    inputs = []
    for name in number_columns(preparation):
        kind = columns[name].kind
        meaning = {
            "boolean": "1 for yes, 0 for no, NaN for missing",
            "date": "seconds since 1970-01-01 00:00, without regard to time zones; NaN for missing",
        }.get(kind, "a number; NaN for missing")
        inputs.append(RawInput(name, kind, meaning, date_format=columns[name].date_format))
    for feature in preparation.categories:
        meaning = CATEGORY_MEANING
        inputs.append(RawInput(feature.column, "category", meaning, codes=category_codes(feature)))
    return inputs


def number_columns(preparation: TablePreparation | PicturePreparation) -> tuple[str, ...]:
    """The columns of numbers, booleans and dates, each once; none for pictures."""
    if isinstance(preparation, PicturePreparation):
        return ()
    return tuple(dict.fromkeys(feature.column for feature in preparation.numbers))


def category_codes(feature: CategoryFeature) -> dict[str, int]:
    """Every spelling that has an index of its own: the values, usual other spellings of them, and missing ones."""
    codes = dict.fromkeys(MISSING_SPELLINGS, MISSING if feature.missing else UNKNOWN)
    exact = {value: index for index, value in enumerate(feature.values, start=2)}
    for value, index in exact.items():
        others = (value.upper(), value.title()) if value in ("true", "false") else ()
        for spelling in (*others, *((f"{value}.0",) if value.lstrip("-").isdigit() else ())):
            codes[spelling] = index
    return codes | exact


def raw_batches(
    bundle: Bundle, samples: Samples, rows: Sequence[int], max_pixels: int
) -> Iterator[tuple[Raw, np.ndarray]]:
    """Samples as raw inputs, the first alone and then several at a time; pictures of one size together.

    Args:
        bundle: the model's.
        samples: of the same schema.
        rows: positions of the samples that are wanted.
        max_pixels: pictures with more are left out, as are those that cannot be read.

    Yields:
        Input name → array, categories as str; and the positions of the samples.
    """
    for positions in (rows[:1], *(rows[i : i + MOST_ROWS] for i in range(1, len(rows), MOST_ROWS))):
        if isinstance(bundle.preparation, PicturePreparation):
            yield from _picture_batches(bundle.preparation, samples, positions, max_pixels)
            continue
        assert samples.columns is not None
        chosen = np.asarray(positions, dtype=np.int64)
        columns = {
            one.name: column_as_raw(samples.columns[one.name][chosen], one.kind) for one in raw_inputs(bundle)
        }
        yield columns, chosen


def column_as_raw(values: np.ndarray, kind: str) -> np.ndarray:
    """A column as `Samples` holds it → float64, or an object array of str where None became the empty string."""
    if kind == "category":
        return np.array(["" if value is None else str(value) for value in values], dtype=object)
    if kind == "date":
        seconds = values.astype("datetime64[s]").astype(np.int64).astype(np.float64)
        return np.where(np.isnat(values), np.nan, seconds)
    return values.astype(np.float64)


def _picture_batches(
    preparation: PicturePreparation, samples: Samples, rows: Sequence[int], max_pixels: int
) -> Iterator[tuple[Raw, np.ndarray]]:
    """Batches of pictures of one size with at most `MOST_PIXELS` or one picture."""
    waiting: dict[tuple[int, ...], list[tuple[int, np.ndarray]]] = {}
    for row in rows:
        try:
            pixels = _decoded(preparation, samples, row, max_pixels)
        except (ValueError, OSError):
            continue  # the run left it out, too
        if pixels.size > MOST_PIXELS:
            yield {PIXELS: pixels[None]}, np.array([row])
            continue
        group = waiting.setdefault(pixels.shape, [])
        group.append((row, pixels))
        if sum(one.size for _, one in group) > MOST_PIXELS:
            yield _stacked(waiting.pop(pixels.shape))
    yield from map(_stacked, waiting.values())


def _stacked(group: list[tuple[int, np.ndarray]]) -> tuple[Raw, np.ndarray]:
    return {PIXELS: np.stack([pixels for _, pixels in group])}, np.array([row for row, _ in group])


def _decoded(preparation: PicturePreparation, samples: Samples, row: int, max_pixels: int) -> np.ndarray:
    """(height, width, channels) uint8 or int32, as the example decodes a file: large JPEGs at a half or less."""
    channels, bits = preparation.channels, preparation.bits
    if isinstance(samples.pictures, PictureFiles):
        path = samples.pictures.path(row)
        pixels = decode_picture(
            path, channels=channels, bits=bits, size=preparation.size, max_pixels=max_pixels
        )
    else:
        assert samples.pictures is not None
        decoded = samples.pictures.pixels[row]
        pixels = fit_pixels(decoded, size=decoded.shape[:2], channels=channels, bits=bits)
    return pixels if bits == 8 else pixels.astype(np.int32)
