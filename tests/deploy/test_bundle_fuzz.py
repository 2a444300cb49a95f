"""Bundles that a stranger altered, digests and all: each is refused with words or works; nothing else may happen."""

from __future__ import annotations

import json
import pickle
import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_bundles import alter, sign, write_bundle
from test_bundle_loads import trial_inputs

from flambeau.data.samples import PictureArray, Samples
from flambeau.data.tables.rows import rows_as_columns
from flambeau.deploy.answer import answer_to_json, describe_prediction
from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.card.card import read_card_parts, write_card
from flambeau.deploy.familiar.familiar import predict_and_compare
from flambeau.deploy.familiar.files import load_familiar
from flambeau.deploy.files import OPTIONAL, check_files
from flambeau.errors import FlambeauError, RunError
from flambeau.records.files import to_json

KINDS = ("mlp", "tabm regression", "bag", "cnn")
PLAIN_FILES = ("schema.json", "model.json", "preparation.json", "labels.json", "scores.json", "facts.json")
VALUES: tuple[Any, ...] = (
    None, True, 0, -1, 10**12, 10**400, 1.5, -0.0, 1e308, "", "x", "../../etc/passwd", "\u0000\u001b[2J", [], {},
    [[]], [1, "a"], {"a": None}, ["x"] * 1000, "9" * 5000,
)  # fmt: skip


def outcome(folder: Path) -> str:
    """ "refused" or "works", by everything that a person would do with a bundle; any other error passes."""
    try:
        bundle = load_bundle(folder)
        familiar = load_familiar(folder, bundle)
        predictions, _ = predict_and_compare(bundle, familiar, trial_inputs(bundle))
        for prediction in predictions:
            to_json(describe_prediction(bundle, prediction))
        for answer in answer_to_json(bundle, raw_samples(bundle), batch=2):
            to_json(answer)
        assert write_card(read_card_parts(folder)).startswith("# ")
    except FlambeauError as error:
        assert str(folder.parent.parent) not in error.what
        return "refused"
    return "works"


def raw_samples(bundle: Bundle) -> Samples:
    """Raw input as it comes from a person: pictures of another size, or rows with strange values."""
    if bundle.schema.source == "pictures":
        pixels = np.random.default_rng(0).integers(0, 256, (2, 11, 9, 3), dtype=np.uint8)
        return Samples(bundle.schema, ("a", "b"), np.full(2, np.nan), pictures=PictureArray(pixels))
    rows = [
        {"area": 55, "colour": "red", "built": "2001-01-01"},
        {"area": None, "colour": "x", "built": None},
    ]
    return Samples(
        bundle.schema, ("1", "2"), np.full(2, np.nan), columns=rows_as_columns(rows, bundle.schema)
    )


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("originals")
    return {kind: write_bundle(root / kind.replace(" ", "-"), kind) for kind in KINDS}


