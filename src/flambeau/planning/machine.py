"""What machine this is, as far as choices depend on it: the kind of device, cores and numbers it is good at."""

from __future__ import annotations

from typing import TypedDict

import torch

from flambeau.errors import DeviceError
from flambeau.records.environment import usable_cores


class Machine(TypedDict):
    """Facts on which defaults may depend. None of them comes from a stopwatch."""

    device: str
    cores: int
    bf16: bool


def resolve_device(wanted: str | None) -> torch.device:
    """The device of that name, or the best there is for None.

    Raises DeviceError for a name that is unknown or a device that is absent.
    """
    if wanted is None:
        if torch.cuda.is_available():
            return torch.device("cuda", torch.cuda.current_device())
        return torch.device("mps" if torch.backends.mps.is_available() else "cpu")
    try:
        device = torch.device(wanted)
    except RuntimeError as error:
        raise DeviceError(
            f"there is no kind of device called '{wanted}'",
            expected="cpu, cuda, cuda:1 or mps",
            command="--device auto",
        ) from error
    available = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}
    if (device.index or 0) >= available.get(device.type, 0):
        found = ", ".join(f"{count} {kind}" for kind, count in available.items() if count)
        raise DeviceError(
            f"the device '{wanted}' is not on this machine",
            got=found,
            expected="a device that is there, or a build of torch that supports it",
            command="--device auto",
        )
    return device


def has_fast_bf16(device: torch.device) -> bool:
    """Whether products of bf16 are faster than those of fp32 there."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        abilities = torch.cpu.get_capabilities()
        return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return False


def describe_machine(device: torch.device) -> Machine:
    """The facts of the machine for training on `device`."""
    return Machine(device=device.type, cores=usable_cores(), bf16=has_fast_bf16(device))
