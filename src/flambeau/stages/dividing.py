"""Which samples train, which choose, and which only test: one split, or one a fold."""

from __future__ import annotations

import numpy as np

from flambeau.data.check import check_parts
from flambeau.data.samples import Samples
from flambeau.data.series.check import check_windows
from flambeau.data.split import Split, fold_indices, multilabel_strata, regression_strata, split_indices
from flambeau.errors import DataError, RecipeError
from flambeau.recipe import Recipe
from flambeau.stages.journal import Journal
from flambeau.stages.material import Material
from flambeau.stages.series.feed import divide_series


def target_strata(samples: Samples) -> np.ndarray:
    """(n,) integers whose shares are kept equal in all parts."""
    if samples.schema.task in ("classification", "generate"):
        return samples.targets
    if samples.schema.task == "multilabel":
        return multilabel_strata(samples.targets)
    return regression_strata(samples.targets)


def check_split(material: Material, splits: list[Split], journal: Journal) -> None:
    """Tell what a split of our own leaves out, such as classes that the test part lacks."""
    if material.samples.series is not None:
        for finding in check_windows(material.samples, splits):
            journal.finding(finding)
        return
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
    if samples.series is not None:
        return divide_series(samples, recipe)
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
