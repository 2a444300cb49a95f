"""Whether a table of characters of SentencePiece (a double array, Aoe 1989) stays within itself and within bounds.

The library `tokenizers` looks up without checks: a table that points outside of itself ends the process.
"""

from __future__ import annotations

import base64
import binascii

import numpy as np

MOST_BYTES = 2**23
LABELS = np.arange(1, 256, dtype=np.int64)
LABEL_BITS, LEAF_BIT, WIDE_BIT, VALUE_BITS = 0x800000FF, 1 << 8, 1 << 9, 0x7FFFFFFF


def charsmap_fault(text: str, growth: int) -> str:
    """What is wrong with a table in base 64; "" for one that makes of one byte at most `growth`."""
    try:
        data = base64.b64decode(text, validate=True)
        size = int.from_bytes(data[:4], "little")
        if len(data) > MOST_BYTES or size % 4 or not 4 <= size <= len(data) - 4:
            return "a table of characters of a wrong size"
        units = np.frombuffer(data[4 : 4 + size], dtype="<u4").astype(np.int64)
        written = data[4 + size :]
        written.decode("utf-8")
    except (binascii.Error, ValueError):
        return "a table of characters that is none"
    values = _values(units)
    if values is None:
        return "a table of characters that points outside of itself"
    for place, depth in values:
        if place >= len(written) or written[place] & 0xC0 == 0x80:
            return "a table of characters that points outside of its texts"
        end = written.find(b"\0", place)
        if (len(written) if end < 0 else end) - place > growth * depth:
            return "a table of characters that makes texts longer"
    return ""


def _values(units: np.ndarray) -> list[tuple[int, int]] | None:
    """What every key stands for, and the least bytes of such a key; None where a unit points outside."""
    found: list[tuple[int, int]] = []
    seen = np.zeros(len(units), dtype=bool)
    nodes, depth = np.zeros(1, dtype=np.int64), 0
    while len(nodes):
        seen[nodes] = True
        unit = units[nodes]
        bases = nodes ^ ((unit >> 10) << np.where(unit & WIDE_BIT, 8, 0))
        if (bases | 0xFF).max() >= len(units):
            return None
        leaves = bases[(unit & LEAF_BIT) != 0]
        found += [(int(value), max(1, depth)) for value in units[leaves] & VALUE_BITS]
        below = bases[:, None] ^ LABELS
        fitting = (units[below] & LABEL_BITS) == LABELS
        nodes = np.unique(below[fitting])
        nodes, depth = nodes[~seen[nodes]], depth + 1
    return found
