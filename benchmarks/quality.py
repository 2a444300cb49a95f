"""The main job on real data with defaults only: whole commands, their scores and their time.

    python benchmarks/quality.py [NAME …] [--seeds 3]

Each row runs `flambeau train` as a person would and reads the run's scores.json. Tables are judged against the run's
own gradient boosting on the same splits, paired over seeds.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from common import SHARED, print_header, tell

MOBILENET = str(SHARED / "weights" / "mobilenet_v2_imagenet1k.safetensors")


@dataclass(frozen=True)
class Case:
    """A data set, the command's words, and what must be reached."""

    words: tuple[str, ...]
    metric: str
    target: float | None
    seconds: float
    rival: str | None = None


def shared(*parts: str) -> str:
    return str(SHARED.joinpath(*parts))


def table(metric: str, *words: str, target: float | None = None) -> Case:
    return Case(words, metric, target, 180, rival="gradient boosting")


CASES = {
    "digits": Case(("digits",), "accuracy", 0.99, 45),
    "mnist": Case((shared("images", "mnist_10k"),), "accuracy", 0.992, 180),
    "cifar": Case((shared("images", "cifar10_small"), "--pretrained", MOBILENET), "accuracy", 0.78, 300),
    "signs": Case((shared("images", "sign_digits"),), "accuracy", 0.98, 120),
    "photos": Case((shared("images", "photos_small"), "--pretrained", MOBILENET), "accuracy", 1.0, 300),
    "pneumonia": Case((shared("medical", "pneumonia_xray_28.zip"),), "accuracy", 0.87, 300),
    "pneumonia-auc": Case((shared("medical", "pneumonia_xray_28.zip"),), "roc_auc", 0.944, 300),
    "cells": Case((shared("medical", "blood_cells"), "--target", "white_cells"), "rmse", None, 600, rival="mean"),
    "adult": table(
        "accuracy", shared("tables", "adult", "train.csv"), "--test", shared("tables", "adult", "test.csv"),
        "--target", "income",
    ),
    "housing": table(
        "rmse", shared("tables", "california_housing.csv"), "--target", "median_house_value", target=46_000
    ),
    "titanic": table("accuracy", shared("tables", "titanic.csv"), "--target", "Survived"),
    "wine": table("rmse", shared("tables", "wine_quality_white.csv"), "--target", "quality"),
    "sonar": table("accuracy", shared("tables", "sonar.csv"), "--target", "object"),
}  # fmt: skip
LOWER_IS_BETTER = ("rmse", "mae", "log_loss")


def run_case(case: Case, seed: int, folder: Path) -> tuple[dict[str, Any], float]:
    """The scores of one command, and its wall time."""
    out = folder / f"run-{time.monotonic_ns()}"
    command = [
        sys.executable,
        "-m",
        "flambeau",
        "train",
        *case.words,
        "--seed",
        str(seed),
        "--out",
        str(out),
        "--quiet",
    ]
    started = time.monotonic()
    finished = subprocess.run(command, capture_output=True, text=True)
    seconds = time.monotonic() - started
    if finished.returncode:
        raise SystemExit(f"{' '.join(command)}\n{finished.stdout}{finished.stderr}")
    return json.loads((out / "scores.json").read_text()), seconds


def judge(case: Case, results: list[dict[str, Any]], seconds: list[float]) -> str:
    """One line: the score over seeds, the rival's, the paired difference, the time, and whether that suffices."""
    own = [scores["test"][case.metric]["value"] for scores in results]
    sign = -1 if case.metric in LOWER_IS_BETTER else 1
    parts = [f"{case.metric} {tell(own)}, mean {statistics.mean(own):.4f}"]
    enough = max(seconds) <= case.seconds
    if case.target is not None:
        enough &= sign * statistics.mean(own) >= sign * case.target
        parts.append(f"target {case.target:g}")
    if case.rival is not None:
        rival = [scores["baselines"][case.rival][case.metric] for scores in results]
        gaps = [sign * (a - b) for a, b in zip(own, rival, strict=True)]
        error = statistics.stdev(gaps) / len(gaps) ** 0.5 if len(gaps) > 1 else 0.0
        parts.append(
            f"{case.rival} {statistics.mean(rival):.4f}, ahead by {statistics.mean(gaps):.4f} ± {error:.4f}"
        )
        enough &= statistics.mean(gaps) >= 0
    parts.append(f"{tell(seconds, 1)} s of {case.seconds:g}")
    return f"{'ok  ' if enough else 'SHORT'} " + "; ".join(parts)


def main() -> None:
    """Run the named cases, or all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="cases; all if none is named")
    parser.add_argument("--seeds", type=int, default=1)
    options = parser.parse_args()
    print_header("quality: whole commands with defaults")
    with tempfile.TemporaryDirectory() as folder:
        for name in options.names or CASES:
            runs = [run_case(CASES[name], seed, Path(folder)) for seed in range(options.seeds)]
            print(
                f"{name:14} {judge(CASES[name], [scores for scores, _ in runs], [s for _, s in runs])}",
                flush=True,
            )


if __name__ == "__main__":
    main()
