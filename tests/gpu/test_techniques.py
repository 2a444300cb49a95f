"""Each technique of the engine on a GPU: fp16 with scaling, bf16, TF32, compiling, graphs, memory, resuming."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

import flambeau as fb
from flambeau.errors import DeviceError, ModelError
from flambeau.models.cnn import SmallResNet
from flambeau.models.compiling import compile_in_place
from flambeau.models.recompute import recompute_blocks
from flambeau.planning.machine import FEWEST_FREE_BYTES, check_free_memory, resolve_device
from flambeau.recipe import load_recipe

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device on this machine"),
]
CUDA = torch.device("cuda")


@pytest.fixture(scope="module")
def arrays(tmp_path_factory: pytest.TempPathFactory) -> Path:
    generator = np.random.default_rng(0)
    labels = np.arange(240) % 2
    pixels = generator.integers(0, 120, (240, 16, 16, 3)) + labels[:, None, None, None] * 60
    path = tmp_path_factory.mktemp("arrays") / "data.npz"
    np.savez(path, images=pixels.astype(np.uint8), labels=labels)
    return path


@pytest.fixture(autouse=True)
def all_memory_again() -> Any:
    yield
    torch.cuda.set_per_process_memory_fraction(1.0)
    torch.set_float32_matmul_precision("highest")


def trained(data: Path, out: Path, **training: Any) -> tuple[fb.Run, list[dict[str, Any]]]:
    records: list[dict[str, Any]] = []
    run = fb.train(
        data,
        out=out,
        device="cuda",
        epochs=3,
        folds=0,
        on_record=records.append,
        training={"bags": 1, **training},
    )
    return run, records


@pytest.mark.parametrize("precision", ["fp32", "bf16", "fp16"])
def test_every_precision_learns_and_keeps_finite_weights(
    arrays: Path, tmp_path: Path, precision: str
) -> None:
    run, _ = trained(arrays, tmp_path / "run", precision=precision)
    assert run.scores["test"]["accuracy"]["value"] > 0.9
    assert all(torch.isfinite(value).all() for value in run.module.state_dict().values())


def test_tf32_is_on_for_products_and_convolutions_and_off_for_highest(arrays: Path, tmp_path: Path) -> None:
    for route, numbers in (("high", "tf32"), ("highest", "ieee")):
        trained(arrays, tmp_path / route, matmul=route, precision="fp32")
        assert torch.backends.cuda.matmul.fp32_precision == numbers
        assert torch.backends.cudnn.allow_tf32 == (route == "high")


def ends(model: nn.Module, steps: int = 4) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, fused=True)
    model.train()
    for _ in range(steps):
        pictures = torch.randn(16, 3, 16, 16, generator=generator).to(CUDA)
        model(pictures).float().square().mean().backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return {key: value.float().cpu() for key, value in model.state_dict().items()}


@pytest.mark.parametrize("graphs", [False, True])
def test_compiled_training_agrees_with_eager_and_repeats(graphs: bool) -> None:
    torch.manual_seed(0)
    model = SmallResNet(3, 2, size=(16, 16), width=8).to(CUDA)
    expected = ends(copy.deepcopy(model))
    found = [ends(compile_in_place(copy.deepcopy(model), graphs=graphs)) for _ in range(2)]
    for key, value in expected.items():
        assert torch.allclose(found[0][key], value, atol=2e-2), key
        assert torch.equal(found[0][key], found[1][key]), key


def test_a_compiled_run_is_evaluated_kept_and_answers(arrays: Path, tmp_path: Path) -> None:
    run, _ = trained(arrays, tmp_path / "run", compile=True, ema=0.9)
    assert load_recipe(run.folder.recipe).training.compile is True
    assert len(run.predict(arrays)) == 240


def test_recomputing_takes_less_memory_and_ends_alike() -> None:
    torch.manual_seed(0)
    plain = SmallResNet(3, 2, size=(64, 64), width=32).to(CUDA).train()
    peaks = []
    for model in (plain, recompute_blocks(copy.deepcopy(plain))):
        pictures = torch.randn(64, 3, 64, 64, device=CUDA)
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        model(pictures).square().mean().backward()
        peaks.append(torch.cuda.max_memory_allocated() - before)
    assert peaks[1] < 0.9 * peaks[0]


def test_a_limit_of_memory_is_kept(arrays: Path, tmp_path: Path) -> None:
    torch.cuda.reset_peak_memory_stats()
    run, _ = trained(arrays, tmp_path / "run", memory_limit_gb=1.0)
    assert torch.cuda.max_memory_allocated() < 1.0e9
    assert run.scores["test"]["accuracy"]["value"] > 0.9
    with pytest.raises(ModelError, match="do not hold one sample"):
        trained(arrays, tmp_path / "none", memory_limit_gb=0.0005)


def test_out_of_memory_halves_the_samples_at_once(arrays: Path, tmp_path: Path) -> None:
    held = torch.empty(
        int(torch.cuda.mem_get_info()[0]) - 2 * FEWEST_FREE_BYTES, dtype=torch.uint8, device=CUDA
    )
    try:
        run, _ = trained(arrays, tmp_path / "run")
    finally:
        del held
        torch.cuda.empty_cache()
    assert run.scores["test"]["accuracy"]["value"] > 0.9


def test_a_full_gpu_is_told_before_anything_is_read(arrays: Path) -> None:
    held = torch.empty(
        int(torch.cuda.mem_get_info()[0]) - FEWEST_FREE_BYTES // 2, dtype=torch.uint8, device=CUDA
    )
    try:
        with pytest.raises(DeviceError, match="full"):
            check_free_memory(CUDA)
    finally:
        del held
        torch.cuda.empty_cache()


def test_an_absent_gpu_is_told_with_those_that_are_there() -> None:
    with pytest.raises(DeviceError, match="cuda:0"):
        resolve_device("cuda:99")


def test_the_rate_is_found_and_the_spans_are_device_events(arrays: Path, tmp_path: Path) -> None:
    run, records = trained(arrays, tmp_path / "run", lr_finder=True)
    kinds = {record["kind"]: record for record in records}
    assert kinds["lr_test"]["chosen"] == load_recipe(run.folder.recipe).training.optimizer.lr
    assert "events" in kinds["spans"]["measured"]
    assert kinds["epoch"]["memory_gb"] > 0


def test_a_stopped_run_goes_on_to_the_weights_of_an_unbroken_one(arrays: Path, tmp_path: Path) -> None:
    def stop_after_first(record: dict[str, Any]) -> None:
        if record["kind"] == "epoch" and record["epoch"] == 1:
            raise KeyboardInterrupt

    options: dict[str, Any] = {"device": "cuda", "deterministic": True, "epochs": 3, "folds": 0}
    options["training"] = {"bags": 1, "precision": "fp16", "checkpoint_seconds": 0.0}
    whole = fb.train(arrays, out=tmp_path / "whole", **options)
    with pytest.raises(KeyboardInterrupt):
        fb.train(arrays, out=tmp_path / "broken", on_record=stop_after_first, **options)
    resumed = fb.resume(tmp_path / "broken")
    pairs = zip(whole.module.state_dict().values(), resumed.module.state_dict().values(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)
