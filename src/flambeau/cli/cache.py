"""`flambeau cache`: what the cache of decoded pictures holds, and how to empty it."""

from __future__ import annotations

from datetime import datetime

import click

from flambeau.cli.options import debug_option
from flambeau.cli.words import counted, size, table
from flambeau.recipe import Recipe


@click.command("cache", short_help="Show or clear the cache of decoded pictures.")
@click.argument("action", type=click.Choice(["show", "clear"]), default="show")
@debug_option
def command(action: str) -> None:
    """Show what the cache holds, or clear it. All of it can be made again from your pictures.

    FLAMBEAU_CACHE moves it; data.cache_gb of the recipe limits it.
    """
    from flambeau.data.cache_store import cache_entries, clear_cache, entries_folder  # numpy

    if action == "clear":
        click.echo(f"cleared: {size(clear_cache())} freed in {entries_folder()}")
        return
    entries = cache_entries()
    click.echo(f"place   {entries_folder()}")
    click.echo(f"limit   {Recipe().data.cache_gb:g} GB (data.cache_gb); the least recently used goes first")
    click.echo(
        f"holds   {counted(len(entries), 'entry', 'entries')}, {size(sum(entry.bytes for entry in entries))}"
    )
    lines = [[size(e.bytes), f"{datetime.fromtimestamp(e.used):%Y-%m-%d %H:%M}", e.what] for e in entries]
    if lines:
        click.echo()
    for line in table([["size", "last used", "what"], *lines] if lines else []):
        click.echo(line)
