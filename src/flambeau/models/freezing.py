"""Which parameters stay as they are, for good or until their turn comes: freezing, gradual unfreezing, layers."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from torch import nn
from torch.nn.modules.batchnorm import _BatchNorm

# A part with more than this share of all numbers is not a stage but holds the stages.
LARGEST_STAGE = 0.8
FEWEST_STAGES = 3


def head_prefix(model: nn.Module) -> str:
    """Name of the module that holds the last matrix or filter, which is the one that gives the outputs.

    Raises:
        ValueError: for a model without any.
    """
    names = [name for name, parameter in model.named_parameters() if parameter.ndim >= 2]
    if not names:
        raise ValueError("expected a model with a layer of weights, got one without any")
    return names[-1].rpartition(".")[0]


def layers_from_head(model: nn.Module) -> list[list[str]]:
    """Names of all parameters in groups: the head, then the stages of the body from the last to the first.

    Stages are the model's own children in their order. As long as they are fewer than three, or one of them holds
    nearly all numbers, as `features` of a MobileNet or `blocks` of a transformer do, the largest is opened.
    Vectors that stand alone, such as a normalisation, belong to the stage before them.

    Raises:
        ValueError: for a model without weights.
    """
    prefix = head_prefix(model)
    parameters = dict(model.named_parameters())
    # weights that belong to the model itself have no module: a head is known by its name, or is the last of them
    names = list(parameters)
    heads = [name for name in names if name.startswith("head") and "." not in name]
    if heads:
        head = heads
    elif prefix:
        head = [name for name in names if name.startswith(f"{prefix}.")]
    else:
        last = max(place for place, name in enumerate(names) if parameters[name].ndim >= 2)
        head = names[last:]
    body = {name: parameters[name] for name in names if name not in set(head)}
    stages = _joined(_stages(body), body)
    return [head, *reversed(stages)]


def _stages(body: dict[str, nn.Parameter]) -> list[list[str]]:
    total = sum(parameter.numel() for parameter in body.values())
    stages = _opened("", list(body))
    while stages:
        sizes = [sum(body[name].numel() for name in names) for _, names in stages]
        openable = [place for place, (prefix, names) in enumerate(stages) if len(_opened(prefix, names)) > 1]
        largest = max(openable, key=lambda place: sizes[place], default=None)
        if largest is None or (len(stages) >= FEWEST_STAGES and sizes[largest] <= LARGEST_STAGE * total):
            break
        stages[largest : largest + 1] = _opened(*stages[largest])
    return [names for _, names in stages]


def _opened(prefix: str, names: list[str]) -> list[tuple[str, list[str]]]:
    """The names below a module by the child that holds them; a child with one child only is passed through."""
    if names == [prefix]:
        return [(prefix, names)]
    start = f"{prefix}." if prefix else ""
    parts: dict[str, list[str]] = {}
    for name in names:
        child = name[len(start) :].partition(".")[0]
        parts.setdefault(start + child, []).append(name)
    if len(parts) == 1:
        ((only, inside),) = parts.items()
        return _opened(only, inside)
    return list(parts.items())


def _joined(stages: list[list[str]], body: dict[str, nn.Parameter]) -> list[list[str]]:
    """The same stages; one without a layer joins the one before it, or the first layer after it."""
    joined: list[list[str]] = []
    waiting: list[str] = []
    for names in stages:
        is_layer = any(body[name].ndim >= 2 and name.endswith("weight") for name in names)
        if is_layer:
            joined.append(waiting + names)
            waiting = []
        elif joined:
            joined[-1] = joined[-1] + names
        else:
            waiting = waiting + names
    return [*joined, waiting] if waiting else joined


def names_of_stages(stages: Sequence[Sequence[str]]) -> list[str]:
    """What each stage is called: the shortest name of a module that only it has, such as "layer4"."""
    found = []
    for stage in stages:
        others = [name for other in stages if other is not stage for name in other]
        parts = next((name for name in stage if name.endswith("weight")), stage[0]).split(".")
        prefixes = [".".join(parts[:length]) for length in range(1, len(parts) + 1)]
        alone = (
            prefix
            for prefix in prefixes
            if not any(name == prefix or name.startswith(f"{prefix}.") for name in others)
        )
        found.append(next(alone, prefixes[-1]))
    return found


def match_parameters(model: nn.Module, patterns: Iterable[str]) -> list[str]:
    """Names of the parameters that stay frozen: names of parameters or of modules, patterns such as layer1.*, or body
    for all but the head.

    Raises:
        ValueError: a pattern that matches nothing, with the nearest name; or all parameters, so nothing could learn.
    """
    names = [name for name, _ in model.named_parameters()]
    frozen: set[str] = set()
    for pattern in patterns:
        if pattern == "body":
            head = set(layers_from_head(model)[0])
            found = {name for name in names if name not in head}
        else:
            start = f"{pattern}."
            found = {name for name in names if fnmatchcase(name, pattern) or name.startswith(start)}
        if not found:
            raise ValueError(f"no parameter of the model matches '{pattern}'; {_nearest(pattern, names)}")
        frozen |= found
    trainable = [name for name, parameter in model.named_parameters() if parameter.requires_grad]
    if frozen and frozen.issuperset(trainable):
        raise ValueError("all parameters are frozen, so there is nothing left to learn")
    return [name for name in names if name in frozen]


def _nearest(pattern: str, names: list[str]) -> str:
    modules = dict.fromkeys(
        ".".join(name.split(".")[:length]) for name in names for length in range(1, name.count(".") + 1)
    )
    near = difflib.get_close_matches(pattern, [*names, *modules, *(f"{name}.*" for name in modules)], n=1)
    if near:
        return f"did you mean '{near[0]}'?"
    tops = dict.fromkeys(name.partition(".")[0] for name in names)
    return (
        "its parts are " + ", ".join(list(tops)[:12]) + "; a pattern is such as " + f"'{next(iter(tops))}.*'"
    )


@dataclass(frozen=True)
class Freezing:
    """Which parameters do not learn, for good or for now; a function of the epoch alone, so a resumed run is equal.

    Args:
        frozen: names of parameters that never learn.
        stages: names of parameters of each stage of the body that thaws, from the head downwards.
        every: epochs after which one more stage begins to learn (gradual unfreezing, Howard and Ruder 2018,
            arXiv 1801.06146); 0 for all at once.
    """

    frozen: tuple[str, ...] = ()
    stages: tuple[tuple[str, ...], ...] = ()
    every: int = 0

    def waiting(self, epoch: int) -> set[str]:
        """Names of the parameters that do not learn in this epoch (counted from 0) but will later."""
        thawed = epoch // self.every if self.every else len(self.stages)
        return {name for stage in self.stages[thawed:] for name in stage}

    def begin_epoch(self, model: nn.Module, epoch: int) -> None:
        """Let those parameters learn whose turn has come, and keep the statistics of frozen batch normalisation."""
        held = self.waiting(epoch)
        thawing = {name for stage in self.stages for name in stage}
        inner = find_named(model, [*self.frozen, *thawing])
        for name, parameter in inner.named_parameters():
            if name in thawing:
                parameter.requires_grad_(name not in held)
                if name in held:
                    parameter.grad = None
        hold_statistics(inner, held.union(self.frozen))


def find_named(model: nn.Module, names: Sequence[str]) -> nn.Module:
    """The module with parameters of these names: the model itself, or what a wrapper of it holds."""
    for module in model.modules():
        known = {name for name, _ in module.named_parameters()}
        if known.issuperset(names):
            return module
    raise ValueError(f"expected a model with the parameter '{names[0]}', got one without it")


def hold_statistics(model: nn.Module, frozen: set[str]) -> None:
    """Put batch normalisation whose surroundings are all frozen into evaluation mode, so that it stays as it is."""
    for name, module in model.named_modules():
        if isinstance(module, _BatchNorm):
            # without weights of its own it belongs to the module around it
            parent = name if list(module.parameters()) else name.rpartition(".")[0]
            start = f"{parent}." if parent else ""
            own = [one for one, _ in model.named_parameters() if one.startswith(start)]
            if own and frozen.issuperset(own):
                module.eval()


def make_freezing(model: nn.Module, patterns: Sequence[str], every: int = 0) -> Freezing:
    """Freeze what matches the patterns for good, and plan when the stages of the body begin to learn.

    Args:
        model: changed in place: what never learns loses `requires_grad`.
        patterns: see `match_parameters`.
        every: epochs between two stages; 0 lets the whole body learn at once.

    Raises:
        ValueError: a pattern that matches nothing, or nothing is left to learn, or to thaw.
    """
    frozen = match_parameters(model, patterns)
    for name, parameter in model.named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)
    if not every:
        return Freezing(tuple(frozen))
    learning = {name for name, parameter in model.named_parameters() if parameter.requires_grad}
    stages = [tuple(name for name in stage if name in learning) for stage in layers_from_head(model)[1:]]
    stages = [stage for stage in stages if stage]
    if not stages:
        raise ValueError("there is no stage of the body to unfreeze: all of them are frozen for good")
    return Freezing(tuple(frozen), tuple(stages), every)
