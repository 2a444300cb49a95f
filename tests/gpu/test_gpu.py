"""The same promises on a GPU: it trains, repeats with deterministic kernels, and answers on the CPU."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

import flambeau as fb

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device on this machine"),
]


def make_arrays(path: Path) -> Path:
    generator = np.random.default_rng(0)
    labels = np.arange(120) % 2
    pixels = generator.integers(0, 120, (120, 16, 16, 3)) + labels[:, None, None, None] * 60
    np.savez(path, images=pixels.astype(np.uint8), labels=labels)
    return path


@pytest.mark.parametrize("source", ["pictures", "wine"])
def test_deterministic_kernels_repeat_bit_for_bit(tmp_path: Path, source: str) -> None:
    data = make_arrays(tmp_path / "data.npz") if source == "pictures" else source
    options = {"device": "cuda", "deterministic": True, "epochs": 3, "folds": 0}
    runs = [fb.train(data, out=tmp_path / name, **options) for name in ("first", "second")]
    pairs = zip(runs[0].module.state_dict().values(), runs[1].module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_model_trained_on_a_gpu_answers_on_the_cpu(tmp_path: Path) -> None:
    data = make_arrays(tmp_path / "data.npz")
    run = fb.train(data, out=tmp_path / "run", device="cuda", epochs=3, folds=0)
    assert next(run.module.parameters()).device.type == "cpu"
    assert len(run.predict(data)) == 120
    assert run.scores["test"]["accuracy"]["value"] > 0.9


def test_pixels_stay_on_the_device_and_bf16_is_chosen_where_it_is_fast(tmp_path: Path) -> None:
    choices: dict[str, object] = {}

    def note(record: dict) -> None:
        if record["kind"] == "choice":
            choices[record["key"]] = record["value"]

    fb.train(make_arrays(tmp_path / "data.npz"), out=tmp_path / "run", epochs=2, folds=0, on_record=note)
    assert str(choices["device"]).startswith("cuda")
    if torch.cuda.is_bf16_supported(including_emulation=False):
        assert choices["training.precision"] == "bf16"
