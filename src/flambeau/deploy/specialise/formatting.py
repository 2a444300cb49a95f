"""A script as ruff would write it: imports sorted, unused ones gone, lines within 110 columns."""

from __future__ import annotations

import subprocess

from ruff import find_ruff_bin

from flambeau.deploy.specialise.core import EjectError

LINE_LENGTH = "110"
FIXED_RULES = "F,I,E,W,UP,B,SIM"
HELD_RULES = "E,F,W,I,B,UP"


def format_script(text: str) -> str:
    """The text sorted and laid out by ruff.

    Raises:
        EjectError: ruff cannot read it, or it uses a name that nothing defines.
    """
    fix = ["check", "--fix", "--exit-zero", "--quiet", "--select", FIXED_RULES]
    fixed = _run_ruff([*fix, "--line-length", LINE_LENGTH], text)
    formatted = lay_out_text(fixed)
    undefined = [line for line in lint_script(formatted) if " F821 " in line or " F811 " in line]
    if undefined:
        raise EjectError("the script would use a name that it does not define: " + "; ".join(undefined))
    return formatted


def lay_out_text(text: str) -> str:
    """The text with one statement a line, and calls on one line where they fit."""
    joined = ["--config", "format.skip-magic-trailing-comma=true"]
    return _run_ruff(["format", "--line-length", LINE_LENGTH, *joined], text)


def lint_script(text: str) -> list[str]:
    """What ruff has to say about a script, one finding a line; empty for a clean one."""
    rules = ["check", "--exit-zero", "--quiet", "--output-format", "concise", "--select", HELD_RULES]
    return _run_ruff([*rules, "--line-length", LINE_LENGTH], text).splitlines()


def _run_ruff(arguments: list[str], text: str) -> str:
    command = [find_ruff_bin(), *arguments, "--isolated", "--target-version", "py311", "-"]
    if arguments[0] == "check":
        command.insert(2, "--no-cache")
    done = subprocess.run(command, input=text, capture_output=True, encoding="utf-8", check=False)
    if done.returncode != 0:
        raise EjectError(f"ruff cannot read the script: {done.stderr.strip()}")
    return done.stdout
