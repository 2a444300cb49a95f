"""Parts that every pretrained backbone has, whoever built it: a first convolution, a body and a head."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn

from flambeau.models.state_dicts import LoadReport, load_partly


def find_head(model: nn.Module) -> str:
    """Name of the layer that gives the outputs: the last linear layer or convolution.

    Raises:
        ValueError: for a model without either.
    """
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)]
    if not names:
        raise ValueError("expected a model with a linear layer or a convolution, got one with neither")
    return names[-1]


def replace_head(model: nn.Module, outputs: int) -> None:
    """Put a fresh layer with this many outputs in the head's place; its weights are drawn small."""
    name = find_head(model)
    head = model.get_submodule(name)
    fresh: nn.Module
    if isinstance(head, nn.Conv2d):
        fresh = nn.Conv2d(head.in_channels, outputs, head.kernel_size)  # type: ignore[arg-type]  # a pair
    else:
        assert isinstance(head, nn.Linear)
        fresh = nn.Linear(head.in_features, outputs)
    with torch.no_grad():
        for name_of_part, part in fresh.named_parameters():
            # With small weights the first gradients into the body say little wrong with little force.
            part.normal_(std=0.01) if name_of_part == "weight" else part.zero_()
    set_layer(model, name, fresh)


def remove_head(model: nn.Module) -> nn.Module:
    """A copy whose outputs are the features (batch, features) that the head of the model sees."""
    body = copy.deepcopy(model)
    set_layer(body, find_head(body), nn.Identity())
    return body


def copy_head(model: nn.Module, *inputs: Tensor) -> nn.Module:
    """A copy of the linear head that can learn alone on features, behind the dropout that stands just before it.

    Args:
        model: its mode stays.
        inputs: a few samples, which show what the head is called with.

    Returns:
        The linear layer, or `nn.Sequential` of a dropout and this layer; its last layer is the head either way.
    """
    alone = copy.deepcopy(model.get_submodule(find_head(model)))
    name = find_head_dropout(model, *inputs)
    if not name:
        return alone
    # never in place: LBFGS sees the same features again and again
    share = float(model.get_submodule(name).p)  # type: ignore[arg-type]
    return nn.Sequential(nn.Dropout(share), alone)


@torch.no_grad()
def find_head_dropout(model: nn.Module, *inputs: Tensor) -> str:
    """Name of the dropout whose answer the head is called with, or "" where there is none; `inputs` as above."""
    passed: list[tuple[str, Tensor]] = []
    before: list[str] = []
    handles = []
    for name, module in model.named_modules():
        if isinstance(module, nn.Dropout) and module.p > 0:

            def note(module: nn.Module, inputs: object, output: Tensor, name: str = name) -> None:
                passed.append((name, output))

            handles.append(module.register_forward_hook(note))

    def compare(module: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        before.extend(name for name, output in passed if output is inputs[0])

    handles.append(model.get_submodule(find_head(model)).register_forward_pre_hook(compare))
    was_training = model.training
    model.eval()
    model(*inputs)
    model.train(was_training)
    for handle in handles:
        handle.remove()
    return before[-1] if before else ""


def set_layer(model: nn.Module, name: str, layer: nn.Module) -> None:
    """Replace the submodule of that dotted name."""
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, layer)


def body_parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """Names and parameters of everything but the head."""
    head = find_head(model) + "."
    return ((name, parameter) for name, parameter in model.named_parameters() if not name.startswith(head))


def find_first_convolution(model: nn.Module) -> str:
    """Name of the convolution that sees the pictures. Raises ValueError for a model without one."""
    for name, module in model.named_modules():
        if isinstance(module, nn.Conv2d):
            return name
    raise ValueError("expected a model with a convolution over pictures, got one without")


def match_filters(filters: Tensor, channels: int) -> Tensor:
    """First filters for pictures of another number of channels.

    One channel gets the sum over the channels, which is exact where a grey picture was shown as colour.
    Otherwise the channels are repeated in turn and scaled, so that the size of the answers stays.

    Args:
        filters: (filters, channels, height, width).
        channels: of the pictures.

    Returns:
        (filters, channels, height, width) with the new number of channels.
    """
    old = filters.shape[1]
    if channels == old:
        return filters
    if channels == 1:
        return filters.sum(1, keepdim=True)
    repeated = filters[:, [channel % old for channel in range(channels)]]
    return repeated * (old / channels)


