"""Whether a module can be trained at all, asked before the first step, and what of it is frozen, in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from flambeau.errors import ModelError
from flambeau.models.freezing import Freezing, layers_from_head, make_freezing, names_of_stages
from flambeau.models.spec import ModelSpec
from flambeau.recipe import Recipe
from flambeau.stages.engine.technique import Stage
from flambeau.stages.engine.trial import TRIAL
from flambeau.training.diverged import are_finite, layer_title
from flambeau.training.loop import nothing_to_begin

STAGES_TOLD = 8


def check_parameters(model: nn.Module, spec: ModelSpec) -> None:
    """Raises ModelError for a module without parameters, with none that learns, on two devices, or not in float32."""
    where = spec.arguments.get("file")
    named = dict(model.named_parameters())
    if not named:
        raise ModelError(
            "the model has no parameters, so there is nothing to learn",
            where=where,
            expected="layers, or nn.Parameter, as attributes of the module",
            hint="layers in a plain list or dictionary are not seen: use nn.ModuleList or nn.ModuleDict",
        )
    learning = {name: parameter for name, parameter in named.items() if parameter.requires_grad}
    if not learning:
        raise ModelError(
            "no parameter of the model learns: all have requires_grad=False",
            where=where,
            got=f"{len(named)} parameters",
            expected="at least one that learns; training.freeze freezes by name",
        )
    devices = {str(parameter.device): name for name, parameter in named.items()}
    if set(devices) != {"cpu"}:
        places = "; ".join(f"'{name}' on {device}" for device, name in devices.items())
        raise ModelError(
            "the model puts parameters on a device by itself"
            + (", and on several" if len(devices) > 1 else ""),
            where=where,
            got=places,
            expected="all on the CPU at first; --device moves the whole model",
        )
    for name, parameter in learning.items():
        if parameter.dtype != torch.float32:
            raise ModelError(
                "the model has parameters that are not float32",
                where=where,
                got=f"'{name}' is {str(parameter.dtype).removeprefix('torch.')}",
                expected="float32 weights; --set training.precision=bf16 or fp16 computes with fewer bits",
            )


def check_answer(model: nn.Module, inputs: tuple[Tensor, ...], spec: ModelSpec) -> None:
    """Raises ModelError, naming the first layer that gives it, for an answer that is not finite."""
    with torch.no_grad():
        answer = model(*inputs)
    if bool(torch.isfinite(answer).all()):
        return
    raise ModelError(
        "the model's first answer is not finite, before any training",
        where=spec.arguments.get("file"),
        got=first_not_finite(model, inputs),
        expected="finite numbers for the first two samples",
        hint="look there for a division by zero, a logarithm or a root of a negative number, or weights that are NaN",
    )


def first_not_finite(model: nn.Module, inputs: tuple[Tensor, ...]) -> str:
    """The first module, in the order of computing, whose weights or output are not finite, in words."""
    found: list[str] = []
    handles = []
    for name, module in model.named_modules():
        own = [part for part, tensor in module.named_parameters(recurse=False) if not are_finite(tensor)]

        def look(
            module: nn.Module, given: object, output: object, name: str = name, own: list[str] = own
        ) -> None:
            title = layer_title(name, module)
            if not found and own:
                found.append(f"{own[0]} of {title} holds NaN or infinity")
            elif not found and isinstance(output, Tensor) and not are_finite(output):
                found.append(f"{title} is the first to give NaN or infinity")

        handles.append(module.register_forward_hook(look))
    try:
        with torch.no_grad():
            model(*inputs)
    finally:
        for handle in handles:
            handle.remove()
    return found[0] if found else "NaN or infinity"


def freeze(model: nn.Module, recipe: Recipe, stage: Stage) -> Callable[[nn.Module, int], None]:
    """Freeze what the recipe says; what is to be done at each epoch's start. It is told with the first training.

    Raises ModelError for a name that the model lacks, or where nothing is left to learn.
    """
    options = recipe.training
    if not (options.freeze or options.unfreeze_every):
        return nothing_to_begin
    try:
        freezing = make_freezing(model, options.freeze, options.unfreeze_every)
    except ValueError as error:
        head, *body = names_of_stages(layers_from_head(model))
        more = f" and {len(body) - STAGES_TOLD} more" if len(body) > STAGES_TOLD else ""
        raise ModelError(
            str(error),
            where="training.freeze" if options.freeze else "training.unfreeze_every",
            got=", ".join(options.freeze) or f"{options.unfreeze_every}",
            expected=f"something that learns: here the head is '{head}'"
            + (f", and the body's parts before it are {', '.join(body[:STAGES_TOLD])}{more}" if body else ""),
            command="--freeze body" if body else "",
        ) from error
    if stage.number == 0 and stage.name != TRIAL:
        for sentence in describe_freezing(freezing, model, stage.epochs or options.epochs or 1):
            stage.journal.note(sentence)
    return freezing.begin_epoch


def describe_freezing(freezing: Freezing, model: nn.Module, epochs: int) -> Iterator[str]:
    """What stays as it is, and which stage begins to learn when, in sentences."""
    if freezing.frozen:
        sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
        frozen = sum(sizes[name] for name in freezing.frozen)
        share = frozen / sum(sizes.values())
        yield (
            f"frozen: {len(freezing.frozen)} of {len(sizes)} parameter tensors ({frozen:,} numbers, {share:.1%}), "
            f"from {freezing.frozen[0]} to {freezing.frozen[-1]}"
        )
    if freezing.every:
        names = names_of_stages(freezing.stages)
        turns = [
            f"{name} from epoch {turn * freezing.every + 1}"
            for turn, name in enumerate(names, start=1)
            if turn * freezing.every < epochs
        ]
        yield "gradual unfreezing: only the head learns at first; then " + (
            ", ".join(turns) or "nothing else"
        )
        late = names[math.ceil(epochs / freezing.every) - 1 :]
        if late:
            shown = ", ".join(late[:3]) + (f" and {len(late) - 3} more" if len(late) > 3 else "")
            yield f"{epochs} epochs are too few for {shown}: they stay frozen to the end"
