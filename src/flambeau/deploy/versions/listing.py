"""What is in the store: one row a version, with its tags, its main score and the fingerprint of its data."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flambeau.deploy.files import read_facts, read_scores
from flambeau.deploy.versions.index import read_index
from flambeau.deploy.versions.store import model_names, present_versions, store_folder
from flambeau.errors import RunError
from flambeau.records.runs import MAIN_METRIC


@dataclass(frozen=True)
class VersionRow:
    """One version of a model.

    Args:
        name, version: as in NAME@VERSION.
        path: of the bundle.
        tags: that point to it now.
        task: or "" where the bundle was never tested.
        metric: the name of the main score, or "".
        score: its value, low and high end of the interval; empty where there is none.
        registered: local time in ISO 8601.
        origin: where it was registered from.
        fingerprint: of the data that it was trained on, or "".
        note: the person's.
    """

    name: str
    version: int
    path: Path
    tags: tuple[str, ...]
    task: str
    metric: str
    score: dict[str, float]
    registered: str
    origin: str
    fingerprint: str
    note: str

    def to_json(self) -> dict[str, Any]:
        """Plain values."""
        return {**asdict(self), "path": str(self.path), "tags": list(self.tags)}


def list_versions(store: Path | None = None) -> list[VersionRow]:
    """All versions in the store, by name, the newest first.

    A version whose files are damaged is listed without its score. Raises RunError for a damaged index.
    """
    return [row for name in model_names(store) for row in versions_of(name, store)]


def versions_of(name: str, store: Path | None = None) -> list[VersionRow]:
    """The versions of one model, the newest first; empty where there is no such model."""
    folder = store_folder(store) / name
    index = read_index(folder)
    rows = []
    for version in reversed(present_versions(folder, index)):
        known = index.versions[version]
        path = folder / str(version)
        task, metric, score, fingerprint = _told_by(path)
        rows.append(
            VersionRow(
                name,
                version,
                path,
                tuple(index.tags_of(version)),
                task,
                metric,
                score,
                str(known.get("registered", "")),
                str(known.get("from", "")),
                fingerprint,
                str(known.get("note", "")),
            )
        )
    return rows


def _told_by(bundle: Path) -> tuple[str, str, dict[str, float], str]:
    """Task, main metric, its score and the data's fingerprint, as far as the bundle tells them."""
    try:
        scores = read_scores(bundle)
        data = read_facts(bundle).get("data")
    except RunError:
        return "", "", {}, ""
    task, test = str(scores.get("task", "")), scores.get("test", {})
    metric = MAIN_METRIC.get(task, "")
    if metric not in test:
        metric = next(iter(test), "")
    fingerprint = str(data.get("fingerprint", "")) if isinstance(data, dict) else ""
    return task, metric, dict(test.get(metric, {})), fingerprint
