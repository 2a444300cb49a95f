"""What the training of a net that makes pictures is made of: pictures, both nets, optimizers, technique."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from flambeau.data.batches import INIT_STREAM, Batches, Change, Gather, gather_pixels, mix_seed
from flambeau.data.split import Split
from flambeau.models.build import build_model
from flambeau.models.gan import Discriminator, begin_discriminator, begin_generator
from flambeau.models.spec import ModelSpec, generator_spec
from flambeau.planning.scans import scan_reading
from flambeau.recipe import Recipe
from flambeau.stages.fitting import begin_from
from flambeau.stages.inputs import make_change
from flambeau.stages.trainings import Trainings
from flambeau.training.gan_loop import GanTechnique
from flambeau.training.gan_losses import (
    bce_discriminator,
    bce_generator,
    hinge_discriminator,
    hinge_generator,
)
from flambeau.training.gan_state import GanState
from flambeau.training.optimizers import make_adam, parameter_groups
from flambeau.transforms.image import PicturePreparation

LOSSES_OF_BOTH: dict[str, tuple[Any, Any]] = {
    "hinge": (hinge_discriminator, hinge_generator),
    "bce": (bce_discriminator, bce_generator),
}


@dataclass
class GanParts:
    """Everything that `run_gan_session` takes, and how real pictures are got.

    Args:
        state: at its start.
        batches: training pictures.
        gather: rows → pictures from -1 to 1, unchanged.
        targets: (all rows,) class indices on the device.
        preparation: of the pictures.
        spec: of the generator.
    """

    state: GanState
    batches: Batches
    gather: Gather
    targets: Tensor
    preparation: PicturePreparation
    spec: ModelSpec


def prepare_generated(recipe: Recipe, bits: int) -> PicturePreparation:
    """Pixels to numbers from -1 to 1, which is what the generator gives."""
    image = recipe.image
    assert image.size is not None and image.channels is not None
    half = (0.5,) * image.channels
    return PicturePreparation(image.size, image.channels, bits, image.resize, image.interpolation, half, half)


def assemble_generator(trainings: Trainings, split: Split) -> GanParts:
    """Both nets, their optimizers, and batches of the training part."""
    material, recipe, device = trainings.material, trainings.recipe, trainings.device
    assert material.pixels is not None
    preparation = prepare_generated(recipe, 8 * material.pixels.itemsize)
    preparation = replace(preparation, scan=scan_reading(recipe, material.samples.schema.picture))
    gather = gather_pixels(material.pixels, preparation.prepare, device)
    targets = torch.from_numpy(np.ascontiguousarray(material.samples.targets)).to(device)
    train_gather, change = _changed(material.pixels, preparation, recipe, device, gather)
    batches = Batches(
        train_gather,
        targets,
        torch.from_numpy(split.train),
        recipe.training.batch_size or 64,
        mix_seed(recipe.seed, 0),
        change,
    )
    spec = generator_spec(recipe.generate, channels=preparation.channels, size=preparation.size)
    generator, discriminator = _make_nets(spec, recipe, trainings)
    options = recipe.generate
    betas = {"beta1": options.beta1 or 0.0, "beta2": options.beta2 or 0.999}
    optimizers = (
        make_adam(_groups(generator, options.lr), **betas, device=device),
        make_adam(_groups(discriminator, options.discriminator_lr), **betas, device=device),
    )
    losses = LOSSES_OF_BOTH[options.loss or "hinge"]
    technique = GanTechnique(
        epochs=recipe.training.epochs or 1,
        discriminator_loss=losses[0],
        generator_loss=losses[1],
        latent=spec.arguments["latent"],
        seed=mix_seed(recipe.seed, 0),
        average_decay=recipe.training.ema or 0.0,
        together=bool(options.spectral_norm),
        precision=recipe.training.precision or "fp32",
        device=device,
    )
    state = GanState.start(generator, discriminator, optimizers, technique)
    return GanParts(state, batches, gather, targets, preparation, spec)


def _groups(model: nn.Module, rate: float | None) -> list[dict[str, Any]]:
    return parameter_groups(model, lr=rate or 2e-4, weight_decay=0.0)


def _changed(
    pixels: np.ndarray, preparation: PicturePreparation, recipe: Recipe, device: torch.device, gather: Gather
) -> tuple[Gather, Change | None]:
    """How training pictures are gathered, and mirrored where that is asked for."""
    augment = recipe.image.augment
    if not (augment.flip_horizontal or augment.flip_vertical):
        return gather, None
    flips = recipe.model_copy(deep=True)
    for name in type(augment).model_fields:
        if not name.startswith("flip_"):
            setattr(flips.image.augment, name, type(augment).model_fields[name].get_default())
    change = make_change(preparation, flips, 0, torch.contiguous_format)
    return gather_pixels(pixels, preparation.shape, device), change


def _make_nets(spec: ModelSpec, recipe: Recipe, trainings: Trainings) -> tuple[nn.Module, Discriminator]:
    """Both nets with their first weights; the generator with those of an earlier run, where there is one."""
    torch.manual_seed(mix_seed(recipe.seed, INIT_STREAM, 0))
    generator = build_model(spec)
    begin_generator(generator)
    discriminator = Discriminator(
        spec.arguments["channels"],
        size=tuple(spec.arguments["size"]),
        width=spec.arguments["width"],
        spectral=bool(recipe.generate.spectral_norm),
    )
    begin_discriminator(discriminator)
    if trainings.start is not None:
        equal = "picture size, channels, generate.latent and generate.width"
        begin_from(generator, trainings.start.tensors, "generator", equal)
        trainings.journal.note(
            "the generator goes on from the earlier run; its discriminator is not part of a bundle and begins afresh"
        )
    return generator.to(trainings.device), discriminator.to(trainings.device)
