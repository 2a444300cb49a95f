"""Scripts of whole runs: what happened on the way is replayed, and what cannot be repeated is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

import flambeau as fb
from flambeau.deploy.eject import eject
from flambeau.deploy.eject.check import check_script
from flambeau.errors import RunError
from flambeau.training import loop

SMALL = {"epochs": 3, "threads": 1, "evaluation": {"resamples": 100, "baselines": False}}


def assert_equal(run: fb.Run) -> str:
    script = eject(run.folder)
    result = check_script(run.folder, script, timeout_seconds=300)
    assert result.equal, (result.differing[:5], result.largest, result.output[-500:])
    return script


def code_lines(script: str) -> list[str]:
    """Lines that are neither empty, comments nor docstrings of one line."""
    return [line for line in script.splitlines() if line.strip() and line.strip()[0] not in "#\"'"]


@pytest.fixture
def table(tmp_path: Path) -> Path:
    draw = np.random.default_rng(0)
    rows = [f"{a:.3f},{b:.3f},{a - b + 0.1 * c:.3f}" for a, b, c in draw.normal(size=(120, 3))]
    path = tmp_path / "rows.csv"
    path.write_text("a,b,y\n" + "\n".join(rows) + "\n")
    return path


@pytest.mark.slow
def test_a_rollback_is_replayed(table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = loop.accumulate_gradients
    steps = 0

    def diverging(*arguments: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        value = whole(*arguments)
        return value * float("nan") if steps == 13 else value

    options: dict[str, Any] = {**SMALL, "split": {"folds": 0}, "training": {"bags": 1, "batch_size": 16}}
    # a trial times some steps before the training, so the first count falls into the training itself
    monkeypatch.setattr(loop, "accumulate_gradients", diverging)
    run = fb.train(table, target="y", out=tmp_path / "run", **options)
    changes = run.folder.read_json("trainings.json")["trainings"][0]["changes"]
    assert changes and changes[0]["rate_scale"] == 0.5
    assert "CHANGES" in assert_equal(run)


@pytest.mark.slow
def test_less_memory_on_the_way_is_replayed(
    table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = loop.accumulate_gradients
    steps = 0

    def short_of_memory(*arguments: Any) -> torch.Tensor:
        nonlocal steps
        steps += 1
        if steps == 14:
            raise RuntimeError("DefaultCPUAllocator: not enough memory: you tried to allocate too much")
        return whole(*arguments)

    monkeypatch.setattr(loop, "accumulate_gradients", short_of_memory)
    options: dict[str, Any] = {**SMALL, "split": {"folds": 0}, "training": {"bags": 1, "batch_size": 16}}
    run = fb.train(table, target="y", out=tmp_path / "run", **options)
    changes = run.folder.read_json("trainings.json")["trainings"][0]["changes"]
    assert changes and changes[0]["micro_batch"] == 8
    assert_equal(run)


@pytest.mark.slow
def test_bags_with_a_threshold_are_fed_without_the_rows_that_choose_it(table: Path, tmp_path: Path) -> None:
    lines = table.read_text().splitlines()
    named = [
        line.rpartition(",")[0] + (",yes" if float(line.split(",")[2]) > 0 else ",no") for line in lines[1:]
    ]
    table.write_text("\n".join([lines[0], *named]) + "\n")
    options: dict[str, Any] = {**SMALL, "split": {"folds": 0}, "training": {"bags": 2, "batch_size": 16}}
    options["evaluation"] = {**options["evaluation"], "operating_point": "youden"}
    run = fb.train(table, target="y", out=tmp_path / "run", **options)
    left_out = [one["valid"] for one in run.folder.read_json("trainings.json")["trainings"]]
    assert left_out[0] == left_out[1] == run.folder.read_json("split.json")["valid"]
    assert "fitting_rows = np.setdiff1d(fitting_rows, plan[0])" in assert_equal(run)


@pytest.mark.slow
def test_a_run_from_another_run(table: Path, tmp_path: Path) -> None:
    first = fb.train(table, target="y", out=tmp_path / "first", **SMALL)
    more = tmp_path / "more.csv"
    more.write_text(table.read_text() + "".join(f"{i}.5,{-i}.25,{2 * i}.75\n" for i in range(60)))
    second = fb.train(more, target="y", from_run=first.folder.path, out=tmp_path / "second", **SMALL)
    assert "start_weights" in assert_equal(second)


@pytest.mark.slow
def test_a_separate_test_source(table: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.csv"
    other.write_text("a,b,y\n" + "\n".join(f"{i / 7:.3f},{-i / 9:.3f},{i / 3:.3f}" for i in range(40)) + "\n")
    run = fb.train(table, target="y", test=str(other), out=tmp_path / "run", **SMALL)
    assert "TEST" in assert_equal(run)


@pytest.mark.slow
def test_parts_as_folders_and_broken_pictures(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    for part in ("train", "test"):
        for place, name in enumerate(("dark", "light")):
            folder = tmp_path / "photos" / part / name
            folder.mkdir(parents=True)
            for number in range(12):
                pixels = draw.integers(0, 120, (12, 12), dtype=np.uint8) + np.uint8(120 * place)
                Image.fromarray(pixels).save(folder / f"{number}.png")
    (tmp_path / "photos" / "train" / "dark" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing")
    run = fb.train(tmp_path / "photos", out=tmp_path / "run", **SMALL)
    assert_equal(run)


@pytest.mark.slow
def test_the_digits_run_of_the_readme(tmp_path: Path) -> None:
    run = fb.train("digits", out=tmp_path / "digits", epochs=2, threads=1)
    script = assert_equal(run)
    assert len(code_lines(script)) < 500


@pytest.mark.slow
def test_yes_and_no_and_hostile_names(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    rows = [
        f"{a:.2f},{'yes' if b > 0 else 'no'},{'x' if a > b else 'y'}" for a, b in draw.normal(size=(80, 2))
    ]
    path = tmp_path / "rows \"of\" 'mine'.csv"
    path.write_text('size,"in ""use"" \\",kind\n' + "\n".join(rows) + "\n")
    run = fb.train(path, target="kind", out=tmp_path / 'a"""+str(1', **SMALL)
    script = assert_equal(run)
    assert "fastexcel" not in script
    assert len(code_lines(script)) < 640


def test_changed_data_are_told(table: Path, tmp_path: Path) -> None:
    run = fb.train(table, target="y", out=tmp_path / "run", **{**SMALL, "epochs": 1})
    before = table.read_text()
    for changed in (before + "0.5,0.5,0.5\n", before.replace(before.splitlines()[3], "0.5,0.5,0.5")):
        table.write_text(changed)
        with pytest.raises(RunError, match="have changed"):
            eject(run.folder)
    table.unlink()
    with pytest.raises(RunError, match="cannot be read"):
        eject(run.folder)


def test_an_unfinished_run_is_told(tmp_path: Path) -> None:
    from flambeau.records import RunFolder

    (tmp_path / "run").mkdir()
    with pytest.raises(RunError, match="not finished"):
        eject(RunFolder(tmp_path / "run"))
