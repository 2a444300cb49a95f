"""Texts that read tables: tidy CSV and Parquet in a few lines, other files with flambeau's own reader."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from pathlib import Path

from flambeau.data.known.names import BUILTIN_NAMES
from flambeau.data.samples import Samples
from flambeau.data.tables.delimited import sniff_layout
from flambeau.data.tables.spelling import MISSING_SPELLINGS
from flambeau.data.tables.table import DELIMITED_SUFFIXES
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.mixed_texts import folder_constants
from flambeau.deploy.eject.picture_sources import Reading, path_constant, run_constants
from flambeau.deploy.eject.text import Code, call, literal, wrapped
from flambeau.schema import Column

SUMMARY = "Columns (name → one value a row) and targets, in the order of the run."
FLAG_WORDS: tuple[dict[str, tuple[str, ...]], ...] = (
    {},
    {"true_words": ("yes", "Yes", "YES", "y", "Y"), "false_words": ("no", "No", "NO", "n", "N")},
)
GROUP_OF_KIND = {
    "number": "numbers", "boolean": "flags", "category": "words", "date": "dates", "text": "texts"
}  # fmt: skip


def table_readings(facts: RunFacts, samples: Samples) -> Iterator[Reading]:
    """From the shortest to the most careful."""
    source = str(facts.recipe.source)
    imports = ("from pathlib import Path", "import numpy as np")
    constants = [*run_constants(facts), *_kind_constants(facts), *folder_constants(facts, samples)]
    if source in BUILTIN_NAMES and not Path(source).exists():
        yield _builtin(facts, samples, source, (*constants,))
        return
    paths = [source] if facts.recipe.data.test is None else [source, facts.recipe.data.test]
    constants += [path_constant(name, path) for name, path in zip(("DATA", "TEST"), paths, strict=False)]
    for read_one in _ways_to_read(facts, Path(source)):
        for targets in _ways_to_target(facts):
            lines = [*_joined(read_one, several=len(paths) > 1), *targets, "return columns, targets"]
            yield Reading("\n".join(lines), tuple(constants), imports, "dict[str, np.ndarray]", SUMMARY)


def cells_of(facts: RunFacts) -> list[Column]:
    """The used columns without those of pictures."""
    return [column for column in facts.bundle.schema.used_columns if column.kind != "image"]


def _kind_constants(facts: RunFacts) -> list[str]:
    """KINDS, name → kind in the order of the columns, and the names of each kind."""
    kinds = {column.name: str(column.kind) for column in cells_of(facts)}
    if not kinds:
        return []
    if len(set(kinds.values())) == 1:
        names = wrapped("(", (literal(name) for name in kinds), ",)" if len(kinds) == 1 else ")")
        return [
            f"COLUMNS = {names}",
            f"KINDS = dict.fromkeys(COLUMNS, {literal(next(iter(kinds.values())))})",
        ]
    pairs = (f"{literal(name)}: {literal(kind)}" for name, kind in kinds.items())
    lists = [
        f"{group.upper()} = [name for name, kind in KINDS.items() if kind == {literal(kind)}]"
        for kind, group in GROUP_OF_KIND.items()
        if kind in kinds.values()
    ]
    return [f"KINDS = {wrapped('{', pairs, '}')}", *lists]


def _builtin(facts: RunFacts, samples: Samples, name: str, constants: tuple[str, ...]) -> Reading:
    targets = "targets = data.target.astype(np.float64)"
    if facts.task == "classification":
        targets = "targets = class_indices(np.asarray(data.target_names, dtype=object)[data.target], CLASSES)"
    used = [column.name for column in facts.bundle.schema.used_columns]
    body = [
        f"data = load_{name}()",
        "columns = {name: data.data[:, place] for place, name in enumerate(data.feature_names)}",
    ]
    if len(used) < len(facts.bundle.schema.columns):
        body.append(f"columns = {{name: columns[name] for name in {literal(used)}}}")
    imports = ("import numpy as np", "from pathlib import Path", f"from sklearn.datasets import load_{name}")
    lines = "\n".join([*body, targets, "return columns, targets"])
    return Reading(lines, constants, imports, "dict[str, np.ndarray]", SUMMARY)


def _joined(read_one: str, *, several: bool) -> list[str]:
    """Lines that make `columns` of one file or of two."""
    if not several:
        return [f"columns = {read_one}"]
    return [
        f"parts = [{read_one.replace('DATA', 'path', 1)} for path in (DATA, TEST)]",
        "columns = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}",
    ]


def _ways_to_read(facts: RunFacts, path: Path) -> Iterator[str]:
    """Expressions for the columns, the target's among them."""
    kinds = [str(column.kind) for column in cells_of(facts)]
    alone = len(set(kinds)) == 1
    groups: dict[str, list[str]] = {
        group: ["*COLUMNS" if alone else f"*{group.upper()}"] if kind in kinds else []
        for kind, group in GROUP_OF_KIND.items()
    }
    groups["words"] += groups.pop("texts")  # both are read as they are written
    target = facts.bundle.schema.target
    targets = target.split(",") if facts.task == "multilabel" else [target]
    groups["words"] += ["*FOLDERS"] if facts.bundle.schema.picture_columns else []
    of_numbers = facts.task == "regression" or len(targets) > 1
    groups["numbers" if of_numbers else "words"] += [literal(name) for name in targets]
    given = {group: Code(f"[{', '.join(names)}]") for group, names in groups.items() if names}
    formats = {c.date_format for c in facts.bundle.schema.used_columns if c.kind == "date"}
    suffix = path.suffix.lower()
    if suffix in DELIMITED_SUFFIXES and len(formats) < 2:
        layout = sniff_layout(path)
        options: dict[str, object] = {} if layout.delimiter == "," else {"delimiter": layout.delimiter}
        if any(formats):
            options["date_format"] = formats.pop()
        for missing, words in itertools.product(
            (("",), ("", "NA"), ("", "?"), MISSING_SPELLINGS), FLAG_WORDS
        ):
            spelled = {} if missing == ("",) else {"missing": missing}
            flags = words if "flags" in given else {}
            if words and not flags:
                continue
            yield call("read_tidy_csv", Code("DATA"), **given, **options, **spelled, **flags)
    if suffix in (".parquet", ".pq"):
        yield call("read_tidy_parquet", Code("DATA"), **given)
    yield call("read_columns", Code("DATA"), _kinds(facts, targets))


