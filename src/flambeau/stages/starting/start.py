"""Going on from an earlier run: its weights, its preparation, and the samples that it has seen and that cannot test."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load as load_arrays
from safetensors.numpy import save as save_arrays
from torch import Tensor

from flambeau.data.samples import Samples
from flambeau.data.split import Split
from flambeau.deploy.bundle import Preparation, load_bundle
from flambeau.deploy.files import SEEN
from flambeau.deploy.packed import PRETRAINED_LIBRARIES
from flambeau.errors import RecipeError, RunError
from flambeau.models.joined import Ensemble
from flambeau.models.spec import PICTURE_MODELS, TABLE_MODELS, ModelSpec
from flambeau.planning.scans import choose_scan
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.text import load_recipe
from flambeau.records import RunFolder
from flambeau.records.files import write_bytes
from flambeau.schema import Schema
from flambeau.stages.journal import Journal
from flambeau.stages.starting.series import (
    check_rows_in_order,
    check_series_start,
    choose_as_before,
    untouched_windows,
)
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TargetScaler

FEWEST_UNTOUCHED = 10


@dataclass(frozen=True)
class Start:
    """What an earlier run hands on.

    Args:
        model: the folder of its bundle.
        tensors: its weights by name; of several models, those of the first.
        preparation, scaler: as it was fitted, because the weights mean nothing without it.
        schema: what its samples were.
        seen: (n,) uint64 digests of all samples that it, or a run before it, was fitted on.
        several: how many models its weights were of.
        name: of its model's kind, such as "small_resnet"; for a model of torchvision or timm, the library.
        arguments: that its model was built with.
    """

    model: Path
    tensors: dict[str, Tensor]
    preparation: Preparation
    scaler: TargetScaler
    schema: Schema
    seen: np.ndarray
    several: int
    name: str
    arguments: dict[str, Any] = field(default_factory=dict)


def short_digests(samples: Samples) -> np.ndarray:
    """(n,) uint64: the first 8 bytes of each sample's content digest."""
    return np.fromiter(
        (int(digest[:16], 16) for digest in samples.digests), dtype=np.uint64, count=len(samples)
    )


def keep_seen(
    run: RunFolder, samples: Samples, rows: np.ndarray, tested: np.ndarray, start: Start | None
) -> None:
    """Write down which samples the kept model was fitted on, and which ones gave the scores."""
    digests = short_digests(samples)
    seen = np.union1d(digests[rows], start.seen) if start is not None else np.unique(digests[rows])
    arrays = {"digests": seen, "tested": np.unique(digests[tested])}
    write_bytes(run.model / SEEN, save_arrays(arrays))


def read_start(model: Path) -> Start:
    """Read what the run with this bundle hands on. Raises RunError where it has none."""
    bundle = load_bundle(model)
    seen = read_seen(model)
    several = len(bundle.module.models) if isinstance(bundle.module, Ensemble) else 1
    module = bundle.module.models[0] if isinstance(bundle.module, Ensemble) else bundle.module
    spec = (
        ModelSpec.from_json(bundle.spec.arguments["members"][0])
        if bundle.spec.name == "ensemble"
        else bundle.spec
    )
    tensors = module.state_dict()
    given = (bundle.preparation, bundle.target, bundle.schema)
    return Start(model, tensors, *given, seen, several, spec.name, spec.arguments)


def read_seen(model: Path) -> np.ndarray:
    """(n,) uint64 digests of the samples that this bundle's model was fitted on. Raises RunError where they lack."""
    return _read_digests(
        model, "digests", "which samples it has seen, so nothing honest can be said of others"
    )


def read_tested(model: Path) -> np.ndarray:
    """(n,) uint64 digests of the samples that gave this bundle's scores. Raises RunError where they lack."""
    return _read_digests(model, "tested", "which samples it was tested on; name data to test on")


def _read_digests(model: Path, name: str, lacking: str) -> np.ndarray:
    try:
        digests = load_arrays((model / SEEN).read_bytes())[name]
    except (FileNotFoundError, KeyError):
        raise RunError(f"this model does not say {lacking}", where=model) from None
    except (SafetensorError, ValueError, OSError) as error:
        raise RunError("this file of the bundle is damaged", where=model / SEEN, got=str(error)) from error
    if digests.dtype != np.uint64 or digests.ndim != 1:
        raise RunError(
            "this file of the bundle is damaged", where=model / SEEN, got=f"{digests.dtype} {digests.shape}"
        )
    return digests


