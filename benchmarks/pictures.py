"""Pictures a second up to the model's door: flambeau's feed against DataLoader with torchvision.

    python benchmarks/pictures.py [memory] [files]

`memory`: CIFAR-shaped pictures in memory, cropped, mirrored and normalised to float32.
`files`: folders of JPEGs, resized to 224 x 224, mirrored and normalised; the first epoch (digests and cache
included) and a later one. The JPEGs are scikit-learn's two sample photos, each time cut a little differently.

One process, one thread, arms interleaved, CPU time; the ratios are the result. Beside them stands what the machine
could do at best: copying memory, and Pillow's decoder alone.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from common import SHARED, print_header, tell
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torch.utils.data import DataLoader, Dataset
from torchvision.transforms import transforms as v1
from torchvision.transforms import v2

from flambeau.data.batches import Batches, gather_pixels
from flambeau.data.cache import cached_pictures
from flambeau.data.cache_store import clear_cache
from flambeau.data.pictures.source import digest_pictures
from flambeau.data.samples import PictureFiles, Samples
from flambeau.schema import Schema
from flambeau.transforms.augment import augment_pictures, change_pictures
from flambeau.transforms.image import PicturePreparation

CPU = torch.device("cpu")
BATCH, FILE_BATCH, ROUNDS = 128, 32, 5
MEAN, STD = (0.49, 0.48, 0.45), (0.25, 0.24, 0.26)
Arm = Callable[[], int]


class Pictures(Dataset[tuple[Tensor, int]]):
    """A person's data set: one picture, opened and changed at a time."""

    def __init__(
        self, open_one: Callable[[int], object], count: int, change: Callable[[object], Tensor]
    ) -> None:
        self.open_one, self.count, self.change = open_one, count, change

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, position: int) -> tuple[Tensor, int]:
        return self.change(self.open_one(position)), position


def walk_loader(data: Pictures, batch_size: int = BATCH) -> int:
    """One epoch of a shuffling DataLoader in this process."""
    return sum(len(targets) for _, targets in DataLoader(data, batch_size=batch_size, shuffle=True))


def feed(pixels: np.ndarray, layout: torch.memory_format, batch: int = BATCH, **augment: Any) -> Batches:
    """Flambeau's batches of these pictures, as training makes them."""
    preparation = PicturePreparation(pixels.shape[1:3], 3, 8, mean=MEAN, std=STD)  # type: ignore[arg-type]
    change = partial(
        change_pictures,
        augment=partial(augment_pictures, largest=preparation.largest, **augment),
        normalise=partial(preparation.normalise, overwrite=True),
        layout=layout,
    )
    count = len(pixels)
    gather = gather_pixels(pixels, preparation.shape, CPU)
    return Batches(gather, torch.zeros(count, dtype=torch.int64), torch.arange(count), batch, 0, change)


def walk_feed(batches: Batches, epochs: int = 1) -> int:
    """Epochs of flambeau's batches."""
    return sum(batch.count for epoch in range(epochs) for batch in batches.epoch(epoch))


def compare(arms: dict[str, Arm], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Pictures a second of CPU time of each arm, all arms in turn, the first round thrown away."""
    rates: dict[str, list[float]] = {name: [] for name in arms}
    for number in range(rounds + 1):
        for name, arm in arms.items():
            started = time.process_time()
            count = arm()
            if number:
                rates[name].append(count / (time.process_time() - started))
    for name, values in rates.items():
        print(f"  {name:46} {tell(values, 0)} pictures/s")
    return rates


def tell_ratio(rates: dict[str, list[float]], own: str, rival: str) -> None:
    """The ratio of two arms, round by round."""
    ratios = [one / other for one, other in zip(rates[own], rates[rival], strict=True)]
    print(f"  {own} / {rival}: {tell(ratios, 2)}")


def copy_rate() -> int:
    """Bytes a second of copying 64 MiB, as the machine's ceiling."""
    source, target = np.ones(2**26, dtype=np.uint8), np.empty(2**26, dtype=np.uint8)
    np.copyto(target, source)
    started = time.process_time()
    for _ in range(10):
        np.copyto(target, source)
    return int(10 * 2**26 / (time.process_time() - started))


def in_memory() -> None:
    """CIFAR-shaped pictures: crop with a border of 4, mirror, normalise to float32."""
    count = 10_000
    pixels = np.random.default_rng(0).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)
    tensors = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    usual = [v1.RandomCrop(32, 4, padding_mode="reflect"), v1.RandomHorizontalFlip()]
    old = v1.Compose([v1.ToPILImage(), *usual, v1.ToTensor(), v1.Normalize(MEAN, STD)])
    steps = [v2.RandomCrop(32, 4, padding_mode="reflect"), v2.RandomHorizontalFlip()]
    new = v2.Compose([*steps, v2.ToDtype(torch.float32, scale=True), v2.Normalize(MEAN, STD)])
    options: dict[str, Any] = {"crop": 4, "flip_horizontal": True}
    arms: dict[str, Arm] = {
        "DataLoader, torchvision v1 on PIL": partial(
            walk_loader, Pictures(lambda at: pixels[at], count, old)
        ),
        "DataLoader, torchvision v2 on tensors": partial(
            walk_loader, Pictures(lambda at: tensors[at], count, new)
        ),
        "flambeau": partial(walk_feed, feed(pixels, torch.contiguous_format, **options)),
        "flambeau, channels last": partial(walk_feed, feed(pixels, torch.channels_last, **options)),
    }
    print(f"in memory: {count:,} pictures of 32 x 32, batches of {BATCH}, crop, mirror, normalise")
    rates = compare(arms)
    for rival in list(arms)[:2]:
        tell_ratio(rates, "flambeau", rival)
        tell_ratio(rates, "flambeau, channels last", rival)


