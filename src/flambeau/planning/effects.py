"""Options that a person gave and that change nothing in this run, because of what else was given or chosen."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from flambeau.planning.rules import came_from_person
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.describe import options
from flambeau.recipe.fields import is_own
from flambeau.schema import Finding
from flambeau.training.names import loss_function, optimizer_rule, schedule_curve

# What an option is called where it is as good as left out, beside its default and what is empty.
PLAIN_VALUES = {"training.class_weights": "none", "training.optimizer.body_lr": 1.0}
FROM_PRETRAINED = (
    "training.head_epochs",
    "training.freeze_early",
    "training.optimizer.body_lr",
    "model.arch",
)
PLATEAU_OPTIONS = ("warmup", "gamma", "patience")


@dataclass(frozen=True)
class Situation:
    """What decides whether an option has an effect.

    Args:
        recipe: resolved.
        task: classification, multilabel or regression.
        pictures: whether the samples are pictures.
        pretrained: whether the body begins at weights of torchvision or timm.
        mixed: whether the samples are a table with pictures or texts beside other columns.
        texts: whether texts are "alone" or "beside" other columns; "" for none.
    """

    recipe: Recipe
    task: str
    pictures: bool
    pretrained: bool
    mixed: bool = False
    texts: str = ""


# From the situation, the last part of an option's key and its value to what makes it idle; "" where nothing does.
Idle = Callable[[Situation, str, Any], str]


def effect_findings(
    choices: Choices, *, task: str, pictures: bool, pretrained: bool, mixed: bool = False, texts: str = ""
) -> list[Finding]:
    """A finding for each given value that has no effect. Values at their default are as good as not given.

    Args:
        choices: with everything chosen.
        task, pictures, pretrained, mixed, texts: see `Situation`.
    """
    situation = Situation(choices.recipe, task, pictures, pretrained, mixed, texts)
    findings = []
    for key, option in options().items():
        if option.section is not None or not came_from_person(choices, key):
            continue
        value = choices.get(key)
        default = option.field.get_default(call_default_factory=True)
        if value == default or value == PLAIN_VALUES.get(key) or (default is None and not value):
            continue
        why = next(
            (why for rule in rules_of(key) if (why := rule(situation, key.rpartition(".")[2], value))), ""
        )
        if why:
            # the recipe `fast` gives it for all pictures, mirrored ones or not
            level: Literal["info", "warning"] = "info" if key == "image.augment.flip_alternate" else "warning"
            shown = str(value).lower() if isinstance(value, bool) else value
            findings.append(Finding(level, "no-effect", f"{key}={shown} has no effect {why}"))
    return findings


def norm_findings(recipe: Recipe, *, has_batch_norm: bool) -> Iterator[Finding]:
    """A finding where the momentum of batch normalisation is given for a model without any."""
    momentum = recipe.training.batch_norm_momentum
    if momentum is not None and not has_batch_norm:
        message = (
            f"training.batch_norm_momentum={momentum:g} has no effect in a model without batch normalisation"
        )
        yield Finding("warning", "no-effect", message)


def rules_of(key: str) -> Iterator[Idle]:
    """The rules that may find an option idle, by its key."""
    yield from RULES.get(key, ())
    yield from (rule for start, rule in RULES_OF_SECTIONS.items() if key.startswith(start))


def _optimizer(situation: Situation, name: str, value: Any) -> str:
    rule = situation.recipe.training.optimizer.name or "adamw"
    if is_own(rule):
        return "with an optimizer of your own, which is given training.optimizer.arguments"
    changed, usual = optimizer_rule(rule, **{name: value}), optimizer_rule(rule)
    return f"with {rule}" if changed.keywords == usual.keywords else ""


def _schedule(situation: Situation, name: str, value: Any) -> str:
    curve = situation.recipe.training.schedule.name
    if is_own(curve):
        return "with a schedule of your own"
    if curve == "plateau":
        return "" if name in PLATEAU_OPTIONS else "with plateau"
    changed, usual = schedule_curve(curve, epochs=1, **{name: value}), schedule_curve(curve, epochs=1)
    return f"with {curve}" if _arguments(changed) == _arguments(usual) else ""


def _loss(situation: Situation, name: str, value: Any) -> str:
    loss = situation.recipe.training.loss.name
    if loss is None or is_own(loss):
        return "with a loss of your own" if loss else ""
    changed, usual = loss_function(situation.task, loss, **{name: value}), loss_function(situation.task, loss)
    return f"with {loss}" if _arguments(changed) == _arguments(usual) else ""


def _arguments(made: Any) -> dict[str, Any]:
    return dict(made.keywords) if isinstance(made, partial) else {}


def _not_classes(situation: Situation, name: str, value: Any) -> str:
    if situation.task == "classification":
        return ""
    return f"in {situation.task}: it is for classes that exclude each other"


def _from_scratch(situation: Situation, name: str, value: Any) -> str:
    return "" if situation.pretrained else "without a pretrained body of torchvision or timm"


def _own_model(situation: Situation, name: str, value: Any) -> str:
    model = situation.recipe.model.name
    return "with a model of your own" if model is not None and is_own(model) else ""


def _ready_made(situation: Situation, name: str, value: Any) -> str:
    if situation.pretrained and not situation.mixed:
        return "with pretrained weights, which decide the model's layers"
    return _own_model(situation, name, value)


def _not_model(situation: Situation, name: str, value: Any, *, model: str) -> str:
    chosen = situation.recipe.model.name
    return "" if chosen in (None, model) or is_own(chosen) else f"with {chosen}: it is for {model}"


def _not_mirrored(situation: Situation, name: str, value: Any) -> str:
    return "" if situation.recipe.image.augment.flip_horizontal else "where flip_horizontal is off"


def _for_pictures(situation: Situation, name: str, value: Any) -> str:
    if situation.texts == "alone":
        return "on texts"
    return "" if situation.pictures or situation.mixed else "on a table"


def _for_mixed(situation: Situation, name: str, value: Any) -> str:
    if not situation.mixed:
        return "where no pictures or texts stand beside other columns"
    return "with pretrained weights" * (situation.pretrained and name in ("pictures", "picture_channels"))


def _for_series(situation: Situation, name: str, value: Any) -> str:
    if situation.task != "forecast":
        return "where no time series is forecast"
    ridge = name in ("penalty", "shared", "cross") and situation.recipe.model.name != "ridge"
    return f"with {situation.recipe.model.name}: it is for ridge" if ridge else ""


def _for_tables(situation: Situation, name: str, value: Any) -> str:
    if situation.texts == "alone":
        return "on texts"
    return "on pictures" if situation.pictures else ""


def _for_texts(situation: Situation, name: str, value: Any) -> str:
    if not situation.texts:
        return "where there are no texts"
    if name == "token_dropout":
        return _own_model(situation, name, value)
    model = situation.recipe.model.name or ""
    if name == "heads" and situation.texts == "alone":
        return "" if model == "transformer" else f"with {model}: it is for a transformer"
    return ""


def _flat_texts(situation: Situation, name: str, value: Any) -> str:
    flat = situation.recipe.model.name in ("text_bag", "text_cnn")
    return f"with {situation.recipe.model.name}, which has no layers to count" if flat else ""


RULES: dict[str, tuple[Idle, ...]] = {
    **{f"training.optimizer.{name}": (_optimizer,) for name in ("momentum", "beta2", "nesterov", "eps")},
    **{
        f"training.schedule.{name}": (_schedule,)
        for name in ("warmup", "end", "step_size", "milestones", "gamma", "patience")
    },
    **{f"training.loss.{name}": (_loss,) for name in ("gamma", "delta", "quantile")},
    **{f"training.{name}": (_not_classes,) for name in ("label_smoothing", "class_weights", "sampler")},
    **dict.fromkeys(FROM_PRETRAINED, (_from_scratch,)),
    "split.rows": (_for_series,),
    "model.width": (_ready_made,),
    "model.depth": (_ready_made, _flat_texts),
    "model.dropout": (_own_model,),
    "model.members": (_ready_made, partial(_not_model, model="tabm")),
    "model.activation": (_ready_made, partial(_not_model, model="mlp")),
    "model.normalisation": (_ready_made, partial(_not_model, model="mlp")),
    "image.augment.flip_alternate": (_for_pictures, _not_mirrored),
}
RULES_OF_SECTIONS: dict[str, Idle] = {
    "image.": _for_pictures,
    "table.": _for_tables,
    "mixed.": _for_mixed,
    "text.": _for_texts,
    "forecast.": _for_series,
}
