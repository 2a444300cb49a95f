"""What a run says while it goes: listeners that show its records to a person, as JSON, or hardly at all."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import click
from rich.console import Console
from rich.text import Text

from flambeau.cli.progress import Progress
from flambeau.cli.words import number, short, table
from flambeau.evaluation.wording import metric_name
from flambeau.recipe.choices import NO_EFFECT
from flambeau.records import RunFolder, to_json

MARKS = {"error": ("✗", "red"), "warning": ("!", "yellow"), "info": ("·", "dim"), "ok": ("✓", "green")}
ASCII_MARKS = {"error": "x", "warning": "!", "info": "-", "ok": "+"}
STAGE_WIDTH = 10
KEY_WIDTH = 31
VALUE_WIDTH = 11
FEW_ITEMS = 3


class Show:
    """A listener for the records of a run that says nothing; the others build on it.

    Attributes:
        scores: the last `scores` record, or None.
        findings: the findings so far, without their "kind" and "time".
    """

    def __init__(self) -> None:
        self.scores: dict[str, Any] | None = None
        self.findings: list[dict[str, Any]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __call__(self, record: Mapping[str, Any]) -> None:
        """Take in one record."""
        if record["kind"] == "scores":
            self.scores = dict(record)
        elif record["kind"] == "finding":
            self.findings.append({key: value for key, value in record.items() if key not in ("kind", "time")})

    def close(self) -> None:
        """Leave the terminal as it was."""

    def verified(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Tell the rows of `flambeau verify`."""

    def scored(self, scores: Mapping[str, Any]) -> None:
        """Tell a table of scores."""

    def finish(self, run: RunFolder) -> None:
        """Tell the verdict and the run's folder."""
        click.echo(self.verdict(run))
        click.echo(str(run.path))

    def verdict(self, run: RunFolder) -> str:
        """The sentence that sums up the scores."""
        scores = self.scores if self.scores is not None else run.read_json("scores.json")
        return str(scores["verdict"])


class JsonLines(Show):
    """Prints each record as one line of JSON, and at the end one more that names the run."""

    def __call__(self, record: Mapping[str, Any]) -> None:
        super().__call__(record)
        click.echo(to_json(dict(record)))

    def finish(self, run: RunFolder) -> None:
        self({"kind": "run", "run": str(run.path)})


