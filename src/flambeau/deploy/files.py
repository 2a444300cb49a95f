"""The files of a bundle, read without torch: which they are, whether they are whole, and plain values within limits.

A bundle may come from a stranger, so nothing here trusts a name, a size, a type or a depth that a file claims.
"""

from __future__ import annotations

import json
import math
import os
import re
from pathlib import Path
from typing import Any

from flambeau import __version__
from flambeau.errors import RunError
from flambeau.records.files import digest_file
from flambeau.records.runs import is_run

FORMAT = 1
WEIGHTS, VERSIONS, FACTS, CARD = "weights.safetensors", "versions.json", "facts.json", "MODEL_CARD.md"
SCHEMA, MODEL, PREPARATION = "schema.json", "model.json", "preparation.json"
LABELS, SCORES, RECIPE = "labels.json", "scores.json", "recipe.yaml"
SEEN, FAMILIAR = "seen.safetensors", "familiar.safetensors"

# What every bundle of this format has, and what came later, or is absent where nothing was trained.
REQUIRED = (WEIGHTS, SCHEMA, MODEL, PREPARATION, LABELS, SCORES, RECIPE)
OPTIONAL = (FACTS, CARD, SEEN, FAMILIAR)

# A vocabulary of three million words takes this much; whatever is larger was made to fill the memory.
MOST_JSON_BYTES = 64 * 2**20
MOST_WEIGHT_BYTES = 64 * 2**30
MOST_FILES = 100
LONGEST_INTEGER = 19

PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}")


def is_bundle(folder: Path | str) -> bool:
    """Whether this is the folder of a bundle."""
    return (Path(folder) / VERSIONS).is_file()


def check_files(folder: Path) -> dict[str, Any]:
    """The content of versions.json, after every file was found to be as it was written.

    Equal digests tell damage, not intent: whoever alters a file can write its digest too.

    Raises:
        RunError: no bundle, a damaged or altered one, or one of a format that this version does not know.
    """
    versions = read_mapping(folder, VERSIONS)
    if versions.get("format") != FORMAT:
        raise _other_format(folder, versions)
    digests = versions.get("digests")
    if not isinstance(digests, dict) or len(digests) > MOST_FILES:
        raise damaged(folder / VERSIONS, type(digests).__name__, "a digest for every file")
    missing = [name for name in REQUIRED if name not in digests]
    if missing:
        raise damaged(folder / VERSIONS, f"no digest of {missing[0]}", "a digest for every file")
    unlisted = [name for name in OPTIONAL if name not in digests and os.path.lexists(folder / name)]
    if unlisted:
        raise _altered(folder, unlisted[0], "a file that was added", None)
    for name, digest in digests.items():
        if not PLAIN_NAME.fullmatch(name) or name == VERSIONS:
            raise damaged(folder / VERSIONS, repr(name)[:120], "names of files in this folder")
        path = folder / name
        if path.is_symlink() or not path.is_file() or path.stat().st_size > MOST_WEIGHT_BYTES:
            raise _altered(folder, name, "a link, no file, or one beyond all limits", digest)
        if digest_file(path) != digest:
            raise _altered(folder, name, "other content", digest)
    return versions


def read_mapping(folder: Path, name: str) -> dict[str, Any]:
    """One JSON object of a bundle. Raises RunError where it is absent, damaged, or something else."""
    value = read_plain(folder, name)
    if not isinstance(value, dict):
        raise damaged(folder / name, type(value).__name__, "a mapping")
    return value


