"""Everything of a person's own at once: data, model, loss, optimizer and schedule, by file and from Python."""

from __future__ import annotations

import json
import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import flambeau as fb
from flambeau.using import evaluate, verify

pytestmark = pytest.mark.slow

PARTS = """
import numpy as np
import torch
from torch import nn

class Data:
    classes = ["dark", "light"]

    def __init__(self, count: int = 60, start: int = 0) -> None:
        self.count, self.start = count, start

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int):
        generator = np.random.default_rng(self.start + index)
        pixels = generator.integers(0, 156, (8, 8, 3)) + 100 * (index % 2)
        return pixels.astype(np.uint8), index % 2

def later():
    return Data(30, 1000)

class Net(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(channels)
        self.fc = nn.Linear(channels * 64, num_classes)

    def forward(self, x):
        return self.fc(self.norm(x).flatten(1))

def focal(outputs, targets):
    loss = nn.functional.cross_entropy(outputs, targets, reduction="none")
    return ((1 - torch.exp(-loss)) ** 2 * loss).mean()

class Signs(torch.optim.Optimizer):
    '''Steps of one length in the direction of the mean gradient (Bernstein et al. 2018, with momentum).'''

    def __init__(self, params, lr: float, pull: float = 0.9) -> None:
        super().__init__(params, {"lr": lr, "pull": pull})

    @torch.no_grad()
    def step(self, closure=None):
        for group in self.param_groups:
            for parameter in group["params"]:
                if parameter.grad is None:
                    continue
                state = self.state[parameter]
                if not state:
                    state["mean"] = torch.zeros_like(parameter)
                state["mean"].lerp_(parameter.grad, 1 - group["pull"])
                parameter.add_(state["mean"].sign(), alpha=-group["lr"])

def falling(done: float) -> float:
    return (1 - done) ** 0.5

def small(module):
    if isinstance(module, nn.Linear):
        nn.init.normal_(module.weight, std=0.001)
"""
QUICK: dict[str, Any] = {
    "epochs": 3, "folds": 0, "threads": 1, "baselines": False, "batch_size": 8, "lr": 0.01,
    "image": {"augment": {"mixup": 0.0}}, "training.checkpoint_seconds": 0.0,
}  # fmt: skip


class Killed(BaseException):
    """A process that ends without a word."""


@pytest.fixture
def parts(tmp_path: Path) -> Path:
    """A file of own parts; its content differs from test to test, so trust in one says nothing of another."""
    (tmp_path / "parts.py").write_text(f"{PARTS}\n# {tmp_path}\n")
    return tmp_path / "parts.py"


def all_of(parts: Path) -> dict[str, Any]:
    names = {
        "model": "Net",
        "loss": "focal",
        "optimizer": "Signs",
        "schedule": "falling",
        "model.init": "small",
    }
    return {**QUICK, **{key: f"{parts}:{name}" for key, name in names.items()}}


def weights(run: fb.Run) -> dict[str, torch.Tensor]:
    return run.module.state_dict()


def same(one: fb.Run, other: fb.Run) -> bool:
    first, second = weights(one), weights(other)
    return list(first) == list(second) and all(torch.equal(first[name], second[name]) for name in first)


def test_all_parts_by_file_train_resume_verify_and_answer(parts: Path, tmp_path: Path) -> None:
    options = {**all_of(parts), "training.optimizer.arguments": {"pull": 0.8}}
    run = fb.train(f"{parts}:Data", out=tmp_path / "run", **options)
    assert run.bundle.schema.classes == ("dark", "light")
    recipe = fb.load_recipe(run.folder.recipe)
    assert recipe.source == f"{parts}:Data"
    assert recipe.training.loss.name == f"{parts}:focal"
    assert list(run.folder.read_json("environment.json")["files"]) == [str(parts)]

    def kill(record: dict[str, Any]) -> None:
        if record["kind"] == "epoch" and record["epoch"] == 2:
            raise Killed

    with pytest.raises(Killed):
        fb.train(f"{parts}:Data", out=tmp_path / "broken", on_record=kill, **options)
    assert same(run, fb.resume(tmp_path / "broken"))
    checks = verify(run.folder, retrain=True)
    assert all(check["ok"] for check in checks), checks
    scores = evaluate(run.folder, f"{parts}:later")
    assert scores["rows"]["test"] == 30
    other = fb.train(f"{parts}:Data", out=tmp_path / "other", **{**options, "loss": "cross_entropy"})
    assert not same(run, other), "the loss of one's own has an effect"


