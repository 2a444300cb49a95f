"""A server's models that talk or write."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from pydantic import Field as Described

from flambeau.deploy.bundle import Bundle
from flambeau.deploy.serve.asked import FREE, QUESTION, Asked, Field, seed_field, too_much
from flambeau.deploy.serve.drawing import Making
from flambeau.deploy.serve.drift import Strange
from flambeau.deploy.writing.chatting import ChatBot, Reply
from flambeau.deploy.writing.drafts import Draft
from flambeau.deploy.writing.writing import prompt_ids, unknown_characters, writing_parts
from flambeau.models.writing import READ_AT_ONCE

# Between two such pieces of a text others have their turn.
TOKENS_A_STEP = 16
MOST_TOKENS = 1_000  # that one body asks for
MOST_READ = 100_000  # letters of all prompts of one body, of each as many as the model looks back on
PROMPT_LETTERS = 20_000
USUAL_LENGTH, USUAL_TEMPERATURE = 200, 0.8
HOTTEST, LARGEST_TOP_K = 5, 1_000_000
MOST_QUESTIONS = 1_000
MOST_TURN = 1_000_000_000


class Talking(Asked):
    """A chatbot."""

    rows = MOST_QUESTIONS

    def __init__(self, bundle: Bundle) -> None:
        self.bot = ChatBot(bundle)
        turn = Field("turn", "whole", "Of an answer with several texts, which one is said.", 0, 0, MOST_TURN)
        self.fields = (QUESTION, turn)
        if self.bot.writes:
            writes = "Where it does not know, say also what its small net would write."
            self.fields = (QUESTION, turn, Field("write", "yes", writes, False))

    @property
    def example(self) -> dict[str, Any]:
        """A greeting."""
        return {"question": "hello"}

    def answer_fields(self) -> dict[str, Any]:
        """As `Reply.to_json` without the question, and what was written."""
        return {
            "answer": (str, Described(description="What the bot says.")),
            "confidence": (float, Described(description="Probability of its best answer, said or not.")),
            "knows": (bool, Described(description="Whether it is sure enough; if not, it says so.")),
            "tag": (str, Described("", description="Of the answer, where the training data has tags.")),
            "written": (str, Described("", description="With write, where it does not know.")),
        }

    def steps(self, row: Mapping[str, Any]) -> list[Any]:
        """The question, and behind it pieces of what may be written."""
        asked = _Question(row["question"], row["turn"])
        length = self.bot.preparation.length
        pieces = _pieces(length, length) if row.get("write") else 0
        return [asked, *([_Piece(asked)] * pieces)]

    def alone(self, step: Any) -> bool:
        """Whether it writes; of a question without an answer yet that is not known."""
        return isinstance(step, _Piece) and not step.done

    def progress(self, results: Sequence[Any], steps: Sequence[Any]) -> str:
        """Tokens that are written."""
        drafts = (one.draft for one in steps if isinstance(one, _Question))
        return _told_tokens(sum(len(draft.written) for draft in drafts if draft is not None))

    def answer(self, steps: Sequence[Any]) -> tuple[list[Any], np.ndarray, list[Strange]]:
        """All questions of a batch at once, or a piece of a text."""
        new = [one for one in steps if isinstance(one, _Question)]
        replies = self.bot.replies([one.question for one in new], [one.turn for one in new])
        for one, reply in zip(new, replies, strict=True):
            one.reply = reply
        for one in steps:
            if self.alone(one):
                self._write(one.of)
        known = {one: int(reply.knows) for one, reply in zip(new, replies, strict=True)}
        counted = [known.get(one, -1) for one in steps]
        return list(steps), np.array(counted), [FREE] * len(steps)

    def _write(self, asked: _Question) -> None:
        if asked.draft is None:
            asked.draft = self.bot.draft(asked.question, seed=asked.turn)
        assert asked.draft is not None  # else there is no field for it
        asked.draft.go_on(TOKENS_A_STEP)

    def finish(self, results: Sequence[Any]) -> dict[str, Any]:
        """The reply, and what was written where it does not know."""
        one = results[0]
        assert isinstance(one, _Question) and one.reply is not None
        told: dict[str, Any] = one.reply.to_json(one.question)
        del told["question"]  # the client has it
        if one.draft is not None:
            told["written"] = self.bot.written(one.draft)
        return told

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise RefusalError 413 for more tokens than one body may ask for, but let any single text be written."""
        writing = sum(bool(row.get("write")) for row in rows)
        if writing > 1:
            _check_tokens(writing * self.bot.preparation.length, "fewer questions with write")


class _Question:
    """One question on its way."""

    def __init__(self, question: str, turn: int) -> None:
        self.question, self.turn = question, turn
        self.reply: Reply | None = None
        self.draft: Draft | None = None


@dataclass(frozen=True)
class _Piece:
    """Some tokens of what may be written to a question."""

    of: _Question

    @property
    def done(self) -> bool:
        """Whether there is nothing to write, or no more of it."""
        answered = self.of.reply is not None and self.of.reply.knows
        return answered or (self.of.draft is not None and self.of.draft.done)


