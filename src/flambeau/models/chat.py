"""A chatbot's two nets: one that finds the answer to a question, and a small one that writes answers."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flambeau.models.language import LanguageTransformer

FIRST_SCALE = 10.0


class AnswerFinder(nn.Module):
    """Compares questions with all answers: pieces of words are vectors, a text is their sum, likeness is a cosine.

    After Wu et al. 2018, "StarSpace: embed all the things". Rare pieces weigh more (Spärck Jones 1972), so that it
    begins as a comparison of counted words. Each answer has a vector of its own beside that of its
    text, so that it can be found by questions that share no word with it.

    Args:
        buckets: pieces are numbered 1 to `buckets`; 0 is padding.
        width: of a vector.
        answers: how many there are.
        longest: pieces of the longest answer.
    """

    texts: Tensor
    learnt: Tensor
    rarity: Tensor

    def __init__(self, buckets: int, width: int, answers: int, longest: int) -> None:
        super().__init__()
        self.pieces = nn.EmbeddingBag(buckets + 1, width, mode="sum", padding_idx=0)
        self.own = nn.Parameter(torch.zeros(answers, width))
        self.scale = nn.Parameter(torch.tensor(FIRST_SCALE))
        self.register_buffer("texts", torch.zeros(answers, longest, dtype=torch.int64))
        self.register_buffer("learnt", torch.ones(answers, dtype=torch.bool))
        self.register_buffer("rarity", torch.ones(buckets + 1))
        nn.init.normal_(self.pieces.weight, std=width**-0.5)
        with torch.no_grad():
            self.pieces.weight[0] = 0.0

    def set_answers(self, texts: Tensor, learnt: Tensor, rarity: Tensor) -> None:
        """Give it the answers, and how much each piece weighs.

        Args:
            texts: (answers, longest) piece numbers.
            learnt: (answers,) whether a training question has this answer; others are no rivals in training.
            rarity: (buckets + 1,) weights of pieces.
        """
        self.texts.copy_(texts)
        self.learnt.copy_(learnt)
        self.rarity.copy_(rarity)

    def embed(self, pieces: Tensor) -> Tensor:
        """Piece numbers (batch, length) → the weighted sums of their vectors (batch, width)."""
        return self.pieces(pieces, per_sample_weights=self.rarity[pieces])

    def known_answers(self) -> Tensor:
        """(answers, width) vectors of length 1; they depend on no question."""
        return F.normalize(F.normalize(self.embed(self.texts), dim=-1) + self.own, dim=-1)

    def compare(self, questions: Tensor, known: Tensor) -> Tensor:
        """Similarities (batch, answers) of piece numbers (batch, length) with `known_answers`."""
        return self.scale * (F.normalize(self.embed(questions), dim=-1) @ known.mT)

    def forward(self, questions: Tensor) -> Tensor:
        """Piece numbers (batch, length) → similarities (batch, answers), which a softmax makes into probabilities."""
        likeness = self.compare(questions, self.known_answers())
        return likeness.masked_fill(~self.learnt, -1e4) if self.training else likeness


class ChatModel(nn.Module):
    """Both nets of a chatbot.

    Args:
        buckets, width, answers, longest: of the `AnswerFinder`.
        writer: the arguments of a `LanguageTransformer`; None for no net that writes.
    """

    def __init__(
        self,
        buckets: int,
        width: int,
        answers: int,
        longest: int,
        writer: dict[str, int | float | bool] | None = None,
    ) -> None:
        super().__init__()
        self.finder = AnswerFinder(buckets, width, answers, longest)
        self.writer = None if writer is None else LanguageTransformer(**writer)  # type: ignore[arg-type]

    def forward(self, questions: Tensor) -> Tensor:
        """Similarities (batch, answers) of questions (batch, length) with all answers."""
        return self.finder(questions)
