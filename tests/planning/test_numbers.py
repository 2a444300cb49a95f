"""Precision, route, layout and compiling: by the kind of machine first, then by the model's own work."""

from __future__ import annotations

from typing import Any

import pytest

from flambeau.errors import DeviceError, RecipeError
from flambeau.planning.machine import describe_machine, resolve_device
from flambeau.planning.numbers import (
    Work,
    compiling_pays,
    fit_numbers_to_work,
    graphs_pay,
    plan_numbers,
    warning_of_numbers,
)
from flambeau.recipe import Choices, Recipe

ZEN5 = {"device": "cpu", "cores": 2, "bf16": True, "fp16": False, "amd": True}
OLD_CPU = {**ZEN5, "bf16": False}
INTEL = {**ZEN5, "amd": False, "bf16": False}
H100 = {**ZEN5, "device": "cuda", "amd": False, "fp16": True}
VOLTA = {**H100, "bf16": False}
APPLE = {**ZEN5, "device": "mps", "bf16": False, "amd": False}

LARGE = Work(operations=4e9, products=10, calls=60, convolutions=False, grouped=False, narrow=False)


def work(**facts: Any) -> Work:
    return Work(**{**LARGE.__dict__, **facts})


def planned(machine: dict[str, Any], recipe: dict[str, Any] | None = None, pictures: bool = False) -> Choices:
    choices = Choices(Recipe.model_validate({"training": recipe or {}}))
    plan_numbers(choices, machine, pictures=pictures)
    return choices


def numbers(choices: Choices) -> tuple[Any, ...]:
    options = choices.recipe.training
    return options.precision, options.matmul, options.memory_format


@pytest.mark.parametrize(
    ("machine", "pictures", "expected"),
    [
        (ZEN5, False, ("bf16", "highest", "contiguous")),
        (ZEN5, True, ("bf16", "highest", "channels_last")),
        (OLD_CPU, False, ("fp32", "medium", "contiguous")),
        (OLD_CPU, True, ("fp32", "highest", "channels_last")),
        (INTEL, False, ("fp32", "highest", "contiguous")),
        (H100, True, ("bf16", "high", "channels_last")),
        (VOLTA, True, ("fp16", "high", "channels_last")),
        (APPLE, True, ("fp32", "highest", "contiguous")),
    ],
)
def test_the_kind_of_machine_decides_before_there_is_a_model(
    machine: dict[str, Any], pictures: bool, expected: tuple[str, ...]
) -> None:
    choices = planned(machine, pictures=pictures)
    assert numbers(choices) == expected
    assert choices.recipe.training.recompute is False
    assert choices.recipe.training.compile is (None if machine["device"] == "cuda" else False)


@pytest.mark.parametrize(
    ("facts", "words"),
    [
        ({"operations": 4e7}, "casting"),
        ({"convolutions": True, "grouped": True}, "groups"),
        ({"convolutions": True, "narrow": True}, "wrong"),
    ],
)
def test_models_that_bf16_slows_or_spoils_stay_in_fp32_and_are_told_why(
    facts: dict[str, Any], words: str
) -> None:
    choices = planned(ZEN5, pictures=True)
    fit_numbers_to_work(choices, ZEN5, work(**facts))
    assert choices.recipe.training.precision == "fp32"
    assert words in choices.reasons["training.precision"]
    gpu = planned(H100, pictures=True)
    fit_numbers_to_work(gpu, H100, work(**facts))
    assert gpu.recipe.training.precision == "bf16"


def test_work_that_bf16_speeds_up_stays_in_it() -> None:
    for facts in ({}, {"convolutions": True}):
        choices = planned(ZEN5)
        fit_numbers_to_work(choices, ZEN5, work(**facts))
        assert numbers(choices)[:2] == ("bf16", "highest")


def test_the_faster_route_is_for_large_products_in_fp32_on_amd() -> None:
    for machine, facts, expected in (
        (ZEN5, {}, "medium"),
        (ZEN5, {"operations": 4e7}, "highest"),
        (ZEN5, {"convolutions": True}, "highest"),
        (INTEL, {}, "highest"),
    ):
        choices = planned(machine, {"precision": "fp32"}, pictures="convolutions" in facts)
        fit_numbers_to_work(choices, machine, work(**facts))
        assert choices.recipe.training.matmul == expected, (machine, facts)


def test_what_a_person_gave_stays() -> None:
    choices = planned(ZEN5, {"precision": "bf16", "matmul": "high", "memory_format": "contiguous"}, True)
    fit_numbers_to_work(choices, ZEN5, work(operations=1e6, grouped=True))
    assert numbers(choices) == ("bf16", "high", "contiguous")


def test_bf16_that_gives_wrong_gradients_is_refused_even_where_it_was_asked_for() -> None:
    choices = planned(ZEN5, {"precision": "bf16"}, True)
    with pytest.raises(RecipeError, match="uninitialised memory"):
        fit_numbers_to_work(choices, ZEN5, work(narrow=True))


def test_fp16_on_a_cpu_is_told() -> None:
    assert "forty times" in warning_of_numbers("fp16", "cpu")
    assert [warning_of_numbers(*pair) for pair in (("bf16", "cpu"), ("fp16", "cuda"), (None, "cpu"))] == [
        ""
    ] * 3


def test_compiling_pays_only_on_cuda_and_only_for_long_runs() -> None:
    def pays(machine: dict[str, Any], steps: int, **changes: Any) -> bool:
        pays, reason = compiling_pays(
            machine, LARGE, steps=steps, precision="bf16", **{"recompute": False, **changes}
        )
        assert len(reason) > 10
        return pays

    assert not pays(ZEN5, 10**9)
    assert not pays(APPLE, 10**9)
    assert not pays(H100, 100)
    assert pays(H100, 10**6)
    assert not pays(H100, 10**6, recompute=True)


def test_graphs_are_for_models_that_wait_for_launches() -> None:
    assert graphs_pay(work(operations=1e6), "bf16")
    assert not graphs_pay(work(operations=1e13), "bf16")


@pytest.mark.parametrize("name", ["cuda:99", "gpu", "mps:3"])
def test_a_device_that_is_not_there_is_told_with_what_is(name: str) -> None:
    with pytest.raises(DeviceError) as caught:
        resolve_device(name)
    text = str(caught.value)
    assert name in text and "cpu" in text and "--device auto" in text


def test_the_machine_of_a_cpu_never_has_fast_fp16() -> None:
    machine = describe_machine(resolve_device("cpu"))
    assert machine["device"] == "cpu" and machine["cores"] >= 1
    assert machine["fp16"] is False
