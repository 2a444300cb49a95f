"""Whether a stranger's tokenizer is made of parts that are known, and can neither fail nor fill the memory.

The library `tokenizers` obeys whatever stands in the JSON: a few hundred bytes make a text of three letters one of
many gigabytes. So only parts are let through that are known to make a text at most so much longer.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from flambeau.deploy.checks.charsmap import charsmap_fault
from flambeau.transforms.subwords import LONGEST_SUBWORD, load_subwords, subword_count

MOST_PARTS = 24
MOST_NESTED = 4
# A text may become one of so many, were each of its characters the worst.
MOST_CHARACTERS = 2**29
MOST_ADDED, MOST_ADDED_CHARACTERS = 100_000, 2**21
MOST_PIECE_CHARACTERS = 2**23
LONGEST_MARK = 16
MOST_IDS = 16
PROBES = ("", "\n", "a", "Ab, 1.5 é ß 中文 \ufdfa 😀 \u0301\u200b\x00", "zyx " * 50, "\ue000" * 20)
# Patterns that take a time in proportion to the text; others may take one without end.
KNOWN_PATTERNS = (" {2,}", " +", r"\s+", r"\s{2,}")
# How many characters may come of one.
GROWTH = {"BertNormalizer": 3, "NFC": 3, "NFD": 4, "NFKC": 18, "NFKD": 18, "Lowercase": 2, "StripAccents": 1,
          "Strip": 1, "Nmt": 1, "ByteLevel": 4, "Prepend": 1, "Replace": 1, "Precompiled": 12,
          "Sequence": 1}  # fmt: skip
CUTTERS = {"BertPreTokenizer": 1, "ByteLevel": 4, "Metaspace": 2, "Whitespace": 1, "WhitespaceSplit": 1, "Digits": 1,
           "Punctuation": 1, "UnicodeScripts": 1, "CharDelimiterSplit": 1, "Split": 1, "Sequence": 1}  # fmt: skip
FRAMES = ("TemplateProcessing", "BertProcessing", "RobertaProcessing", "ByteLevel", "Sequence")
DECODERS = ("ByteLevel", "WordPiece", "Metaspace", "BPEDecoder", "Fuse", "ByteFallback", "Strip", "Replace", "CTC",
            "Sequence")  # fmt: skip
MODELS = ("BPE", "WordPiece", "Unigram", "WordLevel")


def tokenizer_fault(text: str, characters: int, length: int | None = None) -> str:
    """What is wrong with a tokenizer; "" for one that may be used.

    Args:
        text: its JSON.
        characters: of the longest text that it is given.
        length: the most tokens of a text; None for all of them.
    """
    try:
        whole = json.loads(text, object_pairs_hook=_mapping)
        growth = _checked(whole)
        if growth * characters > MOST_CHARACTERS:
            raise ValueError("parts that make a text too much longer")
        tokenizer = load_subwords(text, length)
        frame = tokenizer.num_special_tokens_to_add(False)
        if length is not None and frame >= length:
            raise ValueError(f"{frame} tokens around each text, of which there may be {length}")
        count = subword_count(tokenizer)
        if any(not 0 <= one < count for one in _frame_ids(whole.get("post_processor"))):
            raise ValueError("tokens around each text that it does not know")
        for probe in PROBES:
            tokenizer.encode(probe)
    except (ValueError, TypeError, AttributeError, KeyError, RecursionError) as error:
        return f"a tokenizer that is none or not safe: {str(error)[:200]}"
    except Exception as error:  # the library raises plain exceptions for what it cannot encode
        return f"a tokenizer that fails: {str(error)[:200]}"
    return ""


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("two values of one name")
    return found


def _checked(whole: Any) -> int:
    """How many characters may come of one. Raises ValueError for a part that is not known."""
    if not isinstance(whole, dict) or not isinstance(whole.get("model"), dict):
        raise ValueError("no model of tokens")
    _check_model(whole["model"])
    added = whole.get("added_tokens") or []
    contents = [one["content"] for one in added]
    _check_texts(contents)
    if len(contents) > MOST_ADDED or sum(map(len, contents)) > MOST_ADDED_CHARACTERS or "" in contents:
        raise ValueError("more added tokens than there may be")
    growth, seen = 1, []
    for key, known, inner in (
        ("normalizer", GROWTH, "normalizers"),
        ("pre_tokenizer", CUTTERS, "pretokenizers"),
    ):
        for part in _parts(whole.get(key), inner):
            kind = part.get("type")
            if kind not in known:
                raise ValueError(f"a {key} that is not known: {str(kind)[:40]}")
            _check_part(part)
            seen.append("ByteLevel" if kind == "ByteLevel" else f"{key} {kind}")
            growth *= known[kind]
    if any(seen.count(one) > 1 for one in seen if one.split()[-1] in ("ByteLevel", "Precompiled", "Prepend")):
        raise ValueError("a part twice that may be there once")
    for part in _parts(whole.get("post_processor"), "processors"):
        if part.get("type") not in FRAMES:
            raise ValueError(f"a post_processor that is not known: {str(part.get('type'))[:40]}")
        _check_frame(part)
    for part in _parts(whole.get("decoder"), "decoders"):
        if part.get("type") not in DECODERS:
            raise ValueError(f"a decoder that is not known: {str(part.get('type'))[:40]}")
        _check_part(part)
    return growth


def _parts(part: Any, inner: str) -> list[dict[str, Any]]:
    """A part and all that are in it."""

    def walk(one: Any, depth: int) -> Iterator[dict[str, Any]]:
        if not isinstance(one, dict) or depth > MOST_NESTED:
            raise ValueError("parts that are none, or nested beyond all use")
        yield one
        if one.get("type") == "Sequence":
            for below in one[inner]:
                yield from walk(below, depth + 1)

    found = [] if part is None else list(walk(part, 0))
    if len(found) > MOST_PARTS:
        raise ValueError("more parts than there may be")
    return found


def _check_part(part: Mapping[str, Any]) -> None:
    """Raises ValueError for an argument of a part that makes texts much longer or takes a time without end."""
    kind = part["type"]
    for name in ("prepend", "prefix", "suffix", "pad_token", "word_delimiter_token"):
        if len(part.get(name) or "") > LONGEST_MARK:
            raise ValueError(f"{kind} with a {name} of {len(part[name]):,} characters")
    if kind in ("Replace", "Split"):
        pattern = part["pattern"]
        if set(pattern) == {"Regex"}:
            shortest = 1
            if pattern["Regex"] not in KNOWN_PATTERNS:
                raise ValueError(
                    f"{kind} with the pattern {str(pattern['Regex'])[:40]!r}, which is not known"
                )
        else:
            shortest = len(pattern["String"])
        if shortest < 1 or len(part.get("content", "")) > shortest:
            raise ValueError("Replace, which makes texts longer")
    if kind == "Precompiled" and (fault := charsmap_fault(part["precompiled_charsmap"], GROWTH[kind])):
        raise ValueError(fault)


def _check_frame(part: Mapping[str, Any]) -> None:
    """Raises ValueError for more around a text than a few tokens, or for a text that is given twice."""
    if part["type"] != "TemplateProcessing":
        return
    single, special = part["single"], part["special_tokens"]
    texts = sum("Sequence" in one for one in single)
    if texts != 1 or len(single) > MOST_IDS or any(len(one["ids"]) > MOST_IDS for one in special.values()):
        raise ValueError("a template that gives a text twice, or too much around it")


def _frame_ids(post_processor: Any) -> list[int]:
    """All numbers that post-processors put around a text."""
    ids: list[int] = []
    for part in _parts(post_processor, "processors"):
        for pair in (part.get("sep"), part.get("cls")):
            ids += pair[1:] if pair else []
        for one in part.get("special_tokens", {}).values():
            ids += one["ids"]
    return ids


def _check_model(model: Mapping[str, Any]) -> None:
    """Raises ValueError for a model of tokens that cannot be. Old files do not say its type."""
    if model.get("type", MODELS[0]) not in MODELS:
        raise ValueError(f"a model that is not known: {str(model['type'])[:40]}")
    if model.get("dropout"):
        raise ValueError("tokens that are drawn at random")
    if len(model.get("continuing_subword_prefix") or "") > LONGEST_MARK:
        raise ValueError("a prefix of subwords beyond all use")
    if len(model.get("end_of_word_suffix") or "") > LONGEST_MARK:
        raise ValueError("a suffix of subwords beyond all use")
    if model.get("max_input_chars_per_word", 100) > LONGEST_SUBWORD:
        raise ValueError("words beyond all use")
    vocabulary, unknown = model["vocab"], model.get("unk_token")
    if isinstance(vocabulary, list):
        pieces = [piece for piece, _ in vocabulary]
        if sum(map(len, pieces)) > MOST_PIECE_CHARACTERS:
            raise ValueError("pieces that hold too many characters")
        if type(model.get("unk_id")) is not int:
            raise ValueError("no piece for what is unknown")
    else:
        pieces = list(vocabulary)
        if unknown is not None and unknown not in vocabulary:
            raise ValueError("no subword for what is unknown")
    _check_texts(pieces)


def _check_texts(texts: list[str]) -> None:
    if max(map(len, texts), default=0) > LONGEST_SUBWORD:
        raise ValueError(f"a subword of more than {LONGEST_SUBWORD:,} characters")
