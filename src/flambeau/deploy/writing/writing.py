"""A language model that writes: from the beginning of a text to how it may go on."""

from __future__ import annotations

import math

import numpy as np
import torch

from flambeau.deploy.bundle import Bundle
from flambeau.errors import ModelError, UsageError
from flambeau.models.language import LanguageLSTM, LanguageTransformer
from flambeau.models.writing import write_tokens
from flambeau.transforms.corpus import UNKNOWN_CHARACTER, CorpusPreparation

MOST_PROMPT_CHARACTERS = 100_000
MOST_TOKENS_WRITTEN = 100_000


def continue_text(
    bundle: Bundle, prompt: str, *, length: int, temperature: float = 0.8, top_k: int = 0, seed: int = 0
) -> str:
    """What a language model writes behind a prompt.

    Args:
        bundle: of a language model.
        prompt: the beginning; an empty one is a line end.
        length: tokens that are written.
        temperature: 0 takes the likeliest token, 1 draws as the model says.
        top_k: only so many of the likeliest tokens are drawn from; 0 for all.
        seed: equal seeds give equal texts.

    Raises:
        ModelError: the model writes no texts.
        UsageError: a prompt or a length beyond the limits, or a temperature or a top_k that cannot be.
    """
    preparation, module = writing_parts(bundle)
    if len(prompt) > MOST_PROMPT_CHARACTERS or not 0 < length <= MOST_TOKENS_WRITTEN:
        raise UsageError(
            "a prompt and what is written behind it have limits",
            got=f"a prompt of {len(prompt):,} characters, {length:,} tokens to write",
            expected=f"at most {MOST_PROMPT_CHARACTERS:,} characters, and 1 to {MOST_TOKENS_WRITTEN:,} tokens",
        )
    if not (math.isfinite(temperature) and temperature >= 0) or top_k < 0:
        raise UsageError(
            "a text cannot be drawn so",
            got=f"a temperature of {temperature:g} and a top_k of {top_k}",
            expected="a temperature from 0 on, and a top_k of 0 for all tokens or of 1 and more",
        )
    ids = prompt_ids(preparation, prompt)
    new = write_tokens(module, ids, length, temperature=temperature, top_k=top_k, seed=seed)
    return preparation.decode(new[0].tolist())


def writing_parts(bundle: Bundle) -> tuple[CorpusPreparation, LanguageTransformer | LanguageLSTM]:
    """The tokens and the net of a language model. Raises ModelError for a bundle of another task."""
    preparation, module = bundle.preparation, bundle.module
    if not isinstance(preparation, CorpusPreparation) or not isinstance(
        module, LanguageTransformer | LanguageLSTM
    ):
        raise ModelError(
            "this model writes no texts",
            got=f"a model for {bundle.schema.task}",
            expected="a run of flambeau train … --task language",
        )
    return preparation, module


def prompt_ids(preparation: CorpusPreparation, prompt: str) -> torch.Tensor:
    """Ids (1, tokens) int64 of the beginning of a text; an empty one is a line end."""
    ids = preparation.encode(prompt or "\n")
    if not len(ids):  # a tokenizer may leave nothing of blanks, or of all signs
        ids = preparation.encode("\n")
    return torch.from_numpy(ids if len(ids) else np.zeros(1, dtype=np.int32)).long()[None]


def unknown_characters(bundle: Bundle, prompt: str) -> list[str]:
    """The characters of a prompt that the model never saw, each once."""
    preparation = bundle.preparation
    if not isinstance(preparation, CorpusPreparation) or preparation.tokens != "characters":
        return []
    known = {*preparation.vocabulary, UNKNOWN_CHARACTER}
    return [character for character in dict.fromkeys(prompt) if character not in known]
