"""`fit` on a person's own parts: every optimizer and schedule, bad input told, and exact after a kill."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, TensorDataset

from flambeau.training.fit import fit
from flambeau.training.names import OPTIMIZERS, SCHEDULES
from flambeau.training.own_batches import OwnBatches

CPU = torch.device("cpu")


def make_data(rows: int = 48) -> TensorDataset:
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn(rows, 3, generator=generator)
    return TensorDataset(inputs, inputs[:, 0] * 2 - inputs[:, 1])


def make_module() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Linear(8, 1))


def make_batches() -> list[tuple[Tensor, Tensor]]:
    return list(DataLoader(make_data(), batch_size=16))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_optimizer_by_name_makes_the_loss_smaller(name: str) -> None:
    rate = 0.002 if name == "rmsprop" else 0.02  # its momentum makes steps ten times as long
    fitted = fit(make_module(), make_batches(), loss=F.mse_loss, epochs=8, optimizer=name, lr=rate)
    assert fitted.epochs[-1]["loss"] < 0.9 * fitted.epochs[0]["loss"]


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_by_name(name: str) -> None:
    options: dict[str, Any] = {"step_size": 1, "milestones": [1, 2], "gamma": 0.5, "plateau_patience": 0}
    rates = [
        record["lr"]
        for record in fit(
            make_module(), make_batches(), loss=F.mse_loss, epochs=3, schedule=name, warmup=0.0, **options
        ).epochs
    ]
    assert all(0 < rate <= 1e-3 for rate in rates)
    if name in ("step", "multi_step"):
        assert rates == pytest.approx([1e-3, 5e-4, 2.5e-4])


def test_own_optimizer_objects_and_classes_keep_their_rates() -> None:
    module = make_module()
    own = torch.optim.Adamax(
        [{"params": module[0].parameters(), "lr": 0.5}, {"params": module[2].parameters(), "lr": 0.1}]
    )
    fit(module, make_batches(), loss=F.mse_loss, epochs=1, optimizer=own, schedule=lambda done: 0.5)
    assert [group["lr"] for group in own.param_groups] == [0.25, 0.05]
    fitted = fit(
        make_module(), make_batches(), loss=F.mse_loss, epochs=4, optimizer=torch.optim.Adamax, lr=0.1
    )
    assert fitted.epochs[-1]["loss"] < fitted.epochs[0]["loss"]


def test_the_module_trains_to_a_good_fit_and_the_best_epoch_is_kept() -> None:
    batches = make_batches()
    fitted = fit(nn.Linear(3, 1), batches, batches, loss=nn.MSELoss(), epochs=40, lr=0.1, weight_decay=0.0)
    assert fitted.epochs[-1]["valid_loss"] < 1e-2
    assert len(fitted.epochs) == 40
    assert not fitted.module.training
    assert math.isfinite(fitted.epochs[0]["loss"])
    assert fitted.best_epoch == 1 + min(range(40), key=lambda epoch: fitted.epochs[epoch]["valid_loss"])


def test_a_column_of_outputs_is_compared_with_its_targets_and_not_with_all() -> None:
    inputs, targets = make_data().tensors
    fitted = fit(nn.Linear(3, 1), [(inputs, targets)], loss=F.mse_loss, epochs=1, lr=1e-9)
    expected = F.mse_loss(fitted.module(inputs).squeeze(1), targets).item()
    assert fitted.epochs[0]["loss"] == pytest.approx(expected, abs=1e-5)


class Noisy(Dataset):
    """Samples with noise from torch's, numpy's or Python's own generator."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.data = make_data(24)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        import random

        import numpy as np

        inputs, target = self.data[index]
        draws = {"torch": lambda: torch.rand(()).item(), "numpy": np.random.rand, "python": random.random}
        return inputs + draws[self.source](), target


def epochs_of(batches: OwnBatches, epoch: int, start: int = 0) -> list[list[float]]:
    return [batch.inputs[0].flatten().tolist() for batch in batches.epoch(epoch, start)]


