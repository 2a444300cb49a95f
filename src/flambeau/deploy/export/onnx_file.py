"""ONNX: written by torch's exporter, strings and metadata added, run by ONNX Runtime."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import TensorProto, helper
from torch import Tensor

from flambeau.deploy.export.graph import RawToAnswer
from flambeau.deploy.export.inputs import Raw, RawInput
from flambeau.deploy.export.pt2_file import exported_program
from flambeau.transforms.table import UNKNOWN

METADATA = "flambeau"
# ends the names of nodes before and after the trained model, which stay in full precision
OUTSIDE = "@outside"
SCOPES, MODEL_SCOPE = "pkg.torch.onnx.name_scopes", "'answer.model'"
ML_DOMAIN, ML_OPSET = "ai.onnx.ml", 2
ELEMENT_TYPES = {
    torch.uint8: TensorProto.UINT8,
    torch.int32: TensorProto.INT32,
    torch.int64: TensorProto.INT64,
    torch.float64: TensorProto.DOUBLE,
}


def write_onnx(
    graph: RawToAnswer,
    inputs: Sequence[RawInput],
    example: tuple[Tensor, ...],
    path: Path,
    metadata: dict[str, Any],
) -> None:
    """Write the graph with named inputs, categories as strings, and its metadata.

    `metadata_props` hold the key "flambeau" with all of it as JSON, and "task" and "labels" by themselves.
    """
    program = exported_program(graph, inputs, example)
    names = [f"raw_{position}" for position in range(len(inputs))]
    with warnings.catch_warnings():
        # torch's own decomposition of recurrent layers
        warnings.filterwarnings("ignore", message="_check_is_size", category=FutureWarning)
        converted = torch.onnx.export(
            program, (), dynamo=True, verbose=False, input_names=names, output_names=["answer"]
        )
    assert converted is not None
    model = with_raw_inputs(converted.model_proto, inputs, metadata["output"]["name"])
    add_metadata(model, metadata)
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def with_raw_inputs(model: onnx.ModelProto, inputs: Sequence[RawInput], output: str) -> onnx.ModelProto:
    """The model with the columns' own names as inputs; strings become codes in the graph's first nodes."""
    prefix = "graph/"
    while any(one.name.startswith(prefix) for one in inputs):
        prefix = f"_{prefix}"
    model = onnx.compose.add_prefix(model, prefix)
    graph = model.graph
    for node in graph.node:
        node.name = f"{node.name}{'' if _is_of_model(node) else OUTSIDE}"
        # lines of the source, with the folders of this machine
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    graph.ClearField("metadata_props")
    given, first = [], []
    for one, old in zip(inputs, graph.input, strict=True):
        shape = [d.dim_param or d.dim_value for d in old.type.tensor_type.shape.dim]
        shape = [*one.free_sizes, *shape[len(one.free_sizes) :]]
        if one.kind == "category":
            given.append(helper.make_tensor_value_info(one.name, TensorProto.STRING, shape))
            first.append(
                helper.make_node(
                    "LabelEncoder", [one.name], [old.name], domain=ML_DOMAIN, name=f"{old.name}{OUTSIDE}",
                    keys_strings=list(one.codes), values_int64s=list(one.codes.values()), default_int64=UNKNOWN,
                )
            )  # fmt: skip
        else:
            given.append(helper.make_tensor_value_info(one.name, ELEMENT_TYPES[one.dtype], shape))
            first.append(helper.make_node("Identity", [one.name], [old.name], name=f"{old.name}{OUTSIDE}"))
    answer = graph.output[0]
    kind = answer.type.tensor_type
    width = [d.dim_value for d in kind.shape.dim][1:]
    last = helper.make_node("Identity", [answer.name], [output], name=f"{answer.name}{OUTSIDE}")
    nodes = [*first, *graph.node, last]
    del graph.node[:], graph.input[:], graph.output[:]
    del graph.value_info[:]  # they name the sizes of the example
    graph.node.extend(nodes)
    graph.input.extend(given)
    graph.output.append(helper.make_tensor_value_info(output, kind.elem_type, ["batch", *width]))
    if any(one.kind == "category" for one in inputs):
        model.opset_import.append(helper.make_opsetid(ML_DOMAIN, ML_OPSET))
    return model


def _is_of_model(node: onnx.NodeProto) -> bool:
    """Whether a node is of the trained model, and not of the preparation or of what follows the model."""
    # nodes that the exporter made of several others have no scope; it merges only layers of the model
    scopes = next((one.value for one in node.metadata_props if one.key == SCOPES), MODEL_SCOPE)
    return MODEL_SCOPE in scopes


def add_metadata(model: onnx.ModelProto, metadata: dict[str, Any]) -> None:
    """Put what a program needs to know into the file's own properties."""
    model.producer_name, model.producer_version = "flambeau", metadata["flambeau"]
    properties = {
        METADATA: json.dumps(metadata, ensure_ascii=False),
        "task": metadata["task"],
        "labels": json.dumps(metadata["labels"], ensure_ascii=False),
    }
    helper.set_model_props(model, properties)


def open_onnx(path: Path, inputs: Sequence[RawInput]) -> Callable[[Raw], np.ndarray]:
    """A function from raw inputs to predictions, with as many threads as torch has."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in inputs]

    def answer(raw: Raw) -> np.ndarray:
        (predictions,) = session.run(None, {name: raw[name] for name in names})
        return np.asarray(predictions)

    return answer
