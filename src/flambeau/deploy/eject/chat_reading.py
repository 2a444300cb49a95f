"""Texts that read questions and answers: the shortest of several that gives what flambeau reads."""

from __future__ import annotations

import csv
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from flambeau.data.dialogue.entries import ReadDialogues, dialogues_digest
from flambeau.data.dialogue.files import read_dialogues
from flambeau.data.dialogue.joining import Dialogues
from flambeau.data.dialogue.shapes import YAML_SUFFIXES
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.reading import reading_names
from flambeau.deploy.eject.text import literal
from flambeau.errors import DataError, RunError

HEAD = '''\
def read_questions() -> Dialogues:
    """All questions, and which answers are right."""
'''
LIBRARIES: dict[str, Any] = {"Path": Path, "csv": csv, "json": json, "yaml": yaml}


def chat_reading(facts: RunFacts) -> str:
    """The function `read_questions`, as text; the path is the constant DATA.

    Raises:
        RunError: the data cannot be read, or no short plain text reads the same.
    """
    source = Path(str(facts.recipe.source)).expanduser().resolve()
    try:
        found = read_dialogues(str(source), facts.recipe.chat.max_pairs)
    except DataError as error:
        raise RunError(
            "the questions and answers of this run cannot be read, and its script must read the same",
            where=source,
            got=error.what,
            expected="the data in the place where the run was trained on them",
        ) from error
    check_taught(facts, found)
    return shortest_reading(source, found)


def shortest_reading(source: Path, found: ReadDialogues) -> str:
    """The first text that gives these questions and answers. Raises RunError where none does."""
    problem = "other questions than the run was trained on"
    for entries in entry_texts(source):
        text = f"{HEAD}    return join_entries({entries})"
        if "\n" in entries:
            text = f"{HEAD}{entries}\n    return join_entries(entries)"
        try:
            if gives_dialogues(text, source, found):
                return text
        except (
            Exception
        ) as error:  # a text that does not suit these data fails in any way; the next one is tried
            problem = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
    raise RunError(
        "no short plain script reads these questions and answers as flambeau does", where=source, got=problem
    )


def check_taught(facts: RunFacts, found: ReadDialogues) -> None:
    """Raises RunError where the data are not those that the run was trained on."""
    if dialogues_digest(found) != facts.folder.read_json("data.json")["fingerprint"]:
        raise RunError(
            "the questions or answers have changed since this run, so a script could not repeat it",
            where=facts.recipe.source,
            command=f"flambeau verify {facts.folder.path}",
        )


def entry_texts(source: Path) -> Iterator[str]:
    """Expressions of the entries, or lines that make `entries`, from the shortest to the most careful."""
    suffix = source.suffix.lower()
    plain = 'json.loads(DATA.read_text(encoding="utf-8"))'
    careful = "decode_text(DATA.read_bytes())[0]"
    if suffix == ".json":
        rows = f'{plain}["intents"]'
        yield f'[(one["tag"], one["patterns"], one["responses"]) for one in {rows}]'
        yield f'[("", [one["question"]], [one["answer"]]) for one in {plain}]'
        yield f'list(entries_of_rows({plain}["intents"]))'
        yield f"list(entries_of_value(json.loads({careful})))"
    elif suffix in YAML_SUFFIXES:
        plain = 'yaml.safe_load(DATA.read_text(encoding="utf-8"))'
        yield f'[("", texts[:1], texts[1:]) for texts in {plain}["conversations"]]'
        yield f'list(entries_of_conversations({plain}["conversations"]))'
        yield f"list(entries_of_value(yaml.safe_load({careful})))"
    elif source.is_file():
        if suffix == ".csv":
            row = '("", [row["question"]], [row["answer"]])'
            lines = [
                '    with DATA.open(encoding="utf-8", newline="") as file:',
                f"        entries = [{row} for row in csv.DictReader(file)]",
            ]
            yield "\n".join(lines)
        yield "list(entries_of_rows(read_table(DATA).to_pylist()))"
    else:
        yield from folder_texts(source)


def folder_texts(source: Path) -> Iterator[str]:
    """The same of a folder whose files are all YAML, and of any folder."""
    suffixes = {path.suffix for path in source.rglob("*") if path.is_file()}
    if len(suffixes) == 1 and suffixes <= set(YAML_SUFFIXES):
        pattern = literal(f"**/*{suffixes.pop()}")
        value = "yaml.safe_load(decode_text(file.read_bytes())[0])"
        lines = [
            f"    files = sorted(DATA.glob({pattern}))",
            f"    entries = [entry for file in files for entry in entries_of_value({value})]",
        ]
        yield "\n".join(lines)
    yield "[entry for file in chat_files(DATA) for entry in read_entries(file)]"


def gives_dialogues(text: str, source: Path, found: ReadDialogues) -> bool:
    """Whether the text, run with the core's names around it, gives these questions and answers."""
    namespace: dict[str, Any] = {**reading_names(), **LIBRARIES, "__name__": "candidate", "DATA": source}
    exec(compile(f"from __future__ import annotations\n{text}", "candidate", "exec"), namespace)
    given = namespace["read_questions"]()
    known = Dialogues(found.questions, found.right, found.tags, found.answers)
    return isinstance(given, Dialogues) and given == known
