"""Where flambeau keeps what it can make again (the cache) and what it remembers (the state)."""

from __future__ import annotations

import os
from pathlib import Path

from platformdirs import user_cache_path, user_state_path


def cache_folder() -> Path:
    """The folder of everything that can be made again; `FLAMBEAU_CACHE` moves it. Not created here."""
    chosen = os.environ.get("FLAMBEAU_CACHE")
    return Path(chosen).expanduser() if chosen else user_cache_path("flambeau")


def state_folder() -> Path:
    """The folder of what flambeau remembers between commands; `FLAMBEAU_STATE` moves it. Not created here."""
    chosen = os.environ.get("FLAMBEAU_STATE")
    return Path(chosen).expanduser() if chosen else user_state_path("flambeau")
