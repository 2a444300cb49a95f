"""Which files are exports of flambeau, told by what they say of themselves, so that nothing else is overwritten."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

from flambeau.deploy.export.example import MARK
from flambeau.deploy.export.formats import SUFFIXES
from flambeau.errors import RunError, UsageError

OTHER_SUFFIXES = {"torchscript": (".ts",)}
_LARGEST_METADATA = 100_000_000


def check_name(out: Path, to: str) -> None:
    """Raise UsageError unless the file's name ends as those of the format do."""
    suffix = SUFFIXES[to]
    known = (suffix, *OTHER_SUFFIXES.get(to, ()))
    if out.suffix.lower() not in known:
        right = out.parent / f"{out.stem or 'model'}{suffix}"
        raise UsageError(
            f"the name of such a file ({to}) ends in {' or '.join(known)}",
            got=f"--out {out}",
            command=f"flambeau export RUN --to {to} --out {right}",
        )


def check_overwrite(target: Path, example: Path) -> None:
    """Raise RunError if something stands there that flambeau did not export."""
    for path in (target, example):
        if path.is_dir() or (path.exists() and not is_export(path)):
            raise RunError(
                "something else stands in this place, and it will not be overwritten",
                where=path,
                expected="a new name, or a file that flambeau exported",
                command="--out FILE names another place",
            )


def is_export(path: Path) -> bool:
    """Whether a file is an export or the example of one: its metadata, or its first line, say so."""
    if path.suffix == ".py":
        with path.open("rb") as stream:
            return stream.readline(1000).startswith(f'"""{MARK}'.encode())
    text = _onnx_metadata(path) if path.suffix.lower() == SUFFIXES["onnx"] else _archived_metadata(path)
    try:
        told = json.loads(text or "")
    except ValueError:
        return False
    return isinstance(told, dict) and "flambeau" in told


def _onnx_metadata(path: Path) -> str | None:
    import onnx  # half a second, and only where such a file is already there
    from google.protobuf.message import DecodeError  # type: ignore[import-untyped]  # no stubs

    try:
        model = onnx.load(path, load_external_data=False)
    except DecodeError:
        return None
    return next((one.value for one in model.metadata_props if one.key == "flambeau"), None)


def _archived_metadata(path: Path) -> str | None:
    try:
        with zipfile.ZipFile(path) as archive:
            found = [one for one in archive.infolist() if one.filename.endswith("/extra/flambeau.json")]
            if len(found) != 1 or found[0].file_size > _LARGEST_METADATA:
                return None
            return archive.read(found[0]).decode("utf-8")
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError):
        return None
