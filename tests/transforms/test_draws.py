"""Draws are uniform, independent of each other, and the same for a sample in whatever batch it lies."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy import stats
from torch import Tensor

from flambeau.transforms.draws import Draws

CPU = torch.device("cpu")
COUNT = 20_000


def draws(seed: int = 0, epoch: int = 0, rows: Tensor | None = None) -> Draws:
    return Draws(seed, epoch, torch.arange(COUNT) if rows is None else rows, CPU)


def streams() -> dict[str, np.ndarray]:
    """Numbers of several calls, epochs and seeds, each (samples,)."""
    found = {}
    for seed in (0, 1, 2**63):
        for epoch in (0, 1, 2):
            one = draws(seed, epoch)
            for call in range(3):
                found[f"seed {seed}, epoch {epoch}, call {call}"] = one.uniform().numpy()
        found[f"seed {seed}, all epochs"] = draws(seed).uniform_for_all_epochs().numpy()
    return found


def test_each_stream_is_uniform_by_kolmogorov_and_smirnov() -> None:
    for name, numbers in streams().items():
        assert numbers.dtype == np.float32 and numbers.min() >= 0 and numbers.max() < 1
        assert stats.kstest(numbers, "uniform").pvalue > 1e-4, name


def test_streams_neighbouring_samples_calls_epochs_and_seeds_are_uncorrelated() -> None:
    table = np.stack(list(streams().values()))
    correlations = np.corrcoef(table) - np.eye(len(table))
    # The deviation of a correlation of independent numbers is 1 / sqrt(n); 435 pairs stay within five of it.
    assert np.abs(correlations).max() < 5 / COUNT**0.5
    for numbers in table:
        for distance in (1, 2, 32, 64):
            assert abs(np.corrcoef(numbers[:-distance], numbers[distance:])[0, 1]) < 5 / COUNT**0.5


def test_numbers_of_three_calls_fill_the_cube_evenly() -> None:
    one = draws(7)
    cells = sum((one.uniform().numpy() * 8).astype(int) * 8**place for place in range(3))
    assert stats.chisquare(np.bincount(cells, minlength=512)).pvalue > 1e-4


def test_a_sample_has_its_numbers_in_whatever_batch_it_lies() -> None:
    order = torch.randperm(COUNT, generator=torch.Generator().manual_seed(1))
    whole, shuffled, few = draws(3, 4), draws(3, 4, order), draws(3, 4, order[100:107])
    for _ in range(3):
        expected = whole.uniform()
        assert torch.equal(shuffled.uniform(), expected[order])
        assert torch.equal(few.uniform(), expected[order[100:107]])
    assert torch.equal(few.beta(0.4), whole.beta(0.4)[order[100:107]])
    assert torch.equal(few.uniform_for_all_epochs(), whole.uniform_for_all_epochs()[order[100:107]])


def test_what_depends_on_the_epoch_and_what_does_not() -> None:
    first, second = draws(epoch=0), draws(epoch=1)
    assert not torch.equal(first.uniform(), second.uniform())
    assert torch.equal(first.uniform_for_all_epochs(), second.uniform_for_all_epochs())
    assert torch.equal(first.uniform_for_all_epochs(), first.uniform_for_all_epochs())
    assert not torch.equal(first.uniform(), first.uniform())


@pytest.mark.parametrize("alpha", [0.1, 0.4, 1.0, 2.0])
def test_beta_numbers_have_the_distribution(alpha: float) -> None:
    numbers = draws(5).beta(alpha).numpy()
    assert numbers.dtype == np.float32
    # Counted in tenths, because float32 rounds what is next to 1 up to 1, and with a small alpha that is a lot.
    edges = np.linspace(0, 1, 11)
    expected = np.diff(stats.beta(alpha, alpha).cdf(edges)) * COUNT
    assert stats.chisquare(np.histogram(numbers, edges)[0], expected).pvalue > 1e-4
    with pytest.raises(ValueError, match="above 0, got -1"):
        draws().beta(-1)


def test_partners_are_neighbours_inside_each_batch() -> None:
    assert draws(rows=torch.arange(5)).partners().tolist() == [1, 0, 3, 2, 4]
    several = Draws(0, 0, torch.arange(10), CPU, sizes=(3, 1, 4, 2))
    assert several.partners().tolist() == [1, 0, 2, 3, 5, 4, 7, 6, 9, 8]
