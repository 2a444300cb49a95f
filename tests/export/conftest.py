"""Two small trained runs that the tests of whole exports share: pictures of several sizes, and a table."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from export_bundles import some_columns
from PIL import Image

import flambeau as fb
from flambeau.data.pictures.image import picture_size

QUICK = {"epochs": 2, "threads": 1, "folds": 0, "batch_size": 16, "evaluation": {"baselines": False}}


@pytest.fixture(scope="session")
def picture_run(tmp_path_factory: pytest.TempPathFactory) -> fb.Run:
    """Colour pictures, some of them JPEGs so much larger than the model's size that they are decoded at a half."""
    root = tmp_path_factory.mktemp("pictures")
    generator = np.random.default_rng(0)
    for number in range(48):
        height, width = int(generator.integers(20, 60)), int(generator.integers(20, 60))
        pixels = generator.integers(0, 256, (height // 5, width // 5, 3)).astype(np.uint8)
        pixels[..., number % 2] //= 3
        picture = Image.fromarray(pixels).resize((width, height))
        suffix = ("png", "jpg")[number % 3 == 0]
        folder = root / "photos" / ("warm", "cold")[number % 2]
        folder.mkdir(parents=True, exist_ok=True)
        picture.save(folder / f"p{number}.{suffix}")
    return fb.train(root / "photos", out=root / "photos-1", image={"size": [16, 12]}, **QUICK)


@pytest.fixture(scope="session")
def table_run(tmp_path_factory: pytest.TempPathFactory) -> fb.Run:
    """A regression on every kind of column."""
    root = tmp_path_factory.mktemp("table")
    columns = some_columns(150)
    names = {"area": "area", "ties": "rooms", "new": "new", "sold": "sold", "value": "colour"}
    lines = [",".join([*names.values(), "price"])]
    for row in range(150):
        cells = [columns[name][row] for name in names]
        area = 0.0 if np.isnan(cells[0]) else cells[0]
        price = 1e6 + 3 * area + 50 * (cells[4] == "red")
        texts = ["" if cell is None or cell != cell else str(cell) for cell in cells]
        texts[2] = ("no", "yes")[int(cells[2])]
        texts[3] = "" if np.isnat(cells[3]) else str(cells[3]).replace("T", " ")
        lines.append(",".join([*texts, f"{price:.2f}"]))
    (root / "houses.csv").write_text("\n".join(lines) + "\n")
    return fb.train(root / "houses.csv", target="price", out=root / "houses-1", training={"bags": 2}, **QUICK)


@pytest.fixture(scope="session")
def a_picture(picture_run: fb.Run) -> Path:
    """A JPEG of the run that is decoded at a half of its size."""
    folder = picture_run.folder.path.parent / "photos"
    return max(folder.rglob("*.jpg"), key=lambda path: min(picture_size(path)[:2]))
