"""What a discriminator and a generator make small: hinge and non-saturating losses.

Each takes the discriminator's numbers (batch,), larger for more real, and gives the mean over the batch.
"""

from __future__ import annotations

from torch import Tensor
from torch.nn import functional as F


def hinge_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """E[max(0, 1 - D(x))] + E[max(0, 1 + D(G(z)))] (Lim and Ye 2017, "Geometric GAN"; Miyato et al. 2018)."""
    return F.relu(1 - real).mean() + F.relu(1 + made).mean()


def hinge_generator(made: Tensor) -> Tensor:
    """-E[D(G(z))], the generator's side of the hinge loss."""
    return -made.mean()


def bce_discriminator(real: Tensor, made: Tensor) -> Tensor:
    """-E[log σ(D(x))] - E[log(1 - σ(D(G(z))))] (Goodfellow et al. 2014, equation 1)."""
    return F.softplus(-real).mean() + F.softplus(made).mean()


def bce_generator(made: Tensor) -> Tensor:
    """-E[log σ(D(G(z)))], the loss that does not saturate (Goodfellow et al. 2014, section 3)."""
    return F.softplus(-made).mean()
