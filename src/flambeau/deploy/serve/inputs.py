"""From the body of a request to raw inputs: pictures as bytes, or rows as dictionaries."""

from __future__ import annotations

import json
import re
from collections.abc import AsyncGenerator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from starlette.datastructures import Headers, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from flambeau.data.tables.rows import require_inputs
from flambeau.deploy.serve.limits import JSON_BYTES, TEXT_LETTERS, Limits, RefusalError
from flambeau.deploy.serve.models import Loaded
from flambeau.schema import Schema

PICTURE_FILE, SCAN_FILE, VOLUME_FILE = "photo.jpg", "scan.dcm", "scan.nii.gz"
# What browsers and clients call files of pictures and scans beside image/*.
FILE_TYPES = ("application/octet-stream", "application/dicom", "application/gzip", "application/x-gzip")
ROWS_HINT = """curl -H 'content-type: application/json' -d '{"rows": [{...}, {...}]}' ADDRESS/predict"""


MOST_NUMBERS = 1_000_000  # probabilities in one answer; many classes leave room for fewer rows
MOST_VALUES = JSON_BYTES // 8  # of rows with pictures, whose JSON may be longer than that of other rows


@dataclass(frozen=True)
class Inputs:
    """What one request asks about.

    Args:
        raw: bytes of pictures, or rows.
        names: one an input, as the answers call them: "row 1" or a file's name.
        many: whether a list of answers is expected, though there may be one input only.
    """

    raw: list[Any]
    names: list[str] = field(default_factory=list)
    many: bool = False


class _InMemory(MultiPartParser):
    """Keeps every part in memory, as the whole body already is."""

    spool_max_size = 2**62

    def close(self) -> None:
        """Give all parts back, also those of a form that broke off."""
        for file in self._files_to_close_on_error:
            file.close()


