"""Two processes never write the same parts, not even where one of them ends just now."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from flambeau.deploy.batch import parts
from flambeau.errors import RunError


def test_a_lock_that_was_removed_meanwhile_is_not_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = parts.Parts(tmp_path / "out.csv")
    locked = parts._lock
    calls: list[int] = []

    def remove_first(file: Any, folder: Path) -> None:
        locked(file, folder)
        calls.append(1)
        if len(calls) == 1:  # as another process that ends just now
            (folder / parts.LOCK).unlink()
            folder.rmdir()
        if len(calls) == 2:
            (folder / parts.LOCK).unlink()
            (folder / parts.LOCK).touch()

    monkeypatch.setattr(parts, "_lock", remove_first)
    with place.hold():
        assert len(calls) == 3
        with pytest.raises(RunError, match="another process"), parts.Parts(tmp_path / "out.csv").hold():
            pass
    assert not place.folder.exists()
