"""Losses against closed forms, torch and scikit-learn; their gradients; blended targets; members; the trial."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import mean_pinball_loss
from torch import Tensor

from flambeau.training.losses import (
    classification_loss,
    focal_loss,
    huber_loss,
    in_full,
    kl_loss,
    l1_loss,
    multilabel_focal_loss,
    multilabel_loss,
    own_loss,
    quantile_loss,
    regression_loss,
    smooth_l1_loss,
    supervised_contrastive_loss,
)
from flambeau.training.names import LOSSES, loss_function
from flambeau.training.trial import check_targets, try_loss

WEIGHTS = torch.tensor([0.5, 1.0, 2.0, 1.5], dtype=torch.float64)


def logits(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(0)) * 2


CLASSES = torch.tensor([0, 2, 1, 3, 2, 0])
BLENDED = torch.softmax(logits(6, 4).flip(0), dim=1)
YES_NO = (logits(6, 4).flip(1) > 0).double()
NUMBERS = logits(6, 1)[:, 0].flip(0)


def as_classification(
    loss: Callable[..., Tensor], targets: Tensor, **options: object
) -> Callable[..., Tensor]:
    return lambda outputs: loss(outputs, targets, **options)


CUSTOM: dict[str, Callable[[Tensor], Tensor]] = {
    "weighted": as_classification(classification_loss, CLASSES, class_weights=WEIGHTS, label_smoothing=0.1),
    "weighted, blended": as_classification(classification_loss, BLENDED, class_weights=WEIGHTS),
    "focal": as_classification(focal_loss, CLASSES, gamma=2.0),
    "focal, half": as_classification(focal_loss, CLASSES, gamma=0.5, class_weights=WEIGHTS),
    "focal, blended": as_classification(focal_loss, BLENDED, gamma=1.5, label_smoothing=0.1),
    "kl": as_classification(kl_loss, BLENDED, class_weights=WEIGHTS),
    "kl, classes": as_classification(kl_loss, CLASSES, label_smoothing=0.2),
    "binary focal": as_classification(multilabel_focal_loss, YES_NO, gamma=2.0),
    "contrastive": as_classification(supervised_contrastive_loss, CLASSES, temperature=0.5),
}


@pytest.mark.parametrize("name", sorted(CUSTOM))
def test_gradients_of_custom_losses(name: str) -> None:
    assert torch.autograd.gradcheck(CUSTOM[name], (logits(6, 4).requires_grad_(),))


@pytest.mark.parametrize("quantile", [0.1, 0.5, 0.9])
def test_the_quantile_loss_is_scikit_learn_s_and_has_a_gradient(quantile: float) -> None:
    outputs = logits(6, 1)
    value = quantile_loss(outputs, NUMBERS, quantile=quantile)
    assert value.item() == pytest.approx(mean_pinball_loss(NUMBERS, outputs[:, 0], alpha=quantile))
    loss = partial(quantile_loss, targets=NUMBERS, quantile=quantile)
    assert torch.autograd.gradcheck(loss, (outputs.requires_grad_(),))


def test_the_quantile_loss_finds_the_quantile() -> None:
    sample = torch.randn(1001, generator=torch.Generator().manual_seed(1))
    grid = torch.linspace(-2, 2, 401)
    values = [quantile_loss(place.expand(1001, 1), sample, quantile=0.8).item() for place in grid]
    assert grid[int(np.argmin(values))].item() == pytest.approx(sample.quantile(0.8).item(), abs=0.02)


def test_focal_loss_is_its_formula() -> None:
    outputs = logits(6, 4)
    p = outputs.softmax(1)[torch.arange(6), CLASSES]
    expected = (-((1 - p) ** 2) * p.log()).mean()
    assert focal_loss(outputs, CLASSES, gamma=2.0).item() == pytest.approx(expected.item())
    assert focal_loss(outputs, CLASSES, gamma=0.0).item() == pytest.approx(
        F.cross_entropy(outputs, CLASSES).item()
    )
    weighed = (-WEIGHTS[CLASSES] * (1 - p) ** 2 * p.log()).mean()
    assert focal_loss(outputs, CLASSES, gamma=2.0, class_weights=WEIGHTS).item() == pytest.approx(
        weighed.item()
    )
    y = torch.sigmoid(outputs)
    truth = torch.where(YES_NO > 0, y, 1 - y)
    assert multilabel_focal_loss(outputs, YES_NO, gamma=2.0).item() == pytest.approx(
        (-((1 - truth) ** 2) * truth.log()).mean().item()
    )
    assert multilabel_focal_loss(outputs, YES_NO, gamma=0.0).item() == pytest.approx(
        multilabel_loss(outputs, YES_NO).item()
    )


@pytest.mark.parametrize("gamma", [0.0, 0.5, 1.0, 2.0, 10.0])
def test_focal_loss_stays_finite_where_the_net_is_sure(gamma: float) -> None:
    outputs = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    for loss, targets in (
        (focal_loss, torch.tensor([0, 0])),
        (multilabel_focal_loss, torch.tensor([[1.0, 0.0], [1.0, 0.0]])),
    ):
        value = loss(outputs, targets, gamma=gamma)
        (slope,) = torch.autograd.grad(value, outputs)
        assert math.isfinite(value.item()) and torch.isfinite(slope).all()


def test_kl_divergence_is_torch_s_and_cross_entropy_less_entropy() -> None:
    outputs = logits(6, 4)
    value = kl_loss(outputs, BLENDED).item()
    assert value == pytest.approx(F.kl_div(outputs.log_softmax(1), BLENDED, reduction="batchmean").item())
    entropy = -(BLENDED * BLENDED.log()).sum(1).mean().item()
    assert value == pytest.approx(F.cross_entropy(outputs, BLENDED).item() - entropy)
    assert kl_loss(outputs, CLASSES).item() == pytest.approx(F.cross_entropy(outputs, CLASSES).item())
    assert kl_loss(BLENDED.log(), BLENDED).item() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("loss", [classification_loss, partial(focal_loss, gamma=2.0), kl_loss])
def test_classes_and_their_probabilities_are_one(loss: Callable[..., Tensor]) -> None:
    outputs, one_hot = logits(6, 4), F.one_hot(CLASSES, 4).double()
    for options in ({}, {"label_smoothing": 0.2}, {"class_weights": WEIGHTS}):
        expected = loss(outputs, CLASSES, **options).item()
        assert loss(outputs, one_hot, **options).item() == pytest.approx(expected)
    # mixup blends targets in fp32 beside outputs of another precision
    assert math.isfinite(loss(outputs.bfloat16(), one_hot.float(), class_weights=WEIGHTS.float()).item())


def test_smoothing_spreads_the_target_as_torch_does() -> None:
    outputs = logits(6, 4)
    expected = F.cross_entropy(outputs, CLASSES, label_smoothing=0.3).item()
    assert focal_loss(outputs, CLASSES, gamma=0.0, label_smoothing=0.3).item() == pytest.approx(expected)
    assert classification_loss(outputs, CLASSES, label_smoothing=0.3).item() == pytest.approx(expected)


def test_regression_losses_are_torch_s() -> None:
    outputs = logits(6, 1)
    plain = outputs[:, 0]
    assert regression_loss(outputs, NUMBERS) == F.mse_loss(plain, NUMBERS)
    assert l1_loss(outputs, NUMBERS) == F.l1_loss(plain, NUMBERS)
    assert smooth_l1_loss(outputs, NUMBERS, beta=0.5) == F.smooth_l1_loss(plain, NUMBERS, beta=0.5)
    assert huber_loss(outputs, NUMBERS, delta=0.7) == F.huber_loss(plain, NUMBERS, delta=0.7)
    assert quantile_loss(outputs, NUMBERS, quantile=0.5).item() == pytest.approx(
        F.l1_loss(plain, NUMBERS).item() / 2
    )


TARGETS = {"classification": CLASSES, "multilabel": YES_NO, "regression": NUMBERS}
# tasks whose nets have no members: 2 rows of 2 targets; 3 tokens of 4 kinds
SHAPES = {"forecast": (4,), "language": (3, 4), "chat": (3, 4)}
# sharpe is no mean: it compares the samples of a batch with each other
MEANS = [(task, name) for task in LOSSES for name in LOSSES[task] if name != "sharpe"]


def loss_and_example(task: str, name: str) -> tuple[Callable[..., Tensor], Tensor, Tensor]:
    weights = WEIGHTS if task == "classification" else None
    loss = loss_function(task, name, label_smoothing=0.1, class_weights=weights, quantile=0.8, delta=0.5)
    outputs = logits(6, *SHAPES.get(task, (1,) if task == "regression" else (4,)))
    rows = logits(6, 3 if name == "directional" else 2, 2).flip(0)  # of directional, the last known one first
    tokens = torch.tensor([[0, 1, 3], [2, 2, 0]] * 3)
    return loss, outputs, {**TARGETS, "forecast": rows, "language": tokens, "chat": tokens}[task]


@pytest.mark.parametrize(("task", "name"), MEANS)
def test_every_loss_is_a_mean_over_samples(task: str, name: str) -> None:
    loss, outputs, targets = loss_and_example(task, name)
    whole = loss(outputs, targets).item()
    parts = [loss(outputs[i : i + 1], targets[i : i + 1]).item() for i in range(6)]
    assert whole == pytest.approx(sum(parts) / 6)


@pytest.mark.parametrize(("task", "name"), [(task, name) for task in TARGETS for name in LOSSES[task]])
def test_every_loss_is_a_mean_over_members(task: str, name: str) -> None:
    loss, outputs, targets = loss_and_example(task, name)
    members = torch.stack([outputs, outputs * 2, outputs - 1], dim=1)
    each = [loss(members[:, k], targets).item() for k in range(3)]
    assert loss(members, targets).item() == pytest.approx(sum(each) / 3)


def test_half_precision_is_widened_and_more_is_kept() -> None:
    assert in_full(torch.ones(1, dtype=torch.bfloat16)).dtype == torch.float32
    assert in_full(torch.ones(1, dtype=torch.float16)).dtype == torch.float32
    assert in_full(torch.ones(1, dtype=torch.float64)).dtype == torch.float64


def test_contrastive_loss_is_its_formula() -> None:
    embeddings, labels, t = logits(6, 4), CLASSES, 0.5
    z = F.normalize(embeddings, dim=1)
    expected, anchors = 0.0, 0
    for i in range(6):
        others = [a for a in range(6) if a != i]
        positives = [p for p in others if labels[p] == labels[i]]
        if positives:
            below = sum(math.exp(z[i] @ z[a] / t) for a in others)
            expected -= sum(math.log(math.exp(z[i] @ z[p] / t) / below) for p in positives) / len(positives)
            anchors += 1
    assert anchors == 4
    value = supervised_contrastive_loss(embeddings, labels, temperature=t)
    assert value.item() == pytest.approx(expected / anchors)
    views = torch.stack([embeddings, embeddings + 0.1], dim=1)
    flat = supervised_contrastive_loss(views.flatten(0, 1), labels.repeat_interleave(2), temperature=t)
    assert supervised_contrastive_loss(views, labels, temperature=t) == flat
    for count in (3, 1):
        alone = embeddings[:count].clone().requires_grad_()
        lonely = supervised_contrastive_loss(alone, torch.arange(count))
        assert lonely.item() == 0.0
        (slope,) = torch.autograd.grad(lonely, alone)
        assert torch.isfinite(slope).all()


def test_an_own_loss_never_compares_all_pairs() -> None:
    seen: list[tuple[int, ...]] = []

    def squares(outputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(tuple(outputs.shape))
        return (outputs - targets).square().mean()

    outputs = logits(6, 1)
    assert own_loss(outputs, NUMBERS, function=squares) == regression_loss(outputs, NUMBERS)
    own_loss(outputs[:, None], NUMBERS, function=squares, members=True)
    assert seen == [(6,), (6,)]
    # three dimensions are members only where that is said
    own_loss(logits(6, 4)[:, None], logits(6, 4)[:, None], function=squares)
    own_loss(logits(6, 4)[:, None], logits(6, 4), function=squares, members=True)
    assert seen[2:] == [(6, 1, 4), (6, 4)]
    assert own_loss(logits(6, 4), CLASSES, function=F.cross_entropy) == F.cross_entropy(logits(6, 4), CLASSES)


def half_baked(outputs: Tensor, targets: Tensor) -> Tensor:
    raise KeyError("beta")


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        (half_baked, "the loss fails on .*KeyError"),
        (lambda o, t: o.sum().item(), "gave a float, expected a tensor"),
        (lambda o, t: F.mse_loss(o, o * 0, reduction="none"), r"shape \(6, 4\).*expected one number"),
        (lambda o, t: o.detach().mean(), "has no gradient"),
        (lambda o, t: torch.ones((), requires_grad=True), "does not depend on the outputs"),
        (lambda o, t: (o.mean() * 0) / 0, "gave nan"),
        (lambda o, t: (o - o).sum().sqrt(), "gradient of the loss is not finite"),
        (lambda o, t: F.mse_loss(o[:, :1], t.double()), "UserWarning: Using a target size"),
    ],
)
def test_a_loss_that_is_none_is_found_in_a_trial(loss: Callable[..., Tensor], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        try_loss(loss, logits(6, 4), CLASSES)


def test_a_good_loss_passes_its_trial_and_remembers_nothing() -> None:
    outputs = logits(6, 4).requires_grad_()
    assert try_loss(F.cross_entropy, outputs, CLASSES) == F.cross_entropy(outputs, CLASSES).item()
    assert outputs.grad is None


@pytest.mark.parametrize(
    ("name", "targets", "outputs", "message"),
    [
        ("cross_entropy", torch.tensor([0, 4]), 4, "class indices from 0 to 4, expected 0 to 3"),
        ("focal", torch.tensor([-1, 2]), 4, "class indices from -1 to 2"),
        ("cross_entropy", torch.tensor([0.0, 1.0]), 4, "expected class indices"),
        ("kl_div", torch.ones(2, 3), 4, r"got shape \(2, 3\), expected \(samples, 4\)"),
        ("bce_with_logits", torch.tensor([[0.0, 2.0]]), 2, "numbers from 0 to 2, expected 0 to 1"),
        ("bce_with_logits", torch.tensor([0.0, 1.0]), 2, "expected .samples, 2."),
        ("mse", torch.tensor([1.0, math.nan]), 1, "got nan at sample 1"),
        ("l1", torch.tensor([1, 2]), 1, "torch.int64 .* expected floating-point numbers, 1 a sample"),
        ("huber", torch.ones(3, 2), 1, r"shape \(3, 2\)"),
    ],
)
def test_targets_that_do_not_fit_are_named(name: str, targets: Tensor, outputs: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        check_targets(name, targets, outputs)


@pytest.mark.parametrize(
    ("name", "targets", "outputs"),
    [
        ("cross_entropy", CLASSES, 4),
        ("kl_div", BLENDED, 4),
        ("bce_with_logits", YES_NO, 4),
        ("mse", NUMBERS, 1),
        ("mse", NUMBERS[:, None], 1),
    ],
)
def test_targets_that_fit_pass(name: str, targets: Tensor, outputs: int) -> None:
    check_targets(name, targets, outputs)
