"""The trainings of a run: one a split, or one a bag of it; what they share, and how their models become one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import torch
from torch import nn

from flambeau.data.split import Split, equal_parts
from flambeau.deploy.bundle import Preparation
from flambeau.evaluation.calibration import apply_temperature
from flambeau.evaluation.decide import choose_classes
from flambeau.evaluation.temperature import fit_temperature
from flambeau.models.fusion import Fusion
from flambeau.models.joined import Ensemble
from flambeau.models.spec import ensemble_spec
from flambeau.planning.common import decides_by_threshold, trains_again
from flambeau.recipe import Choices, Recipe
from flambeau.schema import PROBABILITY_TASKS
from flambeau.stages.binary import validate_rows, with_decisions
from flambeau.stages.dividing import target_strata
from flambeau.stages.engine.head import backbone_features, train_head, train_on_features, why_no_features
from flambeau.stages.engine.sharing import share_training
from flambeau.stages.engine.stopping import StopSwitch
from flambeau.stages.engine.technique import Stage, make_optimizer
from flambeau.stages.engine.trial import TRIAL
from flambeau.stages.fitting import assemble
from flambeau.stages.inputs import Feed, make_feed
from flambeau.stages.journal import Journal
from flambeau.stages.judged import Judged
from flambeau.stages.judging import judge_baselines
from flambeau.stages.material import Material
from flambeau.stages.members import Fitted, Member, all_alike, left_out_by_all
from flambeau.stages.mixed.model import (
    Features,
    encoder_features,
    feed_of_features,
    train_on_encoder_features,
    without_body,
)
from flambeau.stages.parts import Parts
from flambeau.stages.starting.start import Start
from flambeau.stages.texts.unknown import threshold_of_validation
from flambeau.stages.validating import predict_rows
from flambeau.training.distributed import ALONE, Ranks
from flambeau.transforms.table import TablePreparation


@dataclass
class Trainings:
    """What all trainings of a run share.

    Args:
        material, choices, journal: of the run.
        folder: of the checkpoints.
        start: an earlier run to go on from.
        ranks: the processes that train together.
        stop: whether the person asked to stop.
        encoded: what a frozen body says of the pictures of columns, as far as that was computed.
        epochs: instead of the recipe's, where the trainings before stopped early and this one cannot.
    """

    material: Material
    choices: Choices
    journal: Journal
    folder: Path
    start: Start | None = None
    ranks: Ranks = ALONE
    stop: StopSwitch = field(default_factory=StopSwitch)
    epochs: int | None = None
    _features: np.ndarray | None = None
    _features_of: Preparation | None = None
    _placement_told: bool = False
    encoded: Features = field(default_factory=dict)

    @property
    def recipe(self) -> Recipe:
        """The recipe as it is resolved so far."""
        return self.choices.recipe

    @property
    def flip(self) -> bool:
        """Whether a picture's answer is averaged with that of its mirror image."""
        return self.material.pixels is not None and bool(self.recipe.image.flip_average)

    @property
    def decides_by_threshold(self) -> bool:
        """See `flambeau.planning.common`."""
        return decides_by_threshold(self.recipe)

    @property
    def device(self) -> torch.device:
        """Where models are trained."""
        return torch.device(self.recipe.device or "cpu")

    def feed(self, fitting_rows: np.ndarray) -> Feed:
        """The feed fitted on these rows, or the earlier run's."""
        feed = make_feed(self.material, fitting_rows, self.recipe, self.device, self.start)
        if self.device.type == "cuda" and feed.placement and not self._placement_told:
            self._placement_told = True
            self.journal.note(feed.placement)
        return feed

    def parts(
        self, feed: Feed, train_rows: np.ndarray, valid_rows: np.ndarray, *, number: int, name: str
    ) -> Parts:
        """Everything for one training."""
        start = None if self.start is None else self.start.tensors
        folder = self.folder / f"training-{number:05d}"
        stage = Stage(number, name, folder, self.journal, self.stop, start, self.epochs)
        return self.on_features(assemble(self.material, feed, train_rows, valid_rows, self.recipe, stage))

    def on_features(self, parts: Parts) -> Parts:
        """The same training, of the head alone on features that are computed once, where the body is frozen."""
        if parts.spec.name == "fusion":
            return self.on_encoder_features(parts)
        reason = why_no_features(parts, self.recipe)
        tells = parts.number == 0 and parts.session.stage != TRIAL
        if reason is None:
            if tells:
                self.journal.note(
                    "feature extraction: the body is frozen, so its features of each unchanged picture or row are "
                    "computed once, and only the head is trained, on them"
                )
            if self.material.weights is not None:
                return train_on_features(parts, self.recipe, self.material, self.features(parts))
            rows = np.arange(len(self.material.samples))
            features = backbone_features(parts.model, parts, rows).cpu().numpy()
            return train_on_features(parts, self.recipe, self.material, features)
        if reason and tells:
            self.journal.note(f"the frozen body's features are not computed once: {reason}")
        return parts

    def on_encoder_features(self, parts: Parts) -> Parts:
        """The training of a fused model; without its frozen body, if it has one, whose features are computed once."""
        if self.material.weights is None or not self.recipe.mixed.frozen:
            return parts
        features = self.encoder_features(parts.model, parts.feed)
        make = partial(make_optimizer, recipe=self.recipe, body=[], device=self.device)
        return train_on_encoder_features(parts, features, self.material, make)

    def encoder_features(self, model: nn.Module, feed: Feed) -> Features:
        """What the frozen body says of each picture of each column; once for each preparation of pictures."""
        assert isinstance(feed.preparation, TablePreparation)
        if not self.encoded.keys() >= set(feed.preparation.pictures):
            self.journal.stage("features", "computing what the frozen body says of each picture")
            self.encoded.clear()
            self.encoded.update(encoder_features(model, self.material, feed.preparation, self.recipe))
        return self.encoded

    def predict(self, module: nn.Module, feed: Feed, rows: np.ndarray) -> np.ndarray:
        """Predictions for these rows; those of a frozen body from its features."""
        task = self.material.samples.schema.task
        first = module.models[0] if isinstance(module, Ensemble) else module
        if isinstance(first, Fusion) and self.material.weights is not None and self.recipe.mixed.frozen:
            features = self.encoder_features(first, feed)
            return predict_rows(
                without_body(module, feed), feed_of_features(feed, self.material, features), rows, task
            )
        return predict_rows(module, feed, rows, task, flip=self.flip)

    def parts_of(
        self, train_rows: np.ndarray, valid_rows: np.ndarray, *, number: int, name: str
    ) -> Iterator[Parts]:
        """The trainings of one split, each made when its turn comes; a new pretrained head is trained first."""
        divisions = self.divide_into_bags(train_rows, valid_rows)
        alike = all_alike([valid_part for _, valid_part in divisions])
        feed = self.feed(train_rows if alike else np.union1d(train_rows, valid_rows))
        for bag, (train_part, valid_part) in enumerate(divisions):
            title = f"{name}, bag {bag + 1} of {len(divisions)}" if len(divisions) > 1 else name
            parts = self.parts(
                feed, train_part, valid_part, number=number + bag, name=title.removeprefix(", ")
            )
            has_head = self.material.weights is not None and parts.spec.name != "fusion"
            if has_head and parts.whole is None:
                with self.stop.catching():
                    self.ranks.of_first(partial(self.train_head, parts))
            share_training(parts, self.material, self.recipe, self.ranks, self.journal)
            yield parts

    def train_head(self, parts: Parts) -> None:
        """Train a new pretrained head before the whole model; of several processes the first one does."""
        train_head(parts, self.recipe, self.features(parts))

    def features(self, parts: Parts) -> np.ndarray:
        """(n, features) of all samples from the pretrained body, before it is trained: once for each preparation."""
        if self._features is None or self._features_of != parts.feed.preparation:
            self.journal.stage("features", "computing the features of the pretrained body")
            rows = np.arange(len(self.material.samples))
            self._features_of = parts.feed.preparation
            self._features = backbone_features(parts.model, parts, rows).cpu().numpy()
        return self._features

    def divide_into_bags(
        self, train_rows: np.ndarray, valid_rows: np.ndarray
    ) -> list[tuple[np.ndarray, np.ndarray]]:
        """Train and validation rows of each bag; without bags, or with too few groups for them, those given.

        Where a threshold is chosen, all bags leave out the same rows and differ by their seeds alone, which is enough
        (Lakshminarayanan et al. 2017, "Deep Ensembles"): a threshold of the average needs rows that none of them knows,
        nor what was fitted for them: words, means, bins.
        """
        bags = self.recipe.training.bags or 1
        if bags == 1:
            return [(train_rows, valid_rows)]
        if len(valid_rows) and self.decides_by_threshold:
            return [(train_rows, valid_rows)] * bags
        pool = np.union1d(train_rows, valid_rows)
        groups = None if self.material.groups is None else self.material.groups[pool]
        bags = min(bags, len(pool) if groups is None else len(np.unique(groups)))
        if bags < 2:
            return [(train_rows, valid_rows)]
        strata = target_strata(self.material.samples)[pool]
        left_out = equal_parts(len(pool), bags, strata=strata, groups=groups, seed=self.recipe.seed)
        return [(np.setdiff1d(pool, pool[rows]), pool[rows]) for rows in left_out]

    def join(self, members: list[Member]) -> Fitted:
        """The models of one split as one, calibrated where that can be done honestly.

        The average of several is left as it is: averaging softens probabilities by itself, and sharper ones would be
        too sure of what is unlike the training data, where averages are at their best.
        """
        first = members[0]
        task = self.material.samples.schema.task
        whole = first.module if len(members) == 1 else Ensemble(member.module for member in members).eval()
        spec = ensemble_spec([member.parts.spec for member in members])
        best = round(median(member.best_epoch for member in members))
        told = [member.to_json() for member in members]
        fitted = Fitted(whole, spec, first.parts.feed, 1.0, best, told)
        unseen = self.unseen(members, whole) if self.ranks.first and task in PROBABILITY_TASKS else None
        if unseen is None:
            return fitted
        samples = self.material.samples
        rows, raw = unseen
        if len(members) == 1:
            fitted.temperature = fit_temperature(raw, samples.targets[rows])
        predictions = apply_temperature(raw, fitted.temperature, multilabel=task == "multilabel")
        fitted.threshold = threshold_of_validation(samples, self.recipe, rows, predictions)
        fitted.validated = validate_rows(samples, self.recipe, rows, predictions)
        return fitted

    def unseen(self, members: list[Member], whole: nn.Module) -> tuple[np.ndarray, np.ndarray] | None:
        """Validation rows with predictions of a model that was not trained on them; None where a member has none.

        Of the model as a whole where all members left out the same rows; else each member's own for its rows.
        """
        if not all(len(member.parts.valid_rows) for member in members):
            return None
        first = members[0].parts
        if left_out_by_all(members):
            return first.valid_rows, self.predict(whole, first.feed, first.valid_rows)
        found = [self.predict(one.module, one.parts.feed, one.parts.valid_rows) for one in members]
        return np.concatenate([one.parts.valid_rows for one in members]), np.concatenate(found)

    def judge(self, fitted: Fitted, split: Split) -> Judged:
        """Predictions of the model and of the baselines on the test part of a split."""
        raw = self.predict(fitted.module, fitted.feed, split.test)
        predictions = self.calibrated(raw, fitted)
        baselines, notes = judge_baselines(self.material, fitted.feed, split, self.recipe, self._features)
        for note in notes:
            self.journal.note(note)
        judged = Judged(split.test, predictions, baselines, raw)
        if self.recipe.text.unknown:
            judged = replace(judged, thresholds=np.full(len(split.test), fitted.threshold))
        validated = fitted.validated
        if validated is not None and validated.point is not None and trains_again(self.recipe):
            known = self.calibrated(self.predict(fitted.module, fitted.feed, split.train), fitted)
            share = float(choose_classes(known, validated.point).mean())
            validated = replace(validated, share=share)
        return with_decisions(judged, validated)

    def calibrated(self, raw: np.ndarray, fitted: Fitted) -> np.ndarray:
        """Predictions at the model's temperature; those of numbers as they are."""
        task = self.material.samples.schema.task
        if task not in PROBABILITY_TASKS:
            return raw
        return apply_temperature(raw, fitted.temperature, multilabel=task == "multilabel")
