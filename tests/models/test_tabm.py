"""TabM and its embeddings against their equations."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from flambeau.models.embeddings import CategoryEmbedding, PiecewiseLinearEmbedding, quantile_bins
from flambeau.models.tabm import TabM


def make_inputs(rows: int = 9, features: int = 4) -> tuple[Tensor, Tensor]:
    categories = torch.stack([torch.randint(0, size, (rows,)) for size in (3, 200)], dim=1)
    return torch.randn(rows, features), categories


def make_tabm(**options: int) -> TabM:
    torch.manual_seed(0)
    model = TabM(4, (3, 200), 2, **{"members": 5, "width": 16, "depth": 2, "bins": 6, **options})
    model.set_bins(np.random.default_rng(0).normal(size=(300, 4)))
    if model.features.numbers is not None:
        torch.nn.init.normal_(model.features.numbers.bends)
    return model.eval()


def test_encoding_by_hand() -> None:
    embedding = PiecewiseLinearEmbedding(2, 3, 4)
    embedding.set_edges(torch.tensor([[0.0, 1.0, 3.0, 4.0], [-1.0, 1.0, 1.0, 1.0]]))
    encoded = embedding.encode(torch.tensor([[2.0, 0.0], [-5.0, 7.0], [3.5, -1.0]]))
    expected = [
        [[1, 0.5, 0], [0.5, 0, 0]],
        [[0, 0, 0], [1, 0, 0]],
        [[1, 1, 0.5], [0, 0, 0]],
    ]
    torch.testing.assert_close(encoded, torch.tensor(expected))


def test_embedding_starts_linear_then_follows_its_equation() -> None:
    embedding = PiecewiseLinearEmbedding(3, 5, 2)
    x = torch.randn(8, 3)
    linear = x.unsqueeze(-1) * embedding.linear + embedding.bias
    torch.testing.assert_close(embedding(x), linear)
    torch.nn.init.normal_(embedding.bends)
    bent = torch.einsum("nfb,fbw->nfw", embedding.encode(x), embedding.bends)
    torch.testing.assert_close(embedding(x), linear + bent)


def test_edges_of_another_shape_are_refused() -> None:
    with pytest.raises(ValueError, match=r"must be \(3, 6\), got \(3, 5\)"):
        PiecewiseLinearEmbedding(3, 5, 2).set_edges(torch.zeros(3, 5))


def test_bins_hold_equally_many_values() -> None:
    values = np.random.default_rng(0).lognormal(size=(10_000, 1))
    edges = quantile_bins(values, 10)
    assert edges.shape == (1, 11) and edges.dtype == np.float32
    counts, _ = np.histogram(values, edges[0].astype(np.float64))
    assert counts.min() > 300 and counts.max() < 1700
    assert edges[0, 0] == np.float32(values.min()) and edges[0, -1] == np.float32(values.max())


def test_a_frequent_value_does_not_swallow_the_bins() -> None:
    values = np.concatenate([np.zeros(9000), np.arange(1.0, 1001.0)])[:, None]
    edges = quantile_bins(values, 16)[0]
    assert len(np.unique(edges)) == 17
    inner = np.diff(edges[2:-1])
    assert inner.min() > 20 and inner.max() < 200


def test_few_values_get_an_edge_each_and_padding() -> None:
    values = np.array([[0.0, 5.0], [1.0, 5.0], [0.0, 5.0]])
    np.testing.assert_array_equal(quantile_bins(values, 3), [[0, 1, 1, 1], [5, 5, 5, 5]])
    with pytest.raises(ValueError, match="at least one row"):
        quantile_bins(values[:0], 3)


def test_unknown_categories_are_zero_vectors() -> None:
    embedding = CategoryEmbedding((3, 200))
    assert embedding.widths[0] == 2 and embedding.widths[1] < 199
    out = embedding(torch.tensor([[0, 0], [1, 7], [2, 199]]))
    assert out.shape == (3, embedding.width)
    assert not out[0].any()
    torch.testing.assert_close(out[:, :2], torch.tensor([[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]))


@pytest.mark.parametrize("bins", [0, 6])
@pytest.mark.parametrize("members", [1, 5])
def test_each_member_is_the_plain_network_on_scaled_features(members: int, bins: int) -> None:
    model = make_tabm(members=members, bins=bins)
    numbers, categories = make_inputs()
    features = model.features(numbers, categories)
    for member in range(members):
        units = torch.relu(model.first(features * model.scales[member]))
        for layer in model.hidden:
            units = torch.relu(layer(units))
        expected = units @ model.heads[member] + model.head_biases[member]
        torch.testing.assert_close(model(numbers, categories)[:, member], expected)


def test_rows_are_independent() -> None:
    model, (numbers, categories) = make_tabm(), make_inputs()
    whole = model(numbers, categories)
    assert whole.shape == (9, 5, 2)
    torch.testing.assert_close(whole[3:4], model(numbers[3:4], categories[3:4]))


def test_scales_are_drawn_once_a_feature() -> None:
    model = make_tabm()
    start = 0
    for width in model.features.widths:
        block = model.scales[:, start : start + width]
        torch.testing.assert_close(block, block[:, :1].expand_as(block))
        start += width
    assert start == model.scales.shape[1]
    assert set(make_tabm(bins=0).scales.unique().tolist()) == {-1.0, 1.0}


def test_state_dict_carries_the_bins() -> None:
    model, inputs = make_tabm(), make_inputs()
    again = TabM(4, (3, 200), 2, members=5, width=16, depth=2, bins=6).eval()
    again.load_state_dict(model.state_dict())
    torch.testing.assert_close(again(*inputs), model(*inputs), rtol=0, atol=0)


def test_every_parameter_learns() -> None:
    model, inputs = make_tabm(), make_inputs(64)
    model(*inputs).pow(2).sum().backward()
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None and parameter.grad.abs().sum() > 0, name


def test_works_without_numbers_without_categories_and_in_bf16() -> None:
    numbers, categories = make_inputs()
    assert TabM(4, (), 1, members=3)(numbers, categories[:, :0]).shape == (9, 3, 1)
    assert TabM(0, (3, 200), 1, members=3, bins=4)(numbers[:, :0], categories).shape == (9, 3, 1)
    model = make_tabm()
    with torch.autocast("cpu", torch.bfloat16):
        rough = model(numbers, categories).float()
    torch.testing.assert_close(rough, model(numbers, categories), rtol=0.1, atol=0.1)


def test_sizes_below_one_are_refused() -> None:
    with pytest.raises(ValueError, match="depth 0 and members 4"):
        TabM(2, (), 1, depth=0, members=4)
