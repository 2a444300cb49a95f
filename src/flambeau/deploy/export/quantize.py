"""Smaller numbers for a trained model: int8 through ONNX Runtime, bfloat16 through torch."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import (
    CalibrationDataReader,
    CalibrationMethod,
    QuantFormat,
    QuantType,
    quantize_static,
)
from onnxruntime.quantization.shape_inference import quant_pre_process
from torch import Tensor, nn

from flambeau.deploy.export.graph import Answer, RawToAnswer
from flambeau.deploy.export.inputs import Raw
from flambeau.deploy.export.onnx_file import OUTSIDE

CALIBRATION_ROWS = 256
# Others gain nothing measurable from 8 bits, and each costs some precision.
QUANTIZED_OPERATORS = ("Conv", "Gemm", "MatMul", "Add", "MaxPool", "Relu")


class CalibrationRows(CalibrationDataReader):
    """Hands ONNX Runtime raw inputs of training rows, batch by batch."""

    def __init__(self, batches: Iterable[Raw]) -> None:
        self._batches = iter(batches)

    def get_next(self) -> dict[str, np.ndarray] | None:
        """The next batch, or None at the end."""
        return next(self._batches, None)


def write_int8(source: Path, target: Path, batches: Iterable[Raw]) -> None:
    """Static quantization of an exported file: weights and activations in 8 bits, the preparation as it was.

    Batch normalisations are folded into convolutions first. Weights have one scale a channel and are signed,
    activations are unsigned: the pair that x86 processors with VNNI multiply fastest; those without it add pairs of
    products in 16 bits, where large ones are cut. Scales of activations span what training rows gave (Nagel et al.
    2021, "A White Paper on Neural Network Quantization").

    Args:
        source: written by `write_onnx`.
        target: the file to write.
        batches: raw inputs of training rows.
    """
    properties = {one.key: one.value for one in onnx.load(source, load_external_data=False).metadata_props}
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".") as scratch, _without_hints():
        prepared = Path(scratch) / "prepared.onnx"
        quant_pre_process(str(source), str(prepared), skip_symbolic_shape=True)
        graph = onnx.load(prepared).graph
        quantize_static(
            str(prepared),
            str(target),
            CalibrationRows(batches),
            quant_format=QuantFormat.QDQ,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            per_channel=True,
            calibrate_method=CalibrationMethod.MinMax,
            op_types_to_quantize=list(QUANTIZED_OPERATORS),
            nodes_to_exclude=_nodes_in_full_precision(graph),
        )
    model = onnx.load(target)
    onnx.helper.set_model_props(model, properties)
    target.write_bytes(model.SerializeToString(deterministic=True))


def _nodes_in_full_precision(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes outside the model, and of products whose second factor is no matrix of weights.

    Stacks of matrices cannot have a scale a channel in ONNX Runtime, and attention between activations loses too much.
    """
    matrices = {tensor.name for tensor in graph.initializer if len(tensor.dims) == 2}
    return [
        node.name
        for node in graph.node
        if OUTSIDE in node.name or (node.op_type == "MatMul" and node.input[1] not in matrices)
    ]


class HalfAnswer(nn.Module):
    """A model whose products run in bfloat16: convolutions and linear layers hold their weights in it.

    Args:
        model: its convolutions and linear layers are changed in place.
    """

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        for module in model.modules():
            if isinstance(module, nn.Linear | nn.Conv1d | nn.Conv2d | nn.Conv3d):
                module.to(torch.bfloat16)
        self.model = model

    def forward(self, *inputs: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16, cache_enabled=False):
            outputs: Tensor = self.model(*inputs)
        return outputs.to(torch.float32)


def to_bfloat16(graph: RawToAnswer) -> RawToAnswer:
    """The same graph with the model in bfloat16; the preparation and the probabilities stay as they were."""
    assert isinstance(graph.answer, Answer)
    graph.answer.model = HalfAnswer(graph.answer.model).eval()
    return graph


@contextmanager
def _without_hints() -> Iterator[None]:
    """ONNX Runtime advises to preprocess, which is done, through the root logger."""
    logger = logging.getLogger()
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
