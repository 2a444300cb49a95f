"""The same module, sooner: convolutions with their normalisation folded in and filters that are packed once.

Eager torch packs the filters into the blocks that oneDNN computes with in every call, which for a ResNet-18 and one
picture of 64 px is two thirds of the time. The packed product is what torch's own compiler calls for frozen weights.
"""

from __future__ import annotations

from collections import Counter

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from flambeau.deploy.bundle import Bundle
from flambeau.transforms.image import PicturePreparation

AGREEMENT = 1e-5


class PackedConvolution(nn.Module):
    """A two-dimensional convolution in evaluation, with packed filters, on a CPU.

    Args:
        plain: padded with zeros, by numbers.
        shape: (batch, channels, height, width) that the blocks are chosen for; others are computed as well.

    Shapes: (batch, channels_in, height, width) → (batch, channels_out, height, width), channels innermost.
    """

    def __init__(self, plain: nn.Conv2d, shape: torch.Size) -> None:
        super().__init__()
        self.geometry = (plain.padding, plain.stride, plain.dilation, plain.groups)
        self.bias = None if plain.bias is None else plain.bias.detach()
        self.filters = torch.ops.mkldnn._reorder_convolution_weight(
            plain.weight.detach(), *self.geometry, list(shape)
        )

    def forward(self, features: Tensor) -> Tensor:
        return torch.ops.mkldnn._convolution_pointwise(
            features, self.filters, self.bias, *self.geometry, "none", [], ""
        )


class _Watch:
    """What a module did with one sample: the shape that each convolution met, and the normalisation after it."""

    def __init__(self, module: nn.Module, sample: Tensor) -> None:
        self.shapes: dict[nn.Conv2d, torch.Size] = {}
        self.folds: dict[nn.Conv2d, nn.BatchNorm2d] = {}
        self._calls: Counter[nn.Module] = Counter()
        self._made: dict[
            int, tuple[nn.Conv2d, Tensor]
        ] = {}  # with the tensors, so that no address is used twice
        handles = []
        for part in module.modules():
            if _is_plain(part):
                handles.append(part.register_forward_hook(self._convolved))
            elif type(part) is nn.BatchNorm2d and part.track_running_stats:
                handles.append(part.register_forward_pre_hook(self._normalises))
        try:
            self.outputs = module(sample)
        finally:
            for handle in handles:
                handle.remove()
        self._made.clear()
        self.folds = {
            convolution: norm
            for convolution, norm in self.folds.items()
            if self._calls[convolution] == 1 and self._calls[norm] == 1
        }

    def _convolved(self, part: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
        assert isinstance(part, nn.Conv2d)
        self._calls[part] += 1
        self.shapes[part] = inputs[0].shape
        self._made[id(output)] = (part, output)

    def _normalises(self, part: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        assert isinstance(part, nn.BatchNorm2d)
        self._calls[part] += 1
        if id(inputs[0]) in self._made:
            self.folds[self._made[id(inputs[0])][0]] = part


@torch.inference_mode()
def pack(bundle: Bundle, batch: int) -> str:
    """Fold and pack the convolutions of a bundle's module, if there are any and its outputs stay what they were.

    Args:
        bundle: whose module is changed in place; it answers afterwards, but cannot be saved.
        batch: for which the blocks are chosen.

    Returns:
        Why the module was left as it was, or "".
    """
    preparation, module = bundle.preparation, bundle.module
    if not isinstance(preparation, PicturePreparation) or not torch.backends.mkldnn.is_available():
        return ""
    sample = preparation.prepare(_made_up(preparation, batch))
    seen = _Watch(module, sample)
    if not seen.shapes:
        return ""
    # A library may compute other sizes in another way.
    tried = {size: sample[-size:] for size in (1, (batch + 1) // 2)}
    before = {size: module(part) for size, part in tried.items()}
    tried[batch], before[batch] = sample, seen.outputs
    places = [(parent, name, child) for parent in module.modules() for name, child in parent.named_children()]
    folded = set(seen.folds.values())
    try:
        for parent, name, child in places:
            if isinstance(child, nn.Conv2d) and child in seen.shapes:
                norm = seen.folds.get(child)
                plain = child if norm is None else fuse_conv_bn_eval(child, norm)
                setattr(parent, name, PackedConvolution(plain, seen.shapes[child]))
            elif child in folded:
                setattr(parent, name, nn.Identity())
        differences = [_differ(module(part), before[size]) for size, part in tried.items()]
        if all(difference <= AGREEMENT for difference in differences):
            return ""
        reason = f"packed filters change its outputs by {max(differences):.1e} of the largest"
    except (RuntimeError, AttributeError, TypeError, NotImplementedError) as error:
        reason = f"its filters cannot be packed: {str(error).splitlines()[0]}"
    for parent, name, child in places:
        setattr(parent, name, child)
    return reason


def _made_up(preparation: PicturePreparation, count: int) -> Tensor:
    """Pictures (count, height, width, channels) from plain noise to smooth ones, as photographs mostly are."""
    generator = torch.Generator().manual_seed(0)
    height, width = preparation.size
    shape = (count, preparation.channels, height, width)
    rough = torch.rand(shape, generator=generator)
    coarse = torch.rand((count, preparation.channels, 4, 4), generator=generator)
    smooth = nn.functional.interpolate(coarse, (height, width), mode="bilinear", align_corners=False)
    share = torch.linspace(1, 0, count).reshape(-1, 1, 1, 1)
    pixels = ((share * rough + (1 - share) * smooth) * 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous()
    return pixels if preparation.bits == 8 else pixels.to(torch.int32) * 257


def _differ(found: Tensor, expected: Tensor) -> float:
    """The largest difference, as a share of the largest number expected."""
    return float((found - expected).abs().max() / expected.abs().max().clamp(min=1e-12))


def _is_plain(part: nn.Module) -> bool:
    """Whether this is a convolution that the packed one can stand for."""
    return (
        type(part) is nn.Conv2d
        and part.padding_mode == "zeros"
        and not isinstance(part.padding, str)
        and part.weight.dtype == torch.float32
        and part.weight.device.type == "cpu"
        and not part._forward_hooks
        and not part._forward_pre_hooks
    )
