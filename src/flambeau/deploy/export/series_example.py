"""The few lines that load an artefact that forecasts, without flambeau: from the rows of a CSV to the rows to come."""

from __future__ import annotations

import inspect
from pathlib import Path

from flambeau.data.tables.spelling import MISSING_SPELLINGS
from flambeau.deploy.export.example import MARK, loading_lines
from flambeau.deploy.export.inputs import RawInput
from flambeau.schema import SeriesFacts
from flambeau.transforms.series import times_to_come

_READING = """\
with open(sys.argv[1], newline="", encoding="utf-8-sig") as stream:
    rows = list(csv.DictReader(stream))
if not rows or set(CHANNELS) - set(rows[0]):
    sys.exit(f"the file needs a header and the columns {CHANNELS}")


def number(text):
    return np.nan if text.strip() in MISSING else float(text.replace(",", ""))


values = np.array([[number(row[name] or "") for name in CHANNELS] for row in rows])
"""
_FILLING = """\
for row in range(1, len(past)):  # a gap holds the value before it
    past[row] = np.where(np.isnan(past[row]), past[row - 1], past[row])
past = past[-LOOKBACK:]
if len(past) < LOOKBACK or np.isnan(past).any():
    sys.exit(f"the last {LOOKBACK} rows of {CHANNELS} are needed, oldest first")
"""
_LAST_TIME = """\
text = " ".join(rows[known - 1][name].strip() for name in TIME) if len(sys.argv) < 3 else sys.argv[2]
try:
    last = int(datetime.fromisoformat(text).replace(tzinfo=timezone.utc).timestamp())
except ValueError:
    sys.exit(f"{text!r} is no time such as 2024-03-01 12:00; give that of the last row behind the file's name")
"""


def series_example_text(artefact: Path, to: str, facts: SeriesFacts, inputs: list[RawInput]) -> str:
    """A Python script that forecasts from the last rows of a CSV file given on its command line.

    Args:
        artefact: the file beside which the script stands.
        to: onnx, pt2 or torchscript.
        facts: of the series.
        inputs: of the artefact.
    """
    taken = [one.name for one in inputs]
    asks_time = "times" in taken and facts.unit != "row"
    usage = f"usage: python {artefact.stem}_{to}.py SERIES.csv" + (" [TIME_OF_LAST_ROW]" if asks_time else "")
    engine = "import onnxruntime" if to == "onnx" else "import torch"
    lines = [
        f'"""{MARK} Forecasts from the last rows of a file: python THIS_SCRIPT SERIES.csv"""',
        "",
        *("import csv", "import json", "import sys"),
        *(["from datetime import datetime, timezone"] if asks_time else []),
        *("from pathlib import Path", "", "import numpy as np", engine, ""),
        f"CHANNELS = {list(facts.channels)!r}  # oldest row first",
        f"TARGETS, HORIZON, LOOKBACK = {list(facts.targets)!r}, {facts.horizon}, {facts.lookback}",
        f"QUANTILES = {list(facts.quantiles)!r}",
        f'MISSING = {{"", *"{" ".join(word for word in MISSING_SPELLINGS if word)}".split()}}',
        *([f"TIME = {list(facts.time)!r}"] if asks_time else []),
        "",
    ]
    if "times" in taken:
        lines += ["", *_plain_source().splitlines(), "", ""]
        if asks_time:
            lines.insert(lines.index(f"TIME = {list(facts.time)!r}") + 1, "SECONDS_A_DAY = 86_400")
    lines += [
        f"if len(sys.argv) not in ({'2, 3' if asks_time else '2,'}):",
        f"    sys.exit({usage!r})",
        f"file = str(Path(__file__).with_name({artefact.name!r}))",
        *loading_lines(to),
        *_READING.splitlines(),
        *_window_lines(facts, taken),
    ]
    if to == "onnx":
        lines.append(f"(answer,) = model.run(None, {{{', '.join(f'{name!r}: {name}' for name in taken)}}})")
    else:
        given = ", ".join(f"torch.from_numpy({name})" for name in taken)
        lines += ["with torch.no_grad():", f"    answer = model({given}).numpy()"]
    lines += [
        "# (rows to come, targets, the forecast and its quantiles)",
        'names = ["", *(f" q{quantile:g}" for quantile in QUANTILES)]',
        "for row in answer[0]:",
        "    told = {}",
        "    for target, some in zip(TARGETS, row):",
        '        told |= {f"{target}{name}": float(value) for name, value in zip(names, some)}',
        "    print(json.dumps(told))",
    ]
    return "\n".join(lines) + "\n"


def _plain_source() -> str:
    """`times_to_come` as it stands in flambeau, without its annotations, which nothing here needs."""
    text = inspect.getsource(times_to_come)
    _, _, body = text.partition('"""')
    docstring, _, rest = body.partition('"""')
    first = docstring.splitlines()[0]
    return f'def times_to_come(last, unit, step, count):\n    """{first}"""{rest.rstrip()}'


def _window_lines(facts: SeriesFacts, taken: list[str]) -> list[str]:
    """Lines that make the inputs of one window."""
    targets, known = len(facts.targets), len(facts.known)
    lines = ["known = len(values)"]
    if known:
        lines += [
            "# rows at the end whose targets are empty tell what is known of the future",
            f"while known and np.isnan(values[known - 1, :{targets}]).all():",
            "    known -= 1",
            f"future = values[known : known + HORIZON, -{known}:][None]",
            "if future.shape[1] < HORIZON or np.isnan(future).any():",
            f'    sys.exit(f"{{HORIZON}} rows of {list(facts.known)!r} after the last known one are needed")',
        ]
    lines += ["past = values[:known]", *_FILLING.splitlines(), "past = past[None]"]
    if "times" in taken:
        if facts.unit == "row":
            lines.append("last = known - 1")
        else:
            lines += _LAST_TIME.splitlines()
        lines.append(f"times = times_to_come(last, {facts.unit!r}, {facts.step}, HORIZON)[None]")
    return lines
