"""A generator and a discriminator after DCGAN, for pictures of any size and number of channels.

Radford et al. 2016, "Unsupervised representation learning with deep convolutional generative adversarial networks":
transposed and strided convolutions of 4x4, batch normalisation, ReLU in the one and leaky ReLU in the other net. As in
Miyato et al. 2018, "Spectral normalization for generative adversarial networks", a 3x3 convolution at full size stands
at the end of the generator and at the beginning of the discriminator.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

# Sides are halved as long as this much is left of the shorter one.
SMALLEST_START = 4
LEAK = 0.2
# Radford et al. 2016: all weights begin normal with this deviation.
FIRST_STD = 0.02
# Filters double with each halving, up to so many times the first ones.
MOST_WIDENING = 8


def count_halvings(size: tuple[int, int]) -> int:
    """How often pictures of this height and width are halved."""
    halvings = 0
    while min(size) // 2 ** (halvings + 1) >= SMALLEST_START:
        halvings += 1
    return halvings


def smallest_maps(size: tuple[int, int]) -> tuple[int, int]:
    """Height and width of the smallest maps: what the sides are after all halvings, rounded up."""
    steps = 2 ** count_halvings(size)
    return -(-size[0] // steps), -(-size[1] // steps)


def widths_of(width: int, halvings: int) -> list[int]:
    """Feature maps at full size, then after each halving."""
    return [width * min(2**halving, MOST_WIDENING) for halving in range(halvings + 1)]


class Generator(nn.Module):
    """From noise to pictures.

    Maps double their sides from the smallest size up. Where a side is no multiple of what the doublings make, the maps
    are made larger and their middle is cut out, so that no pixel is stretched.

    Args:
        channels: of the pictures.
        size: height and width of the pictures.
        latent: numbers of noise a picture.
        width: feature maps at full size; each halving doubles them, up to eight times.
    """

    def __init__(self, channels: int, *, size: tuple[int, int], latent: int = 64, width: int = 32) -> None:
        super().__init__()
        halvings = count_halvings(size)
        widths = widths_of(width, halvings)
        self.size, self.latent = size, latent
        self.start = smallest_maps(size)
        self.widest = widths[-1]
        self.first = nn.Linear(latent, self.widest * self.start[0] * self.start[1], bias=False)
        layers: list[nn.Module] = [nn.BatchNorm2d(self.widest), nn.ReLU()]
        for wide, narrow in zip(reversed(widths[1:]), reversed(widths[:-1]), strict=True):
            layers.append(nn.ConvTranspose2d(wide, narrow, 4, stride=2, padding=1, bias=False))
            layers += [nn.BatchNorm2d(narrow), nn.ReLU()]
        self.body = nn.Sequential(*layers)
        self.last = nn.Conv2d(widths[0], channels, 3, padding=1)

    def forward(self, noise: Tensor) -> Tensor:
        """(batch, latent) from a standard normal distribution → (batch, channels, *size) from -1 to 1."""
        maps = self.first(noise).unflatten(1, (self.widest, *self.start))
        pictures = torch.tanh(self.last(self.body(maps)))
        top = (pictures.shape[2] - self.size[0]) // 2
        left = (pictures.shape[3] - self.size[1]) // 2
        return pictures[:, :, top : top + self.size[0], left : left + self.size[1]]


class Discriminator(nn.Module):
    """From pictures to one number each: how real they look.

    Pictures whose sides are no multiple of what the halvings need are padded with zeros, real and made ones alike.

    Args:
        channels, size, width: as for `Generator`.
        spectral: limit every layer to a largest singular value of 1 (Miyato et al. 2018), in place of batch
            normalisation, which would make the answer for one picture depend on the others.
    """

    def __init__(
        self, channels: int, *, size: tuple[int, int], width: int = 32, spectral: bool = True
    ) -> None:
        super().__init__()
        halvings = count_halvings(size)
        widths = widths_of(width, halvings)
        start = smallest_maps(size)
        self.lacking = (start[0] * 2**halvings - size[0], start[1] * 2**halvings - size[1])
        layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1), nn.LeakyReLU(LEAK)]
        for narrow, wide in pairwise(widths):
            layers.append(nn.Conv2d(narrow, wide, 4, stride=2, padding=1, bias=spectral))
            if not spectral:
                layers.append(nn.BatchNorm2d(wide))
            layers.append(nn.LeakyReLU(LEAK))
        layers += [nn.Flatten(), nn.Linear(widths[-1] * start[0] * start[1], 1)]
        self.layers = nn.Sequential(*layers)
        self.spectral = spectral

    def forward(self, pictures: Tensor) -> Tensor:
        """(batch, channels, height, width) from -1 to 1 → (batch,), larger for more real."""
        rows, columns = self.lacking
        if rows or columns:
            top, left = rows // 2, columns // 2
            pictures = F.pad(pictures, (left, columns - left, top, rows - top))
        return self.layers(pictures).squeeze(1)


def begin_generator(model: nn.Module) -> None:
    """First weights of DCGAN: normal with a deviation of 0.02, those of the normalisation about 1, biases 0."""
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(layer.weight, 0.0, FIRST_STD)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
        elif isinstance(layer, nn.BatchNorm2d):
            nn.init.normal_(layer.weight, 1.0, FIRST_STD)
            nn.init.zeros_(layer.bias)


def begin_discriminator(model: Discriminator) -> None:
    """First weights of DCGAN; with spectral normalisation orthogonal ones, whose singular values are equal.

    The normalisation is put around the layers here, after their first weights, from which its power iteration begins.
    """
    if not model.spectral:
        begin_generator(model)
        return
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.orthogonal_(layer.weight)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for layer in list(model.modules()):
        if isinstance(layer, nn.Conv2d | nn.Linear):
            spectral_norm(layer)
