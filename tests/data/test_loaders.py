"""A person's own DataLoader, sampler and collate function as a source of samples, and through the engine alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset, SubsetRandomSampler, WeightedRandomSampler

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
