"""The head of a pretrained model first, on features computed once, before the whole model is trained."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from flambeau.data.batches import Batches, gather_tensors, ordered_batches
from flambeau.evaluation.validation import Validation
from flambeau.models.backbone import find_head, remove_head
from flambeau.recipe import Recipe
from flambeau.stages.fitting import Parts
from flambeau.stages.technique import make_optimizer
from flambeau.stages.validating import batch_of
from flambeau.training.session import run_session

HEAD_BATCH = 64


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

    A head that is not linear is left to the training of the whole model.

    Args:
        parts: of the training that follows; its model's head is replaced by the trained one.
        recipe: resolved.
        features: (n, features) of all samples, from `backbone_features`.
    """
    epochs = recipe.training.head_epochs or 0
    head = parts.model.get_submodule(find_head(parts.model))
    if epochs == 0 or not isinstance(head, nn.Linear):
        return
    rows = parts.batches.rows
    device = parts.technique.device
    own = torch.from_numpy(features[rows.numpy()]).to(device)
    batches = Batches(
        gather=gather_tensors(own),
        targets=parts.feed.targets[rows.to(parts.feed.targets.device)],
        rows=torch.arange(len(rows)),
        batch_size=min(HEAD_BATCH, recipe.training.batch_size or HEAD_BATCH),
        seed=parts.batches.seed,
    )
    alone = nn.Linear(head.in_features, head.out_features).to(device)
    alone.load_state_dict(head.state_dict())
    technique = replace(parts.technique, epochs=epochs, micro_batch=0, precision="fp32", average_decay=0.0)
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