async def read_inputs(model: Loaded, content_type: str, body: bytes, limits: Limits) -> Inputs:
    """The inputs in a body that is complete.

    Raises:
        RefusalError: 400 for a body that is not what its type says, 413, 415 or 422.
        DataError: rows that lack a column that the model needs.
    """
    kind = content_type.partition(";")[0].strip().lower()
    if not model.takes_pictures:
        if kind != "application/json" and not kind.endswith("+json"):
            raise _unsupported(kind, "application/json", ROWS_HINT)
        if model.asked is not None:
            rows, many = read_rows(body, min(limits.rows, model.asked.rows))
            return Inputs(model.asked.read(rows), _row_names(len(rows)), many)
        if model.takes_series:
            rows, _ = read_rows(body, limits.rows)
            check_rows(rows, model)
            return Inputs([rows], ["series"])
        pictures = model.bundle.schema.picture_columns
        most = min(limits.rows, MOST_NUMBERS // model.bundle.schema.outputs)
        if pictures and (values := sum(map(body.count, (b",", b"[", b"{")))) > MOST_VALUES:
            raise RefusalError(
                413, "the JSON is too large", got=f"{values:,} values", expected=f"{MOST_VALUES:,}"
            )
        # pictures are few and long texts, which are parsed quickly
        rows, many = read_rows(body, most, limits.bytes if pictures else JSON_BYTES)
        check_rows(rows, model)
        return Inputs(rows, _row_names(len(rows)), many)
    if kind == "multipart/form-data":
        return await _read_parts(content_type, body, limits, example_file(model.bundle.schema)[0])
    file, of = example_file(model.bundle.schema)
    hint = f"curl --data-binary @{file} -H 'content-type: {of}' ADDRESS/predict"
    if not (kind.startswith("image/") or kind in FILE_TYPES):
        others = "application/octet-stream or multipart/form-data"
        raise _unsupported(kind, others if file != PICTURE_FILE else f"image/*, {others}", hint)
    thing = "picture" if file == PICTURE_FILE else "scan"
    if not body:
        raise RefusalError(400, "the body is empty", expected=f"a {thing}", hint=hint)
    return Inputs([body], [thing])


def example_file(schema: Schema) -> tuple[str, str]:
    """The name of a file such as a model of pictures or scans takes, and what its body is called."""
    scans = "" if schema.picture is None else schema.picture.scans
    if not scans:
        return PICTURE_FILE, "image/jpeg"
    return (SCAN_FILE if scans == "dicom" else VOLUME_FILE), "application/octet-stream"


def read_rows(body: bytes, most: int, largest: int = JSON_BYTES) -> tuple[list[dict[str, Any]], bool]:
    """The rows of a JSON body: {"rows": [...]}, {"row": {...}}, a list of rows, or one row; and whether it is a list.

    A value of a row is never an object or a list, so a column may well be named "row" or "rows".

    Args:
        body: complete.
        most: rows.
        largest: bytes of the body.

    Raises:
        RefusalError: 400 for what is no JSON, 413 for too much, 422 for another shape.
    """
    if len(body) > largest:
        raise RefusalError(
            413, "the JSON is too large", got=f"{len(body):,} bytes", expected=f"at most {largest:,} bytes"
        )
    # Told without parsing, which would hold up everybody else.
    if body.count(b"{") > most + 1 and (objects := _count_objects(body)) > most + 1:
        raise _too_many_rows(f"{objects:,} objects", most)
    value = _parse(body)
    many = True
    if isinstance(value, dict):
        if value.keys() == {"rows"} and isinstance(value["rows"], list):
            value = value["rows"]
        elif value.keys() == {"row"} and isinstance(value["row"], dict):
            value, many = [value["row"]], False
        else:
            value, many = [value], False
    if not isinstance(value, list):
        raise _other_shape(type(value).__name__)
    if not value:
        raise _other_shape("no rows")
    if len(value) > most:
        raise _too_many_rows(f"{len(value):,}", most)
    for number, row in enumerate(value, start=1):
        if type(row) is not dict:
            raise _other_shape(f"row {number} is of type {type(row).__name__}")
    return value, many


def _count_objects(body: bytes) -> int:
    """How many objects begin in a JSON body; braces in texts are none."""
    unescaped = body.replace(b"\\\\", b"").replace(b'\\"', b"")
    return re.sub(rb'"[^"]*"?', b"", unescaped).count(b"{")


def check_rows(rows: Sequence[Mapping[str, Any]], model: Loaded) -> None:
    """Refuse rows that cannot be meant, before they wait. Raises RefusalError or DataError."""
    needed = {column.name for column in model.bundle.schema.used_columns}
    texts = [column.name for column in model.bundle.schema.used_columns if column.kind == "text"]
    for number, row in enumerate(rows, start=1):
        if any(type(value) in (dict, list) for value in row.values()):
            name = next(key for key, value in row.items() if type(value) in (dict, list))
            raise RefusalError(
                422,
                "a value of a row is a number, a text, true, false or null",
                where=f"row {number}, '{name[:60]}'",
                got=type(row[name]).__name__,
            )
        for name in texts:
            if isinstance(row.get(name), str) and len(row[name]) > TEXT_LETTERS:
                raise RefusalError(
                    413,
                    "a text is too long",
                    where=f"row {number}, '{name[:60]}'",
                    got=f"{len(row[name]):,} characters",
                    expected=f"at most {TEXT_LETTERS:,}",
                    hint="flambeau predict takes texts of any length, of which the model reads the beginning",
                )
    if len(rows) != 1 or not needed <= rows[0].keys():
        require_inputs(model.bundle.schema, list(dict.fromkeys(name for row in rows for name in row)))


def _row_names(count: int) -> list[str]:
    return [f"row {number}" for number in range(1, count + 1)]


def _too_many_rows(got: str, most: int) -> RefusalError:
    return RefusalError(
        413,
        "too many rows in one request",
        got=got,
        expected=f"at most {most:,}",
        hint="flambeau predict takes files of any size",
    )


def _other_shape(got: str) -> RefusalError:
    return RefusalError(
        422, "these are not rows", got=got, expected='{"rows": [{...}, ...]} or one row {...}', hint=ROWS_HINT
    )


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no JSON; a missing value is null")


_decoder = json.JSONDecoder(parse_constant=_no_number)


def _parse(body: bytes) -> Any:
    try:
        value = _decoder.decode(body.decode("utf-8"))
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    except RecursionError:
        raise RefusalError(400, "the body is nested too deeply", expected="rows of plain values") from None
    except UnicodeEncodeError:
        raise RefusalError(400, "a text holds half of a surrogate pair", expected="text of Unicode") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise RefusalError(400, "the body is not JSON", got=str(error), hint=ROWS_HINT) from None
    return value


async def _read_parts(content_type: str, body: bytes, limits: Limits, example: str) -> Inputs:
    async def stream() -> AsyncGenerator[bytes, None]:
        yield body

    parser = _InMemory(
        Headers({"content-type": content_type}),
        stream(),
        max_files=limits.files,
        max_fields=8,
        max_part_size=1024,
    )
    try:
        form = await parser.parse()
        files = [part for _, part in form.multi_items() if isinstance(part, UploadFile)]
        raw, names = [part.file.read() for part in files], [_file_name(part) for part in files]
    except MultiPartException as error:
        if error.message.startswith("Too many"):
            raise RefusalError(
                413, "too many files in one request", expected=f"at most {limits.files}"
            ) from None
        raise RefusalError(400, "the body is not multipart/form-data", got=error.message) from None
    except (KeyError, ValueError, LookupError) as error:
        raise RefusalError(400, "the body is not multipart/form-data", got=str(error)) from None
    finally:
        parser.close()
    if not raw:
        raise RefusalError(
            422,
            "no file is in this form",
            expected="one part or several with a file name each",
            hint=f"curl -F file=@{example} ADDRESS/predict",
        )
    return Inputs(raw, names, True)


def _file_name(part: UploadFile) -> str:
    """The last part of the name that the client gave; it names an answer and is never opened."""
    name = (part.filename or "").replace("\\", "/").rpartition("/")[2]
    return name[:200] or "picture"


def _unsupported(kind: str, expected: str, hint: str) -> RefusalError:
    return RefusalError(
        415,
        "this model does not take bodies of this type",
        got=kind or "no content-type",
        expected=expected,
        hint=hint,
    )
