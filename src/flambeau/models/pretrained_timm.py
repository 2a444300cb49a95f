"""Backbones of timm with a new head, and their licences; imported only where used, for it costs seconds."""

from __future__ import annotations

import difflib
from typing import Any

import timm
from torch import Tensor, nn

from flambeau.models.backbone import replace_head


def timm_backbone(
    arch: str,
    outputs: int,
    *,
    channels: int = 3,
    size: tuple[int, int] | None = None,
    dropout: float | None = None,
) -> nn.Module:
    """A model of timm for other outputs and other channels; `load_body` gives it weights.

    Args:
        arch: its name in timm, such as "resnet50.a1_in1k".
        outputs: logits or numbers a picture.
        channels: of the pictures.
        size: of the pictures, for the models that must know it; the model's own where None.
        dropout: share dropped before the head; the model's own where None.

    Raises:
        ValueError: for an unknown name, with the nearest ones.
    """
    check_timm_name(arch)
    options: dict[str, Any] = {"in_chans": channels}
    if dropout is not None:
        options["drop_rate"] = dropout
    if size is not None and has_fixed_size(arch):
        options["img_size"] = tuple(size)
    model: nn.Module = timm.create_model(arch, pretrained=False, **options)
    replace_head(model, outputs)
    return model


def check_timm_name(arch: str) -> None:
    """Raise ValueError, with the nearest names, unless timm has a model of that name."""
    if not timm.is_model(arch):
        near = difflib.get_close_matches(arch, timm.list_models(), n=3)
        raise ValueError(f"timm has no model '{arch}'" + (f"; near are {', '.join(near)}" if near else ""))


def has_fixed_size(arch: str) -> bool:
    """Whether timm's model of that name takes pictures of one size only, which it must be told."""
    configuration = timm.get_pretrained_cfg(arch)
    return configuration is not None and bool(configuration.fixed_input_size)


def download_timm_weights(arch: str) -> dict[str, Tensor]:
    """timm's weights for a model, from its cache on disk or the internet.

    Without a network timm tries for most of a minute: look first whether there is one.

    Raises:
        ValueError: for an unknown name.
        OSError: if they are not on disk and cannot be fetched.
    """
    check_timm_name(arch)
    state: dict[str, Tensor] = timm.create_model(arch, pretrained=True).state_dict()
    return state


def timm_licence(arch: str) -> str:
    """The licence of timm's weights as timm states it; "not stated" where it does not."""
    configuration = timm.get_pretrained_cfg(arch)
    return (configuration.license if configuration is not None else None) or "not stated"
