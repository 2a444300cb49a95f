"""Options of texts: what a token is, how many a text may have, and what is answered where the model is not sure."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flambeau.recipe.fields import Auto, Section


class TextOptions(Section):
    """How columns of texts become tensors."""

    tokens: Auto[Literal["ngrams", "words", "subwords", "characters", "bytes"]] = None
    """What texts are cut into: hashed n-grams, words, subwords learnt on the training part, characters or bytes."""
    length: Auto[Annotated[int, Field(ge=1, le=131_072)]] = None
    """The most tokens of a text; what is behind them is not read."""
    vocabulary: Auto[Annotated[int, Field(ge=1, le=1_000_000)]] = None
    """The most words, subwords or characters; rarer ones count as unknown."""
    buckets: Auto[Annotated[int, Field(ge=1, le=16_777_216)]] = None
    """How many numbers the n-grams are hashed to."""
    word_ngrams: Auto[Annotated[int, Field(ge=1, le=8)]] = None
    """N-grams of up to so many words."""
    letter_ngrams: Auto[Annotated[int, Field(ge=0, le=16)]] = None
    """N-grams of 3 up to so many bytes inside a word; 0 for none."""
    token_dropout: Auto[Annotated[float, Field(ge=0, lt=1)]] = None
    """Share of a text's tokens (text_bag) or of their vectors' numbers that is dropped in training."""
    heads: Auto[Annotated[int, Field(ge=1, le=128)]] = None
    """Attention heads of a transformer."""
    unknown: Auto[bool] = None
    """Answer "unknown" (or the class that stands for it) below a confidence that the validation part chooses."""
