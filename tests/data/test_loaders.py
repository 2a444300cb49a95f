"""A person's own DataLoader, sampler and collate function as a source of samples, and through the engine alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, Sampler, SubsetRandomSampler, WeightedRandomSampler

import flambeau as fb
from flambeau.data.own import loaders
from flambeau.data.own.items import read_items
from flambeau.errors import DataError


class Rows(Dataset[Any]):
    """Rows as dictionaries, which only an own collate function makes into batches."""

    classes = ("low", "high")

    def __init__(self, rows: int = 80) -> None:
        generator = np.random.default_rng(0)
        self.numbers = generator.normal(size=(rows, 3)).astype(np.float32)
        self.high = (self.numbers[:, 0] > 0).astype(int)

    def __len__(self) -> int:
        return len(self.numbers)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"x": self.numbers[index], "high": int(self.high[index])}


def collate(rows: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
    return torch.from_numpy(np.stack([row["x"] for row in rows])), torch.tensor([row["high"] for row in rows])


def test_a_loader_gives_what_its_sampler_chooses_and_its_collate_function_makes() -> None:
    rows = Rows()
    loader = DataLoader(rows, batch_size=16, sampler=SubsetRandomSampler(range(50)), collate_fn=collate)
    items = read_items(loader, "loader")
    assert items.inputs.shape == (50, 3)
    assert sorted(items.inputs[:, 0].tolist()) == sorted(rows.numbers[:50, 0].tolist())
    again = read_items(loader, "loader")
    assert (again.inputs == items.inputs).all()


def test_loaders_that_cannot_be_taken_apart_are_refused() -> None:
    def broken(rows: list[dict[str, Any]]) -> tuple[Tensor, Tensor]:
        raise KeyError("y")

    with pytest.raises(DataError, match="batch 1 of 'loader' cannot be read"):
        read_items(DataLoader(Rows(), batch_size=4, collate_fn=broken), "loader")
    with pytest.raises(DataError, match="no pair"):
        read_items(DataLoader(Rows(), batch_size=4, collate_fn=lambda rows: rows), "loader")
    several = DataLoader(Rows(), batch_size=4, collate_fn=lambda rows: ([1, 2], [3]))
    with pytest.raises(DataError, match="several parts"):
        read_items(several, "loader")


def test_a_loader_trains_by_the_usual_verb(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    loader = DataLoader(Rows(), batch_size=16, shuffle=True, collate_fn=collate)
    run = fb.train(loader, epochs=2, folds=0, baselines=False, **{"training.bags": 1})
    assert set(run.bundle.schema.classes) == {"low", "high"}


def test_the_engine_takes_own_samplers_and_collate_functions_and_resumes(tmp_path: Path) -> None:
    def batches() -> DataLoader[Any]:
        generator = torch.Generator().manual_seed(3)
        sampler = WeightedRandomSampler([1.0] * 40 + [3.0] * 40, num_samples=64, generator=generator)
        return DataLoader(Rows(), batch_size=16, sampler=sampler, collate_fn=collate)

    def fit(epochs: int, folder: Path | None) -> dict[str, Tensor]:
        torch.manual_seed(0)
        module = nn.Linear(3, 2)

        class StopError(Exception):
            pass

        def stop(record: dict[str, Any]) -> None:
            if (
                record.get("kind") == "epoch"
                and record["epoch"] == epochs
                and folder is not None
                and epochs < 4
            ):
                raise StopError

        options: dict[str, Any] = {"loss": nn.functional.cross_entropy, "epochs": 4, "checkpoints": folder}
        try:
            return fb.fit(module, batches(), on_record=stop, **options).module.state_dict()
        except StopError:
            return {}

    whole = fit(4, None)
    fit(2, tmp_path)
    resumed = fit(4, tmp_path)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)


def test_a_shuffling_loader_is_read_in_one_order_and_an_endless_one_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    orders = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        loader = DataLoader(Rows(), batch_size=16, shuffle=True, collate_fn=collate)
        orders.append(read_items(loader, "loader").inputs.tolist())
    assert orders[0] == orders[1]
    monkeypatch.setattr(loaders, "most_bytes", lambda: 20_000)
    with pytest.raises(DataError, match="fits into memory"):
        read_items(DataLoader(Rows(), batch_size=16, collate_fn=collate), "loader")


class Sentences(Dataset[Any]):
    """Sentences of any length as lists of token numbers; long ones are of class 1."""

    def __len__(self) -> int:
        return 48

    def __getitem__(self, index: int) -> tuple[list[int], int]:
        length = 2 + index % 9
        return [1 + (index * 7 + place) % 20 for place in range(length)], int(length > 6)


class ByLength(Sampler[list[int]]):
    """Batches of sentences of about one length."""

    def __iter__(self) -> Iterator[list[int]]:
        order = sorted(range(48), key=lambda index: index % 9)
        return iter([order[begin : begin + 8] for begin in range(0, 48, 8)])

    def __len__(self) -> int:
        return 6


def pad(rows: list[tuple[list[int], int]]) -> tuple[tuple[Tensor, Tensor], Tensor]:
    texts = [torch.tensor(tokens) for tokens, _ in rows]
    lengths = torch.tensor([len(text) for text in texts])
    padded = nn.utils.rnn.pad_sequence(texts, batch_first=True)
    return (padded, lengths), torch.tensor([label for _, label in rows])


class Packed(nn.Module):
    """A recurrent net over packed sentences: two inputs, tokens and lengths."""

    def __init__(self) -> None:
        super().__init__()
        self.vectors, self.body, self.head = (
            nn.Embedding(24, 6, 0),
            nn.GRU(6, 8, batch_first=True),
            nn.Linear(8, 2),
        )

    def forward(self, tokens: Tensor, lengths: Tensor) -> Tensor:
        packed = nn.utils.rnn.pack_padded_sequence(
            self.vectors(tokens), lengths.cpu(), batch_first=True, enforce_sorted=False
        )
        return self.head(self.body(packed)[1][-1])


def test_sentences_of_any_length_are_padded_and_arranged_by_a_persons_own_parts() -> None:
    torch.manual_seed(0)
    loader = DataLoader(Sentences(), batch_sampler=ByLength(), collate_fn=pad)
    records: list[dict[str, Any]] = []
    fb.fit(
        Packed(), loader, loss=nn.functional.cross_entropy, epochs=12, lr=0.05, valid_batches=loader,
        on_record=records.append,
    )  # fmt: skip
    losses = [record["loss"] for record in records if record["kind"] == "epoch"]
    assert len(losses) == 12 and losses[-1] < 0.8 * losses[0]


def test_a_weighted_sampler_decides_what_is_trained_on() -> None:
    rows = Rows()
    generator = torch.Generator().manual_seed(0)
    sampler = WeightedRandomSampler((1.0 + 9.0 * rows.high).tolist(), num_samples=60, generator=generator)
    items = read_items(DataLoader(rows, batch_size=16, sampler=sampler, collate_fn=collate), "loader")
    drawn = [rows.numbers.tolist().index(row) for row in items.inputs.tolist()]
    assert len(drawn) == 60 and rows.high[drawn].mean() > 0.8
