"""Predictions from models: right units, fp32 whatever training set, members averaged after the softmax."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from flambeau.evaluation.evaluate import outputs_to_predictions, predict_batches
from flambeau.evaluation.validation import validate_predictions


class Recorder(nn.Module):
    """A linear picture model that notes how it was run."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.linear = nn.Linear(12, outputs)
        self.dropout = nn.Dropout(0.9)
        self.seen: list[tuple[torch.dtype, bool, str]] = []

    def forward(self, pixels: Tensor) -> Tensor:
        outputs: Tensor = self.dropout(self.linear(pixels.flatten(1)))
        self.seen.append(
            (outputs.dtype, torch.is_inference_mode_enabled(), torch.get_float32_matmul_precision())
        )
        return outputs


def pictures(rows: int) -> Tensor:
    return torch.randn(rows, 1, 3, 4, generator=torch.Generator().manual_seed(0))


def test_batches_give_probabilities_in_order_and_in_fp32() -> None:
    model = Recorder(3).train()
    pixels = pictures(10)
    before = torch.get_float32_matmul_precision()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        predictions = predict_batches(model, [(pixels[:4],), (pixels[4:].double(),)], "classification")
    expected = model.linear(pixels.flatten(1)).softmax(1).detach().numpy()
    np.testing.assert_allclose(predictions, expected, atol=1e-6)
    assert model.seen == [(torch.float32, True, "highest")] * 2
    assert torch.get_float32_matmul_precision() == before
    assert not model.training


def test_precision_is_restored_after_a_failure() -> None:
    torch.set_float32_matmul_precision("medium")
    try:
        with pytest.raises(ValueError, match="unknown task"):
            predict_batches(Recorder(2), [(pictures(2),)], "ranking")
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def test_flip_average_is_blind_to_mirroring() -> None:
    model = Recorder(2)
    pixels = pictures(5)
    plain = predict_batches(model, [(pixels,)], "multilabel", flip_average=True)
    mirrored = predict_batches(model, [(pixels.flip(-1),)], "multilabel", flip_average=True)
    np.testing.assert_allclose(plain, mirrored, atol=1e-6)
    assert np.abs(plain - predict_batches(model, [(pixels,)], "multilabel")).max() > 1e-3


def test_members_are_averaged_after_the_softmax() -> None:
    outputs = torch.tensor([[[4.0, 0.0], [0.0, 1.0]]])  # (batch, members, classes)
    predictions = outputs_to_predictions(outputs, "classification")
    torch.testing.assert_close(predictions, outputs.softmax(-1).mean(1))
    assert not torch.allclose(predictions, outputs.mean(1).softmax(-1))


def test_regression_keeps_digits_of_a_large_mean() -> None:
    numbers = outputs_to_predictions(torch.tensor([[0.25], [-0.5]]), "regression", mean=1.7e9, std=10)
    assert numbers.tolist() == [1.7e9 + 2.5, 1.7e9 - 5]
    members = outputs_to_predictions(torch.tensor([[[1.0], [3.0]]]), "regression", mean=1, std=2)
    assert members.tolist() == [5.0]


@pytest.mark.parametrize(
    ("outputs", "task", "words"),
    [
        (torch.zeros(3), "classification", "expected \\(batch, outputs\\)"),
        (torch.zeros(3, 2), "regression", "got 2 outputs"),
        (torch.zeros(3, 2), "ranking", "unknown task"),
    ],
)
def test_wrong_outputs_are_named(outputs: Tensor, task: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        outputs_to_predictions(outputs, task)


def test_no_batches_is_an_error() -> None:
    with pytest.raises(ValueError, match="no batches"):
        predict_batches(Recorder(2), [], "classification")


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_predictions_of_a_diverged_model_have_no_finite_score(task: str) -> None:
    targets = {"classification": np.array([0, 1]), "multilabel": np.eye(2), "regression": np.ones(2)}[task]
    predictions = np.full(2 if task == "regression" else (2, 2), np.nan)
    validation = validate_predictions(task, "roc_auc" if task != "regression" else "r2", targets, predictions)
    assert not np.isfinite(validation.loss)
