"""Texts of the model, its first weights, its preparation and the parts of its training, from a run's facts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from torch import nn

from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.mixed_texts import pictures_beside
from flambeau.deploy.eject.text import Code, call
from flambeau.deploy.eject.text_models import (
    ENCODERS,
    directory_code,
    fit_text_code,
    fusion_text,
    text_model,
    text_of,
    texts_alone,
)
from flambeau.errors import RunError
from flambeau.models.backbone import find_head
from flambeau.models.spec import ModelSpec
from flambeau.models.state_dicts import read_state_dict
from flambeau.transforms.image import PicturePreparation


def _sized(name: str) -> Callable[[dict[str, Any]], Code]:
    return lambda arguments: call(name, **{**arguments, "size": tuple(arguments["size"])})


def _tabm(arguments: dict[str, Any]) -> Code:
    return call("TabM", **{**arguments, **_TABLE_SIZES})


def _mlp(arguments: dict[str, Any]) -> Code:
    own = {key: value for key, value in arguments.items() if key not in _TABLE_SIZES}
    inputs = sum(cardinality - 1 for cardinality in arguments["cardinalities"])
    module = call("MLP", arguments["number_features"] + inputs, **own)
    return call("JoinedInputs", module, Code("preparation.cardinalities"))


def _own(arguments: dict[str, Any]) -> Code:
    module = call("OwnModel", **arguments["arguments"])
    joined = arguments.get("cardinalities") is not None
    return call("JoinedInputs", module, Code("preparation.cardinalities")) if joined else module


_TABLE_SIZES = {
    "number_features": Code("len(preparation.numbers)"),
    "cardinalities": Code("preparation.cardinalities"),
}

# One text a row of `models.build.MODELS`; an ensemble is made of its members' trainings.
MODEL_TEXTS: dict[str, Callable[[dict[str, Any]], Code]] = {
    "small_cnn": _sized("SmallCNN"),
    "small_resnet": _sized("SmallResNet"),
    "fast_cnn": _sized("FastCNN"),
    "cnn3d": _sized("CNN3D"),
    "resnet": _sized("ResNet"),
    "tabm": _tabm,
    "mlp": _mlp,
    "torchvision": lambda arguments: call("pretrained_backbone", **arguments),
    "timm": lambda arguments: call("timm_backbone", **arguments),
    "own": _own,
    "fusion": fusion_text,
    **{name: text_model(name) for name in ENCODERS},
    "transformers": directory_code,
}


def model_text(spec: ModelSpec) -> Code:
    """The construction of a model. Raises RunError for one that has no text."""
    if spec.name not in MODEL_TEXTS:
        raise RunError(f"the model '{spec.name}' cannot be written as plain code yet")
    arguments = dict(spec.arguments)
    whitened = arguments.pop("whiten", None)
    made = MODEL_TEXTS[spec.name](arguments)
    return made if whitened is None else call("WhitenFirst", whitened, made)


def weights_text(facts: RunFacts) -> Code | None:
    """An expression for the pretrained weights that the run started from; None where it started from none."""
    if facts.spec.name == "transformers":
        read = call("AutoModel.from_pretrained", Code("BODY"), use_safetensors=True)
        return call("weights_of_body", read)
    name = facts.recipe.model.pretrained
    if name is None:
        return None
    path = Path(name)
    if path.suffix == ".safetensors" and path.is_file() and _is_flat_safetensors(path):
        return call("load_file", call("Path", str(path)))
    if path.suffix in (".safetensors", ".pth", ".pt"):
        return call("read_state_dict", call("Path", str(path)))
    spec = facts.spec if facts.spec.name != "fusion" else ModelSpec.from_json(facts.spec.arguments["picture"])
    function = "download_timm_weights" if spec.name == "timm" else "download_weights"
    return call(function, spec.arguments["arch"])


def _is_flat_safetensors(path: Path) -> bool:
    from safetensors import safe_open

    with safe_open(str(path), framework="pt") as file:
        return set(file.keys()) == set(read_state_dict(path))


def head_is_trained_first(facts: RunFacts) -> bool:
    """Whether the new head was trained alone before the whole model."""
    if not facts.pretrained or not facts.recipe.training.head_epochs or facts.on_features:
        return False
    if facts.spec.name == "fusion":
        return False
    return isinstance(facts.module.get_submodule(find_head(facts.module)), nn.Linear)


def preparation_text(facts: RunFacts) -> Code:
    """A call that fits the preparation of a table again, or reads that of the run that was the start."""
    if texts_alone(facts) and not facts.started:
        return fit_text_code(facts)
    if facts.started:
        path = '(RUN / "start" / "preparation.json").read_text(encoding="utf-8")'
        inputs = f'json.loads({path})["inputs"]'
        if texts_alone(facts):
            return Code(f'TextPreparation.from_json({inputs}["text"])')
        return Code(f"TablePreparation.from_json({inputs})")
    return call(
        "fit_table",
        Code("{name: values[fitting_rows] for name, values in columns.items()}"),
        Code("KINDS"),
        reasons={"scaling": facts.reasons.get("table.scaling", "")},
        scaling=facts.recipe.table.scaling or "quantile",
        rare=facts.recipe.table.rare,
        **({"text": fit_text_code(facts)} if text_of(facts) is not None else {}),
    )


def augment_text(facts: RunFacts) -> Code:
    """`augment_pictures` with what the recipe switches on."""
    augment = facts.recipe.image.augment.model_dump(exclude={"mixup"}, exclude_none=True)
    used = {key: value for key, value in augment.items() if value}
    reasons = {key: facts.reasons.get(f"image.augment.{key}", "") for key in used}
    if not used:
        return Code("scale(pictures)")
    own = facts.bundle.preparation
    preparation = own if isinstance(own, PicturePreparation) else pictures_beside(facts)
    assert preparation is not None
    named = {"largest": preparation.largest, **used}
    return call("augment_pictures", Code("pictures"), Code("draws"), reasons=reasons, **named)
