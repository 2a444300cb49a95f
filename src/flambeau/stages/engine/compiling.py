"""Whether the training is compiled: by what it is expected to save, tried once, and given up in one line."""

from __future__ import annotations

import copy
import os
import shutil
from collections.abc import Mapping
from importlib.util import find_spec
from typing import Any

import torch

from flambeau.planning.numbers import Work, compiling_pays
from flambeau.recipe import Choices, Recipe
from flambeau.stages.engine.passes import compile_for
from flambeau.stages.parts import Parts
from flambeau.training.memory import is_out_of_memory
from flambeau.training.precision import autocast_to

LONGEST_REASON = 160


def choose_compiling(
    parts: Parts, choices: Choices, machine: Mapping[str, Any], work: Work, *, trainings: int
) -> None:
    """Fill in `training.compile`, and take it back where this machine or model cannot be compiled.

    Args:
        parts: of a trial.
        choices: changed in place.
        machine: "device".
        work: of one part of a batch.
        trainings: of the run.
    """
    options = choices.recipe.training
    if options.compile is None:
        parts_a_batch = max(1, (options.batch_size or 1) // (options.micro_batch or options.batch_size or 1))
        steps = (options.epochs or 1) * len(parts.batches) * trainings * parts_a_batch
        pays, reason = compiling_pays(
            machine,
            work,
            steps=steps,
            precision=options.precision or "fp32",
            recompute=bool(options.recompute),
        )
        choices.choose("training.compile", pays, reason)
    if not options.compile:
        return
    if options.recompute:
        choices.fix("training.compile", False, "blocks that are computed again are not compiled")
        return
    problem = missing_compiler(parts.technique.device) or trial_problem(parts, choices.recipe)
    if problem:
        choices.fix("training.compile", False, f"it goes on uncompiled: {problem}")


def missing_compiler(device: torch.device) -> str:
    """What torch.compile lacks on this machine; "" for nothing."""
    if device.type == "cuda":
        return "" if find_spec("triton") else "the package triton is not installed"
    names = (os.environ.get("CXX", ""), "g++", "clang++", "c++", "cl")
    return "" if any(name and shutil.which(name) for name in names) else "there is no C++ compiler"


def trial_problem(parts: Parts, recipe: Recipe) -> str:
    """Why a compiled copy of the model fails to make a step; "" where it does not.

    That memory runs out is raised: fewer samples at once may fit.
    """
    model = copy.deepcopy(parts.model)
    batch = next(iter(parts.batches.epoch(0)))
    size = recipe.training.micro_batch or len(batch.targets)
    inputs = tuple(part[:size] for part in batch.inputs)
    compile_for(model, recipe, inputs)
    model.train()
    try:
        with torch.random.fork_rng(), autocast_to(parts.technique.precision, parts.technique.device):
            parts.loss(model(*inputs), batch.targets[:size]).backward()
    except Exception as error:  # the compiler's errors have no common class
        if is_out_of_memory(error):
            raise
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        return f"{type(error).__name__}: {first}"[:LONGEST_REASON]
    return ""
