"""Several processes for one command: torch's own launcher starts them, and this tells what became of them.

Each process runs the very command that was typed. The launcher meets them at a port of its own choosing, ends all
when one fails, and hands signals on.
"""

from __future__ import annotations

import ctypes
import logging
import os
import signal
import socket
import sys
import uuid
from collections.abc import Callable
from contextlib import redirect_stdout
from pathlib import Path
from typing import NoReturn

import click
import torch.distributed as dist
from torch.distributed.elastic.multiprocessing import DefaultLogsSpecs, SignalException
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

from flambeau.cli.stop import resume_command
from flambeau.cli.telling import STOPPED, tell
from flambeau.errors import DeviceError, RunError
from flambeau.records.environment import usable_cores
from flambeau.stages.engine.ranks import LOST_SENTENCE, LostProcessError, check_device, trains_on_cpu
from flambeau.training.distributed import Ranks, join_ranks

LAUNCHED = "FLAMBEAU_LAUNCHED"  # tells a process that its launcher tells which process was killed
DIE_WITH_PARENT = 1  # PR_SET_PDEATHSIG of Linux


def launch(count: int, device: str | None, out: Path | None, began: float) -> NoReturn:
    """Run the typed command in `count` processes of this machine, and leave with their exit code.

    Args:
        count: processes.
        device: as the recipe says.
        out: the run's folder, where it is known.
        began: when the command began, in seconds since 1970.

    Raises:
        DeviceError: the machine has fewer GPUs, or fewer cores, than that.
        RunError: a process was killed.
    """
    check_device(device, count)
    cores = usable_cores()
    if trains_on_cpu(device) and count > cores:
        raise DeviceError(
            f"{count} processes need a core each",
            got=f"{cores} cores and no GPU to train on",
            expected=f"--devices {cores} or fewer",
        )
    os.environ[LAUNCHED] = "1"
    config = LaunchConfig(
        min_nodes=1,
        max_nodes=1,
        nproc_per_node=count,
        run_id=uuid.uuid4().hex,
        rdzv_backend="c10d",
        rdzv_endpoint="localhost:0",  # a free port
        local_addr="127.0.0.1",
        max_restarts=0,
        logs_specs=DefaultLogsSpecs(log_dir=os.devnull),
    )
    stay_on_this_machine()
    logging.disable(logging.ERROR)  # the launcher's own words; what happened is told below
    try:
        elastic_launch(config, sys.executable)(*safe_path(), "-m", "flambeau", *sys.argv[1:])
    except SignalException:
        raise click.exceptions.Exit(STOPPED) from None
    except ChildFailedError as error:
        codes = {rank: failure.exitcode for rank, failure in error.failures.items()}
        leave(codes, count, out, began)
    raise click.exceptions.Exit(0)


def leave(codes: dict[int, int], count: int, out: Path | None, began: float) -> NoReturn:
    """Leave with the code of the process that failed first; one that was killed has told nothing, so it is told here.

    Raises RunError for a process that was killed.
    """
    told = [code for code in codes.values() if code > 0 and code != LostProcessError.exit_code]
    killed = {rank: -code for rank, code in codes.items() if code < 0 and -code != signal.SIGTERM}
    if told and not killed:
        raise click.exceptions.Exit(told[0])
    rank = next(iter(killed), None)
    raise RunError(
        LOST_SENTENCE if rank is None else f"process {rank} of {count} was killed, so all have ended",
        got=None if rank is None else signal.Signals(killed[rank]).name,
        hint="the system kills a process with SIGKILL when memory is full" if rank is not None else "",
        command=resume_command(out, began),
    )


def stay_on_this_machine() -> None:
    """Let gloo talk through the machine's own interface, so that no network and no host name is needed."""
    names = [name for _, name in socket.if_nameindex()] if hasattr(socket, "if_nameindex") else []
    loopback = next((name for name in ("lo", "lo0") if name in names), None)
    if loopback is not None:
        os.environ.setdefault("GLOO_SOCKET_IFNAME", loopback)


def safe_path() -> list[str]:
    """The flag that keeps modules of the current folder out, unless this process sees them too."""
    return [] if sys.path[:1] in ([""], [str(Path.cwd())]) else ["-P"]


def run_rank(arguments: list[str], run: Callable[[list[str], Ranks, Teller], int]) -> NoReturn:
    """Run the command as one of several processes; an error is told by the first process that meets it.

    Args:
        arguments: as typed, without the name of the command.
        run: runs them and returns the exit code.
    """
    end_with_launcher()
    try:
        ranks = join_ranks()
    except (RuntimeError, dist.DistError) as error:
        tell(f"the processes did not meet\n  got:      {str(error).splitlines()[0]}")
        sys.exit(1)
    with Path(os.devnull).open("w") as nowhere, redirect_stdout(sys.stdout if ranks.first else nowhere):
        code = run(arguments, ranks, Teller(ranks))
    sys.stdout.flush()
    sys.stderr.flush()
    if code != 0:
        ranks.is_first_to_tell()  # what this process ended with needs no other one's words
        ranks.leave()
        # no farewell to processes that may be gone: it would wait for them
        os._exit(code)
    dist.destroy_process_group()
    sys.exit(0)


class Teller:
    """Prints what goes wrong, if no other process has done so."""

    def __init__(self, ranks: Ranks) -> None:
        self.ranks = ranks
        self.tells: bool | None = None

    def __call__(self, message: str) -> None:
        """Tell, unless the launcher will."""
        if LAUNCHED in os.environ and message.startswith(LOST_SENTENCE):
            return
        if self.tells is None:
            self.tells = self.ranks.is_first_to_tell()
        if self.tells:
            tell(message)


def end_with_launcher() -> None:
    """Be asked to stop, as by Ctrl-C, when the launcher is gone; where the system can do that (Linux)."""
    parent = os.getppid()
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(DIE_WITH_PARENT, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(1)
