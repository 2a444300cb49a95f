"""Whether an input is like the training data: its distance to the nearest training rows, against theirs to each other.

Nearest neighbours among the features before the head, brought to unit length, find pictures of another kind
(Sun et al. 2022, "Out-of-distribution detection with deep nearest neighbors"). Features alone miss noise on tiny
pictures, so brightness, contrast and roughness are compared too. Rows of a table are compared value by value, and
their numbers once more after whitening, where a combination is strange whose values are each usual.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from flambeau.deploy.answer import predict_inputs
from flambeau.deploy.bundle import Bundle

USUAL_SHARE = 0.99

Inputs = tuple[Tensor, ...]
Features = dict[str, Tensor]


@dataclass(frozen=True)
class View:
    """One way to compare inputs, and where the training rows lie in it.

    Args:
        bank: (rows, width) float32, the training rows.
        neighbours: which nearest row the distance is measured to.
        threshold: distance that all but a small share of the training rows keep to each other.
        codes: (rows, columns) float32 indices of categories, each of which adds 2 to the squared distance where it
            differs, as in a one-hot code; None for none.
        centre, matrix: (width,) and (width, width) of the whitening, or None for none.
    """

    bank: Tensor
    neighbours: int
    threshold: float
    codes: Tensor | None = None
    centre: Tensor | None = None
    matrix: Tensor | None = None

    def distances(self, values: Tensor, codes: Tensor | None = None, *, own: bool = False) -> Tensor:
        """(n,) distances of values (n, width) to the bank; `own` leaves each row's distance to itself out."""
        if self.centre is not None and self.matrix is not None and not own:
            values = (values - self.centre) @ self.matrix
        squares = self.bank.square().sum(1) + values.square().sum(1, keepdim=True)
        squares = torch.addmm(squares, values, self.bank.T, alpha=-2)
        if self.codes is not None and codes is not None:
            squares += 2 * torch.cdist(codes, self.codes, p=0)  # how many differ
        if own:
            squares.fill_diagonal_(math.inf)
        nearest = squares.topk(self.neighbours, dim=1, largest=False).values[:, -1]
        return nearest.clamp(min=0).sqrt()


@dataclass(frozen=True)
class Familiar:
    """What the training data looks like.

    Args:
        kind: "pictures", "texts" or "table".
        views: by name; "features" and "looks" of pictures, "values" and "combinations" of tables.
        layer: the layer whose input are the features; empty for the outputs of the module.
    """

    kind: str
    views: Mapping[str, View]
    layer: str = ""
    threshold: float = field(default=1.0, init=False)

    def features(self, module: nn.Module, inputs: Inputs) -> Features:
        """What is compared of prepared inputs (n, ...). Pictures pass the module once; see `listen` to avoid that."""
        if self.kind == "table":
            return compared(self.kind, inputs, None)
        with self.listen(module) as heard, torch.inference_mode():
            module(*inputs)
        return self.features_of(inputs, heard)

    @contextmanager
    def listen(self, module: nn.Module) -> Iterator[list[Tensor]]:
        """Keep what the head is given while the module is called inside the block for another purpose."""
        heard: list[Tensor] = []
        if self.kind == "table":
            yield heard
            return
        with listening(module, self.layer, heard):
            yield heard

    def features_of(self, inputs: Inputs, heard: list[Tensor]) -> Features:
        """The same as `features`, from what `listen` heard in the first call of the module on these inputs."""
        return compared(self.kind, inputs, heard[0] if heard else None)

    def distances(self, features: Features) -> np.ndarray:
        """(n,) float64: the largest distance over the views, each divided by its threshold; usual ones are below 1."""
        ratios = [
            view.distances(features[name], features.get("codes") if view.codes is not None else None)
            / view.threshold
            for name, view in self.views.items()
        ]
        return torch.stack(ratios).amax(0).double().numpy()

    def is_far(self, features: Features) -> np.ndarray:
        """(n,) bool: whether an input is farther from the training data than 99 % of it."""
        return self.distances(features) > self.threshold


def compared(kind: str, inputs: Inputs, heard: Tensor | None) -> Features:
    """What is compared of prepared inputs (n, ...), on the CPU in float32.

    Args:
        kind: "pictures", "texts" or "table".
        inputs: pictures (n, channels, height, width), tokens (n, length), or numbers (n, features) and categories
            (n, columns).
        heard: what the head was given, (n, width) or with places after or before the width; None for tables.
    """
    if kind == "table":
        numbers, codes = inputs[0].detach().cpu().float(), inputs[1].detach().cpu().float()
        return {"values": numbers, "combinations": numbers, "codes": codes}
    if heard is None:
        raise ValueError("the model was not called, so there are no features to compare")
    features = heard.detach().float()
    if features.ndim == 4:
        features = features.mean((2, 3))
    elif features.ndim > 2:
        features = features.flatten(1, -2).mean(1)
    found = {"features": nn.functional.normalize(features, dim=1).cpu()}
    pictures = inputs[0].detach().float()
    if pictures.ndim == 4 and min(pictures.shape[2:]) > 1:
        roughness = [pictures.diff(dim=side).abs().mean((2, 3)) for side in (2, 3)]
        spread = pictures.flatten(2).std(2)
        found["looks"] = torch.cat([pictures.mean((2, 3)), spread, *roughness], dim=1).cpu()
    return found


@contextmanager
def listening(module: nn.Module, layer: str, heard: list[Tensor]) -> Iterator[None]:
    """Append to `heard` what the layer of that name is given, or the module's outputs where it is empty.

    The hook belongs to the module: threads that call one module at the same time would hear each other.
    """

    def before(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        heard.append(inputs[0])

    def after(_: nn.Module, __: tuple[Tensor, ...], outputs: Tensor) -> None:
        heard.append(outputs)

    if layer:
        handle = module.get_submodule(layer).register_forward_pre_hook(before)
    else:
        handle = module.register_forward_hook(after)
    try:
        yield
    finally:
        handle.remove()


def predict_and_compare(
    bundle: Bundle, familiar: Familiar | None, inputs: Inputs
) -> tuple[np.ndarray, np.ndarray | None]:
    """Calibrated predictions as `predict_inputs` gives them, and distances (n,), from one pass of the model."""
    if familiar is None:
        return predict_inputs(bundle, inputs), None
    with familiar.listen(bundle.module) as heard:
        predictions = predict_inputs(bundle, inputs)
    return predictions, familiar.distances(familiar.features_of(inputs, heard))
