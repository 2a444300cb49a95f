"""A chatbot that answers: how sure it is of an answer, or that it does not know; and what its small net would write."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from flambeau.data.dialogue.joining import plain_question
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.writing.drafts import Draft
from flambeau.errors import ModelError
from flambeau.evaluation.chat import answer_chances
from flambeau.models.chat import ChatModel
from flambeau.transforms.dialogue import ChatPreparation, wide_pieces

LONGEST_QUESTION = 2_000


@dataclass(frozen=True)
class Reply:
    """What a bot says.

    Args:
        text: that it says.
        sure: probability of its best answer, whether or not that is said.
        knows: whether it is sure enough to say it.
        tag: of the answer; "" for none.
    """

    text: str
    sure: float
    knows: bool
    tag: str

    def to_json(self, question: str) -> dict[str, Any]:
        """One plain dictionary."""
        return {
            "question": question,
            "answer": self.text,
            "confidence": round(self.sure, 6),
            "knows": self.knows,
            **({"tag": self.tag} if self.tag else {}),
        }


class ChatBot:
    """Answers questions with the bundle of a run of --task chat.

    Args:
        bundle: with its weights.

    Raises:
        ModelError: the bundle is of another task.
    """

    def __init__(self, bundle: Bundle) -> None:
        preparation, module = bundle.preparation, bundle.module
        if not isinstance(preparation, ChatPreparation) or not isinstance(module, ChatModel):
            raise ModelError(
                "this model does not talk",
                got=f"a model for {bundle.schema.task}",
                expected="a run of flambeau train … --task chat",
            )
        self.preparation = preparation
        self.module = module.eval()
        with torch.inference_mode():  # once for all questions
            self._known = module.finder.known_answers()

    @property
    def writes(self) -> bool:
        """Whether it has a net that writes."""
        return self.module.writer is not None

    def reply(self, question: str, turn: int = 0) -> Reply:
        """The answer to a question of at most 2,000 characters; of several texts of one answer, turn by turn."""
        return self.replies([question], [turn])[0]

    def replies(self, questions: Sequence[str], turns: Sequence[int]) -> list[Reply]:
        """The answers to several questions at once, see `reply`."""
        known = self.preparation
        asked = [bare_question(question) for question in questions]
        if not any(asked):
            return [Reply(known.unknown, 0.0, False, "") for _ in asked]
        chances = self.chances(wide_pieces(known.pieces, asked))
        found = []
        for text, row, turn in zip(asked, chances, turns, strict=True):
            best = int(np.argmax(row))
            sure = float(row[best]) if text else 0.0
            if not text or sure < known.threshold:
                found.append(Reply(known.unknown, sure, False, ""))
                continue
            texts = known.answers[best]
            found.append(Reply(texts[turn % len(texts)], sure, True, known.tags[best]))
        return found

    def chances(self, pieces: np.ndarray) -> np.ndarray:
        """Probabilities (n, answers) of the answers to questions as piece numbers (n, longest)."""
        device = next(self.module.parameters()).device
        with torch.inference_mode():
            asked = torch.from_numpy(pieces).to(device)
            likeness = self.module.finder.compare(asked, self._known).float().cpu().numpy()
        return answer_chances(likeness, self.preparation.temperature, self.preparation.doubt)[:, :-1]

    def draft(self, question: str, *, temperature: float = 0.5, seed: int = 0) -> Draft | None:
        """The text that the net that writes begins to answer; None where there is none."""
        known, writer = self.preparation, self.module.writer
        if writer is None:
            return None
        ids = [*known.tokens.encode(bare_question(question))[: known.length // 2].tolist(), known.separator]
        return Draft(
            writer,
            lambda: torch.tensor([ids]),
            known.length - len(ids),
            temperature=temperature,
            seed=seed,
            end=known.end,
        )

    def written(self, draft: Draft) -> str:
        """A draft of this bot as a text."""
        known = self.preparation
        return known.tokens.decode([index for index in draft.written if index < known.separator])

    def write(self, question: str, *, temperature: float = 0.5, seed: int = 0) -> str:
        """What the net that writes would answer; "" where there is none."""
        draft = self.draft(question, temperature=temperature, seed=seed)
        if draft is None:
            return ""
        while not draft.done:
            draft.go_on(draft.length)
        return self.written(draft)


def bare_question(question: str) -> str:
    """The first 2,000 characters of a question as it is compared, see `plain_question`."""
    return plain_question(question)[:LONGEST_QUESTION]
