"""What is tried before a training: only what is right, on parts that are as the recipe says, within memory."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from flambeau.errors import ModelError, RecipeError
from flambeau.pipeline import train
from flambeau.planning.numbers import Work, wrong_numbers
from flambeau.planning.rules import plan_schedule
from flambeau.recipe import Choices, Recipe, load_recipe, with_settings
from flambeau.stages.engine import speed
from flambeau.stages.engine.finders import RateTest, find_batch, find_rate, run_range_test
from flambeau.stages.engine.memory_limit import SHARE_OF_KEPT, keep_memory_limit, while_it_fits
from flambeau.stages.engine.speed import set_epochs
from flambeau.stages.engine.timing import HOPELESS, ROUNDS_OF_TUNING, Numbers, tune_precision, ways_to_compute
from flambeau.stages.engine.work import Memory
from flambeau.stages.journal import Journal

CPU, CUDA = torch.device("cpu"), torch.device("cuda")
PLAIN = Work(operations=4e9, products=10, calls=60, convolutions=True, grouped=False, narrow=False)
NARROW = Work(**{**PLAIN.__dict__, "narrow": True})
TINY = {
    "training.epochs": 1,
    "split.folds": 0,
    "evaluation.baselines": False,
    "evaluation.resamples": 100,
    "training.bags": 1,
}


@pytest.fixture(autouse=True)
def route_as_before() -> Any:
    route = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(route)


@pytest.fixture
def records() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def journal(records: list[dict[str, Any]]) -> Journal:
    return Journal(records.append)


def choices_of(training: dict[str, Any], **others: Any) -> Choices:
    return Choices(Recipe.model_validate({"training": training, **others}))


@pytest.mark.parametrize(
    ("device", "training", "work", "expected"),
    [
        (CPU, {}, PLAIN, {"fp32", "bf16", "contiguous", "channels_last"}),
        (CPU, {}, NARROW, {"fp32", "contiguous", "channels_last"}),
        (CPU, {"optimizer": {"name": "lbfgs"}}, PLAIN, {"fp32", "bf16", "contiguous"}),
        (CUDA, {}, NARROW, {"fp32", "bf16", "fp16", "contiguous", "channels_last"}),
        (CUDA, {"optimizer": {"name": "lbfgs"}}, PLAIN, {"fp32", "bf16", "contiguous"}),
        (CUDA, {"distributed": "fsdp"}, PLAIN, {"fp32", "bf16", "contiguous", "channels_last"}),
        (CPU, {"precision": "fp32"}, PLAIN, {"fp32", "contiguous", "channels_last"}),
    ],
)
def test_tuning_leaves_out_what_would_be_wrong(
    device: torch.device, training: dict[str, Any], work: Work, expected: set[str]
) -> None:
    choices = choices_of(training)
    for key in ("precision", "memory_format", "matmul"):
        chosen = {"precision": "fp32", "memory_format": "contiguous", "matmul": "highest"}[key]
        choices.choose(f"training.{key}", chosen, "by a rule, so it may be timed")
    wrong = wrong_numbers(choices.recipe, device.type, work)
    ways = ways_to_compute(choices, device, pictures=True, wrong=wrong)
    assert {word for way in ways for word in way.words()[:2]} == expected


def test_tuning_fixes_the_fastest_and_gives_up_hopeless_ways(
    journal: Journal, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    choices = choices_of({"matmul": "highest"}, device="cpu")
    timed: list[Numbers] = []
    fastest, hopeless = (
        Numbers("fp32", "channels_last", "highest"),
        Numbers("fp32", "contiguous", "highest"),
    )

    def make() -> Any:
        options = choices.recipe.training
        return Numbers(str(options.precision), str(options.memory_format), str(options.matmul))

    def step_seconds(way: Numbers, most: float) -> list[float]:
        timed.append(way)
        assert most < 60
        return [{fastest: 1.0, hopeless: HOPELESS}.get(way, 2.0)]

    monkeypatch.setattr("flambeau.stages.engine.timing.step_seconds", step_seconds)
    wrong = {"bf16": "it is wrong here", "fp16": "this is a CPU"}
    tune_precision(make, choices, journal, pictures=True, wrong=wrong)
    assert timed.count(fastest) == ROUNDS_OF_TUNING
    assert timed.count(hopeless) == 1
    assert len(timed) == ROUNDS_OF_TUNING + 1
    assert (choices.recipe.training.precision, choices.recipe.training.memory_format) == (
        None,
        "channels_last",
    )
    assert "timed" in choices.reasons["training.memory_format"]
    notes = [record["text"] for record in records if record["kind"] == "note"]
    assert "bf16 is not timed: it is wrong here" in notes
    assert any("timing again" in note for note in notes)


def test_tuning_of_lbfgs_ends_in_a_model(
    tmp_path: Path, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (60, 8, 8, 1)).astype(np.uint8)
    data = tmp_path / "data.npz"
    np.savez(data, images=pixels, labels=np.arange(60) % 2)

    def step_seconds(parts: Any, **limits: float) -> list[float]:
        layouts = [
            p.is_contiguous(memory_format=torch.channels_last)
            for p in parts.model.parameters()
            if p.ndim == 4
        ]
        return [0.1 if all(layouts) else 1.0]

    monkeypatch.setattr("flambeau.stages.engine.timing.step_seconds", step_seconds)
    wanted = with_settings(Recipe(), {**TINY, "training.optimizer.name": "lbfgs", "device": "cpu"})
    run = train(str(data), wanted, out=tmp_path / "run", tune=True, listener=records.append)
    assert load_recipe(run.recipe).training.memory_format == "contiguous"
    table = next(record for record in records if record.get("title") == "a training step")
    assert {row[1] for row in table["rows"][1:]} == {"contiguous"}


def test_each_stage_sees_parts_as_the_recipe_says_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: dict[str, Any] = {}

    def fit(choices: Choices, machine: Any, work: Work) -> None:
        before = choices.recipe.training.precision
        seen["changed to"] = "fp32" if before == "bf16" else "bf16"
        choices.fix("training.precision", seen["changed to"], "for the test")

    def find(trial: Any, choices: Choices, journal: Journal, rows: int) -> None:
        choices.fix("training.batch_size", 24, "for the test")
        choices.fix("training.batch_finder", False, "for the test")

    def keep(make: Any, choices: Choices) -> None:
        seen.setdefault("kept for", make().technique.precision)

    def compiling(parts: Any, choices: Choices, *others: Any, **named: Any) -> None:
        seen["compiled for"] = parts.batches.batch_size
        choices.choose("training.compile", False, "for the test")

    for name, stub in (
        ("fit_numbers_to_work", fit),
        ("find_batch", find),
        ("keep_memory_limit", keep),
        ("choose_compiling", compiling),
    ):
        monkeypatch.setattr(speed, name, stub)
    monkeypatch.setattr("flambeau.planning.tables.plan_numbers", without_compiling)
    wanted = with_settings(Recipe(), {**TINY, "training.batch_finder": True, "device": "cpu"})
    train("wine", wanted, out=tmp_path / "run")
    assert seen["kept for"] == seen["changed to"]
    assert seen["compiled for"] == 24


def without_compiling(choices: Choices, machine: Any, *, pictures: bool) -> None:
    """As on CUDA, compiling stays open until the trial."""
    for key, value in (("precision", "fp32"), ("matmul", "highest"), ("memory_format", "contiguous")):
        choices.choose(f"training.{key}", value, "for the test")
    choices.choose("training.recompute", False, "for the test")


def test_memory_that_runs_out_in_a_finder_halves_the_samples_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tries: list[int] = []

    def test_of_rates(parts: Any) -> RateTest:
        tries.append(parts.technique.micro_batch)
        if len(tries) < 3:
            raise torch.OutOfMemoryError("out of memory")
        return run_range_test(parts)

    monkeypatch.setattr("flambeau.stages.engine.finders.run_range_test", test_of_rates)
    wanted = with_settings(Recipe(), {**TINY, "training.lr_finder": True, "training.batch_size": 32})
    run = train("wine", wanted, out=tmp_path / "run")
    assert tries == [0, 16, 8]
    assert load_recipe(run.recipe).training.micro_batch == 8


def test_memory_without_end_and_other_errors_are_told() -> None:
    def too_large() -> None:
        raise torch.OutOfMemoryError("out of memory")

    def broken() -> None:
        raise RuntimeError("another error")

    with pytest.raises(ModelError, match="one sample at a time"):
        while_it_fits(too_large, choices_of({"batch_size": 4}))
    with pytest.raises(RuntimeError, match="another error"):
        while_it_fits(broken, choices_of({"batch_size": 4}))


def test_falls_of_the_rate_follow_the_epochs_that_fit_into_the_minutes(journal: Journal) -> None:
    choices = choices_of({"minutes": 10.0, "schedule": {"name": "step"}})
    choices.choose("training.epochs", 30, "a guess")
    plan_schedule(choices)
    set_epochs(1.0, choices, journal, 1)
    options = choices.recipe.training
    assert options.minutes is None and options.epochs is not None and options.epochs > 500
    assert options.schedule.step_size == round(options.epochs / 3)
    given = choices_of({"minutes": 10.0, "schedule": {"name": "multi_step", "milestones": [200, 300]}})
    given.choose("training.epochs", 30, "a guess")
    plan_schedule(given)
    set_epochs(1.0, given, journal, 1)
    assert given.recipe.training.schedule.milestones == [200, 300]
    late = choices_of({"minutes": 1.0, "schedule": {"name": "multi_step", "milestones": [200]}})
    plan_schedule(late)
    with pytest.raises(RecipeError, match="over before the rate falls"):
        set_epochs(1.0, late, journal, 1)


def test_lbfgs_needs_neither_a_search_for_its_rate_nor_for_its_batch(
    journal: Journal, records: list[dict[str, Any]]
) -> None:
    choices = choices_of({"optimizer": {"name": "lbfgs"}, "lr_finder": True, "batch_finder": True})

    def never() -> Any:
        raise AssertionError("nothing is tried")

    find_batch(never, choices, journal, 500)
    find_rate(never, choices, journal)
    assert not choices.recipe.training.lr_finder and not choices.recipe.training.batch_finder
    assert [record["kind"] for record in records] == ["note", "note"]
    assert "LBFGS" in choices.reasons["training.batch_finder"]


@pytest.mark.parametrize("folds", [0, 3])
def test_a_rate_from_samples_that_other_folds_test_is_told_as_such(
    folds: int, tmp_path: Path, records: list[dict[str, Any]]
) -> None:
    wanted = with_settings(Recipe(), {**TINY, "split.folds": folds, "training.lr_finder": True})
    run = train("wine", wanted, out=tmp_path / "run", listener=records.append)
    (line,) = (line for line in run.recipe.read_text().splitlines() if line.startswith("    lr: "))
    assert ("other folds test these samples" in line) is (folds > 1)


def memory_limited(training: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> Choices:
    """The limit kept where 16 samples fit as they are, and 64 with blocks computed again."""
    memory = Memory(fixed=0, kept=4e6, kept_recomputing=1e6)
    monkeypatch.setattr("flambeau.stages.engine.memory_limit.memory_of", lambda parts: memory)
    limit = 64.1e-3 / SHARE_OF_KEPT
    choices = choices_of({"batch_size": 64, "memory_limit_gb": limit, **training})
    keep_memory_limit(lambda: SimpleNamespace(), choices)  # type: ignore[arg-type,return-value]
    return choices


def test_a_limit_of_memory_keeps_what_the_person_gave(monkeypatch: pytest.MonkeyPatch) -> None:
    for training, recompute, micro in (
        ({}, False, 16),
        ({"recompute": True}, True, None),
        ({"recompute": False}, False, 16),
        ({"compile": True}, False, 16),
        ({"memory_limit_gb": 17e-3}, True, 8),
        ({"memory_limit_gb": 17e-3, "compile": True}, False, 2),
        ({"micro_batch": 8}, False, 8),
    ):
        options = memory_limited(training, monkeypatch).recipe.training
        assert (options.recompute, options.micro_batch) == (recompute, micro), training


@pytest.mark.parametrize(("recompute", "needed"), [(False, "0.26 GB"), (None, "0.064 GB")])
def test_a_micro_batch_above_the_limit_is_told_with_what_it_needs(
    recompute: bool | None, needed: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RecipeError, match=f"64 samples at once, which need {needed}"):
        memory_limited({"micro_batch": 64, "recompute": recompute, "memory_limit_gb": 30e-3}, monkeypatch)
