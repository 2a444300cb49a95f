"""A run's folder: made without overwriting, logged without loss, checked by digests, found by name."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flambeau.errors import RunError
from flambeau.records import RunFolder, environment, find_run, is_run, list_runs, nearest_run


@pytest.fixture(autouse=True)
def in_own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def make_run(name: str, age_seconds: float = 0, finished: bool = True) -> RunFolder:
    run = RunFolder(Path("runs") / name)
    run.path.mkdir(parents=True)
    run.append({"kind": "note", "text": "hello"})
    moment = 1_700_000_000 - age_seconds
    os.utime(run.log, (moment, moment))
    if finished:
        run.write_json(
            "scores.json",
            {
                "task": "regression",
                "seconds": 12.5,
                "test": {"mae": {"value": 1}, "rmse": {"value": 2, "low": 1}},
            },
        )
        run.write_digests()
    return run


def message(call: object, *arguments: object) -> str:
    with pytest.raises(RunError) as caught:
        call(*arguments)  # type: ignore[operator]  # any function of the room under test
    return str(caught.value)


def test_new_runs_get_the_next_free_number() -> None:
    assert RunFolder.create(None, "my photos!/").path == Path("runs/my-photos-1")
    assert RunFolder.create(None, "my photos!").path == Path("runs/my-photos-2")
    Path("runs/my-photos-7").mkdir()
    assert RunFolder.create(None, "my photos!").path == Path("runs/my-photos-8")
    assert RunFolder.create(None, "../..").path == Path("runs/run-1")


def test_a_named_folder_may_be_new_or_empty() -> None:
    Path("empty").mkdir()
    assert RunFolder.create(Path("empty"), "x").path == Path("empty")
    assert RunFolder.create(Path("a/b"), "x").path.is_dir()


def test_a_folder_with_something_in_it_is_refused() -> None:
    make_run("old-1", finished=False)
    assert message(RunFolder.create, Path("runs/old-1"), "x") == (
        "this folder is not empty, and nothing in it will be overwritten\n"
        "  where:    runs/old-1\n"
        "  expected: a new or empty folder: another --out, or none for the next free name under runs/\n"
        "  next:     flambeau resume runs/old-1"
    )
    Path("file").write_text("x")
    assert message(RunFolder.create, Path("file"), "x").startswith("a run needs a folder, and this is a file")


def test_the_log_gives_back_what_was_appended() -> None:
    run = make_run("a-1")
    run.append({"kind": "epoch", "epoch": 1, "loss": float("nan")})
    assert run.read_log(["epoch"]) == [{"kind": "epoch", "epoch": 1, "loss": None}]
    assert len(run.read_log()) == 2
    assert RunFolder("runs/none").read_log() == []


def test_a_torn_last_line_is_left_out_and_then_cut_off() -> None:
    run = make_run("a-1")
    with run.log.open("a") as stream:
        stream.write('{"kind": "epo')
    assert len(run.read_log()) == 1
    RunFolder(run.path).append({"kind": "note", "text": "again"})
    assert [record["text"] for record in run.read_log()] == ["hello", "again"]


def test_a_damaged_line_before_the_last_is_told() -> None:
    run = make_run("a-1")
    run.log.write_text('{"kind": "note"}\n{"ki\n{"kind": "note"}\n')
    assert message(run.read_log).startswith("the log is damaged\n  where:    runs/a-1/log.jsonl:2")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no device that is always full")
def test_a_full_disk_while_logging_is_told() -> None:
    run = make_run("a-1")
    run.log.unlink()
    run.log.symlink_to("/dev/full")
    told = message(RunFolder(run.path).append, {"kind": "note"})
    assert told.startswith("the disk is full")
    assert told.endswith("next:     flambeau resume runs/a-1")


def test_digests_notice_every_difference() -> None:
    run = make_run("a-1")
    run.write_text("report.html", "one")
    run.write_text("model/labels.txt", "a b")
    run.write_digests()
    assert run.finished
    assert run.verify_digests() == {}
    run.write_text("report.html", "two")
    run.write_text("extra", "")
    (run.model / "labels.txt").unlink()
    assert run.verify_digests() == {"extra": "new", "model/labels.txt": "missing", "report.html": "changed"}
    run.write_digests(only=["report.html"])
    assert run.verify_digests() == {"extra": "new", "model/labels.txt": "missing"}


def test_an_unfinished_run_has_no_digests() -> None:
    run = make_run("a-1", finished=False)
    assert message(run.verify_digests) == (
        "this run has no digests.json\n  where:    runs/a-1\n"
        "  hint:     the run is not finished; flambeau resume runs/a-1 goes on with it"
    )


def test_a_damaged_file_is_told() -> None:
    run = make_run("a-1")
    run.scores.write_text("{")
    assert message(run.read_json, "scores.json").startswith(
        "scores.json is damaged\n  where:    runs/a-1/scores.json"
    )


def test_runs_are_found_by_path_by_name_or_as_the_newest() -> None:
    make_run("photos-1", age_seconds=10)
    make_run("prices-1", age_seconds=20)
    Path("runs/not-a-run").mkdir()
    assert find_run().name == "photos-1"
    assert find_run("prices-1").path == Path("runs/prices-1")
    assert find_run("runs/prices-1").path == Path("runs/prices-1")
    assert is_run("runs/photos-1")
    assert not is_run("runs/not-a-run")


def test_what_is_no_run_is_told_with_the_nearest_name() -> None:
    assert "next:     flambeau train YOUR_DATA" in message(find_run)
    make_run("photos-1")
    assert nearest_run("scans-1", ["news-1"]) == ""
    assert message(find_run, "fotos-1") == (
        "there is no run 'fotos-1'\n  hint:     did you mean 'photos-1'?\n  next:     flambeau runs"
    )
    Path("other").mkdir()
    assert message(find_run, "other").startswith("this folder is not a run: it has no log.jsonl")


def test_the_list_of_runs() -> None:
    make_run("a-1", age_seconds=5)
    make_run("b-1", finished=False)
    damaged = make_run("c-1", age_seconds=9)
    damaged.scores.write_text('{"task": 3}')
    rows = list_runs()
    assert [(row.name, row.status, row.metric) for row in rows] == [
        ("b-1", "unfinished", ""),
        ("a-1", "finished", "rmse"),
        ("c-1", "finished", ""),
    ]
    assert rows[1].score == {"value": 2, "low": 1}
    assert rows[1].to_json()["seconds"] == 12.5
    assert list_runs(Path("nowhere")) == []


def test_the_environment_names_versions_and_the_machine() -> None:
    found = environment(device="cpu", threads=2, command="flambeau train digits")
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["torch"][0].isdigit()
    assert found["cores"] >= 1
    assert found["memory_gb"] > 0
    assert found["cpu"]
    assert (found["device"], found["threads"], found["command"]) == ("cpu", 2, "flambeau train digits")


def test_importing_the_room_imports_neither_torch_nor_numpy() -> None:
    code = "import sys, flambeau.records; print([m for m in ('torch', 'numpy') if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
