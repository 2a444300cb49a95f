"""A stand-in for the pipeline: it tells what it was asked, and plays a short run's records."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from flambeau.cli.main import run as run_command
from flambeau.records import RunFolder
from flambeau.schema import Finding, Schema

SCORES = {
    "task": "classification",
    "rows": {"train": 70, "valid": 15, "test": 15},
    "seconds": 12.25,
    "metric": "log_loss",
    "method": "test part",
    "test": {
        "accuracy": {"value": 0.9889, "low": 0.9741, "high": 1.0},
        "log_loss": {"value": 0.0452, "low": 0.02, "high": 0.07},
    },
    "baselines": {
        "majority": {"accuracy": 0.1, "log_loss": 23.1},
        "logistic regression": {"accuracy": 0.9667},
    },
    "verdict": "The best baseline is beaten.",
    "calibration": None,
}

RECORDS: list[dict[str, Any]] = [
    {"kind": "stage", "name": "read", "text": "1,797 pictures in 10 classes"},
    {"kind": "finding", "level": "warning", "code": "twins", "message": "4 duplicates", "items": [*"abcd"]},
    {"kind": "finding", "level": "info", "code": "balance", "message": "classes are balanced", "items": []},
    {"kind": "choice", "key": "training.epochs", "value": 2, "reason": "enough for a test"},
    {"kind": "choice", "key": "image.size", "value": (8, 8), "reason": "as they are"},
    {"kind": "note", "text": "this takes about 2 s"},
    {"kind": "step", "stage": "", "epoch": 1, "epochs": 2, "step": 5, "steps": 10, "loss": 2.0},
    {
        "kind": "epoch", "stage": "", "epoch": 1, "epochs": 2, "loss": 1.5, "valid_loss": 1.25, "score": 0.75,
        "metric": "accuracy", "seconds": 1.0, "samples_per_second": 1234.5, "memory_gb": 0.91, "best": True,
        "seconds_left": 1.0,
    },
    {
        "kind": "epoch", "stage": "", "epoch": 2, "epochs": 2, "loss": 0.5, "valid_loss": 1.5, "score": 0.7,
        "metric": "accuracy", "seconds": 1.0, "samples_per_second": 1234.5, "memory_gb": 0.91, "best": False,
        "seconds_left": 0.0,
    },
    {"kind": "scores", **SCORES},
]  # fmt: skip

MODULES = {
    "flambeau.pipeline": ("train", "resume"),
    "flambeau.using": ("check", "resolve", "evaluate", "verify"),
    "flambeau.insight.report": ("write_report",),
    "flambeau.deploy.predict": ("predict",),
}


@dataclass
class FakePipeline:
    """What the commands asked for, and what they get.

    Attributes:
        calls: (name, arguments) of each call.
        error: raised by every function, where set.
    """

    calls: list[tuple[str, dict[str, Any]]] = field(default_factory=list)
    error: BaseException | None = None

    def _asked(self, name: str, **arguments: Any) -> None:
        self.calls.append((name, arguments))
        if self.error is not None:
            raise self.error

    def train(self, source: str, recipe: Any, *, listener: Callable[..., None], **others: Any) -> RunFolder:
        run = RunFolder.create(others["out"], source)
        run.append({"kind": "note", "text": "began"})
        run.write_json("environment.json", {"command": others["command"]})
        self._asked("train", source=source, recipe=recipe, **others)
        return self._play(run, listener)

    def resume(self, run: RunFolder, *, listener: Callable[..., None], ranks: Any) -> RunFolder:
        self._asked("resume", run=run.path)
        return self._play(run, listener)

    def _play(self, run: RunFolder, listener: Callable[..., None]) -> RunFolder:
        for record in RECORDS:
            listener({**record, "time": 0.5})
        run.write_json("scores.json", SCORES)
        run.write_digests()
        return run

    def check(self, source: str, recipe: Any, listener: Callable[..., None]) -> Any:
        self._asked("check", source=source, recipe=recipe)
        level = "error" if source == "bad" else "warning"
        finding = Finding(level, "one-class", "there is something", ("a", "b", "c", "d", "e"))  # type: ignore[arg-type]  # both are levels
        listener({"kind": "finding", **finding.to_json(), "time": 0.1})
        return types.SimpleNamespace(
            schema=Schema("table", "regression", "price"), count=12, findings=(finding,)
        )

    def evaluate(self, run: RunFolder, source: str | None, listener: Callable[..., None]) -> dict[str, Any]:
        self._asked("evaluate", run=run.path, source=source)
        return SCORES

    def predict(
        self, run: Path, paths: list[str], batch: int, on_finding: Callable[..., None]
    ) -> Iterator[dict[str, Any]]:
        self._asked("predict", run=run, paths=paths, batch=batch)
        for path in paths:
            if path == "broken.png":
                yield {"input": path, "error": "the file ends too early"}
            else:
                yield {"input": path, "label": "cat", "probabilities": {"cat": 0.875, "dog": 0.125}}

    def verify(
        self, run: RunFolder, source: str | None, *, retrain: bool, listener: Callable[..., None]
    ) -> list[dict[str, Any]]:
        self._asked("verify", run=run.path, source=source, retrain=retrain)
        return [
            {"what": "files", "ok": True, "detail": "23 files as the run left them"},
            {"what": "data", "ok": source != "other", "detail": "compared by content"},
        ]

    def write_report(self, folder: Path) -> Path:
        self._asked("report", run=folder)
        (folder / "report.html").write_text("new")
        return folder / "report.html"

    def resolve(self, source: str, recipe: Any, listener: Callable[..., None]) -> Any:
        self._asked("resolve", source=source, recipe=recipe)
        listener({"kind": "stage", "name": "read", "text": "looking", "time": 0.1})
        return recipe


@pytest.fixture
def pipeline(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakePipeline:
    """The stand-in, in the place of the modules that import torch; the test runs in a folder of its own."""
    fake = FakePipeline()
    for name, functions in MODULES.items():
        module = types.ModuleType(name)
        for function in functions:
            setattr(module, function, getattr(fake, function))
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.chdir(tmp_path)
    return fake


@dataclass(frozen=True)
class Said:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Callable[..., Said]:
    """Run a command in this process, as if it was typed."""

    def call(*arguments: str) -> Said:
        monkeypatch.setattr(sys, "argv", ["flambeau", *arguments])
        code = run_command(list(arguments))
        captured = capsys.readouterr()
        return Said(code, captured.out, captured.err)

    return call
