"""How a text is written with a language model: one drawn token after the other."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import islice

import torch
from torch import Tensor

from flambeau.models.language import LanguageLSTM, LanguageTransformer

# Logits divided by less would not fit into float32, and the likeliest token is drawn anyway.
COLDEST = 1e-6
# Tokens of a prompt; their attention needs a table of so many rows, which the longest prompts would make far too large.
READ_AT_ONCE = 256
SEEDS = 2**64  # as many as a generator knows


def choose_tokens(logits: Tensor, temperature: float, top_k: int, generator: torch.Generator) -> Tensor:
    """(batch, 1) ids drawn from logits (batch, vocabulary).

    Args:
        logits: on any device; the draw is made on the CPU, so that a seed gives one text everywhere.
        temperature: divides the logits; 0, or next to nothing, takes the likeliest token.
        top_k: only so many of the likeliest tokens are drawn from; 0 for all.
        generator: of the CPU.

    Raises:
        ValueError: a temperature below 0, or one that is no number.
    """
    if not temperature >= 0:
        raise ValueError(f"temperature: expected a number from 0 on, got {temperature}")
    logits = logits.float().cpu()
    if temperature < COLDEST:
        return logits.argmax(dim=-1, keepdim=True)
    if 0 < top_k < logits.shape[-1]:
        least = logits.topk(top_k, dim=-1).values[:, -1:]
        logits = logits.masked_fill(logits < least, -math.inf)
    return torch.multinomial((logits / temperature).softmax(dim=-1), 1, generator=generator)


@torch.inference_mode()
def draw_tokens(
    model: LanguageTransformer | LanguageLSTM,
    prompt: Tensor,
    *,
    temperature: float,
    top_k: int = 0,
    seed: int = 0,
) -> Iterator[Tensor]:
    """One id (batch, 1) after the other, without an end, behind token ids (batch, at least 1).

    A long prompt is read in blocks, so that no step of this takes long: ids (batch, 0) come after each but the last.

    Args:
        model: in evaluation mode.
        prompt: of which the last `context` tokens are read.
        temperature, top_k: see `choose_tokens`.
        seed: any whole number; equal ones give equal texts.
    """
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed % SEEDS)
    *blocks, tokens = prompt[:, -model.context :].to(device).split(READ_AT_ONCE, dim=1)
    memory, place = None, 0
    for block in blocks:
        _, memory = model.extend(block, memory, place)
        place += block.shape[1]
        yield block[:, :0]
    while True:
        logits, memory = model.extend(tokens, memory, place)
        place += tokens.shape[1]
        tokens = choose_tokens(logits, temperature, top_k, generator).to(device)
        yield tokens


def write_tokens(
    model: LanguageTransformer | LanguageLSTM,
    prompt: Tensor,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
) -> Tensor:
    """Continue token ids (batch, at least 1) by `length` tokens; returns the new ones (batch, length).

    Args:
        model: put into evaluation mode.
        length: how many tokens are written, at least 1.
        prompt, temperature, top_k, seed: see `draw_tokens`.
    """
    drawn = draw_tokens(model.eval(), prompt, temperature=temperature, top_k=top_k, seed=seed)
    return torch.cat(list(islice((tokens for tokens in drawn if tokens.shape[1]), length)), dim=1)
