"""Runs on this machine: the one that a person means, and the list of all."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from flambeau.errors import NEAR_STEM, RunError, did_you_mean
from flambeau.records.folder import RUNS, RunFolder

# The score that a person asks for first; the one that chose the best epoch may be another, such as log_loss.
MAIN_METRIC = {"classification": "accuracy", "multilabel": "average_precision", "regression": "rmse"}


@dataclass(frozen=True)
class RunRow:
    """One run of a list.

    Args:
        name: its folder, as `find_run` takes it.
        when: local time at which it began.
        task: or "" where it is not known yet.
        status: "finished" or "unfinished".
        metric: the name of the main score, or "".
        score: its value, low and high end of the interval; empty where the run has no scores yet.
        seconds: wall time of the run, or None.
    """

    name: str
    when: datetime
    task: str
    status: str
    metric: str
    score: dict[str, float]
    seconds: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain values; the time in ISO 8601."""
        return {**asdict(self), "when": self.when.isoformat(timespec="seconds")}


def is_run(path: Path | str) -> bool:
    """Whether this is the folder of a run: it has a log."""
    return RunFolder(path).log.is_file()


def find_run(name: str | Path | None = None) -> RunFolder:
    """The run that a person means: a folder, a name under runs/, or with None the newest one.

    Raises:
        RunError: there is no such run; the nearest name is told.
    """
    runs = newest_runs(RUNS)
    if name is None:
        if not runs:
            raise RunError("there is no run yet", where=RUNS.resolve(), command="flambeau train YOUR_DATA")
        return runs[0]
    for candidate in (Path(name), RUNS / name):
        if is_run(candidate):
            return RunFolder(candidate)
    known = [run.name for run in runs]
    if Path(name).is_dir():
        raise RunError("this folder is not a run: it has no log.jsonl", where=name, command="flambeau runs")
    raise RunError(
        f"there is no run '{name}'", hint=nearest_run(Path(name).name, known), command="flambeau runs"
    )


def nearest_run(name: str, known: Iterable[str]) -> str:
    """Name the run that was probably meant; nothing where only the number is alike.

    >>> nearest_run("fotos-1", ["photos-1"]), nearest_run("scans-1", ["news-1"])
    ("did you mean 'photos-1'?", '')
    """

    def stem(one: str) -> str:
        return re.sub(r"-\d+$", "", one).lower()

    near = [one for one in known if difflib.SequenceMatcher(None, stem(name), stem(one)).ratio() >= NEAR_STEM]
    meant = did_you_mean(name, near)
    return meant if meant.startswith("did") else ""


def list_runs(root: Path = RUNS) -> list[RunRow]:
    """The runs under a folder, newest first. A run whose files are damaged is listed without its scores."""
    return [_describe(run) for run in newest_runs(root)]


def newest_runs(root: Path = RUNS) -> list[RunFolder]:
    """The runs under a folder, the one that was written to last first."""
    if not root.is_dir():
        return []
    runs = [RunFolder(folder) for folder in root.iterdir() if is_run(folder)]
    return sorted(runs, key=lambda run: (run.log.stat().st_mtime_ns, run.name), reverse=True)


def _describe(run: RunFolder) -> RunRow:
    try:
        scores = run.read_json("scores.json")
        task, test, seconds = str(scores["task"]), dict(scores["test"]), float(scores["seconds"])
    except (RunError, KeyError, TypeError, ValueError):
        task, test, seconds = "", {}, None
    metric = MAIN_METRIC.get(task, "")
    if metric not in test:
        metric = next(iter(test), "")
    # written once, when the run begins; the log is written to its end, and again by resume
    began = run.environment if run.environment.is_file() else run.log
    return RunRow(
        name=run.path.name,
        when=datetime.fromtimestamp(began.stat().st_mtime),
        task=task,
        status="finished" if run.finished else "unfinished",
        metric=metric,
        score=dict(test.get(metric, {})),
        seconds=seconds,
    )
