"""Texts in exported files: tokens inside the graph are those of training, and every net agrees from the raw text."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from test_formats import check_agreement
from text_bundles import LETTERS, mixed_bundle, text_bundle

from flambeau.deploy.export.describe import describe_artefact
from flambeau.deploy.export.example import about_example, example_text
from flambeau.deploy.export.export import WRITERS
from flambeau.deploy.export.formats import SUFFIXES
from flambeau.deploy.export.graph import build_graph
from flambeau.deploy.export.inputs import raw_inputs
from flambeau.deploy.export.prepare_text import text_module
from flambeau.deploy.export.pt2_file import example_inputs
from flambeau.deploy.export.texts import text_as_raw
from flambeau.deploy.export.vocabulary import vocabulary_file, write_vocabulary
from flambeau.deploy.predict import predict_rows
from flambeau.records import RunFolder
from flambeau.transforms.text import TextPreparation


def odd_texts(seed: int = 0) -> list[str]:
    """Texts that are hard on whoever cuts them: marks, zeros inside, long words, nothing."""
    drawn = random.Random(seed)
    known = ["", " ", "a", "...", "Don't!", "x" * 300, "a\x00b", "naïve café 😀😀", "\n\n", "A-1 b2"]
    return known + ["".join(drawn.choice(LETTERS) for _ in range(drawn.randint(0, 200))) for _ in range(30)]


@pytest.mark.parametrize("length", [3, 64])
@pytest.mark.parametrize(
    ("tokens", "ngrams"),
    [
        *(("ngrams", ngrams) for ngrams in ((1, 0), (2, 0), (2, 5), (3, 3), (8, 16))),
        ("bytes", (1, 0)),
        ("characters", (1, 0)),
    ],
)
def test_tokens_of_the_graph_are_those_of_training(tokens: str, ngrams: tuple[int, int], length: int) -> None:
    vocabulary = tuple("eta é😀") if tokens == "characters" else ()
    text = TextPreparation(("t",), tokens, length, vocabulary, buckets=1003, ngrams=ngrams)
    texts = odd_texts()
    expected = text.encode(texts)
    found = text_module(text)(torch.from_numpy(text_as_raw(text, texts))).numpy()
    assert found.shape == (len(texts), length) and found.dtype == np.int32
    assert (found[:, : expected.shape[1]] == expected).all() and not found[:, expected.shape[1] :].any()


@pytest.mark.parametrize(
    ("model", "tokens", "to"), [("text_cnn", "characters", "pt2"), ("gru", "bytes", "torchscript")]
)
def test_files_agree_with_the_trained_model(model: str, tokens: str, to: str, tmp_path: Path) -> None:
    check_agreement(text_bundle(model, tokens), to, tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "tokens", "to"),
    [("text_bag", "ngrams", "onnx"), ("lstm", "words", "onnx"), ("transformer", "bytes", "pt2")],
)
def test_more_files_agree(model: str, tokens: str, to: str, tmp_path: Path) -> None:
    check_agreement(text_bundle(model, tokens, "regression", columns=("title", "body")), to, tmp_path)


@pytest.mark.slow
def test_texts_beside_other_columns_agree(tmp_path: Path) -> None:
    check_agreement(mixed_bundle(), "onnx", tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize(("tokens", "to"), [("ngrams", "pt2"), ("words", "onnx"), ("subwords", "onnx")])
def test_the_example_answers_as_predict_does(tokens: str, to: str, tmp_path: Path) -> None:
    bundle = text_bundle("text_cnn", tokens, columns=("title", "body"))
    target = tmp_path / f"model{SUFFIXES[to]}"
    vocabulary = vocabulary_file(target, bundle)
    inputs = raw_inputs(bundle, vocabulary.name if vocabulary else "")
    about = describe_artefact(RunFolder(tmp_path), bundle, inputs, to, None)
    WRITERS[to](build_graph(bundle), inputs, example_inputs(inputs, 0), target, about)
    assert write_vocabulary(target, bundle) == ([vocabulary] if vocabulary else [])
    assert (vocabulary is not None) == (tokens != "ngrams")
    example = about_example(target, to)
    name = vocabulary.name if vocabulary else ""
    example.write_text(example_text(target, to, bundle.preparation, inputs, name), encoding="utf-8")
    row = {"title": " Eta  in!", "body": "the sun, é😀 " * 9}
    done = subprocess.run(
        [sys.executable, str(example), json.dumps(row)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (expected,) = predict_rows(bundle, [row])
    assert json.loads(done.stdout) == pytest.approx(expected["probabilities"], abs=2e-6)
    told = about["inputs"][0]
    assert told["columns"] == ["title", "body"] and told["tokens"] == tokens
    if vocabulary:
        assert "beside this file" in told["meaning"]
