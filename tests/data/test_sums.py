"""Columns that make up the target together are found, however; what only a few rows make out is not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from unittest.mock import Mock

import numpy as np
import pytest

from flambeau.data.check import check_samples
from flambeau.data.duplicates import find_duplicates
from flambeau.data.samples import Samples
from flambeau.data.tables import sums
from flambeau.data.tables.sums import check_sums
from flambeau.recipe import Recipe
from flambeau.schema import Finding, Schema


def table_samples(columns: dict[str, np.ndarray], targets: np.ndarray) -> Samples:
    ids = tuple(f"row {index + 1}" for index in range(len(targets)))
    return Samples(Schema("table", "regression", "target"), ids, targets, columns=columns, digests=ids)


def findings_of(samples: Samples) -> dict[str, Finding]:
    found = check_samples(samples, find_duplicates(samples), None, (), Recipe())
    return {finding.code: finding for finding in found}


def counts_and_parts(rows: int = 300) -> tuple[dict[str, np.ndarray], np.ndarray]:
    generator = np.random.default_rng(3)
    columns = {
        "casual": generator.poisson(40, rows).astype(np.float64),
        "registered": generator.poisson(160, rows).astype(np.float64),
        "heat": generator.normal(15, 8, rows),
    }
    return columns, columns["casual"] + columns["registered"]


def test_columns_that_add_up_to_the_target_are_named_and_honest_ones_are_not() -> None:
    columns, total = counts_and_parts()
    found = findings_of(table_samples(columns, total))
    assert found["leak-through-covariate"].items == ("casual", "registered")
    assert "data.drop=[casual,registered]" in found["leak-through-covariate"].message
    assert "leaking-columns" not in found
    noisy = total + np.random.default_rng(4).normal(0, 2, len(total))
    assert findings_of(table_samples(columns, noisy)) == {}
    del columns["registered"]
    assert findings_of(table_samples(columns, total)) == {}


def test_columns_that_multiply_to_the_target_are_named() -> None:
    generator = np.random.default_rng(5)
    columns = {
        "pieces": generator.integers(1, 50, 200).astype(np.float64),
        "each": generator.lognormal(2, 1, 200).round(2),
        "age": generator.normal(40, 9, 200),
    }
    found = findings_of(table_samples(columns, (columns["pieces"] * columns["each"]).round(2)))
    assert found["leak-through-covariate"].items == ("pieces", "each")
    assert "multiply to it" in found["leak-through-covariate"].message


def test_rows_far_off_do_not_make_a_sum() -> None:
    """Two mistyped rows hold nearly all the variance, and any two columns that are far off there as well meet them."""
    generator = np.random.default_rng(7)
    living, lot = generator.normal(100, 25, 1500), generator.normal(600, 150, 1500)
    price = 2_000 * living + generator.normal(0, 60_000, 1500)
    for row, column in ((11, living), (700, lot)):
        column[row] *= 1_000
        price[row] *= 1_000
    assert findings_of(table_samples({"living": living, "lot": lot}, price)) == {}
    heavy = generator.lognormal(0, 1, (3, 2_000))
    heavy[0, 5], heavy[1, 9], heavy[2, 5], heavy[2, 9] = 1e5, 1e5, 3e5, 2e5
    assert "leak-through-covariate" not in findings_of(
        table_samples({"a": heavy[0], "b": heavy[1]}, heavy[2])
    )


@pytest.mark.parametrize(
    ("of", "words"),
    [
        (lambda a, b: a + b, "add up to it"),
        (lambda a, b: a - b, "as a weighted sum, such as a difference"),
        (lambda a, b: 3 * a - 0.2 * b + 100, "as a weighted sum"),
        (lambda a, b: a * b, "multiply to it"),
        (lambda a, b: a / b, "as a product of their powers, such as a quotient"),
    ],
)
def test_how_columns_make_up_the_target(of: Callable[..., np.ndarray], words: str) -> None:
    a, b = np.random.default_rng(8).lognormal(2, 0.5, (2, 400))
    assert words in findings_of(table_samples({"a": a, "b": b}, of(a, b)))["leak-through-covariate"].message


def test_a_zero_or_a_missing_part_here_and_there_hides_no_sum() -> None:
    generator = np.random.default_rng(9)
    pieces, each = generator.poisson(2, 400).astype(np.float64), generator.lognormal(2, 1, 400)
    assert (pieces == 0).mean() > 0.1
    found = findings_of(table_samples({"pieces": pieces, "each": each}, pieces * each))
    assert found["leak-through-covariate"].items == ("pieces", "each")
    cheap = generator.lognormal(1, 1, 400)
    assert findings_of(table_samples({"pieces": pieces + 1, "each": cheap}, ((pieces + 1) * cheap).round(2)))
    columns, total = counts_and_parts()
    columns["casual"][::8] = np.nan
    assert findings_of(table_samples(columns, total))["leak-through-covariate"].items == (
        "casual",
        "registered",
    )


def test_a_sum_of_many_columns_is_found_soon_and_told_in_short() -> None:
    columns = {
        f"c{place}": values for place, values in enumerate(np.random.default_rng(10).normal(size=(60, 400)))
    }
    with pytest.MonkeyPatch.context() as patch:
        solve = Mock(wraps=sums._weights)
        patch.setattr(sums, "_weights", solve)
        finding = check_sums(table_samples(columns, np.sum(list(columns.values()), axis=0)))[0]
    assert len(finding.items) == 60 and solve.call_count < 12
    assert "and 52 more add up to it" in finding.message and len(finding.message) < 300


def test_sums_are_not_looked_for_in_the_test_part_nor_where_rows_are_few() -> None:
    columns, total = counts_and_parts()
    parts = np.where(np.arange(300) < 250, "train", "test")
    mixed = np.where(parts == "train", np.random.default_rng(6).permutation(total), total)
    assert findings_of(replace(table_samples(columns, mixed), parts=parts)) == {}
    wide = {f"x{place}": np.random.default_rng(place).normal(size=40) for place in range(39)}
    assert findings_of(table_samples(wide, np.random.default_rng(99).normal(size=40))) == {}
    missing = {name: np.where(np.arange(300) % 40 == 7, np.nan, values) for name, values in columns.items()}
    found = findings_of(table_samples(missing, total))
    assert found["leak-through-covariate"].items == ("casual", "registered")
