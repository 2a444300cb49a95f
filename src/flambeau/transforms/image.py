"""Pictures to tensors: one resize function for cache, prediction and export, then scaling and normalising."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from flambeau.transforms.channels import check_pictures, match_channels
from flambeau.transforms.scan import ScanReading

PictureFit = Literal["stretch", "pad", "crop"]
Interpolation = Literal["bilinear", "bicubic", "nearest"]

# https://docs.pytorch.org/vision/stable/models.html
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)

# Beyond this many pictures the mean and the deviation no longer change in a digit that matters.
STATISTICS_PICTURES = 5_000

# A channel that hardly varies in training would otherwise be blown up to noise.
SMALLEST_STD = 0.01

# Far above the rounding error of float64 and far below a level: a tie between two levels always goes up.
TIE = 2.0**-20

# Beyond this many values of pictures, resampling all channels at once takes more memory than it saves time.
LARGE_VALUES = 2**22


def resize_pictures(
    pictures: Tensor,
    size: tuple[int, int],
    *,
    fit: PictureFit = "stretch",
    interpolation: Interpolation = "bilinear",
) -> Tensor:
    """Pictures of another size, of the same dtype.

    Bilinear and bicubic are antialiased. Integers are resampled in float64, rounded and clamped to the range of
    their dtype (int32 holds 16-bit pictures, so 0 to 65,535): in float32 the order of a sum decides now and then to
    which level a pixel is rounded, so another machine, or an exported model, would see other pixels. Floats are
    resampled in float32.

    Args:
        pictures: (batch, channels, height, width), integers or floats.
        size: height and width of the result in pixels.
        fit: "stretch" fills the size exactly, "pad" keeps the aspect ratio with zeros around, "crop" keeps it
            and cuts the centre.
        interpolation: how pixels are resampled.

    Returns:
        (batch, channels, *size).

    Raises:
        ValueError: for another layout, or an unknown fit or interpolation.
    """
    check_pictures(pictures)
    if fit not in ("stretch", "pad", "crop"):
        raise ValueError(f"unknown fit '{fit}'; known are stretch, pad, crop")
    if interpolation not in ("bilinear", "bicubic", "nearest"):
        raise ValueError(f"unknown interpolation '{interpolation}'; known are bilinear, bicubic, nearest")
    height, width = pictures.shape[-2:]
    if (height, width) == tuple(size):
        return pictures
    if fit == "stretch":
        return _resample_pictures(pictures, size, interpolation)
    ratios = (size[0] / height, size[1] / width)
    ratio = min(ratios) if fit == "pad" else max(ratios)
    inner = (max(1, round(height * ratio)), max(1, round(width * ratio)))
    resized = _resample_pictures(pictures, inner, interpolation)
    return _centre_pictures(resized, size)


def _resample_pictures(pictures: Tensor, size: tuple[int, int], interpolation: Interpolation) -> Tensor:
    if tuple(pictures.shape[-2:]) == tuple(size):
        return pictures
    exact = (
        not pictures.dtype.is_floating_point and interpolation != "nearest" and pictures.device.type != "mps"
    )
    if exact and pictures.shape[1] > 1 and pictures.numel() > LARGE_VALUES:
        # one channel after the other, because float64 takes eight times the memory of 8-bit pictures
        channels = [_resample_pictures(channel, size, interpolation) for channel in pictures.split(1, dim=1)]
        return torch.cat(channels, dim=1)
    # contiguous, because torch resamples pictures whose channels lie innermost more slowly in float64
    values = pictures.contiguous().to(torch.float64 if exact else torch.float32)
    if interpolation == "nearest":
        # torch's "nearest" takes the upper left neighbour; "nearest-exact" the nearest centre, as Pillow.
        values = F.interpolate(values, size=size, mode="nearest-exact")
    else:
        if size[1] == 1:
            # torch's antialiased resampling of a column is wrong in pictures that are one pixel wide
            wide = values.expand(-1, -1, -1, max(2, values.shape[-1])).contiguous()
            values = _antialias(wide, (size[0], wide.shape[-1]), interpolation)[..., : values.shape[-1]]
        values = _antialias(values, size, interpolation)
    if pictures.dtype.is_floating_point:
        return values.to(pictures.dtype)
    largest = 65_535 if pictures.dtype == torch.int32 else torch.iinfo(pictures.dtype).max
    return values.add_(TIE).round_().clamp_(0, largest).to(pictures.dtype)


def _antialias(values: Tensor, size: tuple[int, int], interpolation: str) -> Tensor:
    return F.interpolate(values, size=size, mode=interpolation, antialias=True, align_corners=False)


def _centre_pictures(pictures: Tensor, size: tuple[int, int]) -> Tensor:
    """Cut or pad with zeros, evenly on both sides; the odd pixel goes to the end."""
    height, width = pictures.shape[-2:]
    top, left = max(0, height - size[0]) // 2, max(0, width - size[1]) // 2
    pictures = pictures[..., top : top + size[0], left : left + size[1]]
    lacking_rows, lacking_columns = size[0] - pictures.shape[-2], size[1] - pictures.shape[-1]
    before_row, before_column = lacking_rows // 2, lacking_columns // 2
    borders = (before_column, lacking_columns - before_column, before_row, lacking_rows - before_row)
    return F.pad(pictures, borders) if any(borders) else pictures.contiguous()


def normalise_pictures(
    pictures: Tensor, mean: Sequence[float], std: Sequence[float], *, overwrite: bool = False
) -> Tensor:
    """(pictures - mean) / std, channel by channel.

    Args:
        pictures: (batch, channels, height, width) float.
        mean, std: one number a channel.
        overwrite: the pictures themselves, which saves memory and time.

    Raises:
        ValueError: for another layout or another number of channels.
    """
    check_pictures(pictures)
    channels = pictures.shape[1]
    if len(mean) != channels or len(std) != channels:
        got = f"expected {channels}, got {len(mean)} and {len(std)}"
        raise ValueError(f"mean and std need one number a channel: {got}")
    means, stds = torch.tensor([mean, std], dtype=pictures.dtype, device=pictures.device)
    if pictures.is_contiguous() or not pictures.is_contiguous(memory_format=torch.channels_last):
        less = means.view(1, -1, 1, 1)
        return (pictures.sub_(less) if overwrite else pictures - less).div_(stds.view(1, -1, 1, 1))
    # Channels that lie innermost are too short for a vector of the processor; a whole row of pixels is not.
    rows, width = pictures.permute(0, 2, 3, 1).flatten(2), pictures.shape[3]
    less = means.repeat(width)
    normalised = (rows.sub_(less) if overwrite else rows - less).div_(stds.repeat(width))
    return normalised.unflatten(2, (width, channels)).permute(0, 3, 1, 2)


@dataclass(frozen=True)
class PicturePreparation:
    """Everything between decoded pixels and the model, fitted on training pictures.

    Args:
        size: height and width that the model sees, in pixels.
        channels: channels that the model sees.
        bits: 8 or 16; integers are divided by the largest number of that many bits.
        fit, interpolation: see `resize_pictures`.
        mean, std: one number a channel, on the scale 0 to 1.
        scan: how DICOM and NIfTI files are read; None where the model was not trained on scans.
    """

    size: tuple[int, int]
    channels: int
    bits: int
    fit: PictureFit = "stretch"
    interpolation: Interpolation = "bilinear"
    mean: tuple[float, ...] = ()
    std: tuple[float, ...] = ()
    scan: ScanReading | None = None

    @property
    def load_options(self) -> dict[str, Any]:
        """What a loader of pictures takes by name, so that it gives them as this preparation takes them."""
        names = ("size", "channels", "bits", "fit", "interpolation")
        options = {name: getattr(self, name) for name in names}
        return options if self.scan is None else {**options, "scan": self.scan}

    @property
    def largest(self) -> float:
        """The largest number that a pixel can have."""
        return float(2**self.bits - 1)

    def shape(self, pixels: Tensor) -> Tensor:
        """(batch, height, width, channels) uint8, or int32 for 16 bits → (batch, channels, *size) of that dtype.

        Raises ValueError for another layout or dtype.
        """
        if pixels.ndim != 4:
            got = tuple(pixels.shape)
            raise ValueError(f"pixels must be (batch, height, width, channels), got shape {got}")
        if pixels.dtype.is_floating_point or pixels.dtype == torch.bool:
            raise ValueError(f"pixels must be integers (uint8, or int32 for 16 bits), got {pixels.dtype}")
        pictures = match_channels(pixels.permute(0, 3, 1, 2), self.channels)
        return resize_pictures(pictures, self.size, fit=self.fit, interpolation=self.interpolation)

    def scale(self, pixels: Tensor) -> Tensor:
        """What `shape` gives, as float32 from 0 to 1; augmentation belongs between this and `normalise`."""
        return self.shape(pixels).to(torch.float32).div_(self.largest)

    def normalise(self, pictures: Tensor, *, overwrite: bool = False) -> Tensor:
        """(batch, channels, height, width) from 0 to 1 → the same shape, as the model wants it."""
        return (
            normalise_pictures(pictures, self.mean, self.std, overwrite=overwrite) if self.mean else pictures
        )

    def prepare(self, pixels: Tensor) -> Tensor:
        """`scale`, then `normalise`: what evaluation and prediction do."""
        return self.normalise(self.scale(pixels), overwrite=True)

    def to_json(self) -> dict[str, Any]:
        """Plain dictionaries and lists."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> PicturePreparation:
        """The inverse of `to_json`."""
        tuples = {key: tuple(data[key]) for key in ("size", "mean", "std")}
        scan = ScanReading(**data["scan"]) if data.get("scan") else None
        return cls(**{**data, **tuples, "scan": scan})


