"""Columns of a table that hold pictures: what the pictures have in common, and their content as digests."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from flambeau.data.pictures.paths import require_pictures
from flambeau.data.pictures.source import digest_pictures, picture_facts
from flambeau.data.samples import PictureFiles
from flambeau.schema import Finding, PictureFacts, Schema


def column_files(values: np.ndarray) -> tuple[np.ndarray, PictureFiles]:
    """The rows (positions) that have a picture, and their files."""
    rows = np.flatnonzero([value is not None for value in values])
    return rows, PictureFiles(Path(), tuple(values[row].path.as_posix() for row in rows))


def joint_facts(arrays: Sequence[np.ndarray]) -> tuple[PictureFacts, tuple[Finding, ...]]:
    """What the pictures of several columns have in common: one model sees them all at one size with 8 bits."""
    each = [picture_facts(column_files(values)[1]) for values in arrays]
    facts = [one for one, _ in each]
    joint = PictureFacts(
        channels=max(one.channels for one in facts),
        bits=8,
        height=int(np.median([one.height for one in facts])),
        width=int(np.median([one.width for one in facts])),
        varied=any(one.varied for one in facts) or len({(one.height, one.width) for one in facts}) > 1,
    )
    return joint, tuple(dict.fromkeys(finding for _, told in each for finding in told))


def with_picture_facts(schema: Schema, arrays: Mapping[str, np.ndarray], findings: list[Finding]) -> Schema:
    """The schema with the facts of all pictures of its columns; `findings` grows by what was noticed.

    Raises:
        DataError: a column has no picture that can be used, or none that can be read.
    """
    names = schema.picture_columns
    if not names or schema.picture is not None:
        return schema
    require_pictures(schema.columns, arrays, findings)
    facts, told = joint_facts([arrays[name] for name in names])
    findings.extend(told)
    return replace(schema, picture=facts)


def digest_column(values: np.ndarray) -> np.ndarray:
    """(rows,) objects: the digest of each picture's content, or None; equal for equal files under any name."""
    rows, files = column_files(values)
    digests = np.empty(len(values), dtype=object)
    digests[rows] = digest_pictures(files)
    return digests


def with_content(columns: Mapping[str, np.ndarray], pictures: Sequence[str]) -> dict[str, np.ndarray]:
    """The columns with digests in place of pictures, for what compares rows."""
    return {name: digest_column(values) if name in pictures else values for name, values in columns.items()}
