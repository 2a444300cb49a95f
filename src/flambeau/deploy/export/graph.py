"""The whole way from raw input to calibrated predictions as one module, which the exporters take down."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.normal import float64
from flambeau.deploy.export.prepare_pictures import PicturePixels
from flambeau.deploy.export.prepare_table import TableColumns
from flambeau.evaluation.evaluate import outputs_to_predictions
from flambeau.transforms.image import PicturePreparation

# As in flambeau.evaluation.calibration: a probability of 0 has no logarithm.
TINY = 1e-12


class Answer(nn.Module):
    """Prepared inputs to predictions, as `flambeau.deploy.answer.predict_inputs` gives them.

    Args:
        model: the trained module.
        task: classification, multilabel or regression.
        mean, std: what a regression target was scaled by.
        temperature: of the calibration.
        flip_average: whether mirrored pictures are predicted too, and both averaged.

    Shapes: the model's inputs → (batch, classes or labels) float32 probabilities, or (batch,) float64 values.
    """

    def __init__(
        self, model: nn.Module, task: str, mean: float, std: float, temperature: float, flip_average: bool
    ) -> None:
        super().__init__()
        self.model = model
        self.task, self.mean, self.std = task, mean, std
        self.temperature, self.flip_average = temperature, flip_average

    def forward(self, *inputs: Tensor) -> Tensor:
        if self.flip_average:
            # side by side in one batch, so that the file holds the model once
            both = torch.stack([inputs[0], inputs[0].flip(-1)], dim=1).flatten(0, 1)
            predictions = self._predict(both).unflatten(0, (-1, 2)).mean(dim=1)
        else:
            predictions = self._predict(*inputs)
        if self.task == "regression":
            return predictions * float64(self.std) + float64(self.mean)
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


def build_graph(bundle: Bundle, number_columns: tuple[str, ...]) -> RawToAnswer:
    """The module of a bundle, in evaluation mode on the CPU; the bundle's own module is not changed.

    Args:
        bundle: a trained model.
        number_columns: of a table: the inputs that are numbers, in order.
    """
    prepare: nn.Module
    if isinstance(bundle.preparation, PicturePreparation):
        prepare = PicturePixels(bundle.preparation)
    else:
        prepare = TableColumns(bundle.preparation, number_columns)
    model = copy.deepcopy(bundle.module).to("cpu")
    target = bundle.target
    answer = Answer(
        model, bundle.schema.task, target.mean, target.std, bundle.temperature, bundle.flip_average
    )
    graph = RawToAnswer(prepare, answer).eval()
    for parameter in graph.parameters():
        parameter.requires_grad_(False)
    return graph
