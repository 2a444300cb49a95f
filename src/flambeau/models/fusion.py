"""Several kinds of columns in one model: an encoder a kind, fused, and a network for tables on top."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from flambeau.models.embeddings import TableFeatures
from flambeau.models.mlp import MLP
from flambeau.models.tabm import TabM, draw_scales


class GatedFusion(nn.Module):
    """The gated multimodal unit for any number of parts (Arevalo et al. 2017, "Gated Multimodal Units for
    Information Fusion", eq. 1-5, and its general form for several modalities).

        h_i = tanh(W_i x_i),   z_i = σ(V_i [x_1, …, x_k]),   h = Σ_i z_i ⊙ h_i

    so that each part says something, and all parts together decide how much of it counts.

    Args:
        widths: of the parts.
        width: of the result.

    Shapes: k tensors (batch, widths[i]) → (batch, width).
    """

    def __init__(self, widths: Sequence[int], width: int) -> None:
        super().__init__()
        self.words = nn.ModuleList(nn.Linear(own, width) for own in widths)
        self.gates = nn.ModuleList(nn.Linear(sum(widths), width) for _ in widths)

    def forward(self, parts: Sequence[Tensor]) -> Tensor:
        together = torch.cat(list(parts), dim=1)
        spoken = [
            torch.sigmoid(gate(together)) * torch.tanh(word(part))
            for word, gate, part in zip(self.words, self.gates, parts, strict=True)
        ]
        return torch.stack(spoken).sum(0)


class PictureColumns(nn.Module):
    """One encoder for the pictures of all columns; a picture that is not there is a learned vector of its column.

    In training, only pictures that are there pass the encoder, so they alone make the statistics of its normalisation
    layers. In evaluation all pass, and the answer to what is not there is not looked at.

    Args:
        encoder: pictures (batch, channels, height, width) → (batch, width).
        columns: how many columns of pictures a row has.
        width: of the encoder's answer.
        dropout: share of the features dropped in training.

    Shapes: for each column pictures (batch, channels, height, width) and present (batch,) of 0 and 1 → a list of
    (batch, width), one a column.
    """

    def __init__(self, encoder: nn.Module, columns: int, width: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.encoder = encoder
        self.columns = columns
        self.norm = nn.LayerNorm(width)
        self.absent = nn.Parameter(torch.zeros(columns, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, inputs: Sequence[Tensor]) -> list[Tensor]:
        pictures, present = torch.cat(list(inputs[0::2])), torch.cat(list(inputs[1::2])) > 0.5
        batch = inputs[0].shape[0]
        missing = self.absent.unsqueeze(1).expand(-1, batch, -1).flatten(0, 1)  # (columns · batch, width)
        if self.training:
            features = self._encode_present(pictures, present, missing)
        else:
            features = torch.where(present.unsqueeze(1), self.norm(self.encoder(pictures)), missing)
        return list(self.dropout(features).unflatten(0, (self.columns, batch)).unbind())

    def _encode_present(self, pictures: Tensor, present: Tensor, missing: Tensor) -> Tensor:
        there = present.nonzero().squeeze(1)
        if len(there) == 0:
            return missing
        # one picture alone has no batch statistics
        chosen = there if len(there) > 1 else there.repeat(2)
        features = self.norm(self.encoder(pictures.index_select(0, chosen)))
        return missing.to(features.dtype).index_copy(0, there, features[: len(there)])


class Fusion(nn.Module):
    """Numbers, categories, texts and pictures of a row in one model.

    Each kind of column has its encoder. What they say is put side by side, or blended by gates, and a network for
    tables answers: TabM's many small networks in one, or a plain MLP.

    Args:
        outputs: classes, labels, or 1 for a regression.
        table: numbers and categories → (batch, table.width); None where there are none.
        text: tokens → (batch, text.width), with that attribute; None where there is no text.
        pictures: of all columns of pictures; None where there are none.
        picture_width: of one column's features.
        fusion: "concat" or "gated".
        members: networks in TabM's ensemble; 0 for an MLP.
        width: units of each hidden layer, and of the gated sum.
        depth: hidden layers.
        dropout: share of hidden units dropped in training.
        text_dropout: share of the text's features dropped in training.

    Shapes: numbers (batch, features) and categories (batch, columns) if there is a table; tokens (batch, length) if
    there is text; for each column of pictures pictures (batch, channels, height, width) and present (batch,)
    → (batch, members, outputs), or (batch, outputs) for an MLP.

    Raises:
        ValueError: nothing to fuse, or an unknown fusion.
    """

    def __init__(
        self,
        outputs: int,
        *,
        table: TableFeatures | None = None,
        text: nn.Module | None = None,
        pictures: PictureColumns | None = None,
        picture_width: int = 0,
        fusion: str = "concat",
        members: int = 16,
        width: int = 128,
        depth: int = 2,
        dropout: float = 0.0,
        text_dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if table is None and text is None and pictures is None:
            raise ValueError("there is nothing to fuse: got no numbers, no text and no pictures")
        if fusion not in ("concat", "gated"):
            raise ValueError(f"fusion must be concat or gated, got '{fusion}'")
        self.table, self.text, self.pictures = table, text, pictures
        text_width = 0 if text is None else int(text.width)  # type: ignore[arg-type]
        self.text_norm = nn.LayerNorm(text_width) if text is not None else nn.Identity()
        self.text_dropout = nn.Dropout(text_dropout)
        widths = [] if table is None else list(table.widths)
        parts = [] if table is None else [table.width]
        rest = [text_width] * (text is not None) + [picture_width] * (
            0 if pictures is None else pictures.columns
        )
        widths, parts = widths + rest, parts + rest
        self.gated = GatedFusion(parts, width) if fusion == "gated" else None
        fused = sum(widths) if self.gated is None else width
        self.members = members
        self.head: nn.Module
        if members:
            self.head = TabM(fused, (), outputs, members=members, width=width, depth=depth, dropout=dropout)
            # as in a TabM with embeddings: a member weighs features, not single units of their vectors
            scales = draw_scales(members, widths if self.gated is None else [1] * width, signs_only=False)
            self.head.scales = nn.Parameter(scales)
        else:
            self.head = MLP(fused, outputs, width=width, depth=depth, dropout=dropout)

    def set_bins(self, numbers: np.ndarray) -> None:
        """Put the bin edges at quantiles of prepared training numbers (rows, number_features). They become state."""
        if self.table is not None:
            self.table.set_bins(numbers)

    def forward(self, *inputs: Tensor) -> Tensor:
        place = 0
        parts: list[Tensor] = []
        if self.table is not None:
            parts.append(self.table(inputs[0], inputs[1]))
            place = 2
        if self.text is not None:
            parts.append(self.text_dropout(self.text_norm(self.text(inputs[place]))))
            place += 1
        if self.pictures is not None:
            parts += self.pictures(inputs[place:])
        fused = torch.cat(parts, dim=1) if self.gated is None else self.gated(parts)
        if self.members:
            return self.head(fused, fused.new_zeros((fused.shape[0], 0), dtype=torch.int64))
        return self.head(fused)
