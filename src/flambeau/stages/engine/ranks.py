"""Several processes at the start and the end of a run: what they settle, compare, and tell when one is lost.

Each process goes through the whole flow by itself, on the same data; only the first one writes, tells and tests.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch

from flambeau.data.join import fingerprint
from flambeau.data.split import Split
from flambeau.errors import DeviceError, RecipeError, RunError
from flambeau.models.build import build_model
from flambeau.planning.machine import Machine
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.describe import options, shown
from flambeau.records.environment import environment
from flambeau.stages.fitting import choose_spec
from flambeau.stages.journal import Journal
from flambeau.stages.material import Material
from flambeau.stages.setting import file_digests, set_up_torch
from flambeau.stages.trainings import Trainings
from flambeau.training.distributed import Ranks, is_lost_process

LOST_SENTENCE = "another process of this training has ended or does not answer, so this one ends too"
# A folder may have another name on another machine, and threads are as many as there are.
MAY_DIFFER = ("source", "threads")
BYTES_A_WEIGHT = 16  # in fp32: itself, its gradient, and the two moments of Adam
SHARE_OF_MEMORY = 0.7  # activations need some too
VERSIONS_THAT_DECIDE = ("flambeau", "torch", "numpy", "python")


class SilentJournal(Journal):
    """The journal of a process that is not the first: it tells nobody and keeps nothing."""

    def __call__(self, record: dict[str, Any]) -> None:
        """Let the record go."""


def journal_kind(ranks: Ranks) -> type[Journal]:
    """Of this process; only the journal of the first tells and logs."""
    return Journal if ranks.first else SilentJournal


def tell_other_count(recipe: Recipe, ranks: Ranks) -> str:
    """What to say where a run goes on with another number of processes than it began with."""
    if recipe.devices == ranks.count:
        return ""
    return (
        f" in {ranks.count} process{'es' if ranks.several else ''} instead of {recipe.devices}: "
        "the result equals that of a run that was never stopped but for rounding"
    )


def settle_devices(choices: Choices, ranks: Ranks) -> None:
    """Fix how many processes there are, and where each computes.

    Raises:
        RecipeError: another number was asked for than were started, or one GPU was named for all.
        DeviceError: this machine has fewer GPUs than processes.
    """
    recipe = choices.recipe
    if not ranks.several:
        if recipe.devices > 1:
            raise RecipeError(
                f"devices asks for {recipe.devices} processes, and there is one",
                expected="a launcher that starts them",
                command=f"flambeau train … --devices {recipe.devices}, or torchrun",
            )
        return
    if recipe.devices not in (1, ranks.count):
        raise RecipeError(
            "devices asks for another number of processes than were started",
            got=f"{recipe.devices} asked for, {ranks.count} started",
            expected="the same number, or no --devices where torchrun starts the processes",
        )
    if recipe.devices != ranks.count:
        choices.fix("devices", ranks.count, "as many as the launcher started")
    check_device(recipe.device, ranks.local_count)
    if recipe.device is None and trains_on_cpu(None):
        choices.choose("device", "cpu", "no GPU is there for each process")


def check_device(device: str | None, count: int) -> None:
    """Raises DeviceError or RecipeError where `count` processes of one machine cannot train on this device."""
    gpus = torch.cuda.device_count()
    if device is not None and ":" in device:
        raise RecipeError(
            "device names one device, and several processes need one each",
            got=f"{device} for {count} processes",
            expected=device.partition(":")[0],
        )
    if device == "mps":
        raise DeviceError("Apple's GPU trains with one process", expected="--devices 1, or --device cpu")
    if (device == "cuda" or (device is None and gpus)) and count > gpus:
        there = f"{gpus} GPU{'' if gpus == 1 else 's'}"
        raise DeviceError(
            f"{count} processes need {count} GPUs, one each",
            got=f"{there} on this machine",
            expected=f"--devices {gpus}, or --device cpu" if gpus > 1 else "--devices 1, or --device cpu",
        )


def trains_on_cpu(device: str | None) -> bool:
    """Whether several processes train on CPUs: it was asked for, or there is no GPU of CUDA."""
    return device == "cpu" or (device is None and torch.cuda.device_count() == 0)


def share_machine(machine: Machine, ranks: Ranks) -> Machine:
    """The share of the cores that one of the processes may use."""
    shared = machine.copy()
    shared["cores"] = max(1, machine["cores"] // ranks.local_count)
    return shared


def take_first(choices: Choices, ranks: Ranks) -> None:
    """Take over what the first process has decided by trying and timing."""
    if ranks.several:
        choices.recipe, choices.reasons = ranks.of_first(lambda: (choices.recipe, choices.reasons))
        set_up_torch(choices.recipe)


def choose_sharing(trainings: Trainings, split: Split) -> None:
    """Choose whether each process holds the whole model, by the memory that training it takes."""
    choices, ranks = trainings.choices, trainings.ranks
    if not ranks.several or choices.recipe.training.distributed is not None:
        return
    spec = choose_spec(trainings.material, trainings.feed(split.train).preparation, choices.recipe)
    needed = BYTES_A_WEIGHT * sum(parameter.numel() for parameter in build_model(spec).parameters())
    if trainings.device.type == "cuda":
        memory = torch.cuda.mem_get_info(trainings.device)[1]
    else:
        memory = psutil.virtual_memory().total // ranks.local_count
    amounts = f"{needed / 1e9:.2g} of {memory / 1e9:.2g} GB"
    if needed > SHARE_OF_MEMORY * memory:
        reason = f"weights, gradients and the optimizer's state take {amounts}, so they are divided"
        choices.choose("training.distributed", "fsdp", reason)
    else:
        reason = f"weights, gradients and the optimizer's state take {amounts} of each process"
        choices.choose("training.distributed", "ddp", reason)


def needs_trial(recipe: Recipe, *, tune: bool) -> bool:
    """Whether anything is to be tried before the training; a model that is divided may not fit for a trial."""
    options = recipe.training
    if options.epochs == 0:
        return False
    asked = tune or options.minutes is not None or options.batch_finder or options.lr_finder
    return asked or options.distributed != "fsdp"


def check_alike(material: Material, splits: list[Split], recipe: Recipe, ranks: Ranks) -> None:
    """Raises RunError in every process where one has other data, options, files or versions than the first."""
    if not ranks.several:
        return
    every = ranks.of_each(describe_process(material, splits, recipe))
    told = []
    for rank, facts in enumerate(every):
        different = [name for name, value in facts.items() if value != every[0][name]]
        if different:
            parts = (f"{name} ({facts[name]}, not {every[0][name]})" for name in different)
            told.append(f"process {rank}: other {', '.join(parts)}")
    if told:
        raise RunError(
            "the processes do not agree with the first one, so they would not train the same model",
            got="; ".join(told),
            expected="the same data, command, files and versions in each of them",
        )


def describe_process(material: Material, splits: list[Split], recipe: Recipe) -> dict[str, str]:
    """What must be equal in all processes: short digests, and versions."""
    rows = hashlib.blake2b(digest_size=6)
    for split in splits:
        for part in (split.train, split.valid, split.test):
            rows.update(np.ascontiguousarray(part).tobytes())
    versions = environment()
    digests = file_digests(recipe)
    return {
        "data": fingerprint(material.samples)[:12],
        **{key: shown(value) for key, value in option_values(recipe) if key not in MAY_DIFFER},
        "division into parts": rows.hexdigest(),
        "code files": _short(str(sorted((Path(name).name, digest) for name, digest in digests.items()))),
        **{f"version of {name}": str(versions[name]) for name in VERSIONS_THAT_DECIDE},
    }


def option_values(recipe: Recipe) -> Iterator[tuple[str, Any]]:
    """Dotted key and value of every option."""
    choices = Choices(recipe)
    for option in options().values():
        if option.section is None:
            yield option.key, choices.get(option.key)


def _short(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=6).hexdigest()


@contextmanager
def understood(ranks: Ranks, resume: Callable[[], str]) -> Iterator[None]:
    """Raises RunError, with the command that goes on, where another process has ended or does not answer."""
    try:
        yield
    except RuntimeError as error:
        if not ranks.several or not is_lost_process(error):
            raise
        raise LostProcessError(
            LOST_SENTENCE,
            got=str(error).splitlines()[0][:200],
            command=resume(),
        ) from error


class LostProcessError(RunError):
    """Another process is gone. The exit code tells a launcher that the cause is to be told by somebody else."""

    exit_code = 3
