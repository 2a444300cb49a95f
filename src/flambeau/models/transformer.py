"""Transformer blocks (Vaswani et al. 2017), normalised first (Xiong et al. 2020), and an encoder of texts."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from flambeau.models.attention import MultiHeadAttention
from flambeau.models.text import mean_of_tokens

TOKEN_DEVIATION = 0.02


class EncoderBlock(nn.Module):
    """Self-attention, then a net of two layers, each normalised before and added to what came in.

    Args:
        width: of a token.
        heads: a divisor of the width.
        hidden: units between the two layers.
        dropout: of attention's weights and of what each part adds.

    Shapes: (batch, length, width) → the same.
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.attention_norm = nn.LayerNorm(width)
        self.attention = MultiHeadAttention(width, heads, dropout)
        self.net_norm = nn.LayerNorm(width)
        self.net = nn.Sequential(
            nn.Linear(width, hidden), nn.GELU(), nn.Dropout(dropout), nn.Linear(hidden, width)
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, seen: Tensor | None = None, causal: bool = False) -> Tensor:
        """`seen` (batch, length) of bool: the tokens that are no padding; `causal`: each sees those before it only."""
        attended = self.attention(self.attention_norm(inputs), None, seen, causal)
        inputs = inputs + self.dropout(attended)
        return inputs + self.dropout(self.net(self.net_norm(inputs)))


class DecoderBlock(nn.Module):
    """Causal self-attention, attention to what an encoder said, then a net of two layers.

    Args:
        width, heads, hidden, dropout: as for `EncoderBlock`.

    Shapes: inputs (batch, length, width), memory (batch, other length, width) → (batch, length, width).
    """

    def __init__(self, width: int, heads: int, hidden: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.own = EncoderBlock(width, heads, hidden, dropout)
        self.memory_norm = nn.LayerNorm(width)
        self.memory_attention = MultiHeadAttention(width, heads, dropout)

    def forward(
        self, inputs: Tensor, memory: Tensor, seen: Tensor | None = None, memory_seen: Tensor | None = None
    ) -> Tensor:
        """`seen` (batch, length) and `memory_seen` (batch, other length) of bool: the tokens that are no padding."""
        block = self.own
        attended = block.attention(block.attention_norm(inputs), None, seen, True)
        inputs = inputs + block.dropout(attended)
        attended = self.memory_attention(self.memory_norm(inputs), memory, memory_seen)
        inputs = inputs + block.dropout(attended)
        return inputs + block.dropout(block.net(block.net_norm(inputs)))


class TextTransformer(nn.Module):
    """A transformer encoder of texts, with learned positions and the mean of its last tokens.

    Args:
        cardinality: of the tokens, padding (0) included.
        length: the most tokens of a text.
        width: of a token.
        depth: blocks.
        heads: a divisor of the width.
        dropout: of tokens' vectors, attention and what each block adds.

    Shapes: tokens (batch, length) int → (batch, width). Padding changes nothing, up to rounding.
    """

    def __init__(
        self, cardinality: int, length: int, *, width: int, depth: int, heads: int = 4, dropout: float = 0.0
    ) -> None:
        super().__init__()
        self.width = width
        self.tokens = nn.Embedding(cardinality, width, padding_idx=0)
        self.places = nn.Parameter(torch.randn(length, width) * TOKEN_DEVIATION)
        nn.init.normal_(self.tokens.weight[1:], std=TOKEN_DEVIATION)
        self.dropout = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(EncoderBlock(width, heads, 4 * width, dropout) for _ in range(depth))
        self.norm = nn.LayerNorm(width)

    def forward(self, tokens: Tensor) -> Tensor:
        real = tokens > 0
        # A text without tokens sees its first place, so that the softmax has something to be over.
        seen = torch.cat([torch.ones_like(real[:, :1]), real[:, 1:]], dim=1)
        inputs = self.dropout(self.tokens(tokens) + self.places[: tokens.shape[1]])
        for block in self.blocks:
            inputs = block(inputs, seen)
        return mean_of_tokens(self.norm(inputs), real)
