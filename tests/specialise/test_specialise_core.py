"""The core's own functions after specialising: bit for bit what the package computes, over many literal arguments."""

from __future__ import annotations

import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from flambeau.data.batches import Batches, gather_tensors
from flambeau.data.pictures.load import load_picture
from flambeau.deploy.eject.loop_facts import LoopFacts
from flambeau.deploy.eject.usual_facts import usual_facts
from flambeau.deploy.specialise.closure import gather_script
from flambeau.deploy.specialise.core import core_sources
from flambeau.deploy.specialise.formatting import lint_script
from flambeau.deploy.specialise.specialise import eject_text
from flambeau.evaluation.evaluate import predict_batches
from flambeau.models.cnn import SmallCNN, SmallResNet
from flambeau.models.mlp import MLP
from flambeau.models.resnet import ResNet
from flambeau.models.tabm import TabM
from flambeau.training.average import averaged_copy
from flambeau.training.clipping import clip_gradients
from flambeau.training.loop import EpochRecord, Technique, train
from flambeau.training.losses import classification_loss
from flambeau.training.optimizers import make_adamw, make_sgd, parameter_groups
from flambeau.training.schedules import constant, cosine, one_cycle
from flambeau.transforms.augment import augment_pictures
from flambeau.transforms.draws import Draws
from flambeau.transforms.image import fit_pictures
from flambeau.transforms.table import fit_table


def script_of(glue: str) -> tuple[str, Callable[..., Any]]:
    """The script of a glue with a function `call`, and that function."""
    text = eject_text(glue)
    assert lint_script(text) == []
    assert not any(line.startswith(("from flambeau", "import flambeau")) for line in text.splitlines())
    module = types.ModuleType("ejected")
    sys.modules["ejected"] = module  # where dataclasses look for it
    exec(compile(text, "ejected", "exec"), module.__dict__)
    return text, module.call


def lines_of(text: str) -> int:
    return text.count("\n")


AUGMENTATIONS = [
    "flip_horizontal=True",
    "shift=0.1, rotate=10.0",
    "flip_vertical=True, contrast=0.2, brightness=0.1",
    "scale=0.2, erase=0.5, flip_horizontal=True",
    "",
]


