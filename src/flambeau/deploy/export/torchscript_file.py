"""TorchScript (.pt), which torch keeps for old programs: the model is traced, the preparation of pictures scripted."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flambeau.deploy.export.graph import RawToAnswer
from flambeau.deploy.export.inputs import Raw, RawInput
from flambeau.deploy.export.prepare_mixed import TableAndPictures
from flambeau.deploy.export.pt2_file import METADATA

LEGACY = "TorchScript is deprecated in torch and gets no more development: prefer --to pt2 or --to onnx"


class ScriptedPictures(nn.Module):
    """Scripted preparation before a traced answer: the sizes of pictures stay free, which tracing would fix."""

    def __init__(self, prepare: nn.Module, answer: nn.Module) -> None:
        super().__init__()
        self.prepare = prepare
        self.answer = answer

    def forward(self, pixels: Tensor) -> Tensor:
        return self.answer(self.prepare(pixels))


def write_torchscript(
    graph: RawToAnswer,
    inputs: Sequence[RawInput],
    example: tuple[Tensor, ...],
    path: Path,
    metadata: dict[str, Any],
) -> None:
    """Write the module with its metadata as the extra file `flambeau.json`."""
    with torch.no_grad(), _known_warnings():
        if isinstance(graph.prepare, TableAndPictures):
            graph.prepare.pictures = nn.ModuleList(torch.jit.script(one) for one in graph.prepare.pictures)
            module = torch.jit.trace(graph, example, check_trace=False)
        elif inputs[0].kind == "pictures":
            answer = torch.jit.trace(graph.answer, (graph.prepare(*example),), check_trace=False)
            module = torch.jit.script(ScriptedPictures(torch.jit.script(graph.prepare), answer))
        else:
            module = torch.jit.trace(graph, example, check_trace=False)
        torch.jit.save(module, str(path), _extra_files={METADATA: json.dumps(metadata, ensure_ascii=False)})


def open_torchscript(path: Path, inputs: Sequence[RawInput]) -> Callable[[Raw], np.ndarray]:
    """A function from raw inputs to predictions."""
    with _known_warnings():
        module = torch.jit.load(str(path))

    def answer(raw: Raw) -> np.ndarray:
        with torch.no_grad():
            predictions: Tensor = module(*(one.tensor(raw[one.name]) for one in inputs))
        return predictions.numpy()

    return answer


@contextmanager
def _known_warnings() -> Iterator[None]:
    """Without what torch.jit says of its own future, which `LEGACY` tells, and of values that it takes for constants.

    Whether such a value was one is seen by running the file on batches of other sizes.
    """
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=r".*torch\.jit.*", category=FutureWarning)
        warnings.filterwarnings("ignore", category=torch.jit.TracerWarning)
        yield
