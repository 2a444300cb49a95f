"""A net that makes pictures as one file: noise in, pixels out, compared with the trained generator."""

from __future__ import annotations

import copy
import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper
from torch import Tensor, nn

from flambeau import __version__
from flambeau.data.pictures.noise import draw_noise
from flambeau.deploy.bundle import Bundle, weights_digest
from flambeau.deploy.export.agreement import TOLERANCE
from flambeau.deploy.export.formats import SUFFIXES, Request, exporting
from flambeau.deploy.making.making import latent_of
from flambeau.errors import ModelError, UsageError
from flambeau.transforms.image import PicturePreparation

METADATA = "flambeau"
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
    """Write the file and compare it with the module, on noise of several batch sizes.

    Returns:
        The keys of `export_run`'s report about the comparison, and "precision".

    Raises:
        UsageError: smaller numbers are asked for.
        ModelError: it cannot be exported, or the file does not agree.
    """
    if request.quantize is not None:
        raise UsageError(
            "pictures of smaller numbers show the steps between them, so a generator is exported in fp32",
            got=f"--quantize {request.quantize}",
            command=f"flambeau export --to {request.to}",
        )
    assert isinstance(bundle.preparation, PicturePreparation)
    module = NoiseToPixels(copy.deepcopy(bundle.module).eval(), bundle.preparation.bits)
    metadata = _describe(bundle, run_name, request.to)
    exporting(request, lambda: WRITERS[request.to](module, latent_of(bundle), path, metadata))
    error, rows = _largest_difference(module, OPENERS[request.to](path), latent_of(bundle))
    if error > TOLERANCE:
        raise ModelError(
            f"the {request.to} file does not agree with the trained generator, so it is not kept",
            got=f"max|a-b| / max|a| = {error:.1e} on {rows} pictures",
            expected=f"at most {TOLERANCE:.0e}",
            hint="other formats may agree: " + ", ".join(n for n in SUFFIXES if n != request.to),
        )
    return {
        "precision": "fp32",
        "rows": rows,
        "origin": "pictures from noise",
        "agreement": error,
        "compared_with": "the trained generator",
        "tolerance": TOLERANCE,
    }


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


def _describe(bundle: Bundle, run_name: str, to: str) -> dict[str, Any]:
    return {
        "flambeau": __version__,
        "format": to,
        "precision": "fp32",
        "run": run_name,
        "weights": weights_digest(bundle.module),
        "model": bundle.spec.name,
        "task": "generate",
        "inputs": [{"name": NOISE, "kind": "standard normal numbers", "shape": ["batch", latent_of(bundle)]}],
        "outputs": [PICTURES, VALUES],
    }


def _program(module: NoiseToPixels, latent: int) -> torch.export.ExportedProgram:
    shapes = {"noise": {0: torch.export.Dim.DYNAMIC}}
    with torch.no_grad():
        program = torch.export.export(module, (torch.zeros(3, latent),), dynamic_shapes=shapes, strict=False)
    for inner in program.graph_module.modules():
        if isinstance(inner, torch.fx.GraphModule):
            for node in inner.graph.nodes:
                # lines of the source, with the folders of this machine
                node.meta.pop("stack_trace", None)
    return program


def _write_onnx(module: NoiseToPixels, latent: int, path: Path, metadata: dict[str, Any]) -> None:
    converted = torch.onnx.export(
        _program(module, latent),
        (),
        dynamo=True,
        verbose=False,
        input_names=[NOISE],
        output_names=[PICTURES, VALUES],
    )
    assert converted is not None
    model = converted.model_proto
    for node in model.graph.node:
        node.ClearField("metadata_props")
        node.ClearField("doc_string")
    model.producer_name, model.producer_version = "flambeau", metadata["flambeau"]
    helper.set_model_props(model, {METADATA: json.dumps(metadata), "task": "generate"})
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString(deterministic=True))


def _write_pt2(module: NoiseToPixels, latent: int, path: Path, metadata: dict[str, Any]) -> None:
    with path.open("wb") as stream:
        torch.export.save(
            _program(module, latent), stream, extra_files={f"{METADATA}.json": json.dumps(metadata)}
        )


def _write_torchscript(module: NoiseToPixels, latent: int, path: Path, metadata: dict[str, Any]) -> None:
    with warnings.catch_warnings(), torch.no_grad():
        # torch tells that TorchScript is old, as `flambeau export` does
        warnings.simplefilter("ignore")
        traced = torch.jit.trace(module, (torch.zeros(3, latent),))
        torch.jit.save(traced, str(path), _extra_files={f"{METADATA}.json": json.dumps(metadata)})


def _open_onnx(path: Path) -> Callable[[Tensor], np.ndarray]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda noise: np.asarray(session.run([VALUES], {NOISE: noise.numpy()})[0])


def _open_pt2(path: Path) -> Callable[[Tensor], np.ndarray]:
    with path.open("rb") as stream:
        module = torch.export.load(stream).module()
    return lambda noise: module(noise)[1].detach().numpy()


def _open_torchscript(path: Path) -> Callable[[Tensor], np.ndarray]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = torch.jit.load(str(path))
    return lambda noise: module(noise)[1].detach().numpy()


WRITERS = {"onnx": _write_onnx, "pt2": _write_pt2, "torchscript": _write_torchscript}
OPENERS = {"onnx": _open_onnx, "pt2": _open_pt2, "torchscript": _open_torchscript}


def _largest_difference(
    module: NoiseToPixels, artefact: Callable[[Tensor], np.ndarray], latent: int
) -> tuple[float, int]:
    """max|a-b| / max|a| over pictures of all batch sizes, and how many they were."""
    largest, scale = 0.0, 0.0
    for batch in BATCHES:
        noise = draw_noise(batch, latent, batch, AGREEMENT_STREAM)
        with torch.no_grad():
            expected = module(noise)[1].numpy()
        got = artefact(noise)
        if not np.isfinite(got).all():
            return float("inf"), sum(BATCHES)
        largest = max(largest, float(np.abs(expected - got).max()))
        scale = max(scale, float(np.abs(expected).max()))
    return largest / (scale or 1.0), sum(BATCHES)
