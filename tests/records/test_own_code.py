"""Own files and their neighbours: which bytes run, what consent and digest cover, and the list of trusted files."""

from __future__ import annotations

import importlib
import json
import linecache
import os
import pickle
import py_compile
import subprocess
import sys
from pathlib import Path

import pytest

from flambeau.errors import ModelError
from flambeau.records.own_code import check_trust, digest_of, load_own, trust_file

SOURCE = """
def my_loss(outputs, targets):
    return ((outputs - targets) ** 2).mean()
"""


@pytest.fixture
def net(tmp_path: Path) -> Path:
    (tmp_path / "net.py").write_text(SOURCE)
    return tmp_path / "net.py"


def test_only_the_named_bytes_are_run_and_no_bytecode_is_read_or_written(tmp_path: Path) -> None:
    path, forged = tmp_path / "forged.py", tmp_path / "made" / "forged.py"
    forged.parent.mkdir()
    forged.write_text("WHO = 'evil'\n")
    path.write_text("WHO = 'good'\n")
    os.utime(forged, (1e9, 1e9))
    os.utime(path, (1e9, 1e9))
    cached = Path(importlib.util.cache_from_source(str(path)))
    py_compile.compile(str(forged), cfile=str(cached), dfile=str(path))
    before = cached.read_bytes()
    assert load_own(f"{path}:WHO") == "good"
    path.write_text("WHO = 'more'\n")
    os.utime(path, (1e9, 1e9))
    assert load_own(f"{path}:WHO") == "more", "an edit of equal size within one tick of the clock"
    assert cached.read_bytes() == before
    assert [file.name for file in cached.parent.iterdir()] == [cached.name]


def test_neighbours_are_run_from_their_source_too(tmp_path: Path) -> None:
    (tmp_path / "forged_beside.py").write_text("WHO = 'evil'\n")
    (tmp_path / "user.py").write_text("from forged_beside import WHO\n")
    os.utime(tmp_path / "forged_beside.py", (1e9, 1e9))
    py_compile.compile(str(tmp_path / "forged_beside.py"))
    (tmp_path / "forged_beside.py").write_text("WHO = 'good'\n")
    os.utime(tmp_path / "forged_beside.py", (1e9, 1e9))
    assert load_own(f"{tmp_path / 'user.py'}:WHO") == "good"


def test_source_and_tracebacks_of_own_code_can_be_read(net: Path) -> None:
    loss = load_own(f"{net}:my_loss")
    assert loss.__code__.co_filename == str(net)
    assert "return ((outputs" in linecache.getline(str(net), loss.__code__.co_firstlineno + 1)


def _with_package(folder: Path) -> Path:
    (folder / "own_pack").mkdir(parents=True)
    (folder / "own_pack" / "__init__.py").write_text("from .inner import *\n")
    (folder / "own_pack" / "inner.py").write_text("from own_top import SIZE\n")
    (folder / "own_top.py").write_text("SIZE = 1\n")
    (folder / "unrelated.py").write_text("SIZE = 1\n")
    (folder / "user.py").write_text(
        "import json\n\ndef size():\n    from own_pack import SIZE\n    return SIZE\n"
    )
    return folder / "user.py"


@pytest.mark.parametrize("edited", ["own_pack/__init__.py", "own_pack/inner.py", "own_top.py"])
def test_consent_and_digest_cover_what_a_file_imports_beneath_its_folder(tmp_path: Path, edited: str) -> None:
    path, store = _with_package(tmp_path / "code"), tmp_path / "trusted.json"
    digest = digest_of(path)
    trust_file(path, store)
    check_trust(path, digest, store)
    assert digest_of(Path(os.path.relpath(path))) == digest
    (path.parent / "unrelated.py").write_text("SIZE = 2\n")
    check_trust(path, digest, store)
    (path.parent / edited).write_text((path.parent / edited).read_text() + "# edited\n")
    with pytest.raises(ModelError, match="the file, or one that it imports, of the model has changed"):
        check_trust(path, digest, store)
    with pytest.raises(ModelError, match=r"own_pack/__init__\.py, own_pack/inner\.py, own_top\.py") as caught:
        check_trust(path, digest_of(path), store)
    assert "no other code" in str(caught.value)


