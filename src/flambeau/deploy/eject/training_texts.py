"""Texts of the parts of a training, from a run's facts: the loss, the optimizer, the schedule, how a step is done.

The parts are made by the same tables as in the run (`training.names`) and written as the calls that make them.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.text import Code, call, literal, name_of
from flambeau.recipe.fields import is_own
from flambeau.recipe.own_parts import OWN_PARTS
from flambeau.training.names import loss_function, optimizer_rule, schedule_curve
from flambeau.training.schedules import ReduceOnPlateau


def own_constants(facts: RunFacts) -> list[str]:
    """Lines that import a person's own parts from their files."""
    named = {key: _value(facts, key) for key, part in OWN_PARTS.items() if part.script}
    own = {key: value for key, value in named.items() if isinstance(value, str) and is_own(value)}
    lines = []
    for key, spec in own.items():
        file, _, part = spec.rpartition(":")
        path = Path(file)
        insert = f"sys.path.insert(0, {literal(str(path.parent))})"
        if insert not in lines:
            lines.append(insert)
        lines.append(
            f"{OWN_PARTS[key].script} = importlib.import_module({literal(path.stem)}).{name_of(part)}"
        )
    return lines


def _value(facts: RunFacts, key: str) -> Any:
    value: Any = facts.recipe
    for part in key.split("."):
        value = getattr(value, part)
    return value


def loss_text(facts: RunFacts) -> Code:
    """The loss; `train_rows` and `targets` are names of the text around it."""
    training = facts.recipe.training
    options = training.loss
    if options.name is not None and is_own(options.name):
        return call(
            "partial", Code("own_loss"), function=Code(OWN_PARTS["training.loss.name"].script), members=True
        )
    balanced = training.class_weights == "balanced" and facts.task == "classification"
    made = loss_function(
        facts.task,
        str(options.name),
        label_smoothing=training.label_smoothing or 0.0,
        class_weights=torch.ones(1) if balanced else None,
        gamma=options.gamma,
        delta=options.delta,
        quantile=options.quantile,
        quantiles=getattr(facts.bundle.preparation, "quantiles", ()),
    )
    if not isinstance(made, partial):
        return Code(made.__name__)
    named = dict(made.keywords)
    if balanced:
        classes = len(facts.bundle.schema.classes)
        named["class_weights"] = Code(f"balance_classes(targets[train_rows], {classes}).to(DEVICE)")
    reasons = {key: facts.reasons.get(f"training.{key}", "") for key in named}
    return call("partial", Code(made.func.__name__), reasons=reasons, **named)


def optimizer_text(facts: RunFacts, model: str, *, body: bool) -> Code:
    """The optimizer over parameter groups of the variable `model`."""
    options, reasons = facts.recipe.training.optimizer, facts.reasons
    groups: dict[str, Any] = {"lr": options.lr or 1e-3, "weight_decay": options.weight_decay or 0.0}
    if body:
        groups["body"] = Code(f"[name for name, _ in body_parameters({model})]")
        if facts.spec.name == "fusion":
            names = f"body_parameters({model}.pictures.encoder)"
            groups["body"] = Code(f'[f"pictures.encoder.{{name}}" for name, _ in {names}]')
        groups["body_lr"] = options.body_lr or 1.0
    if options.layer_decay < 1:
        groups["layer_decay"] = options.layer_decay
    told = {key: reasons.get(f"training.optimizer.{key}", "") for key in groups}
    made = call("parameter_groups", Code(model), reasons=told, **groups)
    name = options.name or "adamw"
    if is_own(name):
        own = Code(OWN_PARTS["training.optimizer.name"].script)
        return call("make_own_optimizer", own, made, groups["lr"], Code(literal(options.arguments)))
    rule = optimizer_rule(
        name,
        momentum=options.momentum,
        beta2=options.beta2,
        nesterov=options.nesterov,
        eps=options.eps,
        precision=facts.recipe.training.precision or "fp32",
    )
    hidden = {"hidden": Code(f"hidden_weights({model})")} if name == "muon" else {}
    return call(rule.func.__name__, made, **hidden, **rule.keywords, device=Code("DEVICE"))


def schedule_text(facts: RunFacts, epochs: int) -> Code:
    """The schedule of a training of so many epochs."""
    options = facts.recipe.training.schedule
    if is_own(options.name):
        return call(
            "partial", Code("own_schedule"), function=Code(OWN_PARTS["training.schedule.name"].script)
        )
    curve = schedule_curve(
        options.name,
        epochs=epochs,
        warmup=options.warmup,
        end=options.end,
        step_size=options.step_size,
        milestones=options.milestones,
        gamma=options.gamma,
        patience=options.patience,
    )
    if isinstance(curve, ReduceOnPlateau):
        return call("ReduceOnPlateau", warmup=options.warmup, gamma=options.gamma, patience=options.patience)
    assert isinstance(curve, partial)
    return call("partial", Code(curve.func.__name__), **curve.keywords)


def technique_text(
    facts: RunFacts,
    *,
    epochs: int,
    head: bool = False,
    exact: bool = False,
    weight_of: str = "",
    told: Mapping[str, str] | None = None,
) -> Code:
    """How a step is done; a head alone is trained in fp32, whole batches, without an average.

    Args:
        facts: of the run.
        epochs: of this training.
        head: whether it is of the head alone.
        exact: whether it is in fp32 and whole batches, but with an average.
        weight_of: the function that counts the terms of a loss.
        told: argument → why, instead of the recipe's reason.
    """
    training = facts.recipe.training
    alone = head or exact or facts.on_features
    values: dict[str, Any] = {
        "epochs": epochs,
        "schedule": schedule_text(facts, epochs),
        "seed": Code("seed"),
    }
    clip = {"norm": training.clip_norm or 0.0, "value": training.clip_value}
    optional: dict[str, Any] = {
        "average_decay": 0.0 if head else training.ema or 0.0,
        "clip": call("partial", Code("clip_gradients"), **{k: v for k, v in clip.items() if v})
        if any(clip.values())
        else 0,
        "micro_batch": 0 if alone else training.micro_batch or 0,
        "precision": 0 if alone or training.precision in (None, "fp32") else training.precision,
        "step": Code("step_with_closure") if facts.asks_again else 0,
        "begin_epoch": Code("freezing.begin_epoch") if freezes(facts) and not alone else 0,
        "weight_of": Code(weight_of) if weight_of else 0,
    }
    values |= {key: value for key, value in optional.items() if value not in (0, 0.0)}
    values["device"] = Code("DEVICE")
    keys = {"average_decay": "ema", "clip": "clip_norm", "epochs": "head_epochs" if head else "epochs"}
    reasons = {key: facts.reasons.get(f"training.{keys.get(key, key)}", "") for key in values}
    return call("Technique", reasons={**reasons, **(told or {})}, **values)


def freezes(facts: RunFacts) -> bool:
    """Whether parts of the model stay as they are, for good or at first."""
    return bool(facts.recipe.training.freeze) or facts.recipe.training.unfreeze_every > 0


def freezing_text(facts: RunFacts, model: str) -> Code:
    """What freezes parts of the variable `model` and tells when they begin to learn."""
    training = facts.recipe.training
    return call("make_freezing", Code(model), training.freeze, training.unfreeze_every)
