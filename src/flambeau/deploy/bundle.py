"""The bundle: a folder of weights and plain data from which a trained model answers. No code is stored or run."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from flambeau import __version__
from flambeau.data.places import state_folder
from flambeau.errors import RunError
from flambeau.models.build import ModelSpec, build_model
from flambeau.models.own import check_trust
from flambeau.records.environment import environment
from flambeau.records.files import digest_file, write_bytes, write_json, write_text
from flambeau.schema import Schema
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.table import TablePreparation, TargetScaler

FORMAT = 1
WEIGHTS, VERSIONS = "weights.safetensors", "versions.json"
Preparation = PicturePreparation | TablePreparation


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
    """

    schema: Schema
    spec: ModelSpec
    preparation: Preparation
    module: nn.Module
    target: TargetScaler
    temperature: float = 1.0
    flip_average: bool = False
    scores: dict[str, Any] = field(default_factory=dict)


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
    write_json(folder / "schema.json", bundle.schema.to_json())
    write_json(folder / "model.json", bundle.spec.to_json())
    write_json(folder / "preparation.json", _preparation_to_json(bundle))
    write_json(folder / "labels.json", list(bundle.schema.classes))
    write_json(folder / "scores.json", bundle.scores)
    write_text(folder / "recipe.yaml", recipe_yaml)
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
        RunError: no bundle, a damaged or altered one, or one of a format that this version does not know.
        ModelError: the model is a person's own file that is absent, changed, or was never trained with here.
    """
    versions = _read_json(folder, VERSIONS)
    if versions.get("format") != FORMAT:
        raise RunError(
            "this bundle has another format",
            where=folder,
            got=f"format {versions.get('format')}, written by flambeau {versions.get('flambeau')}",
            expected=f"format {FORMAT}, which flambeau {__version__} reads",
            command=f"pip install 'flambeau=={versions.get('flambeau')}'",
        )
    for name, digest in versions.get("digests", {}).items():
        if "/" in name or not (folder / name).is_file() or digest_file(folder / name) != digest:
            raise RunError(
                "this bundle was altered or damaged after it was written",
                where=folder / name,
                expected=f"digest {digest}",
                command=f"flambeau verify {folder.parent}",
            )
    schema = Schema.from_json(_read_json(folder, "schema.json"))
    spec = ModelSpec.from_json(_read_json(folder, "model.json"))
    _check_own_files(spec)
    module = build_model(spec)
    fill_module(module, _read_weights(folder / WEIGHTS), folder)
    module.to(device or torch.device("cpu")).eval()
    scores = _read_json(folder, "scores.json")
    prepared = _read_json(folder, "preparation.json")
    try:
        return Bundle(
            schema,
            spec,
            _preparation_from_json(prepared),
            module,
            TargetScaler(prepared["target"]["mean"], prepared["target"]["std"]),
            float(prepared["temperature"]),
            bool(prepared["flip_average"]),
            scores,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError("the preparation of this bundle is damaged", where=folder, got=repr(error)) from error


def fill_module(module: nn.Module, tensors: Mapping[str, Tensor], where: Path) -> None:
    """Load weights by name. Raises RunError where names or shapes differ."""
    try:
        module.load_state_dict(dict(tensors), strict=True)
    except RuntimeError as error:
        raise RunError(
            "the weights are of another model", where=where, got=str(error).splitlines()[-1].strip()
        ) from error


def _check_own_files(spec: ModelSpec) -> None:
    if spec.name == "ensemble":
        for member in spec.arguments["members"]:
            _check_own_files(ModelSpec.from_json(member))
    if spec.name == "own":
        check_trust(
            Path(spec.arguments["file"]), spec.arguments["digest"], state_folder() / "trusted_models.json"
        )


def _preparation_to_json(bundle: Bundle) -> dict[str, Any]:
    return {
        "kind": "pictures" if isinstance(bundle.preparation, PicturePreparation) else "table",
        "inputs": bundle.preparation.to_json(),
        "target": {"mean": bundle.target.mean, "std": bundle.target.std},
        "temperature": bundle.temperature,
        "flip_average": bundle.flip_average,
    }


def _preparation_from_json(data: dict[str, Any]) -> Preparation:
    if data["kind"] == "pictures":
        return PicturePreparation.from_json(data["inputs"])
    return TablePreparation.from_json(data["inputs"])


def _read_weights(path: Path) -> dict[str, Tensor]:
    try:
        return load_tensors(path.read_bytes())
    except (SafetensorError, OSError) as error:
        raise RunError("the weights cannot be read", where=path, got=str(error)) from error


def _read_json(folder: Path, name: str) -> dict[str, Any]:
    path = folder / name
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise RunError(
            "there is no finished model in this folder",
            where=path,
            expected="a run that came to its end",
            command=f"flambeau resume {folder.parent}",
        ) from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise RunError("this file of the bundle is damaged", where=path, got=str(error)) from error
    if not isinstance(value, dict):
        raise RunError(
            "this file of the bundle is damaged", where=path, got=type(value).__name__, expected="a mapping"
        )
    return value


def weights_digest(module: nn.Module) -> str:
    """blake2b over the names and values of all weights: equal exactly for bit-equal models."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in module.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
