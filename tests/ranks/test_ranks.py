"""What several processes settle at the start, and what is refused, without starting any."""

from __future__ import annotations

import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import pytest
import torch
from rank_cases import TABLE, make_data, recipe_of, source_of
from torch import nn

from flambeau.cli.launch import Teller, launch, leave
from flambeau.cli.main import is_rank
from flambeau.errors import DeviceError, RecipeError, RunError
from flambeau.pipeline import train
from flambeau.recipe import Choices, Recipe, with_settings
from flambeau.records.environment import usable_cores
from flambeau.stages.engine import ranks as ranks_stage
from flambeau.stages.engine.ranks import (
    LOST_SENTENCE,
    LostProcessError,
    check_device,
    needs_trial,
    settle_devices,
    share_machine,
    tell_other_count,
    understood,
)
from flambeau.stages.engine.sharing import check_sharding
from flambeau.training.distributed import ALONE, Ranks, draws_at_random, has_batch_statistics, is_lost_process
from flambeau.training.sharded import blocks_of

FOUR = Ranks(rank=1, count=4, local_rank=1, local_count=4)


def choices_of(**settings: Any) -> Choices:
    return Choices(with_settings(Recipe(), settings, where=""))


def test_a_process_of_a_launcher_is_known_by_its_environment() -> None:
    told = {"RANK": "0", "WORLD_SIZE": "2", "MASTER_ADDR": "here", "MASTER_PORT": "1"}
    assert is_rank(told)
    assert not is_rank({**told, "WORLD_SIZE": "1"})
    assert not is_rank({"WORLD_SIZE": "2"})


def test_devices_are_settled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    choices = choices_of()
    settle_devices(choices, FOUR)
    assert (choices.recipe.devices, choices.recipe.device) == (4, "cpu")
    settle_devices(choices_of(devices=4), FOUR)
    with pytest.raises(RecipeError, match="another number of processes"):
        settle_devices(choices_of(devices=2), FOUR)
    with pytest.raises(RecipeError, match="asks for 4 processes, and there is one"):
        settle_devices(choices_of(devices=4), ALONE)
    single = choices_of()
    settle_devices(single, ALONE)
    assert single.recipe == Recipe()


def test_a_device_for_each_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    check_device(None, 2)
    check_device("cpu", 8)
    with pytest.raises(DeviceError) as caught:
        check_device("cuda", 8)
    assert caught.value.got == "2 GPUs on this machine"
    assert "--devices 2" in str(caught.value.expected)
    with pytest.raises(RecipeError, match="one each"):
        check_device("cuda:1", 2)
    with pytest.raises(DeviceError, match="Apple"):
        check_device("mps", 2)


def test_more_processes_than_cores_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    with pytest.raises(DeviceError, match="need a core each"):
        launch(usable_cores() + 1, None, None, 0.0)


def test_cores_are_shared_out() -> None:
    machine = ranks_stage.Machine(device="cpu", cores=9, bf16=False)
    assert share_machine(machine, FOUR)["cores"] == 2
    assert machine["cores"] == 9


def test_another_number_of_processes_is_told() -> None:
    assert tell_other_count(Recipe(), ALONE) == ""
    assert "in 4 processes instead of 1" in tell_other_count(Recipe(), FOUR)


def test_what_shards_do_not_allow_is_refused() -> None:
    for settings in (
        {"training.optimizer.name": "muon"},
        {"training.optimizer.name": "lbfgs"},
        {"training.precision": "fp16"},
        {"training.unfreeze_every": 2},
        {"training.compile": True},
        {"training.optimizer.name": "mine.py:Own"},
    ):
        with pytest.raises(RecipeError, match="does not go with another option"):
            check_sharding(with_settings(Recipe(), settings, where=""))
    check_sharding(with_settings(Recipe(), {"training.optimizer.name": "adamw"}, where=""))


def test_nothing_is_tried_on_a_model_that_is_divided() -> None:
    assert needs_trial(Recipe(), tune=False)
    divided = {"training.distributed": "fsdp"}
    assert not needs_trial(with_settings(Recipe(), divided, where=""), tune=False)
    assert needs_trial(with_settings(Recipe(), {**divided, "training.minutes": 1.0}, where=""), tune=False)


def test_lost_processes_are_told_from_other_errors() -> None:
    lost = RuntimeError("[pair.cc:538] Connection closed by peer [127.0.0.1]:9")
    assert is_lost_process(lost)
    assert not is_lost_process(RuntimeError("mat1 and mat2 shapes cannot be multiplied"))
    with pytest.raises(LostProcessError, match="another process") as caught, understood(FOUR, lambda: "next"):
        raise lost
    assert caught.value.command == "next"
    with pytest.raises(RuntimeError, match="Connection closed"), understood(ALONE, lambda: ""):
        raise lost


def test_the_launcher_leaves_with_the_code_that_was_told(tmp_path: Path) -> None:
    now = time.time()
    with pytest.raises(click.exceptions.Exit) as left:
        leave({1: LostProcessError.exit_code, 0: 2}, 2, tmp_path, now)
    assert left.value.exit_code == 2
    with pytest.raises(RunError, match="process 1 of 2 was killed") as caught:
        leave({0: LostProcessError.exit_code, 1: -signal.SIGKILL}, 2, tmp_path, now)
    assert caught.value.got == "SIGKILL"
    with pytest.raises(RunError, match="another process"):
        leave({0: LostProcessError.exit_code}, 2, tmp_path, now)


def test_an_error_is_told_by_the_first_that_meets_it(capsys: pytest.CaptureFixture[str]) -> None:
    class Store:
        count = 0

        def add(self, key: str, amount: int) -> int:
            self.count += amount
            return self.count

    store = Store()
    first, second = (Teller(replace(FOUR, rank=rank, store=store)) for rank in (0, 1))
    first("one\n  two")
    second("three")
    first("four")
    assert capsys.readouterr().err.split() == ["one", "two", "four"]


def test_the_launcher_tells_of_lost_processes_itself(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLAMBEAU_LAUNCHED", "1")
    Teller(ALONE)(LOST_SENTENCE)
    assert capsys.readouterr().err == ""


def test_what_differs_between_processes_is_seen_in_the_model() -> None:
    assert has_batch_statistics(nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2)))
    assert not has_batch_statistics(nn.LayerNorm(3))
    assert draws_at_random(nn.Dropout(0.1))
    assert not draws_at_random(nn.Dropout(0.0))


def test_blocks_are_what_is_called_and_shares_nothing() -> None:
    tied, twin = nn.Linear(3, 3), nn.Linear(3, 3)
    twin.weight = tied.weight
    model = nn.Module()
    model.stages = nn.ModuleList([nn.Sequential(nn.Linear(3, 3), nn.ReLU()), nn.Linear(3, 4)])
    model.other = nn.Sequential(tied, nn.Sequential(twin))
    model.head = nn.Linear(4, 2)
    assert blocks_of(model) == [model.stages[1], model.stages[0][0]]


def test_steps_too_small_are_refused_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make_data(tmp_path)
    monkeypatch.chdir(tmp_path)
    # one process, so nothing is shared: the recipe asks for more than there are
    with pytest.raises(RecipeError, match="and there is one"):
        train(source_of(TABLE), recipe_of({**TABLE, "devices": 3}))
