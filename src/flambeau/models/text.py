"""Encoders of texts that know no order or only a near one: a bag of hashed n-grams, convolutions; and their head.

An encoder takes tokens (batch, length), 0 for padding, gives (batch, width), and has that width as an attribute. How
far a batch is padded changes nothing, up to rounding.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mean_of_tokens(values: Tensor, real: Tensor) -> Tensor:
    """The mean (batch, width) of values (batch, length, width) where `real` (batch, length); 0 where nothing is."""
    weights = real.to(values.dtype).unsqueeze(2)
    return (values * weights).sum(1) / weights.sum(1).clamp(min=1)


def largest_of_tokens(values: Tensor, real: Tensor) -> Tensor:
    """The largest (batch, width) of values (batch, length, width) where `real` (batch, length); 0 where nothing is."""
    smallest = torch.finfo(values.dtype).min
    largest = values.masked_fill(~real.unsqueeze(2), smallest).amax(1)
    return largest.masked_fill(~real.any(1, keepdim=True), 0)


class TextBag(nn.Module):
    """The mean of the vectors of a text's n-grams (fastText: Joulin et al. 2016, "Bag of Tricks for Efficient Text
    Classification"), of which some are left out in training.

    Args:
        cardinality: of the tokens, padding (0) included.
        width: of a vector.
        token_dropout: share of the tokens left out in training, each sample its own.

    Shapes: tokens (batch, length) int → (batch, width).
    """

    def __init__(self, cardinality: int, *, width: int, token_dropout: float = 0.0) -> None:
        super().__init__()
        self.width = width
        self.token_dropout = token_dropout
        self.vectors = nn.Embedding(cardinality, width, padding_idx=0)
        nn.init.uniform_(self.vectors.weight[1:], -1 / width, 1 / width)

    def forward(self, tokens: Tensor) -> Tensor:
        weights = (tokens > 0).to(self.vectors.weight.dtype)
        count = weights.sum(1, keepdim=True).clamp(min=1)
        weights = F.dropout(weights, self.token_dropout, self.training) / count
        return F.embedding_bag(
            tokens, self.vectors.weight, per_sample_weights=weights, mode="sum", padding_idx=0
        )


class TextCNN(nn.Module):
    """Convolutions over tokens, each filter's largest answer (Kim 2014, "Convolutional Neural Networks for Sentence
    Classification").

    Args:
        cardinality: of the tokens, padding (0) included.
        width: of a token's vector.
        filters: of each size; the encoder's width is that times the number of sizes.
        sizes: how many neighbouring tokens a filter sees.
        dropout: share of each vector's numbers dropped in training.

    Shapes: tokens (batch, length) int → (batch, filters · sizes).
    """

    def __init__(
        self,
        cardinality: int,
        *,
        width: int,
        filters: int,
        sizes: Sequence[int] = (2, 3, 4),
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.width = filters * len(sizes)
        self.sizes = tuple(sizes)
        self.vectors = nn.Embedding(cardinality, width, padding_idx=0)
        nn.init.normal_(self.vectors.weight[1:], std=0.1)
        self.dropout = nn.Dropout(dropout)
        self.convolutions = nn.ModuleList(nn.Conv1d(width, filters, size) for size in sizes)

    def forward(self, tokens: Tensor) -> Tensor:
        real = tokens > 0
        vectors = self.dropout(self.vectors(tokens)) * real.unsqueeze(2)
        # A window may reach beyond a text's end, where it finds zeros, as many as it needs.
        spread = vectors.transpose(1, 2)
        answers = [
            largest_of_tokens(F.relu(layer(F.pad(spread, (0, size - 1)))).transpose(1, 2), real)
            for layer, size in zip(self.convolutions, self.sizes, strict=True)
        ]
        return torch.cat(answers, dim=1)


class BodyEncoder(nn.Module):
    """The mean of what a transformer of the library `transformers` says of a text's tokens.

    Args:
        body: called with input_ids and attention_mask, gives `last_hidden_state`; its `config` has a hidden_size.

    Shapes: tokens (batch, length) int, the tokenizer's numbers moved by one, 0 for padding → (batch, width).
    """

    def __init__(self, body: nn.Module) -> None:
        super().__init__()
        self.body = body
        self.width = int(body.config.hidden_size)  # type: ignore[union-attr, arg-type]

    def forward(self, tokens: Tensor) -> Tensor:
        real = tokens > 0
        seen = torch.cat([torch.ones_like(real[:, :1]), real[:, 1:]], dim=1)
        answers = self.body(input_ids=(tokens.long() - 1).clamp(min=0), attention_mask=seen.long())
        return mean_of_tokens(answers.last_hidden_state, real)


def weights_of_body(body: nn.Module) -> dict[str, Tensor]:
    """The state dict of a body as that of a `TextModel` over it, in fp32."""
    return {
        f"encoder.body.{name}": tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in body.state_dict().items()
    }


class TextModel(nn.Module):
    """An encoder of texts with a linear head.

    Args:
        encoder: tokens (batch, length) → (batch, encoder.width).
        outputs: classes, labels, or 1 for a regression.
        dropout: share of the encoder's answer dropped in training.

    Shapes: tokens (batch, length) int → (batch, outputs).
    """

    def __init__(self, encoder: nn.Module, outputs: int, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(int(encoder.width), outputs)  # type: ignore[arg-type]

    def forward(self, tokens: Tensor) -> Tensor:
        return self.head(self.dropout(self.encoder(tokens)))
