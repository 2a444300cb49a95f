"""`flambeau runs`: the runs of this folder."""

from __future__ import annotations

import click

from flambeau.cli.options import debug_option
from flambeau.cli.words import duration, number, table
from flambeau.evaluation.wording import metric_name
from flambeau.records import list_runs, to_json
from flambeau.records.folder import RUNS


@click.command("runs", short_help="List the runs of this folder.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object for each run, one a line.")
@debug_option
def command(as_json: bool) -> None:
    """List the runs under runs/, the newest first, each with its main score and 95 % interval."""
    rows = list_runs()
    if as_json:
        for row in rows:
            click.echo(to_json(row.to_json()))
        return
    if not rows:
        click.echo(f"no runs under {RUNS}/ yet\n  next:     flambeau train YOUR_DATA")
        return
    lines = [["run", "when", "score", "", "95 % interval", "took"]]
    for row in rows:
        score = row.score
        interval = (
            f"{number(score['low'])} to {number(score['high'])}" if {"low", "high"} <= score.keys() else ""
        )
        lines.append(
            [
                row.name,
                row.when.strftime("%Y-%m-%d %H:%M"),
                metric_name(row.metric) if row.status == "finished" else row.status,
                number(score.get("value")) if score else "",
                interval,
                duration(row.seconds) if row.seconds is not None else "",
            ]
        )
    for line in table(lines, gap="  "):
        click.echo(line)
