"""A chatbot that answers: how sure it is of an answer, or that it does not know; and what its small net would write."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from flambeau.deploy.bundle import Bundle
from flambeau.errors import ModelError
from flambeau.evaluation.chat import answer_chances
from flambeau.models.chat import ChatModel
from flambeau.models.language import write_tokens
from flambeau.transforms.dialogue import ChatPreparation, wide_pieces

LONGEST_QUESTION = 2_000
SIGNS_AT_ENDS = " ?!.,;:\"'"


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

    @property
    def writes(self) -> bool:
        """Whether it has a net that writes."""
        return self.module.writer is not None

    def reply(self, question: str, turn: int = 0) -> Reply:
        """The answer to a question of at most 2,000 characters; of several texts of one answer, turn by turn."""
        known = self.preparation
        asked = question[:LONGEST_QUESTION].lower().strip(SIGNS_AT_ENDS)
        if not asked:
            return Reply(known.unknown, 0.0, False, "")
        device = next(self.module.parameters()).device
        pieces = torch.from_numpy(wide_pieces(known.pieces, [asked])).to(device)
        with torch.inference_mode():
            likeness = self.module.finder(pieces).float().cpu().numpy()
        chances = answer_chances(likeness, known.temperature, known.doubt)[0, :-1]
        best = int(np.argmax(chances))
        sure = float(chances[best])
        if sure < known.threshold:
            return Reply(known.unknown, sure, False, "")
        texts = known.answers[best]
        return Reply(texts[turn % len(texts)], sure, True, known.tags[best])

    def write(self, question: str, *, temperature: float = 0.5, seed: int = 0) -> str:
        """What the net that writes would answer; "" where there is none."""
        known, writer = self.preparation, self.module.writer
        if writer is None:
            return ""
        asked = question[:LONGEST_QUESTION].lower().strip(SIGNS_AT_ENDS)
        ids = [*known.tokens.encode(asked)[: known.length // 2].tolist(), known.separator]
        end = known.end
        written = write_tokens(
            writer,
            torch.tensor([ids]),
            known.length - len(ids),
            temperature=temperature,
            seed=seed,
            stop=lambda tokens: int(tokens) == end,
        )
        return known.tokens.decode([index for index in written[0].tolist() if index < known.separator])
