"""The target: which task it asks for, with the reason, and its values as numbers."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from flambeau.data.classes import (
    LABEL_SEPARATOR,
    encode_classes,
    encode_flags,
    match_names,
    natural_key,
    split_labels,
)
from flambeau.data.tables.spelling import number_of
from flambeau.data.tables.table import column_values
from flambeau.errors import DataError
from flambeau.schema import Finding, Schema, Task

_PLAIN_TARGET_NAMES = (
    *("target", "label", "labels", "class", "classes", "category", "y"),
    *("outcome", "output", "result", "response"),
)
TARGET_NAMES = (
    *_PLAIN_TARGET_NAMES,
    *("price", "survived", "churn", "quality", "rating", "score", "diagnosis", "species", "income", "sales"),
)

_CLASS_WORDS = re.compile(
    r"class|label|categor|type|kind|species|group|cluster|digit|code|status|stage", re.IGNORECASE
)
_MOST_WHOLE_CLASSES = 10
_FEWEST_RATINGS = 5
_FEWEST_COUNTS = 3
_COUNT_NAME = re.compile(
    r"count|number|amount|quantity|rating|score|^(n|num|nr|no)_|[a-rt-z0-9]s$", re.IGNORECASE
)
_MOST_CLASSES_OF_FEW_ROWS = 20


@dataclass(frozen=True)
class Target:
    """What is to be predicted, for every row.

    Args:
        name: of the column, or of the columns, separated by commas.
        task: classification, multilabel or regression.
        classes: sorted names of classes or labels; empty for regression.
        values: (n,) int64, (n, labels) float32 or (n,) float64; meaningless where not known.
        known: (n,) whether the row has a target.
        reason: why this task.
        findings: what was noticed.
    """

    name: str
    task: Task
    classes: tuple[str, ...]
    values: np.ndarray
    known: np.ndarray
    reason: str
    findings: tuple[Finding, ...] = ()


def learn_target(columns: Mapping[str, Any], task: Task | None, *, folders: bool = False) -> Target:
    """Find the task and the classes of a target, and its values.

    Args:
        columns: the target's column, or several columns of 0 and 1 for multi-label.
        task: what the person asked for; None to infer it.
        folders: whether the values are names of folders, which are classes unless `task` says otherwise.

    Raises:
        DataError: nothing can be learnt from it: all missing, one class only, a class for nearly every row.
    """
    name = ",".join(columns)
    if len(columns) > 1:
        return _learn_flags(columns, task)
    column = next(iter(columns.values()))
    texts = np.array(column, dtype=object) if folders else column_values(column, "category")
    known = np.array([text is not None for text in texts], dtype=bool)
    if not known.any():
        raise DataError(f"the target '{name}' has no values", expected="at least two different values")
    chosen, reason = (task, "asked for") if task else _infer_task(name, column, texts[known], folders)
    if chosen == "regression":
        return _numbers(name, column, known, reason)
    return _classes(name, chosen, texts, known, reason)


def _infer_task(name: str, column: Any, texts: np.ndarray, folders: bool) -> tuple[Task, str]:
    distinct = Counter(texts.tolist())
    if folders:
        return "classification", "each folder is a class"
    if _is_list_of_labels(distinct):
        return "multilabel", f"values of '{name}' list several labels, separated by '{LABEL_SEPARATOR}'"
    numbers = column_values(column, "number")
    numbers = numbers[~np.isnan(numbers)]
    if len(numbers) < 0.9 * len(texts):
        return "classification", f"'{name}' holds {len(distinct)} different words"
    values = np.unique(numbers)
    override = "; --task classification treats each value as a class"
    if not np.equal(np.mod(values, 1), 0).all():
        if len(values) == 2:
            return (
                "classification",
                f"'{name}' holds two different values; --task regression predicts a number",
            )
        return "regression", f"'{name}' holds numbers with fractions{override}"
    if len(values) > _MOST_WHOLE_CLASSES:
        looks_like_classes = bool(_CLASS_WORDS.search(name)) and len(values) <= len(texts) / 10
        if looks_like_classes and values[-1] - values[0] < 2 * len(values):
            return "classification", f"'{name}' is named like a class and holds {len(values)} whole numbers"
        return "regression", f"'{name}' holds {len(values)} different whole numbers{override}"
    if _looks_like_counts(name, values):
        between = f"{values[0]:g} to {values[-1]:g}"
        return "regression", f"'{name}' holds whole numbers {between}, like a count or a rating{override}"
    few = f"'{name}' holds {len(values)} different whole numbers"
    return "classification", f"{few}; --task regression predicts a number"


def _looks_like_counts(name: str, values: np.ndarray) -> bool:
    in_order = values[0] >= 0 and values[-1] - values[0] + 1 == len(values)
    if not in_order or _CLASS_WORDS.search(name) or name.lower() in _PLAIN_TARGET_NAMES:
        return False
    counts = bool(_COUNT_NAME.search(name)) and not re.search(r"(us|is)$", name)
    return len(values) >= (_FEWEST_COUNTS if counts else _FEWEST_RATINGS)


def _is_list_of_labels(distinct: Counter[str]) -> bool:
    rows = sum(distinct.values())
    listed = sum(count for text, count in distinct.items() if LABEL_SEPARATOR in text)
    if listed < max(1, rows // 100):
        return False
    labels = Counter(part.strip() for text in distinct.elements() for part in text.split(LABEL_SEPARATOR))
    return len(labels) * 2 <= sum(labels.values()) and len(labels) <= 10_000


def _numbers(name: str, column: Any, known: np.ndarray, reason: str) -> Target:
    numbers = column_values(column, "number")
    readable = ~np.isnan(numbers)
    words = int((known & ~readable).sum())
    if not readable.any():
        raise DataError(
            f"the target '{name}' holds no numbers",
            expected="numbers for --task regression",
            command="the same command with --task classification",
        )
    if len(np.unique(numbers[readable])) < 2:
        raise DataError(
            f"the target '{name}' has one value only", got=f"{numbers[readable][0]:g} in every row"
        )
    findings = []
    if words:
        message = (
            f"{number_of(words, 'value')} of the target '{name}' are no numbers; their rows are left out"
        )
        findings.append(Finding("warning", "target-words", message))
    return Target(name, "regression", (), numbers, readable, reason, tuple(findings))


def _classes(
    name: str,
    task: Task,
    texts: np.ndarray,
    known: np.ndarray,
    reason: str,
) -> Target:
    many = task == "multilabel"
    words = [split_labels(text) if many else [text] for text in texts[known].tolist()]
    classes = tuple(sorted({word for row in words for word in row}, key=natural_key))
    if len(classes) < 2:
        raise DataError(
            f"there is one class only: '{classes[0] if classes else ''}'",
            where=name,
            expected="samples of at least two classes",
            hint="a model that always gives the same answer needs no training",
        )
    if not many and len(classes) > max(_MOST_CLASSES_OF_FEW_ROWS, len(words) // 2):
        raise DataError(
            f"the target '{name}' has {len(classes)} different values in {len(words)} rows",
            got=", ".join(classes[:4]) + ", ...",
            expected="classes that recur",
            hint="name another column, or predict it as a number",
            command="the same command with --target NAME, or with --task regression",
        )
    return Target(name, task, classes, encode_classes(words, known, classes, task), known, reason)


def _learn_flags(columns: Mapping[str, Any], task: Task | None) -> Target:
    name = ",".join(columns)
    if task not in (None, "multilabel"):
        raise DataError(f"{len(columns)} columns are one target for multi-label only", got=f"--task {task}")
    values, known = encode_flags(columns)
    if not known.any():
        raise DataError(f"the target '{name}' has no row in which all of its columns have a value")
    reason = f"{len(columns)} columns of 0 and 1"
    return Target(name, "multilabel", tuple(columns), values, known, reason)


def apply_target(columns: Mapping[str, Any], schema: Schema, *, folders: bool = False) -> Target:
    """The values of a target, with the classes of an existing schema. Raises DataError for unknown ones."""
    name = schema.target
    if len(columns) > 1:
        values, known = encode_flags(columns)
        return Target(name, schema.task, schema.classes, values, known, "as in training")
    column = next(iter(columns.values()))
    if schema.task == "regression":
        return _numbers_as_trained(name, column)
    texts = np.array(column, dtype=object) if folders else column_values(column, "category")
    known = np.array([text is not None for text in texts], dtype=bool)
    many = schema.task == "multilabel"
    words = [split_labels(text) if many else [text] for text in texts[known].tolist()]
    names, findings = match_names({word for row in words for word in row}, schema.classes, name)
    encoded = encode_classes(
        [[names[word] for word in row] for row in words], known, schema.classes, schema.task
    )
    return Target(name, schema.task, schema.classes, encoded, known, "as in training", findings)


def _numbers_as_trained(name: str, column: Any) -> Target:
    numbers = column_values(column, "number")
    return Target(name, "regression", (), numbers, ~np.isnan(numbers), "as in training")
