"""Before a training: full paths, files that the run depends on, trust, threads and routes of torch."""

from __future__ import annotations

import ctypes
import os
import sys
from pathlib import Path

import torch

from flambeau.data.places import state_folder
from flambeau.data.split import Split
from flambeau.errors import ModelError, RecipeError, RunError, did_you_mean
from flambeau.models.build import PICTURE_MODELS, TABLE_MODELS
from flambeau.models.own import check_trust, digest_of, trust_file
from flambeau.recipe import Recipe
from flambeau.records import RunFolder
from flambeau.records.files import digest_file

TRUSTED = "trusted_models.json"


def count_trainings(splits: list[Split], recipe: Recipe) -> int:
    """How many models are trained: a fold's bags each, and those of the model that is kept."""
    final = 1 if len(splits) > 1 or recipe.split.refit else 0
    return (len(splits) + final) * (recipe.training.bags or 1)


def with_full_paths(recipe: Recipe, source: str) -> Recipe:
    """A copy whose paths hold from any folder, so that a run can be resumed and verified from anywhere.

    Raises RecipeError for options that exclude each other.
    """
    full = recipe.model_copy(deep=True)
    full.source = _full(source)
    full.data.test = None if full.data.test is None else _full(full.data.test)
    if full.model.pretrained is not None:
        full.model.pretrained = _full(full.model.pretrained)
    if full.model.name is not None:
        check_model_name(full.model.name)
    own = own_file(full)
    if own is not None and full.model.name is not None:
        full.model.name = f"{own}:{full.model.name.rpartition(':')[2]}"
    if full.model.pretrained is not None and full.model.name is not None:
        raise RecipeError(
            "model.name and model.pretrained are both given, and the weights decide which model it is",
            got=f"{recipe.model.name} and {recipe.model.pretrained}",
            expected="one of them; --arch names the architecture of weights in a file",
        )
    if full.training.minutes is not None and full.training.epochs is not None:
        raise RecipeError(
            "training.minutes and training.epochs are both given, and each sets the length",
            got=f"{full.training.minutes:g} minutes and {full.training.epochs} epochs",
            expected="one of them",
        )
    return full


def check_model_name(name: str) -> None:
    """Raises ModelError for a name that no data could make right, before any data are read."""
    if ":" in name or name.partition("/")[0] in ("torchvision", "timm"):
        return
    known = (*PICTURE_MODELS, *TABLE_MODELS)
    if name not in known:
        raise ModelError(
            f"there is no model '{name}'",
            expected=", ".join(known) + ", torchvision/NAME, timm/NAME, or file.py:Class",
            hint=did_you_mean(name, known),
        )


def _full(name: str) -> str:
    return str(Path(name).resolve()) if Path(name).exists() else name


def own_file(recipe: Recipe) -> Path | None:
    """The file of a person's own model, if the recipe names one."""
    name = recipe.model.name
    return Path(name.rpartition(":")[0]).resolve() if name is not None and ":" in name else None


def trust_own_model(recipe: Recipe, *, trust: bool) -> None:
    """A file of code that the person named is trusted, with its present content, from now on.

    Raises ModelError where nobody named the file and it was not trusted before.
    """
    file = own_file(recipe)
    if file is None:
        return
    if trust:
        trust_file(file, state_folder() / TRUSTED)
    else:
        check_trust(file, digest_of(file), state_folder() / TRUSTED)


def file_digests(recipe: Recipe) -> dict[str, str]:
    """Digests of the files, beside the data, that decide the result: an own model, weights to start from."""
    files = [own_file(recipe)]
    if recipe.model.pretrained is not None:
        files.append(Path(recipe.model.pretrained))
    return {str(file): digest_file(file) for file in files if file is not None and file.is_file()}


def check_files(run: RunFolder, recipe: Recipe) -> None:
    """Raises RunError where a file that decides the result has changed since the run was started, and ModelError
    where an own model was never trained with on this machine.
    """
    trust_own_model(recipe, trust=False)
    for file, digest in run.read_json("environment.json").get("files", {}).items():
        if not Path(file).is_file() or digest_file(Path(file)) != digest:
            raise RunError(
                "a file that decides the result has changed since this run was started",
                where=file,
                expected=f"digest {digest}",
                command="flambeau train … for a new run",
            )


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
    torch.set_float32_matmul_precision(recipe.training.matmul or "highest")
    if recipe.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False
