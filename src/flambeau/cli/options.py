"""Options that verbs share, and the recipe that the ones given on the command line make."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import click

from flambeau.errors import RecipeError, UsageError
from flambeau.recipe import Recipe, load_recipe, parse_setting, with_settings
from flambeau.recipe.short_names import LISTS, SHORT_NAMES, long_setting
from flambeau.records import list_runs

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True)
class Flag:
    """A short way to set one option of the recipe.

    Args:
        name: without its dashes; a switch may begin with "no-".
        metavar: what stands for its value in the help; "" for a switch.
        help: one line.
        value: what a switch sets.
    """

    name: str
    metavar: str
    help: str
    value: str = ""

    @property
    def short(self) -> str:
        """The short name of the option that it sets."""
        return self.name.removeprefix("no-").replace("-", "_")

    @property
    def key(self) -> str:
        """The option that it sets."""
        return SHORT_NAMES[self.short]


FLAGS = (
    Flag("target", "COLUMN", "The column to predict."),
    Flag("task", "TASK", "classification, multilabel, regression, forecast, language, chat or generate."),
    Flag("horizon", "N", "Rows to forecast, of a time series (--task forecast)."),
    Flag("test", "SOURCE", "Separate data to test on."),
    Flag("root", "FOLDER", "Where the files of known data lie, such as those of cifar10."),
    Flag("model", "NAME|FILE.py:CLASS", "The model; a file for your own module."),
    Flag("pretrained", "NAME|FILE", "Start from these weights."),
    Flag("trust-pickle", "", "Dangerous: run the code in the file of weights to convert it.", "true"),
    Flag("arch", "NAME", "The architecture of the weights in a file."),
    Flag("freeze", "NAMES", "Parameters that stay as they are: body, or names and patterns, with commas."),
    Flag("optimizer", "NAME|FILE.py:CLASS", "adamw, sgd, adam, nadam, rmsprop, adagrad, lbfgs or muon."),
    Flag("lr", "X|auto", "The largest learning rate; auto finds it by a range test."),
    Flag("schedule", "NAME", "one_cycle, cosine, linear, step, multi_step, constant or plateau."),
    Flag("loss", "NAME|FILE.py:FUNCTION", "What is made small, such as focal, huber or quantile."),
    Flag("epochs", "N", "Passes over the training samples."),
    Flag("minutes", "X", "Time for the whole command."),
    Flag("batch-size", "N|auto", "Samples a step; auto finds the fastest that fits into memory."),
    Flag("precision", "NAME", "fp32, bf16 or fp16."),
    Flag("seed", "N", "Seed of everything random."),
    Flag("device", "NAME", "auto, cpu, cuda, cuda:1 or mps."),
    Flag("devices", "N", "Processes that train together, each on a GPU of its own."),
    Flag("threads", "N", "Threads of the CPU."),
    Flag("folds", "N", "Folds of cross-validation; 0 for one split."),
    Flag("refit", "", "After the test, train once more on all samples.", "true"),
    Flag("log", "NAME", "Keep the curves in tensorboard, mlflow or wandb too."),
    Flag("no-baselines", "", "Leave out the simple models to compare with.", "false"),
)


def recipe_options(*names: str) -> Callable[[Command], Command]:
    """Add `--recipe`, `--set` and these flags (all if none is named) to a verb."""

    def add(command: Command) -> Command:
        command = click.option(
            "--set", "settings", metavar="KEY=VALUE", multiple=True,
            help="Set any option of the recipe; `flambeau recipe --options` lists them.",
        )(command)  # fmt: skip
        command = click.option(
            "--recipe", "recipe_file", metavar="NAME|FILE",
            help="Options of a recipe that comes with flambeau (fast), or of a YAML file; flags go on top.",
        )(command)  # fmt: skip
        for flag in reversed(FLAGS):
            if names and flag.name not in names:
                continue
            # Each may stand more than once, so that two different values are refused and none is lost unseen.
            if flag.metavar:
                option = click.option(f"--{flag.name}", metavar=flag.metavar, multiple=True, help=flag.help)
            else:
                option = click.option(f"--{flag.name}", is_flag=True, help=flag.help)
            command = option(command)
        return command

    return add


def debug_option(command: Command) -> Command:
    """Add `--debug`, which `main` reads."""
    return click.option(
        "--debug", is_flag=True, expose_value=False, help="Show where an error happened in the code."
    )(command)


def output_options(command: Command) -> Command:
    """Add `--quiet`, `--json` and `--debug`."""
    command = debug_option(command)
    command = click.option(
        "--json", "as_json", is_flag=True, help="Print records as JSON, one a line, and nothing else."
    )(command)
    return click.option("--quiet", "-q", is_flag=True, help="Print only the verdict and the run's folder.")(
        command
    )


def build_recipe(
    source: str | None, recipe_file: str | None, settings: tuple[str, ...], flags: dict[str, Any]
) -> Recipe:
    """The recipe of a command: the file, then what was typed on top of it.

    Raises:
        UsageError: an option was given twice and differently, or no data was named.
        RecipeError: an option is unknown, of the wrong type or out of range.
    """
    recipe = load_recipe(recipe_file) if recipe_file else Recipe()
    values: dict[str, Any] = {}
    typed: dict[str, str] = {}
    given = [("source", source, source)] if source is not None else []
    for key, value, words in [*given, *_given_flags(flags), *_given_settings(settings)]:
        if key in values and values[key] != value:
            raise UsageError(
                f"{key} is given twice, and differently",
                got=f"{typed[key]} and {words}",
                expected="one of them",
            )
        values[key], typed[key] = value, words
    recipe = with_settings(recipe, values, where=typed)
    if recipe.source is None:
        raise UsageError(
            "no data is named",
            expected="a folder, a file, or the name of built-in data",
            command="flambeau train digits",
        )
    return recipe


def _given_flags(flags: dict[str, Any]) -> list[tuple[str, Any, str]]:
    """Key, value and typed words of each flag that was given."""
    given = []
    for flag in FLAGS:
        name = flag.name.replace("-", "_")
        if not flag.metavar:
            if flags.get(name):
                given.append((flag.key, flag.value == "true", f"--{flag.name}"))
            continue
        texts = flags.get(name, ())
        if flag.short in LISTS and texts:
            words = " ".join(f"--{flag.name} {text}" for text in texts)
            given.append((*long_setting(flag.short, ",".join(texts)), words))
            continue
        for text in texts:
            try:
                value = parse_setting(f"{flag.key}={text}")[1]
            except RecipeError:
                value = text  # not YAML, so not a number either; the recipe tells what it should have been
            given.append((*long_setting(flag.short, value), f"--{flag.name} {text}"))
    return given


def _given_settings(settings: tuple[str, ...]) -> list[tuple[str, Any, str]]:
    return [(*parse_setting(text), f"--set {text}") for text in settings]


def complete_run(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[str]:
    """Names of runs for the tab key."""
    return [row.name for row in list_runs() if row.name.startswith(incomplete)]


def typed_command() -> str:
    """What the person typed, in the form that can be typed again."""
    return shlex.join(["flambeau", *sys.argv[1:]])


def path_or_none(text: str | None) -> Path | None:
    """The path, where one was given."""
    return Path(text) if text else None
