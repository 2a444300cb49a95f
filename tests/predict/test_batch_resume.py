"""A batch that is stopped at any moment goes on after the last whole part and ends in the equal file."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from small_runs import draw, make_rows, table_run

from flambeau.deploy.batch import job, join, predictors
from flambeau.deploy.batch.job import BatchOptions, Summary, predict_to_file
from flambeau.errors import RunError, UsageError
from flambeau.records import RunFolder

Tables = Callable[..., RunFolder]
ROWS = 90


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(predictors, "CHUNK_VALUES", 1)
    monkeypatch.setattr(job, "PART_ROWS", 20)
    monkeypatch.setattr(join, "ROW_GROUP_ROWS", 32)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    parquet.write_table(make_rows(ROWS), tmp_path / "rows.parquet")
    return tmp_path / "rows.parquet"


def predict(
    run: RunFolder, source: Path, target: Path, listener: Any = lambda record: None, **options: Any
) -> Summary:
    return predict_to_file(
        run, [str(source)], target, BatchOptions(batch=8, command="flambeau predict", **options), listener
    )


class StopAfter:
    """A listener that stops the work, as Ctrl-C would, at one record."""

    def __init__(self, kind: str, count: int) -> None:
        self.kind, self.left = kind, count

    def __call__(self, record: dict[str, Any]) -> None:
        if record["kind"] == self.kind:
            self.left -= 1
            if self.left < 0:
                raise KeyboardInterrupt


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".jsonl"])
def test_a_stop_at_any_record_changes_nothing_in_the_end(
    tmp_path: Path, tables: Tables, rows: Path, suffix: str
) -> None:
    whole, target = tmp_path / f"whole{suffix}", tmp_path / f"out{suffix}"
    predict(tables(), rows, whole)
    for kind in ("rows", "join"):
        for count in range(20):
            stop = StopAfter(kind, count)
            try:
                predict(tables(), rows, target, stop)
                break
            except KeyboardInterrupt:
                assert not target.exists()
        predict(tables(), rows, target)
        assert target.read_bytes() == whole.read_bytes()
        assert not target.with_name(f"{target.name}.parts").exists()
        target.unlink()


def test_what_was_done_is_not_done_again(tmp_path: Path, tables: Tables, rows: Path) -> None:
    target = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        predict(tables(), rows, target, StopAfter("rows", 8))
    told: list[dict[str, Any]] = []
    summary = predict(tables(), rows, target, told.append)
    # Parts end with the batch that fills 20 rows: at 24 and 48; 7 batches of 8 were predicted before the stop.
    assert summary.resumed == 48
    assert (summary.rows, summary.errors) == (ROWS, 0)
    assert next(record for record in told if record["kind"] == "rows")["done"] == 48
    assert summary.strange == predict(tables(), rows, tmp_path / "again.csv").strange > 0


def test_a_damaged_part_is_done_again(tmp_path: Path, tables: Tables, rows: Path) -> None:
    predict(tables(), rows, tmp_path / "whole.csv")
    target = tmp_path / "out.csv"
    for damage in ("cut", "gone"):
        with pytest.raises(KeyboardInterrupt):
            predict(tables(), rows, target, StopAfter("join", 0))
        parts = sorted(target.with_name("out.csv.parts").glob("part-*"))
        assert len(parts) == 4
        if damage == "cut":
            parts[1].write_bytes(parts[1].read_bytes()[:100])
        else:
            parts[1].unlink()
        assert predict(tables(), rows, target).resumed == 24
        assert target.read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_other_inputs_models_and_options_are_refused_until_begun_anew(
    tmp_path: Path, tables: Tables, rows: Path
) -> None:
    target = tmp_path / "out.csv"
    other = table_run(tmp_path / "other", seed=1)

    def begun() -> None:
        with pytest.raises(KeyboardInterrupt):
            predict(tables(), rows, target, StopAfter("rows", 5), restart=True)

    begun()
    with pytest.raises(RunError, match="the options are others") as raised:
        predict(tables(), rows, target, keep=("id",))
    assert str(raised.value.got).startswith("--batch 8, --keep id, --threads ")
    assert str(raised.value.expected).startswith("--batch 8, --keep , --threads ")
    with pytest.raises(RunError, match="the model is another one") as raised:
        predict(other, rows, target)
    assert raised.value.command == "flambeau predict --restart"
    os.utime(rows, (1, 1))
    with pytest.raises(RunError, match="the inputs are others"):
        predict(tables(), rows, target)
    assert predict(tables(), rows, target, restart=True).resumed == 0
    begun()
    (target.with_name("out.csv.parts") / "plan.json").write_text("{")
    with pytest.raises(RunError, match="its plan cannot be read"):
        predict(tables(), rows, target)
    assert predict(tables(), rows, target, restart=True).rows == ROWS


def test_a_picture_that_is_added_is_another_input(tmp_path: Path, pictures: RunFolder) -> None:
    for seed in range(30):
        draw(tmp_path / "photos" / f"{seed}.png", seed)
    target = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        predict(pictures, tmp_path / "photos", target, StopAfter("rows", 4))
    draw(tmp_path / "photos" / "x.png", 30)
    with pytest.raises(RunError, match="the inputs are others") as raised:
        predict(pictures, tmp_path / "photos", target)
    assert (raised.value.got, raised.value.expected) == ("31 files", "30 files")
    (tmp_path / "photos" / "x.png").unlink()
    assert predict(pictures, tmp_path / "photos", target).resumed == 24


def test_nothing_of_a_person_is_touched(tmp_path: Path, tables: Tables, rows: Path) -> None:
    own = tmp_path / "out.csv.parts"
    own.mkdir()
    (own / "diary.txt").write_text("mine")
    with pytest.raises(UsageError, match="holds other files"):
        predict(tables(), rows, tmp_path / "out.csv", restart=True)
    assert [path.name for path in own.iterdir()] == ["diary.txt"]
    (tmp_path / "out.parquet.parts").write_text("a file")
    with pytest.raises(UsageError, match="a file stands where"):
        predict(tables(), rows, tmp_path / "out.parquet")


def test_a_place_that_cannot_be_written_to_is_told_before_any_work(
    tmp_path: Path, tables: Tables, rows: Path
) -> None:
    told: list[dict[str, Any]] = []
    with pytest.raises(RunError, match="a file stands where a folder is needed"):
        predict(tables(), rows, rows / "out.csv", told.append)
    assert told == []


def test_two_processes_do_not_write_the_same_predictions(tmp_path: Path, tables: Tables, rows: Path) -> None:
    pytest.importorskip("fcntl")
    errors: list[str] = []

    def again(record: dict[str, Any]) -> None:
        if record["kind"] == "rows" and not errors:
            with pytest.raises(RunError) as raised:
                predict(tables(), rows, tmp_path / "out.csv")
            errors.append(raised.value.what)

    assert predict(tables(), rows, tmp_path / "out.csv", again).rows == ROWS
    assert errors == ["another process is writing these predictions"]


SLOWLY = """
import sys, time
from flambeau.deploy.batch import job, predictors
predictors.CHUNK_VALUES, job.PART_ROWS = 1, 512
answer = predictors.TablePredictor._answer
def slowly(*arguments):
    time.sleep(0.02)
    return answer(*arguments)
