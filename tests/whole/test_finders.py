"""What trials tell before a training: rate, batch, precision, memory, compiling; each fixed in the recipe and told."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import flambeau as fb
from flambeau.errors import FlambeauError, ModelError, RecipeError
from flambeau.planning.numbers import check_finders, leave_to_finders
from flambeau.recipe import Choices, Recipe, load_recipe
from flambeau.recipe.short_names import long_setting
from flambeau.stages.engine.finders import (
    FEWEST_STEPS,
    HIGHEST_RATE,
    LOWEST_RATE,
    STEPS_OF_TEST,
    batch_sizes,
    rate_of_step,
    rate_told_by,
)
from flambeau.stages.engine.memory_limit import FEWEST_AT_ONCE, GIGA, SHARE_OF_KEPT, memory_of
from flambeau.stages.engine.work import Memory

pytestmark = pytest.mark.slow

SMALL: dict[str, Any] = {
    "epochs": 1,
    "folds": 0,
    "baselines": False,
    "training": {"bags": 1},
    "evaluation": {"resamples": 100},
}


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(0)
    labels = np.arange(200) % 2
    pixels = generator.integers(0, 120, (200, 10, 10, 1)) + labels[:, None, None, None] * 60
    path = tmp_path_factory.mktemp("arrays") / "data.npz"
    np.savez(path, images=pixels.astype(np.uint8), labels=labels)
    return path


@pytest.fixture(autouse=True)
def route_as_before() -> Any:
    route = torch.get_float32_matmul_precision()
    yield
    torch.set_float32_matmul_precision(route)


def trained(data: Any, out: Path, **options: Any) -> tuple[fb.Run, list[dict[str, Any]]]:
    records: list[dict[str, Any]] = []
    merged = {**SMALL, **options}
    merged["training"] = {**SMALL["training"], **options.get("training", {})}
    return fb.train(data, out=out, on_record=records.append, **merged), records


def of_kind(records: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [record for record in records if record["kind"] == kind]


def last_choice(records: list[dict[str, Any]], key: str) -> dict[str, Any]:
    return [record for record in of_kind(records, "choice") if record["key"] == key][-1]


def test_rates_rise_by_the_same_factor() -> None:
    rates = [rate_of_step(step) for step in range(STEPS_OF_TEST)]
    assert rates[0] == LOWEST_RATE
    assert rates[-1] == pytest.approx(HIGHEST_RATE)
    factors = np.diff(np.log(rates))
    assert np.allclose(factors, factors[0])


def test_the_rate_told_is_a_tenth_of_the_one_with_the_least_loss() -> None:
    rates = [10.0**power for power in range(-12, 1)]
    smoothed = [3.0] * 9 + [2.0, 1.0, 1.5, 9.0]
    assert rate_told_by(rates, smoothed) == pytest.approx(1e-3)
    for useless in ([3.0] * len(rates), [1.0, *[2.0] * (len(rates) - 1)]):
        with pytest.raises(ModelError, match="did not fall"):
            rate_told_by(rates, useless)
    with pytest.raises(ModelError, match=f"{FEWEST_STEPS - 1} steps"):
        rate_told_by(rates[: FEWEST_STEPS - 1], smoothed[: FEWEST_STEPS - 1])


def test_batches_double_and_leave_ten_steps() -> None:
    assert batch_sizes(1300) == [16, 32, 64, 128]
    assert batch_sizes(3) == [16]
    assert batch_sizes(10**9)[-1] == 8192


def test_auto_of_the_short_names_switches_the_finders_on() -> None:
    assert long_setting("lr", "auto") == ("training.lr_finder", True)
    assert long_setting("batch_size", "auto") == ("training.batch_finder", True)
    assert long_setting("batch_size", 32) == ("training.batch_size", 32)
    assert long_setting("precision", "auto") == ("training.precision", "auto")


def test_a_value_that_is_given_is_not_looked_for() -> None:
    recipe = Recipe.model_validate({"training": {"lr_finder": True, "optimizer": {"lr": 0.1}}})
    with pytest.raises(RecipeError, match="one of them"):
        check_finders(recipe)
    choices = Choices(Recipe.model_validate({"training": {"lr_finder": True, "batch_finder": True}}))
    check_finders(choices.recipe)
    choices.choose("training.optimizer.lr", 0.1, "a rule")
    choices.choose("training.batch_size", 64, "a rule")
    leave_to_finders(choices)
    check_finders(choices.recipe)
    assert choices.reasons == {}


def test_the_rate_is_found_fixed_kept_and_the_same_each_time(arrays: Path, tmp_path: Path) -> None:
    run, records = trained(arrays, tmp_path / "first", lr="auto")
    test = of_kind(records, "lr_test")[-1]
    assert len(test["rates"]) == len(test["losses"]) == len(test["smoothed"]) > FEWEST_STEPS
    assert 1e-5 < test["chosen"] < 1
    recipe = load_recipe(run.folder.recipe)
    assert (
        recipe.training.optimizer.lr
        == test["chosen"]
        == last_choice(records, "training.optimizer.lr")["value"]
    )
    assert not recipe.training.lr_finder
    text = run.folder.recipe.read_text()
    assert "range test" in text
    (line,) = (line for line in text.splitlines() if "lr_finder:" in line)
    assert "found: see training.optimizer.lr" in line and "given" not in line
    assert (run.folder.plots / "rate_test.png").is_file()
    assert "Range test" in run.report.read_text()
    again, records = trained(arrays, tmp_path / "again", lr="auto")
    assert {key: of_kind(records, "lr_test")[-1][key] for key in test if key != "time"} == {
        key: value for key, value in test.items() if key != "time"
    }
    pairs = zip(run.module.state_dict().values(), again.module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_the_batch_is_found_fixed_and_told_with_its_timings(tmp_path: Path) -> None:
    run, records = trained("breast_cancer", tmp_path / "run", batch_size="auto")
    recipe = load_recipe(run.folder.recipe)
    table = of_kind(records, "table")[-1]
    assert str(recipe.training.batch_size) in [row[0] for row in table["rows"][1:]]
    assert not recipe.training.batch_finder
    assert "speed of batches" in run.report.read_text()


def test_a_limit_of_memory_is_kept_by_smaller_parts(
    arrays: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[Memory] = []

    def measuring(parts: Any) -> Memory:
        measured.append(memory_of(parts))
        return measured[-1]

    monkeypatch.setattr("flambeau.stages.engine.memory_limit.memory_of", measuring)
    plenty, records = trained(arrays, tmp_path / "plenty", batch_size=64, training={"memory_limit_gb": 4.0})
    assert last_choice(records, "training.recompute")["value"] is False
    whole = load_recipe(plenty.folder.recipe).training
    assert whole.micro_batch is None
    (memory, *_) = measured
    batch = whole.batch_size or 0
    room = memory.fixed + batch * memory.kept / 2
    limit = (memory.fixed + (room - memory.fixed) / SHARE_OF_KEPT) / GIGA
    little, records = trained(arrays, tmp_path / "little", batch_size=64, training={"memory_limit_gb": limit})
    options = load_recipe(little.folder.recipe).training
    assert options.micro_batch is not None and FEWEST_AT_ONCE <= options.micro_batch < batch
    assert options.recompute is False
    assert memory.of(options.micro_batch, recompute=False) <= room < memory.of(batch, recompute=False)
    reason = last_choice(records, "training.micro_batch")["reason"]
    assert f"{memory.of(options.micro_batch, recompute=False) / GIGA:.2g} of {limit:g} GB" in reason
    with pytest.raises(ModelError, match="do not hold one sample"):
        trained(arrays, tmp_path / "none", training={"memory_limit_gb": 0.001})


def test_recomputing_ends_in_the_weights_of_a_run_without_it(arrays: Path, tmp_path: Path) -> None:
    runs = [
        trained(arrays, tmp_path / str(wanted), training={"recompute": wanted}, model={"dropout": 0.2})[0]
        for wanted in (False, True)
    ]
    pairs = zip(*(run.module.state_dict().values() for run in runs), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_without_a_compiler_it_goes_on_uncompiled_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def missing(device: torch.device) -> str:
        asked.append(device)
        return "there is no C++ compiler"

    monkeypatch.setattr("flambeau.stages.engine.compiling.missing_compiler", missing)
    run, records = trained("wine", tmp_path / "run", training={"compile": True})
    assert load_recipe(run.folder.recipe).training.compile is False
    assert "no C++ compiler" in last_choice(records, "training.compile")["reason"]
    assert len(asked) == 1


@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "c++"))), reason="there is no C++ compiler")
def test_a_compiled_training_repeats_and_its_copies_are_as_written() -> None:
    from copy import deepcopy

    from flambeau.models.compiling import compile_in_place

    torch.manual_seed(0)
    plain = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 2))
    ends = []
    for sizes in ((5, 4, 5, 4), (4, 5, 4, 5)):
        model = compile_in_place(deepcopy(plain))
        assert list(model.state_dict()) == list(plain.state_dict())
        copied = deepcopy(model)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for size in sorted(sizes) if sizes[0] == 5 else sizes[::2] + sizes[1::2]:
            model.train()(torch.ones(size, 6)).square().mean().backward()
            optimizer.step()
            optimizer.zero_grad()
        ends.append(model.state_dict())
        assert torch.equal(copied(torch.ones(3, 6)), plain(torch.ones(3, 6)))
        assert model.eval()(torch.ones(3, 6)).shape == (3, 2)
    assert all(torch.equal(ends[0][key], ends[1][key]) for key in ends[0])


def test_bf16_is_refused_where_torch_computes_wrong_gradients(tmp_path: Path, arrays: Path) -> None:
    model = tmp_path / "narrow.py"
    model.write_text(
        "from torch import nn\n\n\n"
        "class Net(nn.Module):\n"
        "    def __init__(self, *arguments, **named):\n"
        "        super().__init__()\n"
        "        self.first = nn.Conv2d(1, 4, 3, stride=10, padding=1)\n"
        "        self.last = nn.Conv2d(4, 2, 3, stride=2, padding=1)\n\n"
        "    def forward(self, pictures):\n"
        "        return self.last(self.first(pictures)).mean((2, 3))\n"
    )
    name = f"{model}:Net"
    with pytest.raises(FlambeauError, match="uninitialised memory"):
        trained(arrays, tmp_path / "asked", model={"name": name}, precision="bf16")
    run, _ = trained(arrays, tmp_path / "open", model={"name": name})
    assert load_recipe(run.folder.recipe).training.precision == "fp32"
