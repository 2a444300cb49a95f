"""The model card says what the bundle knows, and a stranger's words in it stay words."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from small_bundles import BUNDLES, alter, scores_of, write_bundle

from flambeau.deploy.card.card import CardParts, read_card_parts, write_card
from flambeau.deploy.card.markdown import number, plain, table
from flambeau.errors import FlambeauError, RunError
from flambeau.schema import Column

EVIL = "<script>a(1)</script>|`x`[a](javascript:b)\n# top *b* _i_ ![p](http://e.vil/x) www.e.vil me@e.vil \x1b[2J"


def parts_of(folder: Path, kind: str = "mlp") -> CardParts:
    return read_card_parts(write_bundle(folder, kind))


def test_the_card_is_part_of_the_bundle_and_tells_it_all(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    card = (tmp_path / "MODEL_CARD.md").read_text()
    assert card == write_card(parts)
    for told in (
        "things-1: a model that predicts size",
        "one of 2 classes",
        "source: things.csv, 100 samples",
        "ab" * 16,
        "stratified (the data came unsplit); 70 train, 15 valid, 15 test",
        "| accuracy | 0.9 | 0.8 to 0.95 | 0.5 |",
        "beats every baseline",
        "only 15 samples were tested",
        "| area | number | 30 to 120 |",
        "| colour | category | blue, red |",
        "not tested on data from another source",
        "4 duplicates",
        "no pretrained weights were used",
        'model.predict({"area": 30',
        "flambeau train YOUR_DATA --recipe recipe.yaml",
    ):
        assert told in card, told


@pytest.mark.parametrize("kind", BUNDLES)
def test_every_kind_of_model_has_a_card(tmp_path: Path, kind: str) -> None:
    parts = parts_of(tmp_path, kind)
    bundle = BUNDLES[kind]()
    assert parts.weights == sum(tensor.numel() for tensor in bundle.module.state_dict().values())
    assert f"{parts.weights:,} numbers" in write_card(parts)


@pytest.mark.parametrize(
    ("kind", "held"), [("mlp", "prepared values of"), ("cnn", "features and brightness of")]
)
def test_kept_training_rows_are_told(tmp_path: Path, kind: str, held: str) -> None:
    folder = write_bundle(tmp_path, kind)
    assert f"**This bundle holds {held} 60 training rows**" in (folder / "MODEL_CARD.md").read_text()
    (folder / "familiar.safetensors").unlink()
    assert "This bundle holds" not in write_card(read_card_parts(folder))
    alter(folder, "familiar.safetensors", b"not tensors")
    with pytest.raises(RunError, match="damaged"):
        read_card_parts(folder)


def test_pretrained_weights_are_told_with_their_licence(tmp_path: Path) -> None:
    weights = {
        "arch": "torchvision/mobilenet_v2",
        "origin": "mobilenet.safetensors",
        "licence": "BSD-3-Clause",
    }
    parts = parts_of(tmp_path)
    card = write_card(replace(parts, facts={**parts.facts, "weights": weights}))
    assert "torchvision/mobilenet\\_v2, from mobilenet.safetensors" in card
    assert "their licence: BSD-3-Clause" in card


def test_a_bundle_without_facts_claims_nothing(tmp_path: Path) -> None:
    card = write_card(replace(parts_of(tmp_path), facts={}, scores={}))
    assert "no pretrained" not in card
    assert "written before bundles told" in card
    assert "never tested" in card


def test_words_of_strangers_are_shown_and_not_read_as_markup(tmp_path: Path) -> None:
    parts = parts_of(tmp_path)
    schema = replace(
        parts.schema,
        target=EVIL,
        classes=(EVIL, "b"),
        columns=(Column(EVIL, "number", low=0, high=1), Column("```\n```", "category", values=(EVIL,))),
    )
    data = {"source": EVIL, "fingerprint": EVIL, "count": 3, "class_counts": [1, 2]}
    facts: dict[str, Any] = {
        "name": EVIL,
        "data": data,
        "split": {"method": EVIL, "reason": EVIL},
        "findings": [{"level": "warning", "code": "x", "message": EVIL}],
        "weights": {"arch": EVIL, "origin": EVIL, "licence": EVIL},
        "versions": {EVIL: EVIL},
    }
    scores = {**scores_of("classification"), "verdict": EVIL, "method": EVIL, "baselines": {EVIL: {}}}
    card = write_card(replace(parts, schema=schema, facts=facts, scores=scores))
    prose = re.sub(r"(?ms)^```.*?^```$", "", card)
    assert card.count("\n```") == 6
    assert "<" not in prose and "\x1b" not in card
    assert not re.search(r"(?<!\\)[`\[]", prose)
    assert "://" not in prose and "www." not in prose and "@" not in prose
    assert not re.search(r"(?m)^# top", prose)
    for line in prose.splitlines():
        if line.startswith("| acc"):
            assert len(re.findall(r"(?<!\\)\|", line)) == 5


def test_plain_text_numbers_and_tables() -> None:
    assert plain("a|b") == "a\\|b"
    assert plain("x" * 500).endswith("…") and len(plain("x" * 500)) == 200
    assert plain(None) == "None"
    assert [number(value) for value in (0.98519, 1797, 12.3456, 45873.4, 1e-9, 10**18, None, True, "7")] == [
        "0.9852", "1,797", "12.35", "45,873", "1e-09", "1e+18", "–", "–", "–",
    ]  # fmt: skip
    assert table(("a", "b|c"), [(1, "|")]) == ["| a | b\\|c |", "|---|---|", "| 1 | \\| |"]


def test_a_damaged_header_of_weights_is_told(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    for content in (b"", b"\x10", (10**18).to_bytes(8, "little") + b"{}", (2).to_bytes(8, "little") + b"[]"):
        alter(tmp_path, "weights.safetensors", content)
        with pytest.raises(FlambeauError, match="cannot be read"):
            read_card_parts(tmp_path)
