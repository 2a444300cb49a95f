"""Explanations name what an answer hangs on, checked on models that hang on something known."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from flambeau.data.tables.rows import rows_as_columns
from flambeau.deploy.bundle import Bundle, Preparation
from flambeau.deploy.why.why import explain_picture, explain_row
from flambeau.errors import UsageError
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, Schema
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TargetScaler, fit_table

SIDE = 24


class Corner(nn.Module):
    """Looks at the mean of the upper left quarter only; counts the pictures that it sees."""

    def __init__(self, outputs: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(4.0))
        self.outputs = outputs
        self.seen = 0

    def forward(self, pictures: Tensor) -> Tensor:
        self.seen += len(pictures)
        score = self.scale * pictures[:, :, : SIDE // 2, : SIDE // 2].mean((1, 2, 3))
        return torch.stack([score, *[-score] * (self.outputs - 1)], dim=1)


class Linear(nn.Module):
    """10 + 2 · first number + 3 · (second category)."""

    def __init__(self) -> None:
        super().__init__()
        self.bias = nn.Parameter(torch.tensor(10.0))

    def forward(self, numbers: Tensor, categories: Tensor) -> Tensor:
        total = self.bias + torch.zeros(len(numbers))
        if numbers.shape[1]:
            total = total + 2 * numbers[:, 0]
        if categories.shape[1]:
            total = total + 3 * (categories[:, 0] == 3)
        return total[:, None]


def bundle_of(schema: Schema, preparation: Preparation, module: nn.Module) -> Bundle:
    return Bundle(schema, ModelSpec("none"), preparation, module, TargetScaler(0.0, 1.0))


def picture_bundle(task: str = "classification", mean: tuple[float, ...] = (0.5,)) -> Bundle:
    classes = () if task == "regression" else ("bright", "dark")
    preparation = PicturePreparation((SIDE, SIDE), 1, 8, mean=mean, std=(0.25,) if mean else ())
    return bundle_of(Schema("pictures", task, "folder", classes), preparation, Corner(len(classes) or 1))  # type: ignore[arg-type]


def bright_picture() -> np.ndarray:
    return np.full((SIDE, SIDE, 1), 220, np.uint8)


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_the_map_is_warm_where_the_model_looks_and_nowhere_else(task: str) -> None:
    found = explain_picture(picture_bundle(task), bright_picture())
    heat = np.array(found["heat"])
    half = len(heat) // 2
    assert heat.shape == (12, 12)
    assert (heat[:half, :half] > 0).all()
    assert (heat[half + 1 :, half + 1 :] == 0).all()
    assert found["label"] == (None if task == "regression" else "bright")
    assert found["answer"] == pytest.approx(
        {"regression": 4 * (220 / 255 - 0.5) / 0.25}.get(task, 1), abs=0.01
    )
    assert found["size"] == [SIDE, SIDE] and found["fit"] == "stretch"


def test_the_other_label_gets_the_map_with_the_other_sign() -> None:
    bundle = picture_bundle()
    bright, dark = (
        np.array(explain_picture(bundle, bright_picture(), label)["heat"]) for label in ("bright", "dark")
    )
    np.testing.assert_allclose(bright, -dark, atol=1e-6)


def test_equal_calls_give_equal_maps_and_the_work_is_bounded() -> None:
    bundle = picture_bundle()
    first = explain_picture(bundle, bright_picture())
    assert isinstance(bundle.module, Corner)
    assert bundle.module.seen <= 2 + 12 * 12
    assert explain_picture(bundle, bright_picture()) == first
    prepared = bundle.preparation.prepare(torch.from_numpy(bright_picture())[None])  # type: ignore[union-attr]
    assert explain_picture(bundle, prepared) == first


def test_a_picture_that_was_not_normalised_is_hidden_by_its_own_mean() -> None:
    flat = np.array(explain_picture(picture_bundle("regression", ()), bright_picture())["heat"])
    assert np.abs(flat).max() < 1e-5


@pytest.mark.parametrize("size", [(1, 1), (3, 40), (8, 8)])
def test_small_and_narrow_pictures_have_a_map(size: tuple[int, int]) -> None:
    module = nn.Sequential(nn.Flatten(), nn.Linear(size[0] * size[1], 2))
    schema = Schema("pictures", "classification", "folder", ("a", "b"))
    bundle = bundle_of(schema, PicturePreparation(size, 1, 8, mean=(0.5,), std=(0.2,)), module)
    heat = np.array(explain_picture(bundle, np.zeros((*size, 1), np.uint8))["heat"])
    assert heat.shape == (min(12, size[0]), min(12, size[1])) and np.isfinite(heat).all()


def test_an_unknown_label_is_refused() -> None:
    with pytest.raises(UsageError, match="no label 'brigth'") as caught:
        explain_picture(picture_bundle(), bright_picture(), "brigth")
    assert "bright" in caught.value.hint


def table_bundle(names: tuple[str, ...] = ("size", "colour", "sold")) -> Bundle:
    random = np.random.default_rng(0)
    columns = {
        "size": random.normal(50, 10, size=101),
        "colour": np.array(["red"] * 60 + ["blue"] * 41, dtype=object),
        "sold": np.arange(101).astype("datetime64[D]").astype("datetime64[s]"),
    }
    kinds = {"size": "number", "colour": "category", "sold": "date"}
    columns, kinds = ({name: every[name] for name in names} for every in (columns, kinds))  # type: ignore[index]
    preparation = fit_table(columns, kinds, scaling="standard")
    schema = Schema(
        "table",
        "regression",
        "price",
        columns=tuple(Column(name, kind) for name, kind in kinds.items()),  # type: ignore[arg-type]
    )
    return bundle_of(schema, preparation, Linear())


def test_effects_of_a_linear_model_are_exact() -> None:
    bundle = table_bundle()
    row = {"size": 70.0, "colour": "blue", "sold": "1970-03-01", "ignored": 1}
    found = explain_row(bundle, rows_as_columns([row], bundle.schema))
    feature = bundle.preparation.numbers[0]  # type: ignore[union-attr]
    expected = 2 * (70.0 - feature.fill) / feature.spread
    effects = {item["column"]: item for item in found["effects"]}
    assert [item["column"] for item in found["effects"]] == ["size", "colour", "sold"]
    assert effects["size"]["effect"] == pytest.approx(expected, abs=1e-4)
    assert effects["size"]["typical"] == feature.fill and effects["size"]["value"] == 70.0
    assert effects["colour"] == {
        "column": "colour",
        "value": "blue",
        "typical": "red",
        "effect": pytest.approx(3.0),
    }
    assert effects["sold"] == {
        "column": "sold", "value": "1970-03-01T00:00:00", "typical": "1970-02-20", "effect": 0.0
    }  # fmt: skip
    assert found["label"] is None
    assert found["answer"] == pytest.approx(10 + 3 + 2 * (70.0 - feature.centre) / feature.spread, abs=1e-4)


@pytest.mark.parametrize("names", [("size",), ("colour",), ("sold", "size")])
def test_tables_without_numbers_or_categories_are_explained(names: tuple[str, ...]) -> None:
    bundle = table_bundle(names)
    found = explain_row(bundle, rows_as_columns([dict.fromkeys(names)], bundle.schema))
    assert {item["column"] for item in found["effects"]} == set(names)
    assert all(item["value"] is None for item in found["effects"])


def test_a_typical_row_has_no_effects() -> None:
    bundle = table_bundle(("size", "colour"))
    typical = {"size": bundle.preparation.numbers[0].fill, "colour": "red"}  # type: ignore[union-attr]
    found = explain_row(bundle, rows_as_columns([typical], bundle.schema))
    assert [item["effect"] for item in found["effects"]] == [0.0, 0.0]
