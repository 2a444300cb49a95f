"""Questions that are nearly equal: kept on one side of a split, and told where their answers differ."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from flambeau.data.dialogue.joining import Dialogues, Entry, answers_of_tags, plain_question
from flambeau.data.duplicates import merge_groups
from flambeau.data.tables.spelling import number_of
from flambeau.data.texts.near_texts import find_near_texts
from flambeau.schema import Finding

_SHOWN = 5
_SHOWN_LETTERS = 60


def group_questions(
    dialogues: Dialogues, fewest: int, *, near_too: bool = True
) -> tuple[np.ndarray, tuple[Finding, ...]]:
    """(n,) int64, equal for questions that must stay on one side: the same or nearly the same; and what is told.

    Questions are nearly equal as texts are, see `find_near_texts`. Where that leaves fewer than `fewest` groups, only
    the same ones are kept together; `near_too`: whether nearly equal ones are looked for at all.
    """
    questions = dialogues.questions
    plain = [plain_question(text) for text in questions]
    same, near = find_near_texts(plain, np.arange(len(plain))) if near_too else ([], [])
    alike = np.arange(len(plain), dtype=np.int64)
    for one, other in (*same, *near):
        alike[other] = alike[one]
    equal = np.unique(plain, return_inverse=True)[1].reshape(-1).astype(np.int64)
    groups = merge_groups(equal, alike)
    assert groups is not None
    apart = int(groups.max(initial=-1)) + 1 < fewest
    findings = []
    for pairs, code, how in (
        (same, "contradicting-answers", "differ in case, marks and blanks at most"),
        (near, "near-contradictions", "are nearly equal"),
    ):
        if against := [pair for pair in pairs if _other_answers(dialogues, *pair)]:
            count = number_of(len(against), "pair of questions", "pairs of questions")
            shown = [questions[place][:_SHOWN_LETTERS] for place in against[0]]
            message = (
                f"{count} that {how}, with different answers: is each right? '{shown[0]}' | '{shown[1]}'"
            )
            findings.append(Finding("warning", code, message, _listed(questions, against)))
    if near:
        told = number_of(len(near), "question is", "questions are")
        kept = "they stay on one side of the split"
        if apart:
            kept = (
                "too few others are left to keep them on one side of the split, so the test may look too good"
            )
        message = f"{told} nearly equal to another one; {kept}"
        findings.append(
            Finding("warning" if apart else "info", "near-duplicates", message, _listed(questions, near))
        )
    return equal if apart else groups, tuple(findings)


def _other_answers(dialogues: Dialogues, one: int, other: int) -> bool:
    """Whether no text answers both questions."""
    places = dialogues.right[one], dialogues.right[other]
    return not set(dialogues.answers[places[0]]) & set(dialogues.answers[places[1]])


def told_several(entries: Sequence[Entry]) -> tuple[Finding, ...]:
    """A remark where entries of their own give one question different answers."""
    of_tags = answers_of_tags(entries)
    answers: dict[str, set[tuple[str, ...]]] = {}
    for tag, questions, texts in entries:
        if texts and tag not in of_tags:
            for question in questions:
                answers.setdefault(plain_question(question), set()).add(tuple(texts))
    several = [question for question, found in answers.items() if len(found) > 1]
    if not several:
        return ()
    count = number_of(len(several), "question has", "questions have")
    message = (
        f"{count} different answers in different entries, such as '{several[0][:_SHOWN_LETTERS]}': all count as right, "
        "and one after the other is said; if they contradict each other, keep the right one"
    )
    return (Finding("info", "several-answers", message, tuple(several[:_SHOWN])),)


def _listed(questions: Sequence[str], pairs: list[tuple[int, int]]) -> tuple[str, ...]:
    return tuple(f"{questions[one]} | {questions[other]}" for one, other in pairs[:_SHOWN])
