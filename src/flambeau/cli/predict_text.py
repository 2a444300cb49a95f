"""`flambeau predict --text`: texts typed on the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from flambeau.cli.words import number
from flambeau.errors import UsageError
from flambeau.records import RunFolder, to_json

if TYPE_CHECKING:
    from flambeau.deploy.bundle import Bundle

MOST_WORDS = 8


def answer_texts(run: RunFolder, texts: tuple[str, ...], *, explain: bool) -> list[dict[str, Any]]:
    """Answers for texts of a model that reads one column of them, or of a chatbot; each names its text as "input".

    Args:
        run: finished.
        texts: one a row.
        explain: whether each answer has "why", see `explain_texts`.

    Raises:
        UsageError: the model reads no texts, or other columns besides.
    """
    from flambeau.deploy.bundle import load_bundle  # torch takes seconds
    from flambeau.deploy.making.generators import refuse_generator
    from flambeau.deploy.predict import predict_rows

    bundle = load_bundle(run.model)
    if bundle.schema.task == "chat" and not explain:
        return _replies(bundle, texts)
    refuse_generator(bundle.schema, "answer with predict", run.path)
    columns = [column.name for column in bundle.schema.used_columns]
    kinds = {column.kind for column in bundle.schema.used_columns}
    if bundle.schema.source != "table" or kinds != {"text"}:
        others = ", ".join(columns[:6]) or bundle.schema.source
        raise UsageError(
            "--text is for models that read texts and nothing else",
            got=f"a model that reads {others}",
            expected="a table with these columns",
            command=f"flambeau predict {run.path} YOUR_TABLE.csv",
        )
    # several columns of text are joined in their order, so a text may stand in the first
    rows = [{**dict.fromkeys(columns, ""), columns[0]: text} for text in texts]
    answers = [
        {**answer, "input": text} for answer, text in zip(predict_rows(bundle, rows), texts, strict=True)
    ]
    if explain:
        from flambeau.data.tables.rows import rows_as_columns
        from flambeau.deploy.why.text import explain_texts

        for answer, row in zip(answers, rows, strict=True):
            answer["why"] = explain_texts(bundle, rows_as_columns([row], bundle.schema))
    return answers


def _replies(bundle: Bundle, questions: tuple[str, ...]) -> list[dict[str, Any]]:
    """What a chatbot says to each: "input", "answer", "confidence", "knows", and "tag" where there are tags."""
    from flambeau.deploy.writing.chatting import ChatBot  # torch takes seconds

    told = []
    for question, reply in zip(
        questions, ChatBot(bundle).replies(questions, [0] * len(questions)), strict=True
    ):
        answer = reply.to_json(question)
        del answer["question"]
        told.append({"input": question, **answer})
    return told


def shortened(text: str, most: int = 60) -> str:
    """The beginning of a text on one line, where nothing can steer a terminal."""
    plain = "".join(letter if letter.isprintable() else " " for letter in " ".join(text.split()))
    return f'"{plain}"' if len(plain) <= most else f'"{plain[: most - 1]}…"'


def why_line(why: dict[str, Any]) -> str:
    """The words that move an answer most, with how far."""
    words = [word for parts in why["words"].values() for word in parts if word["effect"]]
    words.sort(key=lambda word: -abs(word["effect"]))
    told = [f"{shortened(word['text'].strip())} {signed(word['effect'])}" for word in words[:MOST_WORDS]]
    return "   because of " + ", ".join(told) if told else "   no single word moves this answer"


def signed(effect: float) -> str:
    """A difference with its sign."""
    return f"{'+' if effect > 0 else '−'}{number(abs(effect))}"


def print_answers(answers: list[dict[str, Any]], lines: list[str], *, as_json: bool) -> None:
    """One line an answer, and one below it for why; or JSON."""
    for answer, line in zip(answers, lines, strict=True):
        click.echo(to_json(answer) if as_json else line)
        if "why" in answer and not as_json:
            click.echo(why_line(answer["why"]))
