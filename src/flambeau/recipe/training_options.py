"""The options of the training: the optimizer, the schedule, the loss, and how a step is done."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from flambeau.recipe.fields import Auto, OneOf, Section

OptimizerName = Annotated[
    str, OneOf(("adamw", "sgd", "adam", "nadam", "rmsprop", "adagrad", "lbfgs", "muon"), "file.py:Class")
]
ScheduleName = Annotated[
    str,
    OneOf(("one_cycle", "cosine", "linear", "step", "multi_step", "constant", "plateau"), "file.py:function"),
]
LossName = Annotated[
    str,
    OneOf(
        (
            "cross_entropy",
            "focal",
            "kl_div",
            "bce_with_logits",
            "mse",
            "l1",
            "smooth_l1",
            "huber",
            "quantile",
            "directional",
            "sharpe",
        ),
        "file.py:function",
    ),
]


class OptimizerOptions(Section):
    """The rule of the steps."""

    name: Auto[OptimizerName] = None
    """The rule by its name in torch.optim, or a class of your own; Muon (Jordan 2024) leaves the rest to AdamW."""
    lr: Auto[Annotated[float, Field(gt=0, le=10)]] = None
    """The largest learning rate."""
    weight_decay: Auto[Annotated[float, Field(ge=0, le=10)]] = None
    """Decay of weight matrices and filters; biases and normalisation are not decayed."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of SGD, RMSprop and Muon, or beta1 of the Adams."""
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.999
    """beta2 of the Adams; 0.99 is usual as the alpha of RMSprop, which is this too."""
    nesterov: bool = True
    """Look ahead along the momentum, in SGD and Muon."""
    eps: Annotated[float, Field(gt=0, le=1)] | None = None
    """Added to a denominator; otherwise the optimizer's own."""
    arguments: dict[str, float | int | bool | str] = {}
    """Further arguments of an optimizer of your own."""
    body_lr: Auto[Annotated[float, Field(gt=0, le=1)]] = None
    """Learning rate of a pretrained body, as a share of the head's."""
    layer_decay: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Learning rate of each layer as a share of the next one's, counted from the head."""