def _kinds(facts: RunFacts, targets: list[str]) -> dict[str, tuple[str, str]]:
    """Name → kind and date format, the target's among them."""
    kinds = {
        column.name: ("text" if column.kind == "image" else str(column.kind), column.date_format)
        for column in facts.bundle.schema.used_columns
    }
    kind = "number" if facts.task == "regression" else "boolean" if len(targets) > 1 else "category"
    return {**kinds, **dict.fromkeys(targets, (kind, ""))}


def _ways_to_target(facts: RunFacts) -> Iterator[list[str]]:
    """Lines that take the target out of `columns`; rows without one are left out only where there are any."""
    target = facts.bundle.schema.target
    name = literal(target)
    if facts.task == "multilabel" and "," in target:
        stacked = f"np.stack([columns.pop(name) for name in {literal(target.split(','))}], axis=1)"
        yield [f"targets = {stacked}.astype(np.float32)"]
        return
    known = f"~np.isnan(columns[{name}])"
    encoded = f"columns.pop({name})"
    ways = [encoded]
    if facts.task != "regression":
        known = f"np.array([word is not None for word in columns[{name}]])"
        function = "class_indices" if facts.task == "classification" else "label_flags"
        words = f'[word.rstrip(".") for word in {encoded}]'
        ways = [f"{function}({values}, CLASSES)" for values in (encoded, words)]
    for way in ways:
        yield [f"targets = {way}"]
        yield [
            f"known = {known}",
            "columns = {name: values[known] for name, values in columns.items()}",
            f"targets = {way}",
        ]
