"""How well a language model expects a text: nats of each token, each judged with at least half a context before it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from flambeau.data.corpus.corpus import gather_windows
from flambeau.evaluation.validation import Validation

WINDOWS_AT_ONCE = 32


def window_begins(length: int, window: int, stride: int) -> Tensor:
    """(count,) int64 begins of windows of `window` tokens that cover a text, the last one flush with its end."""
    last = max(0, length - window)
    begins = torch.arange(0, last + 1, stride)
    return begins if begins[-1] == last else torch.cat([begins, torch.tensor([last])])


def token_nats(model: nn.Module, tokens: Tensor, *, context: int, stride: int) -> np.ndarray:
    """The nats (−log probability) of every token of a text but the first, by one model in fp32.

    Windows of `context` tokens begin `stride` tokens apart, and of each only what the one before has not judged
    counts: with a stride of half the context every token, but for the first ones, is expected from half a context
    or more.

    Args:
        model: token ids (batch, length) → logits (batch, length, vocabulary); put into evaluation mode.
        tokens: (all,) integer ids of the text, 2 or more, on the model's device.
        context: tokens that the model looks back on.
        stride: tokens between two windows.

    Returns:
        (all − 1,) float64.

    Raises:
        ValueError: fewer than 2 tokens.
    """
    if len(tokens) < 2:
        raise ValueError(f"a text of two tokens or more can be judged: got {len(tokens)}")
    model.eval()
    window = min(context, len(tokens) - 1)
    begins = window_begins(len(tokens) - 1, window, stride)
    gather = gather_windows(tokens, window + 1)
    result = np.empty(len(tokens) - 1)
    judged = 0
    with torch.inference_mode(), torch.autocast(tokens.device.type, enabled=False):
        for block in begins.split(WINDOWS_AT_ONCE):
            (both,) = gather(block)
            logits = model(both[:, :-1]).float()
            nats = F.cross_entropy(logits.flatten(0, 1), both[:, 1:].flatten(), reduction="none")
            for begin, row in zip(block.tolist(), nats.view(len(block), window).double().cpu(), strict=True):
                result[judged : begin + window] = row[judged - begin :].numpy()
                judged = begin + window
    return result


def validate_tokens(model: nn.Module, pieces: Sequence[Tensor], *, context: int) -> Validation:
    """The mean nats of pieces of a text, in windows side by side, with its standard error over these windows."""
    nats = np.concatenate([token_nats(model, tokens, context=context, stride=context) for tokens in pieces])
    mean = float(nats.mean())
    whole = nats[: len(nats) // context * context].reshape(-1, context).mean(axis=1)
    spread = float(whole.std(ddof=1) / np.sqrt(len(whole))) if len(whole) > 1 else 0.0
    return Validation(loss=mean, score=mean, spread=spread)


def mean_nats(nats: np.ndarray) -> float:
    """The mean of the tokens' nats, whose exponential is the perplexity."""
    return float(nats.mean())
