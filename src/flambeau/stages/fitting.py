"""One model on one split: fed, built, trained with everything the recipe says, its predictions made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from flambeau.data.batches import INIT_STREAM, Batches, mix_seed
from flambeau.deploy.bundle import Preparation
from flambeau.errors import ModelError
from flambeau.evaluation.metrics import higher_is_better
from flambeau.evaluation.validation import Validation
from flambeau.models.backbone import freeze_early_layers
from flambeau.models.build import build_model
from flambeau.models.forecast_ridge import RidgeForecast, solve_ridge
from flambeau.models.spec import ModelSpec, picture_spec, table_spec
from flambeau.models.state_dicts import load_partly
from flambeau.models.whiten import WhitenFirst, rows_to_whiten
from flambeau.recipe import Recipe
from flambeau.stages.engine.fitness import check_answer, check_parameters, freeze
from flambeau.stages.engine.passes import set_passes
from flambeau.stages.engine.sampling import sampling_weights
from flambeau.stages.engine.technique import Stage, make_loss, make_optimizer, make_technique
from flambeau.stages.engine.trial import begin_weights, check_loss, tell_rules
from flambeau.stages.inputs import Feed
from flambeau.stages.journal import Journal
from flambeau.stages.material import Material
from flambeau.stages.mixed.model import FusionWeights, choose_fusion, wants_fusion
from flambeau.stages.parts import Parts
from flambeau.stages.series.feed import forecast_spec, unsolvable
from flambeau.stages.starting.weights import OwnWeights, StartingWeights, tell_report
from flambeau.stages.texts.feed import arrangement, choose_text_model
from flambeau.stages.validating import predict_rows, score_rows
from flambeau.training.precision import lay_out
from flambeau.training.session import Session
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SeriesPreparation
from flambeau.transforms.table import TablePreparation


def choose_spec(material: Material, preparation: Preparation, recipe: Recipe) -> ModelSpec:
    """The description of the model that the recipe asks for, for these data."""
    schema = material.samples.schema
    if recipe.model.whiten and (material.weights is not None or material.own_weights is not None):
        raise ModelError(
            "model.whiten changes what the first layer sees, so pretrained weights would mean nothing behind it",
            got=str(recipe.model.pretrained),
            expected="one of them",
            command="--set model.whiten=false",
        )
    if isinstance(preparation, SeriesPreparation):
        return forecast_spec(recipe.model, preparation, recipe.forecast)
    if isinstance(preparation, TablePreparation) and wants_fusion(preparation, recipe):
        return choose_fusion(material, preparation, recipe)
    if material.weights is not None:
        return material.weights.spec(schema.outputs, recipe.image.channels or 3, recipe.model.dropout)
    if isinstance(preparation, TablePreparation) and preparation.text is not None:
        return choose_text_model(preparation.text, recipe, schema.outputs)
    if isinstance(preparation, TablePreparation):
        return table_spec(
            recipe.model,
            number_features=len(preparation.numbers),
            cardinalities=preparation.cardinalities,
            outputs=schema.outputs,
            bins=recipe.table.bins or 0,
        )
    assert isinstance(preparation, PicturePreparation)
    return picture_spec(
        recipe.model, channels=preparation.channels, size=preparation.size, outputs=schema.outputs
    )


def make_model(
    spec: ModelSpec,
    weights: StartingWeights | OwnWeights | FusionWeights | None,
    seed: int,
    inputs: tuple[Tensor, ...],
    outputs: int,
    recipe: Recipe,
    journal: Journal,
) -> nn.Module:
    """The module with its first weights, after a trial on two samples.

    Raises ModelError for a module whose answer has another shape than (batch, outputs) or
    (batch, members, outputs), is not finite, or that fails on these inputs, and for one that cannot be trained.
    """
    torch.manual_seed(seed)
    model = build_model(spec)
    check_parameters(model, spec)
    begin_weights(model, recipe, seed)
    if weights is not None:
        tell_report(weights, model, weights.fill(model), journal)
    model.eval()
    trial = tuple(part[:2].cpu() for part in inputs)
    shapes = ", ".join(str(tuple(part.shape)) for part in trial)
    try:
        with torch.no_grad():
            answer = model(*trial)
    except Exception as error:  # a person's own forward may raise anything
        raise ModelError(
            f"the model '{spec.arguments.get('class', spec.name)}' fails on inputs of shape {shapes}",
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
    check_answer(model, trial, spec)
    return model


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
    outputs = material.samples.schema.outputs
    weights: StartingWeights | OwnWeights | FusionWeights | None = material.weights or material.own_weights
    if spec.name == "fusion" and material.weights is not None:
        weights = FusionWeights(material.weights)
    model = make_model(spec, weights, seed, first, outputs, recipe, stage.journal).to(device)
    fit_bins(model, feed, train_rows)
    fit_whitening(model, feed, train_rows)
    fit_closed_form(model, feed, train_rows, valid_rows, recipe)
    if stage.start is not None:
        begin_from(model, stage.start)
    lay_out(model, recipe.training.memory_format or "contiguous")
    if isinstance(weights, StartingWeights) and recipe.training.freeze_early:
        freeze_early_layers(model, first[0][:1])
    if isinstance(weights, FusionWeights) and recipe.mixed.frozen:
        weights.freeze(model)
    begin_epoch = freeze(model, recipe, stage)
    set_passes(model, recipe, first)
    body = weights.body_names(model) if isinstance(weights, StartingWeights | FusionWeights) else []
    batches = Batches(
        gather=feed.train_gather,
        targets=feed.targets,
        rows=torch.from_numpy(train_rows),
        batch_size=recipe.training.batch_size or 64,
        seed=mix_seed(recipe.seed, stage.number),
        change=feed.change,
        arrange=arrangement(feed.lengths),
        weights=sampling_weights(feed.targets, train_rows, recipe),
    )
    optimizer = make_optimizer(model, recipe, body, device)
    loss = make_loss(recipe, material, train_rows, device)
    check_loss(loss, model, feed, train_rows, material.samples.schema.task, recipe)
    tell_rules(model, optimizer, recipe, stage, len(train_rows))
    return Parts(
        model,
        spec,
        batches,
        optimizer,
        loss,
        replace(make_technique(recipe, device, stage), begin_epoch=begin_epoch),
        make_session(material, feed, valid_rows, recipe, stage),
        feed,
        stage.number,
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
        return score_rows(material.samples, feed, valid_rows, predictions, metric)

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


def fit_closed_form(
    model: nn.Module, feed: Feed, train_rows: np.ndarray, valid_rows: np.ndarray, recipe: Recipe
) -> None:
    """Solve for the weights of ridge regression on the training windows.

    Raises RecipeError where they cannot be with the penalty of the recipe.
    """
    if not isinstance(model, RidgeForecast) or not isinstance(feed.preparation, SeriesPreparation):
        return
    penalty = recipe.forecast.penalty or 0.0
    try:
        solve_ridge(
            model,
            feed.gather,
            feed.targets,
            torch.from_numpy(train_rows),
            torch.from_numpy(valid_rows),
            penalty=penalty,
            quantiles=feed.preparation.quantiles,
        )
    except torch.linalg.LinAlgError as error:
        raise unsolvable(penalty) from error


def fit_bins(model: nn.Module, feed: Feed, train_rows: np.ndarray) -> None:
    """Give piecewise-linear embeddings the quantiles of the training rows."""
    set_edges = getattr(model, "set_bins", None)
    preparation = feed.preparation
    if set_edges is not None and isinstance(preparation, TablePreparation) and preparation.has_cells:
        numbers = (feed.values or feed.gather)(torch.from_numpy(train_rows))[0]
        set_edges(numbers.cpu().numpy())


def fit_whitening(model: nn.Module, feed: Feed, train_rows: np.ndarray) -> None:
    """Give a whitening first layer its filters, from the training pictures alone."""
    if isinstance(model, WhitenFirst):
        model.fit_filters(feed.gather(torch.from_numpy(rows_to_whiten(train_rows)))[0])


def begin_from(
    model: nn.Module,
    tensors: Mapping[str, Tensor],
    what: str = "model",
    equal: str = "model, picture size and columns",
) -> None:
    """Copy the weights of an earlier run. Raises ModelError, naming what must be equal, where not all of them fit."""
    report = load_partly(model, tensors)
    if report.missing or report.other_shape or report.unexpected:
        raise ModelError(
            f"the earlier run has another {what}",
            got=str(report),
            expected=f"the same {equal}",
            command="flambeau train … --recipe EARLIER_RUN/recipe.yaml",
        )
