"""A plain text from a file, a folder of files, or a column of a table, within limits, and words for what is wrong."""

from __future__ import annotations

from pathlib import Path

from flambeau.data.corpus.corpus import DOCUMENT_BREAK, text_files
from flambeau.data.known.named import place_of
from flambeau.data.source import core_errors
from flambeau.data.tables.table import TABLE_SUFFIXES, read_table
from flambeau.data.texts.files import TEXT_SUFFIXES, decode_text
from flambeau.errors import DataError, did_you_mean, nearest_file
from flambeau.recipe import Recipe
from flambeau.schema import Finding

FEWEST_CHARACTERS = 1_000
EXPECTED = "a .txt file, a folder of .txt files, or a table with a column of texts (--target COLUMN)"


def open_corpus(recipe: Recipe, fewest: int = FEWEST_CHARACTERS) -> tuple[str, tuple[Finding, ...]]:
    """The text that a recipe names, and what was noticed.

    Args:
        recipe: names the text.
        fewest: characters that are enough; to learn from by default.

    Raises:
        DataError: there is nothing there, it is no text, too short, or beyond the limit.
    """
    given = str(recipe.source)
    source = Path(place_of(given)).expanduser()
    if not source.exists():
        beside = [entry.name for entry in source.parent.iterdir()] if source.parent.is_dir() else []
        hint = nearest_file(source.name, beside)
        raise DataError(f"there is no '{given}'", expected=EXPECTED, hint=hint)
    # a .txt file may be a table too, but only where a column is named
    plain = source.suffix.lower() in TEXT_SUFFIXES and recipe.data.target is None
    if source.is_file() and source.suffix.lower() in TABLE_SUFFIXES and not plain:
        text, findings = _column_of(source, recipe)
    else:
        text, findings = _files_of(source, recipe)
    if len(text) < fewest:
        learns = fewest == FEWEST_CHARACTERS
        raise DataError(
            f"this text is too short to {'learn a language from' if learns else 'tell anything by'}",
            where=given,
            got=f"{len(text):,} characters",
            expected=f"at least {fewest:,}"
            + ("; a good model needs a hundred thousand and more" if learns else ""),
        )
    return text, findings


def _files_of(source: Path, recipe: Recipe) -> tuple[str, tuple[Finding, ...]]:
    files = text_files(source)
    if not files:
        there = sorted({path.suffix or "no suffix" for path in source.rglob("*") if path.is_file()})
        raise DataError(
            "there is no text in this folder",
            where=source,
            got=f"files of {', '.join(there[:8])}" if there else "no file at all",
            expected=f"files that end in {', '.join(TEXT_SUFFIXES)}",
        )
    _check_size(source, sum(path.stat().st_size for path in files), "bytes", recipe)
    texts: list[str] = []
    findings: list[Finding] = []
    empty = []
    for path in files:
        text, encoding = decode_text(path.read_bytes())
        if "\0" in text:
            raise DataError("this file is no text: it has bytes of zero in it", where=path, expected=EXPECTED)
        if encoding == "cp1252":
            message = (
                f"{path.name} is not UTF-8 and was read as Windows-1252; save it as UTF-8 if signs are wrong"
            )
            findings.append(Finding("warning", "encoding", message))
        if text.strip():
            texts.append(text)
        else:
            empty.append(path.name)
    if empty:
        message = f"{len(empty):,} of {len(files):,} files are empty and are left out"
        findings.append(Finding("warning", "empty-texts", message, tuple(empty)))
    return DOCUMENT_BREAK.join(texts), tuple(findings)


def _check_size(source: Path, size: int, unit: str, recipe: Recipe) -> None:
    if size > recipe.language.max_bytes:
        raise DataError(
            "this text is larger than the limit",
            where=source,
            got=f"{size:,} {unit}",
            expected=f"at most {recipe.language.max_bytes:,}",
            command="--set language.max_bytes=…",
        )


def _column_of(source: Path, recipe: Recipe) -> tuple[str, tuple[Finding, ...]]:
    with core_errors():
        table = read_table(source, max_rows=recipe.data.max_rows)
    name, known = recipe.data.target, list(table.column_names)
    if name not in known:
        raise DataError(
            "which column holds the text is not said" if name is None else f"there is no column '{name}'",
            where=source,
            got=None if name is None else name,
            expected=", ".join(known[:20]),
            hint="" if name is None else did_you_mean(name, known),
            command=f"flambeau train {source} --task language --target COLUMN",
        )
    values = table[name].to_pylist()
    texts = [str(value) for value in values if value is not None and str(value).strip()]
    _check_size(source, sum(len(text) for text in texts), "characters", recipe)
    findings: tuple[Finding, ...] = ()
    if len(texts) < len(values):
        message = f"{len(values) - len(texts):,} of {len(values):,} rows have no text and are left out"
        findings = (Finding("warning", "empty-texts", message),)
    return DOCUMENT_BREAK.join(texts), findings
