"""Backbones of torchvision with a new head: found from a state dict's keys and shapes, loaded, adapted.

Importing torchvision costs seconds, so this file is imported only where a backbone is used.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torchvision.models
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from flambeau.models.backbone import (
    find_first_convolution,
    find_head,
    fits_body,
    match_first_convolution,
    replace_head,
    set_dropout,
)

# A key that every state dict of the family has: names are compared before anything is built.
FAMILY_KEYS = {
    "alexnet": "features.3.weight",
    "convnext": "features.1.0.block.0.weight",
    "densenet": "features.denseblock1.denselayer1.conv1.weight",
    "efficientnet": "features.1.0.block.0.0.weight",
    "googlenet": "inception3a.branch1.conv.weight",
    "inception": "Mixed_5b.branch1x1.conv.weight",
    "maxvit": "blocks.0.layers.0.layers.MBconv.layers.conv_a.0.weight",
    "mnasnet": "layers.8.0.layers.0.weight",
    "mobilenet_v2": "features.1.conv.0.0.weight",
    "mobilenet_v3": "features.1.block.0.0.weight",
    "regnet": "trunk_output.block1.block1-0.proj.0.weight",
    "resnet": "layer1.0.conv1.weight",
    "resnext": "layer1.0.conv1.weight",
    "shufflenet": "stage2.0.branch2.0.weight",
    "squeezenet": "features.3.squeeze.weight",
    "swin": "features.1.0.attn.qkv.weight",
    "vgg": "features.0.weight",
    "vit": "encoder.layers.encoder_layer_0.self_attention.in_proj_weight",
    "wide_resnet": "layer1.0.conv1.weight",
}

# These two return several outputs in training unless told otherwise.
WITHOUT_AUXILIARY: dict[str, dict[str, Any]] = {
    "googlenet": {"aux_logits": False, "init_weights": False},
    "inception_v3": {"aux_logits": False, "init_weights": False},
}


class EmptyOnMeta(TorchFunctionMode):
    """Weights are made without memory, so that models are built for their shapes alone.

    `torch.device("meta")` would do, but for models that compute with small tensors while they are built.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Call through, with torch.empty on the meta device."""
        kwargs = kwargs or {}
        if func is torch.empty:
            kwargs = {**kwargs, "device": "meta"}
        return func(*args, **kwargs)


def known_architectures() -> list[str]:
    """Names of torchvision's models for classification."""
    return torchvision.models.list_models(module=torchvision.models)


def build_architecture(arch: str) -> nn.Module:
    """A model of torchvision with fresh weights and its 1,000 outputs.

    Raises:
        ValueError: for an unknown name, with the nearest one.
    """
    known = known_architectures()
    if arch not in known:
        near = difflib.get_close_matches(arch, known, n=3)
        raise ValueError(
            f"torchvision has no model '{arch}'" + (f"; near are {', '.join(near)}" if near else "")
        )
    return torchvision.models.get_model(arch, weights=None, **WITHOUT_AUXILIARY.get(arch, {}))


def find_architecture(weights: Mapping[str, Tensor]) -> str:
    """The model of torchvision whose body the weights fit, key by key and shape by shape.

    The head may have another number of classes, and the first convolution another number of channels.

    Raises:
        ValueError: if none fits; it names the nearest.
    """
    found: list[tuple[int, str]] = []
    nearest: tuple[float, str, int, int] = (0.0, "", 0, 0)
    for arch in known_architectures():
        family = max((name for name in FAMILY_KEYS if arch.startswith(name)), key=len, default="")
        if family and FAMILY_KEYS[family] not in weights:
            continue
        with EmptyOnMeta():
            model = build_architecture(arch)
        shapes = {key: value.shape for key, value in model.state_dict().items()}
        head = find_head(model)
        wanted = sum(not key.startswith(head + ".") for key in shapes)
        count = fits_body(shapes, weights, head, find_first_convolution(model))
        if count == wanted:
            found.append((sum(key not in shapes for key in weights), arch))
        nearest = max(nearest, (count / wanted, arch, count, wanted))
    if found:
        return min(found)[1]
    first_keys = ", ".join(list(weights)[:3])
    hint = f"; nearest is {nearest[1]} with {nearest[2]} of {nearest[3]} tensors" if nearest[1] else ""
    raise ValueError(f"no model of torchvision fits these weights (first keys: {first_keys}){hint}")


def pretrained_backbone(
    arch: str, outputs: int, *, channels: int = 3, dropout: float | None = None
) -> nn.Module:
    """A model of torchvision for other outputs and other channels; `load_body` gives it weights.

    Args:
        arch: its name, such as "mobilenet_v2".
        outputs: logits or numbers a picture.
        channels: of the pictures.
        dropout: share dropped before the head; the model's own where None.

    Raises:
        ValueError: for an unknown name, with the nearest one.
    """
    model = build_architecture(arch)
    match_first_convolution(model, channels)
    replace_head(model, outputs)
    if dropout is not None:
        set_dropout(model, dropout)
    return model


def download_weights(arch: str) -> dict[str, Tensor]:
    """torchvision's best weights for a model, from its cache on disk or the internet.

    Raises:
        ValueError: for an unknown name.
        OSError: if they are not on disk and cannot be fetched.
    """
    if arch not in known_architectures():
        build_architecture(arch)
    weights = torchvision.models.get_model_weights(arch).DEFAULT
    state: dict[str, Tensor] = weights.get_state_dict(progress=False, check_hash=True)
    return state
