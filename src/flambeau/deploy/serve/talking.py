"""A server's models that talk, write, or make pictures."""

from __future__ import annotations

import base64
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from pydantic import Field as Described

from flambeau.data.batches import evaluation_batch
from flambeau.data.pictures.noise import draw_noise
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.making.making import SAMPLE_STREAM, latent_of, make_pictures, picture_png, pixels_of
from flambeau.deploy.serve.asked import QUESTION, Asked, Field, seed_field, too_much
from flambeau.deploy.serve.drift import Strange
from flambeau.deploy.writing.chatting import ChatBot, Reply
from flambeau.deploy.writing.drafts import Draft
from flambeau.deploy.writing.writing import prompt_ids, unknown_characters, writing_parts
from flambeau.transforms.image import PicturePreparation

# Between two such pieces of a text others have their turn.
TOKENS_A_STEP = 16
MOST_TOKENS = 1_000  # that one body asks for
PROMPT_LETTERS = 20_000
USUAL_LENGTH, USUAL_TEMPERATURE = 200, 0.8
HOTTEST, LARGEST_TOP_K = 5, 1_000_000
MOST_QUESTIONS = 1_000
MOST_TURN = 1_000_000_000
MOST_PICTURES = 64  # that one body asks for
MOST_VALUES = 2**24  # of all their pixels and channels
USUAL_PICTURES = 16
FREE: Strange = []


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
        first = _Question(row["question"], row["turn"])
        if not row.get("write"):
            return [first]
        first.draft = self.bot.draft(row["question"], seed=row["turn"])
        assert first.draft is not None  # there is a field for it
        return [first, *([first] * math.ceil(first.draft.length / TOKENS_A_STEP))]

    def answer(self, steps: Sequence[Any]) -> tuple[list[Any], np.ndarray, list[Strange]]:
        """All questions of a batch at once; then what is written, one after the other."""
        new = [one for one in dict.fromkeys(steps) if one.reply is None]
        replies = self.bot.replies([one.question for one in new], [one.turn for one in new])
        for one, reply in zip(new, replies, strict=True):
            one.reply = reply
        counted = []
        for one in steps:
            if one in new:
                new.remove(one)  # its first step
                counted.append(int(one.reply.knows))
                continue
            if one.draft is not None and not one.reply.knows:
                one.draft.go_on(TOKENS_A_STEP)
            counted.append(-1)
        return list(steps), np.array(counted), [FREE] * len(steps)

    def finish(self, results: Sequence[Any]) -> dict[str, Any]:
        """The reply, and what was written where it does not know."""
        one = results[0]
        told: dict[str, Any] = one.reply.to_json(one.question)
        del told["question"]  # the client has it
        if one.draft is not None and not one.reply.knows:
            told["written"] = self.bot.written(one.draft)
        return told

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise RefusalError 413 for more tokens than one body may ask for."""
        writing = sum(bool(row.get("write")) for row in rows)
        _check_tokens(writing * self.bot.preparation.length, "fewer questions with write")


class _Question:
    """One question on its way."""

    def __init__(self, question: str, turn: int) -> None:
        self.question, self.turn = question, turn
        self.reply: Reply | None = None
        self.draft: Draft | None = None


class Writing(Asked):
    """A language model: one piece of one text is a batch."""

    rows = MOST_TOKENS
    most = 1

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
        """Pieces of the text."""
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
        return [(draft, [] if place else strange, strange) for place in range(_pieces(row["length"]))]

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
        """Raise RefusalError 413 for more tokens than one body may ask for."""
        _check_tokens(sum(row["length"] for row in rows), "a smaller length, or fewer texts")


class Making(Asked):
    """A net that makes pictures: a block of them is a batch."""

    rows = MOST_PICTURES
    most = 1

    def __init__(self, bundle: Bundle) -> None:
        self.module, self.latent = bundle.module, latent_of(bundle)
        assert isinstance(bundle.preparation, PicturePreparation)  # `check_preparation` lets no other through
        self.preparation = bundle.preparation
        pixels = math.prod(self.preparation.size)
        self.largest = max(1, min(MOST_PICTURES, MOST_VALUES // (pixels * self.preparation.channels)))
        self.block = evaluation_batch(4 * pixels)
        usual = min(USUAL_PICTURES, self.largest)
        self.fields = (
            Field("count", "whole", "Pictures that are made.", usual, 1, self.largest),
            seed_field("pictures, for equal counts"),
        )

    @property
    def example(self) -> dict[str, Any]:
        """A few pictures."""
        return {"count": min(4, self.largest), "seed": 1}

    def answer_fields(self) -> dict[str, Any]:
        """The pictures."""
        text = "data:image/png;base64,… of each picture."
        return {"pictures": (list[str], Described(description=text))}

    def steps(self, row: Mapping[str, Any]) -> list[Any]:
        """Blocks of noise, cut as `flambeau sample` cuts them."""
        noise = draw_noise(row["count"], self.latent, row["seed"], SAMPLE_STREAM)
        return list(noise.split(self.block))

    def answer(self, steps: Sequence[Any]) -> tuple[list[Any], np.ndarray, list[Strange]]:
        """Make the pictures of each block."""
        made = [
            [
                _data_address(one)
                for one in pixels_of(make_pictures(self.module, noise), self.preparation.bits)
            ]
            for noise in steps
        ]
        return made, np.array([len(some) for some in made]), [FREE] * len(made)

    def finish(self, results: Sequence[Any]) -> dict[str, Any]:
        """All pictures."""
        return {"pictures": [one for some in results for one in some]}

    def check(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Raise RefusalError 413 for more pictures than one body may ask for."""
        count = sum(row["count"] for row in rows)
        if count > self.largest:
            raise too_much(
                "too many pictures are asked for",
                f"{count:,}",
                f"at most {self.largest:,} in one request",
                "flambeau sample makes any number of them",
            )


ASKED: dict[str, Callable[[Bundle], Asked]] = {"chat": Talking, "language": Writing, "generate": Making}


def asked_of(bundle: Bundle) -> Asked | None:
    """How the model of this bundle is asked; None for one that is shown samples."""
    kind = ASKED.get(bundle.schema.task)
    return None if kind is None else kind(bundle)


def _pieces(tokens: int) -> int:
    return math.ceil(tokens / TOKENS_A_STEP)


def _check_tokens(tokens: int, hint: str) -> None:
    if tokens > MOST_TOKENS:
        raise too_much(
            "too much is to be written", f"{tokens:,} tokens", f"at most {MOST_TOKENS:,} in one request", hint
        )


def _data_address(pixels: np.ndarray) -> str:
    return "data:image/png;base64," + base64.b64encode(picture_png(pixels)).decode()


def warm_asked(asked: Asked) -> None:
    """Answer an example, so that the first request does not wait for what is made on first use."""
    (row,) = asked.read([asked.example])
    steps = asked.steps(row)
    asked.answer(steps[: asked.most or len(steps)])
