"""`flambeau predict --out` as it is typed: what it says, when it stops, and what it costs."""

from __future__ import annotations

import csv
import io
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pyarrow import parquet
from rich.console import Console
from small_runs import draw, make_rows

from flambeau.cli.main import run as run_command
from flambeau.cli.predict_progress import PredictProgress
from flambeau.records import RunFolder

Tables = Callable[..., RunFolder]


@pytest.fixture
def say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str, str]]:
    monkeypatch.chdir(tmp_path)

    def say_words(*words: Any) -> tuple[int, str, str]:
        typed = [str(word) for word in words]
        monkeypatch.setattr(sys, "argv", ["flambeau", *typed])
        code = run_command(typed)
        said = capsys.readouterr()
        return code, said.out, said.err

    return say_words


def test_a_file_is_written_and_summed_up(say: Callable[..., Any], tables: Tables, tmp_path: Path) -> None:
    parquet.write_table(
        make_rows(40), "rows.parquet" if Path.cwd() == tmp_path else tmp_path / "rows.parquet"
    )
    code, out, err = say(
        "predict", tables().path, "rows.parquet", "--out", "x.parquet", "--keep", "id,colour"
    )
    assert (code, out) == (0, "")
    first, second = err.splitlines()
    assert first.startswith("40 predictions written: x.parquet  (0.")
    assert second.startswith("! ")
    assert second.endswith(" %) unlike the training data: column 'strange'")
    assert parquet.read_table("x.parquet").column_names[-2:] == ["id", "colour"]
    assert say("predict", tables().path, "rows.parquet", "--out", "x.csv", "--quiet") == (0, "", "")


def test_pictures_that_cannot_be_read_are_rows_and_change_the_exit_code(
    say: Callable[..., Any], pictures: RunFolder, tmp_path: Path
) -> None:
    draw(tmp_path / "photos" / "a.png", 0)
    (tmp_path / "photos" / "b.png").write_bytes(b"GIF8")
    code, out, err = say("predict", pictures.path, "photos", "--out", "x.csv", "--quiet")
    assert (code, out, err) == (1, "", "1 input of 2 could not be read\n")
    rows = list(csv.DictReader(Path("x.csv").read_text().splitlines()))
    assert [(row["input"], bool(row["label"]), bool(row["error"])) for row in rows] == [
        ("photos/a.png", True, False),
        ("photos/b.png", False, True),
    ]


def test_a_batch_that_differs_is_refused_with_the_command_that_begins_anew(
    say: Callable[..., Any], tables: Tables, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from flambeau.deploy.batch import job

    parquet.write_table(make_rows(2000), tmp_path / "rows.parquet")
    monkeypatch.setattr(job, "PART_ROWS", 256)
    monkeypatch.setattr(job, "join_parts", interrupt)
    words = ["predict", tables().path, "rows.parquet", "--out", "x.csv"]
    code, _, err = say(*words)
    assert code == 130
    assert err == f"stopped at 2,000 of 2,000 inputs. Go on with: flambeau {' '.join(map(str, words))}\n"
    monkeypatch.undo()
    monkeypatch.chdir(tmp_path)
    code, _, err = say(*words, "--batch", "5")
    assert code == 1
    assert "cannot be gone on with: the options are others" in err
    assert f"next:     flambeau {' '.join(map(str, words))} --batch 5 --restart\n" in err
    code, _, err = say(*words, "--batch", "5", "--restart", "--threads", "1")
    assert (code, err.splitlines()[0].split(":")[0]) == (0, "2,000 predictions written")


def interrupt(*arguments: Any) -> None:
    raise KeyboardInterrupt


def test_an_output_that_cannot_be_is_told_before_torch_is_loaded(
    say: Callable[..., Any], tables: Tables, tmp_path: Path
) -> None:
    parquet.write_table(make_rows(5), tmp_path / "rows.parquet")
    (tmp_path / "link.parquet").symlink_to("rows.parquet")
    (tmp_path / "folder.csv").mkdir()
    for out, told in (
        ("./rows.parquet", "overwrite their own input"),
        ("link.parquet", "overwrite their own input"),
        ("folder.csv", "a folder stands where"),
        ("x.txt", "ends in .parquet, .csv or .jsonl"),
    ):
        code, _, err = say("predict", tables().path, "rows.parquet", "--out", out)
        assert (code, told in err) == (2, True), err


def records(kind: str, *done: int, total: int = 1000) -> list[dict[str, Any]]:
    return [{"kind": kind, "done": count, "total": total} for count in done]


def test_progress_tells_rate_and_time_left_in_plain_lines() -> None:
    text, clock = io.StringIO(), iter(range(0, 1000, 11))
    progress = PredictProgress(Console(file=text, width=80), moving=False, now=lambda: float(next(clock)))
    progress({"kind": "look", "name": "rows.csv", "count": 0})
    for record in [*records("rows", 120, 340, 560), *records("join", 1000)]:
        progress(record)
    progress.clear()
    assert text.getvalue().splitlines() == [
        "  looking through rows.csv",
        "  going on after 120 inputs of 1,000",
        "  120 of 1,000",
        "  340 of 1,000  20 a second  0:33 left",
        "  560 of 1,000  20 a second  0:22 left",
        "  1,000 of 1,000  written",
    ]


def test_progress_moves_on_a_terminal_and_leaves_it_clean() -> None:
    text, clock = io.StringIO(), iter(range(1000))
    console = Console(file=text, width=80, force_terminal=True, color_system=None)
    progress = PredictProgress(console, moving=True, now=lambda: float(next(clock)))
    for record in records("rows", 0, 500, 1000):
        progress(record)
    progress.clear()
    drawn = text.getvalue()
    assert "━━━━━━━━━━━━  500 of 1,000  500 a second  0:01 left" in drawn
    assert drawn.rstrip().endswith("\x1b[2K") or drawn.endswith("\x1b[?25h")


@pytest.mark.slow
def test_predicting_into_a_file_imports_no_optimizer_and_no_scikit_learn() -> None:
    names = ("torchvision", "timm", "torch._dynamo", "sklearn", "matplotlib", "flambeau.training")
    script = f"import sys, flambeau.deploy.batch.job; print([n for n in {names!r} if n in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


# The peak of getrusage would count the pages of the process that started this one.
MEASURED = """
import re, sys
from pathlib import Path
from flambeau.cli.main import run
code = run(sys.argv[1:])
print(int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) // 1024)
sys.exit(code)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is told elsewhere")
def test_memory_does_not_grow_with_the_rows(tmp_path: Path, tables: Tables) -> None:
    peaks = []
    for count in (80_000, 800_000):
        parquet.write_table(make_rows(count), tmp_path / "rows.parquet", row_group_size=count)
        words = [
            "predict",
            tables().path,
            "rows.parquet",
            "--out",
            "x.parquet",
            "--batch",
            "4096",
            "--threads",
            "1",
        ]
        done = subprocess.run(
            [sys.executable, "-c", MEASURED, *map(str, words)],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        peaks.append(int(done.stdout))
    # Ten times the rows would take 400 MB more if they were read at once.
    assert peaks[1] - peaks[0] < 60, peaks
