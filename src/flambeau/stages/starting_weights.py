"""Pretrained weights to start from: named by the person, or found on the disk where they suit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from torch import Tensor, nn

from flambeau.errors import ModelError
from flambeau.models.backbone import body_parameters, load_body
from flambeau.models.build import ModelSpec
from flambeau.planning.weights import fetch_weights, weights_on_disk
from flambeau.recipe import Choices
from flambeau.schema import Schema
from flambeau.stages.journal import Journal

SMALLEST_SIDE = 24


@dataclass(frozen=True)
class StartingWeights:
    """Weights of a pretrained model.

    Args:
        library: "torchvision" or "timm".
        arch: the architecture's name there.
        tensors: the state dict.
        origin: the file or the name they came from.
        licence: as far as it is known.
    """

    library: str
    arch: str
    tensors: dict[str, Tensor]
    origin: str
    licence: str

    def spec(self, outputs: int, channels: int, dropout: float | None) -> ModelSpec:
        """The description of the model with another head; `dropout` None leaves the model's own."""
        arguments = {"arch": self.arch, "outputs": outputs, "channels": channels}
        return ModelSpec(self.library, arguments if dropout is None else {**arguments, "dropout": dropout})

    def fill(self, model: nn.Module) -> None:
        """Copy everything but the head into the model. Raises ModelError where hardly anything fits."""
        try:
            load_body(model, self.tensors)
        except ValueError as error:
            raise ModelError(
                f"these weights do not fit {self.arch}", where=self.origin, got=str(error)
            ) from error

    def body_names(self, model: nn.Module) -> list[str]:
        """Names of the parameters that learn at the body's lower rate."""
        return [name for name, _ in body_parameters(model)]


def find_starting_weights(choices: Choices, schema: Schema, journal: Journal) -> StartingWeights | None:
    """The weights that the person named, or suitable ones that are on the disk already, or None.

    Raises ModelError where a named file or architecture cannot be used.
    """
    options = choices.recipe.model
    if options.pretrained is not None:
        weights = load_weights(options.pretrained, options.arch, origin=options.pretrained)
        journal.note(
            f"starting from {weights.library} {weights.arch} ({weights.origin}; licence: {weights.licence})"
        )
        return weights
    facts = schema.picture
    if options.name is not None or facts is None or min(facts.height, facts.width) < SMALLEST_SIDE:
        return None
    if facts.channels not in (1, 3):
        return None
    for found in weights_on_disk():
        try:
            weights = load_weights(str(found.path), found.arch, origin=str(found.path))
        except ModelError as error:
            journal.note(f"{found.path} is on the disk but cannot be used: {error.what}")
            continue
        choices.fix("model.pretrained", str(found.path), "these weights are on the disk already")
        arch = weights.arch if weights.library == "torchvision" else f"{weights.library}/{weights.arch}"
        choices.fix("model.arch", arch, "the architecture of these weights")
        return weights
    return None


def load_weights(name: str, arch: str | None, *, origin: str) -> StartingWeights:
    """Weights from a local file, or by a name of torchvision or timm (fetched where there is internet)."""
    from flambeau.models.state_dicts import read_state_dict

    path = Path(name)
    if not (path.exists() or path.suffix in (".safetensors", ".pth", ".pt")):
        fetched = fetch_weights(name)
        return StartingWeights(fetched.library, fetched.arch, fetched.tensors, name, fetched.licence)
    try:
        tensors = read_state_dict(path)
        library, _, own = (arch or "").rpartition("/")
        if library == "timm":
            return StartingWeights("timm", own, tensors, origin, "not stated in the file")
        if not own:
            from flambeau.models.pretrained import find_architecture

            own = find_architecture(tensors)
    except (FileNotFoundError, ValueError) as error:
        raise ModelError(
            f"these weights cannot be used: {error}",
            where=path,
            command="--arch NAME names their architecture",
        ) from error
    return StartingWeights("torchvision", own, tensors, origin, "not stated in the file")
