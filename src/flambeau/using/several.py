"""From Python: a command in a process of its own, which starts the several processes that train together."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flambeau.errors import RunError
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.write import recipe_to_yaml

Listener = Callable[[dict[str, Any]], None]


def train_together(
    source: str, recipe: Recipe, *, out: Path | None, from_run: Path | None, listener: Listener
) -> Path:
    """`flambeau train` in `recipe.devices` processes; returns the run's folder. Raises as `run_command` does."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "recipe.yaml"
        written = Choices(recipe)
        # a file cannot consent to run code; whoever called this did
        written.recipe.model.trust_pickle = False
        file.write_text(recipe_to_yaml(written), encoding="utf-8")
        words = ["train", source, "--recipe", str(file)]
        words += ["--trust-pickle"] if recipe.model.trust_pickle else []
        words += [] if out is None else ["--out", str(out)]
        words += [] if from_run is None else ["--from", str(from_run)]
        return run_command(words, listener)


def run_command(words: list[str], listener: Listener) -> Path:
    """Run a verb that trains, hand its records on, and return the run's folder.

    Raises:
        RunError: with the command's own words.
        KeyboardInterrupt: the person stopped it; what was done is saved.
    """
    command = [sys.executable, "-m", "flambeau", *words, "--json"]
    run = ""
    with tempfile.TemporaryFile(mode="w+", encoding="utf-8") as errors:
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    if not line.startswith("{"):  # what a person's own code prints
                        sys.stdout.write(line)
                        continue
                    record = json.loads(line)
                    if record["kind"] == "run":
                        run = record["run"]
                    else:
                        listener(record)
            except BaseException:
                process.send_signal(signal.SIGINT)
                process.wait()
                raise
        if process.returncode != 0:
            errors.seek(0)
            raise RunError(errors.read().strip() or f"the processes ended with code {process.returncode}")
    return Path(run)
