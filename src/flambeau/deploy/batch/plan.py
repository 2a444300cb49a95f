"""What a batch of predictions is made from, so that only the same batch is gone on with."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from flambeau import __version__
from flambeau.deploy.files import FAMILIAR, MODEL, PREPARATION, SCHEMA, WEIGHTS
from flambeau.errors import RunError
from flambeau.records.files import digest_file, write_json

FORMAT = 1
PLAN = "plan.json"
_MODEL_FILES = (WEIGHTS, SCHEMA, MODEL, PREPARATION, FAMILIAR)
_WHAT = {
    "format": "the parts were written by another version",
    "flambeau": "the parts were written by another version",
    "model": "the model is another one",
    "count": "the inputs are others",
    "bytes": "the inputs are others",
    "inputs": "the inputs are others",
    "options": "the options are others",
    "torch": "torch is of another version, whose sums end in other digits",
    "columns": "the columns that are written are others",
}


class Fingerprint:
    """Names, sizes and times of change of the inputs, as a count, a sum and a digest."""

    def __init__(self) -> None:
        self.count = 0
        self.bytes = 0
        self._digest = hashlib.blake2b(digest_size=16)

    def add(self, name: str, path: Path, *, timed: bool = True) -> None:
        """Take in one file.

        Args:
            name: what the person calls it.
            path: where it is.
            timed: whether its time of change counts; an archive's files are as old as the cache.

        Raises:
            OSError: there is no such file, or its folder is closed.
        """
        status = path.stat()
        self.count += 1
        self.bytes += status.st_size
        changed = status.st_mtime_ns if timed else 0
        self._digest.update(f"{name!r} {status.st_size} {changed}\n".encode())

    def add_missing(self, name: str) -> None:
        """Take in a file that cannot be looked at."""
        self.count += 1
        self._digest.update(f"{name!r} missing\n".encode())

    @property
    def digest(self) -> str:
        """128 bits in hexadecimal."""
        return self._digest.hexdigest()


@dataclass(frozen=True)
class Plan:
    """What decides the predictions.

    Args:
        model: a digest of weights, preparation and schema.
        count, bytes, inputs: of the files, as in `Fingerprint`.
        options: of the command, where they change what is written; the order of torch's sums depends on threads.
        columns: names and types of what is written.
        torch, flambeau, format: the versions, and that of the parts.
    """

    model: str
    count: int
    bytes: int
    inputs: str
    options: dict[str, Any]
    columns: str
    torch: str = str(torch.__version__)
    flambeau: str = __version__
    format: int = FORMAT

    def write(self, folder: Path) -> None:
        """Write it into the folder of the parts."""
        write_json(folder / PLAN, asdict(self))

    def check_same(self, folder: Path, command: str) -> bool:
        """Whether there is a plan in the folder, which must be this one.

        Raises:
            RunError: it is of another batch; says what differs.
        """
        try:
            before = json.loads((folder / PLAN).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return False
        except (OSError, ValueError) as error:
            raise _refusal("its plan cannot be read", folder, command, None, error) from error
        now = json.loads(json.dumps(asdict(self)))
        for key, value in now.items():
            found = before.get(key) if isinstance(before, dict) else None
            if found != value:
                raise _refusal(_WHAT[key], folder, command, _told(key, found), _told(key, value))
        return True


def _told(key: str, value: Any) -> str:
    if key == "inputs":
        return "other names, sizes or times of change"
    if key == "options" and isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return f"{value:,} files" if key == "count" and isinstance(value, int) else str(value)


def _refusal(reason: str, folder: Path, command: str, before: Any, now: Any) -> RunError:
    return RunError(
        f"the predictions that were begun here cannot be gone on with: {reason}",
        where=folder,
        got=now,
        expected=before,
        hint="--restart throws the parts away and begins anew",
        command=f"{command} --restart" if command else "",
    )


def model_digest(bundle_folder: Path) -> str:
    """A digest of what decides a bundle's answers: weights, schema, architecture and preparation."""
    digest = hashlib.blake2b(digest_size=16)
    for name in _MODEL_FILES:
        if (bundle_folder / name).is_file():
            digest.update(f"{name} {digest_file(bundle_folder / name)}\n".encode())
    return digest.hexdigest()
