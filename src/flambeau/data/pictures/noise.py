"""Noise that pictures are made from: a function of a seed alone, so that a run repeats and resumes exactly."""

from __future__ import annotations

import torch
from torch import Tensor

from flambeau.data.batches import mix_seed


def draw_noise(count: int, latent: int, *seed: int) -> Tensor:
    """(count, latent) standard normal numbers on the CPU, a function of the seed alone."""
    generator = torch.Generator()
    generator.manual_seed(mix_seed(*seed))
    return torch.randn(count, latent, generator=generator)
