"""What a bundle tells of its making, for the model card and for lists of models: names and counts, no paths."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

from flambeau.deploy.files import FACTS
from flambeau.records import RunFolder
from flambeau.stages.material import Material
from flambeau.stages.starting.start import kept_start
from flambeau.stages.starting.weights import StartingWeights

VERSIONS_TOLD = ("flambeau", "python", "torch", "torchvision", "timm", "numpy")


def gather_facts(run: RunFolder, material: Material, test_source: str | None) -> dict[str, Any]:
    """The content of a bundle's facts.json.

    Args:
        run: with its data, split and environment written.
        material: what was trained on.
        test_source: separate data that tested the model, if the person named some.
    """
    facts = describe_making(run, test_source)
    if material.weights is not None:
        facts["weights"] = describe_weights(material.weights)
    targets = material.samples.targets
    if material.samples.schema.task == "regression":
        facts["target"] = {"low": float(targets.min()), "high": float(targets.max())}
    return facts


def describe_making(run: RunFolder, test_source: str | None = None) -> dict[str, Any]:
    """What every kind of run tells; arguments as for `gather_facts`."""
    data, split = run.read_json("data.json"), run.read_json("split.json")
    environment = run.read_json("environment.json")
    source = str(data["source"])
    earlier = _facts_of_start(run)
    return {
        "name": run.name,
        "made": date.today().isoformat(),
        "data": {
            "source": Path(source).name,
            "test_source": None if test_source is None else Path(test_source).name,
            "fingerprint": data["fingerprint"],
            "count": data["count"],
            "class_counts": data["class_counts"],
        },
        "split": {"method": split["method"], "reason": split["reason"]},
        "findings": _findings(run, [source, *([] if test_source is None else [test_source])]),
        "weights": earlier.get("weights"),
        "earlier": (earlier.get("data") or {}).get("fingerprint"),
        "versions": {name: environment[name] for name in VERSIONS_TOLD if environment.get(name)},
    }


def describe_weights(weights: StartingWeights) -> dict[str, str]:
    """Architecture, origin (a file by its name only) and licence of pretrained weights."""
    return {
        "arch": f"{weights.library}/{weights.arch}",
        "origin": Path(weights.origin).name,
        "licence": weights.licence,
    }


def _facts_of_start(run: RunFolder) -> dict[str, Any]:
    """What the earlier run, whose weights were the start, told of itself; empty for none."""
    start = kept_start(run)
    if start is None or not (start / FACTS).is_file():
        return {}
    facts: dict[str, Any] = json.loads((start / FACTS).read_text(encoding="utf-8"))
    return facts


def _findings(run: RunFolder, sources: list[str]) -> list[dict[str, str]]:
    """What reading and checking noticed, each once, with the names of sources in the place of their paths."""
    found = {}
    for record in run.read_log(["finding"]):
        message = str(record["message"])
        for source in sources:
            message = message.replace(source, Path(source).name)
        found[record["code"], message] = {
            "level": str(record["level"]), "code": str(record["code"]), "message": message
        }  # fmt: skip
    return list(found.values())
