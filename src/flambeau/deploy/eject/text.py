"""Python text from values: templates, literals, calls with a reason beside each chosen argument."""

from __future__ import annotations

import keyword
import math
from collections.abc import Iterable
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined, Template

from flambeau.errors import RunError

LINE = 100


class Code(str):
    """Text that is code already, such as a variable's name, and not a string to be quoted."""


@cache
def script_template(name: str) -> Template:
    """One of the texts in `templates`, of which scripts are made."""
    environment = Environment(
        loader=PackageLoader("flambeau.deploy.eject"),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,  # Python, not HTML
    )
    return environment.get_template(f"{name}.py.j2")


def literal(value: Any) -> str:
    """A value as Python text; `Code` stays as it is."""
    if isinstance(value, Code):
        return str(value)
    if isinstance(value, tuple):
        inner = ", ".join(literal(one) for one in value)
        return f"({inner},)" if len(value) == 1 else f"({inner})"
    if isinstance(value, list):
        return f"[{', '.join(literal(one) for one in value)}]"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{literal(k)}: {literal(v)}" for k, v in value.items()) + "}"
    if isinstance(value, float) and not math.isfinite(value):
        return f"float({str(value)!r})"
    return repr(value)


def name_of(text: str) -> str:
    """A name for a script: of an argument, a class, a function; a text that is more than a name would be run.

    Raises RunError for what is no name.
    """
    if not isinstance(text, str) or not text.isidentifier() or keyword.iskeyword(text):
        raise RunError(
            "a script cannot be written with this name",
            got=repr(text)[:80],
            expected="a name as in Python: letters, digits and underscores",
            hint="look where it comes from: it may be a piece of code that somebody put there",
        )
    return text


def call(name: str, /, *positional: Any, reasons: Any = None, **named: Any) -> Code:
    """A call; with reasons, one argument a line with its reason as a comment.

    Args:
        name: of what is called.
        positional, named: arguments; strings are quoted, `Code` is not.
        reasons: argument → why it has this value.

    Raises:
        RunError: an argument has a name that is none.
    """
    told: dict[str, str] = {key: reason for key, reason in (reasons or {}).items() if key in named and reason}
    if not told:
        arguments = [literal(one) for one in positional]
        arguments += [f"{name_of(key)}={literal(value)}" for key, value in named.items()]
        return Code(f"{name}({', '.join(arguments)})")
    lines = [f"    {literal(one)}," for one in positional]
    for key, value in named.items():
        comment = f"  # {one_line(told[key])}" if key in told else ""
        lines.append(f"    {name_of(key)}={literal(value)},{comment}")
    return Code("\n".join([f"{name}(", *lines, ")"]))


def indented(text: str, levels: int = 1) -> str:
    """The same lines further in; empty ones stay empty."""
    return "\n".join(f"{'    ' * levels}{line}" if line else "" for line in text.split("\n"))


def one_line(text: str) -> str:
    """A reason for a comment: without line ends."""
    return " ".join(str(text).split())


def wrapped(opening: str, parts: Iterable[str], closing: str) -> str:
    """Parts in lines as full as they may be, where they do not fit into one; the formatter leaves them so."""
    lines = [""]
    for part in parts:
        if len(lines[-1]) + len(part) > LINE:
            lines.append("")
        lines[-1] += f"{' ' if lines[-1] else ''}{part},"
    if len(lines) == 1:
        return f"{opening}{lines[0][:-1]}{closing}"
    return "\n".join([opening, *(f"    {line}" for line in lines), f"{closing}  # fmt: skip"])
