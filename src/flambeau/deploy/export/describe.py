"""What an artefact carries about itself: task, labels, inputs, versions, licence."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flambeau import __version__
from flambeau.deploy.bundle import Bundle, weights_digest
from flambeau.deploy.export.example import describe_output
from flambeau.deploy.export.inputs import RawInput
from flambeau.records import RunFolder
from flambeau.transforms.image import PicturePreparation


def describe_artefact(
    run: RunFolder, bundle: Bundle, inputs: Sequence[RawInput], to: str, quantize: str | None
) -> dict[str, Any]:
    """The metadata: plain values.

    Args:
        run: that the model is of.
        bundle: the model.
        inputs: of the artefact.
        to: onnx, pt2 or torchscript.
        quantize: int8, bf16 or None.
    """
    told: dict[str, Any] = {
        "flambeau": __version__,
        "format": to,
        "precision": quantize or "fp32",
        "run": run.name,
        "weights": weights_digest(bundle.module),
        "model": bundle.spec.name,
        "task": bundle.schema.task,
        "target": bundle.schema.target,
        "labels": list(bundle.schema.classes),
        "inputs": [one.to_json(strings=to == "onnx") for one in inputs],
        "output": describe_output(bundle.schema.task, {one.name for one in inputs}),
    }
    if isinstance(bundle.preparation, PicturePreparation):
        told["resized_inside_to"] = list(bundle.preparation.size)
    if bundle.point is not None:
        told["answers_second_label_from"] = bundle.point
    if bundle.threshold:
        told["unknown"] = {"answered_below": bundle.threshold, "label": bundle.unknown}
    facts = bundle.schema.series
    if facts is not None:
        told |= {"targets": list(facts.targets), "quantiles": list(facts.quantiles), "horizon": facts.horizon}
        told |= {"lookback": facts.lookback, "unit": facts.unit, "step": facts.step}
    weights = bundle.facts.get("weights")
    if isinstance(weights, dict):
        told["pretrained_weights"] = {"arch": weights.get("arch"), "licence": weights.get("licence")}
    return told
