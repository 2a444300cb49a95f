"""Questions and answers as one set: which questions have which answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# (tag, questions, answers): any of the answers answers any of the questions
Entry = tuple[str, list[str], list[str]]
# among them spaces without a width, which come with pasted texts
SIGNS_AT_ENDS = " ?!.,;:\"'\u200b\u2060\ufeff"


@dataclass(frozen=True)
class Dialogues:
    """Questions, and what may be answered.

    Args:
        questions: one a row.
        right: for each row, the place of its answer.
        tags: of the answers; "" where they have none.
        answers: of each place, one or several texts, of which any may be said.
    """

    questions: tuple[str, ...]
    right: tuple[int, ...]
    tags: tuple[str, ...]
    answers: tuple[tuple[str, ...], ...]


def plain_question(text: str) -> str:
    """A question as it is compared, in training and later: small letters, single spaces, no signs at its ends."""
    return " ".join(text.lower().split()).strip(SIGNS_AT_ENDS)


def answers_of_tags(entries: Sequence[Entry]) -> dict[str, dict[str, None]]:
    """The answers of each tag that stands for one intent, in whatever entry they are.

    A tag over questions that each have one answer of their own, and not all the same, is a mere category.
    """
    found: dict[str, list[Entry]] = {}
    for entry in entries:
        if entry[0] and entry[2]:
            found.setdefault(entry[0], []).append(entry)
    return {
        tag: dict.fromkeys(text for _, _, texts in own for text in texts)
        for tag, own in found.items()
        if any(len(questions) != 1 or len(texts) > 1 for _, questions, texts in own)
        or len({tuple(texts) for _, _, texts in own}) == 1
    }


def join_entries(entries: Sequence[Entry]) -> Dialogues:
    """Entries as one set: those of one tag are one answer, and so is all that answers one question."""
    of_tags = answers_of_tags(entries)
    answers: dict[tuple[str, str], dict[str, None]] = {}
    asked: dict[tuple[str, str], dict[str, None]] = {}
    for tag, questions, texts in entries:
        if not texts and tag not in of_tags:
            continue
        for question in questions:
            key = ("tag", tag) if tag in of_tags else ("question", plain_question(question))
            answers.setdefault(key, {}).update(of_tags.get(tag) or dict.fromkeys(texts))
            asked.setdefault(key, {})[question] = None
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
    )


def places_of_texts(answers: Sequence[Sequence[str]]) -> dict[str, set[int]]:
    """For each text the places of all answers that say it: it is right, whichever question it was written for."""
    places: dict[str, set[int]] = {}
    for place, texts in enumerate(answers):
        for text in texts:
            places.setdefault(text, set()).add(place)
    return places


def right_answers(dialogues: Dialogues, rows: Sequence[int]) -> list[tuple[int, ...]]:
    """For each of these rows, the places of all answers that are right for its question."""
    places = places_of_texts(dialogues.answers)
    return [
        tuple(sorted(set().union(*(places[text] for text in dialogues.answers[dialogues.right[row]]))))
        for row in rows
    ]


def answer_pairs(dialogues: Dialogues, rows: Sequence[int]) -> list[tuple[str, str]]:
    """(question, answer) of these rows, with every text of its answer."""
    return [
        (plain_question(dialogues.questions[row]), text)
        for row in rows
        for text in dialogues.answers[dialogues.right[row]]
    ]


def compared_answers(dialogues: Dialogues) -> list[str]:
    """What each answer is compared by: its tag and its texts, in small letters."""
    return [
        " ".join([tag, *texts]).lower() for tag, texts in zip(dialogues.tags, dialogues.answers, strict=True)
    ]
