"""Pictures on a GPU are changed as on the CPU, copied from pinned memory, and kept there whole where they fit."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch

from flambeau.data.ahead import AheadBatches
from flambeau.data.batches import Batches, gather_pixels
from flambeau.stages.inputs import _reader
from flambeau.transforms.augment import augment_pictures, change_pictures
from flambeau.transforms.image import PicturePreparation

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device on this machine"),
]

PREPARATION = PicturePreparation((16, 12), 3, 8, mean=(0.5, 0.4, 0.6), std=(0.2, 0.3, 0.25))
PIXELS = np.random.default_rng(0).integers(0, 256, (64, 16, 12, 3), dtype=np.uint8)


def some_batches(device: torch.device, **augment: object) -> Batches:
    change = partial(
        change_pictures,
        augment=partial(augment_pictures, largest=255.0, **augment),  # type: ignore[arg-type]  # mixed
        normalise=partial(PREPARATION.normalise, overwrite=True),
        mixup=0.4,
    )
    gather = gather_pixels(PIXELS, PREPARATION.shape, device)
    return Batches(gather, torch.arange(64.0, device=device), torch.arange(64), 16, 1, change)


@pytest.mark.parametrize("augment", [{"crop": 3, "flip_alternate": True}, {"shift": 0.1, "rotate": 10.0}])
def test_a_gpu_sees_what_the_cpu_sees(augment: dict[str, object]) -> None:
    own = AheadBatches(some_batches(torch.device("cuda"), **augment)).epoch(1)
    for one, other in zip(own, some_batches(torch.device("cpu"), **augment).epoch(1), strict=True):
        assert one.inputs[0].device.type == "cuda"
        torch.testing.assert_close(one.inputs[0].cpu(), other.inputs[0], rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(one.targets.cpu(), other.targets)


def test_pictures_that_fit_live_on_the_gpu() -> None:
    device = torch.device("cuda")
    read, reason = _reader(PIXELS, device)
    assert reason.startswith("all pictures are kept on the device")
    rows = torch.tensor([5, 3, 60])
    (pixels,) = read(PREPARATION.shape)(rows)
    assert pixels.device.type == "cuda"
    assert torch.equal(pixels.cpu(), torch.from_numpy(PIXELS[rows.numpy()]).permute(0, 3, 1, 2))