def prepare_start(start: Start, samples: Samples, choices: Choices, journal: Journal) -> None:
    """Check that the weights mean the same here, and choose what they need.

    Raises RunError where the classes or the kind of data differ, RecipeError where the recipe asks for other weights.
    """
    _check_beginning(start, choices.recipe, journal)
    old, new = start.schema, samples.schema
    for what, before, now in (("task", old.task, new.task), ("classes", old.classes, new.classes)):
        if before != now:
            raise RunError(
                f"the earlier run has other {what}, so its weights would mean something else",
                where=start.model,
                got=str(now)[:200],
                expected=str(before)[:200],
            )
    if old.series is not None and new.series is not None:
        check_series_start(start.name, old.series, new.series, start.model)
        check_rows_in_order(new.series.unit, short_digests(samples), start.seen, start.model)
    choices.choose(
        "split.folds", 0, "the start has seen samples, so only those that it has not seen can test"
    )
    if isinstance(start.preparation, PicturePreparation):
        choices.choose("image.size", start.preparation.size, "as in the earlier run")
        choices.choose("image.channels", start.preparation.channels, "as in the earlier run")
        choose_scan(choices, start.preparation.scan)
    if isinstance(start.preparation, SeriesPreparation):
        choose_as_before(choices, start.preparation, start.name, start.arguments)
    if choices.recipe.model.pretrained is None and start.name in (*PICTURE_MODELS, *TABLE_MODELS):
        # before pretrained weights on the disk would be found, which are of another model
        choices.choose("model.name", start.name, "as in the earlier run")
    if start.several > 1:
        journal.note(f"the earlier run keeps {start.several} models; this one starts from the first of them")


def _check_beginning(start: Start, recipe: Recipe, journal: Journal) -> None:
    """The weights of the earlier run replace all others, so others are refused, unless they are its own beginning.

    Weights of torchvision or timm also say which model it is, and so they are named again for a run that began there.
    """
    earlier = start.model.parent / "recipe.yaml"
    before = load_recipe(earlier).model if earlier.is_file() else None
    for key, option in (("init", "--init"), ("pretrained", "--pretrained")):
        value = getattr(recipe.model, key)
        if value is None:
            continue
        if value != getattr(before, key, None) and not (
            key == "pretrained" and start.name in PRETRAINED_LIBRARIES
        ):
            raise RecipeError(
                f"model.{key}: a run that goes on from an earlier one begins with its weights, and with no others",
                where=start.model,
                got=f"{option} {value}",
                expected=f"--from without {option}",
            )
        journal.note(f"the weights of the earlier run replace those of model.{key} ({value})")


def only_untouched(splits: list[Split], samples: Samples, start: Start) -> list[Split]:
    """The same splits with every sample that the start has seen moved from the test part to the training part.

    Windows of time series are left out instead, with those whose targets they share: they lie behind what chooses.

    Raises RunError where hardly any sample is left to test on.
    """
    known = np.isin(short_digests(samples), start.seen)
    result = []
    for split in splits:
        if samples.schema.series is None:
            test = split.test[~known[split.test]]
        else:
            test = untouched_windows(split, known, samples.schema.series.horizon)
        if len(test) < FEWEST_UNTOUCHED:
            what = "the earlier run was fitted on these very samples, so no honest test of a model from it is left"
            if len(test) == len(split.test):
                what = f"a model from an earlier run is tested on at least {FEWEST_UNTOUCHED} samples"
            raise RunError(
                what,
                where=start.model,
                got=f"{len(test)} of {len(split.test)} test samples that it has not seen",
                expected="new data, or a separate --test source; or train afresh with more --epochs",
            )
        train = split.train
        if samples.schema.series is None:
            train = np.sort(np.concatenate([train, split.test[known[split.test]]]))
        result.append(Split(train, split.valid, test, split.method, split.reason))
    return result


def keep_start(run: RunFolder, start: Start) -> None:
    """Copy what a resumed run needs to begin at the same weights."""
    shutil.copytree(start.model, run.path / "start")


def kept_start(run: RunFolder) -> Path | None:
    """The folder of the start of a run, if it has one."""
    folder = run.path / "start"
    return folder if folder.is_dir() else None
