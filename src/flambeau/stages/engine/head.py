"""The head of a pretrained model on features computed once: before the whole model is trained, or instead of it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.modules.dropout import _DropoutNd

from flambeau.data.batches import Batches, gather_tensors, ordered_batches
from flambeau.evaluation.validation import Validation, validate_predictions
from flambeau.models.backbone import copy_head, find_head, find_head_dropout, remove_head
from flambeau.models.freezing import layers_from_head
from flambeau.models.fused_body import join_picture_body
from flambeau.models.fusion import Fusion
from flambeau.recipe import Recipe
from flambeau.stages.engine.technique import make_optimizer, make_schedule
from flambeau.stages.engine.trial import TRIAL
from flambeau.stages.material import Material
from flambeau.stages.parts import Parts
from flambeau.stages.validating import batch_of, predict_rows
from flambeau.training.loop import nothing_to_begin
from flambeau.training.names import head_batch_size
from flambeau.training.session import run_session


def backbone_features(model: nn.Module, parts: Parts, rows: np.ndarray) -> Tensor:
    """(rows, features) that the head of the model sees for these rows, unchanged pictures, in fp32."""
    body = remove_head(model).eval()
    with torch.inference_mode():
        blocks = [
            body(*inputs).flatten(1)
            for inputs in ordered_batches(parts.feed.gather, torch.from_numpy(rows), batch_of(parts.feed))
        ]
    return torch.cat(blocks).clone()


def train_head(parts: Parts, recipe: Recipe, features: np.ndarray) -> None:
    """Train the head alone for `training.head_epochs` epochs; the body's features are computed only once.

    A head that is not linear, or that is frozen, is left to the training of the whole model.

    Args:
        parts: of the training that follows; its model's head is replaced by the trained one.
        recipe: resolved.
        features: (n, features) of all samples, from `backbone_features`.
    """
    epochs = recipe.training.head_epochs or 0
    head = parts.model.get_submodule(find_head(parts.model))
    if epochs == 0 or not isinstance(head, nn.Linear) or not head.weight.requires_grad:
        return
    rows = parts.batches.rows
    device = parts.technique.device
    own = torch.from_numpy(features[rows.numpy()]).to(device)
    batches = Batches(
        gather=gather_tensors(own),
        targets=parts.feed.targets[rows.to(parts.feed.targets.device)],
        rows=torch.arange(len(rows)),
        batch_size=head_batch_size(recipe.training.optimizer.name, recipe.training.batch_size),
        seed=parts.batches.seed,
        weights=parts.batches.weights,
    )
    alone = nn.Linear(head.in_features, head.out_features).to(device)
    alone.load_state_dict(head.state_dict())
    technique = replace(
        parts.technique,
        epochs=epochs,
        schedule=make_schedule(recipe, epochs),
        micro_batch=0,
        precision="fp32",
        average_decay=0.0,
        begin_epoch=nothing_to_begin,
    )
    validate = None
    if len(parts.valid_rows):
        judged = torch.from_numpy(features[parts.valid_rows]).to(device)
        validate = partial(_judge, features=judged, parts=parts)
    session = replace(
        parts.session,
        folder=parts.session.folder.with_name(parts.session.folder.name + "-head"),
        stage=f"{parts.session.stage}, head".removeprefix(", "),
        validate=validate,
        metric="loss",
        higher_is_better=False,
        patience=0,
    )
    state = run_session(
        alone, batches, make_optimizer(alone, recipe, [], device), parts.loss, technique, session
    )
    parts.head_changes = state.changes
    head.load_state_dict(state.evaluated.state_dict())


def _judge(module: nn.Module, features: Tensor, parts: Parts) -> Validation:
    targets = parts.feed.targets[torch.from_numpy(parts.valid_rows).to(parts.feed.targets.device)]
    module.eval()
    with torch.inference_mode():
        value = float(parts.loss(module(features), targets))
    return Validation(loss=value, score=value)


def why_no_features(parts: Parts, recipe: Recipe) -> str | None:
    """None where the head can be trained on features that the frozen body gives once; otherwise why it cannot.

    The empty string where the body is not frozen as a whole, so that nobody expects it.
    """
    if "body" not in recipe.training.freeze:
        return ""
    place = find_head(parts.model)
    head = parts.model.get_submodule(place)
    if not isinstance(head, nn.Linear):
        return f"its head is a {type(head).__name__}, not a linear layer"
    if not all(name in (f"{place}.weight", f"{place}.bias") for name in layers_from_head(parts.model)[0]):
        return "its head is not one linear layer"
    changes = [key for key, value in recipe.image.augment.model_dump().items() if value]
    if changes:
        return f"the pictures change from epoch to epoch ({', '.join(changes)})"
    few = tuple(part[:2] for part in parts.feed.gather(parts.batches.rows[:2]))
    model = parts.model.eval()
    with torch.inference_mode():
        whole, through = model(*few), head(remove_head(model)(*few).flatten(1))
    if whole.shape != through.shape or not torch.allclose(whole, through, rtol=1e-3, atol=1e-4):
        return "the model does more after its last linear layer"
    return None


def describe_features(parts: Parts, recipe: Recipe) -> Iterator[str]:
    """What is done in another way on features than the recipe's words say of a whole model, in sentences."""
    options = recipe.training
    changed = []
    if options.precision not in (None, "fp32"):
        changed.append(f"in fp32 instead of {options.precision}")
    if options.micro_batch is not None:
        changed.append(f"on whole batches instead of parts of {options.micro_batch}")
    if changed:
        yield f"the head alone is trained {' and '.join(changed)}: one small layer gains nothing by them"
    model = parts.model
    kept = find_head_dropout(model, *parts.feed.gather(parts.batches.rows[:2]))
    dropping = [name for name, module in model.named_modules() if drops_at_random(module) and name != kept]
    if dropping:
        more = f" and {len(dropping) - 3} more" if len(dropping) > 3 else ""
        yield (
            "features are computed once, without what the body drops at random in training: "
            f"{', '.join(dropping[:3])}{more}"
        )