predictors.TablePredictor._answer = slowly
from flambeau.cli.main import run
sys.exit(run(sys.argv[1:]))
"""

LIMITED = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, 60_000))
from flambeau.deploy.batch import job, predictors
predictors.CHUNK_VALUES, job.PART_ROWS = 1, 512
from flambeau.cli.main import run
sys.exit(run(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize("stop", ["SIGKILL", "SIGINT"])
def test_a_killed_process_is_gone_on_with(tmp_path: Path, tables: Tables, stop: str) -> None:
    parquet.write_table(make_rows(20_000), tmp_path / "rows.parquet")
    words = ["predict", str(tables().path), "rows.parquet", "--out", "out.csv", "--threads", "1"]
    predict_to_file(tables(), [str(tmp_path / "rows.parquet")], tmp_path / "whole.csv")
    parts = tmp_path / "out.csv.parts"
    process = subprocess.Popen(
        [sys.executable, "-c", SLOWLY, *words],
        cwd=tmp_path,
        stderr=subprocess.PIPE,
        # what starts the tests may ignore Ctrl-C, and a child would go on ignoring it
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    while len(list(parts.glob("part-*"))) < 3:
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(getattr(signal, stop))
    told = process.communicate(timeout=60)[1].decode()
    if stop == "SIGINT":
        assert process.returncode == 130
        assert "Go on with: flambeau predict" in told
        assert "Traceback" not in told
    assert json.loads((parts / "plan.json").read_text())["count"] == 1
    again = subprocess.run(
        [sys.executable, "-m", "flambeau", *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert again.returncode == 0, again.stderr
    assert "going on after" in again.stderr
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not parts.exists()


@pytest.mark.slow
def test_a_full_disk_stops_with_a_sentence_and_goes_on(tmp_path: Path, tables: Tables) -> None:
    parquet.write_table(make_rows(5_000), tmp_path / "rows.parquet")
    words = ["predict", str(tables().path), "rows.parquet", "--out", "out.csv", "--threads", "1"]
    stopped = subprocess.run(
        [sys.executable, "-c", LIMITED, *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert stopped.returncode == 1, stopped.stderr
    assert "Traceback" not in stopped.stderr
    assert "the parts that were written are kept" in stopped.stderr
    assert not (tmp_path / "out.csv").exists()
    assert not list(tmp_path.rglob(".*tmp"))
    summary = predict_to_file(tables(), [str(tmp_path / "rows.parquet")], tmp_path / "whole.csv")
    again = subprocess.run(
        [sys.executable, "-m", "flambeau", *words], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert again.returncode == 0, again.stderr
    assert "going on after 5,000 inputs of 5,000" in again.stderr
    assert summary.rows == 5_000
    assert (tmp_path / "out.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_other_threads_and_another_torch_are_refused(
    tmp_path: Path, tables: Tables, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "out.csv"
    with pytest.raises(KeyboardInterrupt):
        predict(tables(), rows, target, StopAfter("rows", 5), threads=1)
    with pytest.raises(RunError, match="the options are others") as caught:
        predict(tables(), rows, target, threads=2)
    assert "--threads 1" in str(caught.value) and "--threads 2" in str(caught.value)
    plan = target.with_name("out.csv.parts") / "plan.json"
    plan.write_text(json.dumps({**json.loads(plan.read_text()), "torch": "1.0"}))
    with pytest.raises(RunError, match="torch is of another version"):
        predict(tables(), rows, target, threads=1)
    assert predict(tables(), rows, target, threads=2, restart=True).resumed == 0
