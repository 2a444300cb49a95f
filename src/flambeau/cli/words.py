"""Numbers, durations and aligned columns for the terminal. No heavy imports: `flambeau runs` is quick."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich.cells import cell_len


def number(value: float | None) -> str:
    """A score or a loss in few digits: 0.9871, 12.35, 45,873; "-" for None."""
    if value is None:
        return "-"
    size = abs(value)
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 10:
        return f"{value:.2f}"
    return f"{value:.4f}" if size >= 0.001 or size == 0 else f"{value:.1e}"


def printable(text: str) -> str:
    r"""A text without what steers a terminal and without what is no letter of any writing; lines and tabs stay.

    >>> printable("a\x1b[2Jb\ufffd\n")
    'a[2Jb\n'
    """
    return "".join(
        letter for letter in text if letter in "\n\t" or (letter.isprintable() and letter != "\ufffd")
    )


def short(value: Any) -> str:
    """A chosen value in a table: 0.003, true, 64 × 64, none."""
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list | tuple):
        return " × ".join(short(item) for item in value)
    return str(value)


def clock(seconds: float) -> str:
    """Time left: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def duration(seconds: float) -> str:
    """Time that went by: 8 s, 2 min 5 s, 1 h 12 min."""
    if seconds < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def size(count: float) -> str:
    """Bytes: 512 bytes, 3.4 MB, 1.2 GB."""
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= scale:
            return f"{count / scale:.1f} {unit}"
    return f"{count:.0f} bytes"


def counted(count: int, one: str, many: str = "") -> str:
    """A count with its noun: 1 sample, 1,797 samples."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def table(rows: Sequence[Sequence[str]], gap: str = "   ", headings: int = 1) -> list[str]:
    """Rows of text as aligned lines; a column of numbers (below its heading rows) is flush right."""
    if not rows:
        return []
    columns = list(zip(*rows, strict=True))
    widths = [max(cell_len(text) for text in column) for column in columns]
    right = [all(text[:1] in "-0123456789" for text in column[headings:] if text) for column in columns]
    lines = []
    for row in rows:
        cells = []
        for text, width, flush_right in zip(row, widths, right, strict=True):
            space = " " * (width - cell_len(text))
            cells.append(space + text if flush_right else text + space)
        lines.append(gap.join(cells).rstrip())
    return lines
