"""Batches of samples of about one length: little padding, each sample once, a function of epoch and step alone."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import Tensor

from flambeau.data.batches import Batches
from flambeau.data.texts.length_batches import arrange_by_length, gather_trimmed, token_counts
from flambeau.planning.texts import plan_text_length
from flambeau.recipe import Choices, Recipe


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


def uneven(tokens_a_word: int) -> Tensor:
    """Lengths (10,000,) of texts of 1 to 300 words, as many tokens of a word, cut as the length of a run is chosen."""
    generator = torch.Generator().manual_seed(0)
    words = torch.randn(10_000, generator=generator).mul(0.9).add(2.7).exp().clamp(1, 300).long()
    counts = (words * tokens_a_word).numpy()
    choices = Choices(Recipe())
    plan_text_length(choices, counts)
    return torch.from_numpy(counts).clamp(max=choices.recipe.text.length)


def steps_of(lengths: Tensor, steps: int, seed: int) -> list[Tensor]:
    """The samples of each step of an epoch."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.randperm(len(lengths), generator=generator)
    return list(arrange_by_length(order, steps, generator, lengths=lengths).tensor_split(steps))


def meet_again(one: list[Tensor], other: list[Tensor]) -> float:
    """The share of a step of one epoch that shares a step in another epoch too, at most; the mean over the steps."""
    place = torch.empty(sum(len(step) for step in other), dtype=torch.long)
    for number, step in enumerate(other):
        place[step] = number
    return sum(int(place[step].bincount().max()) / len(step) for step in one) / len(one)


@pytest.mark.parametrize(("size", "again"), [(64, 0.35), (256, 0.7)])
@pytest.mark.parametrize(
    "lengths",
    [uneven(1), uneven(13), torch.arange(6_400) % 490 + 20, torch.arange(6_400) % 15 + 1],
    ids=["words", "n-grams", "any length", "short"],
)
def test_steps_waste_little_and_differ_from_epoch_to_epoch(lengths: Tensor, size: int, again: float) -> None:
    steps = round(len(lengths) / size)
    one, other = (steps_of(lengths, steps, seed) for seed in (1, 2))
    assert max(padding_share(lengths[torch.cat(epoch)], steps) for epoch in (one, other)) < 0.15
    assert meet_again(one, other) < again
    assert meet_again(one, one) == 1


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
