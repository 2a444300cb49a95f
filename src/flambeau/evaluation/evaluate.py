"""From a model and batches of inputs to predictions: in fp32, without gradients, in the units of the task."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

# Of predictions whose logarithm the model gives; beyond it float32 has no numbers.
LARGEST_LOGARITHM = 80.0


def predict_batches(
    model: nn.Module,
    batches: Iterable[tuple[Tensor, ...]],
    task: str,
    *,
    target_mean: float = 0.0,
    target_std: float = 1.0,
    target_log: bool = False,
    flip_average: bool = False,
) -> np.ndarray:
    """Predictions for all rows of the batches, in their order.

    The model is put into evaluation mode and stays there: putting it back would also wake the normalisation
    layers of a frozen body, so the training loop sets the mode of its own parts. Whatever precision training
    runs in, every number here is computed in fp32.

    Args:
        model: called as `model(*inputs)`.
        batches: tuples of input tensors on the model's device; the first dimension is the rows.
        task: "classification", "multilabel" or "regression".
        target_mean, target_std: what a regression target was scaled by.
        target_log: whether its logarithm was scaled.
        flip_average: also predict the pictures mirrored left to right, and average both predictions.

    Returns:
        (n, classes) or (n, labels) float32 probabilities, or (n,) float64 numbers in the target's units.

    Raises:
        ValueError: no batches, an unknown task, or outputs of another shape.
    """
    model.eval()
    parts: list[Tensor] = []
    with torch.inference_mode(), _full_precision():
        for inputs in batches:
            exact = tuple(part.float() if part.is_floating_point() else part for part in inputs)
            with torch.autocast(exact[0].device.type, enabled=False):
                predictions = outputs_to_predictions(model(*exact), task, target_mean, target_std, target_log)
                if flip_average:
                    mirrored = (exact[0].flip(-1), *exact[1:])  # (batch, channels, height, width)
                    other = outputs_to_predictions(
                        model(*mirrored), task, target_mean, target_std, target_log
                    )
                    predictions = (predictions + other) / 2
            parts.append(predictions)
    if not parts:
        raise ValueError("there is nothing to predict: got no batches, expected at least one")
    # One transfer at the end: a copy after each batch would make a GPU wait.
    return torch.cat(parts).cpu().numpy()


def outputs_to_predictions(
    outputs: Tensor, task: str, mean: float = 0.0, std: float = 1.0, log: bool = False
) -> Tensor:
    """What a model's raw outputs mean.

    Args:
        outputs: (batch, outputs) logits or scaled numbers; an ensemble's (batch, members, outputs) are
            averaged over its members after the softmax or sigmoid.
        task: "classification" (softmax), "multilabel" (sigmoid) or "regression" (unscaled).
        mean, std: what a regression target was scaled by.
        log: whether its logarithm was; an ensemble's members are averaged before it is undone.

    Returns:
        (batch, outputs) float32 probabilities, or (batch,) numbers, on the device of the outputs. Numbers are
        float64
        where the device has it: a large mean with a small deviation loses digits in float32.

    Raises:
        ValueError: another number of dimensions, more than one output for regression, or an unknown task.
    """
    if outputs.ndim not in (2, 3):
        raise ValueError(
            f"the model's outputs have shape {tuple(outputs.shape)}, "
            "expected (batch, outputs) or (batch, members, outputs)"
        )
    if task == "classification":
        predictions = outputs.float().softmax(dim=-1)
    elif task == "multilabel":
        predictions = outputs.float().sigmoid()
    elif task == "forecast":
        # what was scaled is restored by the preparation, which knows each target's own unit
        predictions = outputs.to(torch.float32 if outputs.device.type == "mps" else torch.float64)
    elif task == "regression":
        if outputs.shape[-1] != 1:
            raise ValueError(f"a regression model gives one number a row: got {outputs.shape[-1]} outputs")
        exact = torch.float32 if outputs.device.type == "mps" else torch.float64
        predictions = outputs.to(exact) * std + mean
    else:
        raise ValueError(f"unknown task: got {task!r}, expected classification, multilabel or regression")
    if predictions.ndim == 3:
        predictions = predictions.mean(dim=1)
    if log:
        predictions = predictions.clamp(max=LARGEST_LOGARITHM).exp()
    return predictions.squeeze(-1) if task == "regression" else predictions


@contextmanager
def _full_precision() -> Iterator[None]:
    """Matrix products and convolutions in true fp32, whatever route training has set; then as before."""
    matmul = torch.get_float32_matmul_precision()
    convolution = torch.backends.cudnn.allow_tf32
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(matmul)
        torch.backends.cudnn.allow_tf32 = convolution
