"""Precisions: what is computed in which numbers, and how near fp16 and bf16 come to fp32."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from flambeau.data.batches import Batches, gather_tensors
from flambeau.training.loop import EpochRecord, Technique, train
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_adamw, parameter_groups
from flambeau.training.precision import PRECISIONS, autocast_to, lay_out, make_scaler

CPU = torch.device("cpu")


def trained(precision: str, scale: float | None = None) -> tuple[nn.Module, list[float], float]:
    """The model, the loss of each epoch, and the scale at the end."""
    torch.manual_seed(0)
    inputs = torch.randn(64, 8)
    targets = (inputs[:, 0] + inputs[:, 1] > 0).long()
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 2))
    batches = Batches(gather_tensors(inputs), targets, torch.arange(64), 16, seed=0)
    groups = parameter_groups(model, lr=0.02, weight_decay=0.01)
    optimizer = make_adamw(groups, beta1=0.9, beta2=0.999, device=CPU)
    scaler = make_scaler(precision, CPU)
    if scaler is not None and scale is not None:
        scaler = torch.amp.GradScaler("cpu", init_scale=scale)
    technique = Technique(6, lambda done: 1.0, precision=precision)
    records = train(model, batches, optimizer, classification_loss, technique, scaler=scaler)
    losses = [record.loss for record in records if isinstance(record, EpochRecord)]
    return model, losses, 0.0 if scaler is None else scaler.get_scale()


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_half_precision_trains_as_fp32_does(precision: str) -> None:
    model, losses, _ = trained(precision)
    _, exact, _ = trained("fp32")
    assert losses == pytest.approx(exact, rel=0.05)
    assert losses != exact
    assert all(parameter.dtype == torch.float32 for parameter in model.parameters())


def test_a_scale_that_is_too_large_comes_down_while_the_training_goes_on() -> None:
    _, losses, scale = trained("fp16", scale=2.0**24)
    assert 1.0 <= scale < 2.0**24
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_products_are_computed_in_the_precision_that_is_named(precision: str) -> None:
    layer = nn.Linear(4, 4)
    seen: list[Tensor] = []
    layer.register_forward_hook(lambda module, inputs, output: seen.append(output))
    with autocast_to(precision, CPU):
        layer(torch.randn(2, 4))
    assert seen[0].dtype == PRECISIONS[precision]


def test_only_fp16_has_a_scaler() -> None:
    assert make_scaler("fp32", CPU) is None
    assert make_scaler("bf16", CPU) is None
    scaler = make_scaler("fp16", CPU)
    assert scaler is not None
    scaler.scale(torch.ones(()))
    other = make_scaler("fp16", CPU)
    assert other is not None
    state = {**scaler.state_dict(), "scale": 8.0, "_growth_tracker": 3}
    other.load_state_dict(state)
    assert {key: other.state_dict()[key] for key in state} == state


def test_unknown_names_are_told() -> None:
    with pytest.raises(ValueError, match="got 'fp8', expected one of fp32, bf16, fp16"):
        autocast_to("fp8", CPU)
    with pytest.raises(ValueError, match="got 'nhwc', expected one of contiguous, channels_last"):
        lay_out(nn.Linear(2, 2), "nhwc")


def test_a_layout_changes_strides_and_no_value() -> None:
    filters = nn.Conv2d(3, 4, 3)
    before = copy.deepcopy(filters.weight)
    lay_out(filters, "channels_last")
    assert filters.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(filters.weight, before)
