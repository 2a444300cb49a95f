"""Modules of texts as files can hold them: the same numbers, up to rounding, from operators that every format knows."""

from __future__ import annotations

from torch import Tensor, nn

from flambeau.models.rnn import TextRecurrent
from flambeau.models.text import TextBag


class SummedBag(nn.Module):
    """A trained `TextBag` as a product of weights and vectors, in place of an operator that ONNX lacks.

    Shapes: tokens (batch, length) int → (batch, width).
    """

    def __init__(self, bag: TextBag) -> None:
        super().__init__()
        self.vectors = bag.vectors

    def forward(self, tokens: Tensor) -> Tensor:
        weights = (tokens > 0).to(self.vectors.weight.dtype)
        weights = weights / weights.sum(1, keepdim=True).clamp(min=1)
        return (weights.unsqueeze(1) @ self.vectors(tokens)).squeeze(1)


def made_for_files(model: nn.Module) -> nn.Module:
    """The model with its bags and recurrent encoders as files can hold them; it is changed in place."""
    for module in list(model.modules()):
        if isinstance(module, TextRecurrent):
            module.packed = False
        for name, part in list(module.named_children()):
            if isinstance(part, TextBag):
                setattr(module, name, SummedBag(part))
    return model
