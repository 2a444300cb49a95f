"""int8 through ONNX Runtime against eager fp32: ResNet-18 for pictures of 64 pixels, from pixels to probabilities.

python benchmarks/quantize.py [RUNS]      RUNS: how often everything is measured again (5)

The weights are torchvision's architecture with random values, because speed does not depend on them; the
normalisations have seen data, so that activations have their usual ranges. `flambeau export RUN --quantize int8`
prints the score of a trained model before and after.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import onnxruntime
import torch
import torchvision
from common import print_header

from flambeau.deploy.answer import predict_inputs
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.graph import build_graph
from flambeau.deploy.export.inputs import raw_inputs
from flambeau.deploy.export.onnx_file import open_onnx, write_onnx
from flambeau.deploy.export.pt2_file import example_inputs
from flambeau.deploy.export.quantize import write_int8
from flambeau.deploy.export.speed import median_milliseconds
from flambeau.models.spec import ModelSpec
from flambeau.schema import Column, PictureFacts, Schema
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TargetScaler

SIDE, CLASSES = 64, 10
BATCHES = (1, 8, 32)
METADATA = {
    "flambeau": "benchmark",
    "task": "classification",
    "labels": [],
    "output": {"name": "probabilities"},
}


def resnet18() -> Bundle:
    """A bundle with torchvision's ResNet-18."""
    torch.manual_seed(0)
    module = torchvision.models.resnet18(num_classes=CLASSES)
    with torch.no_grad():
        for _ in range(5):
            module(torch.randn(16, 3, SIDE, SIDE))
    preparation = PicturePreparation(
        (SIDE, SIDE), 3, 8, "stretch", "bilinear", (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    )
    schema = Schema(
        source="pictures",
        task="classification",
        target="folder",
        classes=tuple(f"class {number}" for number in range(CLASSES)),
        columns=(Column("image", "image"),),
        picture=PictureFacts(3, 8, SIDE, SIDE),
    )
    return Bundle(schema, ModelSpec("torchvision"), preparation, module.eval(), TargetScaler(0.0, 1.0))


def some_pixels(generator: np.random.Generator, count: int) -> np.ndarray:
    """Smooth random pictures (count, 64, 64, 3) uint8: noise that was blurred, as photographs are."""
    coarse = torch.from_numpy(generator.uniform(0, 255, (count, 3, 8, 8)).astype(np.float32))
    fine = torch.nn.functional.interpolate(coarse, size=(SIDE, SIDE), mode="bicubic")
    return fine.clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy()


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    torch.set_num_threads(1)
    bundle = resnet18()
    generator = np.random.default_rng(0)
    assert isinstance(bundle.preparation, PicturePreparation)
    preparation, inputs = bundle.preparation, raw_inputs(bundle)
    print_header("int8 of ResNet-18 at 64 px on a CPU, 1 thread")
    print(f"onnxruntime {onnxruntime.__version__}, {torch.backends.cpu.get_cpu_capability()}, n = {runs}")
    with tempfile.TemporaryDirectory() as scratch:
        full, small = Path(scratch) / "full.onnx", Path(scratch) / "int8.onnx"
        write_onnx(build_graph(bundle, ()), inputs, example_inputs(inputs, 3), full, METADATA)
        write_int8(full, small, ({"pixels": some_pixels(generator, 16)} for _ in range(16)))
        answers = {"fp32 file": open_onnx(full, inputs), "int8 file": open_onnx(small, inputs)}
        sizes = {"fp32 file": full.stat().st_size / 1e6, "int8 file": small.stat().st_size / 1e6}
    print("  ".join(f"{name} {value:.1f} MB" for name, value in sizes.items()))
    for batch in BATCHES:
        pixels = some_pixels(generator, batch)
        functions = {
            "eager fp32": lambda: predict_inputs(bundle, (preparation.prepare(torch.from_numpy(pixels)),)),  # noqa: B023  # called at once
            **{name: (lambda answer=answer: answer({"pixels": pixels})) for name, answer in answers.items()},  # noqa: B023
        }
        rounds = [median_milliseconds(functions) for _ in range(runs)]
        print(f"batch {batch}")
        eager = np.array([times["eager fp32"] for times in rounds])
        for name in functions:
            values = np.array([times[name] for times in rounds])
            ratio = eager / values
            print(
                f"  {name:<11} {np.median(values):8.2f} ms   {np.median(ratio):5.2f}x eager "
                f"({ratio.min():.2f} to {ratio.max():.2f})"
            )
        wrong = np.abs(functions["int8 file"]() - functions["eager fp32"]()).max()
        print(f"  largest difference of a probability: {wrong:.4f}")


if __name__ == "__main__":
    main()