def write_jpegs(folder: Path, size: tuple[int, int], count: int, quality: int) -> None:
    """`count` different JPEGs of (width, height)."""
    photos = [Image.fromarray(photo) for photo in load_sample_images().images]
    for number in range(count):
        photo = photos[number % 2]
        x, y = number // 2 % 20, number // 40
        cut = photo.crop((x, y, photo.width - 20 + x, photo.height - 20 + y))
        cut.resize(size, Image.Resampling.BICUBIC).save(folder / f"{number}.jpg", quality=quality)


def open_file(path: Path) -> Image.Image:
    with path.open("rb") as file:
        return Image.open(file).convert("RGB")


def read_folder(files: PictureFiles, side: int) -> np.ndarray:
    """All pictures from their files into a cache that was empty: digests, decoding, resizing, writing."""
    clear_cache()
    schema = Schema("pictures", "classification", "folder", ("a", "b"))
    targets = np.zeros(len(files), dtype=np.int64)
    samples = Samples(schema, files.names, targets, files, digests=digest_pictures(files))
    return cached_pictures(samples, size=(side, side), channels=3, threads=1).pixels


def from_files(folder: Path, what: str, side: int = 224) -> None:
    """Epochs from the pictures of one folder."""
    paths = sorted(folder.rglob("*.jp*g"))
    files = PictureFiles(folder, tuple(path.relative_to(folder).as_posix() for path in paths))
    steps = [v1.Resize((side, side)), v1.RandomHorizontalFlip(), v1.ToTensor(), v1.Normalize(MEAN, STD)]
    data = Pictures(lambda at: open_file(paths[at]), len(paths), v1.Compose(steps))
    options: dict[str, Any] = {"batch": FILE_BATCH, "flip_horizontal": True}
    cached = read_folder(files, side)
    arms: dict[str, Arm] = {
        "Pillow decodes, nothing else": lambda: len([open_file(path) for path in paths]),
        "DataLoader, PIL, torchvision v1": partial(walk_loader, data, FILE_BATCH),
        "flambeau, first epoch": lambda: walk_feed(
            feed(read_folder(files, side), torch.contiguous_format, **options)
        ),
        "flambeau, later epochs": partial(walk_feed, feed(cached, torch.contiguous_format, **options), 5),
        "flambeau, later epochs, channels last": partial(
            walk_feed, feed(cached, torch.channels_last, **options), 5
        ),
    }
    mean = sum(path.stat().st_size for path in paths) / len(paths) / 1000
    print(f"files: {len(paths)} {what}, {mean:.0f} kB each, to {side} x {side}")
    rates = compare(arms, 3)
    for own in list(arms)[2:]:
        tell_ratio(rates, own, "DataLoader, PIL, torchvision v1")


def main() -> None:
    """Run the parts named on the command line, or all."""
    torch.set_num_threads(1)
    parts = sys.argv[1:] or ["memory", "files"]
    print_header("pictures: CPU time, one thread")
    print(f"copying memory: {copy_rate() / 1e9:.1f} GB/s")
    if "memory" in parts:
        in_memory()
    if "files" in parts:
        with tempfile.TemporaryDirectory() as scratch:
            os.environ["FLAMBEAU_CACHE"] = str(Path(scratch) / "cache")
            for size, count, quality in (((500, 375), 200, 92), ((1600, 1200), 60, 90)):
                folder = Path(scratch) / f"{size[0]}"
                folder.mkdir()
                write_jpegs(folder, size, count, quality)
                from_files(folder, f"JPEGs of {size[0]} x {size[1]}")
            if (SHARED / "images" / "photos_small").is_dir():
                from_files(SHARED / "images" / "photos_small", "pictures of photos_small", 64)


if __name__ == "__main__":
    main()
