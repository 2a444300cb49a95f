"""How the command says what went wrong."""

from __future__ import annotations

import click

STOPPED = 130  # what a shell gives for a command that Ctrl-C ended


def tell(message: str) -> None:
    """Print a message on stderr: the sentence in red where there are colours, what explains it plain."""
    for line in message.splitlines():
        click.secho(line, err=True, fg=None if line.startswith("  ") else "red")
