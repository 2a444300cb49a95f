"""Text of strangers inside Markdown: labels, column names and file names are shown, and never read as markup."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

LONGEST_TEXT = 200

_MARKUP = re.compile(r"[\\`*_{}\[\]#|~!]")
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "@": "&#64;"}


def plain(text: object) -> str:
    """One line of text in which nothing is markup, a tag, a link or a mention.

    >>> plain("<b>a|b</b>")
    '&lt;b&gt;a\\\\|b&lt;/b&gt;'
    """
    line = " ".join("".join(letter if letter.isprintable() else " " for letter in str(text)).split())
    line = line if len(line) <= LONGEST_TEXT else line[: LONGEST_TEXT - 1] + "…"
    escaped = "".join(_ENTITIES.get(letter, letter) for letter in line)
    escaped = _MARKUP.sub(lambda found: "\\" + found.group(), escaped)
    # what GitHub makes a link of without being asked
    escaped = escaped.replace("://", "&#58;//")
    return re.sub(r"(?i)\bwww\.", lambda found: found.group()[:3] + "&#46;", escaped)


def table(headings: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Lines of a Markdown table; headings and cells are plain text."""
    lines = ["| " + " | ".join(plain(heading) for heading in headings) + " |"]
    lines.append("|" + "---|" * len(headings))
    lines += ["| " + " | ".join(plain(cell) for cell in row) + " |" for row in rows]
    return lines


def number(value: object) -> str:
    """A number in few digits, such as 0.9852, 12.35 or 45,873; "–" for none."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "–"
    if isinstance(value, int) or (abs(value) < 1e15 and value == int(value)):
        return f"{int(value):,}" if abs(value) < 10**15 else f"{float(value):.4g}"
    if abs(value) >= 1e9 or abs(value) < 1e-4:
        return f"{value:.3g}"
    return f"{value:,.4g}" if abs(value) < 1_000 else f"{value:,.0f}"
