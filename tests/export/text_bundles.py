"""Bundles that read texts, with drawn weights: every kind of tokens and of encoder, alone and beside other columns."""

from __future__ import annotations

from typing import Any

import numpy as np
from export_bundles import KINDS, classes_of, finished_bundle, outputs_of, some_columns

from flambeau.deploy.bundle import Bundle
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, Schema, Task
from flambeau.transforms.table import TablePreparation, fit_table
from flambeau.transforms.text import fit_text

LETTERS = "etaoinshrdluETA .,!-éß中😀\n\t"
ENCODERS: dict[str, dict[str, Any]] = {
    "text_bag": {"token_dropout": 0.1},
    "text_cnn": {"filters": 3},
    "lstm": {"cell": "lstm", "depth": 2},
    "gru": {"cell": "gru"},
    "transformer": {"depth": 2, "heads": 2},
}


def some_texts(rows: int = 40, seed: int = 0) -> np.ndarray:
    """(rows,) of texts of several scripts and lengths, some of them empty or missing."""
    generator = np.random.default_rng(seed)
    texts = np.empty(rows, dtype=object)
    for row in range(rows):
        size = int(generator.integers(0, 120)) if row % 7 else 0
        texts[row] = "".join(LETTERS[place] for place in generator.integers(0, len(LETTERS), size)) or None
    return texts


def text_bundle(
    model: str,
    tokens: str,
    task: Task = "classification",
    length: int = 30,
    columns: tuple[str, ...] = ("words",),
) -> Bundle:
    """A model of texts alone."""
    fitted = {name: some_texts(seed=place) for place, name in enumerate(columns)}
    text = fit_text(fitted, columns, tokens=tokens, length=length, buckets=200, vocabulary=60, ngrams=(2, 4))
    arguments = {"cardinality": text.cardinality, "width": 8, **ENCODERS[model]}
    if model == "transformer":
        arguments["length"] = length
    spec = ModelSpec(model, {**arguments, "outputs": outputs_of(task)})
    schema = Schema("table", task, "kind", classes_of(task), tuple(Column(name, "text") for name in columns))
    return finished_bundle(schema, spec, TablePreparation((), (), text))


def mixed_bundle(task: Task = "classification") -> Bundle:
    """Numbers, categories, dates and a text in one model."""
    columns = {**some_columns(), "words": some_texts(300)}
    text = fit_text(columns, ("words",), length=30, buckets=200, ngrams=(2, 4))
    preparation = fit_table(columns, {**KINDS, "words": "text"}, text=text)
    encoder = ModelSpec("text_bag", {"cardinality": text.cardinality, "width": 8})
    arguments = {
        "number_features": len(preparation.numbers),
        "cardinalities": list(preparation.cardinalities),
        "outputs": outputs_of(task),
        "bins": 4,
        "text": encoder.to_json(),
        "members": 2,
        "width": 8,
    }
    own = tuple(Column(name, kind) for name, kind in {**KINDS, "words": "text"}.items())  # type: ignore[arg-type]  # known kinds
    schema = Schema("table", task, "price", classes_of(task), own)
    return finished_bundle(schema, ModelSpec("fusion", arguments), preparation)
