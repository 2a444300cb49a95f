"""A net with few inputs of plain numbers as one file: written, opened and compared in every format alike."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper
from torch import Tensor, nn

from flambeau import __version__
from flambeau.deploy.bundle import Bundle, weights_digest
from flambeau.deploy.export.agreement import TOLERANCE
from flambeau.deploy.export.formats import SUFFIXES, Request, exporting
from flambeau.errors import ModelError, UsageError

METADATA = "flambeau"
Opened = Callable[[Tensor], np.ndarray]


@dataclass(frozen=True)
class PlainFile:
    """What goes into the file.

    Args:
        module: one tensor → one or several, in evaluation mode on the CPU.
        example: an input, none of whose free sizes is 0 or 1, which torch.export would take for constants.
        taken: the input's name.
        sizes: the names of its sizes that differ from call to call.
        given: the outputs' names.
        compared: which of them is compared.
        metadata: that the file carries.
    """

    module: nn.Module
    example: Tensor
    taken: str
    sizes: tuple[str, ...]
    given: tuple[str, ...]
    compared: int
    metadata: dict[str, Any]


def describe_plain(bundle: Bundle, run_name: str, to: str) -> dict[str, Any]:
    """What every file carries about itself."""
    return {
        "flambeau": __version__,
        "format": to,
        "precision": "fp32",
        "run": run_name,
        "weights": weights_digest(bundle.module),
        "model": bundle.spec.name,
        "task": bundle.schema.task,
    }


def write_plain(
    file: PlainFile, request: Request, path: Path, trials: Iterable[Tensor], origin: str
) -> dict[str, Any]:
    """Write the file and compare it with the module.

    Args:
        file: what is written.
        request: the format.
        path: where to.
        trials: inputs of several sizes.
        origin: what they are, in words.

    Returns:
        The keys of `export_run`'s report about the comparison, and "precision".

    Raises:
        ModelError: it cannot be exported, or the file does not agree.
    """
    exporting(request, lambda: WRITERS[request.to](file, path))
    error, rows = _largest_difference(file, OPENERS[request.to](file, path), trials)
    if error > TOLERANCE:
        raise ModelError(
            f"the {request.to} file does not agree with the trained model, so it is not kept",
            got=f"max|a-b| / max|a| = {error:.1e} on {rows} of {origin}",
            expected=f"at most {TOLERANCE:.0e}",
            hint="other formats may agree: " + ", ".join(n for n in SUFFIXES if n != request.to),
        )
    return {
        "precision": "fp32",
        "rows": rows,
        "origin": origin,
        "agreement": error,
        "compared_with": "the trained model",
        "tolerance": TOLERANCE,
    }


def refuse_smaller(request: Request, why: str) -> None:
    """Raise UsageError where smaller numbers are asked for, with a sentence why there are none."""
    if request.quantize is not None:
        raise UsageError(
            why, got=f"--quantize {request.quantize}", command=f"flambeau export --to {request.to}"
        )


def _program(file: PlainFile) -> torch.export.ExportedProgram:
    shapes = (dict.fromkeys(range(len(file.sizes)), torch.export.Dim.DYNAMIC),)
    with torch.no_grad(), warnings.catch_warnings():
        _quiet()
        program = torch.export.export(file.module, (file.example,), dynamic_shapes=shapes, strict=False)
    for inner in program.graph_module.modules():
        if isinstance(inner, torch.fx.GraphModule):
            for node in inner.graph.nodes:
                # lines of the source, with the folders of this machine
                node.meta.pop("stack_trace", None)
    return program


def _quiet() -> None:
    """Leave out what torch's own decomposition of recurrent layers warns of."""
    warnings.filterwarnings("ignore", message=r"The tensor attributes? .*_flat_weights")
    warnings.filterwarnings("ignore", message="_check_is_size", category=FutureWarning)


def _write_onnx(file: PlainFile, path: Path) -> None:
    program = _program(file)
    with warnings.catch_warnings():
        _quiet()
        converted = torch.onnx.export(
            program,
            (),
            dynamo=True,
            verbose=False,
            input_names=[file.taken],
            output_names=list(file.given),
        )
    assert converted is not None
    model = converted.model_proto
    _name_sizes(model.graph, file.sizes)
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    model.producer_name, model.producer_version = "flambeau", file.metadata["flambeau"]
    told = {METADATA: json.dumps(file.metadata, ensure_ascii=False), "task": file.metadata["task"]}
    helper.set_model_props(model, told)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _name_sizes(graph: onnx.GraphProto, sizes: Sequence[str]) -> None:
    """Give the free sizes of the input their names, wherever they stand."""
    made = [one.dim_param for one in graph.input[0].type.tensor_type.shape.dim]
    names = dict(zip(made, sizes, strict=False))
    for value in (*graph.input, *graph.output):
        for size in value.type.tensor_type.shape.dim:
            if size.dim_param in names:
                size.dim_param = names[size.dim_param]
    del graph.value_info[:]


def _write_pt2(file: PlainFile, path: Path) -> None:
    program = _program(file)
    # without the example, which is of no use to anybody
    program._example_inputs = None
    told = {f"{METADATA}.json": json.dumps(file.metadata, ensure_ascii=False)}
    with path.open("wb") as stream:
        torch.export.save(program, stream, extra_files=told)


def _write_torchscript(file: PlainFile, path: Path) -> None:
    told = {f"{METADATA}.json": json.dumps(file.metadata, ensure_ascii=False)}
    with warnings.catch_warnings(), torch.no_grad():
        # torch tells that TorchScript is old, as `flambeau export` does
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(file.module, (file.example,), check_trace=False)
        torch.jit.save(traced, str(path), _extra_files=told)


def _open_onnx(file: PlainFile, path: Path) -> Opened:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    wanted = [file.given[file.compared]]
    return lambda given: np.asarray(session.run(wanted, {file.taken: given.numpy()})[0])


def _open_pt2(file: PlainFile, path: Path) -> Opened:
    with path.open("rb") as stream:
        module = torch.export.load(stream).module()
    return lambda given: _compared(file, module(given))


def _open_torchscript(file: PlainFile, path: Path) -> Opened:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(str(path))
    return lambda given: _compared(file, module(given))


def _compared(file: PlainFile, outputs: Tensor | tuple[Tensor, ...]) -> np.ndarray:
    one = outputs if isinstance(outputs, Tensor) else outputs[file.compared]
    return one.detach().numpy()


WRITERS = {"onnx": _write_onnx, "pt2": _write_pt2, "torchscript": _write_torchscript}
OPENERS = {"onnx": _open_onnx, "pt2": _open_pt2, "torchscript": _open_torchscript}


def _largest_difference(file: PlainFile, artefact: Opened, trials: Iterable[Tensor]) -> tuple[float, int]:
    """max|a-b| / max|a| over all trials, and how many rows they had."""
    largest, scale, rows, finite = 0.0, 0.0, 0, True
    for given in trials:
        with torch.no_grad():
            expected = _compared(file, file.module(given))
        got = artefact(given)
        rows += len(given)
        finite = finite and got.shape == expected.shape and bool(np.isfinite(got).all())
        if finite:
            largest = max(largest, float(np.abs(expected - got).max()))
            scale = max(scale, float(np.abs(expected).max()))
    return largest / (scale or 1.0) if finite else float("inf"), rows
