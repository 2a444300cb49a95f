"""Quantized files are smaller, close to the trained model and measured; modules that cannot be exported are told."""

from __future__ import annotations

from pathlib import Path

import onnx
import pytest
import torch
from export_bundles import picture_bundle, table_bundle
from test_formats import check_agreement, written
from torch import Tensor, nn

import flambeau as fb
from flambeau.deploy.export.agreement import compare
from flambeau.deploy.export.formats import Request, exporting
from flambeau.deploy.export.graph import build_graph
from flambeau.deploy.export.inputs import raw_batches, raw_inputs
from flambeau.deploy.export.onnx_file import open_onnx
from flambeau.deploy.export.quantize import to_bfloat16, write_int8
from flambeau.deploy.export.rows import made_up_rows
from flambeau.errors import ModelError


class Sorter(nn.Module):
    """Takes another way for other values, which no exporter can follow."""

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        if float(numbers.sum()) > 0:
            return numbers[:, :3]
        return numbers[:, 1:4] * 2


class TakesBatchForConstant(nn.Module):
    """Right for the batch that it is traced with, wrong for all others."""

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        return numbers[:, :3] + torch.ones(len(numbers), 3)


@pytest.mark.parametrize("to", ["pt2", "onnx"])
def test_a_module_that_cannot_be_exported_is_told_with_the_first_telling_line(
    to: str, tmp_path: Path
) -> None:
    bundle = table_bundle("classification", "mlp", "standard")
    bundle.module = Sorter()
    with pytest.raises(ModelError, match=f"this model cannot be exported to {to}") as caught:
        exporting(Request(to), lambda: written(bundle, to, tmp_path))
    told = str(caught.value)
    assert "data-dependent" in told and "other formats may take it" in told and len(told.splitlines()) <= 5


def test_a_traced_constant_is_noticed(tmp_path: Path) -> None:
    bundle = table_bundle("classification", "mlp", "standard")
    bundle.module = TakesBatchForConstant()
    with pytest.raises(ModelError, match="cannot be exported to torchscript"):
        exporting(Request("torchscript"), lambda: check_agreement(bundle, "torchscript", tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_int8_leaves_the_preparation_alone_and_stays_close(kind: str, tmp_path: Path) -> None:
    bundle = table_bundle("multilabel") if kind == "pictures" else table_bundle("regression")
    if kind == "pictures":
        bundle = picture_bundle(
            "classification", "resnet", arguments={"size": [12, 8], "width": 16, "depth": 1}
        )
    rows = made_up_rows(bundle, "this is a test")
    full = written(bundle, "onnx", tmp_path)
    batches = (
        raw for samples, chosen in rows.parts for raw, _ in raw_batches(bundle, samples, chosen, 10**6)
    )
    write_int8(full, tmp_path / "small.onnx", batches)
    model = onnx.load(tmp_path / "small.onnx")
    assert {node.op_type for node in model.graph.node} >= {"QuantizeLinear", "DequantizeLinear"}
    assert [one.key for one in model.metadata_props] == ["flambeau", "task", "labels"]
    first = next(i for i, node in enumerate(model.graph.node) if node.op_type == "QuantizeLinear")
    assert any(node.op_type in ("MatMul", "Floor") for node in model.graph.node[:first])
    compared = compare(bundle, open_onnx(tmp_path / "small.onnx", raw_inputs(bundle)), rows, 10**6)
    assert 0 < compared.error < 0.1
    if kind == "pictures":
        assert (tmp_path / "small.onnx").stat().st_size < 0.5 * full.stat().st_size


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_bfloat16_halves_the_weights_and_stays_close(kind: str, tmp_path: Path) -> None:
    from flambeau.deploy.export.pt2_file import example_inputs
    from flambeau.deploy.export.torchscript_file import open_torchscript, write_torchscript

    bundle = table_bundle("regression", "mlp") if kind == "table" else picture_bundle("multilabel", "resnet")
    inputs = raw_inputs(bundle)
    graph = to_bfloat16(build_graph(bundle))
    layers = [m for m in graph.modules() if isinstance(m, nn.Linear | nn.Conv2d)]
    assert {layer.weight.dtype for layer in layers} == {torch.bfloat16}
    path = tmp_path / "model.pt"
    metadata = {"task": bundle.schema.task}
    example = example_inputs(inputs, getattr(bundle.preparation, "channels", 0))
    write_torchscript(graph, inputs, example, path, metadata)
    rows = made_up_rows(bundle, "this is a test")
    compared = compare(bundle, open_torchscript(path, inputs), rows, 10**6)
    assert 0 < compared.error < 0.05
    assert next(bundle.module.parameters()).dtype == torch.float32


@pytest.mark.slow
@pytest.mark.parametrize(("to", "quantize"), [("onnx", "int8"), ("pt2", "bf16"), ("torchscript", "bf16")])
def test_size_speed_and_score_are_told_before_and_after(to: str, quantize: str, picture_run: fb.Run) -> None:
    report = picture_run.export(to=to, quantize=quantize)
    measured = report["quantized"]
    assert Path(report["file"]).name.startswith(f"photos-1-{quantize}.")
    assert measured["bytes"]["quantized"] < measured["bytes"]["full"]
    assert set(measured["milliseconds"]) == {"1", "32"}
    assert all(value > 0 for times in measured["milliseconds"].values() for value in times.values())
    assert set(measured["score"]["full"]) == set(measured["score"]["quantized"]) >= {"accuracy", "log_loss"}
    assert 0.5 <= measured["same_answers"] <= 1
    assert list(Path(report["file"]).parent.glob(".*")) == []
