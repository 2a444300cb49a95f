"""What a bundle knows of its training data, altered by a stranger: refused with words, before anybody asks."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from small_bundles import sign, write_bundle
from test_bundle_fuzz import outcome

from flambeau.deploy.bundle import load_bundle

MUTATIONS: dict[str, Any] = {
    "neighbours": lambda m, t: m.update(views=m["views"].replace('"neighbours": ', '"neighbours": Infinity, "x": ')),
    "threshold": lambda m, t: m.update(views=m["views"].replace('"threshold": ', '"threshold": 1e999, "x": ')),
    "nested": lambda m, t: m.update(views="[" * 100_000),
    "no views": lambda m, t: m.update(views="{}"),
    "a list": lambda m, t: m.update(views='["values", "features"]'),
    "kind": lambda m, t: m.update(kind={"table": "pictures", "pictures": "table"}[m["kind"]]),
    "unknown kind": lambda m, t: m.update(kind="songs"),
    "layer": lambda m, t: m.update(layer="no.such.layer"),
    "width": lambda m, t: t.update({k: widened(v) for k, v in t.items() if k.endswith("bank")}),
    "type": lambda m, t: t.update({k: v.to(torch.complex64) for k, v in t.items() if k.endswith("bank")}),
    "whitening": lambda m, t: t.update({k: v * 1e38 for k, v in t.items() if k.endswith(("matrix", "centre"))}),
}  # fmt: skip


def widened(bank: torch.Tensor) -> torch.Tensor:
    return torch.cat([bank, bank], dim=1)


@pytest.mark.parametrize("kind", ["mlp", "cnn"])
@pytest.mark.parametrize("mutation", MUTATIONS)
def test_what_is_known_of_the_training_data_must_fit_the_model(
    mutation: str, kind: str, tmp_path: Path
) -> None:
    folder = write_bundle(tmp_path / "a" / "b" / "bundle", kind)
    path = folder / "familiar.safetensors"
    assert outcome(folder) == "works"
    with safe_open(path, "pt") as file:
        metadata = dict(file.metadata())
    tensors = load_file(path)
    MUTATIONS[mutation](metadata, tensors)
    save_file(tensors, path, metadata)
    sign(folder)
    harmless = (mutation, kind) == ("layer", "mlp")  # a table's values are compared without the model
    assert outcome(folder) == ("works" if harmless else "refused")
    load_bundle(folder)
