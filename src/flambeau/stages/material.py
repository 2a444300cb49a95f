"""From a source to material for training: samples that can be read, their pixels, their duplicates, their split."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from flambeau.data.cache import cached_pictures
from flambeau.data.check import check_counts, check_groups, check_samples
from flambeau.data.duplicates import Duplicates, find_duplicates, merge_groups
from flambeau.data.join import join_test
from flambeau.data.known.named import at_place
from flambeau.data.read import read, read_test
from flambeau.data.samples import Samples
from flambeau.errors import DataError, ModelError
from flambeau.planning.common import plan_class_weights, plan_machine, plan_score
from flambeau.planning.effects import effect_findings
from flambeau.planning.generate import plan_generate
from flambeau.planning.machine import Machine
from flambeau.planning.mixed import is_mixed
from flambeau.planning.pictures import plan_pictures
from flambeau.planning.scans import scan_findings, scan_reading
from flambeau.planning.tables import plan_table
from flambeau.planning.texts import plan_texts, plan_unknown
from flambeau.planning.weights import plan_frozen
from flambeau.recipe import Choices, Recipe
from flambeau.schema import Finding, PictureFacts
from flambeau.stages.journal import Journal
from flambeau.stages.mixed.feed import ColumnPixels, plan_and_decode
from flambeau.stages.series.gather import gather_series
from flambeau.stages.starting.weights import (
    OwnWeights,
    StartingWeights,
    find_own_weights,
    find_starting_weights,
)
from flambeau.stages.texts.feed import find_directory_weights


@dataclass(frozen=True)
class Material:
    """What training works on.

    Args:
        samples: those that can be read.
        pixels: (n, height, width, channels), often a memory map; None for tables.
        duplicates: samples that repeat others.
        groups: (n,) integers; equal ones stay on one side; None where nothing groups the samples.
        weights: of a pretrained model, or None.
        findings: of reading and checking.
        own_weights: for a person's own model, or None.
        column_pixels: the decoded pictures of a table's columns of pictures.
    """

    samples: Samples
    pixels: np.ndarray | None
    duplicates: Duplicates
    groups: np.ndarray | None
    weights: StartingWeights | None
    findings: tuple[Finding, ...]
    own_weights: OwnWeights | None = None
    column_pixels: dict[str, ColumnPixels] = field(default_factory=dict)


def read_samples(recipe: Recipe, journal: Journal) -> Samples:
    """Read the source, and the separate test source if there is one, as one set of samples."""
    if recipe.source is None:
        raise DataError("there is nothing to read", expected="a folder, a file or a built-in data set")
    journal.stage("read", f"reading {recipe.source}")
    recipe = at_place(recipe)
    assert recipe.source is not None
    samples = read(recipe.source, recipe)
    if recipe.data.test is not None:
        samples = join_test(samples, read_test(recipe.data.test, samples.schema, recipe))
    return samples


def gather_material(
    samples: Samples, choices: Choices, machine: Machine, journal: Journal, *, compare: bool = True
) -> Material:
    """Choose how to prepare the samples, decode pictures once, find duplicates, check, and choose the rest.

    `compare`: whether forms of a model may be compared by training them, which a mere check leaves out.
    """
    schema = samples.schema
    for finding in samples.findings:
        journal.finding(finding)
    plan_machine(choices, machine, rows=len(samples), schema=schema)
    if schema.source == "series":
        samples, told, own = gather_series(samples, choices, machine, journal, compare=compare)
        return Material(
            samples, None, Duplicates(np.arange(len(samples))), None, None, samples.findings + told, own
        )
    if schema.task == "generate":
        return _gather_pictures(samples, choices, machine, journal)
    plan_score(choices, rows=len(samples), schema=schema, came_split=samples.parts is not None)
    fitted = np.ones(len(samples), dtype=bool) if samples.parts is None else samples.parts != "test"
    plan_class_weights(choices, targets=samples.targets[fitted], schema=schema)
    plan_frozen(choices)
    if schema.source == "pictures":
        return _gather_pictures(samples, choices, machine, journal)
    if schema.source == "table" and is_mixed(schema):
        return _gather_mixed(samples, choices, machine, journal)
    kinds = [column.kind for column in schema.used_columns]
    if "text" in kinds:
        plan_unknown(choices, task=schema.task, classes=schema.classes)
    if set(kinds) == {"text"}:
        plan_texts(
            choices, rows=int(fitted.sum()), task=schema.task, classes=len(schema.classes), machine=machine
        )
    else:
        plan_table(
            choices,
            rows=len(samples),
            number_features=sum(kind in ("number", "boolean", "date") for kind in kinds),
            task=schema.task,
            machine=machine,
        )
    weights = find_own_weights(choices, journal) or find_directory_weights(choices.recipe, journal)
    if weights is None and choices.recipe.model.pretrained is not None:
        raise ModelError(
            "pretrained weights of torchvision and timm are for pictures, and this is a table",
            got=f"--pretrained {choices.recipe.model.pretrained}",
            expected="--model file.py:Class beside it, or --from RUN to go on from an earlier run",
        )
    texts = ("alone" if set(kinds) == {"text"} else "beside") if "text" in kinds else ""
    for finding in effect_findings(choices, task=schema.task, pictures=False, pretrained=False, texts=texts):
        journal.finding(finding)
    return replace(_checked(samples, None, None, (), choices.recipe, journal), own_weights=weights)


def _gather_pictures(samples: Samples, choices: Choices, machine: Machine, journal: Journal) -> Material:
    schema = samples.schema
    facts = schema.picture
    if facts is None or samples.pictures is None:
        raise DataError("there are no pictures in this data", where=choices.recipe.source)
    if schema.task == "generate":
        came_split = samples.parts is not None
        for finding in plan_generate(
            choices, rows=len(samples), facts=facts, came_split=came_split, machine=machine
        ):
            journal.finding(finding)
        return _decode_pictures(samples, facts, None, choices.recipe, machine, journal)
    weights = find_starting_weights(choices, schema, journal)
    own_weights = find_own_weights(choices, journal)
    plan_pictures(
        choices,
        rows=len(samples),
        facts=facts,
        task=schema.task,
        classes=schema.classes,
        pretrained=weights is not None,
        hints={"source": str(choices.recipe.source), "target": schema.target},
        machine=machine,
    )
    found = effect_findings(choices, task=schema.task, pictures=True, pretrained=weights is not None)
    for finding in (*found, *scan_findings(choices, facts)):
        journal.finding(finding)
    material = _decode_pictures(samples, facts, weights, choices.recipe, machine, journal)
    return replace(material, own_weights=own_weights)


def _decode_pictures(
    samples: Samples,
    facts: PictureFacts,
    weights: StartingWeights | None,
    recipe: Recipe,
    machine: Machine,
    journal: Journal,
) -> Material:
    """Decode pictures once, leave out those that cannot be read, and check the rest."""
    assert recipe.image.size is not None and recipe.image.channels is not None
    journal.stage(
        "decode", f"decoding {len(samples):,} pictures at {recipe.image.size[0]}×{recipe.image.size[1]}"
    )
    cached = cached_pictures(
        samples,
        size=recipe.image.size,
        channels=recipe.image.channels,
        bits=facts.bits,
        resize=recipe.image.resize,
        interpolation=recipe.image.interpolation,
        scan=scan_reading(recipe, facts),
        max_pixels=recipe.data.max_pixels,
        cache_gb=recipe.data.cache_gb,
        progress=lambda done, total: journal(
            {"kind": "progress", "name": "decode", "done": done, "total": total}
        ),
        threads=machine["cores"],
    )
    unreadable: tuple[Finding, ...] = ()
    if cached.problems:
        listed = tuple(f"{name}: {reason}" for name, reason in cached.problems)
        message = f"{len(listed):,} of {len(samples):,} pictures cannot be read and are left out"
        unreadable = (Finding("warning", "unreadable", message, listed),)
    readable = np.flatnonzero(cached.readable)
    if len(readable) < len(samples):
        samples = samples.take(readable)
    return _checked(samples, cached.pixels, weights, unreadable, recipe, journal)


def _gather_mixed(samples: Samples, choices: Choices, machine: Machine, journal: Journal) -> Material:
    """A table with columns of several kinds, its pictures decoded."""
    weights, pixels, findings = plan_and_decode(samples, choices, machine, journal)
    material = _checked(samples, None, weights, findings, choices.recipe, journal)
    return replace(material, column_pixels=pixels)


def _checked(
    samples: Samples,
    pixels: np.ndarray | None,
    weights: StartingWeights | None,
    unreadable: tuple[Finding, ...],
    recipe: Recipe,
    journal: Journal,
) -> Material:
    journal.stage("check", "looking for duplicates, leaks and other faults")
    duplicates = find_duplicates(samples, pixels, near=recipe.split.near_duplicates)
    groups = merge_groups(samples.groups, _grouping(duplicates))
    findings = check_groups(samples, duplicates, groups, recipe)
    findings += check_samples(samples, duplicates, None, unreadable, recipe)
    for finding in findings:
        journal.finding(finding)
    return Material(samples, pixels, duplicates, groups, weights, samples.findings + tuple(findings))


def require_trainable(material: Material) -> None:
    """Raises DataError where a finding says that nothing can be trained or tested."""
    check_counts(material.samples)
    for finding in material.findings:
        if finding.level == "error":
            raise DataError(finding.message, got=", ".join(finding.items[:5]) or None)


def _grouping(duplicates: Duplicates) -> np.ndarray | None:
    return duplicates.groups if duplicates.exact_pairs or duplicates.near_pairs else None
