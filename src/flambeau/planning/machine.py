"""What machine this is, as far as choices depend on it: the kind of device, cores and numbers it is good at."""

from __future__ import annotations

from typing import TypedDict

import torch

from flambeau.errors import DeviceError
from flambeau.records.environment import cpu_model, usable_cores

# A context of CUDA and the smallest training need about this.
FEWEST_FREE_BYTES = 500_000_000


class Machine(TypedDict):
    """Facts on which defaults may depend. None of them comes from a stopwatch."""

    device: str
    cores: int
    bf16: bool
    fp16: bool
    amd: bool


def resolve_device(wanted: str | None) -> torch.device:
    """The device of that name, or the best there is for None ("auto" in a recipe).

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
        raise DeviceError(
            f"the device '{wanted}' is not on this machine",
            got=_found(available),
            expected=_expected(device.type),
            command="--device auto",
        )
    if device.type == "cuda":
        check_free_memory(device)
    return device


def _found(available: dict[str, int]) -> str:
    names = {"cpu": "cpu", "mps": "mps"}
    cuda = ", ".join(f"cuda:{number}" for number in range(available["cuda"]))
    return ", ".join(cuda if kind == "cuda" else names[kind] for kind, count in available.items() if count)


def _expected(kind: str) -> str:
    if kind == "cuda" and torch.version.cuda is None and torch.version.hip is None:
        return f"a build of torch with CUDA; this one, {torch.__version__}, has none"
    if kind == "cuda" and not torch.cuda.is_available():
        return "an NVIDIA GPU with its driver (nvidia-smi lists what the driver sees)"
    if kind == "mps":
        return "a Mac with Apple's processor, and a build of torch for it"
    return "a device that is there, or a build of torch that supports it"


def check_free_memory(device: torch.device) -> None:
    """Raises DeviceError where other programs have taken nearly all of a GPU's memory."""
    try:
        free, total = torch.cuda.mem_get_info(device)
    except RuntimeError as error:  # not even a context fits
        raise DeviceError(
            f"the GPU {device} cannot be used",
            got=str(error).splitlines()[0],
            expected="a GPU that is free (nvidia-smi tells who uses it)",
            command="--device cpu",
        ) from error
    if free < FEWEST_FREE_BYTES:
        raise DeviceError(
            f"the GPU {device} is full",
            got=f"{free / 1e9:.2f} of {total / 1e9:.1f} GB free",
            expected="memory that no other program holds (nvidia-smi tells who uses it)",
            command="--device cpu",
        )


def has_fast_bf16(device: torch.device) -> bool:
    """Whether products of bf16 are faster than those of fp32 there."""
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if device.type == "cpu":
        abilities = torch.cpu.get_capabilities()
        return bool(abilities.get("avx512_bf16") or abilities.get("amx_bf16"))
    return False


def has_fast_fp16(device: torch.device) -> bool:
    """Whether products of fp16 are faster than those of fp32 there: on CUDA from Volta on; never on CPUs."""
    return device.type == "cuda" and torch.cuda.get_device_capability(device) >= (7, 0)


def has_slow_fp32(device: torch.device) -> bool:
    """Whether torch's usual fp32 products run at half speed there: MKL does not use AVX-512 on AMD's CPUs.

    With AMX, the other route would compute in bf16, so it is left alone there.
    """
    if device.type != "cpu":
        return False
    abilities = torch.cpu.get_capabilities()
    return "AMD" in cpu_model() and bool(abilities.get("avx512_f")) and not abilities.get("amx_bf16")


def describe_machine(device: torch.device) -> Machine:
    """The facts of the machine for training on `device`."""
    return Machine(
        device=device.type,
        cores=usable_cores(),
        bf16=has_fast_bf16(device),
        fp16=has_fast_fp16(device),
        amd=has_slow_fp32(device),
    )


def limit_memory(gigabytes: float, device: torch.device) -> None:
    """Let CUDA refuse more than this; on other devices the limit is kept by counting alone."""
    if device.type == "cuda":
        total = torch.cuda.get_device_properties(device).total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, gigabytes * 1e9 / total), device)
