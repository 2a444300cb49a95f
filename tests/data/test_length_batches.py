"""Batches of samples of about one length: little padding, each sample once, a function of epoch and step alone."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from flambeau.data.batches import Batches
from flambeau.data.texts.length_batches import arrange_by_length, gather_trimmed, token_counts


def texts_of(count: int, longest: int = 60) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    lengths = (torch.rand(count, generator=generator) ** 3 * longest).long()
    tokens = torch.randint(1, 100, (count, longest), generator=generator, dtype=torch.int32)
    return torch.where(torch.arange(longest) < lengths[:, None], tokens, 0).to(torch.int32)


def batches_of(tokens: Tensor, size: int, **options: int) -> Batches:
    lengths = token_counts(tokens)
    return Batches(
        gather_trimmed(tokens, tokens=0),
        torch.arange(len(tokens)),
        torch.arange(len(tokens)),
        size,
        0,
        arrange=partial(arrange_by_length, lengths=lengths),
        **options,
    )


@pytest.mark.parametrize(("count", "size"), [(1000, 32), (1003, 64), (97, 64), (20, 32), (5000, 16)])
def test_each_sample_comes_once_an_epoch(count: int, size: int) -> None:
    tokens = texts_of(count)
    batches = batches_of(tokens, size)
    seen = [batch.targets for batch in batches.epoch(3)]
    assert torch.cat(seen).sort().values.tolist() == list(range(count))
    sizes = {len(part) for part in seen}
    assert len(seen) == len(batches) and max(sizes) - min(sizes) <= 1
    for batch in batches.epoch(0):
        (own,) = batch.inputs
        longest = max(1, int(token_counts(own).max()))
        assert own.shape[1] == longest
        whole = tokens[batch.targets]
        torch.testing.assert_close(own, whole[:, :longest])
        assert not whole[:, longest:].any()


def padding_share(lengths: Tensor, steps: int) -> float:
    """Which share of what is computed is padding, where samples in this order are cut into so many steps."""
    size, longer = divmod(len(lengths), steps)
    sizes = [size + 1] * longer + [size] * (steps - longer)
    computed = sum(int(part.max()) * len(part) for part in lengths.split(sizes) if len(part))
    return 1 - float(lengths.sum()) / max(1, computed)


def test_padding_wastes_less_than_fifteen_percent() -> None:
    tokens = texts_of(10_000, 300)
    batches = batches_of(tokens, 64)
    lengths = token_counts(tokens)
    order = torch.cat([batch.targets for batch in batches.epoch(0)])
    assert padding_share(lengths[order], len(batches)) < 0.15
    assert padding_share(lengths, len(batches)) > 0.5


def test_a_few_very_long_texts_waste_no_more() -> None:
    lengths = (
        torch.randn(10_000, generator=torch.Generator().manual_seed(0))
        .mul(0.9)
        .add(2.7)
        .exp()
        .clamp(1, 300)
        .long()
    )
    steps = len(lengths) // 64
    generator = torch.Generator().manual_seed(0)
    order = arrange_by_length(torch.randperm(10_000, generator=generator), steps, generator, lengths=lengths)
    assert padding_share(lengths[order], steps) < 0.15


def test_epochs_differ_and_go_on_in_their_middle() -> None:
    batches = batches_of(texts_of(640), 32)
    first = [batch.targets.tolist() for batch in batches.epoch(0)]
    assert first == [batch.targets.tolist() for batch in batches.epoch(0)]
    assert first[7:] == [batch.targets.tolist() for batch in batches.epoch(0, 7)]
    assert first != [batch.targets.tolist() for batch in batches.epoch(1)]


def test_processes_share_each_step() -> None:
    tokens = texts_of(500)
    whole = [batch.targets.tolist() for batch in batches_of(tokens, 50).epoch(2)]
    shares = [list(batches_of(tokens, 50, rank=rank, ranks=3).epoch(2)) for rank in range(3)]
    for step, wanted in enumerate(whole):
        assert torch.cat([share[step].targets for share in shares]).tolist() == wanted
        assert all(share[step].count == len(wanted) for share in shares)
