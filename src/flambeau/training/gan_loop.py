"""The loop of a generative adversarial net, on one page: two nets, two optimizers, plain records.

A generator of records like `training.loop.train`: the caller logs, saves and stops. Each step trains the discriminator
on real and made pictures, then the generator against it (Goodfellow et al. 2014, algorithm 1, with one step of each).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.pictures.noise import draw_noise
from flambeau.training.average import pair_tensors, update_average
from flambeau.training.loop import EpochBatches, StepRecord
from flambeau.training.precision import autocast_to

# Beside the streams of `data.batches`.
NOISE_STREAM = 11


@dataclass(slots=True)
class GanPosition:
    """Where training stands: all that the loop needs, beside weights and optimizers, to go on exactly.

    `totals` are sums over the samples of the epoch so far: the generator's loss, the discriminator's, and how real it
    found real and made pictures.
    """

    epoch: int = 0
    step: int = 0
    samples: int = 0
    totals: Tensor = field(default_factory=lambda: torch.zeros(4))


@dataclass(slots=True)
class GanEpoch:
    """The end of an epoch: means over its samples.

    Args:
        generator_loss, discriminator_loss: as the losses say.
        real, made: the discriminator's numbers for real and for made pictures.
    """

    epoch: int
    samples: int
    lr: float
    generator_loss: float
    discriminator_loss: float
    real: float
    made: float


@dataclass(frozen=True)
class GanTechnique:
    """How a step is done.

    Args:
        epochs: passes over the pictures.
        discriminator_loss: (numbers of real pictures, of made ones) → loss.
        generator_loss: numbers of made pictures → loss.
        latent: numbers of noise a picture.
        seed: of the noise.
        average_decay: of the moving average of the generator's weights, which is what is kept.
        together: whether the discriminator sees real and made pictures as one batch, which is faster; with batch
            normalisation each kind has a batch of its own (Radford et al. 2016).
        precision: "fp32" or "bf16".
    """

    epochs: int
    discriminator_loss: Callable[[Tensor, Tensor], Tensor]
    generator_loss: Callable[[Tensor], Tensor]
    latent: int
    seed: int = 0
    average_decay: float = 0.999
    together: bool = True
    precision: str = "fp32"
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))


def train_discriminator(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizer: Optimizer,
    pictures: Tensor,
    noise: Tensor,
    technique: GanTechnique,
) -> Tensor:
    """One step of the discriminator. Returns (3,): its loss, and its mean number for real and for made pictures."""
    with autocast_to(technique.precision, technique.device):
        with torch.no_grad():
            made = generator(noise)
        if technique.together:
            real_numbers, made_numbers = discriminator(torch.cat([pictures, made])).chunk(2)
        else:
            real_numbers, made_numbers = discriminator(pictures), discriminator(made)
    real_numbers, made_numbers = real_numbers.float(), made_numbers.float()
    loss = technique.discriminator_loss(real_numbers, made_numbers)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    return torch.stack([loss.detach(), real_numbers.detach().mean(), made_numbers.detach().mean()])


def train_generator(
    generator: nn.Module,
    discriminator: nn.Module,
    optimizer: Optimizer,
    noise: Tensor,
    technique: GanTechnique,
) -> Tensor:
    """One step of the generator. Returns its loss."""
    # the discriminator only hands gradients on: its own would be thrown away
    discriminator.requires_grad_(False)
    with autocast_to(technique.precision, technique.device):
        numbers = discriminator(generator(noise))
    loss = technique.generator_loss(numbers.float())
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    optimizer.step()
    discriminator.requires_grad_(True)
    return loss.detach()


def train_gan(
    generator: nn.Module,
    discriminator: nn.Module,
    batches: EpochBatches,
    optimizers: tuple[Optimizer, Optimizer],
    technique: GanTechnique,
    *,
    average: nn.Module | None = None,
    position: GanPosition | None = None,
) -> Iterator[StepRecord | GanEpoch]:
    """Train from `position` to the last epoch, yielding a record a step (whose loss is the sum of both) and an epoch.

    The records come after the weights are updated, so that a caller who saves on a record saves a state from which
    training goes on bit for bit. `position` is updated in place before each record.

    Args:
        generator: noise (batch, latent) → pictures as the batches have them.
        discriminator: pictures → (batch,), larger for more real.
        batches: pictures, a function of (epoch, step) alone; their targets are not looked at.
        optimizers: of the generator and of the discriminator.
        technique: how a step is done.
        average: a copy of the generator that holds the moving average of its weights.
        position: where to begin; the start if None.
    """
    position = position or GanPosition()
    steps = len(batches)
    rate = optimizers[0].param_groups[0]["lr"]
    averaged = None if average is None else pair_tensors(average, generator)
    while position.epoch < technique.epochs:
        generator.train()
        discriminator.train()
        position.totals = position.totals.to(technique.device)
        for batch in batches.epoch(position.epoch, position.step):
            (pictures,) = batch.inputs
            place = (technique.seed, NOISE_STREAM, position.epoch, position.step)
            noise = draw_noise(2 * len(pictures), technique.latent, *place).to(technique.device)
            first, second = noise.chunk(2)
            judged = train_discriminator(generator, discriminator, optimizers[1], pictures, first, technique)
            loss = train_generator(generator, discriminator, optimizers[0], second, technique)
            if averaged is not None:
                number = position.epoch * steps + position.step
                update_average(averaged, decay=technique.average_decay, step=number)
            values = torch.cat([loss[None], judged])
            position.totals.add_(values, alpha=batch.count)
            position.step += 1
            position.samples += batch.count
            both = values[0] + values[1]
            yield StepRecord(position.epoch, position.step, steps, position.samples, rate, both, None)
        means = (position.totals / max(1, position.samples)).tolist()
        record = GanEpoch(position.epoch, position.samples, rate, *means)
        position.epoch, position.step, position.samples = position.epoch + 1, 0, 0
        position.totals = torch.zeros(4)
        yield record
