"""Entries of questions and answers, from whatever files, joined, with what was left out told."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from flambeau.data.dialogue.check import told_several
from flambeau.data.dialogue.joining import Dialogues, Entry, answers_of_tags, join_entries
from flambeau.data.tables.spelling import number_of
from flambeau.errors import DataError
from flambeau.schema import Finding

EXPECTED = (
    '{"intents": [{"tag": …, "patterns": […], "responses": […]}]}, {"conversations": [[question, answer], …]}, a list '
    'of {"question": …, "answer": …}, or a table with the columns question and answer'
)


@dataclass(frozen=True)
class ReadDialogues(Dialogues):
    """Questions and answers, and what was found in reading them."""

    findings: tuple[Finding, ...] = ()


def dialogues_digest(dialogues: Dialogues) -> str:
    """A fingerprint of all questions and answers."""
    digest = hashlib.blake2b(digest_size=16)
    for part in (dialogues.questions, dialogues.right, dialogues.tags, dialogues.answers):
        digest.update(repr(part).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def check_entries(entries: list[Entry], source: str, max_pairs: int) -> ReadDialogues:
    """Entries as one set, and what was left out.

    Raises DataError where there are no answers, no questions, or too many.
    """
    of_tags = answers_of_tags(entries)
    joined = join_entries(entries)
    without = [(tag, questions) for tag, questions, texts in entries if not texts and tag not in of_tags]
    unanswered = sum(len(questions) for _, questions in without)
    strange = sum(not questions for _, questions in without)
    asked = {tag for tag, questions, _ in entries if questions}
    unasked = sum(bool(texts and not questions and tag not in of_tags) for tag, questions, texts in entries)
    unasked += sum(tag not in asked for tag in of_tags)
    count = len(joined.questions)
    if not count or count > max_pairs:
        raise _wrong_count(source, count, unanswered, len(entries), max_pairs)
    categories = len({tag for tag, _, texts in entries if tag and texts}) - len(of_tags)
    findings = (
        *_left_out(unanswered, unasked, strange),
        *_told_categories(categories),
        *told_several(entries),
    )
    return ReadDialogues(**vars(joined), findings=findings)


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
        got=f"{number_of(unanswered, 'question')} without an answer"
        if unanswered
        else number_of(entries, "entry", "entries"),
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
        count = number_of(strange, "entry", "entries")
        message = f"left out: {count} with neither question nor answer, or of another shape"
        yield Finding("warning", "other-shape", message)
    if unanswered:
        yield Finding(
            "warning", "unanswered", f"{number_of(unanswered, 'question')} without an answer left out"
        )
    if unasked:
        yield Finding("warning", "unasked", f"{number_of(unasked, 'answer')} without a question left out")
