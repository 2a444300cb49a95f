"""Does an ejected script end in the weights of its run? It is run by itself, without this package, and compared."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor

from flambeau.errors import RunError
from flambeau.records import RunFolder

# Runs the script as Python runs a file, where no module of this package can be imported.
_WITHOUT_PACKAGE = """\
import runpy, sys
sys.modules["flambeau"] = None
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
_KEPT_VARIABLES = ("PATH", "HOME", "TMPDIR", "SYSTEMROOT", "LD_LIBRARY_PATH", "TORCH_HOME", "HF_HOME")
_THREAD_VARIABLES = ("GOMP_SPINCOUNT", "KMP_BLOCKTIME", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")
_LAST_LINES = 8


@dataclass(frozen=True)
class Comparison:
    """The weights of a script beside those of its run.

    Args:
        equal: whether all of them are, bit for bit.
        differing: names of tensors that are not.
        largest: the largest difference of two numbers.
        output: what the script printed.
    """

    equal: bool
    differing: tuple[str, ...]
    largest: float
    output: str


def check_script(run: RunFolder, script: str, *, timeout_seconds: float | None = None) -> Comparison:
    """Run a script in an empty folder and a clean environment, and compare its weights with the run's.

    Raises:
        RunError: the script failed or wrote no weights.
    """
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "train.py").write_text(script, encoding="utf-8")
        kept = {
            name: os.environ[name] for name in (*_KEPT_VARIABLES, *_THREAD_VARIABLES) if name in os.environ
        }
        # isolated: neither the person's folder nor their variables reach it
        command = [sys.executable, "-I", "-c", _WITHOUT_PACKAGE, "train.py"]
        try:
            done = subprocess.run(
                command,
                cwd=folder,
                env=kept,
                capture_output=True,
                text=True,
                check=False,
                timeout=timeout_seconds,
            )
        except subprocess.TimeoutExpired as error:
            raise RunError(
                "the ejected script took too long", got=f"more than {timeout_seconds:g} s"
            ) from error
        weights = folder / "weights.safetensors"
        if done.returncode or not weights.is_file():
            last = "\n".join(done.stderr.strip().splitlines()[-_LAST_LINES:])
            raise RunError(
                "the ejected script failed", where=run.path, got=last or f"exit code {done.returncode}"
            )
        return compare_weights(run.model / "weights.safetensors", weights, done.stdout)


def same_bits(one: Tensor, other: Tensor) -> bool:
    """Equal in type, shape and every bit: unlike as numbers, -0.0 is not 0.0, and NaN is itself."""
    if one.dtype != other.dtype or one.shape != other.shape:
        return False
    return torch.equal(one.reshape(-1).view(torch.uint8), other.reshape(-1).view(torch.uint8))


def compare_weights(one: Path, other: Path, output: str = "") -> Comparison:
    """Two files of weights, tensor by tensor."""
    first, second = load_file(one), load_file(other)
    differing = [name for name in first if name not in second or not same_bits(first[name], second[name])]
    differing += [name for name in second if name not in first]
    largest = 0.0
    for name in differing:
        if name in first and name in second and first[name].shape == second[name].shape:
            gap = (first[name].double() - second[name].double()).abs().max().item()
            largest = max(largest, gap)
    return Comparison(not differing, tuple(differing), largest, output)
