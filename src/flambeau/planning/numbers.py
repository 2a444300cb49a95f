"""Choices of numbers: precision, layout, the route of fp32 products, and whether compiling pays.

First by the kind of data, before there is a model; then by the work of the model itself, measured in operations and
never by a stopwatch. The timings behind the limits are in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from flambeau.errors import RecipeError
from flambeau.recipe import Choices, Recipe

# Below so many operations in a mean product (convolution or matrix product), casting to bf16 on a CPU, or the way to
# oneDNN, takes longer than the faster product saves.
FEWEST_OPERATIONS_A_PRODUCT = 12e6
COMPILE_SECONDS, COMPILE_SECONDS_AN_OPERATION = 20.0, 0.1
SHARE_SAVED_BY_COMPILING = 0.3
GPU_OPERATIONS_A_SECOND = {"fp32": 3e13, "bf16": 1e14, "fp16": 1e14}
SECONDS_TO_LAUNCH = 8e-6
NO_COMPILING_ON_CPUS = (
    "without CUDA, compiled training was 0.83 to 1.24 times as fast, after up to 42 s of compiling"
)
NARROW = "a stride is larger than its input is wide, where torch's bf16 gradients on CPUs are wrong"
PASSES = 3  # forward, and twice as much backward


@dataclass(frozen=True)
class Work:
    """What a model does with one part of a batch, forward.

    Args:
        operations: multiplications and additions of its products.
        products: convolutions and matrix products.
        calls: operations of torch of any kind, each a kernel on a GPU.
        convolutions: whether there are any.
        grouped: whether a convolution works in groups, such as one channel each.
        narrow: whether a convolution's stride is larger than its input is wide.
    """

    operations: float
    products: int
    calls: int
    convolutions: bool
    grouped: bool
    narrow: bool

    @property
    def mean_product(self) -> float:
        """Operations of a product in the mean."""
        return self.operations / max(1, self.products)

    def times(self, factor: float) -> Work:
        """The work for so many times the samples."""
        return replace(self, operations=self.operations * factor)


def plan_numbers(choices: Choices, machine: Mapping[str, Any], *, pictures: bool) -> None:
    """Fill in numbers, route and layout by the machine and the kind of data, as long as there is no model.

    Args:
        choices: changed in place.
        machine: "device" (cpu, cuda, mps), "bf16", and where known "fp16" and "amd".
        pictures: whether the model convolves pictures.
    """
    precision, reason = _precision_of(machine, pictures)
    precision = choices.choose("training.precision", precision, reason)
    choices.choose("training.matmul", *_route_of(machine, pictures, precision))
    if not pictures:
        choices.choose("training.memory_format", "contiguous", "no effect without pictures")
    elif machine["device"] == "mps":
        choices.choose("training.memory_format", "contiguous", "the layout that this device prefers")
    else:
        reason = "the layout in which convolutions are quickest"
        choices.choose("training.memory_format", "channels_last", reason)
    if choices.recipe.training.memory_limit_gb is None:
        choices.choose("training.recompute", False, "no limit of memory asks for it")
    if machine["device"] != "cuda":
        choices.choose("training.compile", False, NO_COMPILING_ON_CPUS)


def _precision_of(machine: Mapping[str, Any], pictures: bool) -> tuple[str, str]:
    if machine["bf16"] and machine["device"] in ("cpu", "cuda"):
        gain = (
            "about twice as fast for convolutions"
            if pictures
            else "two to three times as fast for these nets"
        )
        return "bf16", f"this processor multiplies bf16 natively, {gain}"
    if machine["device"] == "cuda" and machine.get("fp16"):
        return (
            "fp16",
            "this GPU has fast fp16 and no bf16; the loss is scaled so that small gradients are kept",
        )
    return "fp32", "this device has no fast bf16"


def _route_of(machine: Mapping[str, Any], pictures: bool, precision: str) -> tuple[str, str]:
    if machine["device"] == "cuda":
        return "high", "TF32 is enough for training"
    if pictures:
        return "highest", "convolutions do not use this route here"
    if machine.get("amd") and precision == "fp32":
        return "medium", "oneDNN's fp32 products are twice as fast as MKL's on AMD's processors, and as exact"
    return "highest", "full fp32 where fp32 is used"


def fit_numbers_to_work(choices: Choices, machine: Mapping[str, Any], work: Work) -> None:
    """Change what flambeau chose of precision and route where the model's own work asks for it; keep what was given.

    Raises:
        RecipeError: a person asked for bf16, and torch computes wrong gradients for this model in it.
    """
    if machine["device"] != "cpu":
        return
    free = "training.precision" in choices.reasons
    precision = choices.get("training.precision")
    if precision == "bf16" and work.narrow and not free:
        raise RecipeError(
            "training.precision: bf16 gives wrong gradients here: on CPUs, torch reads uninitialised memory in "
            "convolutions whose stride is larger than their input is wide",
            expected="fp32, or larger pictures",
            command="--precision fp32",
        )
    if precision == "bf16" and free:
        reason = _against_bf16(work)
        if reason:
            precision = choices.fix("training.precision", "fp32", reason)
    if "training.matmul" not in choices.reasons:
        return
    faster = bool(machine.get("amd")) and precision == "fp32" and not work.convolutions
    worth = work.mean_product >= FEWEST_OPERATIONS_A_PRODUCT
    route = choices.get("training.matmul")
    if faster and worth and route == "highest":
        choices.fix("training.matmul", "medium", _route_of(machine, False, "fp32")[1])
    elif route == "medium" and not worth:
        choices.fix("training.matmul", "highest", "products this small are quicker on the usual route")


def _against_bf16(work: Work) -> str:
    """Why a CPU should not train this model in bf16; "" where it should."""
    if work.narrow:
        return NARROW
    if work.grouped:
        return "convolutions in groups are slower in bf16 on CPUs, above all backwards"
    if work.mean_product < FEWEST_OPERATIONS_A_PRODUCT:
        return f"products of {work.mean_product / 1e6:.2g} million operations: casting would take longer than it saves"
    return ""


def compiling_pays(
    machine: Mapping[str, Any], work: Work, *, steps: int, precision: str, recompute: bool
) -> tuple[bool, str]:
    """Whether the time that compiling is expected to save exceeds what it takes, and the sentence that says so.

    Args:
        machine: "device".
        work: of one part of a batch.
        steps: parts of batches in all trainings of the run.
        precision: of the products.
        recompute: whether blocks are computed again backwards, which is not compiled.
    """
    if machine["device"] != "cuda":
        return False, NO_COMPILING_ON_CPUS
    if recompute:
        return False, "blocks that are computed again are not compiled"
    saved = steps * max(*_step_seconds(work, precision)) * SHARE_SAVED_BY_COMPILING
    takes = COMPILE_SECONDS + work.calls * COMPILE_SECONDS_AN_OPERATION
    sentence = f"expected to save {saved:,.0f} s in {steps:,} steps, and to take {takes:.0f} s"
    return saved > takes, sentence


def graphs_pay(work: Work, precision: str) -> bool:
    """Whether a GPU waits longer for kernels to be launched than for their products: then CUDA graphs help."""
    computing, launching = _step_seconds(work, precision)
    return launching > computing


def _step_seconds(work: Work, precision: str) -> tuple[float, float]:
    """Seconds of computing and of launching that a step on a GPU is expected to take."""
    rate = GPU_OPERATIONS_A_SECOND[precision]
    return PASSES * work.operations / rate, PASSES * work.calls * SECONDS_TO_LAUNCH


def warning_of_numbers(precision: str | None, device: str) -> str:
    """What a person should know who asked for these numbers on this device; "" for nothing."""
    if precision == "fp16" and device == "cpu":
        return "fp16 products take forty times as long as fp32 on CPUs; bf16 is their fast format"
    return ""


def wrong_numbers(recipe: Recipe, device: str, work: Work) -> dict[str, str]:
    """Values of precision and memory_format that must not be used here, however fast they are, each with the reason.

    Args:
        recipe: resolved.
        device: cpu, cuda or mps.
        work: of the model.
    """
    wrong = {}
    if device != "cuda":
        wrong["fp16"] = "fp16 is for GPUs of CUDA"
    if device == "cpu" and work.narrow:
        wrong["bf16"] = NARROW
    if recipe.training.distributed == "fsdp":
        wrong["fp16"] = "the scale of fp16 would differ between processes"
    if recipe.training.optimizer.name == "lbfgs":
        wrong["channels_last"] = "LBFGS takes all gradients as one row of numbers"
        wrong["fp16"] = "LBFGS compares losses of different steps, which the scaling of fp16 changes"
    return wrong


def check_passes(recipe: Recipe) -> None:
    """Raises RecipeError where a person wants blocks both compiled and computed again."""
    options = recipe.training
    if options.compile and options.recompute:
        raise RecipeError(
            "training.compile and training.recompute exclude each other",
            got="true for both: blocks that are computed again are not compiled",
            expected="one of them",
            command="--set training.compile=false",
        )


def check_finders(recipe: Recipe) -> None:
    """Raises RecipeError where a value is both given and to be found."""
    options = recipe.training
    for finder, on, key, value in (
        ("training.lr_finder", options.lr_finder, "training.optimizer.lr", options.optimizer.lr),
        ("training.batch_finder", options.batch_finder, "training.batch_size", options.batch_size),
    ):
        if on and value is not None:
            raise RecipeError(
                f"{finder} looks for {key}, which is given",
                got=f"{key}: {value:g}",
                expected="one of them",
                command=f"--set {finder}=false",
            )


def leave_to_finders(choices: Choices) -> None:
    """Open what a finder looks for, where a plan is written down and not yet tried."""
    options = choices.recipe.training
    if options.lr_finder:
        options.optimizer.lr = None
        choices.reasons.pop("training.optimizer.lr", None)
    if options.batch_finder:
        options.batch_size = None
        choices.reasons.pop("training.batch_size", None)
