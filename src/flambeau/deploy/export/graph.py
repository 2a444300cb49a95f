"""The whole way from raw input to calibrated predictions as one module, which the exporters take down."""

from __future__ import annotations

import copy
from dataclasses import replace

import torch
from torch import Tensor, nn

from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.for_files import made_for_files
from flambeau.deploy.export.inputs import number_columns, values_of
from flambeau.deploy.export.normal import float64
from flambeau.deploy.export.prepare_mixed import TableAndPictures
from flambeau.deploy.export.prepare_pictures import PicturePixels
from flambeau.deploy.export.prepare_series import ForecastAnswer, SeriesWindows
from flambeau.deploy.export.prepare_table import TableAndText, TableColumns
from flambeau.deploy.export.prepare_text import text_module
from flambeau.evaluation.evaluate import LARGEST_LOGARITHM, outputs_to_predictions
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation

# As in flambeau.evaluation.calibration: a probability of 0 has no logarithm.
TINY = 1e-12


class Answer(nn.Module):
    """Prepared inputs to predictions, as `flambeau.deploy.answer.predict_inputs` gives them.

    Args:
        model: the trained module.
        task: classification, multilabel or regression.
        mean, std: what a regression target was scaled by.
        log: whether its logarithm was.
        temperature: of the calibration.
        flip_average: whether mirrored pictures are predicted too, and both averaged.

    Shapes: the model's inputs → (batch, classes or labels) float32 probabilities, or (batch,) float64 values.
    """

    def __init__(
        self,
        model: nn.Module,
        task: str,
        mean: float,
        std: float,
        temperature: float,
        flip_average: bool,
        log: bool = False,
    ) -> None:
        super().__init__()
        self.model = model
        self.task, self.mean, self.std = task, mean, std
        self.temperature, self.flip_average, self.log = temperature, flip_average, log

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.flip_average:
            # side by side in one batch, so that the file holds the model once
            both = torch.stack([inputs[0], inputs[0].flip(-1)], dim=1).flatten(0, 1)
            predictions = self._predict(both).unflatten(0, (-1, 2)).mean(dim=1)
        else:
            predictions = self._predict(*inputs)
        if self.task == "regression":
            values = predictions * float64(self.std) + float64(self.mean)
            return values.minimum(float64(LARGEST_LOGARITHM)).exp() if self.log else values
        exact = predictions.to(torch.float64)
        if self.task == "multilabel":
            odds = (_logarithm(exact) - _logarithm(1.0 - exact)) / float64(self.temperature)
            return torch.sigmoid(odds).to(torch.float32)
        return (_logarithm(exact) / float64(self.temperature)).softmax(dim=1).to(torch.float32)

    def _predict(self, *inputs: Tensor) -> Tensor:
        return outputs_to_predictions(self.model(*inputs), self.task)


def _logarithm(probabilities: Tensor) -> Tensor:
    return torch.log(probabilities.maximum(float64(TINY)))


class RawToAnswer(nn.Module):
    """Raw input to predictions.

    Args:
        prepare: raw tensors to what the model takes.
        answer: that to predictions.
    """

    def __init__(self, prepare: nn.Module, answer: nn.Module) -> None:
        super().__init__()
        self.prepare = prepare
        self.answer = answer

    def forward(self, *raw: Tensor) -> Tensor:
        prepared = self.prepare(*raw)
        return self.answer(*prepared) if isinstance(prepared, tuple) else self.answer(prepared)


def _prepare_rows(preparation: TablePreparation) -> nn.Module:
    if preparation.pictures:
        bare = replace(preparation, pictures=())
        values = _prepare_rows(bare) if preparation.has_cells or preparation.text is not None else None
        count = len(values_of(bare)) if values is not None else 0
        return TableAndPictures(values, count, preparation.pictures)
    columns = TableColumns(preparation, number_columns(preparation)) if preparation.has_cells else None
    if preparation.text is not None:
        return TableAndText(columns, text_module(preparation.text))
    assert columns is not None
    return columns


def build_graph(bundle: Bundle) -> RawToAnswer:
    """The module of a bundle, in evaluation mode on the CPU; the bundle's own module is not changed."""
    prepare: nn.Module
    if isinstance(bundle.preparation, SeriesPreparation):
        prepare = SeriesWindows(bundle.preparation)
    elif isinstance(bundle.preparation, PicturePreparation):
        prepare = PicturePixels(bundle.preparation)
    else:
        assert isinstance(bundle.preparation, TablePreparation)
        prepare = _prepare_rows(bundle.preparation)
    model = made_for_files(copy.deepcopy(bundle.module).to("cpu"))
    target = bundle.target
    answer: nn.Module
    if isinstance(bundle.preparation, SeriesPreparation):
        answer = ForecastAnswer(model, bundle.preparation)
    else:
        answer = Answer(
            model,
            bundle.schema.task,
            target.mean,
            target.std,
            bundle.temperature,
            bundle.flip_average,
            target.log,
        )
    graph = RawToAnswer(prepare, answer).eval()
    for parameter in graph.parameters():
        parameter.requires_grad_(False)
    return graph
