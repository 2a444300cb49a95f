"""`flambeau sample`: what a model makes by itself: texts behind a prompt, or pictures."""

from __future__ import annotations

import sys
from typing import Any

import click

from flambeau.cli.options import complete_run, debug_option, path_or_none
from flambeau.cli.words import counted, printable
from flambeau.deploy.files import SCHEMA, read_mapping
from flambeau.deploy.versions.resolve import find_model
from flambeau.errors import UsageError
from flambeau.recipe import load_recipe
from flambeau.records import RunFolder, to_json

PICTURES_ON_A_SHEET = 64
OF_TEXTS = ("prompt", "length", "temperature", "top_k")


@click.command("sample", short_help="Let a language model write, or a generator make pictures.")
@click.argument("run_name", metavar="[RUN]", required=False, shell_complete=complete_run)
@click.option("--count", type=click.IntRange(1), metavar="N", help="How many: 1 text, or 64 pictures.")
@click.option("--seed", type=int, default=0, show_default=True, metavar="N", help="Another seed, others.")
@click.option("--prompt", metavar="TEXT", help="Texts: the beginning that is continued.")
@click.option("--length", type=click.IntRange(1, 100_000), metavar="N", help="Texts: how many tokens.")
@click.option("--temperature", type=click.FloatRange(0, 5), metavar="X", help="Texts: 0 is the likeliest.")
@click.option("--top-k", type=click.IntRange(0), metavar="N", help="Texts: draw from so many likely tokens.")
@click.option("--out", metavar="FILE|FOLDER", help="Pictures: a sheet (.png), an array (.npz), or a folder.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON: one object, or one for each text.")
@debug_option
def command(
    run_name: str | None, count: int | None, seed: int, out: str | None, as_json: bool, **of_texts: Any
) -> None:
    """Let the model of RUN (without it, of the newest run) make something by itself.

    A model of --task language writes on behind --prompt. One of --task generate makes pictures; without --out they are
    put on one sheet, samples/seed-SEED.png in the run's folder. Equal seeds make equal samples.
    """
    run = find_model(run_name)
    task = read_mapping(run.model, SCHEMA).get("task")
    if task == "language":
        if out is not None:
            raise UsageError("--out is for pictures; a text is printed", expected="flambeau sample … > FILE")
        _write(run, of_texts, count or 1, seed, as_json)
        return
    given = [name for name in OF_TEXTS if of_texts[name] is not None]
    if task == "generate" and given:
        raise UsageError(
            f"--{given[0].replace('_', '-')} is for texts, and this model makes pictures", where=run.path
        )
    if task == "chat":
        raise UsageError("this model answers questions", where=run.path, command=f"flambeau chat {run.path}")
    _draw(run, count or PICTURES_ON_A_SHEET, seed, out, as_json)


def _draw(run: RunFolder, count: int, seed: int, out: str | None, as_json: bool) -> None:
    """Make pictures and tell where they are."""
    from flambeau.deploy.making.sampling import sample_run  # torch takes seconds

    made = sample_run(run, count, seed=seed, out=path_or_none(out))
    if as_json:
        click.echo(to_json(made))
        return
    height, width, channels = made["size"]
    click.echo(
        f"made      {counted(count, 'picture')} of {height}x{width} pixels, "
        f"{counted(channels, 'channel')}, from seed {seed}"
    )
    click.echo(f"wrote     {made['out']}")


def _write(run: RunFolder, wishes: dict[str, Any], count: int, seed: int, as_json: bool) -> None:
    """Print texts behind a prompt, with the settings of the run's recipe where none were typed."""
    from flambeau.deploy.bundle import load_bundle  # torch takes seconds
    from flambeau.deploy.writing.writing import continue_text, unknown_characters

    bundle, options = load_bundle(run.model), load_recipe(run.model / "recipe.yaml").language
    prompt = wishes["prompt"] or ""
    unknown = unknown_characters(bundle, prompt)
    if unknown:
        click.echo(f"! the model never saw {' '.join(map(repr, unknown[:10]))} of the prompt", err=True)
    temperature, top_k = wishes["temperature"], wishes["top_k"]
    for number in range(seed, seed + count):
        text = continue_text(
            bundle,
            prompt,
            length=wishes["length"] or options.sample_length,
            temperature=options.temperature if temperature is None else temperature,
            top_k=options.top_k if top_k is None else top_k,
            seed=number,
        )
        if as_json:
            click.echo(to_json({"prompt": prompt, "text": text, "seed": number}))
        else:
            told = prompt + (printable(text) if sys.stdout.isatty() else text)
            click.echo(("\n" if number > seed else "") + told)
