"""training.memory_limit_gb: kept by smaller parts of a batch, then by computing blocks again."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import TypeVar

from torch.optim import SGD, Adagrad, Optimizer, RMSprop

from flambeau.errors import ModelError, RecipeError
from flambeau.recipe import Choices
from flambeau.stages.engine.work import Memory, largest_fitting, measure_memory
from flambeau.stages.parts import Parts
from flambeau.training.memory import is_out_of_memory

Result = TypeVar("Result")
GIGA = 1e9
SAMPLES_TO_MEASURE = 8
# Below so many samples at once, batch statistics are noise and a device has little to do: then blocks are recomputed.
FEWEST_AT_ONCE = 16
# Gradients of activations, and what kernels need for a moment, are not among the tensors that are kept.
SHARE_OF_KEPT = 0.85


def halve_micro_batch(choices: Choices) -> None:
    """Half the samples at once. Raises ModelError where not even one fits."""
    options = choices.recipe.training
    size = (options.micro_batch or options.batch_size or 1) // 2
    if size < 1:
        raise ModelError(
            "the device's memory does not hold one sample at a time",
            expected="a smaller model or picture size, or blocks that are computed again",
            command="--set training.recompute=true, or --set image.size=64",
        )
    choices.fix("training.micro_batch", size, "the batch does not fit into memory at once")


def while_it_fits(trial: Callable[[], Result], choices: Choices) -> Result:
    """What a trial gives; as often as memory runs out, it begins again with half the samples at once.

    Raises ModelError where not even one fits.
    """
    while True:
        try:
            return trial()
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
        gc.collect()  # the tensors of the failed trial
        halve_micro_batch(choices)


def memory_of(parts: Parts) -> Memory:
    """What this training keeps, measured on a few of its samples."""
    batch = next(iter(parts.batches.epoch(0)))
    size = min(SAMPLES_TO_MEASURE, len(batch.targets), parts.technique.micro_batch or len(batch.targets))
    copies = 1 + states_of(parts.optimizer) + int(parts.technique.average_decay > 0)
    return measure_memory(
        parts.model,
        parts.loss,
        tuple(part[:size] for part in batch.inputs),
        batch.targets[:size],
        precision=parts.technique.precision,
        copies=copies,
    )


def states_of(optimizer: Optimizer) -> int:
    """Tensors of the weights' size that an optimizer keeps between steps."""
    history = 2 * int(optimizer.defaults.get("history_size", 0))
    return history or (1 if isinstance(optimizer, SGD | RMSprop | Adagrad) else 2)


def keep_memory_limit(make: Callable[[], Parts], choices: Choices) -> None:
    """Choose micro-batch and recomputing so that the training stays below `training.memory_limit_gb`.

    Args:
        make: gives the parts of a training as the recipe says now.
        choices: changed in place.

    Raises:
        ModelError: one sample at a time, with all that can be computed again, needs more.
        RecipeError: what the person fixed needs more.
    """
    options = choices.recipe.training
    limit = options.memory_limit_gb
    if limit is None:
        return
    memory = memory_of(make())
    room = memory.fixed + (limit * GIGA - memory.fixed) * SHARE_OF_KEPT
    batch = options.batch_size or 1
    ways = ways_to_recompute(choices)
    fitting = {way: largest_fitting(memory, room, batch, recompute=way) for way in ways}
    if options.micro_batch is not None and "training.micro_batch" not in choices.reasons:
        needed = min(memory.of(options.micro_batch, recompute=way) for way in ways)
        _check_given(options.micro_batch, max(fitting.values()), needed, limit)
        fitting = {way: min(size, options.micro_batch) for way, size in fitting.items()}
    if max(fitting.values()) < 1:
        needed = min(memory.of(1, recompute=way) for way in ways)
        raise ModelError(
            f"training.memory_limit_gb: {limit:g} GB do not hold one sample at a time",
            got=f"{needed / GIGA:.2g} GB for one, {memory.fixed / GIGA:.2g} of them weights",
            expected="a smaller model or picture size, or a higher limit",
            command="--set image.size=64",
        )
    plain, again = fitting[ways[0]], fitting[ways[-1]]
    recompute = ways[0] or (again > plain and plain < min(batch, FEWEST_AT_ONCE))
    size = fitting[recompute]
    told = f"{memory.of(size, recompute=recompute) / GIGA:.2g} of {limit:g} GB"
    if options.recompute is None or "training.recompute" in choices.reasons:
        why = f"only {plain} samples at once would fit" if recompute else f"{told} without it"
        choices.fix("training.recompute", recompute, why)
    if size < batch and options.micro_batch != size:
        choices.fix("training.micro_batch", size, f"{told}; gradients are added up to the batch of {batch}")


def ways_to_recompute(choices: Choices) -> tuple[bool, ...]:
    """Whether blocks may be computed again: what the person gave; not where they want the model compiled; else both."""
    options = choices.recipe.training
    if options.recompute is not None and "training.recompute" not in choices.reasons:
        return (options.recompute,)
    if options.compile and "training.compile" not in choices.reasons:
        return (False,)
    return (False, True)


def _check_given(given: int, fitting: int, needed: float, limit: float) -> None:
    if given > fitting:
        raise RecipeError(
            "training.micro_batch and training.memory_limit_gb exclude each other",
            got=f"{given} samples at once, which need {needed / GIGA:.2g} GB, and a limit of {limit:g} GB",
            expected=f"at most {max(1, fitting)} at once",
            command=f"--set training.micro_batch={max(1, fitting)}",
        )
