"""What `fit` checks before it trains: its numbers, its device, the loss, and whose checkpoints a folder holds."""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import ValidationError
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.errors import did_you_mean
from flambeau.recipe.training_options import OptimizerOptions, ScheduleOptions, TrainingOptions
from flambeau.training.losses import Loss
from flambeau.training.own_batches import OwnBatches
from flambeau.training.precision import autocast_to
from flambeau.training.trial import try_loss

ARGUMENTS_FILE = "arguments.json"
TRIAL_SAMPLES = 8
OF_OPTIMIZER = ("lr", "weight_decay", "momentum", "beta2", "nesterov", "eps")
OF_SCHEDULE = ("warmup", "end", "step_size", "milestones", "gamma", "plateau_patience")
OF_TRAINING = ("epochs", "ema", "clip_norm", "clip_value", "micro_batch", "patience")


def check_numbers(arguments: Mapping[str, Any], *, judged: bool) -> None:
    """Raise ValueError for the first number out of the bounds that it has in a recipe, or that has no effect.

    Args:
        arguments: of `fit`, by name.
        judged: whether there are validation batches.
    """
    epochs, patience = arguments["epochs"], arguments["patience"]
    if epochs == 0:  # in a recipe, 0 is for models that are solved in closed form
        raise ValueError("epochs: got 0, expected greater than or equal to 1")
    # where a recipe says null, fit says 0
    given = {**arguments, "micro_batch": arguments["micro_batch"] or None}
    given["milestones"] = list(arguments["milestones"])
    sections = (
        (OptimizerOptions, OF_OPTIMIZER),
        (ScheduleOptions, OF_SCHEDULE),
        (TrainingOptions, OF_TRAINING),
    )
    for section, names in sections:
        try:
            section(**{name.removeprefix("plateau_"): given[name] for name in names})
        except ValidationError as error:
            first = error.errors()[0]
            name = str(first["loc"][0])
            name = "plateau_patience" if name == "patience" and section is ScheduleOptions else name
            expected = str(first["msg"]).replace("Input should be ", "")
            raise ValueError(f"{name}: got {arguments[name]!r}, expected {expected}") from None
    late = [milestone for milestone in arguments["milestones"] if milestone >= epochs]
    if late and arguments["schedule"] == "multi_step":
        raise ValueError(f"milestones: got {late[0]}, expected epochs before the last of {epochs}")
    if patience and not judged:
        raise ValueError(
            f"patience: got {patience} without valid_batches, whose loss it is about; expected 0"
        )


def check_name(option: str, name: str, known: Iterable[str]) -> None:
    """Raise ValueError for a name that is not known, with the nearest one that is."""
    if name not in known:
        listed, hint = ", ".join(known), did_you_mean(str(name), known)
        hint = f"; {hint}" if "did" in hint else ""
        raise ValueError(f"{option}: got {name!r}, expected one of {listed}{hint}")


def usable_device(device: str | torch.device) -> torch.device:
    """The device of that name. Raises ValueError where there is none, or none that can be used."""
    try:
        found = torch.device(device)
        torch.empty(1, device=found)
    except (RuntimeError, AssertionError, NotImplementedError, TypeError) as error:
        reason = str(error).splitlines()[0]
        raise ValueError(
            f"device: got {str(device)!r}, expected cpu, or a device of this machine such as cuda, cuda:0 or mps "
            f"(torch says: {reason})"
        ) from error
    return found


def try_first_batch(
    module: nn.Module, batches: OwnBatches, loss: Loss, *, precision: str, most: int, seed: int
) -> None:
    """Try the loss on some samples of the first batch; module, buffers and random generators stay as they were.

    Args:
        module: on the device of the batches.
        most: samples that go through it at once; 0 for any number.

    Raises:
        ValueError: what the loss gave instead of one finite number with a gradient.
    """
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    was_training = module.training
    with generators_kept(batches.device):
        torch.manual_seed(seed)
        walk = batches.epoch(0)
        inputs, targets, _ = next(walk)
        some = min(most or TRIAL_SAMPLES, TRIAL_SAMPLES)
        # in training mode, in which some modules give more than they do when they are evaluated
        module.train()
        try:
            with torch.no_grad(), autocast_to(precision, batches.device):
                outputs = module(*(part[:some] for part in inputs))
        finally:
            walk.close()
            module.train(was_training)
            with torch.no_grad():
                for name, buffer in module.named_buffers():
                    if name in buffers:
                        buffer.copy_(buffers[name])
        # what is not finite already is found by the training itself, which tells the layer
        if isinstance(outputs, Tensor) and bool(torch.isfinite(outputs).all()):
            try_loss(loss, outputs, targets[:some])


@contextmanager
def generators_kept(device: torch.device) -> Iterator[None]:
    """The generators of torch, numpy and Python are afterwards as they were before."""
    kept = random.getstate(), np.random.get_state()
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        try:
            yield
        finally:
            random.setstate(kept[0])
            np.random.set_state(kept[1])


def check_folder(folder: Path, arguments: Mapping[str, Any]) -> None:
    """Write the arguments of a training beside its checkpoints, or compare them with those that are there.

    Raises:
        ValueError: the folder holds checkpoints of a training with other arguments.
    """
    told = {name: in_plain_words(value) for name, value in arguments.items()}
    path = folder / ARGUMENTS_FILE
    if path.exists() and any(folder.glob("*.safetensors")):
        before = json.loads(path.read_text(encoding="utf-8"))
        for name in sorted({*before, *told}):
            if before.get(name) != told.get(name):
                raise ValueError(
                    f"checkpoints: {folder} holds a training with {name}={before.get(name)!r}, and this one has "
                    f"{told.get(name)!r}; expected equal arguments, or another folder"
                )
        return
    folder.mkdir(parents=True, exist_ok=True)
    beside = path.with_suffix(".tmp")
    beside.write_text(json.dumps(told, indent=1), encoding="utf-8")
    beside.replace(path)


def in_plain_words(value: Any) -> Any:
    """A value for a JSON file: plain ones as they are, functions and classes by their names."""
    if value is None or isinstance(value, bool | int | float | str):
        # as JSON reads them back
        return str(value) if isinstance(value, float) and not math.isfinite(value) else value
    if isinstance(value, partial):
        return [in_plain_words(part) for part in (value.func, value.args, value.keywords)]
    if isinstance(value, Mapping):
        return {str(key): in_plain_words(one) for key, one in value.items()}
    if isinstance(value, Sequence):
        return [in_plain_words(one) for one in value]
    if isinstance(value, Optimizer):
        rates = [group.get("peak_lr", group["lr"]) for group in value.param_groups]
        plain = {name: one for name, one in value.defaults.items() if not callable(one)}
        return [type(value).__qualname__, rates, in_plain_words(plain)]
    named = value if hasattr(value, "__qualname__") else type(value)
    return f"{named.__module__}.{named.__qualname__}"
