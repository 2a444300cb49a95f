"""`flambeau completion`: the line that makes a shell complete verbs, options and runs."""

from __future__ import annotations

import click

from flambeau.cli.options import debug_option

LINES = {
    "bash": ("~/.bashrc", 'eval "$(_FLAMBEAU_COMPLETE=bash_source flambeau)"'),
    "zsh": ("~/.zshrc", 'eval "$(_FLAMBEAU_COMPLETE=zsh_source flambeau)"'),
    "fish": ("~/.config/fish/completions/flambeau.fish", "_FLAMBEAU_COMPLETE=fish_source flambeau | source"),
}


@click.command("completion", short_help="Complete verbs and options with the tab key.")
@click.argument("shell", type=click.Choice(list(LINES)))
@debug_option
def command(shell: str) -> None:
    """Print the line that makes SHELL complete verbs, options and runs, and tell where to put it."""
    place, line = LINES[shell]
    click.echo(f"# put this line into {place}", err=True)
    click.echo(line)
