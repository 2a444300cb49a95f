"""Choices for texts: each is told, a person's own stay, and what says nothing of texts is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from flambeau.errors import FlambeauError
from flambeau.planning.effects import effect_findings
from flambeau.planning.texts import plan_text_length, plan_texts, plan_unknown, unknown_class
from flambeau.recipe import Choices, Recipe

MACHINE = {"device": "cpu", "cores": 2, "bf16": False}


def planned(rows: int = 5_000, task: str = "classification", classes: int = 4, **sections: Any) -> Choices:
    choices = Choices(Recipe.model_validate(sections))
    plan_texts(choices, rows=rows, task=task, classes=classes, machine=MACHINE)
    return choices


@pytest.mark.parametrize("model", ["text_bag", "text_cnn", "lstm", "gru", "rnn", "transformer"])
@pytest.mark.parametrize("rows", [30, 3_000, 3_000_000])
def test_every_open_value_is_chosen_with_a_reason(model: str, rows: int) -> None:
    recipe = planned(rows, model={"name": model}).recipe
    for value in (
        recipe.training.epochs,
        recipe.training.batch_size,
        recipe.training.bags,
        recipe.text.tokens,
    ):
        assert value is not None
    assert recipe.training.optimizer.lr is not None and recipe.model.width is not None
    assert (recipe.text.buckets is not None) == (model == "text_bag")
    assert (recipe.text.heads is not None) == (model == "transformer")


def test_a_bag_takes_longer_steps_where_classes_are_many() -> None:
    rates = []
    for classes in (0, 4, 150):
        choices = planned(classes=classes)
        rates.append(choices.recipe.training.optimizer.lr or 0)
        assert ("many classes" in choices.reasons["training.optimizer.lr"]) == (classes == 150)
    assert rates[0] == rates[1] < rates[2]


@pytest.mark.parametrize(
    ("rows", "classes", "sizes"),
    [(6_000, 4, (2**17, 32)), (6_000, 0, (2**17, 32)), (6_000, 150, (2**15, 96)), (500, 4, (2**15, 96))],
)
def test_many_texts_of_few_classes_have_more_and_narrower_vectors(
    rows: int, classes: int, sizes: tuple[int, int]
) -> None:
    recipe = planned(rows, classes=classes).recipe
    assert (recipe.text.buckets, recipe.model.width) == sizes
    kept = planned(rows, classes=classes, text={"buckets": 99}, model={"width": 7}).recipe
    assert (kept.text.buckets, kept.model.width) == (99, 7)
    other = planned(rows, classes=classes, text={"tokens": "words"}).recipe
    assert other.text.buckets is None and other.model.width == 96


def test_the_bags_of_a_run_that_may_not_know_leave_out_the_same_texts() -> None:
    reasons = [planned(text={"unknown": unknown}).reasons["training.bags"] for unknown in (False, True)]
    assert "another eighth" in reasons[0] and "the same ones" in reasons[1]
    assert "another fifth" in planned(15_000).reasons["training.bags"]


def test_a_given_value_stays() -> None:
    recipe = planned(text={"tokens": "bytes", "token_dropout": 0.2}, training={"batch_size": 7}).recipe
    assert (recipe.text.tokens, recipe.text.token_dropout, recipe.training.batch_size) == ("bytes", 0.2, 7)
    assert recipe.text.vocabulary is None and recipe.text.buckets is None


@pytest.mark.parametrize(
    ("counts", "text", "length"),
    [([7] * 1000, {}, 16), ([40] * 997 + [9_000] * 3, {}, 56), ([100_000] * 9, {}, 4096), ([], {}, 16)],
)
def test_the_length_holds_nearly_all_texts(counts: list[int], text: dict[str, Any], length: int) -> None:
    choices = planned(text=text)
    plan_text_length(choices, np.array(counts, dtype=np.int64))
    assert choices.recipe.text.length == length


def test_attention_reads_no_more_than_it_can() -> None:
    choices = planned(model={"name": "transformer"})
    plan_text_length(choices, np.array([3_000] * 10), most=300)
    assert choices.recipe.text.length == 300


@pytest.mark.parametrize(
    ("sections", "word"),
    [
        ({"text": {"tokens": "words", "buckets": 9}}, "text.buckets says nothing of words"),
        ({"text": {"vocabulary": 9}}, "text.vocabulary says nothing of ngrams"),
        ({"model": {"name": "tabm"}}, "no model 'tabm' for texts"),
        ({"model": {"name": "lstn"}}, "lstm"),
    ],
)
def test_what_cannot_be_is_refused(sections: dict[str, Any], word: str) -> None:
    with pytest.raises(FlambeauError) as caught:
        planned(**sections)
    assert word in str(caught.value)


@pytest.mark.parametrize(
    ("sections", "told"),
    [
        ({"text": {"heads": 2}}, "text.heads=2 has no effect with text_bag"),
        ({"image": {"size": (8, 8)}}, "image.size=(8, 8) has no effect on texts"),
        ({"table": {"scaling": "robust"}}, "table.scaling=robust has no effect on texts"),
        ({"model": {"depth": 3}}, "model.depth=3 has no effect with text_bag"),
        ({"model": {"name": "lstm", "depth": 3}}, ""),
        ({"text": {"token_dropout": 0.2}}, ""),
    ],
)
def test_options_without_effect_are_named(sections: dict[str, Any], told: str) -> None:
    choices = planned(**sections)
    found = effect_findings(choices, task="classification", pictures=False, pretrained=False, texts="alone")
    assert [finding.message for finding in found if told and told in finding.message] or not (told or found)


def test_options_of_texts_say_nothing_where_there_are_none() -> None:
    choices = Choices(Recipe.model_validate({"text": {"tokens": "words"}}))
    found = effect_findings(choices, task="classification", pictures=False, pretrained=False)
    assert "where there are no texts" in found[0].message


def test_a_class_that_stands_for_what_is_out_of_scope_is_known_by_its_name() -> None:
    assert unknown_class(("a", "Out of scope", "b")) == "Out of scope"
    assert unknown_class(("a", "b")) is None
    for classes, wanted in ((("oos", "weather"), True), (("good", "bad"), False)):
        choices = Choices(Recipe())
        plan_unknown(choices, task="classification", classes=classes)
        assert choices.recipe.text.unknown is wanted
    with pytest.raises(FlambeauError, match="exclude each other"):
        plan_unknown(
            Choices(Recipe.model_validate({"text": {"unknown": True}})), task="regression", classes=()
        )


def test_bags_of_texts_with_an_operating_point_leave_out_the_same() -> None:
    reasons: dict[str, str] = {}
    options = {"evaluation": {"operating_point": "youden"}}
    choices = Choices(
        Recipe.model_validate(options), lambda key, value, reason: reasons.update({key: reason})
    )
    plan_texts(choices, rows=3_000, task="classification", classes=2, machine=MACHINE)
    assert choices.recipe.training.bags == 5 and "the same ones" in reasons["training.bags"]
