"""The only table from a model's name to the model."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

from torch import nn

from flambeau.errors import ModelError, did_you_mean
from flambeau.models.joined import Ensemble, JoinedInputs
from flambeau.models.own import build_own
from flambeau.models.spec import FORECAST_MODELS, TEXT_MODELS, ModelSpec
from flambeau.models.whiten import WhitenFirst


def _picture_net(file: str, name: str) -> Callable[[dict[str, Any]], nn.Module]:
    """A class of ours for pictures of one size, imported when it is built."""

    def build(arguments: dict[str, Any]) -> nn.Module:
        made = getattr(import_module(f"flambeau.models.{file}"), name)
        module: nn.Module = made(**{**arguments, "size": tuple(arguments["size"])})
        return module

    return build


def _tabm(arguments: dict[str, Any]) -> nn.Module:
    from flambeau.models.tabm import TabM

    return TabM(**arguments)


def _mlp(arguments: dict[str, Any]) -> nn.Module:
    from flambeau.models.mlp import MLP

    cardinalities = arguments["cardinalities"]
    inputs = arguments["number_features"] + sum(cardinality - 1 for cardinality in cardinalities)
    own = {key: value for key, value in arguments.items() if key not in ("number_features", "cardinalities")}
    return JoinedInputs(MLP(inputs, **own), cardinalities)


def _backbone(arguments: dict[str, Any]) -> nn.Module:
    from flambeau.models.pretrained import pretrained_backbone

    return pretrained_backbone(**arguments)


def _timm(arguments: dict[str, Any]) -> nn.Module:
    from flambeau.models.pretrained_timm import timm_backbone

    return timm_backbone(**arguments)


def _class_of(file: str, name: str, arguments: dict[str, Any]) -> nn.Module:
    module: nn.Module = getattr(import_module(f"flambeau.models.{file}"), name)(**arguments)
    return module


def _text(name: str, arguments: dict[str, Any]) -> nn.Module:
    from flambeau.models.encoders import build_text_model

    return build_text_model(name, arguments)


def _forecast(name: str, arguments: dict[str, Any]) -> nn.Module:
    from flambeau.models.forecasters import build_forecaster

    return build_forecaster(name, arguments)


def _own(arguments: dict[str, Any]) -> nn.Module:
    module = build_own(
        Path(arguments["file"]),
        arguments["class"],
        digest=arguments["digest"],
        arguments=arguments["arguments"],
    )
    cardinalities = arguments.get("cardinalities")
    return module if cardinalities is None else JoinedInputs(module, cardinalities)


def _fusion(arguments: dict[str, Any]) -> nn.Module:
    from flambeau.models.fused import build_fusion

    return build_fusion(arguments, build_model)


def _ensemble(arguments: dict[str, Any]) -> nn.Module:
    return Ensemble(build_model(ModelSpec.from_json(member)) for member in arguments["members"])


def _dcgan(arguments: dict[str, Any]) -> nn.Module:
    from flambeau.models.gan import Generator

    return Generator(**{**arguments, "size": tuple(arguments["size"])})


MODELS: dict[str, Callable[[dict[str, Any]], nn.Module]] = {
    "small_cnn": _picture_net("cnn", "SmallCNN"),
    "small_resnet": _picture_net("cnn", "SmallResNet"),
    "fast_cnn": _picture_net("fast_cnn", "FastCNN"),
    "cnn3d": _picture_net("cnn3d", "CNN3D"),
    "resnet": _picture_net("resnet", "ResNet"),
    "tabm": _tabm,
    "mlp": _mlp,
    "torchvision": _backbone,
    "timm": _timm,
    "own": _own,
    "dcgan": _dcgan,
    "fusion": _fusion,
    "ensemble": _ensemble,
    "language_transformer": partial(_class_of, "language", "LanguageTransformer"),
    "language_lstm": partial(_class_of, "language", "LanguageLSTM"),
    "chat": partial(_class_of, "chat", "ChatModel"),
    **{name: partial(_forecast, name) for name in FORECAST_MODELS if name != "lstm"},
    "lstm_forecast": partial(_forecast, "lstm_forecast"),
    **{name: partial(_text, name) for name in (*TEXT_MODELS, "transformers")},
}


def build_model(spec: ModelSpec) -> nn.Module:
    """The module of a description, with fresh weights. Raises ModelError for an unknown name or wrong arguments."""
    if spec.name not in MODELS:
        raise ModelError(f"there is no model '{spec.name}'", hint=did_you_mean(spec.name, MODELS))
    arguments = dict(spec.arguments)
    whitened = arguments.pop("whiten", None)
    try:
        module = MODELS[spec.name](arguments)
        return module if whitened is None else WhitenFirst(whitened, module)
    except ModelError:
        raise
    except Exception as error:  # a person's own constructor may raise anything
        got = f"{type(error).__name__}: {error}"
        raise ModelError(
            f"the model '{spec.name}' cannot be built", where=spec.arguments.get("file"), got=got
        ) from error
