"""What an answer to a row with pictures depends on: each column replaced alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from flambeau.deploy.answer import device_of
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.mixed import row_inputs, with_unpacked
from flambeau.deploy.why.why import AT_ONCE, answers_of, effect_of, explained_label, typical_value
from flambeau.transforms.table import TablePreparation


def explain_mixed(bundle: Bundle, columns: dict[str, np.ndarray], label: str | None = None) -> dict[str, Any]:
    """How the answer changes where a column has a typical value, or where there is no picture and no text.

    Args:
        bundle: of a table with columns of pictures.
        columns: name → (1,) array, as `rows_as_columns` gives them.
        label: whose probability is explained; the most probable one for None. Meaningless for a regression.

    Returns:
        "label", "answer" and "effects", as `explain_row` gives them.

    Raises:
        UsageError: no such label.
        DataError: a picture cannot be read.
    """
    preparation = bundle.preparation
    assert isinstance(preparation, TablePreparation)
    used = {column.name: column.kind for column in bundle.schema.used_columns}
    columns = with_unpacked(preparation, {name: values[:1] for name, values in columns.items()})
    names = list(used)
    together: dict[str, np.ndarray] = {}
    for place, name in enumerate(names, start=1):
        values = np.empty(len(names) + 1, dtype=columns[name].dtype)
        values[:] = columns[name][:1]
        values[place] = _typical_raw(bundle, name, used[name])
        together[name] = values
    # pixels of the right size already, one array for all rows
    inputs = row_inputs(preparation, together, device_of(bundle.module))
    label, index, answer = explained_label(bundle, tuple(part[:1] for part in inputs), label)
    parts = zip(*(part.split(AT_ONCE) for part in inputs), strict=True)
    chosen = np.concatenate([answers_of(bundle, part, index).cpu().numpy() for part in parts])
    # a column that has its typical value moves nothing: another place in the batch may round otherwise
    effects = {
        name: 0.0
        if _is_same(columns[name][0], _typical_raw(bundle, name, used[name]))
        else float(chosen[0] - chosen[place])
        for place, name in enumerate(names, start=1)
    }
    ranked = sorted(names, key=lambda name: (-abs(effects[name]), names.index(name)))
    return {
        "label": label,
        "answer": answer,
        "effects": [effect_of(bundle, name, columns[name][0], effects[name]) for name in ranked],
    }


def _is_same(value: Any, typical: Any) -> bool:
    if isinstance(value, np.ndarray):  # a picture, and there is no typical one
        return False
    return bool(value is typical or value == typical or (value != value and typical != typical))


def _typical_raw(bundle: Bundle, name: str, kind: str) -> Any:
    value = typical_value(bundle, name)
    if kind == "date":
        return np.datetime64("NaT") if value is None else np.datetime64(str(value), "s")
    if kind in ("number", "boolean"):
        return np.nan if value is None else float(value)
    return value