class Writing(Asked):
    """A language model: one piece of one text is a batch."""

    rows = MOST_TOKENS

    def __init__(self, bundle: Bundle) -> None:
        self.bundle = bundle
        self.preparation, self.module = writing_parts(bundle)
        self.fields = (
            Field("prompt", "text", "The beginning that is continued; empty for a line end.", "", high=PROMPT_LETTERS),
            Field("length", "whole", "Tokens that are written.", USUAL_LENGTH, 1, MOST_TOKENS),
            Field("temperature", "number", "0 takes the likeliest token, 1 draws as the model says.",
                  USUAL_TEMPERATURE, 0, HOTTEST),
            Field("top_k", "whole", "Only so many of the likeliest tokens are drawn from; 0 for all.", 0, 0,
                  LARGEST_TOP_K),
            seed_field("texts"),
        )  # fmt: skip

    @property
    def example(self) -> dict[str, Any]:
        """A short text behind nothing."""
        return {"prompt": "The ", "length": 100, "seed": 1}

    def answer_fields(self) -> dict[str, Any]:
        """What is written."""
        return {
            "text": (str, Described(description="What is written behind the prompt, which is not repeated.")),
            "tokens": (int, Described(description="How many tokens that is.")),
            "strange": (list[str], Described(description="What of the prompt the model never saw.")),
        }

    def steps(self, row: Mapping[str, Any]) -> list[Any]:
        """Blocks of the prompt, and pieces of the text; those of them that it does not need do nothing."""
        draft = Draft(
            self.module.eval(),
            lambda: prompt_ids(self.preparation, row["prompt"]),
            row["length"],
            temperature=row["temperature"],
            top_k=row["top_k"],
            seed=row["seed"],
        )
        strange: Strange = []
        if unknown := unknown_characters(self.bundle, row["prompt"]):
            shown = ", ".join(map(repr, unknown[:10]))
            strange = [("category", f"the model never saw {shown} of the prompt")]
        pieces = _pieces(row["length"], self._read(row["prompt"]))
        return [(draft, [] if place else strange, strange) for place in range(pieces)]

    def alone(self, step: Any) -> bool:
        """Whether there is something to do."""
        return not step[0].done

    def progress(self, results: Sequence[Any], steps: Sequence[Any]) -> str:
        """Tokens that are written."""
        drafts = {id(draft): draft for draft, _, _ in steps}
        return _told_tokens(sum(len(draft.written) for draft in drafts.values()))

    def _read(self, prompt: str) -> int:
        """How many tokens are read of a prompt, or more."""
        # nothing but its tokenizer tells how many subwords a text has
        own = math.inf if self.preparation.tokens == "subwords" else len(prompt.encode("utf-8", "replace"))
        return int(min(own, self.preparation.context))

    def answer(self, steps: Sequence[Any]) -> tuple[list[Any], np.ndarray, list[Strange]]:
        """Write each a piece further."""
        tokens = [draft.go_on(TOKENS_A_STEP) for draft, _, _ in steps]
        return list(steps), np.array(tokens), [new for _, new, _ in steps]

    def finish(self, results: Sequence[Any]) -> dict[str, Any]:
        """The whole text."""
        draft, _, strange = results[0]
        text = self.preparation.decode(draft.written)
        told = [sentence for _, sentence in strange]
        return {"text": text, "tokens": len(draft.written), "strange": told}

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise RefusalError 413 for more tokens, or longer prompts, than one body may ask for."""
        letters = sum(min(len(row["prompt"]), self.preparation.context) for row in rows)
        if letters > MOST_READ:
            got, expected = f"{letters:,} letters of prompts", f"at most {MOST_READ:,} in one request"
            raise too_much("too much is to be read", got, expected, "fewer prompts in one request")
        _check_tokens(sum(row["length"] for row in rows), "a smaller length, or fewer texts")


ASKED: dict[str, Callable[[Bundle], Asked]] = {"chat": Talking, "language": Writing, "generate": Making}


def asked_of(bundle: Bundle) -> Asked | None:
    """How the model of this bundle is asked; None for one that is shown samples."""
    kind = ASKED.get(bundle.schema.task)
    return None if kind is None else kind(bundle)


def _pieces(tokens: int, read: int) -> int:
    """How many steps a text takes: the last block of its prompt is read with its first piece."""
    return math.ceil(tokens / TOKENS_A_STEP) + max(0, math.ceil(read / READ_AT_ONCE) - 1)


def _told_tokens(written: int) -> str:
    return f"{written:,} tokens" if written else ""


def _check_tokens(tokens: int, hint: str) -> None:
    if tokens > MOST_TOKENS:
        raise too_much(
            "too much is to be written", f"{tokens:,} tokens", f"at most {MOST_TOKENS:,} in one request", hint
        )


def warm_asked(asked: Asked) -> None:
    """Answer an example, so that the first request does not wait for what is made on first use."""
    (row,) = asked.read([asked.example])
    asked.answer(asked.steps(row)[:1])
