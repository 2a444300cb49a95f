"""Before a training: trust, threads and routes of torch, weights to start from, how many models there will be."""

from __future__ import annotations

import os
from pathlib import Path

import torch

from flambeau.data.places import state_folder
from flambeau.data.split import Split
from flambeau.deploy.bundle import load_bundle
from flambeau.models.joined import Ensemble
from flambeau.models.own import trust_file
from flambeau.recipe import Recipe
from flambeau.records import find_run


def count_trainings(splits: list[Split], recipe: Recipe) -> int:
    """How many models are trained: a fold's bags each, and those of the model that is kept."""
    final = 1 if len(splits) > 1 or recipe.split.refit else 0
    return (len(splits) + final) * (recipe.training.bags or 1)


def remember_own_model(recipe: Recipe) -> None:
    """A file of code that the person named is trusted, with its present content, from now on."""
    if recipe.model.name and ":" in recipe.model.name:
        trust_file(
            Path(recipe.model.name.rpartition(":")[0]).resolve(), state_folder() / "trusted_models.json"
        )


def set_up_torch(recipe: Recipe) -> None:
    """Threads, the route of matrix products, and determinism, as the recipe says."""
    torch.set_num_threads(recipe.threads or 1)
    torch.set_float32_matmul_precision(recipe.training.matmul or "highest")
    if recipe.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
        torch.use_deterministic_algorithms(True)
        torch.backends.cudnn.benchmark = False


def start_of(run: Path | None) -> dict[str, torch.Tensor] | None:
    """The weights that an earlier run ended with; None to start afresh."""
    if run is None:
        return None
    module = load_bundle(find_run(run).model).module
    if isinstance(module, Ensemble):
        module = module.models[0]
    return module.state_dict()
