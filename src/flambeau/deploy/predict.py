"""Answers of a finished run. Starts quickly: imports neither an optimizer, torchvision nor scikit-learn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from flambeau.data.read import read_inputs
from flambeau.deploy.answer import answer_to_json
from flambeau.deploy.bundle import load_bundle
from flambeau.recipe import load_recipe
from flambeau.records import RunFolder
from flambeau.schema import Finding


def predict(
    run: RunFolder,
    paths: Sequence[str],
    batch: int = 64,
    on_finding: Callable[[Finding], None] = lambda finding: None,
) -> Iterator[dict[str, Any]]:
    """Answers for pictures or rows, one dictionary each, in their order.

    `on_finding` is told of values that count as missing, and of whatever else reading noticed.

    Yields:
        {"input", "label" or "value", "probabilities"}; {"input", "error"} for an input that cannot be read.

    Raises:
        RunError: no finished model in that folder.
        DataError: no such input, or columns that the model needs are missing.
    """
    bundle = load_bundle(run.model)
    recipe = load_recipe(run.model / "recipe.yaml")
    inputs = read_inputs(paths, bundle.schema, recipe)
    for finding in inputs.findings:
        on_finding(finding)
    yield from answer_to_json(bundle, inputs, batch, max_pixels=recipe.data.max_pixels)
