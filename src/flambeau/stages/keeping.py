"""What a run writes: first the plan, so that a killed run can be resumed, and at the end the result."""

from __future__ import annotations

import shutil
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save as save_arrays

from flambeau.data.batches import ordered_batches
from flambeau.data.join import fingerprint
from flambeau.data.samples import PictureArray, PictureFiles, Samples
from flambeau.data.split import Split
from flambeau.deploy.bundle import Bundle, save_bundle
from flambeau.deploy.familiar.files import save_familiar
from flambeau.deploy.familiar.fit import fit_familiar, rows_to_compare
from flambeau.errors import RunError
from flambeau.insight.report import write_report
from flambeau.planning.common import class_counts
from flambeau.recipe import Choices
from flambeau.recipe.write import recipe_to_yaml
from flambeau.records import RunFolder
from flambeau.records.environment import environment
from flambeau.schema import Schema
from flambeau.stages.inputs import Feed
from flambeau.stages.journal import Journal
from flambeau.stages.judged import Judged
from flambeau.stages.judging import worst_mistakes
from flambeau.stages.material import Material
from flambeau.stages.setting import file_digests
from flambeau.stages.validating import batch_of
from flambeau.training.checkpoint import remove_older
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation

LISTED_CHANGES = 5
FINAL_NUMBER = 10_000


def describe_data(samples: Samples, source: str | None) -> dict[str, Any]:
    """The content of data.json. Rows of a table are numbered, so only pictures are listed by name."""
    listed = samples.schema.source == "pictures"
    counts = None
    if samples.schema.task == "classification":
        counts = class_counts(samples.targets, len(samples.schema.classes)).tolist()
    return {
        "source": source,
        "fingerprint": fingerprint(samples),
        "count": len(samples),
        "schema": samples.schema.to_json(),
        "class_counts": counts,
        "stored": {PictureFiles: "files", PictureArray: "arrays"}.get(type(samples.pictures), "rows"),
        "ids": list(samples.ids) if listed else [],
        "targets": samples.targets.tolist() if listed else [],
        "digests": list(samples.digests) if listed else [],
    }


def describe_text(schema: Schema, source: str | None, fingerprint: str, count: int) -> dict[str, Any]:
    """The content of data.json for texts, of which nothing is listed; `count` of characters, or of questions."""
    return {
        "source": source,
        "fingerprint": fingerprint,
        "count": count,
        "schema": schema.to_json(),
        "class_counts": None,
        "stored": "text",
        "ids": [],
        "targets": [],
        "digests": [],
    }


def check_same_data(run: RunFolder, samples: Samples) -> None:
    """Raises RunError, telling what changed, where the data are not those that the run was started with."""
    before = run.read_json("data.json")
    if before["fingerprint"] == fingerprint(samples):
        return
    old = dict(zip(before["ids"], before["digests"], strict=True))
    new = dict(zip(samples.ids, samples.digests, strict=True)) if old else {}
    changes = []
    for what, names in (
        ("added", [name for name in new if name not in old]),
        ("removed", [name for name in old if name not in new]),
        ("changed", [name for name in new if name in old and old[name] != new[name]]),
    ):
        if names:
            more = ", …" if len(names) > LISTED_CHANGES else ""
            changes.append(f"{len(names)} {what} ({', '.join(names[:LISTED_CHANGES])}{more})")
    if before["count"] != len(samples) and not changes:
        changes.append(f"{before['count']:,} samples before, {len(samples):,} now")
    raise RunError(
        "the data have changed since this run was started, so it cannot go on to the same result",
        where=before["source"],
        got="; ".join(changes) or "other values or targets in the same number of samples",
        expected="the data as they were, or a new run",
        command=f"flambeau train {before['source']} --from {run.path}",
    )


def keep_plan(run: RunFolder, samples: Samples, splits: list[Split], choices: Choices, command: str) -> None:
    """Write the recipe, the split, the data's description and the environment."""
    write_plan(run, describe_data(samples, choices.recipe.source), split_to_json(splits), choices, command)


def write_plan(
    run: RunFolder, data: dict[str, Any], split: dict[str, Any], choices: Choices, command: str
) -> None:
    """Write data.json and split.json, the environment and, last, the recipe."""
    recipe = choices.recipe
    run.write_json("data.json", data)
    run.write_json("split.json", split)
    facts = environment(recipe.device, recipe.threads, command)
    run.write_json("environment.json", {**facts, "files": file_digests(recipe)})
    # last, because a folder with a recipe is one that can be resumed
    run.write_text("recipe.yaml", recipe_to_yaml(choices))