class ScheduleOptions(Section):
    """How the learning rate moves from step to step."""

    name: ScheduleName = "one_cycle"
    """One-cycle (Smith and Topin 2019), or another after a warm-up, or a function of the share that is done."""
    warmup: Annotated[float, Field(ge=0, lt=1)] = 0.15
    """Share of the steps in which the rate rises."""
    end: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Share of the largest rate at which cosine and linear end."""
    step_size: Annotated[int, Field(ge=1)] = 10
    """Epochs between two falls of step."""
    milestones: list[Annotated[int, Field(ge=1)]] = []
    """Epochs after which multi_step falls."""
    gamma: Annotated[float, Field(gt=0, lt=1)] = 0.1
    """Factor of each fall of step, multi_step and plateau."""
    patience: Annotated[int, Field(ge=0)] = 5
    """Epochs without a better validation score before plateau falls."""


class LossOptions(Section):
    """What is made small."""

    name: Auto[LossName] = None
    """The loss by its name in torch.nn.functional, focal (Lin et al. 2017), quantile, or a function of your own."""
    gamma: Annotated[float, Field(ge=0, le=10)] = 2.0
    """How far focal turns from samples that are right already."""
    delta: Annotated[float, Field(gt=0)] = 1.0
    """Where huber, and smooth_l1 (as beta), change from a square to a straight line, in deviations of the target."""
    quantile: Annotated[float, Field(gt=0, lt=1)] = 0.5
    """Which quantile the loss of that name predicts."""


class TrainingOptions(Section):
    """How the model is trained."""

    epochs: Auto[Annotated[int, Field(ge=0, le=100_000)]] = None
    """Passes over the training samples; 0 only for models that are solved in closed form."""
    minutes: Annotated[float, Field(gt=0)] | None = None
    """Wall time for the whole command; sets the epochs from measured speed, which are then fixed."""
    head_epochs: Auto[Annotated[int, Field(ge=0, le=10_000)]] = None
    """Epochs in which only the new head of a pretrained model is trained."""
    freeze_early: Auto[bool] = None
    """Leave the first layers of a pretrained model as they are."""
    freeze: list[str] = []
    """Parameters that stay as they are: names, patterns such as layer1.*, or body for all but the head."""
    unfreeze_every: Annotated[int, Field(ge=0)] = 0
    """Epochs after which one more stage of the body, from the head down, begins to learn; 0 for all at once."""
    lr_finder: bool = False
    """Find the largest learning rate by a range test (Smith 2017) before the training; --lr auto."""
    batch_finder: bool = False
    """Find the batch size that is fastest and fits into memory, before the training; --batch-size auto."""
    batch_size: Auto[Annotated[int, Field(ge=1, le=1_000_000)]] = None
    """Samples a step."""
    micro_batch: Auto[Annotated[int, Field(ge=1)]] = None
    """Samples that go through the model at once; gradients are accumulated to the batch."""
    optimizer: OptimizerOptions = OptimizerOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    loss: LossOptions = LossOptions()
    label_smoothing: Auto[Annotated[float, Field(ge=0, lt=1)]] = None
    """Share of the target spread over all classes."""
    class_weights: Auto[Literal["balanced", "none"]] = None
    """Weigh classes by the inverse of their frequency."""
    sampler: Literal["shuffled", "weighted"] = "shuffled"
    """Which samples an epoch takes: each once, or rare classes as often as frequent ones, drawn anew each epoch."""
    ema: Auto[Annotated[float, Field(ge=0, lt=1)]] = None
    """Decay of the moving average of the weights, which is what is evaluated and kept; 0 for none."""
    clip_norm: Auto[Annotated[float, Field(ge=0)]] = None
    """Largest norm of the gradient; 0 for no clipping."""
    clip_value: Annotated[float, Field(ge=0)] = 0.0
    """Largest size of each entry of the gradient; 0 for no clipping."""
    batch_norm_momentum: Annotated[float, Field(gt=0, le=1)] | None = None
    """How fast the statistics of batch normalisation follow; otherwise as the model sets it."""
    tolerance: Auto[Annotated[float, Field(ge=0, le=10)]] = None
    """Standard errors that a later epoch's validation loss may be behind the best one's and still be kept."""
    patience: Auto[Annotated[int, Field(ge=0)]] = None
    """Epochs without a better validation score before stopping; 0 to never stop early."""
    bags: Auto[Annotated[int, Field(ge=1, le=20)]] = None
    """Models whose predictions are averaged. Each leaves out other rows; where a threshold is chosen, all the same."""
    precision: Auto[Literal["fp32", "bf16", "fp16"]] = None
    """Numbers in which the forward and backward passes are computed; weights stay in fp32. fp16 is for GPUs."""
    matmul: Auto[Literal["highest", "high", "medium"]] = None
    """Route of fp32 matrix products (torch.set_float32_matmul_precision)."""
    memory_format: Auto[Literal["contiguous", "channels_last"]] = None
    """Layout of pictures in memory."""
    compile: Auto[bool] = None
    """Compile the model (torch.compile), where that is expected to save more time than it takes."""
    recompute: Auto[bool] = None
    """Keep only the inputs of blocks and compute the rest again backwards (activation checkpointing)."""
    memory_limit_gb: Annotated[float, Field(gt=0)] | None = None
    """Memory that the training may take, on a CPU counted by its tensors; kept by smaller parts, then recomputing."""
    distributed: Auto[Literal["ddp", "fsdp"]] = None
    """With several processes: each holds the whole model (ddp), or a share of it, where one device cannot (fsdp)."""
    checkpoint_seconds: Annotated[float, Field(ge=0)] = 30.0
    """Longest time between two checkpoints inside an epoch; one is written at the end of each epoch too."""