@pytest.mark.parametrize("source", ["torch", "numpy", "python"])
def test_what_a_data_set_draws_is_a_function_of_seed_epoch_and_step(source: str) -> None:
    own = OwnBatches(DataLoader(Noisy(source), batch_size=5, shuffle=True), CPU, seed=1)
    whole = epochs_of(own, 2)
    torch.rand(7)  # as dropout does between the batches
    assert epochs_of(own, 2, start=2) == whole[2:]
    assert epochs_of(own, 3) != whole
    other = OwnBatches(DataLoader(Noisy(source), batch_size=5, shuffle=True), CPU, seed=2)
    assert epochs_of(other, 2) != whole


@pytest.mark.slow
@pytest.mark.parametrize("source", ["torch", "numpy", "python"])
def test_what_workers_draw_is_a_function_of_seed_epoch_and_step(source: str) -> None:
    own = OwnBatches(DataLoader(Noisy(source), batch_size=5, shuffle=True, num_workers=2), CPU, seed=1)
    whole = epochs_of(own, 2)
    torch.rand(7)
    assert epochs_of(own, 2, start=2) == whole[2:]
    assert epochs_of(own, 1) != whole


def test_a_person_s_generator_keeps_its_seed_and_its_state() -> None:
    def order(seed: int, fit_seed: int) -> list[list[float]]:
        generator = torch.Generator().manual_seed(seed)
        loader = DataLoader(make_data(), batch_size=8, shuffle=True, generator=generator)
        own = OwnBatches(loader, CPU, seed=fit_seed)
        first = epochs_of(own, 1)
        assert epochs_of(own, 1) == first
        assert epochs_of(own, 0) != first
        assert generator.initial_seed() == seed
        return first

    assert order(5, 0) == order(5, 1)
    assert order(5, 0) != order(6, 0)


def test_samplers_are_told_the_epoch() -> None:
    sampler = torch.utils.data.DistributedSampler(make_data(), num_replicas=1, rank=0, shuffle=True)
    own = OwnBatches(DataLoader(make_data(), batch_size=8, sampler=sampler), CPU)
    assert epochs_of(own, 0) != epochs_of(own, 1)
    assert epochs_of(own, 0) == epochs_of(own, 0)


INPUTS, TARGETS = torch.randn(4, 3), torch.zeros(4)
BAD_BATCHES = {
    "a dict with the keys 'image', 'label', expected a pair": {"image": INPUTS, "label": TARGETS},
    "a tensor of shape .4, 3., expected a pair": INPUTS,
    "a tuple of 3, expected a pair": (INPUTS, TARGETS, TARGETS),
    "inputs that are a dict with the keys 'ids'": ({"ids": INPUTS}, TARGETS),
    "targets that are a ndarray": (INPUTS, TARGETS.numpy()),
    "targets that are a tensor of shape ..,": (INPUTS, torch.tensor(1.0)),
    "4 samples in the inputs and 3 targets": (INPUTS, TARGETS[:3]),
    "0 samples in the inputs and 0 targets": (INPUTS[:0], TARGETS[:0]),
}


@pytest.mark.parametrize("message", BAD_BATCHES)
def test_batches_of_another_shape_are_told(message: str) -> None:
    with pytest.raises(ValueError, match=f"train_batches, batch 1: got {message}"):
        fit(make_module(), [BAD_BATCHES[message]], loss=F.mse_loss)


class Shrinking:
    """One batch fewer each time it is walked."""

    left = 5

    def __len__(self) -> int:
        return 3

    def __iter__(self) -> Any:
        self.left -= 1
        return iter(make_batches()[: self.left])


def test_iterables_that_do_not_fit_are_told() -> None:
    with pytest.raises(ValueError, match="walked only once"):
        fit(make_module(), iter(make_batches()), loss=F.mse_loss)
    with pytest.raises(ValueError, match="train_batches is empty"):
        fit(make_module(), [], loss=F.mse_loss)
    with pytest.raises(ValueError, match="valid_batches is empty"):
        fit(make_module(), make_batches(), [], loss=F.mse_loss)
    with pytest.raises(ValueError, match="epoch 2 gave 2 batches, expected 3"):
        fit(make_module(), Shrinking(), loss=F.mse_loss)


