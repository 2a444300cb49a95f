"""Where predictions are written, checked before anything slow is imported or done."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from flambeau.errors import UsageError

FORMATS = (".parquet", ".csv", ".jsonl")


def check_target(out: str | Path, paths: Sequence[str]) -> Path:
    """The file to write, told to be wrong before any work is done.

    Raises:
        UsageError: its name does not tell a format, it is a folder, or it is one of the inputs or among them.
    """
    target = Path(out).expanduser()
    if target.suffix.lower() not in FORMATS:
        raise UsageError(
            "predictions cannot be written so",
            got=str(out),
            expected="a file that ends in .parquet, .csv or .jsonl",
        )
    if target.is_dir():
        raise UsageError("a folder stands where the predictions would be written", where=target)
    full = target.resolve()
    for given in paths:
        source = Path(given).expanduser()
        if full == source.resolve() or (target.exists() and source.exists() and target.samefile(source)):
            raise UsageError("the predictions would overwrite their own input", got=f"--out {out}")
    return target
