"""The page at "/" as text: nothing of the data is markup, nothing comes from elsewhere, nothing is told too early."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from torch import nn

import flambeau.deploy.serve.page as page
from flambeau.deploy.bundle import Bundle
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, Schema
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TargetScaler, fit_table

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"{{7*7}}{% raw %}\u2028"
TEMPLATES = Path(page.__file__).parent / "templates"


@dataclass(frozen=True)
class Model:
    """What the page is told of a model."""

    name: str
    version: str
    bundle: Bundle


def table_model(name: str = "shop", column: str = "size", word: str = "red") -> Model:
    columns = {
        column: np.arange(40.0),
        "colour": np.array([word] * 30 + ["blue"] * 10, dtype=object),
        "sold": np.arange(40).astype("datetime64[D]").astype("datetime64[s]"),
        "paid": np.array([1.0, 0.0] * 20),
    }
    kinds = {column: "number", "colour": "category", "sold": "date", "paid": "boolean"}
    schema = Schema(
        "table",
        "classification",
        HOSTILE if column == HOSTILE else "bought",
        (word, "blue"),
        (
            Column(column, "number", low=0.0, high=float("inf")),
            Column("colour", "category", values=(word, "blue")),
            Column("sold", "date", date_format="%d/%m/%Y"),
            Column("paid", "boolean"),
            Column("secret", "identifier", used=False),
        ),
    )
    scores = {
        "metric": "balanced_accuracy",
        "test": {"balanced_accuracy": {"value": 0.9, "low": 0.8, "high": None}},
        "rows": {"test": 12},
    }
    bundle = Bundle(
        schema,
        ModelSpec("mlp"),
        fit_table(columns, kinds),
        nn.Identity(),
        TargetScaler(0.0, 1.0),
        scores=scores,
    )
    return Model(name, "1", bundle)


def picture_model() -> Model:
    schema = Schema("pictures", "classification", "folder", ("cat", "dog"), (Column("picture", "image"),))
    bundle = Bundle(
        schema,
        ModelSpec("none"),
        PicturePreparation((8, 8), 3, 8),
        nn.Identity(),
        TargetScaler(0.0, 1.0),
    )
    return Model("pets", "2", bundle)


def embedded(html: str) -> list[dict[str, object]]:
    found = re.search(r'<script type="application/json" id="models">(.*?)</script>', html, re.DOTALL)
    assert found is not None
    models: list[dict[str, object]] = json.loads(found[1])
    return models


def test_pictures_of_a_row_have_fields_too() -> None:
    model = table_model()
    schema = replace(model.bundle.schema, columns=(*model.bundle.schema.columns, Column("photo", "image")))
    told = page.page_model(Model("shop", "1", replace(model.bundle, schema=schema)))
    assert told["columns"][-1] | {"complete": True} == {
        "name": "photo", "kind": "image", "low": None, "high": None, "values": [], "complete": True,
        "typical": None, "date_format": "",
    }  # fmt: skip


def test_the_page_knows_the_models() -> None:
    shop, pets = embedded(page.render_page([table_model(), picture_model()]))
    assert shop["url"] == "models/shop/versions/1/predict" and shop["kind"] == "table"
    assert shop["score"] == {
        "metric": "balanced accuracy",
        "value": 0.9,
        "low": 0.8,
        "high": None,
        "rows": 12,
        "folds": "",
    }
    columns = {column["name"]: column for column in shop["columns"]}  # type: ignore[attr-defined]
    assert list(columns) == ["size", "colour", "sold", "paid"]
    assert columns["size"]["typical"] == 19.5 and columns["size"]["high"] is None
    assert columns["colour"]["typical"] == "red" and columns["colour"]["complete"] is True
    assert columns["sold"]["typical"] == "1970-01-20" and columns["sold"]["date_format"] == "%d/%m/%Y"
    assert columns["paid"]["typical"] is True
    assert pets["kind"] == "pictures" and pets["columns"] == [] and pets["score"] is None


def test_markup_in_names_and_labels_stays_text() -> None:
    html = page.render_page([table_model(HOSTILE, HOSTILE, HOSTILE)])
    assert html.count("<script") == 2 and html.count("</script>") == 2
    assert "<img" not in html and "{{7*7}}" in html
    (model,) = embedded(html)
    assert model["name"] == HOSTILE and model["classes"] == [HOSTILE, "blue"] and model["target"] == HOSTILE
    assert re.fullmatch(r"models/[\w%.~-]+/versions/1/predict", str(model["url"]))


def test_the_policy_allows_the_page_its_own_script_and_style_and_nothing_else() -> None:
    html = page.render_page([table_model()])
    policy = page.page_headers()["content-security-policy"]
    assert "unsafe" not in policy and policy.startswith("default-src 'none'")
    for pattern, name in ((r"<script>(.*?)</script>", "script"), (r"<style>(.*?)</style>", "style")):
        (source,) = re.findall(pattern, html, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy
    stated = re.search(r'http-equiv="Content-Security-Policy" content="([^"]*)"', html)
    assert stated is not None
    assert policy.startswith(stated[1].replace("&#39;", "'"))


def test_nothing_is_asked_of_another_place() -> None:
    html = page.render_page([table_model()])
    addresses = set(re.findall(r"https?://[^\s\"'<>)]+", html))
    assert addresses == {"http://www.w3.org/2000/svg"}  # the name of SVG, which nobody fetches
    assert re.findall(r'(?:src|href)="(?!data:|openapi\.json)([^"]*)"', html) == []
    assert re.findall(r' style="| on\w+="', html) == []


def test_the_script_never_makes_markup_of_text() -> None:
    for path in TEMPLATES.glob("*.js"):
        source = path.read_text(encoding="utf-8")
        assert not re.search(
            r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\b|new Function", source
        )
        assert "localStorage" not in source and "cookie" not in source
        assert source.count("\n") <= 300


def test_a_page_that_asks_for_a_key_tells_nothing_of_the_models() -> None:
    models = [table_model("hush", "salary", "secretary")]
    html = page.render_page(models, locked=True)
    assert embedded(html) == []
    assert not re.search("hush|salary|secretary|bought", html)
    assert page.page_models(models)[0]["name"] == "hush"


def test_a_page_without_models_is_an_error() -> None:
    with pytest.raises(ValueError, match="at least one model"):
        page.render_page([])
