"""One model on one split: fed, built, trained with everything the recipe says, its predictions made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from flambeau.data.batches import Batches, mix_seed, ordered_batches
from flambeau.deploy.bundle import Preparation
from flambeau.errors import ModelError, RunError
from flambeau.evaluation.evaluate import predict_batches
from flambeau.evaluation.metrics import higher_is_better, score_predictions
from flambeau.evaluation.uncertainty import apply_temperature, fit_temperature
from flambeau.models.build import ModelSpec, build_model, picture_spec, table_spec
from flambeau.models.state_dicts import load_partly
from flambeau.planning.common import class_counts
from flambeau.recipe import Recipe
from flambeau.stages.inputs import Feed
from flambeau.stages.journal import Journal
from flambeau.stages.material import Material
from flambeau.stages.starting_weights import StartingWeights
from flambeau.training.fit import SCHEDULES
from flambeau.training.loop import Technique
from flambeau.training.losses import Loss, classification_loss, multilabel_loss, regression_loss
from flambeau.training.optimizers import make_adamw, make_sgd, parameter_groups
from flambeau.training.precision import lay_out
from flambeau.training.session import Session
from flambeau.training.state import Validation
from flambeau.transforms.table import TablePreparation

INIT_STREAM = 4
EVALUATION_BATCH = 512
MOST_CALIBRATED = 2_000_000
_LEAST_PROBABILITY = 1e-7


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
        return material.weights.spec(schema.outputs, recipe.image.channels or 3)
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
    model = build_model(spec) if weights is None else weights.build(spec)
    model.eval()
    trial = tuple(part[:2].cpu() for part in inputs)
    shapes = ", ".join(str(tuple(part.shape)) for part in trial)
    try:
        with torch.no_grad():
            answer = model(*trial)
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
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
        body_lr=options.body_lr,
    )
    if options.name == "sgd":
        return make_sgd(groups, momentum=options.momentum, device=device)
    return make_adamw(groups, beta1=options.momentum, beta2=options.beta2, device=device)


def make_technique(recipe: Recipe, device: torch.device) -> Technique:
    """How a step is done, from the recipe."""
    options = recipe.training
    return Technique(
        epochs=options.epochs or 1,
        schedule=partial(SCHEDULES[options.schedule.name], warmup=options.schedule.warmup),
        seed=recipe.seed,
        average_decay=options.ema or 0.0,
        clip_norm=options.clip_norm or 0.0,
        micro_batch=options.micro_batch or 0,
        precision=options.precision or "fp32",
        device=device,
    )


def predict_rows(
    module: nn.Module, feed: Feed, rows: np.ndarray, task: str, *, flip: bool = False
) -> np.ndarray:
    """Predictions for these rows, in the units of the task."""
    batches = ordered_batches(feed.gather, torch.from_numpy(rows), EVALUATION_BATCH)
    return predict_batches(
        module, batches, task, target_mean=feed.scaler.mean, target_std=feed.scaler.std, flip_average=flip
    )


def validation_of(task: str, metric: str, targets: np.ndarray, predictions: np.ndarray) -> Validation:
    """The mean loss of predictions, and the score that chooses the best epoch.

    Probabilities are calibrated first (Guo et al. 2017), as the kept model's will be: label smoothing and mixup make
    the raw log loss of better epochs look worse.
    """
    if task != "regression" and predictions.size <= MOST_CALIBRATED:
        temperature = fit_temperature(predictions, targets)
        predictions = apply_temperature(predictions, temperature, multilabel=task == "multilabel")
    if task == "classification":
        likelihood = predictions[np.arange(len(targets)), targets]
        loss = float(-np.log(np.maximum(likelihood, _LEAST_PROBABILITY)).mean())
    elif task == "multilabel":
        likelihood = np.where(targets > 0.5, predictions, 1 - predictions)
        loss = float(-np.log(np.maximum(likelihood, _LEAST_PROBABILITY)).mean())
    else:
        loss = float(np.square(targets - predictions).mean())
    quick: dict[str, Callable[[], float]] = {
        "log_loss": lambda: loss,
        "accuracy": lambda: float((predictions.argmax(axis=1) == targets).mean()),
        "rmse": lambda: loss**0.5,
    }
    if metric in quick and not (metric == "accuracy" and task == "multilabel"):
        return Validation(loss=loss, score=quick[metric]())
    scores = score_predictions(task, targets, predictions)
    worst = 0.0 if higher_is_better(metric) else float("inf")
    return Validation(loss=loss, score=scores.get(metric, worst))


def assemble(
    material: Material,
    feed: Feed,
    train_rows: np.ndarray,
    valid_rows: np.ndarray,
    recipe: Recipe,
    *,
    number: int,
    stage: str,
    folder: Path,
    journal: Journal,
    should_stop: Callable[[], bool],
    start: dict[str, Tensor] | None = None,
) -> Parts:
    """Everything for one training.

    `number` tells trainings of a run apart and seeds their first weights; `start` are the weights of an earlier
    run, of which those that fit by name and shape are taken.
    """
    device = torch.device(recipe.device or "cpu")
    schema = material.samples.schema
    spec = choose_spec(material, feed.preparation, recipe)
    seed = mix_seed(recipe.seed, INIT_STREAM, number)
    first = feed.gather(torch.from_numpy(train_rows[:2]))
    model = make_model(spec, material.weights, seed, first, schema.outputs).to(device)
    fit_bins(model, feed, train_rows)
    if start is not None:
        load_partly(model, start)
    lay_out(model, recipe.training.memory_format or "contiguous")
    body = material.weights.body_names(model) if material.weights is not None else []
    metric = recipe.evaluation.metric or "log_loss"

    def validate(module: nn.Module) -> Validation:
        predictions = predict_rows(module, feed, valid_rows, schema.task)
        return validation_of(schema.task, metric, material.samples.targets[valid_rows], predictions)

    session = Session(
        folder=folder,
        validate=validate if len(valid_rows) else None,
        metric=metric,
        higher_is_better=higher_is_better(metric),
        patience=(recipe.training.patience or 0) if len(valid_rows) else 0,
        checkpoint_seconds=recipe.training.checkpoint_seconds,
        stage=stage,
        listen=journal,
        should_stop=should_stop,
    )
    batches = Batches(
        gather=feed.train_gather,
        targets=feed.targets,
        rows=torch.from_numpy(train_rows),
        batch_size=recipe.training.batch_size or 64,
        seed=mix_seed(recipe.seed, number),
        change=feed.change,
    )
    return Parts(
        model,
        spec,
        batches,
        make_optimizer(model, recipe, body, device),
        make_loss(recipe, material, train_rows, device),
        make_technique(recipe, device),
        session,
        feed,
        valid_rows,
    )


def fit_bins(model: nn.Module, feed: Feed, train_rows: np.ndarray) -> None:
    """Give piecewise-linear embeddings the quantiles of the training rows."""
    set_edges = getattr(model, "set_bins", None)
    if set_edges is not None:
        numbers = feed.gather(torch.from_numpy(train_rows))[0]
        set_edges(numbers.cpu().numpy())


def translate_training_error(error: Exception, folder: Path) -> Exception:
    """What a training's failure means to a person."""
    if isinstance(error, OSError):
        return RunError(
            "a checkpoint could not be written; the ones before it are kept",
            where=folder,
            got=error.strerror or str(error),
            expected="free space",
            command=f"flambeau resume {folder.parent.parent}",
        )
    if isinstance(error, ArithmeticError):
        return ModelError("the training diverged", got=str(error), command="--set training.optimizer.lr=…")
    return error
