"""Only what says of itself that it is an export is overwritten, and a file is named as its format is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import onnx
import pytest
from test_formats import bundle_of, written

from flambeau.deploy.export.onnx_file import add_metadata
from flambeau.deploy.export.recognise import check_name, check_overwrite, is_export
from flambeau.errors import RunError, UsageError


def test_a_name_must_end_as_the_format_does() -> None:
    for name, to in (("m.onnx", "onnx"), ("m.PT2", "pt2"), ("m.pt", "torchscript"), ("m.ts", "torchscript")):
        check_name(Path(name), to)
    for name, to, right in (
        ("notes.txt", "onnx", "notes.onnx"), ("m.pt", "pt2", "m.pt2"), (".", "torchscript", "model.pt")
    ):  # fmt: skip
        with pytest.raises(UsageError) as caught:
            check_name(Path(name), to)
        assert caught.value.command.endswith(f"--to {to} --out {right}")


@pytest.mark.parametrize("suffix", [".onnx", ".pt2", ".pt", ".py"])
def test_a_file_that_only_speaks_of_flambeau_is_not_overwritten(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"mine{suffix}"
    for content in (b'notes on "flambeau": Written by flambeau export.', b"", b"\x08\x07\x12\x08flambeau"):
        path.write_bytes(content)
        with pytest.raises(RunError, match="will not be overwritten"):
            check_overwrite(path, tmp_path / "absent")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("flambeau/notes.txt", "of flambeau")
        archive.writestr("x/extra/flambeau.json", "[]")
    assert not is_export(path)


def test_exports_are_recognised(tmp_path: Path) -> None:
    model = onnx.ModelProto()
    add_metadata(model, {"flambeau": "1", "task": "regression", "labels": []})
    (tmp_path / "m.onnx").write_bytes(model.SerializeToString())
    (tmp_path / "other.onnx").write_bytes(onnx.ModelProto(producer_name="flambeau").SerializeToString())
    (tmp_path / "m_onnx.py").write_text('"""Written by flambeau export. Answers."""\n')
    assert is_export(tmp_path / "m.onnx") and is_export(tmp_path / "m_onnx.py")
    assert not is_export(tmp_path / "other.onnx")
    path = written(bundle_of("table", "robust"), "torchscript", tmp_path)
    assert is_export(path)
