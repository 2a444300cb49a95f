"""How a text is written with a language model: one drawn token after the other."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from flambeau.models.language import LanguageLSTM, LanguageTransformer

# Logits divided by less would not fit into float32, and the likeliest token is drawn anyway.
COLDEST = 1e-6


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
def write_tokens(
    model: LanguageTransformer | LanguageLSTM,
    prompt: Tensor,
    length: int,
    *,
    temperature: float = 1.0,
    top_k: int = 0,
    seed: int = 0,
    stop: Callable[[Tensor], bool] | None = None,
) -> Tensor:
    """Continue token ids (batch, at least 1) by up to `length` tokens; returns the new ones (batch, new).

    Args:
        model: put into evaluation mode.
        prompt: of which the last `context` tokens are read.
        length: how many tokens are written.
        temperature, top_k: see `choose_tokens`.
        seed: equal seeds give equal texts.
        stop: asked with the ids (batch, 1) of each new token whether to end there, that token left out.
    """
    model.eval()
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(seed)
    tokens, memory, place = prompt[:, -model.context :].to(device), None, 0
    written: list[Tensor] = []
    while len(written) < length:
        logits, memory = model.extend(tokens, memory, place)
        place += tokens.shape[1]
        tokens = choose_tokens(logits, temperature, top_k, generator).to(device)
        if stop is not None and stop(tokens):
            break
        written.append(tokens)
    return torch.cat(written, dim=1) if written else prompt.new_zeros((len(prompt), 0))
