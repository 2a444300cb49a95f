"""Defaults for tables: functions of the data, each with a reason, never over a person's own value."""

from __future__ import annotations

from typing import Any

import pytest

from flambeau.planning.tables import bags_for, batch_for, bins_for, epochs_for, plan_table, rate_for
from flambeau.recipe import Choices, Recipe

CPU = {"device": "cpu", "cores": 2, "bf16": True}


def plan(
    rows: int = 10_000, task: str = "classification", recipe: Recipe | None = None, **facts: Any
) -> Choices:
    choices = Choices(recipe or Recipe())
    known: dict[str, Any] = {"number_features": 6, "machine": CPU}
    plan_table(choices, rows=rows, task=task, **{**known, **facts})
    return choices


@pytest.mark.parametrize("rows", [10, 300, 900, 5_000, 20_000, 300_000, 5_000_000])
@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_every_open_value_is_filled_and_told(rows: int, task: str) -> None:
    choices = plan(rows, task)
    for section in (choices.recipe.table, choices.recipe.model, choices.recipe.training.optimizer):
        # those that stay open mean: as the model's or the optimizer's own constructor has it
        values = section.model_dump(
            exclude={"arch", "pretrained", "activation", "normalisation", "init", "eps"}
        )
        assert None not in values.values(), values
    left_to_others = {
        "minutes",
        "micro_batch",
        "class_weights",
        "batch_norm_momentum",
        "memory_limit_gb",
        "distributed",
    }
    training = choices.recipe.training.model_dump(exclude=left_to_others)
    assert None not in training.values(), training
    assert all(len(reason) > 5 for reason in choices.reasons.values())


def test_a_persons_value_stays() -> None:
    recipe = Recipe.model_validate({"table": {"bins": 3}, "training": {"bags": 2, "optimizer": {"lr": 0.5}}})
    choices = plan(recipe=recipe)
    assert choices.recipe.table.bins == 3
    assert choices.recipe.training.bags == 2
    assert choices.recipe.training.optimizer.lr == 0.5
    assert not {"table.bins", "training.bags", "training.optimizer.lr"} & choices.reasons.keys()


def test_an_own_module_and_a_plain_net_are_not_given_members() -> None:
    own = plan(recipe=Recipe.model_validate({"model": {"name": "net.py:Net"}})).recipe.model
    assert own.width is None and own.members is None
    plain = plan(recipe=Recipe.model_validate({"model": {"name": "mlp"}})).recipe.model
    assert plain.width is not None and plain.members is None
    assert (plain.activation, plain.normalisation) == ("relu", "none")
    assert own.activation is None and plan().recipe.model.activation is None


def test_choices_depend_on_the_kind_of_machine_only() -> None:
    first = plan(machine={"device": "cpu", "cores": 2, "bf16": True}).recipe
    assert first == plan(machine={"device": "cpu", "cores": 64, "bf16": True}).recipe
    assert first.training.precision == "bf16"
    for device, bf16 in (("cpu", False), ("mps", True), ("cuda", False)):
        machine = {"device": device, "cores": 2, "bf16": bf16}
        assert plan(machine=machine).recipe.training.precision == "fp32"


def test_no_numbers_need_no_bins() -> None:
    assert plan(number_features=0).recipe.table.bins == 0


def test_more_rows_bear_more_and_are_seen_less_often() -> None:
    sizes = [100, 800, 4_000, 20_000, 100_000, 1_000_000]
    bins = [bins_for(rows, 5)[0] for rows in sizes]
    batches = [batch_for(rows)[0] for rows in sizes]
    assert bins == sorted(bins) and bins[0] < bins[-1]
    assert batches == sorted(batches) and batches[0] < batches[-1]
    decays = [rate_for(rows, "regression")[1] for rows in sizes]
    assert decays == sorted(decays, reverse=True)
    assert bags_for(1_000_000)[0] == 1 and all(bags_for(rows)[0] >= 5 for rows in sizes[:4])
    long = [epochs_for(rows, "regression")[0] for rows in (20_000, 50_000, 1_000_000)]
    assert long == sorted(long, reverse=True) and long[0] > long[-1]


@pytest.mark.parametrize("rows", [800, 1_500, 20_000])
def test_bags_that_leave_out_the_same_rows_are_not_said_to_leave_out_others(rows: int) -> None:
    reasons: dict[str, str] = {}
    options = {"evaluation": {"operating_point": "youden"}}
    choices = Choices(
        Recipe.model_validate(options), lambda key, value, reason: reasons.update({key: reason})
    )
    plan_table(choices, rows=rows, task="classification", number_features=6, machine=CPU)
    assert choices.recipe.training.bags == 5
    assert "another" not in reasons["training.bags"]
    assert ("the same ones" in reasons["training.bags"]) == (rows >= 1_000)
    assert "another" in bags_for(rows)[1]
