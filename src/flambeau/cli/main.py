"""The command `flambeau`: finds the verb, imports only its module, and turns every error into words."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Any

import click

from flambeau import __version__
from flambeau.cli.telling import STOPPED, tell
from flambeau.errors import FlambeauError, UsageError, did_you_mean

# What torchrun and other launchers tell each process.
TOLD_BY_LAUNCHER = {"RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"}

# Each verb is a module of this folder with a `command`. What it does stands here: --help imports none.
VERBS = {
    "Make a model": {
        "train": "look at data, split, choose, train, test and report",
        "check": "tell what is wrong with data, before any training",
        "recipe": "write every choice for data as a file, without training",
        "resume": "go on with a run that was stopped or killed",
    },
    "Use it": {
        "predict": "answer for new pictures, texts, rows or series",
        "sample": "let a language model write, or a generator draw",
        "chat": "talk to a chatbot",
        "evaluate": "score a run again, or on other data",
        "report": "write a run's report again and tell where it is",
        "inspect": "show the layers of a model: shapes, parameters, work, memory",
    },
    "Ship it": {
        "export": "write the model as ONNX, an exported program, or TorchScript",
        "serve": "answer over HTTP, with a page to try the model",
        "eject": "write a run as one script of plain PyTorch",
        "models": "keep versions of models: tag, roll back, compare",
        "bundle": "write a model as one file or folder to ship",
    },
    "Keep order": {
        "runs": "list the runs of this folder",
        "verify": "check that a run is whole and can be repeated",
        "cache": "show or clear the cache of decoded pictures",
        "completion": "complete verbs and options with the tab key",
    },
}

HELP = """From your own data to a tested PyTorch model.

\b
flambeau train photos/                     a folder of pictures for each class
flambeau train houses.csv --target price   a column of a table: of numbers, texts, pictures
flambeau train days.csv --task forecast --target sales --horizon 7   a time series
flambeau train intents.json                questions with answers: a chatbot
flambeau train book.txt                    a text to write like
flambeau train digits                      built-in data: offline, in seconds
"""


class Verbs(click.Group):
    """A group whose commands are imported when they are called."""

    def list_commands(self, context: click.Context) -> list[str]:
        """All verbs, in the order of the help."""
        return [name for verbs in VERBS.values() for name in verbs]

    def get_command(self, context: click.Context, name: str) -> click.Command | None:
        """Import one verb, or None for an unknown name."""
        if name not in self.list_commands(context):
            return None
        command: click.Command = import_module(f"flambeau.cli.{name}").command
        return command

    def resolve_command(
        self, context: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """As click's, whose own suggestions know only commands that are imported already."""
        name = args[0]
        if (
            not name.startswith("-")
            and name not in self.list_commands(context)
            and not context.resilient_parsing
        ):
            raise UsageError(
                f"there is no verb '{name}'",
                hint=did_you_mean(name, self.list_commands(context)),
                command="flambeau --help",
            )
        return super().resolve_command(context, args)

    def format_commands(self, context: click.Context, formatter: click.HelpFormatter) -> None:
        """The verbs under their headings, from the table."""
        for heading, verbs in VERBS.items():
            with formatter.section(heading):
                # Padded, so that what the verbs do stands in one column under all headings.
                formatter.write_dl([(f"{name:<10}", text) for name, text in verbs.items()])


@click.group(
    cls=Verbs,
    help=HELP,
    subcommand_metavar="VERB ...",
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(__version__, message="flambeau %(version)s")
@click.pass_context
def flambeau(context: click.Context) -> None:
    """Do nothing before the verb; without one, show the help."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(args: Sequence[str] | None = None) -> None:
    """Run one command and leave with its exit code."""
    let_threads_sleep()
    arguments = list(sys.argv[1:] if args is None else args)
    if arguments[:1] in (["train"], ["resume"]) and is_rank(os.environ):
        # without DistributedDataParallel's advice to look for unused parameters less often; read when torch is loaded
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
        from flambeau.cli.launch import run_rank  # a launcher such as torchrun started this process

        run_rank(arguments, run)
    sys.exit(run(arguments))


def is_rank(environment: Mapping[str, str]) -> bool:
    """Whether a launcher started this process as one of several."""
    return environment.keys() >= TOLD_BY_LAUNCHER and environment["WORLD_SIZE"] != "1"


def let_threads_sleep() -> None:
    """Keep idle threads of OpenMP from spinning, unless the person set that up already.

    Threads that spin while they wait take the cores from other processes: on a shared machine a step became
    twenty times slower. OpenMP reads these once, so they must be set before torch is imported.
    """
    if not {"GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "KMP_BLOCKTIME"} & os.environ.keys():
        os.environ["GOMP_SPINCOUNT"] = "0"
        os.environ["KMP_BLOCKTIME"] = "0"


def run(arguments: list[str], ranks: Any = None, say: Callable[[str], None] = tell) -> int:
    """Run one command; every error becomes words. Returns the exit code.

    Args:
        arguments: as typed, without the name of the command.
        ranks: the processes that run it together, for verbs that train.
        say: prints an error.
    """
    debug = "--debug" in arguments or os.environ.get("FLAMBEAU_DEBUG", "") not in ("", "0")
    try:
        return int(flambeau.main(arguments, prog_name="flambeau", standalone_mode=False, obj=ranks) or 0)
    except click.exceptions.Exit as leaving:
        return leaving.exit_code
    except click.ClickException as error:
        say(_click_words(error, arguments))
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        say("stopped")
        return STOPPED
    except FlambeauError as error:
        if debug:
            traceback.print_exc()
        say(str(error))
        return error.exit_code
    except Exception as error:
        return _tell_unexpected(error, debug, say)


def _tell_unexpected(error: Exception, debug: bool, say: Callable[[str], None]) -> int:
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        say(f"the disk is full\n  where:    {error.filename or 'not told by the system'}")
        return 1
    if debug:
        traceback.print_exc()
    say(f"flambeau met something it did not expect: {type(error).__name__}: {error}")
    say("  hint:     this is a defect of flambeau, not of what you typed")
    if not debug:
        say("  next:     the same command with --debug shows where it happened")
    return 1


def _click_words(error: click.ClickException, arguments: list[str]) -> str:
    """click's error in the layout of flambeau's own."""
    message, hint = error.format_message(), ""
    if isinstance(error, click.NoSuchOption) and error.ctx is not None:
        known = {name for option in error.ctx.command.params for name in option.opts}
        message, hint = f"there is no option '{error.option_name}'", did_you_mean(error.option_name, known)
    sentence = (message[:1].lower() + message[1:]).rstrip(".")
    verb = next((word for word in arguments[:1] if not word.startswith("-")), "")
    return str(UsageError(sentence, hint=hint, command=f"flambeau {verb} --help".replace("  ", " ")))
