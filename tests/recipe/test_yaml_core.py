"""YAML 1.2's scalar rules, positions, and the limits for files of strangers."""

from __future__ import annotations

import math
import time
from typing import Any

import pytest

from flambeau.errors import RecipeError
from flambeau.recipe.yaml_core import read_yaml


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-3", 0.001),
        ("1e3", 1000.0),
        (".5", 0.5),
        ("-1.5E+2", -150.0),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        ("12", 12),
        ("-0", 0),
        ("0o17", 15),
        ("0x1F", 31),
        ("010", 10),
        ("1_000", "1_000"),
        ("1:30", "1:30"),
        ("no", "no"),
        ("Yes", "Yes"),
        ("on", "on"),
        ("y", "y"),
        ("true", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("~", None),
        ("", None),
        ("null", None),
        ("2024-01-31", "2024-01-31"),
        ("'12'", "12"),
        ("!!str 12", "12"),
        ("=", "="),
        ("[1, a]", [1, "a"]),
        ("{a: {b: no}}", {"a": {"b": "no"}}),
    ],
)
def test_values_follow_the_core_schema(text: str, value: Any) -> None:
    read = read_yaml(f"key: {text}", "x.yaml").value["key"]
    assert read == value
    assert type(read) is type(value)


def test_nan_is_a_number() -> None:
    assert math.isnan(read_yaml("x: .NaN", "x.yaml").value["x"])


def test_each_value_has_its_line_and_column() -> None:
    document = read_yaml("a: 1\nb:\n  c: [x, y]\n", "x.yaml")
    assert document.places[("b", "c", 1)] == (3, 10)
    assert document.key_places[("b", "c")] == (3, 3)


def test_a_key_that_stands_twice_is_noted() -> None:
    assert read_yaml("a: 1\na: 2\n", "x.yaml").duplicates == [(("a",), (2, 1))]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1, 2", ":1:9: this is not YAML: expected ',' or ']', but got '<stream end>'"),
        ("a: 1\n---\nb: 2", ":2:1: this is not YAML: but found another document"),
        ("a: *b", ":1:4: this is not YAML: found undefined alias 'b'"),
        (
            "a: !!python/name:os.system ''",
            ":1:4: values of type 'tag:yaml.org,2002:python/name:os.system' are not read",
        ),
        ("a: !!timestamp 2024-01-31", ":1:4: values of type 'tag:yaml.org,2002:timestamp' are not read"),
        ("a: !!int ten", ":1:4: this is not a number of YAML: invalid literal for int() with base 10: 'ten'"),
        ("\x00", ": this is not YAML: unacceptable character #x0000: special characters are not allowed"),
        ("&a [*a]", ":1:1: aliases make this file too large to read"),
    ],
)
def test_what_is_not_plain_yaml_is_refused(text: str, message: str) -> None:
    with pytest.raises(RecipeError) as caught:
        read_yaml(text, "x.yaml")
    assert str(caught.value) == f"x.yaml{message}"


def test_a_number_of_many_thousand_digits_is_refused() -> None:
    with pytest.raises(RecipeError, match="not a number of YAML"):
        read_yaml("a: " + "9" * 5000, "x.yaml")


def test_aliases_cannot_ask_for_a_billion_values() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 10)]
    with pytest.raises(RecipeError, match="aliases make this file too large to read"):
        read_yaml("\n".join(lines), "x.yaml")


def test_deep_nesting_is_refused_at_once() -> None:
    start = time.perf_counter()
    with pytest.raises(RecipeError, match="nested more than 20 deep"):
        read_yaml("[" * 900_000, "x.yaml")
    assert time.perf_counter() - start < 5
