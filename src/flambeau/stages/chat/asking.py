"""What a chatbot and its baselines find for held-out questions, in blocks, so that memory does not grow with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.feature_extraction.text import TfidfVectorizer
from torch import Tensor

from flambeau.data.dialogue.joining import plain_question
from flambeau.evaluation.answers import hits_within, likeness_blocks
from flambeau.evaluation.chat import answer_chances
from flambeau.models.chat import ChatModel
from flambeau.stages.chat.training import ChatMaterial
from flambeau.transforms.dialogue import ChatPreparation

HITS_WITHIN = (1, 5)
# similarities of a block of questions, 64 MB
MOST_AT_ONCE = 2**23


@dataclass(frozen=True)
class Asked:
    """What a bot finds for n questions.

    Args:
        hits: "top1", "top5" → (n,) 0 or 1, whether a right answer is among as many.
        best: (n,) places of the answers that it finds first.
        sure: (n,) their probabilities.
    """

    hits: dict[str, np.ndarray]
    best: np.ndarray
    sure: np.ndarray


def ask_all(
    model: ChatModel, questions: Tensor, right: Sequence[Sequence[int]], preparation: ChatPreparation
) -> Asked:
    """Ask a bot everything.

    Args:
        model: both nets.
        questions: (n, longest) pieces, at least one row.
        right: places of all right answers of each.
        preparation: with the temperature and the doubt.
    """
    hits, best, sure = [], [], []
    done = 0
    for likeness in likeness_blocks(model.finder, questions):
        hits.append(_hits(likeness, right[done : done + len(likeness)]))
        chances = answer_chances(likeness, preparation.temperature, preparation.doubt)[:, :-1]
        best.append(chances.argmax(axis=1))
        sure.append(chances.max(axis=1))
        done += len(likeness)
    return Asked(_joined(hits), np.concatenate(best), np.concatenate(sure))


def baseline_hits(material: ChatMaterial, rows: np.ndarray) -> dict[str, dict[str, np.ndarray]]:
    """Name → "top1", "top5" → (rows,) 0 or 1 by counted words (TF-IDF): the nearest training question, and answer."""
    dialogues = material.dialogues
    known = [plain_question(text) for text in material.questions(material.split.train)]
    asked = [plain_question(text) for text in material.questions(rows)]
    answers = [" ".join([tag, *texts]) for tag, texts in zip(dialogues.tags, dialogues.answers, strict=True)]
    counter = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 4), sublinear_tf=True).fit(
        [*known, *answers]
    )
    to_known, to_answers = counter.transform(known), counter.transform(answers)
    of_known = np.array(dialogues.right)[material.split.train]
    right = material.right(rows)
    questions = counter.transform(asked)
    found: dict[str, list[dict[str, np.ndarray]]] = {"nearest question": [], "nearest answer": []}
    for block in _blocks(len(asked), max(len(known), len(answers))):
        likeness = (questions[block] @ to_known.T).toarray()
        nearest = nearest_of_places(likeness, of_known, len(answers))
        found["nearest question"].append(_hits(nearest, right[block]))
        likeness = (questions[block] @ to_answers.T).toarray()
        found["nearest answer"].append(_hits(likeness, right[block]))
    return {name: _joined(blocks) for name, blocks in found.items()}


def nearest_of_places(likeness: np.ndarray, places: np.ndarray, count: int) -> np.ndarray:
    """(n, count) the largest similarity of the columns of each place; −1 for a place without one.

    >>> nearest_of_places(np.array([[0.1, 0.3, 0.2]]), np.array([2, 0, 2]), 3).tolist()
    [[0.3, -1.0, 0.2]]
    """
    order = np.argsort(places, kind="stable")
    there, starts = np.unique(places[order], return_index=True)
    nearest: np.ndarray[Any, Any] = np.full((len(likeness), count), -1.0)
    nearest[:, there] = np.maximum.reduceat(likeness[:, order], starts, axis=1)
    return nearest


def _blocks(count: int, width: int) -> Iterator[slice]:
    size = max(1, MOST_AT_ONCE // width)
    return (slice(begin, begin + size) for begin in range(0, count, size))


def _hits(likeness: np.ndarray, right: Sequence[Sequence[int]]) -> dict[str, np.ndarray]:
    return {f"top{most}": hits_within(likeness, right, most) for most in HITS_WITHIN}


def _joined(blocks: list[dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}
