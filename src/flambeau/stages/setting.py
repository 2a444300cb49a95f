"""Before a training: full paths, files that the run depends on, trust, threads and routes of torch."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path
from typing import Any

import torch

from flambeau.data.places import state_folder
from flambeau.data.split import Split
from flambeau.errors import ModelError, RecipeError, RunError, did_you_mean
from flambeau.models.spec import FORECAST_MODELS, PICTURE_MODELS, TABLE_MODELS, TEXT_MODELS
from flambeau.planning.machine import limit_memory
from flambeau.planning.numbers import check_finders, check_passes
from flambeau.recipe import Recipe
from flambeau.recipe.fields import is_own
from flambeau.recipe.own_parts import OWN_PARTS
from flambeau.records import RunFolder
from flambeau.records.files import digest_file
from flambeau.records.neighbours import read_with_neighbours
from flambeau.records.own_code import TRUSTED_FILES, check_trust, digest_of, split_own, trust_file


def count_trainings(splits: list[Split], recipe: Recipe, kinds: int = 0) -> int:
    """How many models are trained: a fold's bags each, and those of the model that is kept.

    `kinds`: of columns, each of which is trained alone on each split too, where the recipe asks for that.
    """
    final = 1 if len(splits) > 1 or recipe.split.refit else 0
    alone = len(splits) * kinds if recipe.mixed.parts else 0
    return (len(splits) + final + alone) * (recipe.training.bags or 1)


def with_full_paths(recipe: Recipe, source: str) -> Recipe:
    """A copy whose paths hold from any folder, so that a run can be resumed and verified from anywhere.

    Raises RecipeError for options that exclude each other.
    """
    full = recipe.model_copy(deep=True)
    full.source = source if is_own(source) else _full(source)
    if full.data.test is not None and not is_own(full.data.test):
        full.data.test = _full(full.data.test)
    if full.model.pretrained is not None:
        full.model.pretrained = _full(full.model.pretrained)
    if full.model.name is not None:
        check_model_name(full.model.name)
        library, _, place = full.model.name.partition("/")
        if library == "transformers" and place:
            full.model.name = f"transformers/{_full(place)}"
    for key, name in own_parts(full).items():
        file, part = split_own(name)
        _set(full, key, f"{file}:{part}")
    model = full.model.name
    if full.model.pretrained is not None and model is not None and not is_own(model):
        raise RecipeError(
            "model.name and model.pretrained are both given, and the weights decide which model it is",
            got=f"{recipe.model.name} and {recipe.model.pretrained}",
            expected="one of them, or a model of your own (file.py:Class); --arch names the architecture of a file",
        )
    if full.training.minutes is not None and full.training.epochs is not None:
        raise RecipeError(
            "training.minutes and training.epochs are both given, and each sets the length",
            got=f"{full.training.minutes:g} minutes and {full.training.epochs} epochs",
            expected="one of them",
        )
    check_finders(full)
    check_passes(full)
    return full


def check_model_name(name: str) -> None:
    """Raises ModelError for a name that no data could make right, before any data are read."""
    if ":" in name or name.partition("/")[0] in ("torchvision", "timm", "transformers"):
        return
    known = (*PICTURE_MODELS, *TABLE_MODELS, *TEXT_MODELS, *FORECAST_MODELS)
    if name not in known:
        raise ModelError(
            f"there is no model '{name}'",
            expected=", ".join(known)
            + ", torchvision/NAME, timm/NAME, transformers/DIRECTORY, or file.py:Class",
            hint=did_you_mean(name, known),
        )


def _full(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).exists() else name


def own_parts(recipe: Recipe) -> dict[str, str]:
    """Key and "file.py:Name" of every part of the recipe that is in a person's own file."""
    names = {key: _get(recipe, key) for key in OWN_PARTS}
    return {key: name for key, name in names.items() if name is not None and is_own(name)}


def _get(recipe: Recipe, key: str) -> str | None:
    value: Any = recipe
    for name in key.split("."):
        value = getattr(value, name)
    return None if value is None else str(value)


def _set(recipe: Recipe, key: str, value: str) -> None:
    *path, last = key.split(".")
    section: Any = recipe
    for name in path:
        section = getattr(section, name)
    setattr(section, last, value)


def trust_own_model(recipe: Recipe, *, trust: bool) -> None:
    """Every file of code that the person named is trusted, with its present content, from now on.

    Raises ModelError where nobody named a file and it was not trusted before.
    """
    store = state_folder() / TRUSTED_FILES
    for key, name in own_parts(recipe).items():
        file, _ = split_own(name)
        digest = digest_of(file, OWN_PARTS[key].words)
        if trust:
            trust_file(file, store)
        else:
            check_trust(file, digest, store, OWN_PARTS[key].words)


def file_digests(recipe: Recipe) -> dict[str, str]:
    """Digests of the files, beside the data, that decide the result: a person's own parts with the files beside them
    that they import, and weights to start from.
    """
    named = [split_own(name)[0] for name in own_parts(recipe).values()]
    files = [beside for file in named if file.is_file() for beside in read_with_neighbours(file)]
    if recipe.model.pretrained is not None:
        files.append(Path(recipe.model.pretrained))
    return {str(file): digest_file(file) for file in files if file.is_file()}


def check_files(run: RunFolder, recipe: Recipe) -> None:
    """Raises RunError where a file that decides the result has changed since the run was started, and ModelError
    where a person's own part was never trained with on this machine.
    """
    for file, digest in run.read_json("environment.json").get("files", {}).items():
        if not Path(file).is_file() or digest_file(Path(file)) != digest:
            raise RunError(
                "a file that decides the result has changed since this run was started",
                where=file,
                expected=f"digest {digest}",
                command="flambeau train … for a new run",
            )
    trust_own_model(recipe, trust=False)


def keep_freed_memory() -> None:
    """Let glibc reuse large blocks instead of handing them back to the system after every step.

    Otherwise each step's activations are new pages that the kernel must clear first: 35,000 page faults a step of a
    MobileNetV2 on pictures of 128 px, and a tenth of its time. Other C libraries keep their own ways.
    """
    mmap_threshold, trim_threshold, largest = -3, -1, 1 << 30
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(mmap_threshold, largest)
        mallopt(trim_threshold, largest)


def set_up_torch(recipe: Recipe) -> None:
    """Threads, memory, the route of matrix products, and determinism, as the recipe says."""
    keep_freed_memory()
    torch.set_num_threads(recipe.threads or 1)
    route = recipe.training.matmul or "highest"
    # These two setters keep torch's older and newer switches (fp32_precision) alike; its compiler still reads the
    # older ones, and fails where only the newer ones were written (pytorch#166387).
    torch.set_float32_matmul_precision(route)
    torch.backends.cudnn.allow_tf32 = route != "highest"
    if recipe.training.memory_limit_gb is not None:
        limit_memory(recipe.training.memory_limit_gb, torch.device(recipe.device or "cpu"))
    if recipe.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