def torch_scheduler() -> torch.optim.lr_scheduler.LRScheduler:
    return torch.optim.lr_scheduler.StepLR(torch.optim.SGD(make_module().parameters()), 3)


BAD_OPTIONS: dict[str, dict[str, Any]] = {
    "optimizer: got 'admw'.*did you mean 'adamw'": {"optimizer": "admw"},
    "schedule: got 'cosin'.*did you mean 'cosine'": {"schedule": "cosin"},
    "schedule: got torch's StepLR.*expected schedule='step'": {"schedule": torch_scheduler()},
    "precision: got 'half', expected one of fp32": {"precision": "half"},
    "lr: got 0": {"lr": 0.0},
    "step_size: got 0, expected greater than or equal to 1": {"schedule": "step", "step_size": 0},
    "gamma: got 1.5": {"gamma": 1.5},
    "warmup: got 1.0": {"warmup": 1.0},
    "momentum: got -0.1": {"momentum": -0.1},
    "weight_decay: got -1": {"weight_decay": -1.0},
    "micro_batch: got 1.5": {"micro_batch": 1.5},
    "plateau_patience: got -1": {"plateau_patience": -1},
    "patience: got -1, expected": {"patience": -1},
    "patience: got 3 without valid_batches": {"patience": 3},
    "milestones: got 10, expected epochs before the last of 10": {
        "schedule": "multi_step",
        "milestones": [3, 10],
    },
    "device: got 'cudaa', expected cpu": {"device": "cudaa"},
    "device: got 'cuda:99', expected cpu": {"device": "cuda:99"},
    "lr: got nan": {"lr": math.nan},
    "epochs: got 0": {"epochs": 0},
    "ema: got 1.0": {"ema": 1.0},
    "clip_norm: got -1": {"clip_norm": -1.0},
    "micro_batch: got -2": {"micro_batch": -2},
    "optimizer: got one with 4 of its 4 parameters from elsewhere": {
        "optimizer": torch.optim.SGD(make_module().parameters(), lr=0.1)
    },
    "asks for its gradients again": {"optimizer": "lbfgs", "precision": "fp16"},
    r"loss: got shape \(8,\), expected one number": {"loss": nn.MSELoss(reduction="none")},
    "loss: got float, expected one number": {"loss": lambda outputs, targets: 1.0},
}


@pytest.mark.parametrize("message", BAD_OPTIONS)
def test_options_that_make_no_sense_are_told(message: str) -> None:
    options = {"loss": F.mse_loss, **BAD_OPTIONS[message]}
    with pytest.raises(ValueError, match=message):
        fit(make_module(), make_batches(), **options)


def test_a_frozen_module_is_told() -> None:
    with pytest.raises(ValueError, match="no trainable parameter"):
        fit(make_module().requires_grad_(False), make_batches(), loss=F.mse_loss)


class KilledError(Exception):
    """A kill."""


@pytest.mark.parametrize("options", [{}, {"ema": 0.9, "micro_batch": 5, "schedule": "plateau"}])
def test_the_same_call_after_a_kill_ends_in_equal_weights(tmp_path: Path, options: dict[str, Any]) -> None:
    def run(folder: Path, dies_at: int = 0) -> nn.Module:
        calls = [0]

        def loss(outputs: Tensor, targets: Tensor) -> Tensor:
            calls[0] += outputs.requires_grad
            if calls[0] == dies_at:
                raise KilledError
            return F.mse_loss(outputs, targets)

        loader = DataLoader(Noisy("torch"), batch_size=8, shuffle=True)
        return fit(
            make_module(), loader, loader, loss=loss, epochs=4, checkpoints=folder, patience=9, **options
        ).module

    unbroken = run(tmp_path / "whole").state_dict()
    with pytest.raises(KilledError):
        run(tmp_path / "broken", dies_at=9)
    again = run(tmp_path / "broken").state_dict()
    assert all(torch.equal(unbroken[name], again[name]) for name in unbroken)
