"""The folder of parts: predictions that are done, each part wholly there or not at all, and the plan they belong to."""

from __future__ import annotations

import io
import json
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pyarrow
from pyarrow import parquet

from flambeau.deploy.batch.plan import PLAN, Plan
from flambeau.errors import RunError, UsageError
from flambeau.records.files import saving, write_bytes

LISTING, LOCK = "inputs.jsonl", "lock"
_PART = re.compile(r"part-(\d{12})-(\d{12})\.parquet$")
_OWN = re.compile(
    rf"({_PART.pattern}|{re.escape(PLAN)}|{re.escape(LISTING)}|{LOCK})$|\..+\.[0-9a-f]{{8}}\.tmp$"
)
_UNREAD = b"unread"


class Parts:
    """Predictions on their way into one file.

    Attributes:
        folder: `TARGET.parts`, beside the file that they will become.
        next_row: the first input that has no predictions yet.

    Args:
        target: the file to be.
    """

    def __init__(self, target: Path) -> None:
        self.folder = target.with_name(target.name + ".parts")
        self.next_row = 0

    @contextmanager
    def hold(self) -> Iterator[None]:
        """Make the folder and keep other processes out of it. It goes again if nothing was planned.

        Raises:
            RunError: it cannot be made or written to, or another process writes there.
            UsageError: the folder holds files that are not parts.
        """
        with saving(self.folder):
            if self.folder.is_file():
                raise UsageError(
                    "a file stands where the parts of the predictions would be", where=self.folder
                )
            self.folder.mkdir(parents=True, exist_ok=True)
            foreign = [path.name for path in self.folder.iterdir() if not _OWN.match(path.name)]
            if foreign:
                raise UsageError(
                    "the folder for the parts of the predictions holds other files",
                    where=self.folder,
                    got=", ".join(sorted(foreign)[:5]),
                    expected="a folder of flambeau's own, or none; --out names another file",
                )
            lock = self._lock()
        with lock:
            try:
                yield
            finally:
                if self.folder.exists() and not (self.folder / PLAN).exists():
                    self.remove()

    def _lock(self) -> io.BufferedWriter:
        """The lock, held by this process alone, and still the file of that name: another may have removed it."""
        path = self.folder / LOCK
        while True:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (
                suppress(FileNotFoundError),
                ExitStack() as stack,
            ):  # it may go at any moment until it is held
                lock = stack.enter_context(path.open("wb"))
                _lock(lock, self.folder)
                if os.path.samestat(os.fstat(lock.fileno()), path.stat()):
                    stack.pop_all()
                    return lock

    def begin(self, plan: Plan, schema: pyarrow.Schema, *, restart: bool, command: str) -> None:
        """Go on after the last whole part of the same plan, or begin anew.

        Raises:
            RunError: parts of another plan are there, and `restart` is not set.
        """
        if restart or not self._all():
            self._unlink(PLAN)
        if plan.check_same(self.folder, command):
            self._count(schema)
            return
        for path in self._all():
            path.unlink()
        plan.write(self.folder)

    def _count(self, schema: pyarrow.Schema) -> None:
        expected = 0
        for path in self._all():
            start, stop = _range(path)
            whole = start == expected and self._is_whole(path, stop - start, schema)
            if whole:
                expected = stop
            else:
                path.unlink()
        self.next_row = expected

    @staticmethod
    def _is_whole(path: Path, rows: int, schema: pyarrow.Schema) -> bool:
        try:
            with parquet.ParquetFile(path) as file:
                return file.metadata.num_rows == rows and file.schema_arrow.equals(schema)
        except (pyarrow.ArrowException, OSError):
            return False

    def add(self, table: pyarrow.Table, unread: Mapping[str, int]) -> None:
        """Write the next part.

        Args:
            table: the predictions of the next inputs.
            unread: column → values in these inputs that are not of its kind.
        """
        stop = self.next_row + table.num_rows
        stream = io.BytesIO()
        parquet.write_table(table.replace_schema_metadata({_UNREAD: json.dumps(dict(unread))}), stream)
        name = f"part-{self.next_row:012}-{stop:012}.parquet"
        write_bytes(self.folder / name, stream.getvalue())
        self.next_row = stop

    def tables(self) -> Iterator[tuple[pyarrow.Table, dict[str, int]]]:
        """All parts in their order, with what `add` was given."""
        for path in self._all():
            table = parquet.read_table(path)
            unread = json.loads((table.schema.metadata or {}).get(_UNREAD, b"{}"))
            yield table.replace_schema_metadata(None), unread

    def remove(self) -> None:
        """Remove the folder with all that it holds."""
        # The plan goes first: without it, what a kill leaves here is thrown away.
        self._unlink(PLAN)
        # The lock goes last: who makes a new one finds nothing of this batch.
        for path in sorted(self.folder.iterdir(), key=lambda path: path.name == LOCK):
            if _OWN.match(path.name):
                path.unlink(missing_ok=True)
        with suppress(OSError):  # another process may have put its lock there
            self.folder.rmdir()

    def _all(self) -> list[Path]:
        return sorted(path for path in self.folder.iterdir() if _PART.match(path.name))

    def _unlink(self, name: str) -> None:
        (self.folder / name).unlink(missing_ok=True)


def _range(path: Path) -> tuple[int, int]:
    found = _PART.match(path.name)
    assert found is not None
    return int(found[1]), int(found[2])


def _lock(file: io.BufferedWriter, folder: Path) -> None:
    """Hold the file until the process ends, however it ends. Not on Windows, which has no such locks."""
    try:
        import fcntl
    except ImportError:
        return
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise RunError(
            "another process is writing these predictions", where=folder, expected="one at a time"
        ) from None
