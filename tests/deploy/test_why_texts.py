"""Why a text was answered so: how much is encoded for it is bounded, however long the text."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
import torch

from flambeau.deploy.bundle import Bundle
from flambeau.deploy.predict import predict_rows
from flambeau.deploy.why import text as why_text
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, Schema
from flambeau.transforms.table import TablePreparation, TargetScaler
from flambeau.transforms.text import TextPreparation


def two_texts(length: int) -> Bundle:
    """A bag of n-grams of two columns, with random weights."""
    torch.manual_seed(0)
    preparation = TextPreparation(("title", "body"), "ngrams", length, buckets=64, ngrams=(2, 4))
    columns = tuple(Column(name, "text") for name in preparation.columns)
    spec = ModelSpec("text_bag", {"cardinality": 65, "width": 4, "outputs": 2})
    schema = Schema("table", "classification", "kind", ("a", "b"), columns)
    module = build_model(spec).eval()
    return Bundle(schema, spec, TablePreparation((), (), preparation), module, TargetScaler(0.0, 1.0))


@pytest.mark.parametrize("words", [3, 40_000])
def test_no_more_is_encoded_than_a_bound_and_than_is_read(
    words: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    bundle = two_texts(length=32)
    read = why_text.LETTERS_A_TOKEN * 32
    monkeypatch.setattr(why_text, "MOST_LETTERS", 40_000)
    encoded: list[int] = []
    encode = TextPreparation.encode

    def counted(self: TextPreparation, texts: Sequence[str]) -> np.ndarray:
        encoded.append(sum(map(len, texts)))
        return encode(self, texts)

    monkeypatch.setattr(TextPreparation, "encode", counted)
    long = " ".join(f"word{place}" for place in range(words))
    row = {name: np.array([long], dtype=object) for name in ("title", "body")}
    found = why_text.explain_texts(bundle, row)
    # the two texts as they are and each without the other stand beside the pieces
    assert sum(encoded) <= 40_000 + 4 * 2 * read
    for name in ("title", "body"):
        pieces = [piece["text"] for piece in found["words"][name]]
        assert "".join(pieces) == long[:read]
        assert len(pieces) == words if words == 3 else 2 < len(pieces) <= 40
    whole = next(iter(predict_rows(bundle, [dict.fromkeys(row, long)])))
    assert found["answer"] == pytest.approx(whole["probabilities"][found["label"]], abs=1e-6)
    assert {effect["column"] for effect in found["effects"]} == {"title", "body"}
