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
    from flambeau.data.known.named import clear_made, made_bytes
    from flambeau.data.pictures.archive import archive_folder_bytes, clear_archives
    from flambeau.data.places import cache_folder

    if action == "clear":
        freed = clear_cache() + clear_archives(cache_folder()) + clear_made()
        click.echo(f"cleared: {size(freed)} freed in {cache_folder()}")
        return
    entries = cache_entries()
    click.echo(f"place   {entries_folder()}")
    click.echo(f"limit   {Recipe().data.cache_gb:g} GB (data.cache_gb); the least recently used goes first")
    click.echo(
        f"holds   {counted(len(entries), 'entry', 'entries')}, {size(sum(entry.bytes for entry in entries))}"
    )
    unpacked = archive_folder_bytes(cache_folder())
    if unpacked:
        click.echo(f"        {size(unpacked)} of unpacked archives, in {cache_folder() / 'archives'}")
    made = made_bytes()
    if made:
        click.echo(f"        {size(made)} of made data and of data known by name")
    lines = [[size(e.bytes), f"{datetime.fromtimestamp(e.used):%Y-%m-%d %H:%M}", e.what] for e in entries]
    if lines:
        click.echo()
    for line in table([["size", "last used", "what"], *lines] if lines else []):
        click.echo(line)
