"""Language models: from token ids to logits of each next token."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROTARY_BASE = 10_000.0
WEIGHT_DEVIATION = 0.02
# On a CPU in bf16, products over all pairs of tokens take a third to two thirds of the fused kernel's time up to here.
LONGEST_IN_FULL = 512
# What a layer has seen: keys and values of attention, or hidden and cell state of an LSTM.
Memory = tuple[Tensor, Tensor]


def rotary_angles(begin: int, length: int, width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Cosines and sines (length, width / 2) of rotary positions `begin`, `begin` + 1 and so on (Su et al. 2021)."""
    rates = ROTARY_BASE ** (-torch.arange(0, width, 2, device=device, dtype=torch.float32) / width)
    angles = torch.arange(begin, begin + length, device=device, dtype=torch.float32)[:, None] * rates
    return angles.cos(), angles.sin()


def rotate_positions(values: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    """(batch, heads, length, width) with each pair of the two halves turned by the angle of its position."""
    first, second = values.float().chunk(2, dim=-1)
    turned = torch.cat([first * cosines - second * sines, first * sines + second * cosines], dim=-1)
    return turned.to(values.dtype)


def causal_attention(queries: Tensor, keys: Tensor, values: Tensor) -> Tensor:
    """softmax(q kᵀ / √width) v, each token over itself and those before it (Vaswani et al. 2017).

    Args:
        queries, keys, values: (batch, heads, length, width).

    Returns:
        (batch, heads, length, width).
    """
    length, width = queries.shape[-2:]
    if queries.device.type != "cpu" or queries.dtype != torch.bfloat16 or length > LONGEST_IN_FULL:
        return F.scaled_dot_product_attention(queries, keys, values, is_causal=True)
    later = torch.full((length, length), -math.inf, dtype=queries.dtype).triu(1)
    flat = [part.flatten(0, 1) for part in (queries, keys, values)]
    scores = torch.baddbmm(
        later.expand(len(flat[0]), -1, -1), flat[0], flat[1].mT, alpha=1 / math.sqrt(width)
    )
    return torch.bmm(scores.softmax(dim=-1), flat[2]).view_as(queries)


class LanguageAttention(nn.Module):
    """Causal self-attention with rotary positions; queries and keys are normalised, which keeps steps of Muon steady.

    Args:
        width: of a token.
        heads: a divisor of the width, with an even width each.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width, bias=False)
        self.out = nn.Linear(width, width, bias=False)

    def forward(self, inputs: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """(batch, length, width) → the same, each token from itself and those before it."""
        queries, keys, values = self.project(inputs, cosines, sines)
        mixed = causal_attention(queries, keys, values)
        return self.out(mixed.transpose(1, 2).flatten(2))

    def project(self, inputs: Tensor, cosines: Tensor, sines: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values (batch, heads, length, width / heads), at their positions."""
        parts = self.qkv(inputs).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        queries, keys = (F.rms_norm(part, part.shape[-1:]) for part in (parts[0], parts[1]))
        turned = rotate_positions(queries, cosines, sines), rotate_positions(keys, cosines, sines)
        return *turned, parts[2]

    def extend(
        self, inputs: Tensor, cosines: Tensor, sines: Tensor, memory: Memory | None, context: int
    ) -> tuple[Tensor, Memory]:
        """As `forward`, for tokens (batch, length, width) behind those in `memory`; with the new memory.

        Of what was there before, so much is kept that a later token looks back on `context` tokens at most.
        """
        queries, keys, values = self.project(inputs, cosines, sines)
        past = 0
        if memory is not None:
            past = memory[0].shape[2]
            keys, values = torch.cat([memory[0], keys], dim=2), torch.cat([memory[1], values], dim=2)
        shape = (queries.shape[2], keys.shape[2])
        seen = torch.ones(shape, dtype=torch.bool, device=inputs.device).tril(past)
        mixed = F.scaled_dot_product_attention(queries, keys, values, attn_mask=seen)
        kept = keys[:, :, 1 - context :], values[:, :, 1 - context :]
        return self.out(mixed.transpose(1, 2).flatten(2)), kept


class LanguageBlock(nn.Module):
    """Attention and a net of two layers with squared ReLU (So et al. 2021), each normalised before and added.

    Args:
        width, heads, dropout: as for `LanguageAttention`.
    """

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.before_attention = nn.RMSNorm(width)
        self.attention = LanguageAttention(width, heads)
        self.before_net = nn.RMSNorm(width)
        self.up = nn.Linear(width, 4 * width, bias=False)
        self.down = nn.Linear(4 * width, width, bias=False)
        self.drop = nn.Dropout(dropout)

    def forward(self, inputs: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
        """(batch, length, width) → the same."""
        inputs = inputs + self.drop(self.attention(self.before_attention(inputs), cosines, sines))
        return inputs + self.drop(self.net(inputs))

    def net(self, inputs: Tensor) -> Tensor:
        """What the two layers add to each token (batch, length, width)."""
        return self.down(F.relu(self.up(self.before_net(inputs))).square())

    def extend(
        self, inputs: Tensor, cosines: Tensor, sines: Tensor, memory: Memory | None, context: int
    ) -> tuple[Tensor, Memory]:
        """As `forward` in evaluation, for tokens behind those in `memory`; with the new memory."""
        mixed, memory = self.attention.extend(self.before_attention(inputs), cosines, sines, memory, context)
        inputs = inputs + mixed
        return inputs + self.net(inputs), memory


class LanguageTransformer(nn.Module):
    """A decoder-only transformer: token ids (batch, length) → logits of each next token (batch, length, vocabulary).

    Args:
        vocabulary: how many ids there are.
        context: tokens that it looks back on; longer inputs are not for training.
        width: of a token.
        depth: blocks.
        heads: of attention.
        dropout: share of units dropped in training.
        tie: use the vectors of the tokens for predicting them too (Press and Wolf 2017).
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        width: int = 192,
        depth: int = 6,
        heads: int = 6,
        dropout: float = 0.0,
        tie: bool = False,
    ) -> None:
        super().__init__()
        if width % heads or (width // heads) % 2:
            raise ValueError(
                f"the width must be an even multiple of the heads: got a width of {width} and {heads} heads"
            )
        self.context = context
        self.head_width = width // heads
        self.embedding = nn.Embedding(vocabulary, width)
        self.drop = nn.Dropout(dropout)
        self.blocks = nn.ModuleList(LanguageBlock(width, heads, dropout) for _ in range(depth))
        self.last = nn.RMSNorm(width)
        self.head = None if tie else nn.Linear(width, vocabulary, bias=False)
        self.set_first_weights(depth)

    def set_first_weights(self, depth: int) -> None:
        """Normal with deviation 0.02; what is added to the stream is smaller in deep nets (Radford et al. 2019)."""
        for name, parameter in self.named_parameters():
            if parameter.ndim >= 2:
                added = name.endswith(("out.weight", "down.weight"))
                nn.init.normal_(parameter, std=WEIGHT_DEVIATION / (math.sqrt(2 * depth) if added else 1.0))

    def hidden_names(self) -> list[str]:
        """Names of the matrices inside the blocks, for which Muon is made."""
        return [
            name for name, parameter in self.named_parameters() if "blocks." in name and parameter.ndim == 2
        ]

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, length, vocabulary); those at a place know the tokens up to it."""
        cosines, sines = rotary_angles(0, tokens.shape[1], self.head_width, tokens.device)
        stream = self.drop(self.embedding(tokens))
        for block in self.blocks:
            stream = block(stream, cosines, sines)
        return self.predict(self.last(stream))

    def predict(self, stream: Tensor) -> Tensor:
        """(..., width) → logits (..., vocabulary)."""
        return F.linear(stream, self.embedding.weight) if self.head is None else self.head(stream)

    def extend(self, tokens: Tensor, memory: list[Memory] | None, place: int) -> tuple[Tensor, list[Memory]]:
        """Logits (batch, vocabulary) of the token behind `tokens` (batch, length), and what to remember.

        Args:
            tokens: the next ones of the text.
            memory: of the call before, None at the start.
            place: how many tokens came before these.
        """
        cosines, sines = rotary_angles(place, tokens.shape[1], self.head_width, tokens.device)
        stream, kept = self.embedding(tokens), []
        for number, block in enumerate(self.blocks):
            assert isinstance(block, LanguageBlock)
            stream, own = block.extend(
                stream, cosines, sines, None if memory is None else memory[number], self.context
            )
            kept.append(own)
        return self.predict(self.last(stream[:, -1])), kept


class LanguageLSTM(nn.Module):
    """A stack of LSTM layers: token ids (batch, length) → logits of each next token (batch, length, vocabulary).

    Args:
        vocabulary, context, width, depth, dropout, tie: as for `LanguageTransformer`.
    """

    def __init__(
        self,
        vocabulary: int,
        context: int,
        width: int = 512,
        depth: int = 2,
        dropout: float = 0.0,
        tie: bool = False,
    ) -> None:
        super().__init__()
        self.context = context
        self.embedding = nn.Embedding(vocabulary, width)
        self.layers = nn.ModuleList(nn.LSTM(width, width, batch_first=True) for _ in range(depth))
        self.drop = nn.Dropout(dropout)
        self.head = None if tie else nn.Linear(width, vocabulary)
        nn.init.normal_(self.embedding.weight, std=WEIGHT_DEVIATION)

    def forward(self, tokens: Tensor) -> Tensor:
        """Logits (batch, length, vocabulary); each window begins without a memory."""
        stream = self.drop(self.embedding(tokens))
        for layer in self.layers:
            stream = self.drop(layer(stream)[0])
        return self.predict(stream)

    def predict(self, stream: Tensor) -> Tensor:
        """(..., width) → logits (..., vocabulary)."""
        return F.linear(stream, self.embedding.weight) if self.head is None else self.head(stream)

    def extend(self, tokens: Tensor, memory: list[Memory] | None, place: int) -> tuple[Tensor, list[Memory]]:
        """Logits (batch, vocabulary) of the token behind `tokens` (batch, length), and what to remember."""
        stream, kept = self.embedding(tokens), []
        for number, layer in enumerate(self.layers):
            stream, own = layer(stream, None if memory is None else memory[number])
            kept.append(own)
        return self.predict(stream[:, -1]), kept
