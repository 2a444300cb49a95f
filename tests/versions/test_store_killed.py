"""A command that is killed at any moment leaves the store as it was before, or as it was to become."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from flambeau.deploy.files import check_files
from flambeau.deploy.versions.index import read_index
from flambeau.deploy.versions.listing import versions_of
from flambeau.deploy.versions.store import register

# Kills itself, as kill -9 does, when it comes to one of its calls of the system for the given time.
KILLED = """
import os, signal, sys
from pathlib import Path

left = int(sys.argv[1])

def hook(event, arguments):
    global left
    writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
    if writes or event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "os.truncate"):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

from flambeau.deploy.versions import store
sys.addaudithook(hook)
{action}
print("done")
"""

REGISTER = 'store.register(Path(sys.argv[2]), "things", tag="production", store=Path(sys.argv[3]))'
REMOVE = 'store.remove("things", 1, store=Path(sys.argv[3]))'
TAG = 'store.move_tag("things", 1, "production", store=Path(sys.argv[3]))'


def killed_after(calls: int, action: str, bundle: Path, store: Path) -> bool:
    """Run the action in a process that is killed at this call; whether it was."""
    command = [sys.executable, "-c", KILLED.replace("{action}", action), str(calls), str(bundle), str(store)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=dict(os.environ))
    assert done.returncode in (0, -9), done.stderr
    return done.returncode == -9


@pytest.mark.slow
@pytest.mark.parametrize("action", [REGISTER, REMOVE, TAG], ids=["register", "remove", "tag"])
def test_a_kill_at_any_moment_leaves_old_or_new(
    action: str, variant: Callable[[str], Path], tmp_path: Path
) -> None:
    moments = 0
    for calls in range(1, 200):
        store = tmp_path / f"store-{calls}"
        for name in ("one", "two"):
            source = tmp_path / "variants" / name
            register(source if source.is_dir() else variant(name), "things", store=store)
        source = tmp_path / "variants" / "new"
        was_killed = killed_after(calls, action, source if source.is_dir() else variant("new"), store)
        rows = {row.version: row.tags for row in versions_of("things", store)}
        old, new = {1: (), 2: ()}, {
            REGISTER: {1: (), 2: (), 3: ("production",)}, REMOVE: {2: ()}, TAG: {1: ("production",), 2: ()}
        }[action]  # fmt: skip
        assert rows in (old, new), f"killed at call {calls}"
        for version in rows:
            check_files(store / "things" / str(version))
        # and the store goes on as if nothing had been
        again = tmp_path / "variants" / "again"
        number = register(again if again.is_dir() else variant("again"), "things", store=store)
        assert number >= 3
        assert number in read_index(store / "things").versions
        names = {entry.name for entry in (store / "things").iterdir()}
        assert {name for name in names if name.startswith(".")} == {".lock"}
        if not was_killed:
            break
        moments += 1
    assert not was_killed
    assert moments >= {REGISTER: 15, REMOVE: 10, TAG: 3}[action]
