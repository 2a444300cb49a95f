"""Questions and answers from files as people write them: intents, pairs, conversations; JSON, YAML, CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import yaml

from flambeau.data.dialogue.entries import EXPECTED, Dialogues, Entry, join_entries
from flambeau.data.source import core_errors
from flambeau.data.tables.table import TABLE_SUFFIXES, read_table
from flambeau.data.texts.files import decode_text
from flambeau.errors import DataError, did_you_mean

MOST_BYTES = 64 * 2**20
CHAT_SUFFIXES = (".yml", ".yaml", ".json", ".jsonl", ".csv", ".tsv")
QUESTION_NAMES = (
    "question",
    "questions",
    "pattern",
    "patterns",
    "utterance",
    "input",
    "prompt",
    "text",
    "user",
)
ANSWER_NAMES = ("answer", "answers", "response", "responses", "reply", "output", "completion", "bot")
TAG_NAMES = ("tag", "intent", "label", "class")


def read_dialogues(source: str, max_pairs: int) -> Dialogues:
    """Read a file, or all files of a folder.

    Raises:
        DataError: there is nothing there, a file is of another shape, or there are no answers.
    """
    path = Path(source).expanduser()
    if not path.exists():
        beside = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
        hint = did_you_mean(path.name, beside)
        raise DataError(
            f"there is no '{source}'", expected=EXPECTED, hint=hint if hint.startswith("did") else ""
        )
    files = [path]
    if path.is_dir():
        files = sorted(
            file for file in path.rglob("*") if file.suffix.lower() in CHAT_SUFFIXES and file.is_file()
        )
        if not files:
            raise DataError(
                "there are no questions and answers in this folder",
                where=path,
                expected=f"files that end in {', '.join(CHAT_SUFFIXES)}",
            )
    size = sum(file.stat().st_size for file in files)
    if size > MOST_BYTES:
        raise DataError(
            "these questions and answers are larger than the limit",
            where=path,
            got=f"{size:,} bytes",
            expected=f"at most {MOST_BYTES:,}",
        )
    entries = [entry for file in files for entry in read_entries(file)]
    return join_entries(entries, str(path), max_pairs)


def read_entries(file: Path) -> list[Entry]:
    """What one file holds. Raises DataError where it is damaged or of another shape."""
    suffix = file.suffix.lower()
    if suffix in (".csv", ".tsv", ".jsonl") or (suffix in TABLE_SUFFIXES and suffix not in (".json", ".txt")):
        with core_errors():
            table = read_table(file)
        return list(_of_rows(table.to_pylist(), file))
    loaders: dict[str, Callable[[str], Any]] = {".json": json.loads, ".yml": _safe_yaml, ".yaml": _safe_yaml}
    load = loaders.get(suffix)
    if load is None:
        raise DataError("this is no file of questions and answers", where=file, got=suffix, expected=EXPECTED)
    text, _ = decode_text(file.read_bytes())
    try:
        value = load(text)
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        kind = "JSON" if suffix == ".json" else "YAML"
        got = " ".join(str(error).split())[:200]
        raise DataError(f"this file is no {kind}", where=file, got=got, expected=EXPECTED) from error
    return list(_of_value(value, file))


class _PlainLoader(yaml.SafeLoader):
    """Safe YAML without aliases, by which a small file may unpack to any size."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read here")
        return super().compose_node(parent, index)


def _safe_yaml(text: str) -> Any:
    return yaml.load(text, Loader=_PlainLoader)  # a SafeLoader


def _of_value(value: Any, file: Path) -> Iterator[Entry]:
    if isinstance(value, dict):
        names = {_spelled(key).lower(): key for key in value}
        for name, read in (("intents", _of_rows), ("conversations", _of_conversations), ("pairs", _of_rows)):
            if name in names and isinstance(value[names[name]], list):
                yield from read(value[names[name]], file)
                return
        raise _other_shape(
            file, f"a mapping with {', '.join(map(_spelled, list(value)[:6])) or 'nothing in it'}"
        )
    if not isinstance(value, list) or not value:
        raise _other_shape(file, "nothing" if value in (None, []) else type(value).__name__)
    yield from (_of_conversations if isinstance(value[0], list) else _of_rows)(value, file)


def _of_conversations(rows: list[Any], file: Path) -> Iterator[Entry]:
    """Lists of a question and its answers; in a list of more than two, each further one answers the question too.

    What is no list is an entry without question and answer. Raises DataError where nothing is one.
    """
    if rows and not any(isinstance(row, list) for row in rows):
        raise _other_shape(
            file, f"{type(rows[0]).__name__} among the conversations: {_spelled(rows[0])[:80]}"
        )
    for row in rows:
        texts = _texts(row)
        if isinstance(row, list) and len(texts) >= 2:
            yield "", texts[:1], texts[1:]
        else:
            yield "", texts[:1] if isinstance(row, list) else [], []


def _of_rows(rows: list[Any], file: Path) -> Iterator[Entry]:
    for row in rows:
        if not isinstance(row, dict):
            raise _other_shape(file, f"{type(row).__name__} in the place of a mapping: {_spelled(row)[:80]}")
        values = {_spelled(key).lower().strip(): value for key, value in row.items()}
        questions, answers = (_first(values, names) for names in (QUESTION_NAMES, ANSWER_NAMES))
        if not values.keys() & set(QUESTION_NAMES):
            raise _other_shape(file, f"the keys {', '.join(list(values)[:8])}")
        yield _spelled(_first(values, TAG_NAMES) or ""), _texts(questions), _texts(answers)


def _first(values: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((values[name] for name in names if name in values), None)


def _texts(value: Any) -> list[str]:
    """The texts of a text or a list, without those that are empty; numbers and truths by their spelling."""
    items = value if isinstance(value, list) else [value]
    plain = (item for item in items if isinstance(item, str | int | float | bool))
    return [text for item in plain if (text := " ".join(_spelled(item).split()))]


def _spelled(value: Any) -> str:
    """As Python writes it; "" for a whole number with more digits than Python writes, or lists with such a one."""
    try:
        return str(value)
    except ValueError:
        return ""


def _other_shape(file: Path, got: str) -> DataError:
    return DataError(
        "this file has another shape than questions and answers", where=file, got=got, expected=EXPECTED
    )