@pytest.fixture
def copy(originals: dict[str, Path], tmp_path: Path) -> Iterator[Any]:
    count = 0

    def fresh(kind: str) -> Path:
        nonlocal count
        count += 1
        return shutil.copytree(originals[kind], tmp_path / f"copy-{count}")

    yield fresh


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The path of every value inside plain values."""
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, inner in items:
        yield from places(inner, (*path, key))


def with_value(value: Any, path: tuple[Any, ...], new: Any) -> Any:
    if not path:
        return new
    inner = with_value(value[path[0]], path[1:], new)
    if isinstance(value, dict):
        return {**value, path[0]: inner}
    return [inner if place == path[0] else old for place, old in enumerate(value)]


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_other_kinds_and_sizes(kind: str, copy: Any) -> None:
    folder, draw = copy(kind), random.Random(f"values {kind}")
    seen = {"refused": 0, "works": 0}
    for name in PLAIN_FILES:
        original = (folder / name).read_bytes()
        data = json.loads(original)
        every = list(places(data))
        for _ in range(40):
            new = draw.choice(VALUES)
            text = json.dumps(with_value(data, draw.choice(every), new)).replace(
                "1.5", draw.choice(["1.5", "NaN", "1e999"])
            )
            alter(folder, name, text.encode())
            seen[outcome(folder)] += 1
        alter(folder, name, original)
    assert outcome(folder) == "works"
    assert seen["refused"] > 100


@pytest.mark.parametrize("kind", KINDS)
def test_keys_that_are_gone_or_new(kind: str, copy: Any) -> None:
    folder = copy(kind)
    for name in PLAIN_FILES:
        original = (folder / name).read_bytes()
        data = json.loads(original)
        if not isinstance(data, dict):
            continue
        for key in data:
            alter(folder, name, {k: v for k, v in data.items() if k != key})
            outcome(folder)
        alter(folder, name, {**data, "strange": [1]})
        outcome(folder)
        alter(folder, name, original)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_changed_cut_off_or_added(kind: str, copy: Any) -> None:
    folder, draw = copy(kind), random.Random(f"bytes {kind}")
    for path in sorted(folder.iterdir()):
        original = path.read_bytes()
        for _ in range(12):
            data = bytearray(original)
            way = draw.randrange(4)
            if way == 0:
                del data[draw.randrange(len(data) + 1) :]
            elif way == 1:
                data += draw.randbytes(draw.randrange(1, 64))
            else:
                for _ in range(draw.randrange(1, 6)):
                    data[draw.randrange(min(len(data), 4096))] = draw.randrange(256)
            path.write_bytes(bytes(data))
            if path.name != "versions.json":
                sign(folder)
            outcome(folder)
        path.write_bytes(original)
        if path.name != "versions.json":
            sign(folder)


def test_a_changed_byte_without_its_digest_is_always_refused(copy: Any) -> None:
    folder = copy("mlp")
    for path in sorted(folder.iterdir()):
        original = path.read_bytes()
        path.write_bytes(original[:-2] + bytes([original[-2] ^ 1]) + original[-1:])
        with pytest.raises(FlambeauError):
            load_bundle(folder)
        path.write_bytes(original)
    assert outcome(folder) == "works"


@pytest.mark.parametrize(
    "text",
    [
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b'{"format": 1, "digests": ' + b"[" * 50_000 + b"]" * 50_000 + b"}",
        b"\xff\xfe\x00",
        b"",
        b"null",
        b"NaN",
        b"1" * 10_000,
        b'{"a": 1' + b"0" * 5000 + b"}",
    ],
    ids=["brackets", "objects", "nested digests", "not text", "empty", "null", "nan", "long", "huge number"],
)
def test_json_that_is_deep_or_none(text: bytes, copy: Any) -> None:
    folder = copy("mlp")
    for name in (*PLAIN_FILES, "versions.json"):
        original = (folder / name).read_bytes()
        (folder / name).write_bytes(text)
        if name != "versions.json":
            sign(folder)
        assert outcome(folder) == "refused" or name == "labels.json"
        (folder / name).write_bytes(original)
        if name != "versions.json":
            sign(folder)


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, path: str) -> None:
        self.path = path

    def __reduce__(self) -> tuple[object, tuple[str, ...]]:
        return (Path.mkdir, (Path(self.path),))  # type: ignore[return-value]  # any callable may stand here


def test_weights_that_are_pickles_are_not_run(copy: Any, tmp_path: Path) -> None:
    folder, witness = copy("mlp"), tmp_path / "witness"
    alter(folder, "weights.safetensors", pickle.dumps(Bomb(str(witness))))
    assert outcome(folder) == "refused"
    torch.save({"weights": torch.ones(3)}, folder / "weights.safetensors")
    sign(folder)
    assert outcome(folder) == "refused"
    assert not witness.exists()


def test_a_header_of_weights_that_claims_too_much_is_refused(copy: Any) -> None:
    folder = copy("mlp")
    for header in (
        {"w": {"dtype": "F32", "shape": [10**12], "data_offsets": [0, 4 * 10**12]}},
        {"w": {"dtype": "F32", "shape": [2**62, 4], "data_offsets": [0, 0]}},
        {"w": {"dtype": "X9", "shape": [1], "data_offsets": [0, 4]}},
        {"w": {"dtype": "F32", "shape": [-1], "data_offsets": [4, 0]}},
    ):
        text = json.dumps(header).encode()
        alter(folder, "weights.safetensors", len(text).to_bytes(8, "little") + text + bytes(8))
        assert outcome(folder) == "refused"
    alter(folder, "weights.safetensors", (2**60).to_bytes(8, "little") + b"{}")
    assert outcome(folder) == "refused"


@pytest.mark.parametrize(
    "name",
    ["../outside.json", "/etc/passwd", "a/b", "..", ".", "", "C:\\x", "a\0b", "versions.json", "x" * 300],
)
def test_names_that_lead_elsewhere_are_refused(name: str, copy: Any) -> None:
    folder = copy("mlp")
    versions = json.loads((folder / "versions.json").read_text())
    versions["digests"][name] = "0" * 64
    (folder / "versions.json").write_text(json.dumps(versions))
    with pytest.raises(RunError, match="damaged"):
        check_files(folder)


def test_links_and_missing_files_are_refused(copy: Any, tmp_path: Path) -> None:
    secret = tmp_path / "secret.json"
    for name in ("weights.safetensors", *PLAIN_FILES[:5], "recipe.yaml", "versions.json"):
        folder = copy("mlp")
        (folder / name).rename(secret)
        assert outcome(folder) == "refused"
        (folder / name).symlink_to(secret)
        assert outcome(folder) == "refused"
        secret.unlink()
        (folder / name).unlink()
        (folder / name).mkdir()
        assert outcome(folder) == "refused"


def test_a_file_that_no_digest_vouches_for_is_not_enough(copy: Any) -> None:
    folder = copy("mlp")
    versions = json.loads((folder / "versions.json").read_text())
    for name in ("weights.safetensors", "model.json", "recipe.yaml"):
        fewer = {key: value for key, value in versions["digests"].items() if key != name}
        (folder / "versions.json").write_text(json.dumps({**versions, "digests": fewer}))
        with pytest.raises(RunError, match="damaged"):
            load_bundle(folder)


@pytest.mark.parametrize("name", OPTIONAL)
def test_a_known_file_that_was_added_is_refused(name: str, copy: Any, tmp_path: Path) -> None:
    folder, elsewhere = copy("mlp"), tmp_path / "elsewhere"
    (folder / name).unlink(missing_ok=True)
    sign(folder)
    assert outcome(folder) == "works"
    (folder / name).write_text("{}")
    with pytest.raises(RunError, match="altered or damaged") as caught:
        load_bundle(folder)
    assert name in str(caught.value)
    (folder / name).unlink()
    (folder / name).symlink_to(elsewhere)
    with pytest.raises(RunError, match="altered or damaged"):
        load_bundle(folder)


@pytest.mark.parametrize("version", ["'; rm -rf ~; '", 7, None, "1.0" * 100])
def test_a_strange_version_is_not_put_into_a_command(version: Any, copy: Any) -> None:
    folder = copy("mlp")
    (folder / "versions.json").write_text(json.dumps({"format": 99, "flambeau": version}))
    with pytest.raises(RunError, match="another format") as caught:
        load_bundle(folder)
    assert "rm -rf" not in str(caught.value)