def test_a_relative_path_holds_from_any_folder(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    options = {key: str(value).replace(f"{parts}:", "parts.py:") if "py:" in str(value) else value
               for key, value in all_of(parts).items()}  # fmt: skip
    run = fb.train("parts.py:Data", out=tmp_path / "run", **options)
    assert fb.load_recipe(run.folder.recipe).training.schedule.name == f"{parts}:falling"
    monkeypatch.chdir("/")
    assert all(check["ok"] for check in verify(run.folder))


def test_a_changed_file_stops_resuming_and_verifying(parts: Path, tmp_path: Path) -> None:
    def kill(record: dict[str, Any]) -> None:
        if record["kind"] == "epoch":
            raise Killed

    with pytest.raises(Killed):
        fb.train("digits", out=tmp_path / "run", on_record=kill, **{**QUICK, "loss": f"{parts}:focal"})
    parts.write_text(PARTS + "# another\n")
    with pytest.raises(fb.FlambeauError, match="a file that decides the result has changed") as caught:
        fb.resume(tmp_path / "run")
    assert str(parts) in str(caught.value)


def test_a_strangers_run_runs_no_code_without_consent(
    parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = fb.train(f"{parts}:Data", out=tmp_path / "run", **{**QUICK, "loss": f"{parts}:focal"})
    monkeypatch.setenv("FLAMBEAU_STATE", str(tmp_path / "stranger"))
    assert isinstance(fb.load(tmp_path / "run").module, nn.Module), (
        "a bundle needs only the model, which is no code"
    )
    checks = {check["what"]: check for check in verify(run.folder)}
    assert not checks["data"]["ok"]
    assert "so it is not run" in checks["data"]["detail"]
    with pytest.raises(fb.FlambeauError, match=r"this (test )?data is code in a file"):
        verify(run.folder, retrain=True)
    fb.train(f"{parts}:Data", out=tmp_path / "typed", **{**QUICK, "loss": f"{parts}:focal"})
    assert json.loads((tmp_path / "stranger" / "trusted_models.json").read_text())


@pytest.fixture
def imported(parts: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The same file as a person's script imports it."""
    monkeypatch.syspath_prepend(str(parts.parent))
    monkeypatch.delitem(sys.modules, "parts", raising=False)
    return import_module("parts")


def test_objects_from_python_are_the_same_as_names_of_files(
    parts: Path, imported: ModuleType, tmp_path: Path
) -> None:
    by_name = fb.train(f"{parts}:Data", out=tmp_path / "named", **all_of(parts))
    objects = {
        **QUICK, "model": imported.Net, "loss": imported.focal, "optimizer": imported.Signs,
        "schedule": imported.falling, "model.init": imported.small,
    }  # fmt: skip
    assert same(by_name, fb.train(imported.Data, out=tmp_path / "objects", **objects))
    notes: list[str] = []

    def listen(record: dict[str, Any]) -> None:
        notes.extend([record["text"]] if record["kind"] == "note" else [])

    kept = fb.train(imported.Data(), out=tmp_path / "kept", on_record=listen, **all_of(parts))
    assert same(by_name, kept)
    assert any("the data live only in this Python" in note for note in notes)
    assert Path(str(fb.load_recipe(kept.folder.recipe).source)).suffix == ".npz"


def test_arrays_and_names_of_torch(tmp_path: Path) -> None:
    inputs = np.random.default_rng(0).normal(size=(80, 3))
    run = fb.train(
        (inputs, inputs[:, 0] * 2.5), out=tmp_path / "run", loss=nn.functional.huber_loss,
        optimizer=torch.optim.RMSprop, **{key: QUICK[key] for key in ("epochs", "folds", "threads", "baselines")},
    )  # fmt: skip
    recipe = fb.load_recipe(run.folder.recipe)
    assert (recipe.training.loss.name, recipe.training.optimizer.name) == ("huber", "rmsprop")
    assert isinstance(run.predict({"x1": 1.0, "x2": 0.0, "x3": 0.0})[0]["value"], float)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"model": nn.Linear(2, 2)}, "model is an object"),
        ({"loss": lambda outputs, targets: outputs.sum()}, "not a lambda"),
        ({"loss": nn.functional.gaussian_nll_loss}, "is of an installed library"),
        ({"optimizer": torch.optim.SGD([torch.zeros(1)], lr=1.0)}, "optimizer is an object"),
    ],
)
def test_objects_that_cannot_be_found_again(given: dict[str, Any], words: str, tmp_path: Path) -> None:
    with pytest.raises(fb.FlambeauError, match=words):
        fb.train("digits", out=tmp_path / "run", **given)
    with pytest.raises(fb.FlambeauError, match="no data that can be trained on"):
        fb.train(3.5, out=tmp_path / "run")


def test_what_was_typed_in_a_notebook_is_told_how_to_be_written(tmp_path: Path) -> None:
    spaces: dict[str, Any] = {"__name__": "__console__"}
    exec("def my_loss(outputs, targets): return outputs.mean()", spaces)
    with pytest.raises(fb.FlambeauError, match="typed in a console or a notebook") as caught:
        fb.train("digits", out=tmp_path / "run", loss=spaces["my_loss"])
    assert "%%writefile" in str(caught.value)
