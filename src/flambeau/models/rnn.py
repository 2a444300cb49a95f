"""Recurrent nets on sequences of different lengths: LSTM, GRU and plain RNN, in one or both directions."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from flambeau.models.text import largest_of_tokens


def reverse_within(values: Tensor, lengths: Tensor) -> Tensor:
    """Sequences (batch, length, width) turned round within their own lengths (batch,); padding stays behind."""
    places = torch.arange(values.shape[1], device=values.device)
    turned = lengths.unsqueeze(1) - 1 - places
    turned = torch.where(turned >= 0, turned, places)
    return values.gather(1, turned.unsqueeze(2).expand_as(values))


def run_recurrent(layer: nn.Module, values: Tensor, lengths: Tensor, *, packed: bool) -> Tensor:
    """Outputs (batch, length, hidden) of a layer in one direction; behind a sequence's end they mean nothing.

    Args:
        layer: LSTM, GRU or RNN with `batch_first`.
        values: (batch, length, width).
        lengths: (batch,) int64, at least 1.
        packed: whether nothing is computed for padding. Without, the same numbers come out, with more work: what a
            step says never depends on later ones.
    """
    if not packed:
        return layer(values)[0]
    sequence = pack_padded_sequence(values, lengths.cpu(), batch_first=True, enforce_sorted=False)
    return pad_packed_sequence(layer(sequence)[0], batch_first=True, total_length=values.shape[1])[0]


class TextRecurrent(nn.Module):
    """A recurrent encoder of texts; the largest answer of each unit over all tokens (Conneau et al. 2017).

    Args:
        cardinality: of the tokens, padding (0) included.
        cell: "lstm" (Hochreiter and Schmidhuber 1997), "gru" (Cho et al. 2014) or "rnn".
        width: of a token's vector, and of each direction's hidden state.
        depth: layers.
        bidirectional: whether each layer also reads from the end.
        dropout: share of the vectors' numbers, and of each layer's outputs, dropped in training.

    Attributes:
        packed: whether batches are packed; off for graphs in files, where lengths are no Python numbers.

    Shapes: tokens (batch, length) int → (batch, width · directions).

    Raises:
        ValueError: an unknown cell.
    """

    def __init__(
        self,
        cardinality: int,
        *,
        cell: str = "lstm",
        width: int,
        depth: int = 1,
        bidirectional: bool = True,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if cell not in ("lstm", "gru", "rnn"):
            raise ValueError(f"a recurrent cell is lstm, gru or rnn, got '{cell}'")
        self.width = width * (2 if bidirectional else 1)
        self.packed = True
        self.vectors = nn.Embedding(cardinality, width, padding_idx=0)
        nn.init.normal_(self.vectors.weight[1:], std=0.1)
        self.dropout = nn.Dropout(dropout)
        kind = nn.LSTM if cell == "lstm" else nn.GRU if cell == "gru" else nn.RNN
        sizes = [width] + [self.width] * (depth - 1)
        self.ahead = nn.ModuleList(kind(size, width, batch_first=True) for size in sizes)
        self.back = nn.ModuleList(kind(size, width, batch_first=True) for size in sizes if bidirectional)

    def forward(self, tokens: Tensor) -> Tensor:
        real = tokens > 0
        # An empty sequence cannot be packed; the vector of padding is zero.
        lengths = real.sum(1).clamp(min=1)
        values = self.dropout(self.vectors(tokens))
        for place, ahead in enumerate(self.ahead):
            outputs = run_recurrent(ahead, values, lengths, packed=self.packed)
            if len(self.back):
                turned = reverse_within(values, lengths)
                answers = run_recurrent(self.back[place], turned, lengths, packed=self.packed)
                outputs = torch.cat([outputs, reverse_within(answers, lengths)], dim=2)
            values = self.dropout(outputs)
        return largest_of_tokens(values, real)