def split_to_json(splits: list[Split]) -> dict[str, Any]:
    """The content of split.json: positions of the samples, counted from 0."""

    def parts(split: Split) -> dict[str, list[int]]:
        return {"train": split.train.tolist(), "valid": split.valid.tolist(), "test": split.test.tolist()}

    first = splits[0]
    if len(splits) == 1:
        return {"method": first.method, "reason": first.reason, **parts(first), "folds": []}
    empty: dict[str, list[int]] = {"train": [], "valid": [], "test": []}
    method = f"{len(splits)}-fold cross-validation, {first.method}"
    reason = "each sample is tested once, by a model that has not seen it"
    return {"method": method, "reason": reason, **empty, "folds": [parts(split) for split in splits]}


def splits_from_json(data: dict[str, Any]) -> list[Split]:
    """The inverse of `split_to_json`."""
    return [
        Split(
            train=np.asarray(part["train"], dtype=np.int64),
            valid=np.asarray(part["valid"], dtype=np.int64),
            test=np.asarray(part["test"], dtype=np.int64),
            method=data["method"],
            reason=data["reason"],
        )
        for part in data["folds"] or [data]
    ]


def keep_trainings(run: RunFolder, rows: np.ndarray, trainings: list[dict[str, Any]]) -> None:
    """Write what the kept model was fitted on, and what happened on the way: what a repeat needs beside the recipe."""
    run.write_json("trainings.json", {"rows": rows.tolist(), "trainings": trainings})


def keep_familiar(run: RunFolder, bundle: Bundle, feed: Feed, rows: np.ndarray, journal: Journal) -> None:
    """Write what these rows, on which the kept model was fitted, look like to it: the bundle flags other inputs."""
    if isinstance(feed.preparation, SeriesPreparation):
        return  # rows of a series are like those before them or not; the range of their values is told
    kind = "pictures"
    if isinstance(feed.preparation, TablePreparation):
        kind = "table" if feed.preparation.has_cells else "texts"
        if kind == "texts" and feed.preparation.pictures:
            journal.note("the bundle cannot tell strange inputs: no column of numbers or categories is used")
            return
    height, width = feed.preparation.size if isinstance(feed.preparation, PicturePreparation) else (0, 0)
    chosen = torch.from_numpy(rows_to_compare(rows, height * width))
    # rows are compared by their numbers and categories, for which no picture is opened
    gather = feed.values if kind == "table" and feed.values is not None else feed.gather
    batches = ordered_batches(gather, chosen, batch_of(feed))
    try:
        save_familiar(run.model, fit_familiar(bundle.module, batches, kind))
    except ValueError as error:
        journal.note(f"the bundle cannot tell inputs that are unlike its training data: {error}")


def keep_result(
    run: RunFolder,
    material: Material,
    judged: Judged,
    scores: dict[str, Any],
    bundle: Bundle,
    journal: Journal,
) -> None:
    """Write predictions, scores, worst mistakes, the bundle, the report, and the digests of all of it."""
    arrays = {
        "targets": material.samples.targets[judged.rows],
        # of windows there are many numbers, of which seven digits are enough to draw them
        "predictions": judged.predictions
        if material.samples.series is None
        else judged.predictions.astype(np.float32),
        "indices": judged.rows,
        **({} if judged.decided is None else {"decided": judged.decided}),
    }
    if material.samples.series is not None:
        arrays["times"] = material.samples.series.times[judged.rows]
    run.write_bytes(
        "evaluation.safetensors", save_arrays({k: np.ascontiguousarray(v) for k, v in arrays.items()})
    )
    run.write_json("worst.json", worst_mistakes(material, judged, scores))
    finish_run(run, bundle, scores, journal)


def finish_run(run: RunFolder, bundle: Bundle, scores: dict[str, Any], journal: Journal) -> None:
    """Write scores, the bundle, the report, and the digests of all that is in the folder."""
    run.write_json("scores.json", scores)
    bundle.scores = scores
    save_bundle(run.model, bundle, run.recipe.read_text(encoding="utf-8"))
    journal({"kind": "scores", **scores})
    journal.stage("report", "writing the report")
    write_report(run.path)
    clear_checkpoints(run)
    run.write_digests()


def clear_checkpoints(run: RunFolder) -> None:
    """Keep the newest checkpoint of the trainings whose models are kept; those of folds have done their work."""
    for folder in run.checkpoints.glob("alone-*"):
        shutil.rmtree(folder)
    trainings = sorted(run.checkpoints.glob("training-*"))
    final = [folder for folder in trainings if int(folder.name.split("-")[1]) >= FINAL_NUMBER]
    for folder in trainings:
        if final and folder not in final:
            shutil.rmtree(folder)
            continue
        remove_older(folder, "middle", keep=0)
        remove_older(folder, "last", keep=1)