def test_an_edited_neighbour_is_run_again(tmp_path: Path) -> None:
    (tmp_path / "own_sizes.py").write_text("SIZE = 1\n")
    (tmp_path / "own_between.py").write_text("from own_sizes import SIZE\n")
    (tmp_path / "user.py").write_text("from own_between import SIZE\n")
    assert load_own(f"{tmp_path / 'user.py'}:SIZE") == 1
    (tmp_path / "own_sizes.py").write_text("SIZE = 2\n")
    assert load_own(f"{tmp_path / 'user.py'}:SIZE") == 2


def test_neighbours_of_one_name_in_two_folders_stay_apart(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own_utilities.py").write_text(f"class Part:\n    name = '{folder}'\n")
        (tmp_path / folder / "user.py").write_text("from own_utilities import Part\n")
        part = load_own(f"{tmp_path / folder / 'user.py'}:Part")
        assert part.name == folder
        assert pickle.loads(pickle.dumps(part)) is part


def test_what_a_script_imported_itself_stays_what_it_was(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in ("script", "code"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "own_helpers.py").write_text(f"NAME = '{folder}'\n")
    (tmp_path / "code" / "user.py").write_text("from own_helpers import NAME\n")
    monkeypatch.syspath_prepend(str(tmp_path / "script"))
    imported = importlib.import_module("own_helpers")
    monkeypatch.setitem(sys.modules, "own_helpers", imported)
    assert load_own(f"{tmp_path / 'code' / 'user.py'}:NAME") == "code"
    assert sys.modules["own_helpers"] is imported


def test_neighbours_of_a_file_that_failed_are_read_afresh(tmp_path: Path) -> None:
    (tmp_path / "own_counted.py").write_text("COUNT = []\n")
    (tmp_path / "user.py").write_text("from own_counted import COUNT\nCOUNT.append(1)\nassert False\n")
    with pytest.raises(ModelError, match="AssertionError"):
        load_own(f"{tmp_path / 'user.py'}:COUNT")
    assert "own_counted" not in sys.modules
    (tmp_path / "user.py").write_text("from own_counted import COUNT\nCOUNT.append(1)\n")
    assert load_own(f"{tmp_path / 'user.py'}:COUNT") == [1]


def test_bytes_that_were_checked_are_those_that_run(net: Path) -> None:
    checked = digest_of(net)
    net.write_text(SOURCE + "# swapped\n")
    with pytest.raises(ModelError, match="changed since the training"):
        load_own(f"{net}:my_loss", digest=checked)


@pytest.mark.parametrize("damaged", [b"7", b"\xff\xfe[", b"{", b""])
def test_a_damaged_list_of_trusted_files_is_no_consent_and_is_mended(
    net: Path, tmp_path: Path, damaged: bytes
) -> None:
    store = tmp_path / "trusted.json"
    store.write_bytes(damaged + b'"' + b"a" * 32 + b'", "' + b"b" * 20)
    with pytest.raises(ModelError, match="never trained with"):
        check_trust(net, digest_of(net), store)
    trust_file(net, store)
    check_trust(net, digest_of(net), store)
    assert set(json.loads(store.read_text())) == {digest_of(net), "a" * 32}


TRUSTING = """
import sys
from pathlib import Path
from flambeau.records.own_code import trust_file
for file in sorted(Path(sys.argv[1]).glob(sys.argv[3] + "*.py")):
    trust_file(file, Path(sys.argv[2]))
"""


def test_two_processes_that_trust_files_lose_none(tmp_path: Path) -> None:
    for number in range(40):
        (tmp_path / f"{'ab'[number % 2]}{number}.py").write_text(f"x = {number}\n")
    store = tmp_path / "trusted.json"
    running = [
        subprocess.Popen([sys.executable, "-c", TRUSTING, str(tmp_path), str(store), letter])
        for letter in "ab"
    ]
    assert [process.wait(timeout=120) for process in running] == [0, 0]
    assert len(json.loads(store.read_text())) == 40
