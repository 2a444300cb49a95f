"""What the model cards of some kinds of data say otherwise than those of others."""

from __future__ import annotations

from flambeau.deploy.card.markdown import number, table
from flambeau.schema import Schema

MOST_ROWS, MOST_VALUES = 50, 8

INPUTS = {"corpus": "the beginning of a text", "series": "the last rows of a time series"}
ANSWERS = {
    "forecast": "the values of the rows to come, in their own units, with the quantiles named below",
    "language": "a probability for each token that may come next, from which texts are written",
    "chat": "one of the answers that it was taught, with how sure it is, or that it does not know",
    "generate": "new pictures like them, which show nothing that exists",
}
USES = {
    "forecast": """\
```
flambeau predict THIS_FOLDER PAST_ROWS.csv --out forecast.csv
flambeau serve THIS_FOLDER
```

```python
import flambeau as fb

model = fb.load("THIS_FOLDER")
model.predict("PAST_ROWS.csv")  # "times", "values" and "quantiles" of the rows to come
model.module  # the torch.nn.Module: scaled windows (batch, rows, channels) to scaled forecasts
```""",
    "language": """\
```
flambeau sample THIS_FOLDER --prompt "Once upon a time"
flambeau evaluate THIS_FOLDER OTHER_TEXT.txt
flambeau serve THIS_FOLDER
flambeau export THIS_FOLDER --to onnx
```

```python
import flambeau as fb

model = fb.load("THIS_FOLDER")
model.module  # the torch.nn.Module: token ids (batch, length) to logits of each next token
```""",
    "chat": """\
```
flambeau chat THIS_FOLDER
flambeau predict THIS_FOLDER --text "a question"
flambeau serve THIS_FOLDER
flambeau export THIS_FOLDER --to onnx
```""",
    "generate": """```
flambeau sample THIS_FOLDER --count 64
flambeau serve THIS_FOLDER
flambeau export THIS_FOLDER --to onnx
```

```python
import flambeau as fb

model = fb.load("THIS_FOLDER")
model.sample(64)  # (64, height, width, channels) uint8
model.module  # the torch.nn.Module: noise to pictures from -1 to 1
```""",
}
LIMITS = {
    "language": "- it writes what is likely after its training text, true or not, and may repeat passages of it word "
    "for word; where that text is private, so is this bundle",
    "chat": "- this bundle holds all answers that it was taught, and its small generator may repeat them in parts; "
    "where they are private, so is this bundle",
    "generate": "- made pictures may repeat training pictures nearly as they were: the scores tell how often",
}


def inputs_in_words(schema: Schema) -> str:
    """What a model takes, in words."""
    kinds = [column.kind for column in schema.used_columns]
    if schema.source != "table":
        return INPUTS.get(schema.source, "a picture")
    if set(kinds) == {"text"}:
        return "a text" if len(kinds) == 1 else f"{len(kinds)} texts"
    return f"a row of {len(kinds)} column" + "s" * (len(kinds) > 1)


def words_held(schema: Schema) -> list[str]:
    """What a bundle that reads texts keeps of them; nothing for other models."""
    if schema.source != "table" or all(column.kind != "text" for column in schema.used_columns):
        return []
    return [
        "",
        "Unless it hashes n-grams, its preparation.json holds words or pieces of words of the training texts.",
    ]


def column_lines(schema: Schema) -> list[str]:
    """A table of the columns that the model reads, and what it has seen in them."""
    rows = []
    for column in schema.used_columns[:MOST_ROWS]:
        known = ", ".join(column.values[:MOST_VALUES])
        if len(column.values) > MOST_VALUES:
            known += f" and {len(column.values) - MOST_VALUES:,} more"
        if column.low is not None or column.high is not None:
            known = f"{number(column.low)} to {number(column.high)}"
        rows.append((column.name, column.kind, known))
    lines = table(("column", "kind", "seen in training"), rows)
    left = len(schema.used_columns) - MOST_ROWS
    return lines + (["", f"and {left:,} more columns"] if left > 0 else [])
