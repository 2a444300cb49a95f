"""Why an answer about texts: each word is left out in turn, and each other column made typical (Li et al. 2016,
"Understanding Neural Networks through Representation Erasure")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flambeau.deploy.answer import device_of
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.why.why import (
    AT_ONCE,
    ROUNDING,
    answers_of,
    explained_label,
    plain_value,
    typical_inputs,
    typical_value,
)
from flambeau.errors import UsageError
from flambeau.transforms.table import TablePreparation

# Longer texts are cut into so many pieces of several words each.
MOST_PIECES = 200
# All texts that are tried together; of longer ones larger pieces are left out.
MOST_LETTERS, FEWEST_PIECES = 4_000_000, 8
LETTERS_A_TOKEN = 16  # the model reads no more
_WORD = re.compile(r"\s*\S+")


def explain_texts(bundle: Bundle, columns: dict[str, np.ndarray], label: str | None = None) -> dict[str, Any]:
    """How the answer for a row changes where a word is left out, a text emptied, or another column made typical.

    Args:
        bundle: of a table with texts.
        columns: name → (1,) array, as `rows_as_columns` gives them.
        label: whose probability is explained; the most probable one for None. Meaningless for a regression.

    Returns:
        "label", "answer" and "effects" as `explain_row` gives them, where a text's effect is that of the whole text;
        and "words": text column → a list of {"text", "effect"} that together are what is read of the text, where
        the effect is the answer as it is minus the answer without that piece.

    Raises:
        UsageError: no such label, or the row has columns of pictures.
    """
    preparation = bundle.preparation
    assert isinstance(preparation, TablePreparation) and preparation.text is not None
    if preparation.pictures:
        raise UsageError("rows with pictures are not explained yet")
    row = {name: values[:1] for name, values in columns.items()}
    read = LETTERS_A_TOKEN * preparation.text.length
    texts = {name: (row[name][0] or "")[:read] for name in preparation.text.columns}
    letters = max(1, sum(map(len, texts.values())))
    most = max(FEWEST_PIECES, min(MOST_PIECES, MOST_LETTERS // (letters * len(texts))))
    pieces = {name: cut_in_pieces(text, most) for name, text in texts.items()}
    # what is not read is not encoded again and again either
    short = {**row, **{name: _one(text) for name, text in texts.items()}}
    variants = [short, *({**short, name: _one("")} for name in pieces)]
    variants += [
        {**short, name: _one("".join(parts[:place] + parts[place + 1 :]))}
        for name, parts in pieces.items()
        for place in range(len(parts))
    ]
    inputs = _stacked(preparation, variants)
    label, index, answer = explained_label(bundle, tuple(part[:1] for part in inputs), label)
    cells = _typical_cells(preparation, inputs) if preparation.has_cells else {}
    found = _answers(bundle, inputs, cells, index)
    effects = [
        0.0 if abs(answer - other) <= ROUNDING * max(1e-3, abs(answer)) else answer - other for other in found
    ]
    names = [*pieces, *cells]
    of_columns = dict(zip(names, [*effects[1 : 1 + len(pieces)], *effects[len(variants) :]], strict=True))
    of_pieces = iter(effects[1 + len(pieces) : len(variants)])
    return {
        "label": label,
        "answer": answer,
        "effects": [
            {
                "column": name,
                "value": plain_value(row[name][0]),
                "typical": "" if name in pieces else typical_value(bundle, name),
                "effect": of_columns[name],
            }
            for name in sorted(names, key=lambda name: -abs(of_columns[name]))
        ],
        "words": {
            name: [{"text": part, "effect": next(of_pieces)} for part in parts]
            for name, parts in pieces.items()
        },
    }


def has_texts(bundle: Bundle) -> bool:
    """Whether the model reads texts."""
    return isinstance(bundle.preparation, TablePreparation) and bundle.preparation.text is not None


def cut_in_pieces(text: str, most: int = MOST_PIECES) -> list[str]:
    """A text as words with the white space before them; of a long text several words are one piece."""
    words = _WORD.findall(text)
    if not words:
        return []
    size = -(-len(words) // most)
    pieces = ["".join(words[start : start + size]) for start in range(0, len(words), size)]
    pieces[-1] += text[sum(map(len, pieces)) :]
    return pieces


def _one(text: str) -> np.ndarray:
    return np.array([text], dtype=object)


def _stacked(preparation: TablePreparation, rows: Sequence[dict[str, np.ndarray]]) -> tuple[Tensor, ...]:
    columns = {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}
    return tuple(torch.from_numpy(array) for array in preparation.transform(columns))


def _typical_cells(
    preparation: TablePreparation, inputs: tuple[Tensor, ...]
) -> dict[str, tuple[Tensor, ...]]:
    """Column of numbers or categories → the inputs (1, ...) of the row with that column made typical."""
    typical = [torch.from_numpy(part) for part in typical_inputs(preparation)]
    named = ([f.column for f in preparation.numbers], [f.column for f in preparation.categories])
    result: dict[str, tuple[Tensor, ...]] = {}
    for name in dict.fromkeys(named[0] + named[1]):
        changed = [part[:1].clone() for part in inputs]
        for position, columns in enumerate(named):
            for place, column in enumerate(columns):
                if column == name:
                    changed[position][0, place] = typical[position][0, place]
        result[name] = tuple(changed)
    return result


def _answers(
    bundle: Bundle, inputs: tuple[Tensor, ...], cells: dict[str, tuple[Tensor, ...]], index: int
) -> list[float]:
    """The answers of all variants: those with other texts, then those with other cells."""
    device = device_of(bundle.module)
    parts = list(zip(*(part.split(AT_ONCE) for part in inputs), strict=True)) + list(cells.values())
    found: list[float] = []
    with torch.inference_mode():
        for part in parts:
            found += answers_of(bundle, tuple(one.to(device) for one in part), index).tolist()
    return found