class Terminal(Show):
    """Tells a person what happens.

    Args:
        console: where to print.
        all_items: list every item of a finding, not only the first few.
        choices: tell the choices.
    """

    def __init__(self, console: Console, all_items: bool = False, choices: bool = True) -> None:
        super().__init__()
        self._console = console
        self._moving = console.is_terminal and not console.is_dumb_terminal
        self._progress = Progress(console, self._moving)
        self._spans: list[dict[str, Any]] = []
        self._all_items = all_items
        self._with_choices = choices
        self._unicode = console.encoding.lower().startswith("utf")

    def __call__(self, record: Mapping[str, Any]) -> None:
        super().__call__(record)
        kind = record["kind"]
        if kind == "step":
            self._progress.step(record)
            return
        if kind == "epoch":
            self._progress.epoch(record)
            return
        if kind == "spans":
            self._spans.append(dict(record))
        if kind not in ("stage", "note", "choice", "finding", "table"):
            return
        self._progress.end()
        getattr(self, f"_tell_{kind}")(record)

    def close(self) -> None:
        self._progress.clear()

    def finish(self, run: RunFolder) -> None:
        if self.scores is not None:
            self.scored(self.scores)
        rows = [["report", str(run.report)], use_row((self.scores or {}).get("task"), run)]
        if self._spans:
            rows.append(["time", self._where_time_went()])
        advice = (self.scores or {}).get("advice")
        if advice:
            rows.append(["improve", str(advice)])
        self._line()
        for line in table(rows):
            self._line(line)
        self._line()
        self._wrapped(Text(), self.verdict(run), indent=0, gap=0, style="bold")

    def _where_time_went(self) -> str:
        """What bounded the training, of several the longest."""
        longest = max(self._spans, key=lambda record: record["seconds"])
        several = f"the longest of {len(self._spans)} trainings was " if len(self._spans) > 1 else ""
        return several + str(longest["text"])

    def verified(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self._progress.end()
        width = max((len(str(row["what"])) for row in rows), default=0)
        for row in rows:
            text = self._mark("ok" if row["ok"] else "error").append(f"{row['what']:<{width}}")
            self._wrapped(text, str(row.get("detail") or ""), indent=width + 6)

    def _tell_stage(self, record: Mapping[str, Any]) -> None:
        name, text = str(record["name"]), str(record.get("text") or "")
        self._wrapped(Text(f"{name:<{STAGE_WIDTH - 1}}", style="bold"), text, indent=STAGE_WIDTH + 1)

    def _tell_note(self, record: Mapping[str, Any]) -> None:
        self._wrapped(Text(" "), str(record["text"]), indent=2, gap=1)

    def _tell_choice(self, record: Mapping[str, Any]) -> None:
        # what does nothing in this run stands in recipe.yaml with its reason, and is no news
        if not self._with_choices or str(record["reason"]).startswith(NO_EFFECT):
            return
        head = Text(f"  {record['key']:<{KEY_WIDTH}} ").append(
            f"{short(record['value']):<{VALUE_WIDTH}}", "cyan"
        )
        self._wrapped(head, str(record["reason"]), indent=KEY_WIDTH + VALUE_WIDTH + 5, style="dim")

    def _tell_table(self, record: Mapping[str, Any]) -> None:
        for position, line in enumerate(table(record["rows"], gap="  ", headings=1)):
            self._line(Text(f"  {line}", style="" if position else "dim"))

    def _tell_finding(self, record: Mapping[str, Any]) -> None:
        self._wrapped(self._mark(record["level"]), str(record["message"]), indent=4, gap=0)
        items = [str(item) for item in record.get("items") or ()]
        few = items if self._all_items else items[:FEW_ITEMS]
        for item in few:
            self._line(Text(f"      {item}", style="dim"))
        if len(items) > len(few):
            self._line(Text("      and more; the report and --json list them", style="dim"))

    def scored(self, scores: Mapping[str, Any]) -> None:
        self._progress.end()
        self._line()
        rows = score_rows(scores)
        headings = sum(1 for row in rows if not row[0])
        for position, line in enumerate(table(rows, gap="  ", headings=headings)):
            self._line(Text(f"  {line}", style="dim" if position < headings else ""))

    def _mark(self, level: str) -> Text:
        mark, style = MARKS.get(level, MARKS["info"])
        return Text("  ").append(mark if self._unicode else ASCII_MARKS.get(level, "-"), style).append(" ")

    def _wrapped(self, head: Text, text: str, indent: int, gap: int = 2, style: str = "") -> None:
        """Print a head and a text; on a terminal it is broken at words and hangs at `indent`."""
        room = self._console.width - indent - 1
        pieces = textwrap.wrap(text, room) if self._moving and room >= 20 else [text]
        line = head.copy()
        if pieces and pieces[0]:
            line.append(" " * gap).append(pieces[0], style)
        line.rstrip()
        self._line(line)
        for piece in pieces[1:]:
            self._line(Text(" " * indent).append(piece, style))

    def _line(self, text: Text | str = "") -> None:
        self._console.print(text if isinstance(text, Text) else Text(text), soft_wrap=True)


def use_row(task: str | None, run: RunFolder) -> list[str]:
    """What a run is used by: the verb, and the command."""
    if task == "language":
        return ["sample", f'flambeau sample {run.path} --prompt "…"']
    if task == "chat":
        return ["chat", f"flambeau chat {run.path}"]
    if task == "generate":
        return ["sample", f"flambeau sample {run.path} --count 64"]
    if task == "forecast":
        return ["predict", f"flambeau predict {run.path} YOUR_NEWEST_ROWS.csv"]
    if kinds_read(run) == {"text", "columns"}:
        return ["predict", f'flambeau predict {run.path} --text "…"']
    example = "YOUR_TABLE.csv" if "columns" in kinds_read(run) else "YOUR_FILES"
    return ["predict", f"flambeau predict {run.path} {example}"]


def kinds_read(run: RunFolder) -> set[str]:
    """Kinds of the columns that the model of a run reads, and "columns" where they are of a table."""
    schema = run.model / "schema.json"
    if not schema.is_file():
        return set()
    told = json.loads(schema.read_text(encoding="utf-8"))
    kinds = {column["kind"] for column in told.get("columns") or () if column.get("used")}
    return kinds | ({"columns"} if told.get("source") == "table" else set())


def score_rows(scores: Mapping[str, Any]) -> list[list[str]]:
    """The table of scores: heading rows (with an empty first cell), then one row for each metric.

    Names of baselines are set one word below the other, so that several fit beside the score.
    """
    baselines: Mapping[str, Mapping[str, float]] = scores.get("baselines") or {}
    names = [name.replace("_", " ").split() for name in baselines]
    titles = [[], [str(scores.get("method") or "score")], ["95 % interval"], *names]
    height = max(len(title) for title in titles)
    rows = [[([""] * height + title)[-height:][line] for title in titles] for line in range(height)]
    for metric, score in scores["test"].items():
        has_interval = score.get("low") is not None and score.get("high") is not None
        interval = f"{number(score['low'])} to {number(score['high'])}" if has_interval else ""
        others = [
            number(values[metric]) if values.get(metric) is not None else "" for values in baselines.values()
        ]
        rows.append([metric_name(metric), number(score["value"]), interval, *others])
    return rows


def make_show(
    quiet: bool, as_json: bool, all_items: bool = False, to_stderr: bool = False, choices: bool = True
) -> Show:
    """The listener that the options ask for.

    Args:
        quiet: print only what `finish` tells.
        as_json: print every record as a line of JSON.
        all_items: list every item of a finding.
        to_stderr: keep stdout free for a result.
        choices: tell the choices.
    """
    if as_json:
        return JsonLines()
    if quiet:
        return Show()
    console = Console(stderr=to_stderr, highlight=False, markup=False, emoji=False)
    return Terminal(console, all_items=all_items, choices=choices)
