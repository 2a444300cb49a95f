"""The benchmark of the recipe `fast`: official files are read in both forms, and nothing in a pickle is run."""

from __future__ import annotations

import importlib.util
import pickle
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch

BENCHMARKS = Path(__file__).resolve().parents[2] / "benchmarks"
EACH = 40


@pytest.fixture
def cifar(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The benchmark's own file, which stands outside the package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    specification = importlib.util.spec_from_file_location("benchmark_cifar", BENCHMARKS / "cifar.py")
    assert specification is not None and specification.loader is not None
    module = importlib.util.module_from_spec(specification)
    monkeypatch.setitem(sys.modules, "benchmark_cifar", module)
    specification.loader.exec_module(module)
    return module


def made_up_batch(number: int) -> tuple[np.ndarray, np.ndarray]:
    """Class numbers, and pictures (count, 3 x 32 x 32) that are brighter the higher their class."""
    generator = np.random.default_rng(number)
    labels = np.arange(EACH) % 10
    pixels = generator.integers(0, 60, (EACH, 3 * 32 * 32)) + labels[:, None] * 19
    return labels, pixels.astype(np.uint8)


def write_folder(folder: Path, *, binary: bool) -> Path:
    """A CIFAR-10 of six small files, as torchvision unpacks it or as the binary version comes."""
    inner = folder / ("cifar-10-batches-bin" if binary else "cifar-10-batches-py")
    inner.mkdir(parents=True)
    for number, name in enumerate([f"data_batch_{one}" for one in range(1, 6)] + ["test_batch"]):
        labels, pixels = made_up_batch(number)
        if binary:
            rows = np.concatenate([labels.astype(np.uint8)[:, None], pixels], axis=1)
            (inner / f"{name}.bin").write_bytes(rows.tobytes())
        else:
            batch = {
                b"batch_label": b"made up",
                b"labels": labels.tolist(),
                b"data": pixels,
                b"filenames": [b"a.png"],
            }
            (inner / name).write_bytes(pickle.dumps(batch, protocol=2))
    return folder


@pytest.mark.parametrize("binary", [True, False])
def test_both_forms_of_the_official_files_are_read(cifar: ModuleType, tmp_path: Path, binary: bool) -> None:
    arrays = cifar.read_batches(write_folder(tmp_path, binary=binary))
    assert arrays["train_images"].shape == (5 * EACH, 32, 32, 3)
    assert arrays["test_images"].shape == (EACH, 32, 32, 3)
    assert arrays["train_labels"][:3].tolist() == ["airplane", "automobile", "bird"]
    _, pixels = made_up_batch(5)
    assert np.array_equal(arrays["test_images"], pixels.reshape(-1, 3, 32, 32).transpose(0, 2, 3, 1))


class Dangerous:
    """Would print when unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return print, ("this was run",)


def test_a_pickle_that_wants_to_run_something_is_refused(
    cifar: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps({b"labels": [1], b"data": Dangerous()}))
    with pytest.raises(pickle.UnpicklingError, match="which no batch of CIFAR-10 needs"):
        cifar.read_batch(path)
    assert capsys.readouterr().out == ""


def test_what_is_no_cifar_is_told(cifar: ModuleType, tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"there is no data_batch_1\.bin and no data_batch_1"):
        cifar.read_batches(tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(b"\x00" * 4000)
    with pytest.raises(SystemExit, match="4000 bytes are not a whole number of pictures"):
        cifar.read_batches(tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(b"\x0b" * 3073)
    with pytest.raises(SystemExit, match="expected labels from 0 to 9"):
        cifar.read_batches(tmp_path)


def test_the_limit_is_counted_in_products(cifar: ModuleType) -> None:
    assert cifar.product_rate(torch.device("cpu"), torch.float32) > 1e8


@pytest.mark.slow
def test_the_whole_thing_on_a_tiny_folder(
    cifar: ModuleType, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = write_folder(tmp_path / "given", binary=False)
    result = cifar.run_full(root, ["--epochs", "2", "--set", "model.width=4"], 1, tmp_path)
    assert result["epochs"] == 2 and 0 <= result["accuracy"] <= 1
    assert 0 < result["training"] < result["wall"]
    told = capsys.readouterr().out
    assert f"on {EACH} test pictures; 2 epochs, " in told
    assert "GFLOP a picture" in told and "the limit is" in told
