"""Columns of pictures: pixels and masks, prepared and changed one column as alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from torch import Tensor

from flambeau.transforms.draws import Draws
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.mixed import PictureColumn, change_mixed, prepare_mixed
from flambeau.transforms.table import TablePreparation, fit_table

SIZE = (4, 6)
PICTURES = PicturePreparation(SIZE, 3, 8, mean=(0.5, 0.4, 0.3), std=(0.2, 0.2, 0.2))
COLUMNS = (PictureColumn("front", PICTURES), PictureColumn("back", PICTURES))


def picture(level: int) -> np.ndarray:
    return np.full((*SIZE, 3), level, dtype=np.uint8)


def test_pixels_and_presence() -> None:
    pixels, present = COLUMNS[0].encode([picture(9), None, picture(3)])
    assert pixels.shape == (3, *SIZE, 3) and pixels.dtype == np.uint8
    assert present.tolist() == [1.0, 0.0, 1.0] and present.dtype == np.float32
    assert pixels[1].max() == 0 and pixels[2].min() == 3


def test_pictures_of_another_shape_are_named() -> None:
    with pytest.raises(ValueError, match="in row 1"):
        COLUMNS[0].encode([None, np.zeros((2, 2, 3), dtype=np.uint8)])
    with pytest.raises(ValueError, match="str"):
        COLUMNS[0].encode(["a.jpg"])  # type: ignore[list-item]


def test_the_arrays_come_in_order_and_survive_json() -> None:
    columns = {"size": np.array([1.0, 2.0]), "front": np.array([None, None], dtype=object)}
    columns["back"] = np.empty(2, dtype=object)
    columns["back"][1] = picture(7)
    table = fit_table({"size": columns["size"]}, {"size": "number"}, scaling="standard")
    preparation = TablePreparation(table.numbers, table.categories, None, COLUMNS)
    again = TablePreparation.from_json(json.loads(json.dumps(preparation.to_json())))
    assert again == preparation
    numbers, categories, front, there, back, also = again.transform(columns)
    assert numbers.shape == (2, 1) and categories.shape == (2, 0)
    assert there.tolist() == [0, 0] and also.tolist() == [0, 1]
    assert front.max() == 0 and back[1].max() == 7
    assert len(again.transform_values(columns)) == 2


def test_a_table_of_pictures_alone_has_no_other_arrays() -> None:
    preparation = TablePreparation((), (), None, COLUMNS[:1])
    nothing = np.array([None], dtype=object)
    assert not preparation.has_cells
    assert len(preparation.transform({"front": nothing})) == 2
    with pytest.raises(ValueError, match="lacks front"):
        preparation.transform({"back": nothing})


def batch() -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    pixels = [torch.randint(0, 256, (5, *SIZE, 3), generator=generator, dtype=torch.uint8) for _ in range(2)]
    masks = [torch.tensor([1.0, 1, 0, 1, 0]), torch.ones(5)]
    return [torch.rand(5, 2), pixels[0], masks[0], pixels[1], masks[1]]


def test_prepared_as_alone_and_blank_where_absent() -> None:
    inputs = batch()
    prepared = prepare_mixed(inputs, COLUMNS)
    assert torch.equal(prepared[0], inputs[0])
    torch.testing.assert_close(prepared[3], PICTURES.prepare(inputs[3]))
    assert prepared[1][2].abs().max() == 0 and prepared[1][0].abs().max() > 0


def test_changes_without_augmentation_are_the_preparation() -> None:
    inputs = batch()
    shaped = [part if part.ndim < 4 else PICTURES.shape(part) for part in inputs]
    draws = Draws(1, 0, torch.arange(5), torch.device("cpu"), [5])

    def augment(pictures: Tensor, draws: Draws) -> Tensor:
        return pictures.to(torch.float32).div_(255.0)

    targets = torch.arange(5.0)
    changed, same = change_mixed(tuple(shaped), targets, draws, columns=COLUMNS, augment=augment)
    for one, other in zip(changed, prepare_mixed(inputs, COLUMNS), strict=True):
        torch.testing.assert_close(one, other)
    assert torch.equal(same, targets)
