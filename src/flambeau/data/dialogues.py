"""Questions and answers from files as people write them: intents, pairs, conversations; JSON, YAML, CSV."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from flambeau.data.source import core_errors
from flambeau.data.table import TABLE_SUFFIXES, read_table
from flambeau.data.text_files import decode_text
from flambeau.errors import DataError, did_you_mean
from flambeau.schema import Finding

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
EXPECTED = (
    '{"intents": [{"tag": …, "patterns": […], "responses": […]}]}, {"conversations": [[question, answer], …]}, a list '
    'of {"question": …, "answer": …}, or a table with the columns question and answer'
)

# (tag, questions, answers): any of the answers answers any of the questions
Entry = tuple[str, list[str], list[str]]


@dataclass(frozen=True)
class Dialogues:
    """Questions, and what may be answered.

    Args:
        questions: one a row.
        right: for each row, the place of its answer.
        tags: of the answers; "" where they have none.
        answers: of each place, one or several texts, of which any may be said.
        findings: of reading.
    """

    questions: tuple[str, ...]
    right: tuple[int, ...]
    tags: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]
    findings: tuple[Finding, ...] = ()


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
        raise _other_shape(file, f"a mapping with {', '.join(map(_spelled, list(value)[:6])) or 'nothing in it'}")
    if not isinstance(value, list) or not value:
        raise _other_shape(file, "nothing" if value in (None, []) else type(value).__name__)
    yield from (_of_conversations if isinstance(value[0], list) else _of_rows)(value, file)


def _of_conversations(rows: list[Any], file: Path) -> Iterator[Entry]:
    """Lists of a question and its answers; in a list of more than two, each further one answers the question too.

    What is no list is an entry without question and answer. Raises DataError where nothing is one.
    """
    if rows and not any(isinstance(row, list) for row in rows):
        raise _other_shape(file, f"{type(rows[0]).__name__} among the conversations: {_spelled(rows[0])[:80]}")
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


def plain_question(text: str) -> str:
    """A question as it is compared: in small letters, without marks at its ends."""
    return text.lower().strip(" ?!.,;:\"'")


def answers_of_tags(entries: list[Entry]) -> tuple[dict[str, dict[str, None]], int]:
    """The answers of each tag that stands for one intent, in whatever entry they are; and how many tags do not.

    A tag over questions that each have one answer of their own, and not all the same, is a mere category.
    """
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry[0] and entry[2]:
            found.setdefault(entry[0], []).append(entry)
    joined = {
        tag: dict.fromkeys(text for _, _, texts in own for text in texts)
        for tag, own in found.items()
        if any(len(questions) != 1 or len(texts) > 1 for _, questions, texts in own)
        or len({tuple(texts) for _, _, texts in own}) == 1
    }
    return joined, len(found) - len(joined)


def join_entries(entries: list[Entry], source: str, max_pairs: int) -> Dialogues:
    """Entries as one set: those of one tag are one answer, and so is all that answers one question.

    Raises DataError where there are no answers, no questions, or too many.
    """
    of_tags, categories = answers_of_tags(entries)
    answers: dict[tuple[str, str], dict[str, None]] = {}
    asked: dict[tuple[str, str], dict[str, None]] = {}
    unanswered = unasked = strange = 0
    for tag, questions, texts in entries:
        if not texts and tag not in of_tags:
            unanswered += len(questions)
            strange += not questions
            continue
        unasked += not questions and tag not in of_tags
        for question in questions:
            key = ("tag", tag) if tag in of_tags else ("question", plain_question(question))
            answers.setdefault(key, {}).update(of_tags.get(tag) or dict.fromkeys(texts))
            asked.setdefault(key, {})[question] = None
    unasked += sum(("tag", tag) not in asked for tag in of_tags)
    count = sum(len(questions) for questions in asked.values())
    if not asked or count > max_pairs:
        raise _wrong_count(source, count, unanswered, len(entries), max_pairs)
    # questions with the very same answers are one
    places: dict[tuple[str, tuple[str, ...]], int] = {}
    rows = []
    for key, spelled in asked.items():
        name = (key[1] if key[0] == "tag" else "", tuple(answers[key]))
        place = places.setdefault(name, len(places))
        rows += [(question, place) for question in spelled]
    return Dialogues(
        tuple(question for question, _ in rows),
        tuple(place for _, place in rows),
        tuple(tag for tag, _ in places),
        tuple(texts for _, texts in places),
        (*_left_out(unanswered, unasked, strange), *_told_categories(categories)),
    )


def _wrong_count(source: str, count: int, unanswered: int, entries: int, max_pairs: int) -> DataError:
    if count:
        return DataError(
            "there are more questions than the limit",
            where=source,
            got=f"{count:,}",
            expected=f"at most {max_pairs:,}",
            command="--set chat.max_pairs=…",
        )
    return DataError(
        "there are no answers in these data" if unanswered else "there are no questions in these data",
        where=source,
        got=f"{unanswered:,} questions without an answer" if unanswered else f"{entries:,} entries",
        expected=EXPECTED,
    )


def _told_categories(categories: int) -> Iterator[Finding]:
    if categories:
        message = (
            f"{categories:,} tags stand over questions with different answers: they are read as categories, and each "
            "question keeps its own answer"
        )
        yield Finding("info", "categories", message)


def _left_out(unanswered: int, unasked: int, strange: int) -> Iterator[Finding]:
    if strange:
        message = f"{strange:,} entries have neither question nor answer, or another shape, and are left out"
        yield Finding("warning", "other-shape", message)
    if unanswered:
        yield Finding("warning", "unanswered", f"{unanswered:,} questions have no answer and are left out")
    if unasked:
        yield Finding("warning", "unasked", f"{unasked:,} answers have no question and are left out")
