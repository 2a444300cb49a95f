"""Entries of questions and answers, from whatever files, as one set: which questions have which answers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from flambeau.data.tables.spelling import number_of
from flambeau.errors import DataError
from flambeau.schema import Finding

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
        noun = "entry" if strange == 1 else "entries"
        message = f"left out: {strange:,} {noun} with neither question nor answer, or of another shape"
        yield Finding("warning", "other-shape", message)
    if unanswered:
        yield Finding(
            "warning", "unanswered", f"{number_of(unanswered, 'question')} without an answer left out"
        )
    if unasked:
        yield Finding("warning", "unasked", f"{number_of(unasked, 'answer')} without a question left out")
