"""Whole runs with optimizers, schedules, losses and initialisations by name and of a person's own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file

from flambeau import api
from flambeau.errors import FlambeauError, ModelError

QUICK: dict[str, Any] = {
    "data.target": "y",
    "task": "regression",
    "split.folds": 0,
    "training.bags": 1,
    "training.epochs": 3,
    "training.batch_size": 32,
    "model.name": "mlp",
    "model.width": 8,
    "evaluation.baselines": False,
    "evaluation.resamples": 100,
}

OWN = """
import torch
from torch import nn


class Signs(torch.optim.Optimizer):
    def __init__(self, groups, lr, scale=1.0):
        super().__init__(groups, {"lr": lr, "scale": scale})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                p.add_(p.grad.sign(), alpha=-group["lr"] * group["scale"])


def triangle(done):
    return 1 - abs(2 * done - 1)


def log_cosh(outputs, targets):
    assert outputs.shape == targets.shape
    return torch.log(torch.cosh(outputs - targets)).mean()


def small(module):
    if isinstance(module, nn.Linear):
        module.weight.normal_(std=0.1)


def each(outputs, targets):
    return (outputs - targets) ** 2


def broken(outputs, targets):
    return outputs.sum() / 0 * 0
"""


@pytest.fixture
def table(tmp_path: Path) -> Path:
    generator = np.random.default_rng(0)
    x = generator.normal(size=(200, 3))
    y = 2 * x[:, 0] - x[:, 1] + 0.1 * generator.normal(size=200)
    lines = [",".join(f"{value:.4f}" for value in (*row, target)) for row, target in zip(x, y, strict=True)]
    path = tmp_path / "table.csv"
    path.write_text("\n".join(["a,b,c,y", *lines]), encoding="utf-8")
    (tmp_path / "mine.py").write_text(OWN, encoding="utf-8")
    return path


def train(table: Path, name: str, **options: Any) -> tuple[Path, list[dict[str, Any]]]:
    records: list[dict[str, Any]] = []
    api.train(table, out=table.parent / name, on_record=records.append, **{**QUICK, **options})
    return table.parent / name, records


def weights(run: Path) -> dict[str, np.ndarray]:
    (file,) = (run / "model").rglob("weights*.safetensors")
    return load_file(file)


OWN_PARTS = {
    "training.optimizer.name": "Signs",
    "training.schedule.name": "triangle",
    "training.loss.name": "log_cosh",
    "model.init": "small",
}


def test_parts_of_a_person_s_own_train_and_repeat(table: Path) -> None:
    own = {key: f"{table.parent}/mine.py:{part}" for key, part in OWN_PARTS.items()}
    options = {**own, "training.optimizer.arguments": {"scale": 0.5}, "training.optimizer.lr": 0.02}
    first, records = train(table, "first", **options)
    epochs = [record for record in records if record["kind"] == "epoch"]
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    second, _ = train(table, "second", **options)
    plain, _ = train(table, "plain")
    for key, value in weights(first).items():
        np.testing.assert_array_equal(value, weights(second)[key])
    assert any(not np.array_equal(value, weights(plain)[key]) for key, value in weights(first).items())


@pytest.mark.parametrize(
    ("part", "words"),
    [
        ({"training.loss.name": "each"}, "expected one number: their mean"),
        ({"training.loss.name": "broken"}, "gave nan"),
        ({"training.loss.name": "log_cos"}, "log_cosh"),
        ({"training.optimizer.name": "Signs", "training.optimizer.arguments": {"skale": 2}}, "skale"),
        ({"training.optimizer.name": "triangle"}, "triangle"),
        ({"model.init": "triangle"}, "the initialisation triangle fails"),
    ],
)
def test_own_parts_that_do_not_fit_are_refused_before_the_first_step(
    table: Path, part: dict[str, Any], words: str
) -> None:
    own = {
        key: f"{table.parent}/mine.py:{value}" if isinstance(value, str) else value
        for key, value in part.items()
    }
    with pytest.raises(FlambeauError) as caught:
        train(table, "refused", **own)
    assert words in str(caught.value)
    assert not (table.parent / "refused").exists()


@pytest.mark.parametrize(
    "options",
    [
        {"training.optimizer.name": "muon", "training.schedule.name": "step"},
        {"training.optimizer.name": "lbfgs", "training.loss.name": "huber"},
        {"training.optimizer.name": "nadam", "training.schedule.name": "multi_step"},
        {"training.optimizer.name": "rmsprop", "training.schedule.name": "linear"},
        {"training.optimizer.name": "adagrad", "training.loss.name": "quantile"},
        {"training.schedule.name": "plateau", "training.schedule.patience": 0},
        {"model.init": "orthogonal", "model.normalisation": "batch", "training.batch_norm_momentum": 1.0},
    ],
    ids=lambda options: "-".join(str(value) for value in options.values()),
)
def test_named_parts_train_and_the_log_lists_the_groups_once(table: Path, options: dict[str, Any]) -> None:
    _, records = train(table, "named", **options)
    epochs = [record for record in records if record["kind"] == "epoch"]
    assert epochs[-1]["loss"] < epochs[0]["loss"]
    (groups,) = [record for record in records if record["kind"] == "groups"]
    assert all("rate" in line and (".weight" in line or ".bias" in line) for line in groups["lines"])


def test_a_rate_of_ten_is_told_and_trained_with(table: Path) -> None:
    _, records = train(
        table, "ten", **{"training.optimizer.lr": 10.0, "training.clip_norm": 0.1, "training.epochs": 1}
    )
    (finding,) = [record for record in records if record.get("code") == "learning-rate"]
    assert "10 is large for adamw" in finding["message"]


def test_initialisation_and_statistics_reach_the_model(table: Path) -> None:
    options = {"model.init": "trunc_normal", "training.optimizer.lr": 1e-9, "training.epochs": 1}
    run, _ = train(table, "begun", **options)
    found = [value for key, value in weights(run).items() if key.endswith("0.weight") and value.ndim == 2]
    assert found and all(0.01 < value.std() < 0.03 for value in found)


def test_model_errors_are_of_the_model(table: Path) -> None:
    with pytest.raises(ModelError, match="does not fit this model"):
        train(table, "each", **{"training.loss.name": f"{table.parent}/mine.py:each"})
