"""A source and a separate test source as one set of samples, and the fingerprint of such a set."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np

from flambeau.data.samples import PictureArray, PictureFiles, Samples
from flambeau.data.scans.patients import are_person_codes
from flambeau.errors import DataError

TEST_PREFIX = "test: "


def join_test(samples: Samples, test: Samples) -> Samples:
    """Samples of two sources, the second of which is the test part.

    A test part that the first source has of its own is trained on: the person named another one.
    """
    first = np.full(len(samples), "train", dtype=object)
    if samples.parts is not None:
        first[samples.parts == "valid"] = "valid"
    columns = None
    if samples.columns is not None and test.columns is not None:
        columns = {name: np.concatenate([own, test.columns[name]]) for name, own in samples.columns.items()}
    groups = samples.groups
    if (
        groups is not None
        and test.groups is not None
        and are_person_codes(groups)
        and are_person_codes(test.groups)
    ):
        groups = np.concatenate([groups, test.groups])
    elif groups is not None:
        groups = np.concatenate([groups, groups.max() + 1 + np.arange(len(test))])
    return replace(
        samples,
        ids=samples.ids + tuple(f"{TEST_PREFIX}{name}" for name in test.ids),
        targets=np.concatenate([samples.targets, test.targets]),
        pictures=None if columns is not None else _join_pictures(samples, test),
        columns=columns,
        parts=np.concatenate([first, np.full(len(test), "test", dtype=object)]),
        groups=groups,
        digests=samples.digests + test.digests,
        findings=samples.findings + test.findings,
    )


def _join_pictures(samples: Samples, test: Samples) -> PictureFiles | PictureArray:
    first, second = samples.pictures, test.pictures
    if isinstance(first, PictureFiles) and isinstance(second, PictureFiles):
        names = [str(first.path(i).resolve()) for i in range(len(first))]
        names += [str(second.path(i).resolve()) for i in range(len(second))]
        return PictureFiles(Path(), tuple(names))
    if (
        isinstance(first, PictureArray)
        and isinstance(second, PictureArray)
        and first.pixels.shape[1:] == second.pixels.shape[1:]
    ):
        return PictureArray(np.concatenate([first.pixels, second.pixels]))
    raise DataError(
        "the test pictures are of another kind than the others",
        got="files and arrays, or arrays of different sizes",
        expected="both as files, or both as arrays of one size",
    )


def fingerprint(samples: Samples) -> str:
    """blake2b over every sample's name, content and target, in order."""
    digest = hashlib.blake2b(digest_size=16)
    for name, content in zip(samples.ids, samples.digests, strict=True):
        digest.update(f"{name}\0{content}\0".encode())
    if samples.series is None:
        digest.update(np.ascontiguousarray(samples.targets).tobytes())
    else:  # its targets are windows of the same values
        digest.update(np.ascontiguousarray(samples.series.values).tobytes())
        digest.update(np.ascontiguousarray(samples.series.times).tobytes())
    return digest.hexdigest()
