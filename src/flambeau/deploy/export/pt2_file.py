"""torch's exported program (.pt2): written by `torch.export`, run by torch alone."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flambeau.deploy.export.graph import RawToAnswer
from flambeau.deploy.export.inputs import Raw, RawInput

METADATA = "flambeau.json"
EXAMPLE_BATCH, EXAMPLE_SIZE, EXAMPLE_WIDTH = 3, (29, 37), 41


def example_inputs(inputs: Sequence[RawInput], channels: int) -> tuple[Tensor, ...]:
    """Small inputs to trace with. No dimension is 0 or 1, which torch.export would take for constants."""
    if inputs[0].kind == "pictures" and len(inputs) == 1:
        shape = (EXAMPLE_BATCH, *EXAMPLE_SIZE, channels)
        return (torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(0)).to(inputs[0].dtype),)
    if inputs[0].shape:
        return tuple(torch.ones((EXAMPLE_BATCH, *one.shape), dtype=one.dtype) for one in inputs)
    words = torch.arange(EXAMPLE_BATCH * EXAMPLE_WIDTH).reshape(EXAMPLE_BATCH, EXAMPLE_WIDTH) % 2 + 1
    rows = torch.arange(EXAMPLE_BATCH)
    # a tensor each: torch.export takes two inputs that share one for the same input
    return tuple(
        _example_pictures(one, place)
        if one.kind == "pictures"
        else (rows if one.text is None else words).to(one.dtype, copy=True)
        for place, one in enumerate(inputs)
    )


def _example_pictures(one: RawInput, place: int) -> Tensor:
    """Pictures of a column, of a size that no other input has."""
    height, width = EXAMPLE_SIZE
    shape = (EXAMPLE_BATCH, height + 2 * place, width + 2 * place, one.channels)
    return torch.randint(0, 256, shape, generator=torch.Generator().manual_seed(place)).to(one.dtype)


def exported_program(
    graph: RawToAnswer, inputs: Sequence[RawInput], example: tuple[Tensor, ...]
) -> torch.export.ExportedProgram:
    """The graph as torch.export takes it down, free in the batch, the sizes of pictures and the lengths of texts."""
    free = torch.export.Dim.DYNAMIC
    shapes = (tuple(dict.fromkeys(range(len(one.free_sizes)), free) for one in inputs),)
    with torch.no_grad(), warnings.catch_warnings():
        # torch's recurrent layers keep a second list of their own weights
        warnings.filterwarnings("ignore", message=r"The tensor attributes? .*_flat_weights")
        # and are taken apart by a function of torch's own that will go
        warnings.filterwarnings("ignore", message="_check_is_size", category=FutureWarning)
        program = torch.export.export(graph, example, dynamic_shapes=shapes, strict=False)
    for module in program.graph_module.modules():
        if isinstance(module, torch.fx.GraphModule):
            for node in module.graph.nodes:
                # lines of the source, with the folders of this machine
                node.meta.pop("stack_trace", None)
    return program


def write_pt2(
    graph: RawToAnswer,
    inputs: Sequence[RawInput],
    example: tuple[Tensor, ...],
    path: Path,
    metadata: dict[str, Any],
) -> None:
    """Write the exported program with its metadata as the extra file `flambeau.json`."""
    program = exported_program(graph, inputs, example)
    # without the example, which is of no use to anybody
    program._example_inputs = None
    with path.open("wb") as stream:
        torch.export.save(program, stream, extra_files={METADATA: json.dumps(metadata, ensure_ascii=False)})


def open_pt2(path: Path, inputs: Sequence[RawInput]) -> Callable[[Raw], np.ndarray]:
    """A function from raw inputs to predictions."""
    with path.open("rb") as stream:
        module = torch.export.load(stream).module()

    def answer(raw: Raw) -> np.ndarray:
        with torch.no_grad():
            predictions: Tensor = module(*(one.tensor(raw[one.name]) for one in inputs))
        return predictions.numpy()

    return answer
