"""Files that are wholly there or not at all, whatever happens while they are written."""

from __future__ import annotations

import errno
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from flambeau.errors import RunError
from flambeau.records import atomic_file, digest_file, to_json, write_json, write_text


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "scores.json"
    write_json(path, {"a": 1})
    write_json(path, {"a": 2})
    assert json.loads(path.read_text()) == {"a": 2}
    assert names(path.parent) == ["scores.json"]


def test_line_ends_are_kept_as_given(tmp_path: Path) -> None:
    write_text(tmp_path / "x", "a\nb\r\n")
    assert (tmp_path / "x").read_bytes() == b"a\nb\r\n"


def test_an_error_inside_keeps_the_old_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "x"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_file(path) as temporary:
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert names(tmp_path) == ["x"]


def test_a_full_disk_is_told_and_nothing_is_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "weights"
    write_text(path, "old")

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(RunError) as caught:
        write_text(path, "new")
    assert str(caught.value) == (
        f"the disk is full\n  where:    {path}\n  hint:     weights is as it was before"
    )
    assert path.read_text() == "old"
    assert names(tmp_path) == ["weights"]


def test_a_place_that_cannot_be_written_to_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(path: Path, target: Path) -> Path:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "replace", forbidden)
    with pytest.raises(RunError, match="this place cannot be written to"):
        write_text(tmp_path / "x", "text")
    assert names(tmp_path) == []


def test_a_kill_at_any_moment_leaves_one_whole_version(tmp_path: Path) -> None:
    path = tmp_path / "file"
    script = (
        "import sys; from pathlib import Path; from flambeau.records import write_text\n"
        "n = 0\n"
        "while True:\n"
        "    write_text(Path(sys.argv[1]), str(n % 10) * 300_000); n += 1\n"
    )
    for delay in (0.0, 0.013, 0.029):
        child = subprocess.Popen([sys.executable, "-c", script, str(path)])
        deadline = time.monotonic() + 20
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.005)
        time.sleep(delay)
        child.kill()
        child.wait()
        content = path.read_text()
        assert len(content) == 300_000
        assert len(set(content)) == 1


def test_json_has_no_nan_and_takes_numpy_numbers() -> None:
    text = to_json({"loss": math.nan, "rows": [np.float32(0.5), np.int64(3), math.inf], "path": Path("a/b")})
    assert json.loads(text) == {"loss": None, "rows": [0.5, 3, None], "path": "a/b"}
    assert to_json({"x": np.array([1.0, np.nan])}) == '{"x": [1.0, null]}'
    with pytest.raises(TypeError, match="object has no place in JSON"):
        to_json({"x": object()})


def test_a_digest_depends_on_every_byte(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"abc")
    first = digest_file(path)
    path.write_bytes(b"abd")
    assert len(first) == 64
    assert digest_file(path) != first
