"""Attention: scaled dot products, several heads, masks (Vaswani et al. 2017, "Attention Is All You Need")."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def attend(
    queries: Tensor,
    keys: Tensor,
    values: Tensor,
    seen: Tensor | None = None,
    *,
    causal: bool = False,
    dropout: float = 0.0,
) -> Tensor:
    """softmax(q kᵀ / √width) v, over the keys that a query may see.

    Args:
        queries: (batch, heads, length, width).
        keys, values: (batch, heads, other length, width).
        seen: (batch, other length) of bool: the keys that are no padding; None for all. Each sample needs one.
        causal: whether the query at place i sees the keys up to place i only. Padding must then stand at the end.
        dropout: share of the weights that are dropped.

    Returns:
        (batch, heads, length, width).
    """
    mask = None if seen is None else seen[:, None, None, :]
    if causal and mask is not None:
        past = torch.ones(queries.shape[2], keys.shape[2], dtype=torch.bool, device=queries.device).tril()
        mask = mask & past
    return F.scaled_dot_product_attention(
        queries, keys, values, attn_mask=mask, is_causal=causal and mask is None, dropout_p=dropout
    )


class MultiHeadAttention(nn.Module):
    """Several attentions side by side, each on its share of the width.

    Args:
        width: of a token.
        heads: a divisor of the width.
        dropout: share of the attention's weights dropped in training.

    Shapes: inputs (batch, length, width), memory (batch, other length, width) → (batch, length, width).

    Raises:
        ValueError: the heads do not divide the width.
    """

    def __init__(self, width: int, heads: int, dropout: float = 0.0) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"the heads must divide the width: got {heads} heads, width {width}")
        self.heads = heads
        self.dropout = dropout
        self.query = nn.Linear(width, width)
        self.key = nn.Linear(width, width)
        self.value = nn.Linear(width, width)
        self.out = nn.Linear(width, width)

    def forward(
        self,
        inputs: Tensor,
        memory: Tensor | None = None,
        seen: Tensor | None = None,
        causal: bool = False,
    ) -> Tensor:
        """What each token takes from `memory`, or from `inputs` themselves where that is None; see `attend`."""
        source = inputs if memory is None else memory
        queries, keys, values = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (self.query(inputs), self.key(source), self.value(source))
        )
        dropout = self.dropout if self.training else 0.0
        mixed = attend(queries, keys, values, seen, causal=causal, dropout=dropout)
        return self.out(mixed.transpose(1, 2).flatten(2))
