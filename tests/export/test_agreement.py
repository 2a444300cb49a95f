"""Picture files are compared with what `predict` answers for the files themselves."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from export_bundles import picture_bundle
from PIL import Image

from flambeau.data.samples import PictureFiles, Samples
from flambeau.deploy.answer import answer_samples
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.export.agreement import TOLERANCE, compare
from flambeau.deploy.export.graph import build_graph
from flambeau.deploy.export.inputs import PIXELS, Raw, raw_inputs
from flambeau.deploy.export.rows import TrialRows


def files(folder: Path, bundle: Bundle, count: int) -> Samples:
    """JPEGs of noise, so large that they are decoded at an eighth."""
    generator = np.random.default_rng(0)
    names = tuple(f"{number}.jpg" for number in range(count))
    for name in names:
        Image.fromarray(generator.integers(0, 256, (120, 90, 3), dtype=np.uint8)).save(folder / name)
    return Samples(bundle.schema, names, np.zeros(count), pictures=PictureFiles(folder, names))


def test_both_sides_begin_with_the_file(tmp_path: Path) -> None:
    bundle = picture_bundle("classification")
    samples = files(tmp_path, bundle, 5)
    graph = build_graph(bundle)
    shapes = []

    def artefact(raw: Raw) -> np.ndarray:
        shapes.append(raw[PIXELS].shape[1:3])
        (one,) = raw_inputs(bundle)
        return graph(one.tensor(raw[PIXELS])).detach().numpy()

    rows = TrialRows(((samples, [0, 1, 2, 3, 4]),), "a test")
    compared = compare(bundle, artefact, rows, 10**6)
    assert rows.files and compared.error <= TOLERANCE
    assert set(shapes) == {(15, 12)}  # 120 by 90 at an eighth
    (predicted,) = answer_samples(bundle, samples, batch=8)
    np.testing.assert_allclose(compared.eager, predicted.predictions, rtol=1e-5)
