"""Recipes out: the file that a run keeps, the table of options, the schema for editors."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from flambeau.recipe import (
    Choices,
    Recipe,
    load_recipe,
    option_rows,
    recipe_json_schema,
    recipe_to_yaml,
    with_settings,
)
from flambeau.recipe.describe import ALIASES, SECTIONS_OF_ONE_KIND, nearest_key, options

EPOCHS = "Passes over the training samples; 0 only for models that are solved in closed form."

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=30)
KINDS = st.sampled_from(["image", "number", "category", "boolean", "date", "text"])
SOME_SETTINGS = st.fixed_dictionaries(
    {},
    optional={
        "source": TEXT,
        "model.name": TEXT.filter(lambda text: text != "auto"),
        "data.target": TEXT,
        "data.drop": st.lists(TEXT, max_size=4),
        "data.columns": st.dictionaries(TEXT, KINDS, max_size=4),
        "training.optimizer.lr": st.floats(0, 10, exclude_min=True),
        "training.minutes": st.floats(1e-300, 1e300),
        "training.epochs": st.integers(1, 100_000),
        "image.size": st.one_of(st.integers(1, 4096), st.lists(st.integers(1, 4096), min_size=2, max_size=2)),
        "split.refit": st.booleans(),
        "image.augment.flip_vertical": st.none() | st.booleans() | st.just("auto"),
    },
)


@settings(max_examples=60, deadline=None)
@given(SOME_SETTINGS, st.dictionaries(st.sampled_from(["seed", "training.epochs", "data.drop"]), TEXT))
def test_what_is_written_loads_back_equal(values: dict[str, Any], reasons: dict[str, str]) -> None:
    recipe = with_settings(Recipe(), values)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "recipe.yaml"
        path.write_text(recipe_to_yaml(recipe, reasons), encoding="utf-8", newline="\n")
        assert load_recipe(path) == recipe


def test_each_value_has_its_reason_or_meaning_beside_it() -> None:
    choices = Choices(with_settings(Recipe(), {"seed": 7, "training.epochs": "auto"}))
    choices.choose("training.optimizer.lr", 0.003, "usual for AdamW\n on 1,797 pictures")
    lines = recipe_to_yaml(choices).splitlines()
    assert "seed: 7                               # given. Seed of everything random." in lines
    assert "    lr: 0.003                         # usual for AdamW on 1,797 pictures" in lines
    assert f"  epochs: auto                        # {EPOCHS}" in lines
    assert "image:                                # How pictures become tensors." in lines


def test_every_option_is_written() -> None:
    written = yaml.safe_load(recipe_to_yaml(Recipe()))
    for key in options():
        value = written
        for name in key.split("."):
            assert name in value, key
            value = value[name]


def test_the_table_lists_every_option_with_words() -> None:
    rows = {row.key: row for row in option_rows()}
    assert rows["training.optimizer.lr"].takes == "a number above 0 and at most 10"
    assert rows["training.optimizer.lr"].default == "auto"
    assert rows["split.train"].default == "0.7"
    assert rows["image.resize"].takes == "stretch, pad or crop"
    without_words = [row.key for row in rows.values() if not (row.takes and row.meaning)]
    assert without_words == []


def test_the_schema_for_editors_knows_auto_descriptions_and_refuses_other_keys() -> None:
    schema = recipe_json_schema()
    training = schema["$defs"]["TrainingOptions"]
    assert {"const": "auto"} in training["properties"]["epochs"]["anyOf"]
    assert training["properties"]["epochs"]["description"] == EPOCHS
    assert training["additionalProperties"] is False
    size = schema["$defs"]["ImageOptions"]["properties"]["size"]["anyOf"]
    assert [choice.get("type") for choice in size] == ["integer", "array", "null", None]


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("lr", "training.optimizer.lr"),
        ("learning_rate", "training.optimizer.lr"),
        ("training.lr", "training.optimizer.lr"),
        ("batch-size", "training.batch_size"),
        ("batchsize", "training.batch_size"),
        ("wd", "training.optimizer.weight_decay"),
        ("trainng.epochs", "training.epochs"),
        ("optimizer", "training.optimizer"),
        ("image.augment.flip_horisontal", "image.augment.flip_horizontal"),
        ("normalize", "image.normalise"),
        ("warmpu", "training.schedule.warmup"),
        ("quux", ""),
        ("epochs", "training.epochs"),
        ("chats.epochs", "chat.epochs"),
        ("beta1", "training.optimizer.momentum"),
        ("training.optimizer.beta1", "training.optimizer.momentum"),
    ],
)
def test_the_key_that_was_meant(wrong: str, meant: str) -> None:
    assert nearest_key(wrong) == meant


def test_aliases_lead_to_options_and_hide_none() -> None:
    assert [target for target in ALIASES.values() if target not in options()] == []
    # an option of one kind of data may be named as another is called elsewhere; with its section it is still found
    own = {key: key.rsplit(".", 1)[-1].replace("_", "") for key in options()}
    for key in (key for key, word in own.items() if word in ALIASES):
        section, word = key.rsplit(".", 1)
        assert section in SECTIONS_OF_ONE_KIND
        assert nearest_key(f"{section}s.{word}") == key
