"""`flambeau chat`: talk to a chatbot in the terminal, or let it answer lines from a pipe."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import IO, Any

import click

from flambeau.cli.options import complete_run, debug_option
from flambeau.cli.words import printable
from flambeau.deploy.versions.resolve import find_model
from flambeau.errors import ModelError, RunError
from flambeau.records import to_json

FAREWELLS = ("quit", "exit", "/quit", "/exit")


@click.command("chat", short_help="Talk to a chatbot.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option("--transcript", metavar="FILE", help="Write what is said behind what is in this file.")
@click.option("--write", is_flag=True, help="Where it does not know, say what its small net would write.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each answer, one a line.")
@debug_option
def command(run_name: str | None, transcript: str | None, write: bool, as_json: bool) -> None:
    """Talk to the bot of RUN (without it, of the newest run), trained with --task chat.

    It tells how sure it is of each answer, and says so where it does not know. Lines from a pipe are answered one by
    one; "quit", Ctrl-D or Ctrl-C ends a talk.
    """
    run = find_model(run_name)
    from flambeau.deploy.bundle import load_bundle  # torch takes seconds
    from flambeau.deploy.writing.chatting import ChatBot

    bundle = load_bundle(run.model)
    if bundle.schema.task != "chat":
        raise ModelError(
            "this model does not talk",
            where=run.path,
            got=f"a model for {bundle.schema.task}",
            expected="a run of flambeau train … --task chat",
            command=f"flambeau report {run.path}",
        )
    bot = ChatBot(bundle)
    if transcript is None:
        _talk(bot, write, as_json, None)
        return
    try:
        with Path(transcript).open("a", encoding="utf-8", errors="replace") as stream:
            _talk(bot, write, as_json, stream)
    except OSError as error:
        raise RunError(
            "the transcript cannot be written", where=transcript, got=error.strerror or str(error)
        ) from error


def _talk(bot: Any, write: bool, as_json: bool, transcript: IO[str] | None) -> None:
    person = sys.stdin.isatty() and not as_json
    if person:
        click.echo(f"{len(bot.preparation.answers):,} answers are known. Ctrl-D ends the talk.", err=True)
    turn = 0
    while True:
        try:
            line = input("you  ") if person else sys.stdin.readline()
        except (EOFError, KeyboardInterrupt):
            click.echo("\ngoodbye", err=True)
            return
        if (not person and not line) or line.strip().lower() in FAREWELLS:
            return
        question = line.strip()
        if not question:
            continue
        reply = bot.reply(question, turn)
        turn += 1
        written = printable(bot.write(question, seed=turn)) if write and not reply.knows else ""
        told = {**reply.to_json(question), **({"written": written} if written else {})}
        said = f"{printable(reply.text)}  ({reply.sure:.0%} sure)" + (
            f"\n     perhaps: {written}" if written else ""
        )
        click.echo(to_json(told) if as_json else f"bot  {said}" if person else said)
        if transcript is not None:
            transcript.write(f"you  {question}\nbot  {said}\n")
            transcript.flush()
