"""What an artefact takes: names, types and meanings of its raw inputs, and samples as those inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flambeau.data.pictures.image import decode_picture
from flambeau.data.pictures.load import fit_pixels
from flambeau.data.samples import PictureFiles, Samples
from flambeau.data.scans.scans import load_any
from flambeau.data.tables.spelling import MISSING_SPELLINGS, number_of
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.prepare_mixed import raw_pictures
from flambeau.deploy.export.texts import UNIT, text_as_raw, text_meaning
from flambeau.transforms.categories import MISSING, UNKNOWN, CategoryFeature
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.mixed import PictureColumn
from flambeau.transforms.scan import ScanReading
from flambeau.transforms.table import TablePreparation
from flambeau.transforms.text import TextPreparation

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
        name: "pixels", the column, or "text" for several columns of texts.
        kind: pictures, presence (of a picture), number, boolean, date, category, text, series or times.
        meaning: in words.
        bits: of pictures, 8 or 16.
        date_format: how dates are written in the training data, as for strptime; empty for ISO 8601.
        codes: of a category: spelling → index; what is not in it is unknown, 0.
        shape: of a window, behind the batch; () for all else.
        text: of texts: how the model takes them.
        channels: of the pictures of a column.
        column: whose pictures a presence is of.
    """

    name: str
    kind: str
    meaning: str
    bits: int = 8
    date_format: str = ""
    codes: dict[str, int] = field(default_factory=dict)
    shape: tuple[int, ...] = ()
    text: TextPreparation | None = None
    channels: int = 0
    column: str = ""

    @property
    def dtype(self) -> torch.dtype:
        """The type of its tensor."""
        if self.kind == "pictures":
            return torch.uint8 if self.bits == 8 else torch.int32
        if self.text is not None:
            return torch.uint8 if UNIT[self.text.tokens] == "bytes" else torch.int32
        return torch.int64 if self.kind in ("category", "times") else torch.float64

    @property
    def free_sizes(self) -> tuple[str, ...]:
        """The names of the sizes that differ from call to call."""
        if self.kind == "pictures":
            own = f"{self.name}_" * bool(self.channels)
            return "batch", f"{own}height", f"{own}width"
        return ("batch",) if self.text is None else ("batch", UNIT[self.text.tokens])

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
            return {**told, "dtype": str(self.dtype)[6:], "shape": [*self.free_sizes, "channels"]}
        if self.kind == "presence":
            told["of"] = self.column
        if self.text is not None:
            told |= {"dtype": str(self.dtype)[6:], "shape": list(self.free_sizes)}
            kept = {"tokens": self.text.tokens, "most_tokens": self.text.length}
            return {**told, "columns": list(self.text.columns), **kept}
        if self.kind == "category" and strings:
            return {**told, "dtype": "string", "shape": ["batch"]}
        told |= {"dtype": str(self.dtype)[6:], "shape": ["batch", *self.shape]}
        if self.kind == "date":
            told["date_format"] = self.date_format
        return {**told, "codes": self.codes, "unknown": UNKNOWN} if self.kind == "category" else told


def raw_inputs(bundle: Bundle, vocabulary: str = "") -> list[RawInput]:
    """The inputs in the order of the graph: pixels, or the columns of numbers, then the categories, then the text.

    Args:
        bundle: the model.
        vocabulary: the name of the file with the words of a model that takes them by number.
    """
    preparation = bundle.preparation
    if isinstance(preparation, PicturePreparation):
        depth = "int32, 0 to 65,535" if preparation.bits == 16 else "uint8"
        colours = {1: "grey", 3: "red, green, blue"}.get(preparation.channels, "as in the training data")
        meaning = (
            f"decoded pixels of any size, {depth}, {number_of(preparation.channels, 'channel')} ({colours})"
        )
        if preparation.scan is not None:
            what = "slices of a volume" if preparation.scan.depth else "grey values of a slice or frame"
            meaning += f"; {what} after their window ({describe_window(preparation.scan)}), black 0, white the largest"
        return [RawInput(PIXELS, "pictures", meaning.replace("1 channels", "1 channel"), preparation.bits)]
    assert isinstance(preparation, TablePreparation)
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
    text = preparation.text
    if text is not None:
        name = text.columns[0] if len(text.columns) == 1 else "text"
        while name in {one.name for one in inputs}:
            name = f"{name}_"
        inputs.append(RawInput(name, "text", text_meaning(text, vocabulary), text=text))
    for column in preparation.pictures:
        inputs += _picture_inputs(column, {one.name for one in inputs})
    return inputs


