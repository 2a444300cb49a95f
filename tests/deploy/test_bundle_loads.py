"""A bundle comes back as it was, quickly, and nothing that does not fit together is loaded."""

from __future__ import annotations

import json
import resource
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save
from small_bundles import BUNDLES, alter, write_bundle
from torch import nn

from flambeau.deploy.answer import predict_inputs
from flambeau.deploy.bundle import Bundle, load_bundle, weights_digest
from flambeau.deploy.rebuild import BoundedBuild, TooLargeError, members_of, rebuild
from flambeau.errors import FlambeauError, ModelError, RunError
from flambeau.models.build import build_model
from flambeau.models.joined import Ensemble
from flambeau.models.spec import ModelSpec, ensemble_spec


def trial_inputs(bundle: Bundle, rows: int = 3) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    if bundle.schema.source == "pictures":
        return (torch.randn(rows, bundle.preparation.channels, 8, 8, generator=generator),)
    numbers = torch.randn(rows, len(bundle.preparation.numbers), generator=generator)
    return numbers, torch.ones(rows, len(bundle.preparation.categories), dtype=torch.int64)


@pytest.mark.parametrize("kind", BUNDLES)
def test_a_bundle_comes_back_with_the_same_weights_and_answers(tmp_path: Path, kind: str) -> None:
    before = BUNDLES[kind]()
    loaded = load_bundle(write_bundle(tmp_path / "bundle", kind))
    assert weights_digest(loaded.module) == weights_digest(before.module)
    assert (loaded.schema, loaded.spec, loaded.preparation) == (
        before.schema,
        before.spec,
        before.preparation,
    )
    assert (loaded.scores, loaded.facts) == (before.scores, before.facts)
    assert not loaded.module.training
    assert all(parameter.requires_grad for parameter in loaded.module.parameters())
    inputs = trial_inputs(before)
    assert np.array_equal(predict_inputs(loaded, inputs), predict_inputs(before, inputs))


def test_a_library_model_is_built_without_making_its_weights_twice(tmp_path: Path) -> None:
    from flambeau.deploy.bundle import save_bundle

    bundle = BUNDLES["cnn"]()
    spec = ModelSpec("torchvision", {"arch": "mobilenet_v2", "outputs": 3, "channels": 3})
    bundle.spec, bundle.module = spec, build_model(spec).eval()
    save_bundle(tmp_path, bundle, "seed: 0\n")
    loaded = load_bundle(tmp_path)
    assert weights_digest(loaded.module) == weights_digest(bundle.module)
    picture = torch.randn(2, 3, 32, 32)
    with torch.inference_mode():
        assert torch.equal(loaded.module(picture), bundle.module(picture))


def test_loading_takes_well_under_a_second(tmp_path: Path) -> None:
    folder = write_bundle(tmp_path / "bundle", "resnet multilabel")
    load_bundle(folder)
    began = time.perf_counter()
    load_bundle(folder)
    assert time.perf_counter() - began < 1


def edited(folder: Path, name: str, change: dict[str, Any]) -> None:
    """Change keys of a JSON file; "a.b" is inside "a", and a number is a place in a list."""
    data = json.loads((folder / name).read_text())
    for key, value in change.items():
        *path, last = (int(part) if part.isdigit() else part for part in key.split("."))
        inner = data
        for part in path:
            inner = inner[part]
        inner[last] = value
    alter(folder, name, data)


@pytest.mark.parametrize(
    ("kind", "change"),
    [
        ("mlp", {"arguments.width": 10**12}),
        ("mlp", {"arguments.depth": 10**9}),
        ("mlp", {"arguments.depth": 10**9, "arguments.width": 0}),
        ("tabm regression", {"arguments.members": 10**9}),
        ("tabm regression", {"arguments.bins": 10**11}),
        ("tabm regression", {"arguments.embedding_width": 10**11}),
        ("cnn", {"arguments.width": 10**9}),
        ("cnn", {"name": "small_resnet", "arguments.blocks": 10**9}),
        ("resnet multilabel", {"arguments.depth": 10**9}),
        ("bag", {"arguments.members.0.arguments.width": 10**12}),
        ("cnn", {"name": "torchvision", "arguments": {"arch": "vit_h_14", "outputs": 3}}),
    ],
    ids=lambda value: str(value)[:60],
)
def test_a_description_that_asks_for_too_much_is_refused_before_memory_is_asked_for(
    tmp_path: Path, kind: str, change: dict[str, Any]
) -> None:
    edited(write_bundle(tmp_path, kind), "model.json", change)
    before, began = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.perf_counter()
    with pytest.raises((ModelError, RunError)):
        load_bundle(tmp_path)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 400_000, f"{grown} kB"  # torchvision itself takes most of a hundred MB
    assert time.perf_counter() - began < 20


