"""All that a script must know of a run, read from its folder, and the reasons why some runs have no script."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from torch import nn

from flambeau.data.known.named import at_place
from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.errors import RunError
from flambeau.models.spec import ModelSpec
from flambeau.recipe import Recipe
from flambeau.recipe.text import load_recipe
from flambeau.records import RunFolder

# They are written into a script as they are.
_COUNTS = ("number", "epochs", "batch_size", "best_epoch")


@dataclass(frozen=True)
class RunFacts:
    """A finished run.

    Args:
        folder: of the run.
        recipe: resolved.
        bundle: the model that was kept.
        reasons: recipe key → why flambeau chose its value.
        trainings: of the models that were kept: number, epochs, validation rows, changes on the way.
        rows: positions of the samples that these were fitted on, validation rows included.
        folds: of the cross-validation that made the score; 0 for one split.
    """

    folder: RunFolder
    recipe: Recipe
    bundle: Bundle
    reasons: dict[str, str]
    trainings: list[dict[str, Any]]
    rows: list[int]
    folds: int

    @property
    def task(self) -> str:
        """What is predicted."""
        return self.bundle.schema.task

    @property
    def on_all_samples(self) -> bool:
        """Whether the kept model was trained after the test, on all samples."""
        return self.folds > 0 or self.recipe.split.refit

    @property
    def one_split(self) -> bool:
        """Whether one model was trained on the parts of split.json."""
        return len(self.trainings) == 1 and not self.on_all_samples

    @property
    def leave_out_alike(self) -> bool:
        """Whether several models all left out the same rows: what is fitted for them leaves these out too."""
        return len(self.trainings) > 1 and len({tuple(one["valid"]) for one in self.trainings}) == 1

    @property
    def spec(self) -> ModelSpec:
        """The description of one of the models; all bags have the same."""
        whole = self.bundle.spec
        return ModelSpec.from_json(whole.arguments["members"][0]) if whole.name == "ensemble" else whole

    @property
    def module(self) -> nn.Module:
        """One of the trained models."""
        whole = self.bundle.module
        first = whole.models[0] if self.bundle.spec.name == "ensemble" else whole  # type: ignore[index]
        assert isinstance(first, nn.Module)
        return first

    @property
    def from_arrays(self) -> bool:
        """Whether the pictures came as arrays, not as files."""
        return bool(self.folder.read_json("data.json")["stored"] == "arrays")

    @property
    def pretrained(self) -> bool:
        """Whether the body started from pretrained weights; a person's own module has no body that is known."""
        return self.recipe.model.pretrained is not None and self.spec.name != "own"

    @property
    def on_features(self) -> bool:
        """Whether only the head was trained, on features of the frozen body."""
        return bool(self.trainings[0].get("on_features")) and self.spec.name != "fusion"

    @property
    def body_apart(self) -> bool:
        """Whether all but the frozen body of a fused model was trained, on what that body says of each picture."""
        return bool(self.trainings[0].get("on_features")) and self.spec.name == "fusion"

    @property
    def asks_again(self) -> bool:
        """Whether the optimizer asks for its gradients by a closure, as LBFGS does."""
        return bool(self.trainings[0].get("asks_again"))

    @property
    def started(self) -> bool:
        """Whether the weights of an earlier run were the start."""
        return (self.folder.path / "start").is_dir()

    @cached_property
    def scores(self) -> dict[str, Any]:
        """The content of scores.json."""
        scores: dict[str, Any] = self.folder.read_json("scores.json")
        return scores


def read_facts(run: RunFolder) -> RunFacts:
    """Read what a script of this run is made from.

    Raises:
        RunError: the run is not finished, was altered, or was made before runs kept what a script needs.
    """
    if not run.finished:
        raise RunError("this run is not finished", where=run.path, command=f"flambeau resume {run.path}")
    if not (run.path / "trainings.json").is_file() or "stored" not in run.read_json("data.json"):
        raise RunError(
            "this run was made by a flambeau that did not yet write down what a script needs",
            where=run.path,
            command=f"flambeau train … --recipe {run.recipe}",
        )
    plan = run.read_json("trainings.json")
    if len(plan["trainings"]) > 1 and plan["trainings"][0].get("on_features"):
        raise RunError(
            "several models on features of one frozen body have no plain script yet",
            where=run.path,
            command="flambeau train … --set training.bags=1",
        )
    if not all(type(one.get(key, 0)) is int for one in plan["trainings"] for key in _COUNTS):
        raise RunError(
            "the counts of this run's trainings are no whole numbers", where=run.path / "trainings.json"
        )
    reasons = {r["key"]: r["reason"] for r in run.read_log() if r.get("kind") == "choice"}
    return RunFacts(
        folder=RunFolder(run.path.resolve()),
        recipe=at_place(load_recipe(run.recipe)),
        bundle=load_bundle(run.model),
        reasons=reasons,
        trainings=plan["trainings"],
        rows=plan["rows"],
        folds=len(run.read_json("split.json")["folds"]),
    )


def changes_by_epoch(changes: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Epoch → what is changed at its start; of several changes of one thing the last."""
    result: dict[int, dict[str, Any]] = {}
    for change in changes:
        values = {key: value for key, value in change.items() if key != "epoch"}
        result.setdefault(change["epoch"], {}).update(values)
    return result
