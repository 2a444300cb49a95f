"""One run's folder: where each file stands, how it is written, its log, and the digests of a finished run."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from flambeau.errors import RunError
from flambeau.records.files import digest_file, saving, to_json, write_bytes, write_json, write_text

RUNS = Path("runs")


class RunFolder:
    """The folder of a run. Its attributes are the places of its files, whether or not they exist yet.

    Args:
        path: the folder; it is not created.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.recipe = self.path / "recipe.yaml"
        self.split = self.path / "split.json"
        self.data = self.path / "data.json"
        self.environment = self.path / "environment.json"
        self.log = self.path / "log.jsonl"
        self.scores = self.path / "scores.json"
        self.evaluation = self.path / "evaluation.safetensors"
        self.worst = self.path / "worst.json"
        self.checkpoints = self.path / "checkpoints"
        self.model = self.path / "model"
        self.plots = self.path / "plots"
        self.report = self.path / "report.html"
        self.digests = self.path / "digests.json"
        self._log_mended = False

    def __repr__(self) -> str:
        return f"RunFolder({str(self.path)!r})"

    @property
    def name(self) -> str:
        """The last part of the path, such as "photos-1"."""
        return self.path.resolve().name

    @property
    def finished(self) -> bool:
        """Whether the run came to its end: its digests are written last."""
        return self.digests.is_file()

    @classmethod
    def of_bundle(cls, bundle: Path) -> RunFolder:
        """A bundle that stands by itself: it has a run's recipe and scores, and is its own model."""
        folder = cls(bundle)
        folder.model = bundle
        return folder

    @classmethod
    def create(cls, out: Path | None, name_hint: str) -> RunFolder:
        """Make a new, empty run folder.

        Args:
            out: the folder that the person named, or None for runs/NAME-1, NAME-2 and so on.
            name_hint: what the run is about, such as the name of the data; made safe for a file name.

        Raises:
            RunError: `out` is a file or holds something already, or cannot be written to.
        """
        if out is not None:
            check_free(out)
            with saving(out):
                out.mkdir(parents=True, exist_ok=True)
            return cls(out)
        stem = re.sub(r"[^\w.-]+", "-", Path(name_hint).name).strip("-.") or "run"
        taken = [_number(folder.name, stem) for folder in RUNS.glob("*")] if RUNS.is_dir() else []
        number = max(taken, default=0) + 1
        with saving(RUNS):
            RUNS.mkdir(parents=True, exist_ok=True)
            while True:
                folder = RUNS / f"{stem}-{number}"
                try:
                    folder.mkdir()  # the system lets only one of two commands make it
                    return cls(folder)
                except FileExistsError:
                    number += 1

    def write_json(self, name: str, value: Any) -> None:
        """Write one of the run's JSON files atomically; `name` is relative to the folder."""
        write_json(self.path / name, value)

    def write_text(self, name: str, text: str) -> None:
        """Write one of the run's text files atomically; `name` is relative to the folder."""
        write_text(self.path / name, text)

    def write_bytes(self, name: str, data: bytes) -> None:
        """Write one of the run's files atomically; `name` is relative to the folder."""
        write_bytes(self.path / name, data)

    def read_json(self, name: str) -> Any:
        """Read one of the run's JSON files. Raises RunError where it is absent or damaged."""
        path = self.path / name
        try:
            return json.loads(path.read_text(encoding="utf-8"))
        except FileNotFoundError:
            raise RunError(f"this run has no {name}", where=self.path, hint=self._what_is_missing()) from None
        except (UnicodeDecodeError, json.JSONDecodeError) as error:
            raise RunError(
                f"{name} is damaged", where=path, got=str(error), command=f"flambeau verify {self.path}"
            ) from error

    def _what_is_missing(self) -> str:
        if not self.path.is_dir():
            return "there is no such folder"
        if not self.log.is_file():
            return "this folder does not look like a run"
        return (
            "" if self.finished else f"the run is not finished; flambeau resume {self.path} goes on with it"
        )

    def append(self, record: Mapping[str, Any]) -> None:
        """Add one record to log.jsonl and hand it to the system, so that a killed process loses none.

        A last line that an earlier kill tore is cut off first, so that the log stays one record a line.
        """
        with saving(
            self.log,
            kept="all earlier records and checkpoints are kept",
            command=f"flambeau resume {self.path}",
        ):
            if not self._log_mended:
                _cut_torn_line(self.log)
                self._log_mended = True
            with self.log.open("a", encoding="utf-8") as stream:
                stream.write(to_json(dict(record)) + "\n")

    def read_log(self, kinds: Iterable[str] | None = None) -> list[dict[str, Any]]:
        """The records of log.jsonl, of the given kinds or all; a torn last line is left out.

        Raises:
            RunError: a line before the last is damaged.
        """
        if not self.log.is_file():
            return []
        lines = self.log.read_bytes().split(b"\n")
        records = []
        for number, line in enumerate(lines, start=1):
            if not line:
                continue
            try:
                records.append(json.loads(line))
            except ValueError as error:
                if number == len(lines):
                    break
                raise RunError("the log is damaged", where=f"{self.log}:{number}", got=str(error)) from error
        wanted = None if kinds is None else set(kinds)
        return [record for record in records if wanted is None or record.get("kind") in wanted]

    def write_digests(self, only: Iterable[str] | None = None) -> None:
        """Write digests.json: a digest of every file of the folder. This is what marks a run as finished.

        Args:
            only: names (relative, with forward slashes) whose digests are renewed in a finished run, such as
                a report that was made again; the others stay, so that damage to them is still noticed.
        """
        if only is None:
            files = {name: digest_file(self.path / name) for name in self._file_names()}
        else:
            files = dict(self.read_json("digests.json")["files"])
            files.update({name: digest_file(self.path / name) for name in only})
        self.write_json("digests.json", {"digest": "blake2b, 32 bytes", "files": dict(sorted(files.items()))})

    def verify_digests(self) -> dict[str, str]:
        """Files that are not as they were when the run finished: name → "changed", "missing" or "new".

        Raises:
            RunError: the run is not finished, so it has no digests.
        """
        recorded: dict[str, str] = self.read_json("digests.json")["files"]
        present = set(self._file_names())
        differences = {name: "missing" for name in recorded if name not in present}
        differences |= {name: "new" for name in present if name not in recorded}
        for name in present & recorded.keys():
            if digest_file(self.path / name) != recorded[name]:
                differences[name] = "changed"
        return dict(sorted(differences.items()))

    def _file_names(self) -> list[str]:
        paths = (path for path in self.path.rglob("*") if path.is_file() and path != self.digests)
        return sorted(path.relative_to(self.path).as_posix() for path in paths)


def check_free(out: Path | None) -> None:
    """Raise RunError if the folder that the person named for a run is a file or holds something already."""
    if out is None:
        return
    file = next((place for place in (out, *out.parents) if place.is_file()), None)
    if file is not None:
        raise RunError(
            "a run needs a folder, and this is a file", where=file, expected="--out NAME_OF_A_FOLDER"
        )
    if out.is_dir() and any(out.iterdir()):
        run = RunFolder(out)
        unfinished = run.log.is_file() and not run.finished
        raise RunError(
            "this folder is not empty, and nothing in it will be overwritten",
            where=out,
            expected="a new or empty folder: another --out, or none for the next free name under runs/",
            command=f"flambeau resume {out}" if unfinished else "",
        )


def _number(folder: str, stem: str) -> int:
    """The 3 of "photos-3", or 0 where the folder is named otherwise."""
    match = re.fullmatch(re.escape(stem) + r"-(\d+)", folder)
    return int(match.group(1)) if match else 0


def _cut_torn_line(path: Path) -> None:
    """Shorten a file to the end of its last whole line."""
    if not path.is_file() or path.is_symlink():
        return
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        os.truncate(path, whole)