@pytest.mark.parametrize("arguments", AUGMENTATIONS)
def test_augmentation(arguments: str) -> None:
    glue = f"def call(pictures, draws):\n    return augment_pictures(pictures, draws, {arguments})\n"
    text, call = script_of(glue)
    pictures = torch.rand(5, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    first, second = (Draws(3, 0, torch.arange(len(pictures)), torch.device("cpu")) for _ in range(2))
    expected = augment_pictures(pictures, first, **eval(f"dict({arguments})"))
    assert torch.equal(call(pictures, second), expected)
    for name in (
        "flip_pictures",
        "change_contrast",
        "change_brightness",
        "erase_rectangles",
        "random_affine",
    ):
        used = {"random_affine": ("shift", "scale"), "erase_rectangles": ("erase",)}
        if not any(word in arguments for word in used.get(name, (name.split("_")[0], name.split("_")[1]))):
            assert name not in text


MODELS: list[tuple[type[nn.Module], str]] = [
    (SmallResNet, "channels=1, outputs=10, size=(8, 8), width=8, blocks=1"),
    (SmallResNet, "channels=3, outputs=2, size=(50, 48), width=4, blocks=2, dropout=0.1"),
    (SmallCNN, "channels=1, outputs=3, size=(3, 9), width=4"),
    (ResNet, "channels=3, outputs=4, size=(24, 24), width=4, depth=1"),
    (ResNet, "channels=3, outputs=4, size=(64, 64), width=4, depth=2, dropout=0.2"),
    (MLP, 'inputs=6, outputs=2, width=8, activation="gelu", normalisation="batch", dropout=0.5'),
    (MLP, "inputs=6, outputs=2, width=8, depth=0"),
    (TabM, "number_features=4, cardinalities=(3, 70), outputs=2, members=4, width=8, bins=5"),
    (TabM, "number_features=0, cardinalities=(3,), outputs=1, members=4, width=8"),
]


@pytest.mark.parametrize(("model", "arguments"), MODELS, ids=lambda value: getattr(value, "__name__", value))
def test_models(model: type[nn.Module], arguments: str) -> None:
    text, call = script_of(f"def call():\n    return {model.__name__}({arguments})\n")
    torch.manual_seed(5)
    made = call()
    torch.manual_seed(5)
    expected = model(**eval(f"dict({arguments})"))
    state, expected_state = made.state_dict(), expected.state_dict()
    assert list(state) == list(expected_state)
    assert all(torch.equal(state[name], expected_state[name]) for name in state)
    inputs = _inputs(model, eval(f"dict({arguments})"))
    for module in (made, expected):
        module.train()
    torch.manual_seed(6)
    outputs = made(*inputs)
    torch.manual_seed(6)
    assert torch.equal(outputs, expected(*inputs))
    print(model.__name__, arguments, lines_of(text))


def _inputs(model: type[nn.Module], arguments: dict[str, Any]) -> tuple[torch.Tensor, ...]:
    generator = torch.Generator().manual_seed(1)
    if model is MLP:
        return (torch.randn(4, arguments["inputs"], generator=generator),)
    if model is TabM:
        numbers = torch.randn(4, arguments["number_features"], generator=generator)
        columns = [torch.randint(0, size, (4,), generator=generator) for size in arguments["cardinalities"]]
        return numbers, torch.stack(columns, dim=1)
    return (torch.rand(4, arguments["channels"], *arguments["size"], generator=generator),)


LOOP = """
from functools import partial

import torch


def call(inputs, targets):
    torch.manual_seed(1)
    model = SmallResNet(channels=1, outputs=3, size=(8, 8), width=4, blocks=1)
    batches = Batches(
        gather=gather_tensors(inputs), targets=targets, rows=torch.arange(50), batch_size=16, seed=3
    )
    groups = parameter_groups(model, lr=0.01, weight_decay=0.01)
    optimizer = {optimizer}
    loss = partial(classification_loss, {loss})
    technique = Technique(epochs=2, schedule=partial({schedule}), seed=7, {technique})
    average = {average}
    for record in train(model, batches, optimizer, loss, technique, average=average):
        if isinstance(record, EpochRecord):
            print(record.loss)
    kept = model if average is None else average
    return kept.state_dict()
"""
ADAMW = 'make_adamw(groups, beta1=0.9, beta2=0.999, device=torch.device("cpu"))'
SGD = 'make_sgd(groups, momentum=0.9, device=torch.device("cpu"))'
LOOPS = [
    {"optimizer": ADAMW, "loss": "", "schedule": "one_cycle, warmup=0.3", "technique": "", "average": "None"},
    {
        "optimizer": ADAMW,
        "loss": "label_smoothing=0.1",
        "schedule": "cosine, warmup=0.1",
        "technique": 'average_decay=0.9, precision="bf16"',
        "average": "averaged_copy(model)",
    },
    {
        "optimizer": SGD,
        "loss": "class_weights=torch.tensor([1.0, 2.0, 0.5])",
        "schedule": "constant, warmup=0.2",
        "technique": "clip=partial(clip_gradients, norm=1.0), micro_batch=5",
        "average": "None",
    },
]


@pytest.mark.slow
@pytest.mark.parametrize("parts", LOOPS, ids=["plain", "averaged bf16", "clipped parts"])
def test_the_loop(parts: dict[str, str]) -> None:
    glue = LOOP.format(**parts)
    text, call = script_of(glue)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.rand(50, 1, 8, 8, generator=generator)
    targets = torch.randint(0, 3, (50,), generator=generator)
    used = (Batches, gather_tensors, SmallResNet, parameter_groups, make_adamw, make_sgd, classification_loss)
    used += (Technique, train, clip_gradients, one_cycle, cosine, constant, averaged_copy, EpochRecord)
    names: dict[str, Any] = {function.__name__: function for function in used}
    exec(compile(glue, "glue", "exec"), names)
    state, expected = call(inputs, targets), names["call"](inputs, targets)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert ("autocast" in text) == ("bf16" in parts["technique"])
    assert ("update_average" in text) == (parts["average"] != "None")
    assert ("clip_grad_norm_" in text) == ("clip_gradients" in parts["technique"])
    print(lines_of(text))


def test_a_plain_loop_is_short() -> None:
    facts = usual_facts(
        task="classification",
        members=False,
        judged_members=False,
        pretrained=False,
        plain_cpu=True,
        loop=LoopFacts(in_parts=False, freezes=False, closes=False, clips=False, scales=False, changes=False),
    )
    text = eject_text(LOOP.format(**LOOPS[0]), facts=facts)
    print(lines_of(text))
    assert lines_of(text) < 360
    assert not any(word in text for word in ("autocast", "clip_", "averaged", "Protocol", "cuda", "members"))


@pytest.mark.parametrize(
    "arguments", ["channels=1, bits=8", 'channels=3, bits=8, fit="pad"', 'channels=3, bits=16, fit="crop"']
)
def test_reading_pictures(arguments: str, tmp_path: Path) -> None:
    _, call = script_of(f"def call(path):\n    return load_picture(path, size=(20, 30), {arguments})\n")
    generator = np.random.default_rng(0)
    colour = Image.fromarray(generator.integers(0, 256, (90, 130, 3), dtype=np.uint8))
    turned = Image.Exif()
    turned[0x0112] = 6
    colour.save(tmp_path / "turned.jpg", exif=turned)
    colour.convert("RGBA").save(tmp_path / "alpha.png")
    Image.fromarray(generator.integers(0, 2**16, (40, 40), dtype=np.uint16)).save(tmp_path / "deep.png")
    colour.convert("P").save(tmp_path / "palette.gif")
    for path in sorted(tmp_path.iterdir()):
        got = call(path)
        assert np.array_equal(got, load_picture(path, size=(20, 30), **eval(f"dict({arguments})"))), path


@pytest.mark.parametrize("scaling", ["quantile", "robust", "standard"])
def test_tables(scaling: str) -> None:
    generator = np.random.default_rng(1)
    columns = {
        "a": generator.lognormal(size=60),
        "b": np.where(generator.random(60) < 0.2, np.nan, generator.normal(size=60)),
        "c": np.array(generator.choice(["x", "y", None], 60), dtype=object),
        "d": np.arange(60).astype("datetime64[D]").astype("datetime64[s]"),
    }
    kinds = {"a": "number", "b": "number", "c": "category", "d": "date"}
    _, call = script_of(
        f"def call(columns, kinds):\n    table = fit_table(columns, kinds, scaling={scaling!r})\n"
        "    return table.transform(columns)\n"
    )
    for got, expected in zip(
        call(columns, kinds), fit_table(columns, kinds, scaling=scaling).transform(columns), strict=True
    ):
        assert got.dtype == expected.dtype
        assert np.array_equal(got, expected)


@pytest.mark.parametrize("normalise", ["dataset", "imagenet", "none"])
def test_preparing_pictures(normalise: str) -> None:
    _, call = script_of(
        "import torch\n\n\ndef call(pixels):\n"
        f"    preparation = fit_pictures(pixels, size=(6, 9), channels=1, bits=8, normalise={normalise!r})\n"
        "    return preparation.prepare(torch.from_numpy(pixels))\n"
    )
    pixels = np.random.default_rng(2).integers(0, 256, (7, 12, 9, 1), dtype=np.uint8)
    expected = fit_pictures(pixels, size=(6, 9), channels=1, bits=8, normalise=normalise)  # type: ignore[arg-type]
    assert torch.equal(call(pixels), expected.prepare(torch.from_numpy(pixels)))


@pytest.mark.parametrize("task", ["classification", "multilabel", "regression"])
def test_predictions(task: str) -> None:
    text, call = script_of(
        f"def call(model, batches):\n    return predict_batches(model, batches, {task!r})\n"
    )
    torch.manual_seed(0)
    model = nn.Linear(4, 1 if task == "regression" else 3)
    batches = [(torch.randn(5, 4),), (torch.randn(3, 4),)]
    assert np.array_equal(call(model, batches), predict_batches(model, batches, task))
    assert ("softmax" in text) == (task == "classification")


def test_every_name_of_the_core_can_be_gathered_alone() -> None:
    sources = core_sources()
    for name in ("decode_picture", "read_table", "split_indices", "score_predictions", "load_body"):
        gathered = gather_script(f"CALL = {name}\n", sources)
        assert "flambeau" not in "".join(line for line in gathered.text.splitlines() if "import" in line)
        compile(gathered.text, name, "exec")
