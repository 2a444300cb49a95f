"""Inputs that are unlike the training data are told from those that are like it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

import flambeau as fb
from flambeau.data.read import read
from flambeau.data.samples import PictureArray
from flambeau.deploy.answer import predict_inputs
from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.familiar.familiar import Familiar, predict_and_compare
from flambeau.deploy.familiar.files import load_familiar, read_familiar, save_familiar
from flambeau.deploy.familiar.fit import MOST_ROWS, fit_familiar, rows_to_compare
from flambeau.deploy.files import FAMILIAR
from flambeau.errors import RunError
from flambeau.models.cnn import SmallCNN
from flambeau.models.spec import ModelSpec
from flambeau.recipe import Recipe
from flambeau.schema import Schema
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TargetScaler

ROWS = 400


def smooth_pictures(count: int, seed: int) -> Tensor:
    """(count, 3, 16, 16): slopes of random direction and colour."""
    random = np.random.default_rng(seed)
    across = np.linspace(-1, 1, 16)
    slopes = (
        random.normal(size=(count, 3, 1, 1)) * across + random.normal(size=(count, 3, 1, 1)) * across[:, None]
    )
    return torch.from_numpy(slopes.astype(np.float32))


def correlated_rows(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Numbers (count, 3), the second of which nearly repeats the first, and categories (count, 2)."""
    random = np.random.default_rng(seed)
    first = random.normal(size=count)
    numbers = np.stack([first, first + 0.05 * random.normal(size=count), random.normal(size=count)], axis=1)
    return torch.from_numpy(numbers.astype(np.float32)), torch.from_numpy(
        random.integers(2, 6, size=(count, 2))
    )


@pytest.fixture(scope="module")
def module() -> nn.Module:
    torch.manual_seed(0)
    return SmallCNN(3, 4, size=(16, 16), width=4).eval()


@pytest.fixture(scope="module")
def pictures(module: nn.Module) -> Familiar:
    return fit_familiar(module, [(part,) for part in smooth_pictures(ROWS, 0).split(150)], "pictures")


@pytest.fixture(scope="module")
def table() -> Familiar:
    return fit_familiar(nn.Identity(), [correlated_rows(ROWS, 0)], "table")


def test_pictures_like_the_training_data_are_not_far(module: nn.Module, pictures: Familiar) -> None:
    inputs = (smooth_pictures(1000, 1),)
    assert pictures.is_far(pictures.features(module, inputs)).mean() < 0.05


@pytest.mark.parametrize("strange", ["noise", "blank", "dark"])
def test_other_pictures_are_far(module: nn.Module, pictures: Familiar, strange: str) -> None:
    made = {
        "noise": torch.randn(50, 3, 16, 16, generator=torch.Generator().manual_seed(1)),
        "blank": torch.full((50, 3, 16, 16), 3.0),
        "dark": smooth_pictures(50, 2) - 4,
    }[strange]
    assert pictures.is_far(pictures.features(module, (made,))).mean() > 0.95


def test_rows_like_the_training_data_are_not_far(table: Familiar) -> None:
    far = table.is_far(table.features(nn.Identity(), correlated_rows(2000, 1)))
    assert far.mean() < 0.04


def test_a_value_out_of_range_and_unknown_categories_are_far(table: Familiar) -> None:
    numbers, categories = correlated_rows(50, 2)
    beyond = numbers.clone()
    beyond[:, 2] = 9.0
    assert table.is_far(table.features(nn.Identity(), (beyond, categories))).all()
    unknown = (numbers, torch.zeros_like(categories))
    known = table.distances(table.features(nn.Identity(), (numbers, categories)))
    assert (table.distances(table.features(nn.Identity(), unknown)) > known).all()


def test_a_combination_is_far_though_each_value_is_usual(table: Familiar) -> None:
    numbers, categories = correlated_rows(50, 3)
    numbers[:, 0], numbers[:, 1] = 1.0, -1.0
    assert table.is_far(table.features(nn.Identity(), (numbers, categories))).all()


@pytest.mark.parametrize(("numbers", "columns"), [(0, 2), (1, 0), (3, 0), (300, 1)])
def test_tables_of_any_columns_can_be_compared(numbers: int, columns: int) -> None:
    generator = torch.Generator().manual_seed(0)
    inputs = (
        torch.randn(100, numbers, generator=generator),
        torch.randint(1, 5, (100, columns), generator=generator),
    )
    fitted = fit_familiar(nn.Identity(), [inputs], "table")
    distances = fitted.distances(fitted.features(nn.Identity(), inputs))
    assert distances.shape == (100,) and np.isfinite(distances).all()


def test_one_percent_of_the_training_rows_lie_beyond_the_threshold(table: Familiar) -> None:
    for view in table.views.values():
        own = view.distances(view.bank, view.codes, own=True)
        assert float((own > view.threshold).float().mean()) == pytest.approx(0.005, abs=0.003)


