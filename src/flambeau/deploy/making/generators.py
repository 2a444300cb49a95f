"""Models that make pictures among those that answer: which is which, and what to type where the wrong one was named."""

from __future__ import annotations

from flambeau.errors import UsageError
from flambeau.schema import Schema

# task → what such a model does instead of answering samples, and by which command
WRITERS = {
    "language": ("writes texts", 'flambeau sample {run} --prompt "…"'),
    "chat": ("talks", "flambeau chat {run}"),
}


def require_generator(schema: Schema, where: object) -> None:
    """Raises UsageError for a model that makes no pictures."""
    if schema.task != "generate":
        raise UsageError(
            f"this model is for {schema.task}; it makes no pictures",
            where=where,
            expected="a run of flambeau train PICTURES --task generate",
            command=f"flambeau predict {where} YOUR_FILES",
        )


def refuse_generator(schema: Schema, verb: str, where: object) -> None:
    """Raises UsageError, telling what to type instead, for a model that makes pictures or texts where `verb` needs
    a model that answers samples.
    """
    if schema.task in WRITERS:
        what, command = WRITERS[schema.task]
        raise UsageError(
            f"this model {what}; it does not {verb}", where=where, command=command.format(run=where)
        )
    if schema.task == "generate":
        raise UsageError(
            f"this model makes pictures from noise; there is nothing to {verb}",
            where=where,
            command=f"flambeau sample {where} --count 64",
        )
