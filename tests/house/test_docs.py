"""The documents say what is true: every command shown parses, every option is listed, every link leads somewhere."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import click
import pytest

from flambeau.cli.main import flambeau
from flambeau.recipe import option_rows

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


def shown_commands() -> list[str]:
    """Every `flambeau …` command in the documents, comments cut off."""
    commands = []
    for document in DOCUMENTS:
        for line in re.findall(
            r"(?m)^(?:\||)?.*?(flambeau [a-z]+[^`|\n]*)", document.read_text(encoding="utf-8")
        ):
            if f"`{line}" in document.read_text(encoding="utf-8") or f"\n{line}" in document.read_text(
                encoding="utf-8"
            ):
                commands.append(re.split(r"\s{2,}#|\s#|;|\s>", line)[0].strip())
    return sorted(set(commands))


def options_as_markdown() -> str:
    lines = [
        "# Every option of a recipe",
        "",
        "Written by `tests/house/test_docs.py` from the code. Each is a key in a recipe file, `--set KEY=VALUE` on the",
        "command line, and a nested keyword in Python. `auto` is chosen from the data and the machine, with a reason.",
        "",
        "| key | takes | default | meaning |",
        "|---|---|---|---|",
    ]
    for row in option_rows():
        cells = (f"`{row.key}`", row.takes, f"`{row.default}`", row.meaning)
        lines.append(
            "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"
        )
    return "\n".join(lines) + "\n"


def test_every_option_is_in_the_documents(request: pytest.FixtureRequest) -> None:
    path = ROOT / "docs" / "recipe.md"
    if request.config.getoption("--write-docs"):
        path.write_text(options_as_markdown(), encoding="utf-8")
    assert path.read_text(encoding="utf-8") == options_as_markdown(), (
        "pytest tests/house --write-docs renews it"
    )


def test_there_are_commands_in_the_documents() -> None:
    assert len(shown_commands()) > 10


@pytest.mark.parametrize("command", shown_commands())
def test_a_shown_command_parses(command: str) -> None:
    words = shlex.split(command)[1:]
    context = click.Context(flambeau)
    verb = flambeau.get_command(context, words[0])
    assert verb is not None, command
    verb.make_context(words[0], words[1:], resilient_parsing=False)


def test_links_between_documents_lead_somewhere() -> None:
    for document in DOCUMENTS:
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", document.read_text(encoding="utf-8")):
            assert (document.parent / link).exists(), f"{document.name}: {link}"