def test_features_and_predictions_come_from_one_pass(module: nn.Module, pictures: Familiar) -> None:
    bundle = Bundle(
        Schema("pictures", "classification", "folder", ("a", "b", "c", "d")),
        ModelSpec("small_cnn"),
        PicturePreparation((16, 16), 3, 8),
        module,
        TargetScaler(0.0, 1.0),
    )
    inputs = (smooth_pictures(7, 4),)
    calls = 0

    def count(*_: object) -> None:
        nonlocal calls
        calls += 1

    handle = module.register_forward_hook(count)
    predictions, distances = predict_and_compare(bundle, pictures, inputs)
    handle.remove()
    assert calls == 1
    np.testing.assert_array_equal(predictions, predict_inputs(bundle, inputs))
    assert distances is not None
    np.testing.assert_array_equal(distances, pictures.distances(pictures.features(module, inputs)))
    assert predict_and_compare(bundle, None, inputs)[1] is None
    assert not module.head._forward_pre_hooks


def test_a_model_that_does_not_call_its_last_layer_is_compared_by_its_outputs() -> None:
    class Own(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.unused = nn.Linear(3, 3)

        def forward(self, pictures: Tensor) -> Tensor:
            return pictures.mean((2, 3))

    fitted = fit_familiar(Own(), [(smooth_pictures(60, 0),)], "pictures")
    assert fitted.layer == ""
    assert fitted.features(Own(), (smooth_pictures(2, 1),))["features"].shape == (2, 3)


def test_too_few_rows_and_features_that_are_not_finite_are_refused() -> None:
    with pytest.raises(ValueError, match="at least 50 training rows to compare with, got 49"):
        fit_familiar(nn.Identity(), [correlated_rows(49, 0)], "table")
    numbers, categories = correlated_rows(60, 0)
    numbers[3, 1] = torch.nan
    with pytest.raises(ValueError, match="finite features"):
        fit_familiar(nn.Identity(), [(numbers, categories)], "table")


def test_what_is_kept_is_bounded() -> None:
    numbers, categories = correlated_rows(3 * MOST_ROWS, 0)
    parts = [(numbers[at : at + 500], categories[at : at + 500]) for at in range(0, len(numbers), 500)]
    assert len(fit_familiar(nn.Identity(), parts, "table").views["values"].bank) == MOST_ROWS
    rows = np.arange(10, 50_000)
    assert len(rows_to_compare(rows)) == MOST_ROWS
    assert len(rows_to_compare(rows, 224 * 224)) == 300
    assert set(rows_to_compare(rows, 64 * 64)) <= set(rows)
    np.testing.assert_array_equal(rows_to_compare(rows[:7]), rows[:7])


@pytest.mark.parametrize("kind", ["pictures", "table"])
def test_a_saved_one_answers_alike(
    kind: str, module: nn.Module, pictures: Familiar, table: Familiar, tmp_path: Path
) -> None:
    own = {"pictures": pictures, "table": table}[kind]
    inputs = (smooth_pictures(20, 5),) if kind == "pictures" else correlated_rows(20, 5)
    save_familiar(tmp_path, own)
    kept = read_familiar(tmp_path)
    assert kept is not None and kept.kind == kind and kept.layer == own.layer
    expected = own.distances(own.features(module, inputs))
    np.testing.assert_array_equal(kept.distances(kept.features(module, inputs)), expected)
    assert (tmp_path / FAMILIAR).stat().st_size < 2_000_000


def test_a_bundle_without_one_has_none(tmp_path: Path) -> None:
    assert read_familiar(tmp_path) is None


@pytest.mark.parametrize("damage", ["truncated", "text", "no metadata", "nan", "shape", "no bank"])
def test_a_damaged_one_is_told(damage: str, table: Familiar, tmp_path: Path) -> None:
    save_familiar(tmp_path, table)
    path = tmp_path / FAMILIAR
    if damage == "truncated":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "text":
        path.write_text("not a file of tensors", encoding="utf-8")
    else:
        from safetensors import safe_open

        with safe_open(path, "pt") as file:
            metadata = file.metadata()
        tensors = load_file(path)
        if damage == "nan":
            tensors["values.bank"][0, 0] = torch.nan
        elif damage == "shape":
            tensors["values.codes"] = tensors["values.codes"][:5].clone()
        elif damage == "no bank":
            del tensors["combinations.bank"]
        save_file(tensors, path, None if damage == "no metadata" else metadata)
    with pytest.raises(RunError, match="knows of its training data is damaged"):
        read_familiar(tmp_path)


@pytest.mark.slow
def test_a_run_keeps_what_its_training_data_looks_like(tmp_path: Path) -> None:
    run = fb.train("digits", out=tmp_path / "run", epochs=3, threads=1, folds=0)
    bundle = load_bundle(run.folder.model)
    assert FAMILIAR in json.loads((run.folder.model / "versions.json").read_text())["digests"]
    familiar = load_familiar(run.folder.model, bundle)
    assert familiar is not None and familiar.layer == "head"
    samples = read("digits", Recipe())
    assert isinstance(samples.pictures, PictureArray) and isinstance(bundle.preparation, PicturePreparation)
    tested = run.folder.read_json("split.json")["test"]
    noise = np.random.default_rng(0).integers(0, 256, (100, 8, 8, 1), dtype=np.uint8)
    far = [
        familiar.is_far(
            familiar.features(bundle.module, (bundle.preparation.prepare(torch.from_numpy(pixels)),))
        )
        for pixels in (samples.pictures.pixels[tested], noise)
    ]
    assert far[0].mean() < 0.05 and far[1].mean() > 0.95
