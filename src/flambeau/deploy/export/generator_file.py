"""A net that makes pictures as one file: noise in, pixels out."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from flambeau.data.pictures.noise import draw_noise
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.formats import Request
from flambeau.deploy.export.plain import PlainFile, describe_plain, refuse_smaller, write_plain
from flambeau.deploy.making.making import latent_of
from flambeau.transforms.image import PicturePreparation

NOISE, PICTURES, VALUES = "noise", "pictures", "values"
BATCHES = (1, 3, 64)
AGREEMENT_STREAM = 17
EXAMPLE = '''\
"""Written by flambeau export. Makes pictures: python THIS_SCRIPT OUT.npy"""

import sys
from pathlib import Path

import numpy as np
{import_line}

if len(sys.argv) != 2:
    sys.exit("usage: python {script} OUT.npy")
file = str(Path(__file__).with_name({name!r}))
noise = np.random.default_rng(0).standard_normal((64, {latent})).astype(np.float32)
{asking}
# (64, {height}, {width}, {channels}) of {bits} bits, and the same as numbers from 0 to 1
np.save(sys.argv[1], pictures)
'''
ASKING = {
    "onnx": 'pictures, values = onnxruntime.InferenceSession(file).run(None, {"noise": noise})',
    "pt2": """\
model = torch.export.load(file).module()
pictures, values = (one.detach().numpy() for one in model(torch.from_numpy(noise)))""",
    "torchscript": """\
model = torch.jit.load(file)
pictures, values = (one.detach().numpy() for one in model(torch.from_numpy(noise)))""",
}


class NoiseToPixels(nn.Module):
    """Noise (batch, latent) → pixels (batch, height, width, channels) as integers, and as numbers from 0 to 1.

    Args:
        generator: in evaluation mode.
        bits: of a pixel; 8 gives uint8, 16 int32.
    """

    def __init__(self, generator: nn.Module, bits: int) -> None:
        super().__init__()
        self.generator = generator
        self.largest = float(2**bits - 1)
        self.kind = torch.uint8 if bits == 8 else torch.int32

    def forward(self, noise: Tensor) -> tuple[Tensor, Tensor]:
        values = (self.generator(noise).permute(0, 2, 3, 1) + 1) * 0.5
        return (values * self.largest).round().clamp(0.0, self.largest).to(self.kind), values


def write_generator(bundle: Bundle, run_name: str, request: Request, path: Path) -> dict[str, Any]:
    """Write the file and compare it with the module, on noise of several batch sizes; see `write_plain`.

    Raises:
        UsageError: smaller numbers are asked for.
        ModelError: it cannot be exported, or the file does not agree.
    """
    why = "pictures of smaller numbers show the steps between them, so a generator is exported in fp32"
    refuse_smaller(request, why)
    assert isinstance(bundle.preparation, PicturePreparation)
    latent = latent_of(bundle)
    taken = {"name": NOISE, "kind": "standard normal numbers", "shape": ["batch", latent]}
    metadata = {
        **describe_plain(bundle, run_name, request.to),
        "inputs": [taken],
        "outputs": [PICTURES, VALUES],
    }
    module = NoiseToPixels(copy.deepcopy(bundle.module).eval(), bundle.preparation.bits)
    file = PlainFile(module, torch.zeros(3, latent), NOISE, ("batch",), (PICTURES, VALUES), 1, metadata)
    trials = [draw_noise(batch, latent, batch, AGREEMENT_STREAM) for batch in BATCHES]
    return write_plain(file, request, path, trials, "pictures from noise")


def generator_example(bundle: Bundle, artefact: Path, to: str) -> str:
    """A script beside the file that makes pictures without flambeau."""
    preparation = bundle.preparation
    assert isinstance(preparation, PicturePreparation)
    height, width = preparation.size
    return EXAMPLE.format(
        import_line="import onnxruntime" if to == "onnx" else "import torch",
        script=f"{artefact.stem}_{to}.py",
        name=artefact.name,
        latent=latent_of(bundle),
        asking=ASKING[to],
        height=height,
        width=width,
        channels=preparation.channels,
        bits=preparation.bits,
    )
