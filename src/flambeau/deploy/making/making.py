"""Pictures from a trained generator: made from noise that a seed gives, as pixels, on sheets, in between each other."""

from __future__ import annotations

import io
import math
import struct
import zlib

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn

from flambeau.data.batches import evaluation_batch
from flambeau.data.pictures.noise import draw_noise
from flambeau.deploy.bundle import Bundle
from flambeau.errors import UsageError
from flambeau.models.gan import Generator
from flambeau.transforms.image import PicturePreparation

# Beside the streams of `data.batches` and of the noise of the training.
SAMPLE_STREAM = 12
MOST_SAMPLES = 100_000
MOST_VALUES = 2**30  # of all pictures together: 1 GiB of 8 bits
# A sheet's pictures are enlarged, by whole numbers, until it is about so wide.
SHEET_PIXELS = 640
GAP = 2
BETWEEN_STEPS = 10


def make_pictures(generator: nn.Module, noise: Tensor) -> Tensor:
    """(n, channels, height, width) from -1 to 1, on the CPU, from noise (n, latent).

    The generator must be in evaluation mode.
    """
    size = getattr(generator, "size", (32, 32))
    device = next(generator.parameters()).device
    blocks = noise.split(evaluation_batch(4 * math.prod(size)))
    with torch.inference_mode():
        return torch.cat([generator(block.to(device)).float().cpu() for block in blocks])


def pixels_of(pictures: Tensor, bits: int) -> np.ndarray:
    """(n, height, width, channels) uint8, or uint16 for 16 bits, from pictures from -1 to 1."""
    largest = 2**bits - 1
    scaled = pictures.add(1).mul(largest / 2).round_().clamp_(0, largest)
    pixels = scaled.permute(0, 2, 3, 1).numpy()
    return np.ascontiguousarray(pixels.astype(np.uint8 if bits == 8 else np.uint16))


def latent_of(bundle: Bundle) -> int:
    """How many numbers of noise the generator of a bundle takes. Raises UsageError for a bundle of another task."""
    if not isinstance(bundle.module, Generator):
        raise UsageError("this model makes no pictures", got=f"a model for {bundle.schema.task}")
    return bundle.module.latent


def sample_pixels(bundle: Bundle, count: int, seed: int) -> np.ndarray:
    """Pixels (count, height, width, channels) that the generator of a bundle makes from this seed.

    Raises:
        UsageError: the bundle predicts, or the count or all pixels together are out of range.
    """
    latent = latent_of(bundle)
    preparation = bundle.preparation
    assert isinstance(preparation, PicturePreparation)  # `check_preparation` lets no generator have another
    most = most_samples(preparation)
    if not 1 <= count <= most:
        height, width = preparation.size
        raise UsageError(
            "so many pictures cannot be made at once",
            got=count,
            expected=f"1 to {most:,} of {height}x{width} pixels; another seed makes others",
        )
    noise = draw_noise(count, latent, seed, SAMPLE_STREAM)
    blocks = noise.split(evaluation_batch(4 * math.prod(preparation.size)))
    # block by block, so that no more than the pixels themselves is held of all pictures
    return np.concatenate(
        [pixels_of(make_pictures(bundle.module, block), preparation.bits) for block in blocks]
    )


def most_samples(preparation: PicturePreparation) -> int:
    """How many pictures are made at once, so that all their pixels fit into memory."""
    return max(1, min(MOST_SAMPLES, MOST_VALUES // (math.prod(preparation.size) * preparation.channels)))


def between(noise: Tensor, rows: int, steps: int = BETWEEN_STEPS) -> Tensor:
    """Ways of `steps` points from one noise to another, (rows · steps, latent), on great circles.

    Points on a straight line between two normal draws would be nearer to 0 than any draw is (White 2016).

    Args:
        noise: (2 · rows or more, latent).
    """
    ways = []
    for one, other in noise[: 2 * rows].view(rows, 2, -1):
        cosine = torch.dot(one / one.norm(), other / other.norm()).clamp(-1 + 1e-6, 1 - 1e-6)
        angle = torch.arccos(cosine)
        share = torch.linspace(0, 1, steps)[:, None]
        ways.append(
            (torch.sin((1 - share) * angle) * one + torch.sin(share * angle) * other) / torch.sin(angle)
        )
    return torch.cat(ways)


def sheet_of(pixels: np.ndarray, columns: int | None = None) -> Image.Image:
    """Pictures (n, height, width, channels) side by side, in rows, on a grey ground, enlarged by whole numbers."""
    values = (pixels >> 8).astype(np.uint8) if pixels.dtype == np.uint16 else pixels
    # further channels than colours cannot be shown
    values = values[..., :3] if values.shape[3] >= 3 else values[..., :1].repeat(3, axis=3)
    count, height, width, _ = values.shape
    columns = columns or math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    factor = max(1, SHEET_PIXELS // (columns * (width + GAP)))
    sheet = np.full((rows * (height + GAP) + GAP, columns * (width + GAP) + GAP, 3), 96, dtype=np.uint8)
    for place, picture in enumerate(values):
        top, left = GAP + place // columns * (height + GAP), GAP + place % columns * (width + GAP)
        sheet[top : top + height, left : left + width] = picture
    image = Image.fromarray(sheet)
    return image.resize((image.width * factor, image.height * factor), Image.Resampling.NEAREST)


def png_of(image: Image.Image) -> bytes:
    """A picture as the bytes of a PNG file."""
    buffer = io.BytesIO()
    image.save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


def picture_png(pixels: np.ndarray) -> bytes:
    """One picture (height, width, channels) as a PNG with its own bits; of more than four channels the first three.

    Two channels are grey and how opaque it is, the fourth of four, too.
    """
    pixels = pixels if pixels.shape[2] <= 4 else pixels[..., :3]
    if pixels.shape[2] == 1:
        return png_of(Image.fromarray(pixels[..., 0]))
    return _deep_png(pixels) if pixels.dtype == np.uint16 else png_of(Image.fromarray(pixels))


def _deep_png(pixels: np.ndarray) -> bytes:
    """A PNG of 16 bits a channel and two to four channels, which Pillow does not write (ISO/IEC 15948)."""
    height, width, channels = pixels.shape
    kinds = {2: 4, 3: 2, 4: 6}
    head = struct.pack(">IIBBBBB", width, height, 16, kinds[channels], 0, 0, 0)
    # each row begins with its filter: none
    rows = np.zeros((height, 1 + 2 * channels * width), dtype=np.uint8)
    rows[:, 1:] = pixels.astype(">u2").reshape(height, -1).view(np.uint8)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(rows.tobytes())), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
