"""Shapes in which people write questions and answers: intents, pairs and conversations, in JSON, YAML or a table."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import yaml

from flambeau.data.dialogue.joining import Entry
from flambeau.data.tables.table import TABLE_SUFFIXES, read_table
from flambeau.data.texts.files import decode_text

CHAT_SUFFIXES = (".yml", ".yaml", ".json", ".jsonl", ".csv", ".tsv")
YAML_SUFFIXES = (".yml", ".yaml")
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


class OtherShapeError(ValueError):
    """A file that holds no questions and answers; the message is what it holds."""


def chat_files(source: Path) -> list[Path]:
    """The file itself, or all files of a folder that may hold questions and answers, to any depth."""
    if source.is_file():
        return [source]
    return sorted(
        path for path in source.rglob("*") if path.suffix.lower() in CHAT_SUFFIXES and path.is_file()
    )


def read_entries(file: Path, on_note: Callable[[str, str], None] = lambda code, message: None) -> list[Entry]:
    """What one file holds; `on_note` is called with a short code and a sentence for what a table leaves out.

    Raises:
        OSError: it cannot be read.
        OtherShapeError: it is of another shape.
        ValueError: it is damaged, or of another kind.
    """
    suffix = file.suffix.lower()
    if suffix in (".csv", ".tsv", ".jsonl") or (suffix in TABLE_SUFFIXES and suffix not in (".json", ".txt")):
        return list(entries_of_rows(read_table(file, on_note=on_note).to_pylist()))
    text = decode_text(file.read_bytes())[0]
    if suffix == ".json":
        return list(entries_of_value(json.loads(text)))
    if suffix in YAML_SUFFIXES:
        return list(entries_of_value(yaml.load(text, Loader=AliasFreeLoader)))
    raise ValueError(f"{file}: got {suffix}, expected {', '.join(CHAT_SUFFIXES)}")


class AliasFreeLoader(yaml.SafeLoader):
    """Safe YAML without aliases, by which a small file may unpack to any size."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        """A node. Raises YAMLError for an alias."""
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not read here")
        return super().compose_node(parent, index)


def entries_of_value(value: Any) -> Iterator[Entry]:
    """Entries of what a JSON or YAML file holds. Raises OtherShapeError."""
    if isinstance(value, dict):
        names = {spelled_item(key).lower(): key for key in value}
        for name, read in (
            ("intents", entries_of_rows),
            ("conversations", entries_of_conversations),
            ("pairs", entries_of_rows),
        ):
            if name in names and isinstance(value[names[name]], list):
                yield from read(value[names[name]])
                return
        raise OtherShapeError(
            f"a mapping with {', '.join(map(spelled_item, list(value)[:6])) or 'nothing in it'}"
        )
    if not isinstance(value, list) or not value:
        raise OtherShapeError("nothing" if value in (None, []) else type(value).__name__)
    yield from (entries_of_conversations if isinstance(value[0], list) else entries_of_rows)(value)


def entries_of_conversations(rows: list[Any]) -> Iterator[Entry]:
    """Lists of a question and its answers; in a list of more than two, each further one answers the question too.

    What is no list is an entry without question and answer. Raises OtherShapeError where nothing is one.
    """
    if rows and not any(isinstance(row, list) for row in rows):
        raise OtherShapeError(
            f"{type(rows[0]).__name__} among the conversations: {spelled_item(rows[0])[:80]}"
        )
    for row in rows:
        texts = texts_of_item(row)
        if isinstance(row, list) and len(texts) >= 2:
            yield "", texts[:1], texts[1:]
            yield from [("", [], [])] * strange_items(row)
        else:
            yield "", texts[:1] if isinstance(row, list) else [], []


def entries_of_rows(rows: list[Any]) -> Iterator[Entry]:
    """Mappings of a question, or several, to its answers, under any of their usual names.

    What stands among the texts and is no text is an entry without question and answer. Raises OtherShapeError.
    """
    for row in rows:
        if not isinstance(row, dict):
            raise OtherShapeError(f"{type(row).__name__} in the place of a mapping: {spelled_item(row)[:80]}")
        check_names(row)
        values = {spelled_item(key).lower().strip(): value for key, value in row.items()}
        if not values.keys() & set(QUESTION_NAMES):
            raise OtherShapeError(f"the keys {', '.join(list(values)[:8])}")
        questions, answers = (first_named(values, names) for names in (QUESTION_NAMES, ANSWER_NAMES))
        tag = first_named(values, TAG_NAMES) or ""
        plain_tag = spelled_item(tag) if isinstance(tag, str | int | float | bool) else ""
        yield plain_tag, texts_of_item(questions), texts_of_item(answers)
        yield from [("", [], [])] * sum(map(strange_items, (questions, answers, tag)))


def check_names(names: Iterable[Any]) -> None:
    """Raises OtherShapeError for two names of questions, answers or tags that differ in case and blanks at most."""
    plain = [spelled_item(name).lower().strip() for name in names]
    twice = [name for name in (*QUESTION_NAMES, *ANSWER_NAMES, *TAG_NAMES) if plain.count(name) > 1]
    if twice:
        raise OtherShapeError(f"the name '{twice[0]}' twice")


def first_named(values: dict[str, Any], names: tuple[str, ...]) -> Any:
    """The value of the first of these names that is there."""
    return next((values[name] for name in names if name in values), None)


def texts_of_item(value: Any) -> list[str]:
    """The texts of a text or a list, without those that are empty; numbers and truths by their spelling."""
    items = value if isinstance(value, list) else [value]
    plain = (item for item in items if isinstance(item, str | int | float | bool))
    return [text for item in plain if (text := " ".join(spelled_item(item).split()))]


def strange_items(value: Any) -> int:
    """How many items of a text or a list are no text: mappings, lists in a list, and what is empty in a list."""
    items = value if isinstance(value, list) else [value] if value is not None else []
    return sum(not isinstance(item, str | int | float | bool) for item in items)


def spelled_item(value: Any) -> str:
    """As Python writes it; "" for a whole number with more digits than Python writes, or lists with such a one."""
    try:
        return str(value)
    except ValueError:
        return ""
