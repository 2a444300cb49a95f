"""Findings about picture files that need no decoding: their sizes, and formats that give the class away."""

from __future__ import annotations

from pathlib import PurePosixPath

import numpy as np

from flambeau.data.samples import PictureFiles, Samples
from flambeau.schema import Finding

_MOST_FILES = 100_000
_FEWEST_FILES = 20
_SMALL_SHARE = 0.03
_TELLING_SHARE = 0.95
_LISTED = 20


def check_pictures_on_disk(samples: Samples) -> list[Finding]:
    """Files far smaller than the others, and file formats that tell the class."""
    pictures = samples.pictures
    if not isinstance(pictures, PictureFiles) or len(samples) < _FEWEST_FILES:
        return []
    return [*_check_file_sizes(samples, pictures), *_check_formats(samples, pictures)]


def _check_file_sizes(samples: Samples, pictures: PictureFiles) -> list[Finding]:
    # Asking for the size of a file takes microseconds on a disk and milliseconds on a network.
    chosen = np.unique(np.linspace(0, len(samples) - 1, min(len(samples), _MOST_FILES)).astype(np.int64))
    sizes = np.zeros(len(chosen), dtype=np.int64)
    for at, index in enumerate(chosen):
        try:
            sizes[at] = pictures.path(int(index)).stat().st_size
        except OSError:
            # Reading tells of files that are gone; here they have no size to be suspicious of.
            sizes[at] = -1
    median = float(np.median(sizes[sizes >= 0])) if (sizes >= 0).any() else 0.0
    small = chosen[(sizes >= 0) & (sizes < _SMALL_SHARE * median)]
    if not len(small):
        return []
    count = f"{len(small):,} picture files are" if len(small) > 1 else "1 picture file is"
    message = (
        f"{count} far smaller than the others (median {_kilobytes(median)}): often blank or broken pictures; "
        "they are kept, so look at them"
    )
    size_of = dict(zip(chosen.tolist(), sizes.tolist(), strict=True))
    shown = tuple(f"{samples.ids[index]}: {_kilobytes(size_of[int(index)])}" for index in small[:_LISTED])
    return [Finding("warning", "suspicious-file-sizes", message, shown)]


def _check_formats(samples: Samples, pictures: PictureFiles) -> list[Finding]:
    """Warn where the ending of a file's name tells its class: traces of the encoding are easy to learn."""
    if samples.schema.task != "classification":
        return []
    endings = np.array([PurePosixPath(name).suffix.lower().replace("jpeg", "jpg") for name in pictures.names])
    formats, codes = np.unique(endings, return_inverse=True)
    if len(formats) < 2:
        return []
    table = np.zeros((len(formats), len(samples.schema.classes)), dtype=np.int64)
    np.add.at(table, (codes.reshape(-1), samples.targets), 1)
    told = table.max(axis=1).sum() / len(samples)
    majority = table.sum(axis=0).max() / len(samples)
    if majority >= _TELLING_SHARE or (1 - told) > (1 - _TELLING_SHARE) * (1 - majority):
        return []
    message = (
        "the file format tells the class: a model may learn the traces of the encoding and not what is in "
        "the picture; convert all pictures to one format from originals of one kind"
    )
    shown = tuple(
        f"{ending or 'no ending'}: {samples.schema.classes[int(row.argmax())]}"
        for ending, row in zip(formats, table, strict=True)
    )
    return [Finding("warning", "format-tells-class", message, shown)]


def _kilobytes(size: float) -> str:
    return f"{size / 1000:.1f} kB"
