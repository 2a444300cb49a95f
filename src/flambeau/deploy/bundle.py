"""The bundle: a folder of weights and plain data from which a trained model answers. No code is stored or run."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from flambeau import __version__
from flambeau.data.places import state_folder
from flambeau.deploy.card.card import read_card_parts, write_card
from flambeau.deploy.checks.checks import check_model, check_module, check_preparation, check_schema, typed
from flambeau.deploy.files import (
    CARD,
    FACTS,
    FORMAT,
    LABELS,
    MODEL,
    PREPARATION,
    RECIPE,
    SCHEMA,
    SCORES,
    VERSIONS,
    WEIGHTS,
    check_files,
    damaged,
    read_facts,
    read_mapping,
    read_plain,
    read_scores,
)
from flambeau.deploy.rebuild import members_of, rebuild
from flambeau.errors import RunError
from flambeau.models.own import check_trust
from flambeau.models.spec import ModelSpec
from flambeau.records.environment import environment
from flambeau.records.files import digest_file, write_bytes, write_json, write_text
from flambeau.schema import Schema
from flambeau.transforms.corpus import CorpusPreparation
from flambeau.transforms.dialogue import ChatPreparation
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation, TargetScaler

Preparation = PicturePreparation | TablePreparation | SeriesPreparation | CorpusPreparation | ChatPreparation
PREPARATIONS: dict[str, type[Preparation]] = {
    "pictures": PicturePreparation,
    "table": TablePreparation,
    "series": SeriesPreparation,
    "corpus": CorpusPreparation,
    "chat": ChatPreparation,
}


@dataclass
class Bundle:
    """A trained model with all that it needs to answer raw input.

    Args:
        schema: what one sample is.
        spec: what rebuilds the module.
        preparation: fitted on training rows.
        module: with its weights, in evaluation mode.
        target: how regression outputs become the target's own units.
        flip_average: whether a picture's answer is averaged with that of its mirror image.
        temperature: divides logits so that probabilities mean what they say (Guo et al. 2017).
        scores: as in scores.json; empty before the test.
        facts: what the model card tells beside: data, split, findings, pretrained weights; see `deploy.card`.
        threshold: the probability below which no class is answered but `unknown`; 0 for none.
        unknown: the label that is answered then.
        point: of two classes, the probability of the second from which it is answered; None for the more probable one.
    """

    schema: Schema
    spec: ModelSpec
    preparation: Preparation
    module: nn.Module
    target: TargetScaler
    temperature: float = 1.0
    flip_average: bool = False
    scores: dict[str, Any] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)
    threshold: float = 0.0
    unknown: str = ""
    point: float | None = None


def save_bundle(folder: Path, bundle: Bundle, recipe_yaml: str) -> None:
    """Write the bundle, each file atomically, the versions with all digests last.

    Raises:
        RunError: the disk is full or the folder cannot be written to.
    """
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {
        name: tensor.detach().cpu().contiguous() for name, tensor in bundle.module.state_dict().items()
    }
    write_bytes(folder / WEIGHTS, save_tensors({name: tensor.clone() for name, tensor in tensors.items()}))
    write_json(folder / SCHEMA, bundle.schema.to_json())
    write_json(folder / MODEL, bundle.spec.to_json())
    write_json(folder / PREPARATION, _preparation_to_json(bundle))
    write_json(folder / LABELS, list(bundle.schema.classes))
    write_json(folder / SCORES, bundle.scores)
    write_json(folder / FACTS, bundle.facts)
    write_text(folder / RECIPE, recipe_yaml)
    write_text(folder / CARD, write_card(read_card_parts(folder)))
    write_versions(folder)


def write_versions(folder: Path) -> None:
    """Write versions.json, which makes a folder a bundle, with the digests of all its other files."""
    files = sorted(path.name for path in folder.iterdir() if path.is_file() and path.name != VERSIONS)
    versions = {
        "format": FORMAT,
        "flambeau": __version__,
        "written_with": {name: environment()[name] for name in ("python", "torch", "numpy")},
        "digests": {name: digest_file(folder / name) for name in files},
    }
    write_json(folder / VERSIONS, versions)


def load_bundle(folder: Path, device: torch.device | None = None) -> Bundle:
    """Read a bundle, after its digests were found right. Imports neither an optimizer nor torchvision by itself.

    Raises:
        RunError: no bundle, a damaged or altered one, one whose parts do not fit each other, or one of a format that
            this version does not know.
        ModelError: an unknown model, or a person's own file that is absent, changed, or was never trained with here.
    """
    check_files(folder)
    schema = typed(Schema, read_mapping(folder, SCHEMA), folder / SCHEMA)
    check_schema(schema, folder / SCHEMA)
    if read_plain(folder, LABELS) != list(schema.classes):
        raise damaged(folder / LABELS, "other classes than the schema has")
    preparation, target, temperature, flip_average = _read_preparation(folder / PREPARATION)
    check_preparation(preparation, schema, folder / PREPARATION)
    spec = typed(ModelSpec, read_mapping(folder, MODEL), folder / MODEL)
    check_model(spec, schema, preparation, folder / MODEL)
    _check_own_files(spec, folder)
    module = rebuild(spec, _read_weights(folder / WEIGHTS), folder)
    check_module(module, preparation, folder / WEIGHTS)
    return Bundle(
        schema,
        spec,
        preparation,
        module.to(device or torch.device("cpu")),
        target,
        temperature,
        flip_average,
        read_scores(folder),
        read_facts(folder),
        *_read_threshold(folder / PREPARATION),
    )


def _read_preparation(path: Path) -> tuple[Preparation, TargetScaler, float, bool]:
    """Inputs, target, temperature, and whether answers are averaged with those of mirror images."""
    data = read_mapping(path.parent, path.name)
    kind = PREPARATIONS.get(str(data.get("kind")))
    if kind is None:
        raise damaged(path, "a preparation of a kind that is not known", ", ".join(PREPARATIONS))
    inputs: Preparation = typed(kind, data.get("inputs"), path)
    target = typed(TargetScaler, data.get("target"), path)
    temperature, flip = typed(float, data.get("temperature"), path), data.get("flip_average")
    if not (target.std > 0 and 0.01 <= temperature <= 100 and isinstance(flip, bool)):
        raise damaged(
            path, "a deviation or a temperature that cannot be", "plain values as flambeau wrote them"
        )
    return inputs, target, temperature, flip


def _read_threshold(path: Path) -> tuple[float, str, float | None]:
    """The probability below which answers are given up, the label instead, and the point; older bundles have none."""
    data = read_mapping(path.parent, path.name)
    threshold, unknown = typed(float, data.get("threshold", 0.0), path), data.get("unknown", "")
    if not 0 <= threshold < 1 or not isinstance(unknown, str) or bool(threshold) != bool(unknown):
        raise damaged(path, "a threshold that cannot be", "a probability, with a label")
    point = None if data.get("point") is None else typed(float, data["point"], path)
    if point is not None and not 0 <= point <= 1:
        raise damaged(path, "an operating point that cannot be", "a probability")
    return threshold, unknown, point


def _check_own_files(spec: ModelSpec, folder: Path) -> None:
    for member in members_of(spec):
        if member.name == "own":
            file, digest = (member.arguments.get(key) for key in ("file", "digest"))
            if not (
                isinstance(file, str) and isinstance(digest, str) and re.fullmatch("[0-9a-f]{32}", digest)
            ):
                raise damaged(folder / MODEL, "a file of code without its digest")
            check_trust(Path(file), digest, state_folder() / "trusted_models.json")


def _preparation_to_json(bundle: Bundle) -> dict[str, Any]:
    return {
        "kind": next(name for name, kind in PREPARATIONS.items() if isinstance(bundle.preparation, kind)),
        "inputs": bundle.preparation.to_json(),
        "target": {"mean": bundle.target.mean, "std": bundle.target.std}
        | ({"log": True} if bundle.target.log else {}),
        "temperature": bundle.temperature,
        "flip_average": bundle.flip_average,
        **({"threshold": bundle.threshold, "unknown": bundle.unknown} if bundle.threshold else {}),
        **({} if bundle.point is None else {"point": bundle.point}),
    }


def _read_weights(path: Path) -> dict[str, Tensor]:
    """Each tensor in memory of its own: on memory that is aligned otherwise, kernels may answer otherwise."""
    try:
        with safe_open(path, "pt") as file:
            return {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118  # no mapping
    except (SafetensorError, OSError, KeyError, ValueError) as error:
        raise RunError("the weights cannot be read", where=path, got=str(error)[:200]) from error


def weights_digest(module: nn.Module) -> str:
    """blake2b over the names and values of all weights: equal exactly for bit-equal models."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
