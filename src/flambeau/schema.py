"""What one sample is: its columns, its target and the task. Plain data, kept as JSON in every run and bundle."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from flambeau.errors import DataError, did_you_mean

Kind = Literal["image", "number", "category", "boolean", "date", "text", "identifier", "constant"]
Task = Literal["classification", "multilabel", "regression", "forecast", "language", "chat", "generate"]
Source = Literal["pictures", "table", "series", "corpus"]


@dataclass(frozen=True)
class Column:
    """One input column.

    Args:
        name: as in the data.
        kind: what its values are.
        used: whether the model sees it.
        reason: why it has this kind, or why it is not used, in words for the user.
        low, high: range of the training values of a number (for warnings about strange inputs).
        values: the known values of a category, most frequent first (at most a few hundred).
        date_format: how a date is written, as for strptime; empty for ISO 8601 and for typed dates.
    """

    name: str
    kind: Kind
    used: bool = True
    reason: str = ""
    low: float | None = None
    high: float | None = None
    values: tuple[str, ...] = ()
    date_format: str = ""


@dataclass(frozen=True)
class PictureFacts:
    """What the pictures have in common.

    Args:
        channels: 1 grey, 3 colour, or the number of channels of an array.
        bits: 8 or 16 bits a channel.
        height, width: the median size in pixels, before any resizing.
        varied: whether sizes differ from picture to picture.
        scans: "dicom", "nifti" or "mixed" where all or some of them are medical scans; empty where none is.
        depth: the median number of slices or frames of scans; 1 for pictures.
    """

    channels: int
    bits: int
    height: int
    width: int
    varied: bool = False
    scans: Literal["", "dicom", "nifti", "mixed"] = ""
    depth: int = 1


PROBABILITY_TASKS = ("classification", "multilabel")
TimeUnit = Literal["second", "month", "weekday", "row"]


@dataclass(frozen=True)
class SeriesFacts:
    """What time series have in common, and what is forecast of them. A sample is a window, named by its last known row.

    Args:
        targets: the columns that are forecast.
        past: columns that are known up to now only.
        known: columns whose future is known when a forecast is made, such as holidays or planned prices.
        time: the columns that tell the time, joined by a blank; none where rows are simply in order.
        series: the column that names the series; "" for one series.
        names: of the series, in the order of the data.
        unit, step: how far a row is from the next: so many seconds, months, weekdays (Monday to Friday), or just rows.
        frequency: the same in words, such as "hour" or "15 minutes".
        horizon: rows that are forecast.
        lookback: rows that a forecast is made from.
        season: rows after which things repeat, such as 24 of an hourly series; 0 for none.
        quantiles: that are forecast beside the mean.
        prices: open, high, low, close, volume → column, as far as they are there; empty where these are no prices.
    """

    targets: tuple[str, ...]
    past: tuple[str, ...] = ()
    known: tuple[str, ...] = ()
    time: tuple[str, ...] = ()
    series: str = ""
    names: tuple[str, ...] = ()
    unit: TimeUnit = "row"
    step: int = 1
    frequency: str = "row"
    horizon: int = 1
    lookback: int = 0
    season: int = 0
    quantiles: tuple[float, ...] = ()
    prices: dict[str, str] = field(default_factory=dict)

    @property
    def channels(self) -> tuple[str, ...]:
        """All columns of numbers, in the order of every tensor: targets, then past, then known ones."""
        return (*self.targets, *self.past, *self.known)

    @property
    def outputs(self) -> int:
        """How many numbers a model gives for one window: horizon × targets × (mean and quantiles), in this order."""
        return self.horizon * len(self.targets) * (1 + len(self.quantiles))


@dataclass(frozen=True)
class Schema:
    """What one sample is, and what is asked of it.

    Args:
        source: pictures or a table.
        task: what is predicted.
        target: the name of the target (a column, or "folder" when classes are folders).
        classes: names of the classes (classification) or of the labels (multilabel); empty for regression.
        columns: the input columns of a table, or one column of kind image.
        picture: facts of the pictures; None for a table.
        series: facts of time series; None for all else.
    """

    source: Source
    task: Task
    target: str
    classes: tuple[str, ...] = ()
    columns: tuple[Column, ...] = ()
    picture: PictureFacts | None = None
    series: SeriesFacts | None = None

    @property
    def outputs(self) -> int:
        """How many numbers the model gives for one sample."""
        if self.series is not None:
            return self.series.outputs
        return 1 if self.task == "regression" else len(self.classes)

    @property
    def used_columns(self) -> tuple[Column, ...]:
        """The columns that the model sees."""
        return tuple(column for column in self.columns if column.used)

    @property
    def picture_columns(self) -> tuple[str, ...]:
        """The columns of a table that hold pictures and that the model sees."""
        if self.source != "table":
            return ()
        return tuple(column.name for column in self.used_columns if column.kind == "image")

    def column(self, name: str) -> Column:
        """The column of that name; DataError with the nearest name if there is none."""
        for column in self.columns:
            if column.name == name:
                return column
        names = [column.name for column in self.columns]
        raise DataError(
            f"there is no column '{name}'", expected=", ".join(names), hint=did_you_mean(name, names)
        )

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Schema:
        """The inverse of `to_json`. Raises DataError for a dictionary that is not a schema."""
        try:
            columns = tuple(
                Column(**{**column, "values": tuple(column.get("values", ()))}) for column in data["columns"]
            )
            picture = PictureFacts(**data["picture"]) if data.get("picture") else None
            series = None if data.get("series") is None else _series_facts(data["series"])
            return cls(
                source=data["source"],
                task=data["task"],
                target=data["target"],
                classes=tuple(data["classes"]),
                columns=columns,
                picture=picture,
                series=series,
            )
        except (KeyError, TypeError) as error:
            raise DataError("this is not a schema of flambeau", got=repr(error)) from error


def _series_facts(data: Mapping[str, Any]) -> SeriesFacts:
    """From plain lists; TypeError for other keys than the facts have."""
    facts: dict[str, Any] = {
        key: tuple(value) if isinstance(value, list) else value for key, value in data.items()
    }
    return SeriesFacts(**facts)


@dataclass(frozen=True)
class Finding:
    """Something that the check or the reader noticed, in a sentence.

    Args:
        level: "error" stops the training, "warning" is told, "info" is listed.
        code: a stable short name, such as "duplicates" or "leak-between-splits".
        message: what was found and what will be done about it.
        items: the samples, files or columns concerned.
    """

    level: Literal["error", "warning", "info"]
    code: str
    message: str
    items: tuple[str, ...] = field(default=())

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        return asdict(self)