def match_first_convolution(model: nn.Module, channels: int) -> None:
    """Let the first convolution of the model take pictures of this many channels; see `match_filters`."""
    name = find_first_convolution(model)
    old = model.get_submodule(name)
    assert isinstance(old, nn.Conv2d)
    if old.in_channels == channels:
        return
    if old.groups != 1:
        raise ValueError(
            f"the first convolution '{name}' works on groups of channels and takes only its own number"
        )
    new = nn.Conv2d(
        channels,
        old.out_channels,
        old.kernel_size,  # type: ignore[arg-type]  # Conv2d keeps a pair and declares a tuple of any length
        stride=old.stride,  # type: ignore[arg-type]
        padding=old.padding,  # type: ignore[arg-type]
        dilation=old.dilation,  # type: ignore[arg-type]
        bias=old.bias is not None,
        padding_mode=old.padding_mode,
    )
    with torch.no_grad():
        new.weight.copy_(match_filters(old.weight, channels))
        if old.bias is not None and new.bias is not None:
            new.bias.copy_(old.bias)
    set_layer(model, name, new)


def load_body(model: nn.Module, weights: Mapping[str, Tensor]) -> LoadReport:
    """Copy everything but the head into the model, the first filters fitted to its number of channels.

    Args:
        model: with its new head; changed in place.
        weights: a state dict of the same architecture, its head for any classes.

    Returns:
        What matched; the head is neither matched nor missing.

    Raises:
        ValueError: if not one tensor fits.
    """
    head = find_head(model) + "."
    first = find_first_convolution(model)
    body = {key: value for key, value in weights.items() if not key.startswith(head)}
    key = f"{first}.weight"
    if key in body and body[key].ndim == 4:
        convolution = model.get_submodule(first)
        assert isinstance(convolution, nn.Conv2d)
        body[key] = match_filters(body[key].to(torch.float32), convolution.in_channels)
    report = load_partly(model, body)
    if not report.matched:
        raise ValueError(f"these weights do not fit the model: {report}")
    return replace(report, missing=tuple(name for name in report.missing if not name.startswith(head)))


def set_dropout(model: nn.Module, share: float) -> None:
    """Let every dropout layer of the model drop this share."""
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = share


@torch.no_grad()
def freeze_early_layers(model: nn.Module, pictures: Tensor) -> tuple[str, ...]:
    """Freeze the layers before the first convolution that answers at an eighth of the pictures' sides or less.

    They see edges and colours, which hardly change from one set of photos to the next, and their large maps cost
    half of a step and more. A model without such layers, as one that begins with patches, stays as it is.

    Args:
        model: changed in place; its mode stays.
        pictures: (batch, channels, height, width), any values; one picture is enough.

    Returns:
        Names of the frozen parameters.
    """
    order: list[tuple[str, tuple[int, ...]]] = []
    layers = {name: module for name, module in model.named_modules() if name and not list(module.children())}
    handles = []
    for name, module in layers.items():

        def note(module: nn.Module, inputs: object, output: object, name: str = name) -> None:
            shape = (
                tuple(output.shape) if isinstance(output, Tensor) and isinstance(module, nn.Conv2d) else ()
            )
            order.append((name, shape))

        handles.append(module.register_forward_hook(note))
    was_training = model.training
    model.eval()
    model(pictures)
    model.train(was_training)
    for handle in handles:
        handle.remove()
    side = max(pictures.shape[-2:])
    deep = [position for position, (_, shape) in enumerate(order) if shape and max(shape[-2:]) * 8 <= side]
    early = order[: deep[0]] if deep else []
    frozen = []
    for name, _ in early:
        for own_name, parameter in layers[name].named_parameters():
            parameter.requires_grad_(False)
            frozen.append(f"{name}.{own_name}")
    return tuple(frozen)


def fits_body(shapes: Mapping[str, torch.Size], weights: Mapping[str, Tensor], head: str, first: str) -> int:
    """How many of a model's tensors, outside its head, the weights hold in the same shape.

    Args:
        shapes: of the model's state dict.
        weights: of a file.
        head: name of the head, whose shape may differ.
        first: name of the first convolution, whose number of input channels may differ.
    """
    count = 0
    for key, shape in shapes.items():
        if key.startswith(head + "."):
            continue
        other = weights[key].shape if key in weights else None
        if other is None:
            # Step counters are missing from old files and count for nothing.
            count += key.endswith("num_batches_tracked")
        elif other == shape:
            count += 1
        elif key == f"{first}.weight" and len(other) == 4:
            count += other[0] == shape[0] and other[2:] == shape[2:]
    return count
