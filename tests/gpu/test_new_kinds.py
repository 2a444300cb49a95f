"""Texts, forecasts, scans, mixed columns, language, chat and generation on a GPU, and the same code on the CPU.

On a GPU, deterministic kernels must repeat each kind's run bit for bit, and a step, a solution and noise must be those
of the CPU. On the CPU the runs are slow tests, which check that each kind trains to its end in finite weights and is
scored; only the kinds of `TWICE_ON_THE_CPU` are run again and compared there. The fast cases on the CPU compare it with
itself: they check that each model, the ridge and the noise run at all and give finite numbers and gradients, no more.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import flambeau as fb
from flambeau.data.pictures.noise import draw_noise
from flambeau.data.series.windows import gather_past, target_tensor
from flambeau.models.cnn3d import CNN3D
from flambeau.models.compiling import compile_in_place
from flambeau.models.forecast import LSTMForecast, PatchTransformerForecast, TCNForecast
from flambeau.models.forecast_ridge import RidgeForecast, solve_ridge
from flambeau.models.gan import Discriminator, Generator
from flambeau.models.text import TextBag, TextCNN

ON_GPU = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device on this machine"),
]
CUDA = pytest.param("cuda", marks=ON_GPU)
ANYWHERE = pytest.mark.parametrize("device", ["cpu", CUDA])
RUNS_ANYWHERE = pytest.mark.parametrize("device", [pytest.param("cpu", marks=pytest.mark.slow), CUDA])

COMMON: dict[str, Any] = {"threads": 1, "evaluation.resamples": 100, "evaluation.baselines": False}
TWICE_ON_THE_CPU = ("prices", "chat")
SMALL_LANGUAGE = {"width": 16, "depth": 1, "dropout": 0.0}
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "texts, words": ("synthetic:text:120", {"model.name": "lstm", "epochs": 1, "folds": 0}),
    "texts, transformer": ("synthetic:text:120", {"model.name": "transformer", "epochs": 1, "folds": 0}),
    "forecast, ridge": ("synthetic:series:200", {"forecast.horizon": 3}),
    "forecast, net": ("synthetic:series:200", {"forecast.horizon": 3, "model.name": "tcn", "epochs": 1}),
    "prices": ("synthetic:prices:200", {"forecast.quantiles": [], "model.name": "nlinear", "epochs": 1}),
    "scans, volumes": ("scans", {"scan.volume": True, "scan.depth": 8, "image.size": 12, "epochs": 1, "folds": 0}),
    "mixed": ("synthetic:mixed:80", {"epochs": 1, "folds": 0, "training.bags": 1, "mixed.parts": False}),
    "language": ("synthetic:language:1500", {"model": SMALL_LANGUAGE, "epochs": 1}),
    "chat": ("synthetic:dialogue:40", {"epochs": 1, "chat": {"length": 24, "buckets": 512, "width": 16}}),
    "generate": ("squares.npz", {"task": "generate", "epochs": 1, "generate.width": 3, "generate.score_samples": 60}),
}  # fmt: skip


def make(name: str, folder: Path) -> str:
    """The source of a kind: made data by its name, or files in this folder."""
    draw = np.random.default_rng(0)
    if name == "squares.npz":
        images = draw.integers(0, 60, (96, 8, 8), dtype=np.uint8)
        images[::2, 2:6, 2:6] += 150
        np.savez(folder / name, images=images, labels=np.arange(96) % 2)
        return str(folder / name)
    if name != "scans":
        return name
    for number in range(24):
        kind = folder / name / ("clear", "opaque")[number % 2]
        kind.mkdir(parents=True, exist_ok=True)
        volume = draw.normal(200, 30, (12, 12, 10)) + 120 * (number % 2)
        nibabel.save(nibabel.Nifti1Image(volume.astype(np.int16), np.eye(4)), kind / f"{number}.nii")
    return str(folder / name)


def weights_of(run: fb.Run) -> dict[str, Tensor]:
    return dict(run.module.state_dict())


@RUNS_ANYWHERE
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_trains_to_finite_weights_that_repeat(tmp_path: Path, kind: str, device: str) -> None:
    name, options = KINDS[kind]
    source = make(name, tmp_path)
    repeats = 2 if device == "cuda" or kind in TWICE_ON_THE_CPU else 1
    runs = [
        fb.train(
            source, out=tmp_path / f"run{number}", device=device, deterministic=True, **COMMON, **options
        )
        for number in range(repeats)
    ]
    ends = [weights_of(run) for run in runs]
    assert all(value.device.type == "cpu" for value in ends[0].values())
    assert all(torch.isfinite(value).all() for value in ends[0].values() if value.is_floating_point())
    assert all(torch.equal(value, ends[-1][key]) for key, value in ends[0].items())
    assert runs[0].scores["test"]


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize("model", ["text_cnn", "lstm", "transformer"])
def test_texts_in_bf16_and_compiled_learn(tmp_path: Path, model: str, device: str) -> None:
    options: dict[str, Any] = {"model.name": model, "epochs": 4, "folds": 0, "training.compile": True}
    run = fb.train(
        "synthetic:text:400", out=tmp_path / "run", device=device, **COMMON, **options, precision="bf16"
    )
    assert run.scores["test"]["accuracy"]["value"] > 0.6


def tokens(rows: int = 6, length: int = 12) -> Tensor:
    drawn = torch.randint(1, 40, (rows, length), generator=torch.Generator().manual_seed(0))
    drawn[:, 9:] = 0
    drawn[0, 4:] = 0
    return drawn.int()


def windows(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


SIZES: dict[str, Any] = {"channels": 2, "targets": 1, "lookback": 24, "horizon": 3, "quantiles": 2}
MODELS: dict[str, tuple[Any, Tensor]] = {
    "bag": (lambda: TextBag(40, width=8), tokens()),
    "cnn": (lambda: TextCNN(40, width=8, filters=4), tokens()),
    "tcn": (lambda: TCNForecast(**SIZES), windows(5, 24, 2)),
    "lstm": (lambda: LSTMForecast(**SIZES), windows(5, 24, 2)),
    "patches": (lambda: PatchTransformerForecast(**SIZES), windows(5, 24, 2)),
    "volumes": (lambda: CNN3D(8, 2, size=(12, 12), width=4), windows(4, 8, 12, 12)),
    "pictures from noise": (lambda: Generator(1, size=(8, 8), latent=3, width=2), windows(5, 3)),
    "judge of pictures": (lambda: Discriminator(1, size=(8, 8), width=2), windows(5, 1, 8, 8)),
}


def one_step(model: nn.Module, inputs: Tensor, device: str) -> tuple[Tensor, list[Tensor]]:
    """The answer, and the gradients of its mean square, both on the CPU."""
    model = model.to(device).train()
    for part in model.modules():
        if isinstance(part, nn.Dropout):
            part.p = 0.0
    answer = model(inputs.to(device)).float()
    answer.square().mean().backward()
    return answer.detach().cpu(), [
        weight.grad.cpu() for weight in model.parameters() if weight.grad is not None
    ]


@ANYWHERE
@pytest.mark.parametrize("name", MODELS)
def test_a_step_on_any_device_is_that_of_the_cpu(name: str, device: str) -> None:
    build, inputs = MODELS[name]
    torch.manual_seed(0)
    model = build()
    expected, slopes = one_step(copy.deepcopy(model), inputs, "cpu")
    answer, own = one_step(model, inputs, device)
    assert torch.isfinite(answer).all() and own
    torch.testing.assert_close(answer, expected, rtol=1e-3, atol=1e-4)
    for one, other in zip(own, slopes, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-2, atol=1e-4)


@ANYWHERE
def test_ridge_is_solved_alike_on_any_device(device: str) -> None:
    values = windows(120, 2).cumsum(0)
    ends = []
    for place in ("cpu", device):
        held = values.to(place)
        model = RidgeForecast(channels=2, targets=1, lookback=6, horizon=2, quantiles=2, cross=1).to(place)
        solve_ridge(
            model,
            gather_past(held, held[:, :0], lookback=6, horizon=2),
            target_tensor(held[:, :1], 2),
            torch.arange(6, 90),
            torch.arange(92, 118),
            penalty=0.01,
            quantiles=(0.1, 0.9),
        )
        ends.append({key: value.cpu() for key, value in model.state_dict().items()})
    for key, value in ends[0].items():
        torch.testing.assert_close(ends[1][key], value, rtol=1e-4, atol=1e-5)


@ANYWHERE
def test_noise_is_drawn_alike_for_any_device(device: str) -> None:
    torch.manual_seed(0)
    generator = Generator(1, size=(8, 8), latent=3, width=2).eval()
    noise = draw_noise(4, 3, 1, 2, 3)
    expected = generator(noise)
    torch.testing.assert_close(generator.to(device)(noise.to(device)).cpu(), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("device", [CUDA])
@pytest.mark.parametrize("name", ["cnn", "tcn", "patches", "volumes"])
def test_compiled_models_answer_as_plain_ones(name: str, device: str) -> None:
    build, inputs = MODELS[name]
    torch.manual_seed(0)
    model = build().to(device).eval()
    with torch.no_grad():
        expected = model(inputs.to(device))
        found = compile_in_place(copy.deepcopy(model))(inputs.to(device))
    torch.testing.assert_close(found, expected, rtol=1e-2, atol=1e-3)
