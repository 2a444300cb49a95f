"""The preparation inside an artefact gives what flambeau's own gives, bit for bit where both are in torch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from export_bundles import KINDS, some_columns, table_bundle

from flambeau.deploy.export.dates import date_part
from flambeau.deploy.export.inputs import category_codes, column_as_raw
from flambeau.deploy.export.normal import normal_quantiles
from flambeau.deploy.export.prepare_pictures import PicturePixels
from flambeau.deploy.export.prepare_table import TableColumns
from flambeau.deploy.export.rows import made_up_columns
from flambeau.transforms.categories import CategoryFeature
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.scaling import DATE_PARTS, number_part
from flambeau.transforms.table import TablePreparation, fit_table

SHAPES = [(1, 1), (1, 50), (7, 300), (16, 16), (97, 131), (30, 20), (128, 128), (15, 17)]


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize("fit", ["stretch", "pad", "crop"])
def test_pictures_of_any_size_are_prepared_alike(fit: str, interpolation: str, bits: int) -> None:
    for size in ((16, 16), (12, 24), (5, 1)):
        preparation = PicturePreparation(size, 3, bits, fit, interpolation, (0.4, 0.5, 0.6), (0.2, 0.3, 0.1))  # type: ignore[arg-type]
        module = PicturePixels(preparation)
        for shape in SHAPES:
            generator = torch.Generator().manual_seed(0)
            pixels = torch.randint(0, 2**bits, (2, *shape, 3), generator=generator)
            pixels = pixels.to(torch.uint8 if bits == 8 else torch.int32)
            assert torch.equal(module(pixels), preparation.prepare(pixels)), (size, shape)


def test_pictures_without_normalising() -> None:
    preparation = PicturePreparation((4, 4), 1, 8)
    pixels = torch.arange(16, dtype=torch.uint8).reshape(1, 4, 4, 1)
    assert torch.equal(PicturePixels(preparation)(pixels), preparation.prepare(pixels))


@pytest.mark.parametrize("scaling", ["quantile", "robust", "standard"])
def test_columns_are_prepared_alike(scaling: str) -> None:
    columns = {**some_columns(), "constant": np.ones(300), "huge": np.linspace(-1e300, 1e300, 300)}
    columns["mostly zero"] = np.where(np.arange(300) % 10 == 0, np.arange(300.0), 0.0)
    kinds = {**KINDS, "constant": "number", "huge": "number", "mostly zero": "number"}
    preparation = fit_table(columns, kinds, scaling=scaling)
    strange = {name: values.copy() for name, values in columns.items()}
    strange["area"][:6] = [np.inf, -np.inf, 1e308, -1e308, 5e-324, np.nan]
    strange["ties"][:6] = [-1, 0, 0.5, 3, 4, np.nan]
    strange["huge"][:3] = [1e308, -1e308, 0.0]
    strange["value"][:2] = ["never seen", None]
    names = [name for name, kind in kinds.items() if kind != "category"]
    module = TableColumns(preparation, names)
    raw = [torch.from_numpy(column_as_raw(strange[name], kinds[name])) for name in names]
    raw += [torch.from_numpy(feature.encode(strange[feature.column])) for feature in preparation.categories]
    numbers, categories = preparation.transform(strange)
    own_numbers, own_categories = module(*raw)
    np.testing.assert_allclose(own_numbers.numpy(), numbers, rtol=1e-6, atol=1e-7)
    assert np.array_equal(own_categories.numpy(), categories)


def test_a_table_of_one_kind_of_column_alone() -> None:
    columns = {"a": np.arange(20.0), "b": np.array(["x", "y"] * 10, dtype=object)}
    numbers_only = TableColumns(fit_table(columns, {"a": "number"}), ["a"])
    numbers, categories = numbers_only(torch.arange(3.0, dtype=torch.float64))
    assert numbers.shape == (3, 1) and categories.shape == (3, 0) and categories.dtype == torch.int64
    categories_only = TableColumns(fit_table(columns, {"b": "category"}), [])
    numbers, categories = categories_only(torch.tensor([2, 0, 3]))
    assert numbers.shape == (3, 0) and categories.tolist() == [[2], [0], [3]]


@pytest.mark.parametrize("part", DATE_PARTS)
def test_parts_of_dates_equal_numpys(part: str) -> None:
    days = np.arange(-800_000, 800_000, 37)  # from before the year 0 to after 4000
    dates = (days * 86_400 + np.arange(len(days)) % 86_400).astype("datetime64[s]")
    dates[5] = np.datetime64("NaT")
    own = date_part(torch.from_numpy(column_as_raw(dates, "date")), part).numpy()
    np.testing.assert_allclose(own, number_part(dates, part), rtol=1e-12, atol=1e-12)


def test_an_unknown_part_of_a_date_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown part of a date 'hour'"):
        date_part(torch.zeros(1, dtype=torch.float64), "hour")


def test_normal_quantiles_equal_torchs() -> None:
    tails = torch.logspace(-300, -1, 2_000, dtype=torch.float64)
    middle = torch.linspace(0.001, 0.999, 5_000, dtype=torch.float64)
    shares = torch.cat([tails, middle, 1 - torch.logspace(-15, -1, 500, dtype=torch.float64)])
    torch.testing.assert_close(normal_quantiles(shares), torch.special.ndtri(shares), rtol=2e-15, atol=1e-15)
    ends = normal_quantiles(torch.tensor([0.0, 1.0], dtype=torch.float64))
    assert ends.isfinite().all() and ends[0] < -8 and ends[1] > 8


def test_spellings_of_a_category_share_its_code() -> None:
    codes = category_codes(CategoryFeature("c", ("3", "true", "Red"), missing=True))
    assert codes["3"] == codes["3.0"] == 2
    assert codes["true"] == codes["True"] == codes["TRUE"] == 3
    assert codes["Red"] == 4 and "red" not in codes
    assert codes[""] == codes["NA"] == 1
    assert category_codes(CategoryFeature("c", ("NA.",), missing=False))[""] == 0


def test_columns_of_which_only_other_parts_were_kept_are_made_up() -> None:
    bundle = table_bundle("regression", "mlp", "standard")
    assert isinstance(bundle.preparation, TablePreparation)
    kept = tuple(f for f in bundle.preparation.numbers if f.part not in ("value", "days"))
    preparation = TablePreparation(kept, ())
    columns = made_up_columns(bundle, preparation, 50, np.random.default_rng(0))
    assert set(columns) == {"area", "sold"} and columns["sold"].dtype.kind == "M"
    numbers, _ = preparation.transform(columns)
    assert numbers.shape == (50, len(kept)) and numbers.std(axis=0).min() > 0
