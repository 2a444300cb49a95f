"""Every format agrees with the trained module, for every kind of data and task, on made-up rows of any size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from export_bundles import picture_bundle, table_bundle

from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.agreement import TOLERANCE, compare
from flambeau.deploy.export.export import OPENERS, WRITERS
from flambeau.deploy.export.formats import SUFFIXES
from flambeau.deploy.export.graph import build_graph
from flambeau.deploy.export.inputs import raw_inputs
from flambeau.deploy.export.pt2_file import example_inputs
from flambeau.deploy.export.rows import made_up_rows

PICTURES: dict[str, dict[str, Any]] = {
    "classification": {"task": "classification"},
    "grey": {"task": "multilabel", "channels": 1, "fit": "pad", "interpolation": "bicubic"},
    "deep": {"task": "regression", "bits": 16, "channels": 1, "fit": "crop", "model": "resnet"},
    "deep colour": {"task": "classification", "bits": 16, "interpolation": "nearest", "fit": "pad"},
    "ensemble": {"task": "multilabel", "members": 2, "model": "small_resnet", "interpolation": "bicubic"},
    "mirrored": {"task": "regression", "flip_average": True, "members": 2, "fit": "crop"},
}
TABLES: dict[str, dict[str, Any]] = {
    "quantile": {"task": "classification"},
    "robust": {"task": "regression", "scaling": "robust", "model": "mlp"},
    "standard": {"task": "multilabel", "scaling": "standard", "members": 2},
    "ensemble": {"task": "regression", "members": 2},
}
CASES = [("pictures", name) for name in PICTURES] + [("table", name) for name in TABLES]


def bundle_of(kind: str, name: str) -> Bundle:
    return picture_bundle(**PICTURES[name]) if kind == "pictures" else table_bundle(**TABLES[name])


def metadata_of(bundle: Bundle) -> dict[str, Any]:
    output = {"name": "answer of the model"}
    return {
        "flambeau": "0",
        "task": bundle.schema.task,
        "labels": list(bundle.schema.classes),
        "output": output,
    }


def written(bundle: Bundle, to: str, folder: Path) -> Path:
    inputs = raw_inputs(bundle)
    graph = build_graph(bundle)
    path = folder / f"model{SUFFIXES[to]}"
    example = example_inputs(inputs, getattr(bundle.preparation, "channels", 0))
    WRITERS[to](graph, inputs, example, path, metadata_of(bundle))
    return path


def check_agreement(bundle: Bundle, to: str, folder: Path) -> Path:
    path = written(bundle, to, folder)
    artefact = OPENERS[to](path, raw_inputs(bundle))
    compared = compare(bundle, artefact, made_up_rows(bundle, "this is a test"), 1_000_000)
    assert compared.error <= TOLERANCE
    assert compared.eager.std(axis=0).max() > 1e-3 * np.abs(compared.eager).max(), (
        "the rows differ too little to tell"
    )
    assert compared.exported.shape == compared.eager.shape
    return path


@pytest.mark.parametrize(("kind", "name"), CASES)
def test_torchscript_agrees(kind: str, name: str, tmp_path: Path) -> None:
    check_agreement(bundle_of(kind, name), "torchscript", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("to", ["onnx", "pt2"])
@pytest.mark.parametrize(("kind", "name"), CASES)
def test_onnx_and_pt2_agree(kind: str, name: str, to: str, tmp_path: Path) -> None:
    check_agreement(bundle_of(kind, name), to, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("library", "arch", "size", "to"),
    [
        ("torchvision", "mobilenet_v2", (40, 32), "onnx"),
        ("torchvision", "mobilenet_v3_small", (40, 32), "pt2"),
        ("torchvision", "squeezenet1_1", (40, 32), "torchscript"),
        ("timm", "vit_tiny_patch16_224", (224, 224), "onnx"),
        ("timm", "convnext_atto", (64, 64), "pt2"),
        ("timm", "vit_tiny_patch16_224", (224, 224), "torchscript"),
    ],
)
def test_models_of_other_libraries_agree(
    library: str, arch: str, size: tuple[int, int], to: str, tmp_path: Path
) -> None:
    check_agreement(
        picture_bundle("classification", library, size=size, arguments={"arch": arch}), to, tmp_path
    )


def test_an_onnx_file_tells_its_inputs_and_nothing_of_this_machine(tmp_path: Path) -> None:
    path = check_agreement(table_bundle("classification", "mlp", "standard"), "onnx", tmp_path)
    model = onnx.load(path)
    told = {one.name: one.type.tensor_type for one in model.graph.input}
    assert list(told) == ["area", "ties", "new", "sold", "value", "zone, code"]
    assert told["value"].elem_type == onnx.TensorProto.STRING
    assert told["sold"].elem_type == onnx.TensorProto.DOUBLE
    assert [d.dim_param for d in told["area"].shape.dim] == ["batch"]
    assert model.graph.output[0].name == "answer of the model"
    assert [d.dim_param or d.dim_value for d in model.graph.output[0].type.tensor_type.shape.dim] == [
        "batch",
        3,
    ]
    content = path.read_bytes()
    assert b"prepare_table.py" not in content and str(Path(__file__).parents[2]).encode() not in content


def test_a_pt2_file_has_free_sizes_and_tells_nothing_of_this_machine(tmp_path: Path) -> None:
    path = check_agreement(picture_bundle("classification"), "pt2", tmp_path)
    module = torch.export.load(path).module()
    for shape in ((1, 1, 1, 3), (7, 40, 9, 3), (2, 3, 300, 3)):
        assert module(torch.zeros(shape, dtype=torch.uint8)).shape == (shape[0], 3)
    assert b"prepare_pictures.py" not in path.read_bytes()
