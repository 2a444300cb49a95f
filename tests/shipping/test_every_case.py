"""Every technique resumes and ejects, most pairs of them in small runs; every kind of bundle exports and serves."""

from __future__ import annotations

import base64
import csv
import itertools
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from ruff import find_ruff_bin
from shipping_cases import MOST_CASES, PICTURES, TABLES, TRAINING, all_cases, shipped_cases
from shipping_data import make_all
from shipping_pairs import pairwise
from starlette.testclient import TestClient

import flambeau as fb
from flambeau.deploy.bundle import load_bundle, weights_digest
from flambeau.deploy.eject import eject
from flambeau.deploy.eject.check import check_script
from flambeau.deploy.serve.app import App
from flambeau.deploy.serve.limits import Limits
from flambeau.deploy.serve.models import Models, load_model
from flambeau.pipeline import resume
from flambeau.records import RunFolder
from flambeau.training import clock

CASES = dict(all_cases())
SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "torchscript": ".pt"}
# Sizes, limits, reports and places: they change no technique, or a test of their own covers them.
NOT_TECHNIQUES = {
    *("devices", "log", "training.distributed"),
    # what they find is written into the recipe as plain values
    *("training.lr_finder", "training.batch_finder", "training.memory_limit_gb"),
    *("source", "task", "seed", "device", "threads", "deterministic"),
    *("split.train", "split.valid", "split.group", "split.near_duplicates", "split.patients"),
    # of scans, which tests/scans/test_scan_runs.py resumes, ejects, exports and serves
    *("training.sampler", "evaluation.operating_point", "evaluation.positive"),
    # of time series, which tests/forecasts/test_forecast_runs.py resumes, ejects, exports and serves
    *(f"forecast.{name}" for name in ("horizon", "lookback", "time", "series", "known", "season", "waves")),
    *(
        f"forecast.{name}"
        for name in ("differences", "quantiles", "penalty", "shared", "cross", "embargo", "fee")
    ),
    "split.rows",
    # of texts, which tests/language/test_language_runs.py resumes, ejects and lets write
    *(
        f"language.{name}"
        for name in ("tokens", "vocabulary", "context", "heads", "tie", "temperature", "top_k")
    ),
    *(f"language.{name}" for name in ("samples", "sample_length", "max_bytes")),
    *(f"chat.{name}" for name in ("threshold", "unknown", "width", "buckets", "epochs", "lr", "writes")),
    *(f"chat.{name}" for name in ("vocabulary", "length", "max_pairs")),
    *(f"scan.{name}" for name in ("window", "low", "high", "frame", "axis", "position", "volume", "depth")),
    # "medium" beside bf16 is not repeatable on every processor: see docs/log.md
    "training.matmul",
    *("training.minutes", "training.checkpoint_seconds", "training.epochs", "training.batch_size"),
    *(
        "evaluation.metric",
        "evaluation.resamples",
        "evaluation.baselines",
        "model.arch",
        "model.trust_pickle",
    ),
}


