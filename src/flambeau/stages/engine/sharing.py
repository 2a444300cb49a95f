"""A training that is shared out over several processes: its model, the samples of its steps, its decisions."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import mix_seed, share_of_step
from flambeau.errors import RecipeError
from flambeau.evaluation.validation import Validation
from flambeau.models.backbone import find_head
from flambeau.models.build import build_model
from flambeau.models.spec import PICTURE_MODELS, TABLE_MODELS
from flambeau.recipe import Recipe
from flambeau.recipe.fields import is_own
from flambeau.stages.journal import Journal
from flambeau.stages.material import Material
from flambeau.stages.parts import Parts
from flambeau.stages.validating import predict_rows, score_rows
from flambeau.training.average import averaged_copy
from flambeau.training.distributed import (
    Ranks,
    add_up_last,
    draws_at_random,
    has_batch_statistics,
    inner,
    replicate,
    spread_buffers,
)
from flambeau.training.precision import lay_out
from flambeau.training.sharded import Shares, move_parameters, shard, whole_norm, whole_tensors
from flambeau.training.steps import Step, step_with_closure

RANK_STREAM = 9
# What needs whole matrices, or the whole gradient.
NOT_SHARDED = {"muon": "works on whole matrices", "lbfgs": "works on the whole gradient"}


def share_training(parts: Parts, material: Material, recipe: Recipe, ranks: Ranks, journal: Journal) -> None:
    """Share a training out, in place: the model, the samples of each step, and every decision.

    Raises RecipeError for steps too small to be shared, and for techniques that sharded weights do not allow.
    """
    if not ranks.several:
        return
    check_steps(parts, ranks)
    sharded = recipe.training.distributed == "fsdp"
    if sharded:
        check_sharding(recipe)
    if parts.number == 0:
        tell_differences(parts, ranks, journal)
    technique = replace(
        parts.technique,
        together=add_up_last,
        total=ranks.total,
        processes=ranks.count,
        begin_epoch=partial(_begin_inner, parts.technique.begin_epoch),
        seed=seed_of(parts, ranks),
    )
    if technique.step is step_with_closure:
        # the line search must see the same loss in every process, so it is added up inside the step
        step = partial(_step_with_total, technique.step, ranks.total)
        technique = replace(technique, step=step, total=_same)
    judge = parts.session.validate
    session = replace(
        parts.session,
        agree=ranks.agree,
        writes=ranks.first,
        processes=ranks.count,
        validate=None if judge is None else partial(validate_together, parts, material, ranks, judge),
    )
    if sharded:
        if technique.average_decay > 0:
            parts.average = shard(averaged_copy(parts.model), technique.device)
        named = dict(parts.model.named_parameters())
        shard(parts.model, technique.device)
        move_parameters(parts.optimizer, named, parts.model)
        technique = replace(technique, clip=partial(whole_norm, technique.clip))
        shares = Shares.of(parts.model, parts.optimizer)
        session = replace(session, whole=partial(whole_tensors, keep=ranks.first), share=shares)
    else:
        # models of other hands may have parameters that a step does not use
        known = parts.whole is not None or parts.spec.name in (*PICTURE_MODELS, *TABLE_MODELS)
        varies = not known or recipe.training.unfreeze_every > 0
        parts.model = replicate(parts.model, find_unused_parameters=varies)
    parts.batches = replace(parts.batches, rank=ranks.rank, ranks=ranks.count)
    parts.technique, parts.session = technique, session


def check_steps(parts: Parts, ranks: Ranks) -> None:
    """Raises RecipeError where a step has too few samples for every process to have a pair of them."""
    size = len(parts.batches.rows) // len(parts.batches)
    if (size + 1) // 2 < ranks.count:
        raise RecipeError(
            "a step has too few samples to be shared by so many processes",
            got=f"{size} samples for {ranks.count} processes",
            expected=f"--batch-size {2 * ranks.count} or more, or fewer --devices",
        )
    micro = parts.technique.micro_batch
    sizes = {size, size + bool(len(parts.batches.rows) % len(parts.batches))}
    least = max(least_micro_batch(count, ranks.count) for count in sizes)
    if 0 < micro < least:
        raise RecipeError(
            "a process has fewer samples of a step than the step has parts",
            got=f"training.micro_batch {micro} of steps of {size} samples in {ranks.count} processes",
            command=f"--set training.micro_batch={least}",
        )


def least_micro_batch(count: int, ranks: int) -> int:
    """The smallest micro_batch of which no process has fewer samples of a step of so many than the step has parts."""
    shares = [share_of_step(count, rank, ranks) for rank in range(ranks)]
    return math.ceil(count / (ranks * min(end - begin for begin, end in shares)))


def check_sharding(recipe: Recipe) -> None:
    """Raises RecipeError for what weights that are divided over processes do not allow."""
    options = recipe.training
    reasons = []
    if options.optimizer.name in NOT_SHARDED:
        reasons.append(f"the optimizer {options.optimizer.name} {NOT_SHARDED[options.optimizer.name]}")
    if is_own(options.optimizer.name or ""):
        reasons.append("what an optimizer of your own keeps may not be divisible")
    if options.precision == "fp16":
        reasons.append("the scale of fp16 would differ between processes; bf16 needs none")
    if options.compile:
        reasons.append("a compiled model knows nothing of divided weights")
    if options.unfreeze_every:
        reasons.append("training.unfreeze_every changes what is trained after the weights were divided")
    if reasons:
        raise RecipeError(
            "training.distributed: fsdp does not go with another option",
            got="; ".join(reasons),
            command="--set training.distributed=ddp",
        )


def tell_differences(parts: Parts, ranks: Ranks, journal: Journal) -> None:
    """Say in what the result differs from that of one process with the same batch size."""
    causes = []
    if has_batch_statistics(parts.model):
        causes.append("batch normalisation takes the statistics of each process's own samples")
    if draws_at_random(parts.model):
        causes.append("dropout is drawn in each process for its own samples")
    same = "weights and scores equal those of one process but for rounding"
    verdict = (
        f"weights and scores differ from those of one process: {' and '.join(causes)}" if causes else same
    )
    size = math.ceil(len(parts.batches.rows) / len(parts.batches))
    journal.note(f"{ranks.count} processes share the {size} samples of each step; {verdict}")


def seed_of(parts: Parts, ranks: Ranks) -> int:
    """The seed of randomness inside the model, another one in each process where samples draw from it.

    Where nothing is dropped it stays the same, for optimizers that draw noise.
    """
    seed = parts.technique.seed
    if ranks.first or not draws_at_random(parts.model):
        return seed
    return mix_seed(seed, RANK_STREAM, ranks.rank)


def validate_together(
    parts: Parts,
    material: Material,
    ranks: Ranks,
    judge: Callable[[nn.Module], Validation],
    module: nn.Module,
) -> Validation:
    """The validation of the module, its rows shared out; the same in every process.

    Every process predicts equally many rows, some of them twice, because the weights of a sharded model are
    gathered by all processes together.
    """
    module = inner(module)
    spread_buffers(module)
    if parts.whole is not None:  # features of a frozen body, which are quickly judged
        alone = judge(module)
        return ranks.of_first(lambda: alone)
    rows, task = parts.valid_rows, material.samples.schema.task
    size = math.ceil(len(rows) / ranks.count)
    own = np.resize(rows, size * ranks.count)[ranks.rank * size : (ranks.rank + 1) * size]
    predictions = torch.from_numpy(predict_rows(module, parts.feed, own, task))
    joined = ranks.join_rows(predictions).numpy()[: len(rows)]
    score = partial(score_rows, material.samples, parts.feed, rows, joined, parts.session.metric)
    return ranks.of_first(score)


def unshared(module: nn.Module, parts: Parts, recipe: Recipe, ranks: Ranks) -> nn.Module:
    """The trained module as one process would have it; of sharded weights only the first process gets them."""
    if not ranks.several or recipe.training.distributed != "fsdp":
        return inner(module)
    tensors = whole_tensors(module.state_dict(), keep=ranks.first)
    # on features of a frozen body, the head alone was trained
    body = parts.whole
    whole = build_model(parts.spec) if body is None else copy.deepcopy(body.get_submodule(find_head(body)))
    if ranks.first:
        whole.load_state_dict(tensors)
    return lay_out(whole.to(parts.technique.device), recipe.training.memory_format or "contiguous")


def _begin_inner(begin: Callable[[nn.Module, int], None], model: nn.Module, epoch: int) -> None:
    begin(inner(model), epoch)


def _same(number: Tensor) -> Tensor:
    return number


def _step_with_total(
    step: Step,
    total: Callable[[Tensor], Tensor],
    optimizer: Optimizer,
    gradients: Callable[[], Tensor],
    clip: Callable[[], Tensor | None],
    scaler: Any,
) -> tuple[Tensor, Tensor | None]:
    return step(optimizer, lambda: total(gradients()), clip, scaler)
