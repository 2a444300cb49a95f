"""What a request may hold whose rows have pictures, or that asks for forecasts: limits, refusals, batches."""

from __future__ import annotations

import asyncio
import base64
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import served
import torch
from PIL import Image
from served import picture

from flambeau.deploy.bundle import Bundle, load_bundle
from flambeau.deploy.mixed import row_inputs
from flambeau.deploy.predict import predict_rows
from flambeau.deploy.serve import inputs
from flambeau.deploy.serve import series as serving
from flambeau.deploy.serve.limits import Limits, RefusalError
from flambeau.deploy.serve.metrics import Metrics
from flambeau.deploy.serve.models import Loaded
from flambeau.deploy.serve.sent_pictures import unpack_pictures
from flambeau.deploy.why.mixed import explain_mixed
from flambeau.errors import DataError
from flambeau.models.build import build_model
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, PictureFacts, Schema, SeriesFacts
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.mixed import PictureColumn
from flambeau.transforms.series import ChannelScale, SeriesPreparation
from flambeau.transforms.table import TablePreparation, TargetScaler


def mixed_bundle() -> Bundle:
    """A fused model of one column of pictures, with random weights."""
    torch.manual_seed(0)
    schema = Schema(
        "table", "regression", "price", (), (Column("front", "image"),), PictureFacts(3, 8, 16, 16)
    )
    pictures = PicturePreparation((16, 16), 3, 8, mean=(0.5,) * 3, std=(0.25,) * 3)
    preparation = TablePreparation((), (), pictures=(PictureColumn("front", pictures),))
    inner = {"channels": 3, "outputs": 8, "size": [16, 16], "width": 4}
    spec = ModelSpec(
        "fusion",
        {
            "outputs": 1,
            "number_features": 0,
            "cardinalities": [],
            "bins": 2,
            "picture": ModelSpec("small_cnn", inner).to_json(),
            "picture_columns": 1,
            "picture_width": 8,
        },
    )
    return Bundle(schema, spec, preparation, build_model(spec).eval(), TargetScaler(0.0, 1.0))


def sent(body: bytes) -> dict[str, Any]:
    return {"front": base64.b64encode(body).decode()}


def bomb(side: int) -> bytes:
    stream = io.BytesIO()
    Image.new("1", (side, side)).save(stream, "TIFF", compression="group4")
    return stream.getvalue()


def test_pictures_of_one_request_are_bounded_together() -> None:
    many = [sent(picture()) for _ in range(5)]
    with pytest.raises(RefusalError, match="too many pictures"):
        unpack_pictures(many, ["front"], 10**6, 4)
    large = [sent(bomb(900)) for _ in range(6)]
    with pytest.raises(RefusalError, match="too large together"):
        unpack_pictures(large, ["front"], 10**6, 64)
    few = [sent(bomb(900)), {"front": None}, sent(picture())]
    unpack_pictures(few, ["front"], 10**6, 64)
    assert [type(row["front"]) for row in few] == [bytes, type(None), bytes]


def test_a_row_is_decoded_before_the_model_and_answers_the_same() -> None:
    bundle = mixed_bundle()
    model = Loaded("m", "1", bundle, 10**6)
    rows = [{"front": picture(40, 30)}, {"front": None}]
    decoded = [model.decode_row(row, number) for number, row in enumerate(rows, start=1)]
    assert decoded[0]["front"].shape == (16, 16, 3) and decoded[1]["front"] is None
    answers = [answer["value"] for answer in model.answer(decoded)]
    assert answers == [answer["value"] for answer in predict_rows(bundle, rows)]


