"""Two nets against each other: the loop is the one a person would write, and stopping anywhere changes nothing."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from flambeau.data.batches import Batches, gather_tensors
from flambeau.data.pictures.noise import draw_noise
from flambeau.evaluation.validation import Validation
from flambeau.models.gan import Discriminator, Generator, begin_discriminator, begin_generator
from flambeau.training.average import averaged_copy
from flambeau.training.diverged import DivergedError
from flambeau.training.gan_loop import NOISE_STREAM, GanEpoch, GanTechnique, train_gan
from flambeau.training.gan_losses import (
    bce_discriminator,
    bce_generator,
    hinge_discriminator,
    hinge_generator,
)
from flambeau.training.gan_session import GanSession, run_gan_session
from flambeau.training.gan_state import GanState
from flambeau.training.loop import StepRecord
from flambeau.training.optimizers import make_adam, parameter_groups
from flambeau.training.session import Interrupted

CPU = torch.device("cpu")
LATENT, ROWS, EPOCHS = 3, 40, 3
Nets = tuple[Generator, Discriminator]


def make_nets(spectral: bool = True) -> Nets:
    torch.manual_seed(0)
    generator = Generator(1, size=(8, 8), latent=LATENT, width=2)
    begin_generator(generator)
    discriminator = Discriminator(1, size=(8, 8), width=2, spectral=spectral)
    begin_discriminator(discriminator)
    return generator, discriminator


def make_batches() -> Batches:
    pictures = torch.rand(ROWS, 1, 8, 8, generator=torch.Generator().manual_seed(1)) * 2 - 1
    return Batches(gather_tensors(pictures), torch.zeros(ROWS), torch.arange(ROWS), 10, seed=4)


def make_state(spectral: bool = True, **changes: Any) -> GanState:
    nets = make_nets(spectral)
    first, second = (
        make_adam(parameter_groups(net, lr=rate, weight_decay=0.0), beta1=0.5, beta2=0.9, device=CPU)
        for net, rate in zip(nets, (1e-2, 2e-2), strict=True)
    )
    losses = (hinge_discriminator, hinge_generator) if spectral else (bce_discriminator, bce_generator)
    technique = GanTechnique(EPOCHS, *losses, LATENT, seed=7, average_decay=0.9, together=spectral)
    return GanState.start(*nets, (first, second), replace(technique, **changes))


def test_losses_are_their_formulas() -> None:
    real, made = torch.tensor([2.0, -0.5, 0.3]), torch.tensor([-3.0, 0.2, 1.5])
    assert hinge_discriminator(real, made).item() == pytest.approx((0 + 1.5 + 0.7) / 3 + (0 + 1.2 + 2.5) / 3)
    assert hinge_generator(made).item() == pytest.approx(1.3 / 3)
    ones, zeros = torch.ones(3), torch.zeros(3)
    expected = F.binary_cross_entropy_with_logits(real, ones) + F.binary_cross_entropy_with_logits(
        made, zeros
    )
    assert bce_discriminator(real, made).item() == pytest.approx(expected.item())
    expected = F.binary_cross_entropy_with_logits(made, ones)
    assert bce_generator(made).item() == pytest.approx(expected.item())


def test_noise_is_a_function_of_seed_epoch_and_step() -> None:
    assert torch.equal(draw_noise(4, 3, 1, 2, 3), draw_noise(4, 3, 1, 2, 3))
    torch.rand(5)
    assert torch.equal(draw_noise(4, 3, 1, 2, 3), draw_noise(4, 3, 1, 2, 3))
    assert not torch.equal(draw_noise(4, 3, 1, 2, 3), draw_noise(4, 3, 1, 3, 3))


def test_the_loop_is_the_one_a_person_would_write() -> None:
    state, batches = make_state(spectral=False), make_batches()
    generator, discriminator = make_nets(spectral=False)
    adams = [
        torch.optim.Adam(net.parameters(), lr=rate, betas=(0.5, 0.9), fused=True)
        for net, rate in ((generator, 1e-2), (discriminator, 2e-2))
    ]
    records = train_gan(
        state.generator,
        state.discriminator,
        batches,
        state.optimizers,
        state.technique,
        average=state.average,
    )
    for step, ((pictures,), _, _) in enumerate(batches.epoch(0)):
        noise = draw_noise(2 * len(pictures), LATENT, 7, NOISE_STREAM, 0, step)
        made = generator(noise[: len(pictures)]).detach()
        loss = bce_discriminator(discriminator(pictures), discriminator(made))
        adams[1].zero_grad()
        loss.backward()
        adams[1].step()
        own = bce_generator(discriminator(generator(noise[len(pictures) :])))
        adams[0].zero_grad()
        own.backward()
        adams[0].step()
        record = next(records)
        assert isinstance(record, StepRecord)
        assert record.loss.item() == pytest.approx((loss + own).item(), rel=1e-6)
    for mine, theirs in ((generator, state.generator), (discriminator, state.discriminator)):
        for name, tensor in mine.state_dict().items():
            assert torch.allclose(tensor, theirs.state_dict()[name], atol=1e-6), name
    last = next(records)
    assert isinstance(last, GanEpoch)
    assert (last.epoch, last.samples) == (0, ROWS)


def weights(state: GanState) -> dict[str, Tensor]:
    tensors, _ = state.parts()
    return {name: tensor.clone() for name, tensor in {**tensors, **(state.weights or {})}.items()}


def judge(generator: nn.Module, number: int) -> tuple[Validation, Mapping[str, Any]]:
    generator.eval()
    with torch.inference_mode():
        score = float(generator(draw_noise(5, LATENT, 1)).sum())
    return Validation(score, score), {"diversity": 1.0}


@pytest.mark.parametrize("spectral", [True, False])
@pytest.mark.parametrize("stop_after", [1, 3, 5, 9])
def test_stopped_and_resumed_equals_unbroken(tmp_path: Path, stop_after: int, spectral: bool) -> None:
    whole = run_gan_session(make_state(spectral), make_batches(), GanSession(tmp_path / "whole", judge=judge))
    calls = 0

    def should_stop() -> bool:
        nonlocal calls
        calls += 1
        return calls > stop_after

    broken = GanSession(tmp_path / "broken", judge=judge, should_stop=should_stop)
    with pytest.raises(Interrupted):
        run_gan_session(make_state(spectral), make_batches(), broken)
    again = run_gan_session(
        make_state(spectral), make_batches(), GanSession(tmp_path / "broken", judge=judge)
    )
    expected, got = weights(whole), weights(again)
    assert expected.keys() == got.keys()
    assert all(torch.equal(expected[name], got[name]) for name in expected)
    assert again.best == whole.best


def test_the_best_epoch_is_kept(tmp_path: Path) -> None:
    seen: dict[int, dict[str, Tensor]] = {}

    def second_is_best(generator: nn.Module, number: int) -> tuple[Validation, Mapping[str, Any]]:
        seen[number] = copy.deepcopy(generator.state_dict())
        score = 1.0 if number == 2 else 5.0
        return Validation(score, score), {}

    records: list[dict[str, Any]] = []
    state = run_gan_session(
        make_state(), make_batches(), GanSession(tmp_path, judge=second_is_best, listen=records.append)
    )
    assert state.best.epoch == 2
    kept = state.evaluated.state_dict()
    assert all(torch.equal(kept[name], seen[2][name]) for name in kept)
    epochs = [record for record in records if record["kind"] == "epoch"]
    assert [record["best"] for record in epochs] == [True, True, False]
    assert {"generator_loss", "discriminator_loss", "real", "made"} <= epochs[0].keys()


def test_without_an_average_the_generator_itself_is_kept(tmp_path: Path) -> None:
    state = run_gan_session(make_state(average_decay=0.0), make_batches(), GanSession(tmp_path))
    assert state.average is None
    assert state.evaluated is state.generator
    assert state.best.epoch == EPOCHS


def test_what_is_not_finite_ends_the_training(tmp_path: Path) -> None:
    state = make_state()
    with torch.no_grad():
        state.generator.get_parameter("last.bias").fill_(float("nan"))
    with pytest.raises(DivergedError, match="the loss became nan at epoch 1, step 1"):
        run_gan_session(state, make_batches(), GanSession(tmp_path))


def test_a_checkpoint_is_of_both_nets_and_of_no_other(tmp_path: Path) -> None:
    run_gan_session(make_state(), make_batches(), GanSession(tmp_path))
    other = make_state(spectral=False)
    with pytest.raises(ValueError, match="the checkpoint is of another model"):
        run_gan_session(other, make_batches(), GanSession(tmp_path))


def test_the_average_follows_the_generator() -> None:
    state = make_state()
    average = averaged_copy(state.generator)
    list(
        train_gan(
            state.generator,
            state.discriminator,
            make_batches(),
            state.optimizers,
            state.technique,
            average=average,
        )
    )
    first, last = (net.get_parameter("first.weight") for net in (make_nets()[0], state.generator))
    assert not torch.equal(average.get_parameter("first.weight"), last)
    assert (average.get_parameter("first.weight") - last).norm() < (first - last).norm()