def drops_at_random(module: nn.Module) -> bool:
    """Whether this layer is a dropout or a stochastic depth that drops something."""
    if isinstance(module, _DropoutNd):
        return module.p > 0
    share = getattr(module, "p", getattr(module, "drop_prob", 0.0))
    return type(module).__name__ in ("StochasticDepth", "DropPath") and bool(share)


def train_on_features(parts: Parts, recipe: Recipe, material: Material, features: np.ndarray) -> Parts:
    """The same training with the head alone in the model's place, and features in the place of inputs.

    Args:
        parts: of a model whose body is frozen.
        recipe: resolved.
        material: of the run.
        features: (n, features) of all samples, from `backbone_features`.
    """
    if parts.number == 0 and parts.session.stage != TRIAL:
        for text in describe_features(parts, recipe):
            parts.session.listen({"kind": "note", "text": text})
    device = parts.technique.device
    task = material.samples.schema.task
    gather = gather_tensors(torch.from_numpy(features).to(device))
    feed = replace(parts.feed, gather=gather, train_gather=gather, change=None)
    head = copy_head(parts.model, *parts.feed.gather(parts.batches.rows[:2]))

    def validate(module: nn.Module) -> Validation:
        predictions = predict_rows(module, feed, parts.valid_rows, task)
        return validate_predictions(
            task, parts.session.metric, material.samples.targets[parts.valid_rows], predictions
        )

    return replace(
        parts,
        model=head,
        batches=replace(parts.batches, gather=gather, change=None),
        optimizer=make_optimizer(head, recipe, [], device),
        technique=replace(parts.technique, micro_batch=0, precision="fp32", begin_epoch=nothing_to_begin),
        session=replace(parts.session, validate=validate if len(parts.valid_rows) else None),
        whole=parts.model,
    )


def whole_model(module: nn.Module, parts: Parts) -> nn.Module:
    """What was trained; where that was the head alone, the whole model with this head."""
    if parts.whole is None:
        return module
    if isinstance(parts.whole, Fusion):
        assert isinstance(module, Fusion)
        return join_picture_body(module, parts.whole)
    head = module.get_submodule(find_head(module))
    parts.whole.get_submodule(find_head(parts.whole)).load_state_dict(head.state_dict())
    return parts.whole.eval()
