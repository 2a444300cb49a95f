"""What the report of a language model or a chatbot tells beside that of other runs: texts that it wrote."""

from __future__ import annotations

from typing import Any

from flambeau.insight.facts import RunFacts
from flambeau.schema import Schema

MOST_SAMPLES = 20
WRITTEN_TEXTS = "samples.json"
NOUNS = {"pictures": "picture", "corpus": "character"}
NOUNS_OF_TASKS = {"chat": "question"}
SUBJECTS = {
    "pictures": "of pictures",
    "table": "on a table",
    "series": "of time series",
    "corpus": "on a text",
}
SUBJECTS_OF_TASKS = {"chat": "from questions and answers"}


def noun_of(schema: Schema) -> str:
    """What one of the data is called."""
    return NOUNS_OF_TASKS.get(schema.task) or NOUNS.get(schema.source, "row")


def subject_of(schema: Schema | None) -> str:
    """What the data are, behind the name of the task."""
    if schema is None:
        return ""
    return SUBJECTS_OF_TASKS.get(schema.task) or SUBJECTS.get(schema.source, "")


def written_texts(facts: RunFacts) -> list[dict[str, Any]]:
    """What the model wrote behind a prompt, or answered to a question; empty for other runs.

    Each with every key that the template asks for: "prompt", "text", "note".
    """
    if (
        facts.schema is None
        or facts.schema.source != "corpus"
        or not (facts.run.path / WRITTEN_TEXTS).is_file()
    ):
        return []
    written = facts.run.read_json(WRITTEN_TEXTS)
    kept = [item for item in written if isinstance(item, dict)] if isinstance(written, list) else []
    return [
        {key: str(item.get(key, "")) for key in ("prompt", "text", "note")} for item in kept[:MOST_SAMPLES]
    ]


def onward_commands(task: str, run: str) -> list[tuple[str, str]]:
    """Commands that go on from a run of this task: (command, what it does); empty for other tasks."""
    first = {
        "language": [
            (f'flambeau sample {run} --prompt "…"', "let it write"),
            (f"flambeau evaluate {run} OTHER_TEXT", "score it on another text"),
            (f"flambeau serve {run}", "let it write over HTTP, with a page to try it"),
            (f"flambeau export {run} --to onnx", "take its net elsewhere as one file"),
        ],
        "chat": [
            (f"flambeau chat {run}", "talk to it"),
            (f'flambeau predict {run} --text "…"', "ask it one question"),
            (f"flambeau serve {run}", "let it answer over HTTP, with a page to talk to it"),
            (f"flambeau export {run} --to onnx", "take it elsewhere as one file"),
        ],
    }.get(task, [])
    return first and [*first, (f"flambeau verify {run}", "check that nothing here has changed since")]
