"""Predictions as the columns of a table whose names and types are fixed by the model, not by the first rows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow

from flambeau.evaluation.decide import choose_sure_classes
from flambeau.schema import Schema


class AnswerColumns:
    """The columns of a file of predictions.

    `input`; `label` (classification: the class; multilabel: the labels above one half, with "|" between them) and
    `p(CLASS)` as float32, or `value` as float64; `strange`: what is unlike the training data; `error`: why an input
    could not be read; then the columns that are carried along.

    Args:
        schema: of the model.
        kept: columns that are carried along.
        point: of two classes, the probability of the second from which it is answered.
        threshold: the probability below which `unknown` is answered; 0 for none.
        unknown: the label that is answered then.

    Attributes:
        schema: names and types.
    """

    def __init__(
        self,
        schema: Schema,
        kept: pyarrow.Schema | None = None,
        point: float | None = None,
        *,
        threshold: float = 0.0,
        unknown: str = "",
    ) -> None:
        self._point, self._threshold, self._unknown = point, threshold, unknown
        self._task = schema.task
        self._classes = list(schema.classes)
        fields = [("input", pyarrow.string())]
        if schema.task == "regression":
            fields.append(("value", pyarrow.float64()))
        else:
            fields.append(("label", pyarrow.string()))
            fields += [(f"p({name})", pyarrow.float32()) for name in schema.classes]
        fields += [("strange", pyarrow.string()), ("error", pyarrow.string())]
        self._own = len(fields)
        names = [name for name, _ in fields]
        for column in kept if kept is not None else ():
            names.append(_free_name(column.name, names))
            fields.append((names[-1], column.type))
        self.schema = pyarrow.schema(fields)

    def table(
        self,
        ids: pyarrow.ChunkedArray | Sequence[str],
        rows: Sequence[int] | np.ndarray,
        predictions: np.ndarray,
        strange: Sequence[str | None],
        errors: Sequence[str | None] | None = None,
        kept: pyarrow.Table | None = None,
    ) -> pyarrow.Table:
        """The answers to some inputs.

        Args:
            ids: a name for each input.
            rows: positions of the inputs that have predictions.
            predictions: for these rows, as `predict_inputs` gives them.
            strange, errors: one for each input; None where there is nothing to tell.
            kept: the columns that are carried along.
        """
        count = len(ids)
        places = np.full(count, -1, dtype=np.int64)
        places[np.asarray(rows, dtype=np.int64)] = np.arange(len(rows))
        takes = pyarrow.array(places, mask=places < 0)
        columns: list[pyarrow.Array] = [_texts(ids)]
        columns += [column.take(takes) for column in self._predicted(predictions)]
        columns.append(pyarrow.array(strange, pyarrow.string()))
        columns.append(_texts(errors) if errors is not None else pyarrow.nulls(count, pyarrow.string()))
        if kept is not None:
            columns += kept.columns
        return pyarrow.table(columns, schema=self.schema)

    def _predicted(self, predictions: np.ndarray) -> list[pyarrow.Array]:
        if self._task == "regression":
            return [pyarrow.array(predictions.astype(np.float64), pyarrow.float64())]
        shaped = predictions.reshape(-1, len(self._classes))
        if self._task == "multilabel":
            labels = pyarrow.array([self._joined(row) for row in shaped > 0.5], pyarrow.string())
        else:
            chosen = choose_sure_classes(shaped, self._point, self._threshold)
            # -1 is the last one
            names = pyarrow.array([*self._classes, self._unknown], pyarrow.string())
            labels = names.take(pyarrow.array(np.where(chosen < 0, len(self._classes), chosen)))
        probabilities = shaped.astype(np.float32)
        return [labels, *(pyarrow.array(probabilities[:, place]) for place in range(len(self._classes)))]

    def _joined(self, row: np.ndarray) -> str:
        return "|".join(self._classes[place] for place in np.flatnonzero(row))


def _free_name(name: str, taken: Sequence[str]) -> str:
    number = 2
    free = name
    while free in taken:
        free, number = f"{name}_{number}", number + 1
    return free


def _texts(values: pyarrow.ChunkedArray | Sequence[str | None]) -> pyarrow.ChunkedArray | pyarrow.Array:
    """Texts as arrow takes them: names of files may hold bytes that are no UTF-8, which are shown as \\xNN."""
    if isinstance(values, pyarrow.ChunkedArray):
        return values
    shown = [
        None
        if value is None
        else value.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
        for value in values
    ]
    return pyarrow.array(shown, pyarrow.string())