def test_half_a_picture_is_refused_or_told_and_never_just_left_out() -> None:
    bundle = mixed_bundle()
    half = picture(64, 64)[:2000]
    with pytest.raises(RefusalError) as refused:
        Loaded("m", "1", bundle, 10**6).decode_row({"front": half}, 7)
    assert refused.value.status == 422 and "row 7, 'front'" in refused.value.words["where"]
    told = predict_rows(bundle, [{"front": half}, {"front": picture()}])
    assert told[0]["strange"] == ["'front' is no picture that can be read; the row has none"]
    assert "strange" not in told[1]
    column = np.empty(1, dtype=object)
    column[0] = half
    assert isinstance(bundle.preparation, TablePreparation)
    with pytest.raises(DataError, match="cannot be read"):
        row_inputs(bundle.preparation, {"front": column}, torch.device("cpu"))
    with pytest.raises(DataError, match="cannot be read"):
        explain_mixed(bundle, {"front": column})


def test_a_picture_beyond_the_pixels_of_the_recipe_is_told() -> None:
    (told,) = predict_rows(mixed_bundle(), [{"front": picture(64, 64)}], max_pixels=100)
    assert told["strange"]


def series_bundle(outputs: int = 3) -> Bundle:
    facts = SeriesFacts(("a",), series="shop", names=("x", "y"), horizon=outputs, lookback=2)
    schema = Schema("series", "forecast", "a", columns=(Column("a", "number"),), series=facts)
    preparation = SeriesPreparation((ChannelScale("a", False, 0.0, 1.0),), 1, 0, (), 2, outputs)
    arguments = {"channels": 1, "targets": 1, "lookback": 2, "horizon": outputs, "quantiles": 0}
    spec = ModelSpec("linear", {**arguments, "future": 0, "calendar": 0, "centre": True})
    return Bundle(schema, spec, preparation, build_model(spec).eval(), TargetScaler(0.0, 1.0))


def test_each_series_of_a_request_is_an_input_of_a_batch() -> None:
    bundle = series_bundle()
    rows = [{"shop": shop, "a": value} for shop in "xyz" for value in (1.0, 2.0)]
    facts = bundle.schema.series
    assert facts is not None and serving.count_series(facts, rows) == 3
    model = Loaded("m", "1", bundle, 10**6)
    inputs = model.decode_series(rows, 3).single()
    assert [len(one) for one in inputs] == [1, 1, 1]
    joined = serving.joined_answers(facts, model.answer(inputs))
    assert [one["input"] for one in joined["forecasts"]] == ["x", "y", "z"]
    with pytest.raises(RefusalError, match="too many series"):
        model.decode_series(rows, 2)
    assert json.dumps(joined)


def test_a_batch_holds_fewer_windows_where_they_are_large() -> None:
    assert Loaded("m", "1", series_bundle(), 10**6).most > 10_000
    wide = SeriesPreparation((ChannelScale("a", False, 0.0, 1.0),), 1, 0, (), 2, 4_000_000)
    assert serving.MOST_WINDOW_NUMBERS // serving.window_numbers(wide) == 2


def test_answers_that_are_given_up_are_counted_as_unknown(tmp_path: Path) -> None:
    bundle = load_bundle(served.picture_bundle(tmp_path))
    bundle.threshold, bundle.unknown = 0.58, "none of these"
    metrics = Metrics(lambda: 0.0)
    chances = np.array([[0.9, 0.05, 0.05], [0.4, 0.3, 0.3]])
    metrics.predicted(Loaded("m", "1", bundle, 10**6), chances, [[], []])
    lines = [line for line in metrics.text().decode().splitlines() if "predictions_total{" in line]
    assert len(lines) == 2 and all(line.endswith(" 1.0") for line in lines)
    assert any("none of these" in line for line in lines)


def test_many_values_are_refused_before_they_are_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    model = Loaded("m", "1", mixed_bundle(), 10**6)
    monkeypatch.setattr(inputs, "_parse", lambda body: pytest.fail("this was parsed"))
    body = b'{"rows": [{"front": null, "x": [' + b"1," * inputs.MOST_VALUES + b"1]}]}"
    with pytest.raises(RefusalError, match="JSON is too large"):
        asyncio.run(inputs.read_inputs(model, "application/json", body, Limits()))
