"""Tokenizers of strangers: the usual kinds work, and what could fail or fill the memory is refused before its use."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_bundles_of_strangers import LANGUAGE, TOKENS, keep
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from flambeau.deploy.bundle import load_bundle
from flambeau.deploy.checks.charsmap import charsmap_fault
from flambeau.deploy.checks.subwords import tokenizer_fault
from flambeau.errors import ModelError, RunError
from flambeau.models.spec import ModelSpec
from flambeau.schema import Schema
from flambeau.stages.texts.feed import _read_tokenizer
from flambeau.transforms.subwords import load_subwords, subword_count, train_subwords
from flambeau.transforms.text import TextPreparation

MARKS = {"[UNK]": 0, "[CLS]": 1, "[SEP]": 2, "[PAD]": 3}
WORDS = ["the", "cat", "sat", "##s", "a", "b", "c", "▁the", "▁c", "at"]
ROBERTA = processors.RobertaProcessing(("[SEP]", 2), ("[CLS]", 1))
TEXTS = ["the cat is red", "a dog and a cat", "the dog sat"] * 3
CHARACTERS = 200_000


def charsmap(value: int = 0, written: bytes = b"b\0") -> str:
    """A table with one key, "a", for which `written` stands from `value` on."""
    units = np.zeros(512, dtype="<u4")
    units[0] = 256 << 10  # the root's children are at 256 and on
    units[256 ^ ord("a")] = ord("a") | 1 << 8  # "a" is a key, its value is at the same place
    units[256 ^ ord("a")] |= (256 ^ ord("a") ^ 300) << 10
    units[300] = value | 1 << 31
    data = len(units.tobytes()).to_bytes(4, "little") + units.tobytes() + written
    return base64.b64encode(data).decode()


def wordpiece() -> Tokenizer:
    made = Tokenizer(models.WordPiece(MARKS | {w: 4 + i for i, w in enumerate(WORDS)}, unk_token="[UNK]"))
    made.normalizer = normalizers.BertNormalizer(lowercase=True)
    made.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    made.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 1), ("[SEP]", 2)],
    )
    made.decoder = decoders.WordPiece()
    made.add_special_tokens(list(MARKS))
    made.enable_padding(pad_id=3, pad_token="[PAD]", length=8)
    made.enable_truncation(8)
    return made


def byte_pairs() -> Tokenizer:
    made = Tokenizer.from_str(train_subwords(["[UNK]", "[CLS]", "[SEP]", *TEXTS], 300))
    made.normalizer = normalizers.NFC()
    made.add_special_tokens(["[CLS]", "[SEP]"])
    ids = [(name, int(made.token_to_id(name))) for name in ("[SEP]", "[CLS]")]
    made.post_processor = processors.RobertaProcessing(*ids)
    return made


def unigram() -> Tokenizer:
    """As XLM-RoBERTa and ALBERT have it."""
    pieces = [(word, -float(i)) for i, word in enumerate([*MARKS, *WORDS])]
    made = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    made.normalizer = normalizers.Sequence(
        [
            normalizers.Replace("``", '"'),
            normalizers.NFKD(),
            normalizers.StripAccents(),
            normalizers.Lowercase(),
            normalizers.Precompiled(base64.b64decode(charsmap())),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    made.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Metaspace(prepend_scheme="always")]
    )
    made.post_processor = ROBERTA
    made.decoder = decoders.Metaspace()
    return made


def sentence_pairs() -> Tokenizer:
    made = Tokenizer(models.BPE({w: i for i, w in enumerate([*MARKS, *WORDS])}, [], unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    made.decoder = decoders.Sequence([decoders.Replace("▁", " "), decoders.Fuse(), decoders.Strip(" ", 1, 0)])
    return made


def words() -> Tokenizer:
    made = Tokenizer(models.WordLevel(MARKS | {"the": 4}, unk_token="[UNK]"))
    made.normalizer = normalizers.Sequence([normalizers.Strip(), normalizers.NFKC(), normalizers.Nmt()])
    made.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Whitespace(), pre_tokenizers.Digits()])
    return made


USUAL: dict[str, Callable[[], Tokenizer]] = {
    "BERT": wordpiece,
    "RoBERTa": byte_pairs,
    "SentencePiece unigram": unigram,
    "SentencePiece BPE": sentence_pairs,
    "words": words,
}


@pytest.mark.parametrize("kind", USUAL)
def test_the_usual_kinds_work(tmp_path: Path, kind: str) -> None:
    text = USUAL[kind]().to_str()
    assert tokenizer_fault(text, CHARACTERS, 16) == ""
    (tmp_path / "tokenizer.json").write_text(text)
    assert _read_tokenizer(tmp_path, 2**16) == text
    tokens = TextPreparation(("a",), "subwords", 16, tokenizer=text).encode(["The  cat sat é 中", ""])
    assert tokens.min() >= 0 and tokens.max() <= subword_count(load_subwords(text)) and (tokens[0] > 0).any()


@pytest.mark.parametrize("exact", [True, False])
def test_what_flambeau_trains_works(exact: bool) -> None:
    text = train_subwords(["a" * 5_000] * 3, 400, exact=exact)
    assert tokenizer_fault(text, 16 * 2**17, 2**17) == ""


def test_an_old_file_does_not_say_the_type_of_its_model() -> None:
    whole = json.loads(wordpiece().to_str())
    del whole["model"]["type"]
    assert tokenizer_fault(json.dumps(whole), CHARACTERS, 16) == ""


def blown(a: str, b: str) -> dict[str, Any]:
    return {"type": "Replace", "pattern": {"String": a}, "content": b * 200}


def template(ids: list[int], texts: int = 1) -> dict[str, Any]:
    single = [{"SpecialToken": {"id": "X", "type_id": 0}}, *[{"Sequence": {"id": "A", "type_id": 0}}] * texts]
    special = {"X": {"id": "X", "ids": ids, "tokens": ["X"] * len(ids)}}
    pair = [*single, {"Sequence": {"id": "B", "type_id": 1}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": special}


ENDLESS = {"type": "Replace", "pattern": {"Regex": "(.*)*x"}, "content": ""}
EMPTY = {"type": "Replace", "pattern": {"Regex": "."}, "content": ""}
BYTES = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
HOSTILE: list[tuple[str, str, Any, str]] = [
    ("chain", "normalizer", {"type": "Sequence", "normalizers": [blown("a", "b"), blown("b", "c")]}, "longer"),
    ("large", "normalizer", {"type": "Prepend", "prepend": "x" * 1_000}, "prepend of 1,000"),
    ("endless", "normalizer", ENDLESS, "not known"),
    ("empties", "normalizer", EMPTY, "not known"),
    ("of nothing", "normalizer", {**blown("", "b"), "content": ""}, "longer"),
    ("bytes of bytes", "pre_tokenizer", {"type": "Sequence", "pretokenizers": [BYTES] * 9}, "twice"),
    ("endless cut", "pre_tokenizer", {"type": "Split", "pattern": {"Regex": "(a+)+$"}, "behavior": "Isolated",
                                      "invert": False}, "not known"),
    ("unknown", "normalizer", {"type": "Explode"}, "not known"),
    ("other numbers", "post_processor", template([999_999]), "does not know"),
    ("twice", "post_processor", template([1], 2), "twice"),
    ("much around", "post_processor", template([1] * 999), "too much"),
    ("decoder", "decoder", blown("a", "b"), "longer"),
    ("table", "normalizer", {"type": "Precompiled", "precompiled_charsmap": charsmap(0, b"b" * 99)}, "longer"),
    ("outside", "normalizer", {"type": "Precompiled", "precompiled_charsmap": charsmap(9)}, "outside"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "part", "told"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE]
)
def test_parts_that_blow_up_are_refused_where_they_come_from(
    tmp_path: Path, key: str, part: Any, told: str
) -> None:
    whole = json.loads(wordpiece().to_str())
    whole[key] = part
    text = json.dumps(whole)
    (tmp_path / "tokenizer.json").write_text(text)
    with pytest.raises(ModelError, match=told):
        _read_tokenizer(tmp_path, 64)
    spec = ModelSpec(
        "language_transformer", {**LANGUAGE.arguments, "vocabulary": 14, "context": TOKENS.context}
    )
    preparation = replace(TOKENS, tokens="subwords", vocabulary=(), tokenizer=text)
    with pytest.raises(RunError, match=told):
        load_bundle(keep(tmp_path / "bundle", Schema("corpus", "language", target=""), spec, preparation))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda whole: whole["model"].update(dropout=0.5), "random"),
        (lambda whole: whole["model"].update(unk_token="[NONE]"), "unknown"),
        (lambda whole: whole["model"]["vocab"].update({"x" * 2_000: 20}), "characters"),
        (lambda whole: whole["added_tokens"].append({**whole["added_tokens"][0], "content": ""}), "added"),
        (lambda whole: whole.update(normalizer=[1]), "parts that are none"),
        (lambda whole: whole.update(model=[]), "no model"),
    ],
)
def test_models_of_tokens_that_would_fail_are_refused(change: Callable[[Any], None], told: str) -> None:
    whole = json.loads(wordpiece().to_str())
    change(whole)
    assert told in tokenizer_fault(json.dumps(whole), CHARACTERS)


def test_two_values_of_one_name_are_refused() -> None:
    assert "one name" in tokenizer_fault('{"model": {}, "model": {}}', 1)
    assert "tokens around" in tokenizer_fault(wordpiece().to_str(), 1, 2)  # no room between [CLS] and [SEP]


def test_a_table_of_characters_stays_within_itself() -> None:
    assert charsmap_fault(charsmap(), 12) == ""
    far = bytearray(base64.b64decode(charsmap()))
    far[4:8] = (2**20 << 10).to_bytes(4, "little")
    for wrong in ("?", "", base64.b64encode(bytes(far)).decode(), base64.b64encode(b"\xff" * 20).decode()):
        assert charsmap_fault(wrong, 12)
