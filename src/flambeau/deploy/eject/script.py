"""From a run to one plain script: a short text made for this run, with the core's functions that it needs around it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flambeau.data.batches import evaluation_batch
from flambeau.deploy.eject.facts import RunFacts, changes_by_epoch, read_facts
from flambeau.deploy.eject.mixed_texts import (
    check_mixed,
    has_cells,
    has_values,
    picture_columns,
    pictures_beside,
    pixels_beside,
)
from flambeau.deploy.eject.modelling import (
    augment_text,
    head_is_trained_first,
    model_text,
    preparation_text,
    weights_text,
)
from flambeau.deploy.eject.other_scripts import IMPORTS, other_script
from flambeau.deploy.eject.picture_sources import Reading
from flambeau.deploy.eject.reading import write_reading
from flambeau.deploy.eject.scan_texts import loader_lines, pixels_at_once
from flambeau.deploy.eject.text import literal, name_of, one_line, script_template
from flambeau.deploy.eject.text_models import directory_constants, encoder_text, text_of, texts_alone
from flambeau.deploy.eject.training_texts import (
    freezes,
    freezing_text,
    loss_text,
    optimizer_text,
    own_constants,
    technique_text,
)
from flambeau.deploy.eject.usual_facts import known_facts
from flambeau.deploy.eject.words import (
    epoch_lines,
    epoch_without_validation,
    in_docstring,
    score_line,
    source_name,
    story_of,
)
from flambeau.deploy.specialise import eject_text
from flambeau.evaluation.metrics import higher_is_better
from flambeau.models.backbone import find_head
from flambeau.recipe.fields import is_own
from flambeau.records import RunFolder
from flambeau.training.names import head_batch_size
from flambeau.transforms.image import PicturePreparation


def eject(run: RunFolder) -> str:
    """A script of plain PyTorch that reads the same data, trains the same model and ends in the same weights.

    Raises:
        RunError: the run is not finished, its data have changed, or something that it did has no plain form.
    """
    facts = read_facts(run)
    check_mixed(facts)
    other = other_script(facts)
    return (
        other
        if other is not None
        else eject_text(write_glue(facts, write_reading(facts)), facts=known_facts(facts))
    )


def write_glue(facts: RunFacts, reading: Reading) -> str:
    """The text made for this run; core names in it stand alone."""
    context = {**_whole(facts, reading), **_rows(facts), **_techniques(facts), **_body(facts)}
    if context["pictures"] or context["mixed"]:
        context |= _pictures(facts, reading)
    else:
        context |= {"layout": "", "load": ""}
    return script_template("script").render(context)


def _whole(facts: RunFacts, reading: Reading) -> dict[str, Any]:
    """What every script has."""
    pictures = isinstance(facts.bundle.preparation, PicturePreparation)
    recipe, spec = facts.recipe, facts.spec
    constants = [
        *reading.constants,
        f"SEED = {recipe.seed}",
        f"DEVICE = torch.device({literal(recipe.device or 'cpu')})",
    ]
    if spec.name == "own":
        file = Path(spec.arguments["file"])
        constants.append(f"sys.path.insert(0, {literal(str(file.parent))})")
        constants.append(
            f"OwnModel = importlib.import_module({literal(file.stem)}).{name_of(spec.arguments['class'])}"
        )
    constants += own_constants(facts)
    changes = {one["number"]: changes_by_epoch(one["changes"]) for one in facts.trainings if one["changes"]}
    head_changes = {
        one["number"]: changes_by_epoch(one["head_changes"]) for one in facts.trainings if one["head_changes"]
    }
    if changes or head_changes:
        constants.append(f"CHANGES: dict[int, dict[int, dict[str, Any]]] = {changes}")
        constants.append(f"HEAD_CHANGES: dict[int, dict[int, dict[str, Any]]] = {head_changes}")
    imports, more = directory_constants(facts)
    constants += more
    own_imports = [line for line in (*reading.imports, *imports) if line not in IMPORTS]
    return {
        "title": in_docstring(
            f"{source_name(facts)}: {spec.name} for {facts.task}, as in the run {facts.folder.name}."
        ),
        "story": in_docstring(story_of(facts)),
        "imports": "\n".join([IMPORTS, *own_imports]),
        "constants": "\n".join(constants),
        "reading": reading.function,
        "replays": bool(changes or head_changes),
        "task": literal(facts.task),
        "threads": recipe.threads or 1,
        "threads_reason": "another number of threads gives other last bits",
        "matmul": literal(recipe.training.matmul or "highest"),
        "deterministic": recipe.deterministic,
        "cuda": (recipe.device or "cpu").startswith("cuda"),
        "tf32": recipe.training.matmul not in (None, "highest"),
        "regression": facts.task == "regression",
        "score": score_line(facts.task),
        "preparation": "" if pictures or not has_values(facts) else preparation_text(facts),
        "cells": has_cells(facts),
        "pictures": pictures,
        "mixed": pictures_beside(facts) is not None,
        "texts": text_of(facts) is not None,
        "texts_alone": texts_alone(facts),
        "reads_files": False,
        "refit_pixels": False,
    }


def _rows(facts: RunFacts) -> dict[str, Any]:
    """Which rows train, choose and test, and how the trainings are called."""
    several = len(facts.trainings) > 1
    tests = not facts.on_all_samples
    first = facts.trainings[0]
    read = '{name} = json.loads((RUN / "{name}.json").read_text(encoding="utf-8"))'
    lines = []
    if tests:
        lines.append(read.format(name="split"))
    if facts.one_split:
        lines += [
            f'{part}_rows = np.array(split["{part}"], dtype=np.int64)' for part in ("train", "valid", "test")
        ]
        lines.append("fitting_rows = train_rows")
    else:
        lines.append(read.format(name="trainings"))
        lines.append('fitting_rows = np.array(trainings["rows"], dtype=np.int64)')
        if tests:
            lines.append('test_rows = np.array(split["test"], dtype=np.int64)')
        if several:
            lines.append('plan = [one["valid"] for one in trainings["trainings"]]')
            if facts.leave_out_alike:
                lines.append("fitting_rows = np.setdiff1d(fitting_rows, plan[0])")
        else:
            lines.append("train_rows = fitting_rows")
    arguments = [
        "number" if several else str(first["number"]),
        "train_rows",
        "valid_rows",
        "targets",
        "aims",
        "gather",
    ]
    pixels = pictures_beside(facts) is not None and not facts.body_apart
    if isinstance(facts.bundle.preparation, PicturePreparation) or pixels:
        arguments += ["train_gather", "change"]
    if text_of(facts) is not None:
        arguments.append("lengths")
    if "preparation." in model_text(facts.spec):
        arguments.append("preparation")
    arguments += ["predict", "features"] if head_is_trained_first(facts) else ["predict"]
    return {
        "rows": "\n".join(lines),
        "several": several,
        "tests": tests,
        "first_number": first["number"],
        "train_call": f"train_one({', '.join(arguments)})",
        "validates": bool(first["valid"]),
        "makes_by_preparation": "preparation." in model_text(facts.spec),
    }


def _techniques(facts: RunFacts) -> dict[str, Any]:
    """How a model is made and trained."""
    training, reasons = facts.recipe.training, facts.reasons
    head = head_is_trained_first(facts)
    metric = facts.recipe.evaluation.metric or "log_loss"
    validates = bool(facts.trainings[0]["valid"])
    ema = bool(training.ema)
    kept = "kept" if ema and head else "average" if ema else "model"
    batch = training.batch_size or 64
    reason = reasons.get("training.batch_size", "")
    size = getattr(facts.bundle.preparation, "size", ())
    scaler = facts.bundle.target
    fused = facts.spec.name == "fusion"
    body_learns = facts.pretrained and not facts.on_features and not facts.body_apart
    linear = facts.module.get_submodule(find_head(facts.module)) if head else None
    return {
        "head": head,
        "head_batch": head_batch_size(training.optimizer.name, training.batch_size),
        "head_optimizer": optimizer_text(facts, "alone", body=False) if linear is not None else "",
        "head_technique": technique_text(facts, epochs=training.head_epochs or 0, head=True) if head else "",
        "model": model_text(facts.spec),
        "weights": weights_text(facts),
        "own_weights": facts.spec.name in ("own", "transformers"),
        "joined": "cardinalities" in facts.spec.arguments,
        "on_features": facts.on_features,
        "bins": hasattr(facts.module, "set_bins") and has_cells(facts),
        "started": facts.started,
        "start_is_ensemble": facts.started and _start_is_ensemble(facts),
        "channels_last": training.memory_format == "channels_last",
        "init": literal(facts.recipe.model.init) if facts.recipe.model.init else "",
        "own_init": facts.recipe.model.init is not None and is_own(facts.recipe.model.init),
        "norm_momentum": training.batch_norm_momentum,
        "whitened": "whiten" in facts.spec.arguments,
        "recomputes": bool(training.recompute),
        "compiles": bool(training.compile),
        "scales": training.precision == "fp16" and not facts.on_features,
        "freezing": freezing_text(facts, "model") if freezes(facts) and not facts.on_features else "",
        "freeze_early": facts.pretrained and bool(training.freeze_early) and not fused,
        "loss": loss_text(facts),
        "optimizer": optimizer_text(facts, "model", body=body_learns),
        "technique": technique_text(facts, epochs=facts.trainings[0]["epochs"]),
        "batch_size": batch,
        "weighted": training.sampler == "weighted" and facts.task == "classification",
        "batch_reason": f"  # {one_line(reason)}" if reason else "",
        "ema": ema,
        "patience": training.patience or 0,
        "metric": literal(metric),
        "higher_is_better": higher_is_better(metric),
        "kept": kept,
        "epoch_body": epoch_lines(facts, kept, head=head) if validates else epoch_without_validation(facts),
        "evaluation_batch": evaluation_batch(pixels_at_once(facts) if size else pixels_beside(facts)),
        "scaler": f"TargetScaler({scaler.mean!r}, {scaler.std!r}{', log=True' * scaler.log})"
        if facts.started
        else f"fit_target(targets[fitting_rows]{', log=True' * scaler.log})",
        "units": ", target_mean=scaler.mean, target_std=scaler.std" + ", target_log=True" * scaler.log,
        "flip_average": facts.bundle.flip_average,
    }


def _body(facts: RunFacts) -> dict[str, Any]:
    """Where pretrained weights go, and the frozen body of a fused model that is left out of the training."""
    filled = "model.pictures.encoder" if facts.spec.name == "fusion" else "model"
    if not facts.body_apart:
        return {"filled": filled, "body_apart": False}
    batch = evaluation_batch(pixels_beside(facts) // picture_columns(facts))
    return {"filled": filled, "body_apart": True, "encoder": encoder_text(facts), "encoder_batch": batch}


def _pictures(facts: RunFacts, reading: Reading) -> dict[str, Any]:
    """What only pictures need."""
    own = facts.bundle.preparation
    preparation = own if isinstance(own, PicturePreparation) else pictures_beside(facts)
    assert preparation is not None
    options = {name: value for name, value in preparation.load_options.items() if name != "scan"}
    last = facts.recipe.training.memory_format == "channels_last"
    facts_of_pictures = facts.bundle.schema.picture
    assert facts_of_pictures is not None
    came = (
        facts_of_pictures.height,
        facts_of_pictures.width,
        facts_of_pictures.channels,
        facts_of_pictures.bits,
    )
    return {
        "reads_files": reading.returns.startswith("list"),
        "refit_pixels": came != (*preparation.size, preparation.channels, preparation.bits),
        "tidy_pictures": reading.tidy_pictures,
        "loaders": loader_lines(preparation, reading.kinds),
        "channels": preparation.channels,
        "size": literal(preparation.size),
        "mean": literal(preparation.mean) if preparation.mean else "",
        "std": literal(preparation.std),
        "statistics_reason": f"  # {one_line(reason)}"
        if (reason := facts.reasons.get("image.normalise"))
        else "",
        "largest": float(2**preparation.bits - 1),
        "load": ", ".join(f"{name}={literal(value)}" for name, value in options.items()),
        "augment": augment_text(facts),
        "mixup": facts.recipe.image.augment.mixup or 0.0,
        "classes": len(facts.bundle.schema.classes) if facts.task == "classification" else 0,
        "layout": "torch.channels_last" if last else "torch.contiguous_format",
    }


def _start_is_ensemble(facts: RunFacts) -> bool:
    return bool(facts.folder.read_json("start/model.json")["name"] == "ensemble")
