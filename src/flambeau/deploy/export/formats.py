"""The formats: how each is written, opened and named, and what can be asked of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from flambeau.errors import FlambeauError, ModelError, UsageError, did_you_mean

SUFFIXES = {"onnx": ".onnx", "pt2": ".pt2", "torchscript": ".pt"}
QUANTIZED = ("int8", "bf16")


@dataclass(frozen=True)
class Request:
    """What a person asks for: a format, and smaller numbers or None."""

    to: str
    quantize: str | None = None


def check_request(request: Request) -> None:
    """Raise UsageError for a format that there is none of, or that does not go with the numbers asked for."""
    to, quantize = request.to, request.quantize
    if to not in SUFFIXES:
        raise UsageError(
            f"there is no format '{to}'",
            expected=", ".join(SUFFIXES),
            hint=did_you_mean(to, SUFFIXES),
            command="flambeau export --to onnx",
        )
    if quantize is None:
        return
    if quantize not in QUANTIZED:
        raise UsageError(
            f"there is no quantization '{quantize}'",
            expected=", ".join(QUANTIZED),
            hint=did_you_mean(quantize, QUANTIZED),
        )
    if quantize == "int8" and to != "onnx":
        raise UsageError(
            "int8 is made for ONNX Runtime, whose 8-bit kernels are quick on a CPU",
            got=f"--to {to}",
            command="flambeau export --to onnx --quantize int8",
        )
    if quantize == "bf16" and to == "onnx":
        raise UsageError(
            "ONNX Runtime has no bfloat16 convolutions or matrix products for CPUs",
            got="--to onnx",
            command="flambeau export --to pt2 --quantize bf16",
        )


def exporting(request: Request, action: Callable[[], None]) -> None:
    """Do it; whatever an exporter raises becomes a ModelError with its own first telling line."""
    try:
        action()
    except FlambeauError:
        raise
    except Exception as error:  # exporters raise almost anything about a person's own module
        raise ModelError(
            f"this model cannot be exported to {request.to}",
            got=first_telling_line(error),
            expected="a forward() whose steps do not depend on the values of its input",
            hint="other formats may take it: " + ", ".join(name for name in SUFFIXES if name != request.to),
        ) from error


def first_telling_line(error: BaseException) -> str:
    """Type and first line of the error that began it all; exporters wrap it several times."""
    while error.__cause__ is not None:
        error = error.__cause__
    lines: Iterable[str] = (line.strip() for line in str(error).splitlines())
    return f"{type(error).__name__}: {next((line for line in lines if line), '')}"[:300]
