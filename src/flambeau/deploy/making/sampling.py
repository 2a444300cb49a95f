"""`flambeau sample` of a net that makes pictures: a sheet, a folder of pictures, or an array."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import numpy as np

from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.making.generators import require_generator
from flambeau.deploy.making.making import picture_png, png_of, sample_pixels, sheet_of
from flambeau.errors import UsageError
from flambeau.records import RunFolder
from flambeau.records.files import saving, write_bytes

MOST_ON_A_SHEET = 2500


def sample_run(run: RunFolder, count: int, *, seed: int = 0, out: Path | None = None) -> dict[str, Any]:
    """Make pictures and write them.

    Args:
        run: a finished run, or a bundle.
        count: of pictures.
        seed: the same seed and count give the same pictures.
        out: a PNG for one sheet, an NPZ for one array "images", a folder for a PNG a picture; samples/seed-SEED.png in
            the run's folder if None.

    Returns:
        "out", "count", "seed", "size" (height, width, channels) and "files".

    Raises:
        UsageError: the model predicts, the count is out of range, or the place is no PNG, NPZ or folder.
    """
    bundle = load_bundle(run.model)
    require_generator(bundle.schema, run.path)
    place = out or _usual_place(run, seed)
    suffix = place.suffix.lower()
    if suffix not in ("", ".png", ".npz"):
        raise UsageError(
            "pictures are written as a sheet, an array or a folder",
            got=f"--out {place}",
            expected="a name that ends in .png or .npz, or the name of a folder",
        )
    if suffix == ".png" and count > MOST_ON_A_SHEET:
        raise UsageError(
            f"a sheet of {count:,} pictures could not be looked at",
            expected=f"at most {MOST_ON_A_SHEET:,} on a sheet, or a folder or an array",
            command=f"flambeau sample {run.path} --count {count} --out pictures.npz",
        )
    pixels = sample_pixels(bundle, count, seed)
    files = _write(pixels, place, suffix)
    if out is None and run.finished:
        run.write_digests(only=[place.relative_to(run.path).as_posix()])
    return {"out": str(place), "count": count, "seed": seed, "size": list(pixels.shape[1:]), "files": files}


def sample_array(bundle: Bundle, count: int, seed: int, where: object) -> np.ndarray:
    """Pixels (count, height, width, channels). Raises UsageError for a model that predicts."""
    require_generator(bundle.schema, where)
    return sample_pixels(bundle, count, seed)


def _usual_place(run: RunFolder, seed: int) -> Path:
    if run.finished:
        return run.path / "samples" / f"seed-{seed}.png"
    return Path(f"{run.name}-seed-{seed}.png")


def _write(pixels: np.ndarray, place: Path, suffix: str) -> int:
    """Write the pictures; returns the number of files."""
    with saving(place):
        (place if suffix == "" else place.parent).mkdir(parents=True, exist_ok=True)
    if suffix == ".png":
        write_bytes(place, png_of(sheet_of(pixels)))
        return 1
    if suffix == ".npz":
        buffer = io.BytesIO()
        np.savez_compressed(buffer, images=pixels)
        write_bytes(place, buffer.getvalue())
        return 1
    for number, picture in enumerate(pixels, start=1):
        write_bytes(place / f"{number:0{len(str(len(pixels)))}d}.png", picture_png(picture))
    return len(pixels)
