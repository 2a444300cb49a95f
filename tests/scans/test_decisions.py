"""Operating points, shifts between parts and doubtful labels, each on cases where the truth is planted."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch

from flambeau.data.batches import Batches, gather_tensors
from flambeau.data.sampling import balanced_weights, count_earlier, draw_places
from flambeau.data.split import Split
from flambeau.evaluation.decide import choose_classes
from flambeau.evaluation.label_quality import find_suspects
from flambeau.evaluation.operating_point import choose_threshold, match_threshold, score_decisions
from flambeau.evaluation.shift import find_shift
from flambeau.evaluation.uncertainty import bootstrap_intervals
from flambeau.recipe import Recipe
from flambeau.schema import Schema
from flambeau.stages.binary import describe_point, other_point
from flambeau.stages.concluding import matched_point
from flambeau.stages.judged import Judged, Validated
from flambeau.stages.trainings import Trainings
from flambeau.transforms.draws import Draws


def made(count: int, gap: float, *, seed: int, positive: float = 0.3) -> tuple[np.ndarray, np.ndarray]:
    """Targets, and probabilities of two classes whose scores lie `gap` deviations apart."""
    generator = np.random.default_rng(seed)
    targets = (generator.random(count) < positive).astype(np.int64)
    scores = 1 / (1 + np.exp(-(generator.normal(0, 1, count) + gap * targets - 2)))
    return targets, np.stack([1 - scores, scores], axis=1)


def test_thresholds_do_what_their_rules_say() -> None:
    targets, predictions = made(4000, 2.0, seed=0)
    positive = targets == 1
    rates = {}
    for rule in ("half", "youden", "sensitivity=0.95", "specificity=0.95"):
        threshold = choose_threshold(rule, positive, predictions[:, 1])
        found = score_decisions(positive, predictions[:, 1] >= threshold)
        rates[rule] = (found["sensitivity"]["value"], found["specificity"]["value"])
        assert found["sensitivity"]["low"] < rates[rule][0] < found["sensitivity"]["high"]
    assert rates["sensitivity=0.95"][0] >= 0.95 and rates["sensitivity=0.95"][1] > 0.4
    assert rates["specificity=0.95"][1] >= 0.95 and rates["specificity=0.95"][0] > 0.4
    assert sum(rates["youden"]) == pytest.approx(2 * 0.8413, abs=0.03)  # two normals, two deviations apart
    assert max(rates, key=lambda rule: sum(rates[rule])) == "youden"
    best = max(
        ((predictions[positive, 1] >= t).mean() + (predictions[~positive, 1] < t).mean())
        for t in np.linspace(0, 1, 4001)
    )
    assert sum(rates["youden"]) == pytest.approx(best, abs=2e-3)


def test_thresholds_of_degenerate_parts() -> None:
    assert choose_threshold("youden", np.ones(4, dtype=bool), np.linspace(0, 1, 4)) == 0.5
    assert choose_threshold("sensitivity=0.9", np.array([True, False]), np.array([0.3, 0.3])) <= 0.3
    with pytest.raises(ValueError, match="unknown rule"):
        choose_threshold("best", np.array([True, False]), np.array([0.1, 0.2]))
    table = np.array([[0.7, 0.3], [0.2, 0.8]])
    assert choose_classes(table, None).tolist() == [0, 1]
    assert choose_classes(table, 0.25).tolist() == [1, 1]
    assert choose_classes(np.eye(3), 0.01).tolist() == [0, 1, 2]


def test_the_first_class_can_be_the_one_that_is_looked_for() -> None:
    targets, predictions = made(2000, 2.0, seed=4)
    turned = predictions[:, ::-1].astype(np.float32)
    threshold = choose_threshold("sensitivity=0.95", targets == 1, turned[:, 0])
    decided = choose_classes(turned, other_point(threshold))
    assert ((decided == 0) == (turned[:, 0] >= threshold)).all()
    assert score_decisions(targets == 1, decided == 0)["sensitivity"]["value"] >= 0.95


def test_a_point_moves_to_another_net_by_rank() -> None:
    targets, predictions = made(2000, 3.0, seed=5, positive=0.5)
    first = predictions[:, 1].astype(np.float32)
    other = (0.62 + 0.1 * first).astype(
        np.float32
    )  # the same order on another scale, as of two short trainings
    point = choose_threshold("youden", targets == 1, first)
    share = float((first >= point).mean())
    moved = match_threshold(other, share, point)
    assert (other >= point).all() and ((other >= moved) == (first >= point)).all()
    # a net that parts the samples alike keeps the point that was asked for, also where it is far surer
    assert match_threshold(first, share, point) == point
    assert match_threshold((first >= point).astype(np.float32), share, point) == point
    for edge in (0.0, 1.0):
        assert (other >= match_threshold(other, edge, 0.5)).mean() == edge


def test_the_kept_model_of_folds_gets_a_point_of_its_own() -> None:
    kept = np.linspace(0.61, 0.70, 30)
    trainings = SimpleNamespace(
        predict=lambda module, feed, rows: np.stack([1 - kept, kept], axis=1)[rows],
        calibrated=lambda raw, fitted: raw,
    )
    fitted: Any = SimpleNamespace(module=None, feed=None, validated=None)
    none = np.zeros((0, 2))
    validated = tuple(Validated(np.arange(0), none, 0.3 + at / 10, 0.5) for at in range(3))
    tested = Judged(np.arange(0), none, {}, none, validated=validated)
    point = matched_point(cast(Any, trainings), fitted, np.arange(30), tested)
    assert point is not None and (kept >= point).sum() == 15
    told = {"rule": "youden", "threshold": point, "positive": "thin", "rates": {}}
    assert "kept" not in describe_point(told)
    again = describe_point({**told, "trained_again": True, "tested_at": [0.3, 0.5]})
    assert "the model that is kept" in again and "0.300 to 0.500" in again
    fitted.validated = validated[0]
    assert matched_point(cast(Any, trainings), fitted, np.arange(30), tested) is None


@pytest.mark.parametrize("folds", [0, 5])
def test_folds_tell_which_share_their_points_answer(folds: int) -> None:
    known = np.linspace(0.5, 0.7, 20)
    recipe = Recipe.model_validate({"split": {"folds": folds}, "evaluation": {"baselines": False}})
    schema = Schema("pictures", "classification", "folder", ("thick", "thin"))
    material: Any = SimpleNamespace(samples=SimpleNamespace(schema=schema, series=None))
    trainings = Trainings(material, cast(Any, SimpleNamespace(recipe=recipe)), cast(Any, None), Path())
    trainings.predict = lambda module, feed, rows: np.stack([1 - known, known], axis=1)[rows]  # type: ignore[method-assign]
    validated = Validated(np.arange(4), np.zeros((4, 2)), 0.6)
    fitted: Any = SimpleNamespace(module=None, feed=None, temperature=1.0, validated=validated)
    split = Split(np.arange(4, 16), np.arange(4), np.arange(16, 20), "", "")
    (told,) = trainings.judge(fitted, split).validated
    assert told.share == (pytest.approx(6 / 12) if folds else None)


def test_few_samples_that_are_all_right_are_not_certain() -> None:
    positive = np.arange(30) < 15
    for rate in score_decisions(positive, positive).values():
        assert rate["value"] == rate["high"] == 1 and rate["low"] < 0.9
    missed = score_decisions(positive, ~positive)["sensitivity"]
    assert missed["value"] == missed["low"] == 0 and missed["high"] == pytest.approx(0.2039, abs=1e-4)
    sure = np.eye(2)[positive.astype(int)]
    accuracy = bootstrap_intervals("classification", positive.astype(int), sure, resamples=50)["accuracy"]
    assert accuracy["high"] == 1 and accuracy["low"] == pytest.approx(
        0.8865, abs=1e-4
    )  # Wilson's of 30 of 30


def test_a_shift_is_found_where_it_is_planted_and_nowhere_else() -> None:
    easy, hard = made(500, 4.0, seed=1), made(500, 2.0, seed=2)
    gap = find_shift("roc_auc", easy, hard)
    assert gap is not None and gap["valid"] > 0.99 and gap["test"] < 0.95 and gap["low"] > 0.01
    assert find_shift("roc_auc", hard, easy) is None
    alarms = [find_shift("roc_auc", made(300, 2, seed=s), made(300, 2, seed=s + 50)) for s in range(3, 23)]
    assert sum(one is not None for one in alarms) <= 1


def test_planted_wrong_labels_are_found() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 600)
    logits = generator.normal(0, 0.7, (600, 3)) + 4 * np.eye(3)[truth]
    predictions = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = truth.copy()
    wrong = generator.choice(600, 30, replace=False)
    labels[wrong] = (truth[wrong] + 1) % 3
    suspects = find_suspects(labels, predictions)
    found = {one.row for one in suspects}
    # a wrong label also lowers what counts as sure of its class, so some of them hide behind it
    assert len(found & set(wrong.tolist())) >= 20
    assert len(found - set(wrong.tolist())) <= 3
    assert all(one.likely == truth[one.row] for one in suspects if one.row in wrong)
    assert len(find_suspects(truth, predictions)) <= 6
    assert find_suspects(labels[:40], predictions[:40]) == []


def test_only_a_sure_model_doubts_a_label() -> None:
    generator = np.random.default_rng(0)
    truth = generator.integers(0, 3, 600)
    logits = generator.normal(0, 0.2, (600, 3)) + 0.5 * np.eye(3)[truth]
    predictions = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    labels = np.where(generator.random(600) < 0.05, (truth + 1) % 3, truth)
    assert predictions.max() < 0.8 and find_suspects(labels, predictions) == []


def test_a_model_that_knows_nothing_suspects_nobody() -> None:
    generator = np.random.default_rng(0)
    predictions = generator.dirichlet([1, 1], 500)
    assert find_suspects(generator.integers(0, 2, 500), predictions) == []


def test_drawn_epochs_balance_classes_and_depend_on_the_seed_alone() -> None:
    targets = torch.tensor([0] * 90 + [1] * 10)
    weights = balanced_weights(targets)
    draws = [draw_places(weights, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)]
    assert torch.equal(draws[0], draws[1]) and not torch.equal(draws[0], draws[2])
    for drawn in draws:
        assert 49 <= int((targets[drawn] == 1).sum()) <= 51
        assert 4 <= torch.bincount(drawn, minlength=100)[90:].min() <= 5
    assert count_earlier(torch.tensor([4, 2, 4, 4, 2, 7])).tolist() == [0, 0, 1, 2, 1, 0]


def test_weighted_batches_resume_and_change_each_copy_anew() -> None:
    targets = torch.tensor([0] * 45 + [1] * 5)
    numbers = torch.arange(50, dtype=torch.float32)[:, None]

    def change(
        inputs: tuple[torch.Tensor, ...], aims: torch.Tensor, draws: Draws
    ) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
        return (inputs[0] + draws.uniform()[:, None],), aims

    batches = Batches(
        gather_tensors(numbers), targets, torch.arange(50), 10, 3, change, weights=balanced_weights(targets)
    )
    whole = list(batches.epoch(4))
    resumed = list(batches.epoch(4, start=2))
    for one, other in zip(whole[2:], resumed, strict=True):
        assert torch.equal(one.inputs[0], other.inputs[0]) and torch.equal(one.targets, other.targets)
    values = torch.cat([one.inputs[0] for one in whole])[:, 0]
    aims = torch.cat([one.targets for one in whole])
    assert torch.equal(targets[values.long()], aims) and 24 <= int(aims.sum()) <= 26
    assert len(values.unique()) == 50
    other = torch.cat([one.inputs[0] for one in batches.epoch(5)])[:, 0]
    assert not torch.equal(values, other)
