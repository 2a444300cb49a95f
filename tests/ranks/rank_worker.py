"""One of several processes, started by torch's launcher: trains every case, one behind the other.

Usage: rank_worker.py CASE …, in a folder with the data; run folders are made in two/. After "stop:" the case is stopped
after its first epoch and resumed; after "leave:" it is only stopped.
"""

from __future__ import annotations

import os
import signal
import sys
import warnings
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch.distributed as dist
from rank_cases import CASES, OTHERS, folder_of, recipe_of, source_of

from flambeau.pipeline import resume, train
from flambeau.records import RunFolder
from flambeau.training.distributed import join_ranks


def stop_after_an_epoch(record: dict[str, Any]) -> None:
    """As if Ctrl-C had been typed; only the first process hears its records."""
    if record["kind"] == "epoch":
        os.kill(os.getpid(), signal.SIGINT)


def main() -> None:
    """Train each case in the order of the names given."""
    warnings.simplefilter("error")
    ranks = join_ranks()
    for word in sys.argv[1:]:
        how, _, name = word.rpartition(":")
        settings = {**CASES, **OTHERS}[name]
        source, recipe = source_of(settings), recipe_of(settings)
        out = Path("two") / (how + folder_of(name))
        if not how:
            train(source, recipe, out=out, ranks=ranks)
            continue
        with suppress(KeyboardInterrupt):
            train(source, recipe, out=out, ranks=ranks, listener=stop_after_an_epoch)
        assert not (out / "scores.json").exists()
        if how == "stop":
            resume(RunFolder(out), ranks=ranks)
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
