"""From a source to material for training: samples that can be read, their pixels, their duplicates, their split."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from flambeau.data.cache import cached_pictures
from flambeau.data.check import check_counts, check_parts, check_samples
from flambeau.data.duplicates import Duplicates, find_duplicates, merge_groups
from flambeau.data.join import join_test
from flambeau.data.read import read, read_test
from flambeau.data.samples import Samples
from flambeau.data.split import Split, fold_indices, multilabel_strata, regression_strata, split_indices
from flambeau.errors import DataError, ModelError, RecipeError
from flambeau.planning.common import plan_class_weights, plan_machine, plan_score
from flambeau.planning.effects import effect_findings
from flambeau.planning.machine import Machine
from flambeau.planning.pictures import plan_pictures
from flambeau.planning.tables import plan_table
from flambeau.planning.weights import plan_frozen
from flambeau.recipe import Choices, Recipe
from flambeau.schema import Finding
from flambeau.stages.journal import Journal
from flambeau.stages.starting_weights import (
    OwnWeights,
    StartingWeights,
    find_own_weights,
    find_starting_weights,
)


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
    """

    samples: Samples
    pixels: np.ndarray | None
    duplicates: Duplicates
    groups: np.ndarray | None
    weights: StartingWeights | None
    findings: tuple[Finding, ...]
    own_weights: OwnWeights | None = None


def read_samples(recipe: Recipe, journal: Journal) -> Samples:
    """Read the source, and the separate test source if there is one, as one set of samples."""
    if recipe.source is None:
        raise DataError("there is nothing to read", expected="a folder, a file or a built-in data set")
    journal.stage("read", f"reading {recipe.source}")
    samples = read(recipe.source, recipe)
    if recipe.data.test is not None:
        samples = join_test(samples, read_test(recipe.data.test, samples.schema, recipe))
    return samples


def gather_material(samples: Samples, choices: Choices, machine: Machine, journal: Journal) -> Material:
    """Choose how to prepare the samples, decode pictures once, find duplicates, check, and choose the rest."""
    schema = samples.schema
    for finding in samples.findings:
        journal.finding(finding)
    plan_machine(choices, machine, rows=len(samples), schema=schema)
    plan_score(choices, rows=len(samples), schema=schema, came_split=samples.parts is not None)
    fitted = np.ones(len(samples), dtype=bool) if samples.parts is None else samples.parts != "test"
    plan_class_weights(choices, targets=samples.targets[fitted], schema=schema)
    plan_frozen(choices)
    if schema.source == "pictures":
        return _gather_pictures(samples, choices, machine, journal)
    kinds = [column.kind for column in schema.used_columns]
    plan_table(
        choices,
        rows=len(samples),
        number_features=sum(kind in ("number", "boolean", "date") for kind in kinds),
        category_features=kinds.count("category"),
        task=schema.task,
        classes=len(schema.classes),
        machine=machine,
    )
    weights = find_own_weights(choices, journal)
    if weights is None and choices.recipe.model.pretrained is not None:
        raise ModelError(
            "pretrained weights of torchvision and timm are for pictures, and this is a table",
            got=f"--pretrained {choices.recipe.model.pretrained}",
            expected="--model file.py:Class beside it, or --from RUN to go on from an earlier run",
        )
    for finding in effect_findings(choices, task=schema.task, pictures=False, pretrained=False):
        journal.finding(finding)
    return replace(_checked(samples, None, None, (), choices.recipe, journal), own_weights=weights)


def _gather_pictures(samples: Samples, choices: Choices, machine: Machine, journal: Journal) -> Material:
    schema = samples.schema
    facts = schema.picture
    if facts is None or samples.pictures is None:
        raise DataError("there are no pictures in this data", where=choices.recipe.source)
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
    for finding in effect_findings(choices, task=schema.task, pictures=True, pretrained=weights is not None):
        journal.finding(finding)
    recipe = choices.recipe
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
    material = _checked(samples, cached.pixels, weights, unreadable, recipe, journal)
    return replace(material, own_weights=own_weights)


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
    findings = check_samples(samples, duplicates, None, unreadable, recipe)
    for finding in findings:
        journal.finding(finding)
    groups = merge_groups(samples.groups, _grouping(duplicates))
    return Material(samples, pixels, duplicates, groups, weights, samples.findings + tuple(findings))


def require_trainable(material: Material) -> None:
    """Raises DataError where a finding says that nothing can be trained or tested."""
    check_counts(material.samples)
    for finding in material.findings:
        if finding.level == "error":
            raise DataError(finding.message, got=", ".join(finding.items[:5]) or None)


def _grouping(duplicates: Duplicates) -> np.ndarray | None:
    return duplicates.groups if duplicates.exact_pairs or duplicates.near_pairs else None


def target_strata(samples: Samples) -> np.ndarray:
    """(n,) integers whose shares are kept equal in all parts."""
    if samples.schema.task == "classification":
        return samples.targets
    if samples.schema.task == "multilabel":
        return multilabel_strata(samples.targets)
    return regression_strata(samples.targets)


def check_split(material: Material, splits: list[Split], journal: Journal) -> None:
    """Tell what a split of our own leaves out, such as classes that the test part lacks."""
    if len(splits) == 1 and material.samples.parts is None:
        for finding in check_parts(material.samples, material.duplicates, splits[0]):
            journal.finding(finding)


def divide(material: Material, recipe: Recipe) -> list[Split]:
    """One split, or one a fold of the cross-validation.

    Raises:
        DataError: the samples cannot be divided so.
        RecipeError: folds are asked for, and the data came with a test part.
    """
    samples, options = material.samples, recipe.split
    if options.folds and samples.parts is not None:
        raise RecipeError(
            "split.folds asks for cross-validation, but the data came with parts of their own",
            got=f"{options.folds} folds",
            expected="--folds 0, or the data without their parts",
        )
    strata = target_strata(samples)
    try:
        if options.folds:
            share = options.valid / (options.train + options.valid)
            return fold_indices(
                len(samples),
                options.folds,
                strata=strata,
                groups=material.groups,
                seed=recipe.seed,
                valid_fraction=share,
            )
        fractions = (options.train, options.valid)
        split = split_indices(
            len(samples),
            fractions=fractions,
            strata=strata,
            groups=material.groups,
            parts=samples.parts,
            seed=recipe.seed,
        )
    except ValueError as error:
        raise DataError("the samples cannot be divided", where=recipe.source, got=str(error)) from error
    if len(split.test) == 0:
        raise DataError(
            "no sample is left for an honest test",
            got=f"split.train {options.train} + split.valid {options.valid}",
            expected="shares that leave something, or a separate source as --test",
        )
    return [split]