def fit_pictures(
    pixels: np.ndarray,
    *,
    size: tuple[int, int],
    channels: int,
    bits: int,
    fit: PictureFit = "stretch",
    interpolation: Interpolation = "bilinear",
    normalise: Literal["dataset", "imagenet", "none"] = "dataset",
) -> PicturePreparation:
    """The preparation of a data set.

    Args:
        pixels: (count, height, width, channels) uint8 or uint16, training pictures only.
        size, channels, bits, fit, interpolation: see `PicturePreparation`.
        normalise: statistics of these pictures (over evenly spaced ones where there are many), those of
            ImageNet, or none.

    Raises:
        ValueError: for another layout, or for statistics of ImageNet with neither 1 nor 3 channels.
    """
    plain = PicturePreparation(size, channels, bits, fit, interpolation)
    if normalise == "none":
        return plain
    if normalise == "imagenet":
        if channels not in (1, 3):
            raise ValueError(f"statistics of ImageNet are for 1 or 3 channels, got {channels}")
        mean, std = IMAGENET_MEAN, IMAGENET_STD
        if channels == 1:
            mean, std = (sum(mean) / 3,), (sum(std) / 3,)  # type: ignore[assignment]  # one channel of the three
        return PicturePreparation(size, channels, bits, fit, interpolation, mean, std)
    count = len(pixels)
    if pixels.ndim != 4 or count == 0:
        raise ValueError(f"pixels must be (count, height, width, channels), got shape {tuple(pixels.shape)}")
    positions = np.unique(np.linspace(0, count - 1, min(count, STATISTICS_PICTURES)).round().astype(np.int64))
    (total, squares), values_a_channel = torch.zeros(2, channels, dtype=torch.float64), 0
    for start in range(0, len(positions), 256):
        batch = np.asarray(pixels[positions[start : start + 256]])
        pictures = plain.scale(torch.from_numpy(batch.astype(np.int32) if batch.dtype != np.uint8 else batch))
        pictures = pictures.to(torch.float64)
        total += pictures.sum((0, 2, 3))
        squares += pictures.square().sum((0, 2, 3))
        values_a_channel += pictures.numel() // channels
    means = total / values_a_channel
    deviations = (squares / values_a_channel - means.square()).clamp(min=0).sqrt().clamp(min=SMALLEST_STD)
    return PicturePreparation(
        size, channels, bits, fit, interpolation, tuple(means.tolist()), tuple(deviations.tolist())
    )