@pytest.mark.parametrize(
    ("kind", "name", "change", "told"),
    [
        ("mlp", "model.json", {"arguments.outputs": 3}, "do not fit each other"),
        ("cnn", "preparation.json", {"inputs.size": [16, 16]}, "do not fit each other"),
        ("cnn", "preparation.json", {"inputs.channels": 1}, "damaged"),
        ("cnn", "preparation.json", {"inputs.std": [0.2, 0.0, 0.2]}, "damaged"),
        ("cnn", "preparation.json", {"inputs.size": [10**6, 10**6]}, "damaged"),
        ("cnn", "preparation.json", {"temperature": 0}, "damaged"),
        ("mlp", "preparation.json", {"inputs.numbers.0.part": "name"}, "damaged"),
        ("mlp", "preparation.json", {"inputs.numbers.0.column": "colour"}, "damaged"),
        ("mlp", "preparation.json", {"inputs.numbers.0.quantiles": []}, "damaged"),
        ("mlp", "schema.json", {"task": "telepathy"}, "damaged"),
        ("mlp", "schema.json", {"classes": ["a", "a"]}, "damaged"),
        ("mlp", "schema.json", {"columns.0.low": "30"}, "damaged"),
        ("mlp", "schema.json", {"classes": "ab"}, "damaged"),
        ("mlp", "model.json", {"name": "no_such"}, "there is no model 'no_such'"),
        ("mlp", "model.json", {"arguments.strange": 1}, "cannot be built"),
        ("mlp", "model.json", {"arguments.dropout": "x"}, "damaged"),
        ("mlp", "scores.json", {"test": {"accuracy": "good"}}, "damaged"),
        ("bag", "model.json", {"arguments.members": []}, "no members"),
    ],
)
def test_parts_that_do_not_fit_are_named(
    tmp_path: Path, kind: str, name: str, change: dict[str, Any], told: str
) -> None:
    edited(write_bundle(tmp_path, kind), name, change)
    with pytest.raises(FlambeauError, match=told):
        load_bundle(tmp_path)


def test_weights_of_another_model_are_told_with_the_first_difference(tmp_path: Path) -> None:
    tensors = load_file(write_bundle(tmp_path) / "weights.safetensors")
    name = min(tensors)
    alter(tmp_path, "weights.safetensors", save({**tensors, name: tensors[name][:1].clone()}))
    with pytest.raises(RunError, match="another model") as caught:
        load_bundle(tmp_path)
    assert name in str(caught.value)
    alter(tmp_path, "weights.safetensors", save({**tensors, name: tensors[name].half()}))
    with pytest.raises(RunError, match="another model"):
        load_bundle(tmp_path)


def test_weights_that_are_no_numbers_give_an_error_and_no_answer(tmp_path: Path) -> None:
    tensors = load_file(write_bundle(tmp_path) / "weights.safetensors")
    alter(
        tmp_path, "weights.safetensors", save({k: torch.full_like(v, torch.nan) for k, v in tensors.items()})
    )
    bundle = load_bundle(tmp_path)
    with pytest.raises(ModelError, match="no number"):
        predict_inputs(bundle, trial_inputs(bundle))


def test_a_module_that_fails_is_told_and_not_thrown() -> None:
    bundle = BUNDLES["mlp"]()
    bundle.module = nn.Linear(1, 2)
    with pytest.raises(ModelError, match="fails on its inputs"):
        predict_inputs(bundle, trial_inputs(bundle))


def test_an_ensemble_is_taken_apart_only_so_deep() -> None:
    spec = BUNDLES["mlp"]().spec
    assert len(members_of(ModelSpec("ensemble", {"members": [spec.to_json()] * 3}))) == 3
    for _ in range(5):
        spec = ModelSpec("ensemble", {"members": [spec.to_json()]})
    with pytest.raises(ModelError, match="too deep"):
        members_of(spec)
    assert isinstance(BUNDLES["bag"]().module, Ensemble)


MAKERS: dict[str, Callable[[int], object]] = {
    "randint": lambda n: torch.randint(5, (n, n)),
    "randperm": lambda n: torch.randperm(n * n),
    "tensor": lambda n: torch.tensor([0] * (n * n)),
    "ones_like": lambda n: torch.ones_like(torch.ones(1).expand(n, n)),
    "new_full": lambda n: torch.ones(1).new_full((n, n), 2.0),
    "new_zeros": lambda n: torch.ones(1).new_zeros(n, n),
    "outer": lambda n: torch.outer(torch.ones(n), torch.ones(n)),
    "meshgrid": lambda n: torch.meshgrid(torch.ones(n), torch.ones(n), indexing="ij"),
    "tril": lambda n: torch.tril_indices(n, n),
    "expand": lambda n: torch.ones(1).expand(n, n),
    "sum": lambda n: torch.ones(n, 1) + torch.ones(n),
}


@pytest.mark.parametrize("maker", MAKERS)
def test_whatever_makes_numbers_is_bounded(maker: str) -> None:
    with BoundedBuild(200, 100, empty_on_meta=True):
        MAKERS[maker](4)
    with BoundedBuild(1000, 100, empty_on_meta=True), pytest.raises(TooLargeError):
        MAKERS[maker](100)


def test_what_makes_no_numbers_costs_none() -> None:
    with BoundedBuild(100, 100, empty_on_meta=False) as bound:
        weights = torch.empty(10, 10)
        torch.nn.init.kaiming_uniform_(weights)
        weights.data.t().split(5)
    assert bound.numbers == 0 and not bound.exceeded


def test_a_library_inside_a_fused_model_may_need_the_values_of_its_weights(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    small = ModelSpec(
        "mlp", {"number_features": 2, "cardinalities": [], "outputs": 1, "width": 4, "depth": 1}
    )
    tensors = build_model(small).state_dict()
    tried: list[str] = []

    def build(spec: ModelSpec) -> torch.nn.Module:
        tried.append(spec.name)
        if len(tried) == 1:
            raise ModelError("this constructor looks at its weights")
        return build_model(small)

    monkeypatch.setattr("flambeau.deploy.rebuild.build_model", build)
    picture = {"name": "timm", "arguments": {"arch": "vit"}}
    fused = ModelSpec("fusion", {"picture": picture, "outputs": 1})
    assert rebuild(ensemble_spec([fused, fused]), tensors, tmp_path).state_dict().keys() == tensors.keys()
    tried.clear()
    with pytest.raises(ModelError, match="looks at"):
        rebuild(ModelSpec("fusion", {"picture": {"name": "small_cnn"}}), tensors, tmp_path)