def read_plain(folder: Path, name: str) -> Any:
    """One JSON file of a bundle. Raises RunError where it is absent or damaged."""
    path = folder / name
    try:
        if path.is_symlink() or path.stat().st_size > MOST_JSON_BYTES:
            raise damaged(path, "a link, or a file beyond all limits", f"at most {MOST_JSON_BYTES:,} bytes")
        return json.loads(
            path.read_text(encoding="utf-8"),
            parse_constant=_finite_number,
            parse_float=_finite_number,
            parse_int=_whole_number,
        )
    except FileNotFoundError:
        raise RunError(
            "there is no finished model in this folder",
            where=path,
            expected="a run that came to its end, or a bundle",
            command=f"flambeau resume {folder.parent}" if is_run(folder.parent) else "",
        ) from None
    except (ValueError, RecursionError, OSError) as error:
        raise damaged(path, str(error)[:200], "JSON as flambeau wrote it") from error


def damaged(path: Path, got: object, expected: object = None) -> RunError:
    """The error for a file of a bundle that does not say what it must."""
    return RunError("this file of the bundle is damaged", where=path, got=got, expected=expected)


def read_scores(folder: Path) -> dict[str, Any]:
    """scores.json of a bundle; empty for one that was never tested. Raises RunError where its shape is another."""
    scores = read_mapping(folder, SCORES)
    sound = not scores or (
        isinstance(scores.get("task"), str)
        and _mapping_of(scores.get("test"), _is_score)
        and _mapping_of(scores.get("baselines", {}), lambda values: _mapping_of(values, _is_number))
        and _mapping_of(scores.get("rows", {}), lambda count: type(count) is int and count >= 0)
        and all(isinstance(scores.get(key, ""), str) for key in ("verdict", "method", "metric", "kept"))
        and isinstance(scores.get("calibration"), dict | None)
    )
    if not sound:
        raise damaged(
            folder / SCORES, "values of other kinds", "task, test, rows and baselines as flambeau wrote them"
        )
    return scores


def read_facts(folder: Path) -> dict[str, Any]:
    """facts.json of a bundle; empty for one that was written before there were facts.

    Raises:
        RunError: its shape is another.
    """
    if not (folder / FACTS).is_file():
        return {}
    facts = read_mapping(folder, FACTS)
    findings = facts.get("findings", [])
    sound = all(
        isinstance(facts.get(key, {}), dict | None)
        for key in ("data", "split", "weights", "versions", "target")
    )
    if not (sound and isinstance(findings, list) and all(isinstance(item, dict) for item in findings)):
        raise damaged(
            folder / FACTS,
            "values of other kinds",
            "data, split, weights and findings as flambeau wrote them",
        )
    return facts


def _mapping_of(value: Any, is_right: Any) -> bool:
    return isinstance(value, dict) and all(is_right(inner) for inner in value.values())


def _is_number(value: Any) -> bool:
    return value is None or (isinstance(value, int | float) and not isinstance(value, bool))


def _is_score(value: Any) -> bool:
    return isinstance(value, dict) and "value" in value and all(_is_number(inner) for inner in value.values())


def _finite_number(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text[:40]} is no number of JSON, or too large for one")
    return number


def _whole_number(text: str) -> int:
    if len(text) > LONGEST_INTEGER:
        raise ValueError(f"a whole number of {len(text):,} digits")
    return int(text)


def _altered(folder: Path, name: str, got: str, digest: Any) -> RunError:
    return RunError(
        "this bundle was altered or damaged after it was written",
        where=folder / name,
        got=got,
        expected=f"digest {digest}" if isinstance(digest, str) and len(digest) == 64 else "a digest",
        command=f"flambeau verify {folder.parent}" if is_run(folder.parent) else "",
    )


def _other_format(folder: Path, versions: dict[str, Any]) -> RunError:
    by = str(versions.get("flambeau"))
    known = re.fullmatch(r"[0-9A-Za-z.+]{1,40}", by) is not None
    return RunError(
        "this bundle has another format",
        where=folder,
        got=f"format {str(versions.get('format'))[:20]}" + (f", written by flambeau {by}" if known else ""),
        expected=f"format {FORMAT}, which flambeau {__version__} reads",
        command=f"pip install 'flambeau=={by}'" if known else "",
    )
