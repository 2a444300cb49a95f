"""Bundles whose parts do not go together are refused before anything is computed: generators, chatbots, series."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_bundles import picture_bundle, table_bundle
from torch import nn

from flambeau.deploy.bundle import Bundle, Preparation, load_bundle, save_bundle
from flambeau.deploy.checks.checks import check_model
from flambeau.deploy.checks.series import series_faults, series_preparation_faults
from flambeau.deploy.checks.tasks import module_faults
from flambeau.deploy.checks.values import argument_faults
from flambeau.deploy.making.making import most_samples, sample_pixels
from flambeau.deploy.writing.chatting import ChatBot
from flambeau.deploy.writing.writing import continue_text, prompt_ids
from flambeau.errors import FlambeauError, ModelError, RunError, UsageError
from flambeau.evaluation.decide import choose_sure_classes
from flambeau.models.build import build_model
from flambeau.models.chat import ChatModel
from flambeau.models.pretrained_text import DirectoryEncoder, plain_settings
from flambeau.models.spec import ModelSpec, ensemble_spec
from flambeau.models.writing import choose_tokens
from flambeau.schema import Column, PictureFacts, Schema, SeriesFacts
from flambeau.transforms.corpus import CorpusPreparation
from flambeau.transforms.dialogue import ChatPreparation, chat_pieces
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.mixed import PictureColumn
from flambeau.transforms.series import ChannelScale, SeriesPreparation, Wave
from flambeau.transforms.table import TablePreparation, TargetScaler
from flambeau.transforms.text import TextPreparation

TOKENS = CorpusPreparation("characters", 16, ("a", "b", "c"))
WRITER = {"vocabulary": TOKENS.cardinality + 2, "context": 16, "width": 8, "depth": 1, "heads": 2}
LANGUAGE = ModelSpec(
    "language_transformer", {"vocabulary": 4, "context": 16, "width": 8, "depth": 1, "heads": 2}
)
PIXELS = PicturePreparation(size=(8, 8), channels=1, bits=8, mean=(0.5,), std=(0.5,))
PICTURES = Schema(
    "pictures", "generate", "folder", (), (Column("picture", "image"),), PictureFacts(1, 8, 8, 8)
)


def keep(
    folder: Path,
    schema: Schema,
    spec: ModelSpec,
    preparation: Preparation,
    change: Callable[[Any], Any] = lambda module: None,
) -> Path:
    torch.manual_seed(0)
    module = build_model(spec).eval()
    with torch.no_grad():
        change(module)
    save_bundle(folder, Bundle(schema, spec, preparation, module, TargetScaler(0.0, 1.0)), "seed: 0\n")
    return folder


def chat(folder: Path, writer: Any = None, **changes: Any) -> Path:
    change = changes.pop("change", lambda module: None)
    known = ChatPreparation(chat_pieces(64), TOKENS, (("x",), ("y",)), ("t", "u"), 1.0, 0.0, 0.9, "dunno", 16)
    spec = ModelSpec("chat", {"buckets": 64, "width": 4, "answers": 2, "longest": 3, "writer": writer})
    return keep(folder, Schema("corpus", "chat", target=""), spec, replace(known, **changes), change)


def fill_texts(module: ChatModel) -> None:
    module.finder.texts.fill_(10**6)


def fill_rarity(module: ChatModel) -> None:
    module.finder.rarity.fill_(float("nan"))


def test_a_chatbot_talks_and_writes(tmp_path: Path) -> None:
    bot = ChatBot(load_bundle(chat(tmp_path, WRITER)))
    assert bot.reply("abc").text and isinstance(bot.write("abc"), str)


@pytest.mark.parametrize(
    ("writer", "changes", "told"),
    [
        ({**WRITER, "vocabulary": 2}, {}, "writes other tokens"),
        ({**WRITER, "context": 8}, {}, "looks back on other lengths"),
        ({**WRITER, "context": -3}, {}, "looks back on other lengths"),
        (None, {"change": fill_texts}, "pieces that there are none of"),
        (None, {"change": fill_rarity}, "no numbers"),
        (None, {"pieces": replace(chat_pieces(64), ngrams=(2000, 4))}, "n-grams"),
        ({**WRITER, "heads": -2}, {}, "no size"),
        ({**WRITER, "heads": 2.0}, {}, "no size"),
        ({**WRITER, "dropout": 1.0}, {}, "dropout"),
        (None, {"answers": (("",), ("y",))}, "an answer without a text"),
        (None, {"pieces": replace(chat_pieces(64), columns=("a", "b"))}, "several columns"),
        (None, {"tokens": replace(TOKENS, context=1)}, "a context beyond"),
    ],
)
def test_a_chatbot_that_would_fail_in_talk_is_refused(
    tmp_path: Path, writer: Any, changes: dict[str, Any], told: str
) -> None:
    with pytest.raises(FlambeauError, match=told):
        load_bundle(chat(tmp_path, writer, **changes))


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"heads": -2}, "no size"),
        ({"heads": 2.0}, "no size"),
        ({"heads": 0.5}, "no size"),
        ({"heads": True}, "no size"),
        ({"heads": 3}, "do not divide"),
        ({"width": 0}, "no size"),
        ({"context": 16.0}, "do not fit"),
        ({"vocabulary": True}, "do not fit"),
    ],
)
def test_a_size_is_a_whole_number(tmp_path: Path, change: dict[str, Any], told: str) -> None:
    spec = ModelSpec(LANGUAGE.name, {**LANGUAGE.arguments, **change})
    with pytest.raises(RunError, match=told):
        check_model(spec, Schema("corpus", "language", target=""), TOKENS, tmp_path)
    fused = ModelSpec("transformers", {"config": {"num_attention_heads": 2, "hidden_size": 3}})
    assert argument_faults(fused)["heads that do not divide the width"]


def test_a_prompt_of_which_nothing_is_left_is_a_line_end() -> None:
    class Deaf(CorpusPreparation):
        def encode(self, text: str) -> np.ndarray:
            return np.zeros(0, dtype=np.int32)

    assert prompt_ids(Deaf("bytes", 16), "abc").tolist() == [[0]]


def test_a_generator_makes_pictures_with_and_without_its_usual_noise(tmp_path: Path) -> None:
    for place, latent in enumerate(({}, {"latent": 3})):
        spec = ModelSpec("dcgan", {"channels": 1, "size": [8, 8], "width": 4, **latent})
        bundle = load_bundle(keep(tmp_path / str(place), PICTURES, spec, PIXELS))
        assert sample_pixels(bundle, 5, 0).shape == (5, 8, 8, 1)


def test_so_many_pictures_as_no_memory_holds_are_refused(tmp_path: Path) -> None:
    large = replace(PIXELS, size=(256, 256), channels=3, mean=(0.5,) * 3, std=(0.5,) * 3)
    assert most_samples(PIXELS) == 100_000 and most_samples(large) < 6_000
    spec = ModelSpec("dcgan", {"channels": 3, "size": [256, 256], "width": 1, "latent": 2})
    facts = replace(PICTURES, picture=PictureFacts(3, 8, 256, 256))
    with pytest.raises(UsageError, match="so many pictures"):
        sample_pixels(load_bundle(keep(tmp_path, facts, spec, large)), 100_000, 0)


@pytest.mark.parametrize("latent", [0, -1, 1.5, True, "9", 10**9])
def test_noise_of_no_size_is_refused(tmp_path: Path, latent: Any) -> None:
    spec = ModelSpec("dcgan", {"channels": 1, "size": [8, 8], "width": 4, "latent": 2})
    bundle = Bundle(PICTURES, spec, PIXELS, build_model(spec), TargetScaler(0.0, 1.0))
    bundle.spec = ModelSpec("dcgan", {**spec.arguments, "latent": latent})
    save_bundle(tmp_path, bundle, "seed: 0\n")
    with pytest.raises(RunError, match="noise of a size"):
        load_bundle(tmp_path)


def test_a_task_has_preparations_and_models_of_its_own(tmp_path: Path) -> None:
    cnn = ModelSpec("small_cnn", {"channels": 1, "size": [8, 8], "outputs": 1})
    of_corpus = Schema("corpus", "classification", "", ("a", "b"))
    table = table_bundle()
    rows = replace(table.schema, task="generate", classes=())
    planted = [
        ("a model that is none for generate", PICTURES, cnn, PIXELS),
        ("classification of a source", of_corpus, LANGUAGE, TOKENS),
        ("a model that is none for language", Schema("corpus", "language", target=""), cnn, TOKENS),
        ("generate of a source", rows, table.spec, table.preparation),
        ("another kind of data", PICTURES, cnn, table.preparation),
    ]
    for place, (told, schema, spec, preparation) in enumerate(planted):
        with pytest.raises(RunError, match=told):
            load_bundle(keep(tmp_path / str(place), schema, spec, preparation))
    picture = picture_bundle()
    dcgan = ModelSpec("dcgan", {"channels": 3, "size": [8, 8], "latent": 2, "width": 4})
    with pytest.raises(RunError, match="none for classification"):
        load_bundle(keep(tmp_path / "classes", picture.schema, dcgan, picture.preparation))


def fused_spec(**changes: Any) -> ModelSpec:
    inner = ModelSpec("small_cnn", {"channels": 3, "outputs": 8, "size": [8, 8], "width": 4, **changes})
    own = {"number_features": 0, "cardinalities": [], "bins": 2, "picture_columns": 1, "picture_width": 8}
    return ModelSpec("fusion", {"outputs": 1, **own, "picture": inner.to_json()})


def test_every_member_of_a_fused_bag_is_looked_at(tmp_path: Path) -> None:
    pictures = PicturePreparation((8, 8), 3, 8, mean=(0.5,) * 3, std=(0.5,) * 3)
    preparation = TablePreparation((), (), pictures=(PictureColumn("front", pictures),))
    columns = (Column("front", "image"),)
    schema = Schema("table", "regression", "price", (), columns, PictureFacts(3, 8, 8, 8))
    check_model(ensemble_spec([fused_spec(), fused_spec(dropout=0.5)]), schema, preparation, tmp_path)
    for wrong in ({"size": [9, 9]}, {"dropout": 1.5}):
        with pytest.raises(RunError):
            check_model(ensemble_spec([fused_spec(), fused_spec(**wrong)]), schema, preparation, tmp_path)


def test_only_encoders_of_texts_are_built_and_nothing_beside_them() -> None:
    for kind in ("detr", "vision-encoder-decoder", "gpt2", ""):
        with pytest.raises(ModelError, match="no encoder of texts"):
            DirectoryEncoder({"model_type": kind, "use_pretrained_backbone": True})
    kept = plain_settings({"backbone": "x", "use_timm_backbone": True, "quantization_config": {}, "width": 3})
    assert kept == {"width": 3}


def test_a_directory_must_know_all_subwords_of_its_tokenizer() -> None:
    encoder = DirectoryEncoder.__new__(DirectoryEncoder)
    nn.Module.__init__(encoder)
    text = TextPreparation(("a",), "bytes", 16)
    preparation = TablePreparation((), (), text)
    fault = "more subwords than the model has vectors"
    for known, wrong in ((text.cardinality - 1, False), (text.cardinality - 2, True)):
        encoder.known = known
        assert module_faults(nn.Sequential(encoder), preparation)[fault] is wrong


def test_an_answer_that_is_given_up_has_no_class() -> None:
    chances = np.array([[0.9, 0.1], [0.4, 0.6], [0.55, 0.45]])
    assert choose_sure_classes(chances, None, 0.58).tolist() == [0, 1, -1]
    assert choose_sure_classes(chances, 0.05, 0.58).tolist() == [1, 1, -1]
    assert choose_sure_classes(chances, None, 0.0).tolist() == [0, 1, 0]


def test_windows_that_no_memory_holds_are_refused() -> None:
    scale = (ChannelScale("a", False, 0.0, 1.0),)
    facts = SeriesFacts(
        ("a",), time=("time",), unit="second", step=3600, frequency="hour", horizon=10**6, lookback=1
    )
    schema = Schema("series", "forecast", "a", columns=(Column("a", "number"),), series=facts)
    waves = (Wave(100, 64),) * 64
    preparation = SeriesPreparation(scale, 1, 0, waves, facts.lookback, facts.horizon)
    assert series_preparation_faults(preparation, schema)["a window of more numbers than there may be"]
    usual = replace(preparation, waves=(Wave(86_400, 4),), horizon=96)
    assert not series_preparation_faults(usual, schema)["a window of more numbers than there may be"]
    far = replace(schema, series=replace(facts, step=2**60))
    assert series_faults(far)["a horizon that no calendar has"]
    assert not series_faults(schema)["a horizon that no calendar has"]


@pytest.mark.parametrize("temperature", [-1.0, float("nan"), float("inf")])
def test_temperatures_that_cannot_be_are_refused(tmp_path: Path, temperature: float) -> None:
    bundle = load_bundle(keep(tmp_path, Schema("corpus", "language", target=""), LANGUAGE, TOKENS))
    with pytest.raises(UsageError, match="temperature"):
        continue_text(bundle, "ab", length=3, temperature=temperature)
    with pytest.raises(UsageError, match="top_k"):
        continue_text(bundle, "ab", length=3, top_k=-1)
    with pytest.raises(ModelError, match="writes no texts"):
        continue_text(table_bundle(), "ab", length=3)


def test_the_smallest_temperature_takes_the_likeliest() -> None:
    logits = torch.tensor([[0.0, 3.0, 1.0]])
    generator = torch.Generator().manual_seed(0)
    for temperature in (0.0, 1e-40, 1e-7, 1e-4):
        assert choose_tokens(logits, temperature, 0, generator).item() == 1
    with pytest.raises(ValueError, match="temperature"):
        choose_tokens(logits, float("nan"), 0, generator)


def test_a_forecast_beyond_all_numbers_is_the_largest() -> None:
    preparation = SeriesPreparation((ChannelScale("a", True, 5.0, 0.1),), 1, 0, (), 3, 4)
    restored = preparation.restore(np.full((1, 4), 1e5))
    assert np.isfinite(restored).all()
    assert preparation.restore(np.full((1, 4), 1.0))[0, 0, 0, 0] == pytest.approx(np.exp(5.1))
