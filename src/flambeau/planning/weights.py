"""Pretrained weights by name: those on the disk already, and those that the internet has."""

from __future__ import annotations

import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from flambeau.errors import ModelError, did_you_mean
from flambeau.recipe import Choices

if TYPE_CHECKING:
    from torch import Tensor

# The order in which weights on the disk are tried: accurate for their cost first, on a CPU too.
# Names of other models of torchvision (detection, segmentation, video) begin otherwise and are left alone.
PREFERRED = (
    "mobilenet_v3_large",
    "mobilenet_v2",
    "efficientnet_b0",
    "resnet18",
    "efficientnet_b1",
    "resnet34",
    "regnet_y_800mf",
    "mobilenet_v3_small",
    "shufflenet_v2",
    "squeezenet",
    "convnext_tiny",
    "resnet50",
)

NETWORK_TIMEOUT_SECONDS = 5.0


@dataclass(frozen=True)
class FoundWeights:
    """A file of weights in the cache of torch or of Hugging Face.

    Args:
        path: of the file.
        library: "torchvision" or "timm".
        name: of the model there; of torchvision's files without their digest.
    """

    path: Path
    library: str
    name: str

    @property
    def arch(self) -> str | None:
        """As `--arch` takes it; None where keys and shapes tell better than the file's name."""
        return f"timm/{self.name}" if self.library == "timm" else None


@dataclass(frozen=True)
class FetchedWeights:
    """Weights that were asked for by name: library, architecture, tensors and licence."""

    library: str
    arch: str
    tensors: dict[str, Tensor]
    licence: str


def plan_frozen(choices: Choices) -> None:
    """Choose what a frozen or gradually thawing body asks for, before the choices that would suit one that learns.

    Where nothing but the head learns and nobody asked for changes of the pictures, each picture is shown to the body
    once, and the head is trained on the features that were computed then.
    """
    training = choices.recipe.training
    if training.unfreeze_every:
        choices.choose("training.freeze_early", False, "the first layers learn when their turn comes")
    if "body" not in training.freeze:
        return
    augment = choices.recipe.image.augment.model_dump()
    if not any(augment.values()):
        reason = "the body is frozen: its features of each picture are computed once, unchanged"
        for key, value in augment.items():
            if value is None:
                kind = key.startswith("flip")
                choices.choose(f"image.augment.{key}", False if kind else 0.0, reason)
    choices.choose("training.head_epochs", 0, "the head is all that learns anyway")
    choices.choose("training.freeze_early", False, "the whole body is frozen")


def torch_cache() -> Path:
    """Where torchvision keeps what it downloaded, found without importing torch."""
    home = os.environ.get("TORCH_HOME")
    if home:
        return Path(home).expanduser() / "hub" / "checkpoints"
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    return Path(cache).expanduser() / "torch" / "hub" / "checkpoints"


def hugging_face_cache() -> Path:
    """Where timm keeps what it downloaded."""
    given = os.environ.get("HF_HUB_CACHE")
    if given:
        return Path(given).expanduser()
    home = os.environ.get("HF_HOME") or os.path.join(  # noqa: PTH118  # the variable may hold "~"
        os.environ.get("XDG_CACHE_HOME", "~/.cache"), "huggingface"
    )
    return Path(home).expanduser() / "hub"


def weights_on_disk() -> list[FoundWeights]:
    """Weights for classifying pictures that are in the usual caches, the most suitable first."""
    found = []
    for path in sorted(torch_cache().glob("*.pth")):
        name = path.stem.rpartition("-")[0] or path.stem
        found.append(FoundWeights(path, "torchvision", name))
    for path in sorted(hugging_face_cache().glob("models--timm--*/snapshots/*/model.safetensors")):
        name = path.parts[-4].removeprefix("models--timm--")
        found.append(FoundWeights(path, "timm", name))
    return sorted((one for one in found if _rank(one.name) < len(PREFERRED)), key=lambda one: _rank(one.name))


def _rank(name: str) -> int:
    ranks = [rank for rank, start in enumerate(PREFERRED) if name.startswith(start)]
    return min(ranks, default=len(PREFERRED))


def fetch_weights(name: str) -> FetchedWeights:
    """Weights of torchvision or timm by the name of their model, from the disk or the internet.

    Args:
        name: "mobilenet_v2"; "torchvision/..." or "timm/..." where one library is meant.

    Raises:
        ModelError: for an unknown name, or where the weights are not on the disk and cannot be fetched.
    """
    library, _, plain = name.rpartition("/")
    if library not in ("", "torchvision", "timm"):
        raise ModelError(
            f"there is no library of weights called '{library}'",
            got=name,
            expected="a name of torchvision or timm, or a file",
        )
    from flambeau.models.pretrained import known_architectures

    known = known_architectures()
    if library != "timm" and plain in known:
        return _fetch_torchvision(plain)
    if library == "torchvision":
        raise ModelError(f"torchvision has no model '{plain}'", hint=did_you_mean(plain, known))
    return _fetch_timm(plain, known)


def _fetch_torchvision(arch: str) -> FetchedWeights:
    from torchvision.models import get_model_weights

    from flambeau.models.pretrained import download_weights

    address: str = get_model_weights(arch).DEFAULT.url
    if not (torch_cache() / address.rpartition("/")[2]).is_file():
        require_network(arch, address)
    try:
        tensors = download_weights(arch)
    except (OSError, RuntimeError) as error:
        raise _unfetched(arch, str(error)) from error
    return FetchedWeights(
        "torchvision", arch, tensors, "BSD-3-Clause code; trained on ImageNet (research terms)"
    )


def _fetch_timm(arch: str, torchvision_names: list[str]) -> FetchedWeights:
    from flambeau.models.state_dicts import read_state_dict

    for found in weights_on_disk():
        if found.library == "timm" and (found.name == arch or found.name.startswith(f"{arch}.")):
            from flambeau.models.pretrained_timm import timm_licence

            return FetchedWeights("timm", found.name, read_state_dict(found.path), timm_licence(found.name))
    from flambeau.models.pretrained_timm import check_timm_name, download_timm_weights, timm_licence

    try:
        check_timm_name(arch)
    except ValueError as error:
        raise ModelError(
            f"neither torchvision nor timm has a model '{arch}'",
            got=str(error),
            hint=did_you_mean(arch, torchvision_names),
            expected="a name of torchvision or timm, or a file .safetensors or .pth",
        ) from error
    from huggingface_hub.constants import ENDPOINT

    require_network(arch, ENDPOINT)
    try:
        return FetchedWeights("timm", arch, download_timm_weights(arch), timm_licence(arch))
    except (OSError, RuntimeError) as error:
        raise _unfetched(arch, str(error)) from error


def require_network(name: str, address: str) -> None:
    """Raise ModelError unless the address answers within seconds: libraries retry for most of a minute."""
    request = urllib.request.Request(address, method="HEAD")
    try:
        with urllib.request.urlopen(request, timeout=NETWORK_TIMEOUT_SECONDS):
            return
    except urllib.error.HTTPError:
        # Somebody answered, which is all that was asked.
        return
    except OSError as error:
        raise _unfetched(name, str(error)) from error


def _unfetched(name: str, reason: str) -> ModelError:
    return ModelError(
        f"the weights '{name}' are not on this disk and cannot be fetched",
        got=reason,
        expected="an internet connection, or a file of weights",
        command="--pretrained FILE.safetensors, or leave --pretrained out to train from scratch",
    )
