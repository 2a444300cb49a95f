"""Bags whose average is answered above a threshold alone: who leaves out what, and whether the promised share holds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from torch import nn

from flambeau.evaluation.unknown import SHARE_GIVEN_UP
from flambeau.models.joined import Ensemble
from flambeau.models.spec import ModelSpec
from flambeau.recipe import Recipe
from flambeau.schema import Column, Schema
from flambeau.stages.fitting import Parts
from flambeau.stages.inputs import Feed
from flambeau.stages.members import Member
from flambeau.stages.trainings import Trainings

ROWS, CLASSES, BAGS = 8000, 20, 5
VALID, FRESH = np.arange(2000), np.arange(2000, ROWS)


class Drawn(nn.Module):
    """Stands for a trained net; its answers are made up."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.seed = seed


class MadeUp(Trainings):
    """Trainings whose nets see the truth through noise, each its own: sure alone, less sure on average."""

    def predict(self, module: nn.Module, feed: Feed, rows: np.ndarray) -> np.ndarray:
        if isinstance(module, Ensemble):
            return cast(np.ndarray, np.mean([self.predict(one, feed, rows) for one in module.models], axis=0))
        noise = np.random.default_rng(cast(Drawn, module).seed).normal(0, 6, (ROWS, CLASSES))
        noise[np.arange(ROWS), self.material.samples.targets] += 14
        powers = np.exp(noise - noise.max(axis=1, keepdims=True))
        return cast(np.ndarray, (powers / powers.sum(axis=1, keepdims=True))[rows])


def made_up(**options: Any) -> MadeUp:
    targets = np.random.default_rng(0).integers(0, CLASSES, ROWS)
    classes = tuple(str(place) for place in range(CLASSES))
    schema = Schema("table", "classification", "intent", classes, (Column("text", "text"),))
    samples = SimpleNamespace(schema=schema, targets=targets)
    material = SimpleNamespace(samples=samples, groups=None, pixels=None)
    recipe = Recipe.model_validate({"training": {"bags": BAGS}, **options})
    return MadeUp(cast(Any, material), cast(Any, SimpleNamespace(recipe=recipe)), cast(Any, None), Path())


def members_of(left_out: list[np.ndarray]) -> list[Member]:
    technique = SimpleNamespace(epochs=1, step=None)
    feed, spec = cast(Feed, None), ModelSpec("text_bag", {})
    return [
        Member(
            Drawn(seed),
            cast(
                Parts,
                SimpleNamespace(
                    valid_rows=rows,
                    feed=feed,
                    spec=spec,
                    number=seed,
                    technique=technique,
                    head_changes=[],
                    whole=None,
                ),
            ),
            1,
            [],
        )
        for seed, rows in enumerate(left_out)
    ]


def given_up(trainings: MadeUp, left_out: list[np.ndarray]) -> float:
    """The share of the right answers to rows that nothing was chosen on which the whole gives up."""
    fitted = trainings.join(members_of(left_out))
    assert fitted.temperature == 1
    predictions = trainings.predict(fitted.module, fitted.feed, FRESH)
    right = predictions.argmax(axis=1) == trainings.material.samples.targets[FRESH]
    return float((predictions.max(axis=1) < fitted.threshold)[right].mean())


def test_the_average_gives_up_the_share_that_is_promised() -> None:
    trainings = made_up(text={"unknown": True})
    parts = trainings.divide_into_bags(np.arange(2000, 4000), VALID)
    assert [len(train) for train, _ in parts] == [2000] * BAGS
    assert given_up(trainings, [valid for _, valid in parts]) == pytest.approx(SHARE_GIVEN_UP, abs=0.008)


def test_thresholds_of_single_nets_do_not_hold_for_their_average() -> None:
    """Why bags with a threshold do not leave out rows of their own each: the check itself can fail."""
    trainings = made_up(text={"unknown": True})
    assert given_up(trainings, np.array_split(VALID, BAGS)) > 2 * SHARE_GIVEN_UP


@pytest.mark.parametrize("options", [{}, {"evaluation": {"operating_point": "half"}}])
def test_without_a_threshold_each_bag_leaves_out_other_rows(options: dict[str, Any]) -> None:
    parts = made_up(**options).divide_into_bags(np.arange(2000, 4000), VALID)
    assert len({tuple(valid) for _, valid in parts}) == BAGS
    assert sorted(np.concatenate([valid for _, valid in parts])) == list(range(4000))


def test_an_operating_point_of_bags_is_one_of_the_average() -> None:
    trainings = made_up(evaluation={"operating_point": "youden"})
    (_, one), (_, other), *_ = trainings.divide_into_bags(np.arange(2000, 4000), VALID)
    assert one is VALID and other is VALID
    # all samples are taken, as after a cross-validation: nothing is chosen, each leaves out its own
    assert len({tuple(valid) for _, valid in trainings.divide_into_bags(np.arange(100), VALID[:0])}) == BAGS


@pytest.mark.parametrize(
    "options", [{"text": {"unknown": True}}, {"evaluation": {"operating_point": "youden"}}, {}]
)
def test_what_is_fitted_for_a_threshold_leaves_out_its_rows_too(
    options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Words, means and bins of the rows that choose a threshold would make them less new than rows that come."""
    fitted: list[np.ndarray] = []
    trainings = made_up(**options)

    def parts(*rows: Any, **_: Any) -> Any:
        return SimpleNamespace(spec=ModelSpec("text_bag", {}), whole=None)

    monkeypatch.setattr(trainings, "feed", fitted.append)
    monkeypatch.setattr(trainings, "parts", parts)
    monkeypatch.setattr(trainings.material, "weights", None, raising=False)
    monkeypatch.setattr("flambeau.stages.trainings.share_training", lambda *_: None)
    assert len(list(trainings.parts_of(np.arange(2000, 4000), VALID, number=0, name=""))) == BAGS
    assert fitted[0].tolist() == list(range(2000 if options else 0, 4000))


@pytest.mark.parametrize(("groups", "bags"), [(2, 2), (3, 3), (20, BAGS)])
def test_bags_of_few_groups(groups: int, bags: int) -> None:
    """Each leaves out whole groups; a second part to choose by, as folds have, is not asked for."""
    trainings = made_up()
    vars(trainings.material)["groups"] = np.arange(ROWS) % groups
    parts = trainings.divide_into_bags(np.arange(2000, 4000), VALID)
    assert len(parts) == bags
    for train, valid in parts:
        assert len(train) and not set(train % groups) & set(valid % groups)
