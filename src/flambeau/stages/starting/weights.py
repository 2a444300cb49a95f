"""Pretrained weights to start from: named by the person, or found on the disk where they suit."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from torch import Tensor, nn

from flambeau.errors import ModelError
from flambeau.models.backbone import body_parameters, find_head, load_body
from flambeau.models.joined import JoinedInputs
from flambeau.models.spec import ModelSpec
from flambeau.models.state_dicts import LoadReport, load_partly, read_state_dict
from flambeau.planning.rules import listed
from flambeau.planning.weights import fetch_weights, weights_on_disk
from flambeau.recipe import Choices
from flambeau.recipe.fields import is_own
from flambeau.schema import Schema
from flambeau.stages.journal import Journal

SMALLEST_SIDE = 24
NAMES_TOLD = 12
# Who gives one of these describes a model that is built here and begins afresh.
FROM_SCRATCH = ("model.init", "model.whiten", "model.width", "model.depth", "model.members")


@dataclass(frozen=True)
class StartingWeights:
    """Weights of a pretrained model.

    Args:
        library: "torchvision" or "timm".
        arch: the architecture's name there.
        tensors: the state dict.
        origin: the file or the name they came from.
        licence: as far as it is known.
        told: what was told of them already, so that it is told once a run.
    """

    library: str
    arch: str
    tensors: dict[str, Tensor]
    origin: str
    licence: str
    told: list[str] = field(default_factory=list)

    def spec(self, outputs: int, channels: int, dropout: float | None) -> ModelSpec:
        """The description of the model with another head; `dropout` None leaves the model's own."""
        arguments = {"arch": self.arch, "outputs": outputs, "channels": channels}
        return ModelSpec(self.library, arguments if dropout is None else {**arguments, "dropout": dropout})

    def fill(self, model: nn.Module) -> LoadReport:
        """Copy everything but the head into the model. Raises ModelError where hardly anything fits."""
        try:
            return load_body(model, self.tensors)
        except ValueError as error:
            raise ModelError(
                f"these weights do not fit {self.arch}", where=self.origin, got=str(error)
            ) from error

    def rest(self, model: nn.Module) -> str:
        """What the file does not decide, in words."""
        return f"the head '{find_head(model)}' is new"

    def body_names(self, model: nn.Module) -> list[str]:
        """Names of the parameters that learn at the body's lower rate."""
        return [name for name, _ in body_parameters(model)]


@dataclass(frozen=True)
class OwnWeights:
    """Weights for a person's own model: as much of them as matches it by name and shape.

    Args:
        tensors: the state dict.
        origin: the file they came from.
        told: as in `StartingWeights`.
    """

    tensors: dict[str, Tensor]
    origin: str
    told: list[str] = field(default_factory=list)

    def fill(self, model: nn.Module) -> LoadReport:
        """Copy what matches into the model. Raises ModelError where nothing does."""
        own = model.module if isinstance(model, JoinedInputs) else model
        names = list(own.state_dict())
        report = load_partly(own, self.tensors)
        if not report.matched:
            raise ModelError(
                "these weights are of another model: not one tensor has the name and shape of one in yours",
                where=self.origin,
                got=f"{len(self.tensors)} tensors, such as {', '.join(list(self.tensors)[:3])}",
                expected=f"{len(names)} tensors, such as {', '.join(names[:3])}",
                hint=f"{len(report.other_shape)} have a known name in another shape: "
                + "; ".join(report.other_shape[:3])
                if report.other_shape
                else "",
            )
        return report

    def rest(self, model: nn.Module) -> str:
        """What the file does not decide, in words."""
        return "what did not match begins as the model's constructor leaves it"


class ToldWeights(Protocol):
    """Weights of which it is told once a run how they fit."""

    @property
    def origin(self) -> str:
        """The file or the name they came from."""

    @property
    def told(self) -> list[str]:
        """What was told of them already."""

    def rest(self, model: nn.Module) -> str:
        """What the file does not decide, in words."""


def tell_report(weights: ToldWeights, model: nn.Module, report: LoadReport, journal: Journal) -> None:
    """Say once a run what of the weights matched, what was missing, of another shape, or in the file only."""
    if weights.told:
        return
    total = len(report.matched) + len(report.missing) + len(report.other_shape)
    text = (
        f"{Path(weights.origin).name}: {len(report.matched)} of {total} tensors loaded; {weights.rest(model)}"
    )
    for words, names in (
        ("not in the file", report.missing),
        ("of another shape (file, model)", report.other_shape),
        ("in the file only", report.unexpected),
    ):
        if names:
            more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
            text += f"; {len(names)} {words}: {', '.join(names[:NAMES_TOLD])}{more}"
    weights.told.append(text)
    journal(
        {
            "kind": "note",
            "text": text,
            "matched": list(report.matched),
            "missing": list(report.missing),
            "other_shape": list(report.other_shape),
            "only_in_file": list(report.unexpected),
        }
    )


def find_own_weights(choices: Choices, journal: Journal) -> OwnWeights | None:
    """The weights that the person named for their own model, or None where they named no such pair.

    Raises ModelError for a file that cannot be read.
    """
    options = choices.recipe.model
    if options.pretrained is None or options.name is None or not is_own(options.name):
        return None
    try:
        tensors = read_state_dict(Path(options.pretrained))
    except (FileNotFoundError, ValueError) as error:
        raise ModelError(
            f"these weights cannot be used: {error}",
            where=options.pretrained,
            expected="for a model of your own, a file .safetensors or .pth",
        ) from error
    journal.note(f"starting from {options.pretrained}, as far as it fits {Path(options.name).name}")
    return OwnWeights(tensors, options.pretrained)


def find_starting_weights(choices: Choices, schema: Schema, journal: Journal) -> StartingWeights | None:
    """The weights that the person named, or suitable ones that are on the disk already, or None.

    Nothing is looked for where the person described a model that no pretrained weights fit, see `FROM_SCRATCH`.

    Raises ModelError where a named file or architecture cannot be used.
    """
    options = choices.recipe.model
    if options.name is not None and is_own(options.name):
        return None
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
    on_disk = weights_on_disk()
    asked = [key for key in FROM_SCRATCH if choices.get(key) not in (None, False)]
    if asked and on_disk:
        journal.note(
            f"{on_disk[0].path} is on the disk and is not used: {listed(asked, 'and')} "
            f"{'is' if len(asked) == 1 else 'are'} given, for a model that is trained from scratch"
        )
        return None
    for found in on_disk:
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