# All tests of a case run in one process, which trains it once.
def of_cases(names: Iterable[str]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize(
        "name", [pytest.param(name, marks=pytest.mark.xdist_group(name)) for name in names]
    )


every_case, shipped_case = of_cases(CASES), of_cases(shipped_cases())


class _StoppedError(Exception):
    """What a listener of these tests raises in the middle of a training, as a kill would end it."""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_all(tmp_path_factory.mktemp("made"))


def options_of(name: str, made: Path) -> tuple[Path, dict[str, Any]]:
    """The source and the recipe of a case, with full paths."""
    options = dict(CASES[name])
    name_of = {"arrays": "arrays.npz", **{folder: folder for folder in ("folders", "labels", "letters")}}
    source = made / name_of.get(options["source"], f"{options['source']}.csv")
    del options["source"]
    if options.get("model.name") == "own":
        options["model.name"] = f"{made / 'own.py'}:{'OwnTable' if 'table' in name else 'OwnPictures'}"
    for key in ("training.optimizer.name", "training.schedule.name", "training.loss.name", "model.init"):
        if str(options.get(key)).lower().startswith("own"):
            options[key] = f"{made / 'own.py'}:{options[key]}"
    if options.get("model.pretrained"):
        options["model.pretrained"] = str(made / "weights.safetensors")
    return source, options


@pytest.fixture(scope="module")
def runs(made: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, fb.Run]:
    """Runs by name, trained when a test first asks for one."""
    return {}


def run_of(name: str, made: Path, runs: dict[str, fb.Run]) -> fb.Run:
    if name not in runs:
        source, options = options_of(name, made)
        runs[name] = fb.train(source, out=made / "runs" / name, **options)
    return runs[name]


def test_most_pairs_are_covered() -> None:
    for kind, own in (("pictures", PICTURES), ("table", TABLES)):
        factors = {**own, **TRAINING}
        cases = pairwise(factors)[: MOST_CASES[kind]]
        every = sum(len(factors[a]) * len(factors[b]) for a, b in itertools.combinations(factors, 2))
        covered = {
            ((a, case[a]), (b, case[b])) for case in cases for a, b in itertools.combinations(factors, 2)
        }
        assert len(covered) >= 0.8 * every


def test_every_option_is_covered() -> None:
    from flambeau.recipe.describe import options

    varied = {key for case in CASES.values() for key in case}
    known = {
        key for key, option in options().items() if option.section is None and not key.startswith("data.")
    }
    assert known - varied - NOT_TECHNIQUES == set()
    assert NOT_TECHNIQUES - known == set()


@pytest.mark.slow
@every_case
def test_ejected_script_ends_in_the_same_weights(name: str, made: Path, runs: dict[str, fb.Run]) -> None:
    run = run_of(name, made, runs)
    script = eject(run.folder)
    assert "flambeau" not in [
        word for line in script.splitlines() if "import" in line for word in line.split()
    ]
    checked = subprocess.run(
        [
            find_ruff_bin(),
            "check",
            "--isolated",
            *("--select", "E,F,W,I,B,UP"),
            *("--line-length", "110"),
            "-",
        ],
        input=script,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout
    result = check_script(run.folder, script, timeout_seconds=120)
    assert result.equal, (result.differing[:5], result.largest, result.output[-500:])


@pytest.mark.slow
@every_case
def test_resumed_run_ends_in_the_same_weights(
    name: str, made: Path, runs: dict[str, fb.Run], monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = run_of(name, made, runs)
    source, options = options_of(name, made)
    monkeypatch.setattr(clock, "SECONDS_BETWEEN_EPOCH_CHECKPOINTS", 0.0)
    length = len(whole.folder.read_log(["epoch"]))
    epochs = 0

    def stop_in_the_middle(record: dict[str, Any]) -> None:
        nonlocal epochs
        epochs += record["kind"] == "epoch"
        if epochs == length // 2 + 1:
            raise _StoppedError

    out = made / "stopped" / name
    options["training.checkpoint_seconds"] = 0
    with pytest.raises(_StoppedError):
        fb.train(source, out=out, on_record=stop_in_the_middle, **options)
    assert list((out / "checkpoints").rglob("*.safetensors"))
    again = resume(RunFolder(out))
    assert weights_digest(load_bundle(again.model).module) == weights_digest(whole.module)


@pytest.mark.slow
@shipped_case
def test_exported_file_agrees_with_the_model(
    name: str, made: Path, runs: dict[str, fb.Run], tmp_path: Path
) -> None:
    run = run_of(name, made, runs)
    # each format for a third of them: every kind, task and model meets every format in tests/export
    to = ("onnx", "pt2", "torchscript")[list(CASES).index(name) % 3]
    assert run.export(tmp_path / f"model{SUFFIXES[to]}", to=to)["agreement"] <= 1e-5


@pytest.mark.slow
@shipped_case
def test_served_answers_are_those_of_predict(name: str, made: Path, runs: dict[str, fb.Run]) -> None:
    run = run_of(name, made, runs)
    source, _ = options_of(name, made)
    if run.bundle.schema.source == "table":
        used = {column.name for column in run.bundle.schema.used_columns}
        table = source if source.stem in ("homes", "texts") else made / "table.csv"
        with table.open(encoding="utf-8") as file:
            rows = [{k: v for k, v in row.items() if k in used} for row in csv.DictReader(file)][:3]
        if source.is_dir():
            rows = [{"text": path.read_text(encoding="utf-8")} for path in sorted(source.rglob("*.txt"))[:3]]
        pictures = run.bundle.schema.picture_columns
        there = [{k: str(made / v) if k in pictures and v else v for k, v in row.items()} for row in rows]
        sent = [
            {
                k: base64.b64encode(Path(v).read_bytes()).decode() if k in pictures and v else v
                for k, v in row.items()
            }
            for row in there
        ]
        expected, request = run.predict(there), {"json": {"rows": sent}}
    else:
        pictures = sorted((made / "folders" if source.suffix else source).rglob("*.png"))[:3]
        expected = run.predict(pictures)
        request = {"files": [("file", (path.name, path.read_bytes(), "image/png")) for path in pictures]}
    app = App(Models([load_model(str(run.folder.path), Limits())]), Limits(), api_key="", decoders=1)
    with TestClient(app) as client:
        answers = client.post("/predict", **request).json()["answers"]
    for answer, told in zip(answers, expected, strict=True):
        assert answer.get("label") == told.get("label")
        numbers = told.get("probabilities") or {"value": told["value"]}
        served = answer.get("probabilities") or {"value": answer["value"]}
        assert served == pytest.approx(numbers, rel=1e-5, abs=2e-6)
