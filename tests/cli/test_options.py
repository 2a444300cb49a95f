"""Every verb with every option it has, so that none appears, goes or changes its short form by accident."""

from __future__ import annotations

from importlib import import_module

import click
import pytest

from flambeau.cli.main import VERBS, flambeau
from flambeau.cli.options import FLAGS
from flambeau.recipe.describe import options as recipe_options

RECIPE_FLAGS = [
    "--target", "--task", "--horizon", "--test", "--root", "--model", "--pretrained", "--trust-pickle", "--arch",
    "--freeze", "--optimizer", "--lr", "--schedule", "--loss", "--epochs", "--minutes", "--batch-size", "--precision",
    "--seed", "--device", "--devices", "--threads", "--folds", "--refit", "--log", "--no-baselines",
    "--recipe", "--set",
]  # fmt: skip

EVERY_OPTION = {
    "train": [*RECIPE_FLAGS, "--from", "--out", "--tune-precision", "--quiet", "-q", "--json", "--debug"],
    "check": ["--target", "--task", "--horizon", "--test", "--recipe", "--set", "--json", "--debug"],
    "recipe": [*RECIPE_FLAGS, "--out", "--options", "--named", "--schema", "--debug"],
    "resume": ["--devices", "--quiet", "-q", "--json", "--debug"],
    "predict": [
        *("--text", "--explain", "--out", "--keep", "--restart", "--json", "--batch", "--threads"),
        *("--quiet", "-q", "--debug"),
    ],
    "sample": [
        *("--count", "--seed", "--prompt", "--length", "--temperature", "--top-k", "--out", "--json"),
        "--debug",
    ],
    "chat": ["--transcript", "--write", "--json", "--debug"],
    "evaluate": ["--json", "--debug"],
    "report": ["--debug"],
    "inspect": ["--input", "--outputs", "--batch", "--json", "--debug"],
    "export": ["--to", "--out", "--quantize", "--json", "--debug"],
    "serve": [
        *("--host", "--port", "--api-key", "--threads", "--max-batch", "--queue", "--max-mb", "--timeout"),
        "--debug",
    ],
    "eject": ["--out", "--check", "--debug"],
    "models": ["--json", "--store", "--debug"],
    "bundle": ["--out", "--debug"],
    "runs": ["--json", "--debug"],
    "verify": ["--retrain", "--json", "--debug"],
    "cache": ["--debug"],
    "completion": ["--debug"],
}


def command_of(verb: str) -> click.Command:
    command: click.Command = import_module(f"flambeau.cli.{verb}").command
    return command


def test_every_verb_is_listed() -> None:
    assert [verb for verbs in VERBS.values() for verb in verbs] == list(EVERY_OPTION)


@pytest.mark.parametrize("verb", EVERY_OPTION)
def test_every_option_is_listed(verb: str) -> None:
    found = [
        name
        for parameter in command_of(verb).params
        if isinstance(parameter, click.Option)
        for name in [*parameter.opts, *parameter.secondary_opts]
    ]
    assert found == EVERY_OPTION[verb]


@pytest.mark.parametrize("verb", EVERY_OPTION)
def test_every_option_and_verb_says_what_it_does(verb: str) -> None:
    command = command_of(verb)
    assert command.name == verb
    assert command.help
    without_help = [p.opts[0] for p in command.params if isinstance(p, click.Option) and not p.help]
    assert without_help == []


def test_every_flag_sets_an_option_that_exists() -> None:
    assert [flag.key for flag in FLAGS if flag.key not in recipe_options()] == []


def test_the_group_has_only_help_and_version() -> None:
    assert [name for parameter in flambeau.params for name in parameter.opts] == ["--version"]
