"""The preparation of a table: fitted on given rows only, exact through JSON, unshaken by odd values."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.preprocessing import QuantileTransformer, RobustScaler, StandardScaler

from flambeau.transforms.scaling import DATE_PARTS
from flambeau.transforms.table import MISSING, UNKNOWN, TablePreparation, TargetScaler, fit_table, fit_target

KINDS = {"age": "number", "member": "boolean", "town": "category", "sold": "date"}


def make_columns(rows: int = 400, seed: int = 0) -> dict[str, np.ndarray]:
    random = np.random.default_rng(seed)
    age = random.gamma(2.0, 20.0, rows)
    age[::7] = np.nan
    towns = np.array(["Ulm", "Bonn", "Köln", None], dtype=object)[random.integers(0, 4, rows)]
    days = random.integers(0, 8000, rows).astype("datetime64[D]").astype("datetime64[s]")
    days[3] = np.datetime64("NaT")
    return {"age": age, "member": random.integers(0, 2, rows).astype(float), "town": towns, "sold": days}


def number(values: np.ndarray, **options: str) -> np.ndarray:
    prepared = fit_table({"x": values}, {"x": "number"}, **options)
    return prepared.transform({"x": values})[0]


@pytest.mark.parametrize("scaling", ["quantile", "robust", "standard"])
def test_survives_json_exactly(scaling: str) -> None:
    columns = make_columns()
    prepared = fit_table(columns, KINDS, scaling=scaling)
    again = TablePreparation.from_json(json.loads(json.dumps(prepared.to_json())))
    assert again == prepared
    for ours, theirs in zip(prepared.transform(columns), again.transform(columns), strict=True):
        np.testing.assert_array_equal(ours, theirs)


@pytest.mark.parametrize("scaling", ["quantile", "robust", "standard"])
def test_rows_do_not_depend_on_each_other_or_on_rows_not_fitted(scaling: str) -> None:
    columns = make_columns()
    train = {name: values[:200] for name, values in columns.items()}
    prepared = fit_table(train, KINDS, scaling=scaling)
    strange = {name: values.copy() for name, values in columns.items()}
    strange["age"][200:] = 1e12
    strange["town"][200:] = "Atlantis"
    numbers, categories = prepared.transform(strange)
    alone = prepared.transform({name: values[5:6] for name, values in columns.items()})
    np.testing.assert_array_equal(numbers[:200], prepared.transform(train)[0])
    np.testing.assert_array_equal(numbers[5:6], alone[0])
    np.testing.assert_array_equal(categories[5:6], alone[1])
    assert np.isfinite(numbers).all()
    assert (categories[200:] == UNKNOWN).all()


def test_shapes_names_and_types() -> None:
    columns = make_columns()
    prepared = fit_table(columns, KINDS)
    numbers, categories = prepared.transform(columns)
    parts = [("age", "value"), ("age", "missing"), ("member", "value")]
    dates = [("sold", part) for part in (*DATE_PARTS, "missing")]
    assert [(feature.column, feature.part) for feature in prepared.numbers] == [*parts, *dates]
    assert prepared.category_names == ("town",)
    assert prepared.cardinalities == (5,)
    assert numbers.shape == (400, 10) and numbers.dtype == np.float32
    assert categories.shape == (400, 1) and categories.dtype == np.int64
    assert prepared.one_hot(numbers, categories).shape == (400, 14)


def test_quantiles_agree_with_sklearn() -> None:
    values = np.random.default_rng(1).lognormal(size=3000)
    values[:900] = 0.5
    theirs = QuantileTransformer(n_quantiles=300, output_distribution="normal", subsample=None)
    np.testing.assert_allclose(number(values)[:, 0], theirs.fit_transform(values[:, None])[:, 0], atol=1e-3)


def test_robust_agrees_with_sklearn_before_the_clip() -> None:
    values = np.random.default_rng(1).standard_cauchy(500)
    scaled = RobustScaler().fit_transform(values[:, None])[:, 0]
    ours = number(values, scaling="robust")[:, 0]
    np.testing.assert_allclose(ours, scaled / np.sqrt(1 + (scaled / 3) ** 2), rtol=1e-5)
    assert np.abs(ours).max() <= 3


def test_standard_agrees_with_sklearn() -> None:
    values = np.random.default_rng(1).normal(7, 3, 500)
    theirs = StandardScaler().fit_transform(values[:, None])[:, 0]
    np.testing.assert_allclose(number(values, scaling="standard")[:, 0], theirs, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("scaling", ["quantile", "robust", "standard"])
@pytest.mark.parametrize(
    "values",
    [
        np.array([5.0] * 20),
        np.array([np.nan] * 20),
        np.array([0.0] * 19 + [1.0]),
        np.array([1e300, -1e300, 1.0, 0.0, np.nan] * 4),
        np.array([1.7e308, -1.7e308] * 10),
        np.array([np.inf, -np.inf, 1.0, 2.0] * 5),
        np.array([1e-310, 2e-310, 0.0, 0.0] * 5),
        np.array([3.0]),
    ],
)
def test_odd_columns_stay_finite(values: np.ndarray, scaling: str) -> None:
    prepared = fit_table({"x": values}, {"x": "number"}, scaling=scaling)
    queries = np.array([np.nan, np.inf, -np.inf, 0.0, -1e308, 1e308, 1.0])
    for rows in (values, queries):
        assert np.isfinite(prepared.transform({"x": rows})[0]).all()


def test_missing_numbers_take_the_median_and_are_marked() -> None:
    values = np.array([1.0, 2.0, 3.0, np.nan, np.inf, 10.0, 2.5])
    numbers = number(values, scaling="standard")
    filled = np.where(np.isfinite(values), values, 2.5)
    np.testing.assert_array_equal(np.argsort(numbers[:, 0], kind="stable"), np.argsort(filled, kind="stable"))
    assert numbers[3, 0] == numbers[4, 0] == numbers[6, 0]
    np.testing.assert_array_equal(numbers[:, 1], [0, 0, 0, 1, 1, 0, 0])


def test_categories_rank_by_frequency_and_share_the_rare_index() -> None:
    town = np.array(["b"] * 5 + ["a"] * 5 + ["c"] * 6 + ["d"] * 2 + [None] * 3, dtype=object)
    prepared = fit_table({"town": town}, {"town": "category"}, rare=3)
    assert prepared.categories[0].values == ("c", "a", "b")
    asked = np.array(["c", "a", "b", "d", "new", None], dtype=object)
    np.testing.assert_array_equal(
        prepared.transform({"town": asked})[1][:, 0], [2, 3, 4, UNKNOWN, UNKNOWN, MISSING]
    )


def test_missing_category_that_training_never_saw_is_unknown() -> None:
    prepared = fit_table({"town": np.array(["a"] * 5, dtype=object)}, {"town": "category"})
    assert prepared.transform({"town": np.array([None], dtype=object)})[1].item() == UNKNOWN


def test_one_hot_leaves_unknown_as_zeros() -> None:
    prepared = fit_table({"town": np.array(["a", "a", "b"], dtype=object)}, {"town": "category"}, rare=1)
    one_hot = prepared.one_hot(np.zeros((3, 0), dtype=np.float32), np.array([[2], [3], [0]]))
    np.testing.assert_array_equal(one_hot, [[0, 1, 0], [0, 0, 1], [0, 0, 0]])


def test_raw_features_keep_missing_values_and_bound_the_codes() -> None:
    town = np.array([f"t{i}" for i in range(400)] + [None], dtype=object)
    age = np.arange(401.0)
    age[7] = np.nan
    columns = {"town": town, "age": age}
    prepared = fit_table(columns, {"town": "category", "age": "number"}, rare=1)
    features, positions = prepared.raw_features(columns)
    assert positions == [1] and features.shape == (401, 2)
    np.testing.assert_array_equal(features[:, 0], age)
    assert np.isnan(features[400, 1]) and np.nanmax(features[:, 1]) == 254


def test_dates_become_parts() -> None:
    sold = np.array(["1970-01-01", "2024-02-29", "NaT"], dtype="datetime64[s]")
    prepared = fit_table({"sold": sold}, {"sold": "date"})
    features, _ = prepared.raw_features({"sold": sold})
    np.testing.assert_array_equal(features[0, :4], [0, 1970, 1, 3])
    np.testing.assert_array_equal(features[1, :4], [19782, 2024, 2, 3])
    assert np.isnan(features[2]).all()


def test_refusals_name_the_column() -> None:
    columns = make_columns()
    prepared = fit_table(columns, KINDS)
    with pytest.raises(ValueError, match="town"):
        prepared.transform({name: columns[name] for name in ("age", "member", "sold")})
    with pytest.raises(ValueError, match="'age' has kind 'image'"):
        fit_table(columns, {"age": "image"})
    with pytest.raises(ValueError, match="at least one training row"):
        fit_table({"age": np.empty(0)}, {"age": "number"})
    with pytest.raises(ValueError, match="got 'log'"):
        fit_table(columns, KINDS, scaling="log")
    with pytest.raises(ValueError, match="one length"):
        prepared.transform({**columns, "age": columns["age"][:5]})
    with pytest.raises(ValueError, match="not a preparation"):
        TablePreparation.from_json({"numbers": [{"column": "age"}], "categories": []})


def test_target_scaler_is_its_own_inverse() -> None:
    targets = np.array([100.0, 200.0, 400.0])
    scaler = fit_target(targets)
    assert abs(scaler.scale(targets).mean()) < 1e-6
    np.testing.assert_allclose(scaler.restore(scaler.scale(targets)), targets, rtol=1e-6)
    assert fit_target(np.array([3.0, 3.0])) == TargetScaler(3.0, 1.0)
    with pytest.raises(ValueError, match="finite"):
        fit_target(np.array([1.0, np.nan]))


def test_targets_by_their_logarithm() -> None:
    targets = np.array([1.0, 10.0, 100.0, 1000.0])
    scaler = fit_target(targets, log=True)
    scaled = scaler.scale(targets)
    assert scaled.mean() == pytest.approx(0, abs=1e-6) and np.ptp(np.diff(scaled)) == pytest.approx(
        0, abs=1e-6
    )
    assert scaler.restore(scaled) == pytest.approx(targets, rel=1e-5)
    with pytest.raises(ValueError, match="only targets above 0"):
        fit_target(np.array([0.0, 1.0]), log=True)
