"""Options of chatbots: when they say that they do not know, and how large their two nets are."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from flambeau.recipe.fields import Auto, Section


class ChatOptions(Section):
    """How questions are answered (--task chat)."""

    threshold: Auto[Annotated[float, Field(ge=0, le=1)]] = None
    """Below this it says that it does not know; otherwise chosen on questions that it was not trained on."""
    unknown: str = "I do not know."
    """What it says then."""
    width: Auto[Annotated[int, Field(ge=8, le=1024)]] = None
    """Numbers that a question and an answer become, to be compared."""
    buckets: Annotated[int, Field(ge=256, le=2**22)] = 2**15
    """Places for hashed pieces of words."""
    epochs: Auto[Annotated[int, Field(ge=1, le=10_000)]] = None
    """Passes over the questions, for finding answers; training.epochs is for the net that writes."""
    lr: Annotated[float, Field(gt=0, le=1)] = 0.01
    """The largest learning rate, for finding answers; training.optimizer is for the net that writes."""
    writes: bool = True
    """Train a small net that writes answers of its own too."""
    vocabulary: Annotated[int, Field(ge=300, le=65_536)] = 1000
    """Subwords of the net that writes."""
    length: Annotated[int, Field(ge=8, le=1024)] = 96
    """The most subwords of a question and its answer together that this net sees."""
    max_pairs: Annotated[int, Field(ge=1)] = 200_000
    """Files with more questions than this are refused."""
