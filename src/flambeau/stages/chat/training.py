"""A chatbot on questions and answers: divided, made into numbers, both nets put together for training."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from flambeau.data.dialogue.check import group_questions
from flambeau.data.dialogue.entries import ReadDialogues, dialogues_digest
from flambeau.data.dialogue.files import read_dialogues
from flambeau.data.dialogue.joining import answer_pairs, compared_answers, plain_question, right_answers
from flambeau.data.known.named import place_of
from flambeau.data.split import Split, split_indices
from flambeau.data.tables.spelling import number_of
from flambeau.errors import DataError
from flambeau.recipe import Recipe
from flambeau.schema import Schema
from flambeau.stages.journal import Journal
from flambeau.transforms.corpus import CorpusPreparation
from flambeau.transforms.dialogue import chat_pieces, fit_chat_tokens, piece_rarity, wide_pieces
from flambeau.transforms.text import TextPreparation

SCHEMA = Schema(source="corpus", task="chat", target="answer")
FEWEST_QUESTIONS = 10


@dataclass(frozen=True)
class ChatMaterial:
    """Questions and answers, divided.

    Args:
        dialogues: all of them.
        split: rows; a question asked twice, and one that is nearly equal to another, is on one side with it.
        fingerprint: of all of them.
    """

    dialogues: ReadDialogues
    split: Split
    fingerprint: str

    def questions(self, rows: np.ndarray) -> list[str]:
        """The questions of these rows."""
        return [self.dialogues.questions[row] for row in rows.tolist()]

    def right(self, rows: np.ndarray) -> list[tuple[int, ...]]:
        """For each of these rows, the places of all answers that are right for its question."""
        return right_answers(self.dialogues, rows.tolist())

    def pairs(self, rows: np.ndarray) -> list[tuple[str, str]]:
        """(question, answer) of these rows, with every text of its answer."""
        return answer_pairs(self.dialogues, rows.tolist())


@dataclass(frozen=True)
class ChatFeed:
    """What the two nets are fed.

    Args:
        pieces, tokens: how texts become numbers; tokens were learnt on the training rows.
        questions: (rows, longest) pieces of all questions.
        right: (rows,) places of an answer.
        answers: (answers, longest) pieces of all answers.
    """

    pieces: TextPreparation
    tokens: CorpusPreparation
    questions: Tensor
    right: Tensor
    answers: Tensor


def read_chat(recipe: Recipe, journal: Journal) -> ChatMaterial:
    """Read questions and answers, and divide the questions.

    Raises DataError where there is nothing to learn from, or too little to test with.
    """
    journal.stage("read", f"reading {recipe.source}")
    dialogues = read_dialogues(place_of(str(recipe.source)), recipe.chat.max_pairs)
    different = len({plain_question(text) for text in dialogues.questions})
    if different < FEWEST_QUESTIONS or len(dialogues.answers) < 2:
        raise DataError(
            "there is too little to learn from and to test with",
            where=recipe.source,
            got=f"{number_of(different, 'different question')}, {number_of(len(dialogues.answers), 'answer')}",
            expected=f"at least {FEWEST_QUESTIONS} different questions, and 2 answers",
        )
    groups, findings = group_questions(dialogues, FEWEST_QUESTIONS, near_too=recipe.split.near_duplicates)
    dialogues = replace(dialogues, findings=(*dialogues.findings, *findings))
    tagged = np.array([dialogues.tags[place] != "" for place in dialogues.right])
    strata = np.where(tagged, np.array(dialogues.right), -1)
    fractions = (recipe.split.train, recipe.split.valid)
    repeated = len(np.unique(groups)) < len(groups)
    split = split_indices(
        len(groups),
        fractions=fractions,
        strata=strata if tagged.any() else None,
        groups=groups if repeated else None,
        seed=recipe.seed,
    )
    return ChatMaterial(dialogues, split, dialogues_digest(dialogues))


def feed_chat(material: ChatMaterial, rows: np.ndarray, recipe: Recipe, device: torch.device) -> ChatFeed:
    """Make all questions and answers into numbers; subwords are learnt on these rows alone."""
    dialogues = material.dialogues
    pieces = chat_pieces(recipe.chat.buckets)
    learnt = [text for pair in material.pairs(rows) for text in pair]
    tokens = fit_chat_tokens(learnt, recipe.chat.vocabulary, recipe.chat.length)
    questions = wide_pieces(pieces, [plain_question(text) for text in dialogues.questions])
    answers = wide_pieces(pieces, compared_answers(dialogues))
    return ChatFeed(
        pieces,
        tokens,
        torch.from_numpy(questions).to(device),
        torch.tensor(dialogues.right, device=device),
        torch.from_numpy(answers).to(device),
    )


def rarity_of(feed: ChatFeed, rows: np.ndarray) -> np.ndarray:
    """(buckets + 1,) weights of pieces, by the questions of these rows and all answers."""
    asked = feed.questions[torch.from_numpy(rows)].cpu().numpy()
    return piece_rarity(asked, feed.answers.cpu().numpy(), feed.pieces.buckets)
