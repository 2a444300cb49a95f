"""Small made-up data of every kind, a person's own models, and weights to start from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

OWN_MODELS = """
import torch
from torch import nn


class OwnPictures(nn.Module):
    def __init__(self, channels: int, num_classes: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(channels, 6, 3, padding=1)
        self.norm = nn.BatchNorm2d(6)
        self.dropout = nn.Dropout(0.2)
        self.head = nn.Linear(6, num_classes)

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        features = torch.relu(self.norm(self.convolution(pictures))).mean((2, 3))
        return self.head(self.dropout(features))


class OwnTable(nn.Module):
    def __init__(self, in_features: int, out_features: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(in_features, 12), nn.GELU(), nn.Linear(12, out_features))

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return self.layers(rows)


class OwnOptimizer(torch.optim.SGD):
    def __init__(self, groups, lr: float, momentum: float) -> None:
        super().__init__(groups, lr=lr, momentum=momentum, nesterov=True)


class OwnLBFGS(torch.optim.LBFGS):
    def __init__(self, groups, lr: float) -> None:
        super().__init__([parameter for group in groups for parameter in group["params"]], lr=lr, max_iter=3)


def own_schedule(done: float) -> float:
    return 1.0 - 0.5 * done


def own_loss(outputs: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    return nn.functional.multi_margin_loss(outputs, targets)


def own_init(module: nn.Module) -> None:
    for parameter in module.parameters():
        if parameter.ndim >= 2:
            nn.init.normal_(parameter, std=0.1)
"""
COLOURS = ("red", "green", "blue")


def make_pictures(folder: Path, count: int = 60) -> None:
    """folders/CLASS/*.png of varied sizes, labels/ with a table of tags and weights, and arrays.npz."""
    draw = np.random.default_rng(0)
    rows = ["file,tags,weight"]
    for number in range(count):
        place = number % len(COLOURS)
        pixels = draw.integers(0, 90, (18 + number % 3, 16, 3), dtype=np.uint8)
        pixels[4:12, 4:12, place] = 180 + number % 60
        picture = Image.fromarray(pixels)
        for name in (folder / "folders" / COLOURS[place], folder / "labels"):
            name.mkdir(parents=True, exist_ok=True)
            picture.save(name / f"{number:03d}.png")
        tags = "|".join(sorted({COLOURS[place], *(["large"] if number % 2 else [])}))
        rows.append(f"{number:03d}.png,{tags},{place + 0.5 * draw.random():.3f}")
    (folder / "labels" / "labels.csv").write_text("\n".join(rows) + "\n")
    images = draw.integers(0, 256, (count, 14, 14, 3), dtype=np.uint8)
    labels = np.arange(count) % 3
    images[np.arange(count), 2:8, 2:8, :] //= (labels[:, None, None, None] + 1).astype(np.uint8)
    np.savez(folder / "arrays.npz", images=images, labels=labels)


def make_homes(folder: Path, count: int = 60) -> None:
    """homes.csv, whose rows have numbers, words, a text and two pictures, one of which is not always there."""
    draw = np.random.default_rng(5)
    (folder / "rooms").mkdir(parents=True, exist_ok=True)
    rows = ["area,heating,said,front,back,kind,price"]
    for number in range(count):
        area, light = draw.normal(90, 30), draw.random()
        names = []
        for side in ("front", "back"):
            pixels = draw.integers(0, 90, (12 + number % 2, 10, 3), dtype=np.uint8)
            pixels[..., 0] = int(160 * light) if side == "front" else 40
            names.append(f"rooms/{number:03d}_{side}.png")
            Image.fromarray(pixels).save(folder / names[-1])
        names[1] = names[1] if number % 5 else ""
        said = " ".join(draw.choice(["bright", "dark", "quiet", "loud", "old", "new"], 5))
        kind = ("flat", "house", "hut")[number % 3]
        cells = [f"{area:.2f}", ("gas", "oil")[number % 2], said, *names, kind, f"{np.exp(3 * light):.3f}"]
        rows.append(",".join(cells))
    (folder / "homes.csv").write_text("\n".join(rows) + "\n")


def make_tables(folder: Path, count: int = 120) -> None:
    """table.csv, tidy, and untidy.csv with the same rows as people write them."""
    draw = np.random.default_rng(1)
    tidy = ["area,rooms,heating,sold,garden,kind,price,tags"]
    untidy = ["area;rooms;heating;sold;garden;kind;price;tags"]
    for number in range(count):
        area = f"{draw.normal(90, 30):.2f}" if number % 9 else ""
        rooms = int(draw.integers(1, 7))
        heating = ("gas", "oil", "wood", "")[number % 4]
        sold = f"20{10 + number % 12}-{1 + number % 12:02d}-{1 + number % 28:02d}"
        garden = ("true", "false")[int(draw.random() < 0.5)]
        kind = ("flat", "house", "hut")[(rooms + number) % 3]
        price = 50 + 2.5 * float(area or 90) + 10 * rooms + draw.normal(0, 5)
        tags = "|".join(sorted({kind, *(["green"] if garden == "true" else [])}))
        tidy.append(f"{area},{rooms},{heating},{sold},{garden},{kind},{price:.3f},{tags}")
        untidy.append(
            f"{area.replace('.', ',') or 'n/a'};{rooms} ;{heating or '?'};{sold}; {garden};{kind};"
            f"{price:.3f};{tags}".replace(f"{price:.3f}", f"{price:.3f}".replace(".", ","))
        )
    (folder / "table.csv").write_text("\n".join(tidy) + "\n")
    (folder / "untidy.csv").write_text("\n".join(untidy) + "\n")


WORDS = {
    "flat": ("city", "lift", "balcony", "floor", "tram"),
    "house": ("garden", "garage", "cellar", "street", "roof"),
    "hut": ("forest", "lake", "stove", "mountain", "Höhle"),
}


def make_texts(folder: Path, count: int = 90) -> None:
    """texts.csv with two columns of texts beside others, and letters/CLASS/*.txt with the second of them."""
    draw = np.random.default_rng(2)
    rows = ["title,body,area,heating,kind,price"]
    for number in range(count):
        kind = tuple(WORDS)[number % 3]
        area = float(draw.normal(90, 30))
        words = [
            *draw.choice(WORDS[kind], 1 + number % 4),
            *draw.choice(["a", "the", "near", "nice!"], number % 7),
        ]
        body = " ".join(str(word) for word in draw.permutation(words)) + f" {number}"
        title = f"Offer {number % 5}" if number % 8 else ""
        rows.append(
            f"{title},{body},{area:.2f},{('gas', 'oil')[number % 2]},{kind},{area + 5 * len(words):.2f}"
        )
        letter = folder / "letters" / kind / f"{number:03d}.txt"
        letter.parent.mkdir(parents=True, exist_ok=True)
        letter.write_text(f"{body}\nYours, {kind}\n", encoding="utf-8")
    (folder / "texts.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def make_models(folder: Path) -> None:
    """own.py with two models, and weights.safetensors of a small torchvision model with random weights."""
    from torchvision.models import shufflenet_v2_x0_5

    (folder / "own.py").write_text(OWN_MODELS)
    torch.manual_seed(0)
    model = shufflenet_v2_x0_5()
    save_file(
        {name: tensor.contiguous() for name, tensor in model.state_dict().items()},
        folder / "weights.safetensors",
    )


def make_all(folder: Path) -> Path:
    """Everything in one folder."""
    make_pictures(folder)
    make_tables(folder)
    make_texts(folder)
    make_homes(folder)
    make_models(folder)
    (folder / "made.json").write_text(json.dumps({"what": "made-up data for tests"}))
    return folder
