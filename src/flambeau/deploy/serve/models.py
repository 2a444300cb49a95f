"""The models that a server has: found by their names, loaded and checked once, and how each answers a batch."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import torch

from flambeau.data.pictures.image import TooManyPixelsError
from flambeau.data.pictures.load import load_picture
from flambeau.data.scans.scans import load_any
from flambeau.deploy.answer import describe_prediction
from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.familiar.familiar import Familiar, predict_and_compare
from flambeau.deploy.familiar.files import load_familiar
from flambeau.deploy.forecasts import series_facts
from flambeau.deploy.mixed import row_inputs
from flambeau.deploy.serve.asked import Asked
from flambeau.deploy.serve.drift import FAR, Strange, TableWatch
from flambeau.deploy.serve.faster import pack
from flambeau.deploy.serve.limits import Limits, RefusalError
from flambeau.deploy.serve.rows import quick_columns
from flambeau.deploy.serve.series import (
    MOST_WINDOW_NUMBERS,
    RANGE,
    SentSeries,
    forecast_sent,
    made_up_sent,
    read_sent_rows,
    sent_answer,
    window_numbers,
)
from flambeau.deploy.serve.talking import asked_of, warm_asked
from flambeau.deploy.versions.resolve import find_bundle
from flambeau.errors import UsageError
from flambeau.recipe import load_recipe
from flambeau.records.files import digest_file
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation

NAME = re.compile(r"\w[\w.+-]{0,99}")
LARGE_PIXELS = 4_000_000
SHOWN = "the picture"  # what a picture that was sent is called

# One large picture at a time is unpacked, so that many of them at once cannot fill the memory.
_one_large = threading.Lock()


@dataclass(eq=False)
class Loaded:
    """One version of one model, ready to answer.

    Args:
        name, version: as they stand in its address.
        bundle: the model.
        pixels: pictures with more are refused.
        familiar: what its training data looks like, where the bundle tells.
        on_answers: told the predictions and the strange things of every batch.

    Attributes:
        asked: how it is asked, where it is shown no samples.
        alone: then, which of its steps are batches by themselves.
    """

    name: str
    version: str
    bundle: Bundle
    pixels: int
    familiar: Familiar | None = None
    on_answers: Callable[[Loaded, np.ndarray, Sequence[Strange]], None] = lambda model, found, strange: None
    most: int = 0  # inputs in one batch, where there is a limit besides the server's own
    alone: Callable[[Any], bool] | None = field(init=False, default=None)
    watch: TableWatch | None = field(init=False)
    asked: Asked | None = field(init=False)

    def __post_init__(self) -> None:
        preparation = self.bundle.preparation
        self.watch = None
        if isinstance(preparation, TablePreparation):
            self.watch = TableWatch(self.bundle.schema, preparation)
        if isinstance(preparation, SeriesPreparation):
            self.most = max(1, MOST_WINDOW_NUMBERS // window_numbers(preparation))
        self.asked = asked_of(self.bundle)
        if self.asked is not None:
            self.alone = self.asked.alone

    @property
    def takes_pictures(self) -> bool:
        """Whether its inputs are pictures; otherwise they are rows."""
        return self.bundle.schema.source == "pictures" and self.asked is None

    @property
    def takes_series(self) -> bool:
        """Whether its inputs are time series: all rows of a request together are one input."""
        return self.bundle.schema.series is not None

    def decode_series(self, rows: Sequence[Mapping[str, Any]], most: int) -> SentSeries:
        """Rows of the past as windows; see `read_sent_rows`."""
        return read_sent_rows(self.bundle, rows, most)

    def decode(self, body: bytes) -> np.ndarray:
        """A picture's bytes as the preparation takes it, (height, width, channels).

        Raises:
            RefusalError: 413 for too many pixels, 422 for what is no picture or a damaged one.
        """
        preparation = self.bundle.preparation
        assert isinstance(preparation, PicturePreparation)
        return self._unpacked(load_any, body, preparation.load_options)

    def decode_row(self, row: dict[str, Any], number: int) -> dict[str, Any]:
        """A row whose pictures are bytes, as a row whose pictures are pixels of the preparation's size.

        Raises:
            RefusalError: as `decode`, with the row's number and the column.
        """
        preparation = self.bundle.preparation
        assert isinstance(preparation, TablePreparation)
        found = dict(row)
        for column in preparation.pictures:
            body = row.get(column.column)
            if isinstance(body, bytes):
                try:
                    found[column.column] = self._unpacked(load_picture, body, column.pictures.load_options)
                except RefusalError as refusal:
                    refusal.words["where"] = f"row {number}, '{column.column[:60]}'"
                    raise
        return found

    def _unpacked(self, load: Callable[..., np.ndarray], body: bytes, options: dict[str, Any]) -> np.ndarray:
        try:
            try:
                return load(_Sent(body), **options, max_pixels=min(self.pixels, LARGE_PIXELS))
            except TooManyPixelsError:
                if self.pixels <= LARGE_PIXELS:
                    raise
            with _one_large:
                return load(_Sent(body), **options, max_pixels=self.pixels)
        except (ValueError, OSError) as error:
            scan = options.get("scan")
            raise _unreadable(error, volume=scan is not None and scan.depth > 0) from None

    def answer(self, inputs: list[Any]) -> list[dict[str, Any]]:
        """Decoded pictures, rows or series → one answer each, with "strange": what the training data had none of.

        Of a model that is asked, steps → their results.
        """
        if self.asked is not None:
            results, counted, unusual = self.asked.answer(inputs)
            self.on_answers(self, counted, unusual)
            return results
        if self.takes_series:
            return self._forecast(inputs)
        strange: list[Strange] = [[] for _ in inputs]
        preparation = self.bundle.preparation
        if isinstance(preparation, PicturePreparation):
            stacked = torch.from_numpy(np.stack(inputs))
            pixels = stacked if stacked.dtype == torch.uint8 else stacked.to(torch.int32)
            prepared: tuple[torch.Tensor, ...] = (preparation.prepare(pixels),)
        else:
            columns = quick_columns(inputs, self.bundle.schema)
            assert self.watch is not None and isinstance(preparation, TablePreparation)
            self.watch.look(inputs, columns, strange)
            prepared = row_inputs(preparation, columns, torch.device("cpu"), max_pixels=self.pixels)
        predictions, distances = predict_and_compare(self.bundle, self.familiar, prepared)
        if self.familiar is not None and distances is not None:
            for place in np.flatnonzero(distances > self.familiar.threshold):
                strange[int(place)].append(("far", FAR))
        self.on_answers(self, predictions, strange)
        return [
            {**describe_prediction(self.bundle, prediction), "strange": [sentence for _, sentence in found]}
            for prediction, found in zip(predictions, strange, strict=True)
        ]

    def _forecast(self, sent: list[SentSeries]) -> list[dict[str, Any]]:
        facts, _ = series_facts(self.bundle)
        predictions, found = forecast_sent(self.bundle, sent)
        strange: list[Strange] = [[(RANGE, text) for text in one.strange] for some in found for one in some]
        self.on_answers(self, predictions, strange)
        return [sent_answer(facts, some) for some in found]

    def warm_up(self, batch: int) -> None:
        """Answer made-up inputs, so that the first request does not wait for what is made on first use."""
        if self.asked is not None:
            warm_asked(self.asked)
            return
        preparation = self.bundle.preparation
        if isinstance(preparation, PicturePreparation):
            dtype = np.uint8 if preparation.bits == 8 else np.uint16
            one: Any = np.zeros((*preparation.size, preparation.channels), dtype)
        elif self.takes_series:
            one = made_up_sent(self.bundle)
        else:
            one = dict.fromkeys((column.name for column in self.bundle.schema.used_columns), None)
        quiet = Loaded(self.name, self.version, self.bundle, self.pixels, self.familiar)
        quiet.answer([one])
        quiet.answer([one] * min(batch, quiet.most or batch))


class Models:
    """All models of a server, by name and version; the first one is the default."""

    def __init__(self, loaded: Sequence[Loaded]) -> None:
        self.by_name: dict[str, dict[str, Loaded]] = {}
        for model in loaded:
            versions = self.by_name.setdefault(model.name, {})
            if model.version in versions:
                raise UsageError(
                    "two models have one name and one version",
                    got=f"{model.name}, version {model.version}",
                    expected="names of your own, such as first=RUN second=RUN",
                )
            versions[model.version] = model
        self.default = loaded[0]

    def __iter__(self) -> Iterator[Loaded]:
        return (model for versions in self.by_name.values() for model in versions.values())


def load_model(word: str, limits: Limits, on_note: Callable[[str], None] = lambda text: None) -> Loaded:
    """The model that a person means by "RUN" or "name=RUN", ready to answer: checked, packed and warmed up.

    Args:
        word: where RUN is anything that `find_bundle` finds.
        limits: of a picture and of a batch.
        on_note: told of what is not as usual.

    Raises:
        FlambeauError: there is no such model, it is damaged, or its name cannot stand in an address.
    """
    given, named, rest = word.partition("=")
    if named and NAME.fullmatch(given) and not Path(word).exists():
        name, word = given, rest
    else:
        name = ""
    found = find_bundle(word)
    folder = found.folder
    version = found.version or digest_file(folder / "weights.safetensors")[:8]
    name = name or (found.name if found.kind == "version" else _for_address(found.name))
    if not NAME.fullmatch(name):
        raise UsageError("this name cannot stand in an address", got=name, expected="name=RUN")
    bundle = load_bundle(folder)
    recipe = load_recipe(folder / "recipe.yaml")
    model = Loaded(
        name, version, bundle, min(limits.pixels, recipe.data.max_pixels), load_familiar(folder, bundle)
    )
    reason = pack(bundle, limits.batch) if model.asked is None else ""
    if reason:
        on_note(f"{name} runs as it is: {reason}")
    model.warm_up(limits.batch)
    return model


def _for_address(name: str) -> str:
    """The name of a run or of a bundle, made safe for an address."""
    return re.sub(r"[^\w.+-]+", "-", name).strip("-.") or "model"


class _Sent(BytesIO):
    """A picture that was sent, called so in messages, and not by an address of this process's memory."""

    name = SHOWN

    def __repr__(self) -> str:
        return SHOWN


def _unreadable(error: Exception, *, volume: bool = False) -> RefusalError:
    text = str(error).removeprefix(f"{SHOWN}: ")
    if isinstance(error, TooManyPixelsError):
        # that option is of a recipe, which the client does not have
        text = text.removesuffix(" (data.max_pixels)")
        return RefusalError(413, "the picture is too large", got=text)
    if volume:
        expected = "a NIfTI file, or a DICOM file of several frames"
        return RefusalError(422, "this cannot be read as a volume", got=text, expected=expected)
    return RefusalError(
        422,
        "this cannot be read as a picture",
        got=text,
        expected="JPEG, PNG, WebP, TIFF, BMP, GIF, PNM, DICOM or NIfTI",
    )
