"""One model on one split: fed, built, trained with everything the recipe says, its predictions made."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import Batches, mix_seed
from flambeau.deploy.bundle import Preparation
from flambeau.errors import ModelError, RunError
from flambeau.evaluation.metrics import higher_is_better
from flambeau.models.backbone import freeze_early_layers
from flambeau.models.build import ModelSpec, build_model, picture_spec, table_spec
from flambeau.models.state_dicts import load_partly
from flambeau.planning.common import class_counts
from flambeau.recipe import Recipe
from flambeau.stages.inputs import Feed
from flambeau.stages.journal import Journal
from flambeau.stages.material import Material
from flambeau.stages.starting_weights import StartingWeights
from flambeau.stages.validating import predict_rows, validation_of
from flambeau.training.checkpoint import CheckpointError
from flambeau.training.fit import SCHEDULES
from flambeau.training.loop import Technique
from flambeau.training.losses import Loss, classification_loss, multilabel_loss, regression_loss
from flambeau.training.optimizers import make_adamw, make_sgd, parameter_groups
from flambeau.training.precision import lay_out
from flambeau.training.session import Session
from flambeau.training.state import Validation
from flambeau.transforms.table import TablePreparation

INIT_STREAM = 4


@dataclass
class Parts:
    """Everything that `run_session` takes, for one model on one split."""

    model: nn.Module
    spec: ModelSpec
    batches: Batches
    optimizer: Optimizer
    loss: Loss
    technique: Technique
    session: Session
    feed: Feed
    valid_rows: np.ndarray = field(default_factory=lambda: np.empty(0, dtype=np.int64))


def choose_spec(material: Material, preparation: Preparation, recipe: Recipe) -> ModelSpec:
    """The description of the model that the recipe asks for, for these data."""
    schema = material.samples.schema
    if material.weights is not None:
        return material.weights.spec(schema.outputs, recipe.image.channels or 3, recipe.model.dropout)
    if isinstance(preparation, TablePreparation):
        return table_spec(
            recipe.model,
            number_features=len(preparation.numbers),
            cardinalities=preparation.cardinalities,
            outputs=schema.outputs,
            bins=recipe.table.bins or 0,
        )
    return picture_spec(
        recipe.model, channels=preparation.channels, size=preparation.size, outputs=schema.outputs
    )


def make_model(
    spec: ModelSpec, weights: StartingWeights | None, seed: int, inputs: tuple[Tensor, ...], outputs: int
) -> nn.Module:
    """The module with its first weights, after a trial on two samples.

    Raises ModelError for a module whose answer has another shape than (batch, outputs) or
    (batch, members, outputs), or that fails on these inputs.
    """
    torch.manual_seed(seed)
    model = build_model(spec)
    if weights is not None:
        weights.fill(model)
    model.eval()
    trial = tuple(part[:2].cpu() for part in inputs)
    shapes = ", ".join(str(tuple(part.shape)) for part in trial)
    try:
        with torch.no_grad():
            answer = model(*trial)
    except Exception as error:  # a person's own forward may raise anything
        raise ModelError(
            f"the model '{spec.name}' fails on inputs of shape {shapes}",
            where=spec.arguments.get("file"),
            got=f"{type(error).__name__}: {str(error).splitlines()[0]}",
            expected=f"forward(inputs) → (batch, {outputs})",
        ) from error
    shape = tuple(answer.shape) if isinstance(answer, Tensor) else type(answer).__name__
    if (
        not isinstance(answer, Tensor)
        or answer.ndim not in (2, 3)
        or (len(answer), answer.shape[-1])
        != (
            len(trial[0]),
            outputs,
        )
    ):
        raise ModelError(
            "the model's answer has the wrong shape",
            where=spec.arguments.get("file"),
            got=f"{shape} for inputs of shape {shapes}",
            expected=f"({len(trial[0])}, {outputs}): one row a sample, one number a class, label or target",
        )
    return model


def make_loss(recipe: Recipe, material: Material, train_rows: np.ndarray, device: torch.device) -> Loss:
    """The loss of the task, with smoothing and class weights as the recipe says."""
    schema = material.samples.schema
    if schema.task == "regression":
        return regression_loss
    if schema.task == "multilabel":
        return multilabel_loss
    weights = None
    if recipe.training.class_weights == "balanced":
        counts = np.maximum(1, class_counts(material.samples.targets[train_rows], len(schema.classes)))
        balanced = len(train_rows) / (np.count_nonzero(counts) * counts)
        weights = torch.tensor(balanced, dtype=torch.float32, device=device)
    smoothing = recipe.training.label_smoothing or 0.0
    return partial(classification_loss, label_smoothing=smoothing, class_weights=weights)


def make_optimizer(model: nn.Module, recipe: Recipe, body: list[str], device: torch.device) -> Optimizer:
    """The optimizer that the recipe names, over parameter groups."""
    options = recipe.training.optimizer
    groups = parameter_groups(
        model,
        lr=options.lr or 1e-3,
        weight_decay=options.weight_decay or 0.0,
        body=body,
        body_lr=options.body_lr or 1.0,
    )
    if options.name == "sgd":
        return make_sgd(groups, momentum=options.momentum, device=device)
    return make_adamw(groups, beta1=options.momentum, beta2=options.beta2, device=device)


def make_technique(recipe: Recipe, device: torch.device, stage: Stage) -> Technique:
    """How a step is done, from the recipe."""
    options = recipe.training
    return Technique(
        epochs=stage.epochs or options.epochs or 1,
        schedule=partial(SCHEDULES[options.schedule.name], warmup=options.schedule.warmup),
        seed=mix_seed(recipe.seed, stage.number),
        average_decay=options.ema or 0.0,
        clip_norm=options.clip_norm or 0.0,
        micro_batch=options.micro_batch or 0,
        precision=options.precision or "fp32",
        device=device,
    )


@dataclass(frozen=True)
class Stage:
    """One training among those of a run.

    Args:
        number: tells the trainings of a run apart, and seeds their first weights and batches.
        name: for people, such as "fold 2 of 5"; empty where there is only one training.
        folder: of its checkpoints.
        journal: receives its records.
        should_stop: asked after each step.
        start: weights of an earlier run.
        epochs: instead of the recipe's, where the trainings before this one stopped early.
    """

    number: int
    name: str
    folder: Path
    journal: Journal
    should_stop: Callable[[], bool] = lambda: False
    start: dict[str, Tensor] | None = None
    epochs: int | None = None


def assemble(
    material: Material,
    feed: Feed,
    train_rows: np.ndarray,
    valid_rows: np.ndarray,
    recipe: Recipe,
    stage: Stage,
) -> Parts:
    """Everything for one training: model, batches, optimizer, loss, technique and session."""
    device = torch.device(recipe.device or "cpu")
    spec = choose_spec(material, feed.preparation, recipe)
    seed = mix_seed(recipe.seed, INIT_STREAM, stage.number)
    first = feed.gather(torch.from_numpy(train_rows[:2]))
    model = make_model(spec, material.weights, seed, first, material.samples.schema.outputs).to(device)
    fit_bins(model, feed, train_rows)
    if stage.start is not None:
        begin_from(model, stage.start)
    lay_out(model, recipe.training.memory_format or "contiguous")
    if material.weights is not None and recipe.training.freeze_early:
        freeze_early_layers(model, first[0][:1])
    body = material.weights.body_names(model) if material.weights is not None else []
    batches = Batches(
        gather=feed.train_gather,
        targets=feed.targets,
        rows=torch.from_numpy(train_rows),
        batch_size=recipe.training.batch_size or 64,
        seed=mix_seed(recipe.seed, stage.number),
        change=feed.change,
    )
    return Parts(
        model,
        spec,
        batches,
        make_optimizer(model, recipe, body, device),
        make_loss(recipe, material, train_rows, device),
        make_technique(recipe, device, stage),
        make_session(material, feed, valid_rows, recipe, stage),
        feed,
        valid_rows,
    )


def make_session(
    material: Material, feed: Feed, valid_rows: np.ndarray, recipe: Recipe, stage: Stage
) -> Session:
    """How the training is watched over; without validation rows the last epoch is kept."""
    task = material.samples.schema.task
    metric = recipe.evaluation.metric or "log_loss"

    def validate(module: nn.Module) -> Validation:
        predictions = predict_rows(module, feed, valid_rows, task)
        return validation_of(task, metric, material.samples.targets[valid_rows], predictions)

    judged = len(valid_rows) > 0
    return Session(
        folder=stage.folder,
        validate=validate if judged else None,
        metric=metric,
        higher_is_better=higher_is_better(metric),
        tolerance=recipe.training.tolerance or 0.0,
        patience=(recipe.training.patience or 0) if judged else 0,
        checkpoint_seconds=recipe.training.checkpoint_seconds,
        stage=stage.name,
        listen=stage.journal,
        should_stop=stage.should_stop,
    )


def fit_bins(model: nn.Module, feed: Feed, train_rows: np.ndarray) -> None:
    """Give piecewise-linear embeddings the quantiles of the training rows."""
    set_edges = getattr(model, "set_bins", None)
    if set_edges is not None:
        numbers = feed.gather(torch.from_numpy(train_rows))[0]
        set_edges(numbers.cpu().numpy())


def begin_from(model: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Copy the weights of an earlier run. Raises ModelError where not all of them fit."""
    report = load_partly(model, tensors)
    if report.missing or report.other_shape or report.unexpected:
        raise ModelError(
            "the earlier run has another model",
            got=str(report),
            expected="the same model, picture size and columns",
            command="flambeau train … --recipe EARLIER_RUN/recipe.yaml",
        )


@contextmanager
def explained(parts: Parts) -> Iterator[None]:
    """What goes wrong in a training, told to a person.

    Raises RunError for a checkpoint that cannot be written, ModelError for a loss that diverges or a model that is
    too large.
    """
    folder = parts.session.folder
    try:
        yield
    except CheckpointError as error:
        raise RunError(
            "a checkpoint could not be written; the ones before it are kept",
            where=folder,
            got=str(error),
            expected="free space",
            command=f"flambeau resume {folder.parent.parent}",
        ) from error
    except ArithmeticError as error:
        raise ModelError(
            "the training diverged", got=str(error), command="--set training.optimizer.lr=…"
        ) from error
    except MemoryError as error:
        raise ModelError("the model does not fit into memory", got=str(error)) from error
