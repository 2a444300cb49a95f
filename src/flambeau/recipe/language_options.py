"""Options of language models: what a token is, how far the model looks back, and how it writes."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flambeau.recipe.fields import Auto, Section


class LanguageOptions(Section):
    """How a plain text is modelled, token by token (--task language)."""

    tokens: Auto[Literal["characters", "bytes", "subwords"]] = None
    """What the text is cut into: characters, bytes of UTF-8, or subwords learnt on the training part."""
    vocabulary: Auto[Annotated[int, Field(ge=300, le=65_536)]] = None
    """How many subwords there are."""
    context: Auto[Annotated[int, Field(ge=4, le=8192)]] = None
    """Tokens that the model looks back on."""
    heads: Auto[Annotated[int, Field(ge=1, le=128)]] = None
    """Attention heads of a transformer."""
    tie: Auto[bool] = None
    """Use one table of vectors for reading tokens and for predicting them (Press and Wolf 2017)."""
    temperature: Annotated[float, Field(ge=0, le=5)] = 0.8
    """How bold the samples in the report are: 0 takes the likeliest token, 1 draws as the model says."""
    top_k: Annotated[int, Field(ge=0, le=65_536)] = 0
    """Samples are drawn from so many of the likeliest tokens; 0 for all."""
    samples: Annotated[int, Field(ge=0, le=20)] = 3
    """How many samples are written for the report."""
    sample_length: Annotated[int, Field(ge=1, le=10_000)] = 400
    """Tokens of each sample in the report."""
    max_bytes: Annotated[int, Field(ge=1)] = 1_000_000_000
    """Texts larger than this, all files together, are refused."""