def _picture_inputs(column: PictureColumn, taken: set[str]) -> list[RawInput]:
    channels = column.pictures.channels
    depth = f"uint8, {number_of(channels, 'channel')}"
    meaning = f"decoded pixels of any size, {depth}; any pixels where there is no picture"
    name = f"{column.column}_present"
    while name in taken:
        name = f"{name}_"
    told = f"1 where there is a picture in '{column.column}', 0 where there is none"
    return [
        RawInput(column.column, "pictures", meaning, channels=channels),
        RawInput(name, "presence", told, column=column.column),
    ]


def values_of(preparation: TablePreparation) -> tuple[str, ...]:
    """What the raw inputs of a table without pictures are of, in order: its columns, and all texts together."""
    text = ("text",) if preparation.text is not None else ()
    return (*number_columns(preparation), *preparation.category_names, *text)


def describe_window(scan: ScanReading) -> str:
    """Which grey values of a scan are black and white, in words."""
    words = {
        "file": "as the file says, else its percentiles 0.5 and 99.5",
        "auto": "as the file says, else its percentiles 0.5 and 99.5",
        "percentile": "percentiles 0.5 and 99.5 of the scan",
        "full": "all that the file's type can hold",
    }
    return words.get(scan.window, f"{scan.low:g} to {scan.high:g} after rescaling")


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
        assert samples.columns is not None and isinstance(bundle.preparation, TablePreparation)
        if bundle.preparation.pictures:
            yield from _mixed_batches(bundle, samples.columns, positions, max_pixels)
            continue
        chosen = np.asarray(positions, dtype=np.int64)
        yield {one.name: _as_raw(one, samples.columns, chosen) for one in raw_inputs(bundle)}, chosen


def _mixed_batches(
    bundle: Bundle, columns: Mapping[str, np.ndarray], rows: Sequence[int], max_pixels: int
) -> Iterator[tuple[Raw, np.ndarray]]:
    """One row at a time, as pictures of several rows are seldom of one size."""
    assert isinstance(bundle.preparation, TablePreparation)
    inputs = raw_inputs(bundle)
    pictures = [one for one in inputs if one.kind in ("pictures", "presence")]
    for row in rows:
        chosen = np.array([row])
        raw = {one.name: _as_raw(one, columns, chosen) for one in inputs if one not in pictures}
        parts = raw_pictures(bundle.preparation.pictures, columns, row, max_pixels)
        flat = [part for pair in parts for part in pair]
        yield raw | {one.name: part for one, part in zip(pictures, flat, strict=True)}, chosen


def _as_raw(one: RawInput, columns: Mapping[str, np.ndarray], rows: np.ndarray) -> np.ndarray:
    if one.text is None:
        return column_as_raw(columns[one.name][rows], one.kind)
    return text_as_raw(one.text, one.text.join({name: columns[name][rows] for name in one.text.columns}))


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
        if preparation.scan is not None:
            # the artefact takes the pixels that a scan is read as, not the file's own numbers
            scanned = load_any(path, **preparation.load_options, max_pixels=max_pixels)
            return scanned if bits == 8 else scanned.astype(np.int32)
        pixels = decode_picture(
            path, channels=channels, bits=bits, size=preparation.size, max_pixels=max_pixels
        )
    else:
        assert samples.pictures is not None
        decoded = samples.pictures.pixels[row]
        pixels = fit_pixels(decoded, size=decoded.shape[:2], channels=channels, bits=bits)
    return pixels if bits == 8 else pixels.astype(np.int32)
