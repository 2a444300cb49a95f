"""Options of a net that makes pictures: its two nets, their loss and rates, and how the pictures are judged."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flambeau.recipe.fields import Auto, Section


class GenerateOptions(Section):
    """How pictures are made (--task generate); epochs, batch_size, ema and precision stand under training."""

    latent: Auto[Annotated[int, Field(ge=1, le=4096)]] = None
    """Numbers of noise that a picture is made from."""
    width: Auto[Annotated[int, Field(ge=1, le=1024)]] = None
    """Feature maps at full size, in both nets; each halving of the sides doubles them, up to eight times."""
    loss: Auto[Literal["hinge", "bce"]] = None
    """Hinge loss (Lim and Ye 2017), or the non-saturating one with binary cross-entropy (Goodfellow et al. 2014)."""
    spectral_norm: Auto[bool] = None
    """Limit every layer of the discriminator to a largest singular value of 1 (Miyato et al. 2018)."""
    lr: Auto[Annotated[float, Field(gt=0, le=1)]] = None
    """Learning rate of the generator, by Adam."""
    discriminator_lr: Auto[Annotated[float, Field(gt=0, le=1)]] = None
    """Learning rate of the discriminator (two rates: Heusel et al. 2017)."""
    beta1: Auto[Annotated[float, Field(ge=0, lt=1)]] = None
    """beta1 of both Adams."""
    beta2: Auto[Annotated[float, Field(gt=0, lt=1)]] = None
    """beta2 of both Adams."""
    score_samples: Auto[Annotated[int, Field(ge=10, le=100_000)]] = None
    """Pictures that are made for each quality score."""
    sheet: Annotated[int, Field(ge=1, le=400)] = 64
    """Pictures on a sample sheet."""
