"""Batches of samples of about one length, so that little is computed for padding."""

from __future__ import annotations

import torch
from torch import Tensor

from flambeau.data.batches import Gather, Inputs

# How far a length is moved at random, at most, before samples are put in order of it, as a share of the mean length.
# In mere order of length the same samples would share a step in each epoch. With this, a third to a half of them part
# ways in steps of 256, three quarters in steps of 64, and no sample costs more than a twelfth of the mean length more.
LENGTH_JITTER = 0.04


def arrange_by_length(order: Tensor, steps: int, generator: torch.Generator, *, lengths: Tensor) -> Tensor:
    """An order of samples whose steps each hold samples of about one length; the steps themselves in random order.

    Args:
        order: (count,) int64, the samples of an epoch in random order.
        steps: into so many steps the order is cut, the first ones one sample longer where it is not even.
        generator: of how far each length is moved, and of the order of steps.
        lengths: (all samples,) of any integer type.
    """
    size, longer = divmod(len(order), steps)
    sizes = [size + 1] * longer + [size] * (steps - longer)
    own = lengths[order].to(torch.float64)
    most = LENGTH_JITTER * own.sum() / max(1, len(order))
    moved = own + most * (2 * torch.rand(len(order), generator=generator, dtype=torch.float64) - 1)
    cut = order[moved.argsort(stable=True)].split(sizes)
    # Longer steps stay in front, where the batches expect them.
    front, rest = (
        torch.randperm(longer, generator=generator),
        torch.randperm(steps - longer, generator=generator),
    )
    return torch.cat([cut[place] for place in [*front.tolist(), *(rest + longer).tolist()]])


def gather_trimmed(*tensors: Tensor, tokens: int) -> Gather:
    """A gather over tensors that share their first dimension, of which one holds tokens padded with 0 at the end.

    Those of a batch are cut behind its longest sample.

    Args:
        tensors: (count, ...) each; they stay where they are.
        tokens: the place of the tokens (count, length) among them.
    """
    widths = token_counts(tensors[tokens]).cpu()

    def gather(rows: Tensor) -> Inputs:
        inputs = [tensor.index_select(0, rows.to(tensor.device)) for tensor in tensors]
        longest = max(1, int(widths[rows.cpu()].max())) if len(rows) else 1
        inputs[tokens] = inputs[tokens][:, :longest]
        return tuple(inputs)

    return gather


def token_counts(tokens: Tensor) -> Tensor:
    """(count,) int64: how many tokens of each row of (count, length) are no padding."""
    return (tokens != 0).sum(1)
