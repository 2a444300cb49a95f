"""The whole flow on one page: read → check → split → prepare → train → evaluate → bundle → report."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from flambeau.data.split import Split, fold_indices
from flambeau.deploy.bundle import Bundle
from flambeau.errors import RunError
from flambeau.evaluation.calibration import apply_temperature, fit_temperature
from flambeau.models.build import ModelSpec, ensemble_spec
from flambeau.models.joined import Ensemble
from flambeau.planning.machine import describe_machine, resolve_device
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.text import load_recipe
from flambeau.records import RunFolder
from flambeau.stages.fitting import Parts, Stage, assemble, translate_training_error
from flambeau.stages.head import backbone_features, train_head
from flambeau.stages.inputs import Feed, make_feed
from flambeau.stages.journal import Journal, Listener
from flambeau.stages.judging import Judged, join_judged, judge_baselines, make_scores
from flambeau.stages.keeping import check_same_data, keep_plan, keep_result, splits_from_json
from flambeau.stages.material import Material, divide, gather_material, read_samples, target_strata
from flambeau.stages.setting import count_trainings, remember_own_model, set_up_torch, start_of
from flambeau.stages.speed import set_length, tune_precision
from flambeau.stages.stopping import stop_on_interrupt
from flambeau.stages.validating import predict_rows
from flambeau.training.session import run_session

FINAL, REFIT = 10_000, 20_000


def train(
    source: str,
    recipe: Recipe,
    *,
    out: Path | None = None,
    from_run: Path | None = None,
    listener: Listener = lambda record: None,
    command: str = "",
    tune: bool = False,
) -> RunFolder:
    """From a source to a finished run.

    Args:
        source: a folder, a file, or the name of a built-in data set.
        recipe: what the person decided; the rest is chosen and told.
        out: the run's folder; runs/NAME-1 and so on for None.
        from_run: a run whose weights are the start.
        listener: receives every record.
        command: what the person typed, for the report.
        tune: time precision and layout instead of following the rule.

    Raises:
        FlambeauError: with what, where, got, expected and the next command.
        KeyboardInterrupt: the person stopped it; what was done is saved.
    """
    journal = Journal(listener)
    choices = Choices(recipe, journal.choice)
    choices.recipe.source = source
    machine = describe_machine(resolve_device(recipe.device))
    remember_own_model(recipe)
    samples = read_samples(choices.recipe, journal)
    material = gather_material(samples, choices, machine, journal)
    splits = divide(material, choices.recipe)
    set_up_torch(choices.recipe)
    training = _Training(material, choices, journal, Path(), start=start_of(from_run))
    trial = training.parts(splits[0].train, splits[0].valid, number=0, stage="trial")
    if tune:
        tune_precision(trial, choices, journal)
    set_length(trial, choices, journal, trainings=count_trainings(splits, choices.recipe))
    run = RunFolder.create(out, Path(source).stem)
    journal.attach(run)
    keep_plan(run, material.samples, splits, choices, command)
    training.folder = run.checkpoints
    if from_run is not None:
        run.write_json("start.json", {"from": str(from_run)})
    return carry_out(run, training, splits)


def resume(run: RunFolder, *, listener: Listener = lambda record: None) -> RunFolder:
    """Go on with a run that was stopped or killed; it ends in the weights it would have had.

    Raises RunError for a finished run, one that has not come to its plan, or one whose data have changed.
    """
    if run.finished:
        raise RunError("this run is finished", where=run.path, command=f"flambeau report {run.path}")
    recipe = load_recipe(run.recipe) if run.recipe.is_file() else None
    if recipe is None:
        raise RunError(
            "this run was stopped before it had a plan", where=run.path, command="flambeau train …"
        )
    times = [record["time"] for record in run.read_log() if "time" in record]
    journal = Journal(listener, seconds_before=max(times, default=0.0))
    journal.attach(run)
    journal.note(f"going on with {run.path}")
    choices = Choices(recipe, journal.choice)
    machine = describe_machine(resolve_device(recipe.device))
    samples = read_samples(recipe, journal)
    material = gather_material(samples, choices, machine, journal)
    check_same_data(run, material.samples)
    set_up_torch(recipe)
    start = run.read_json("start.json")["from"] if (run.path / "start.json").is_file() else None
    training = _Training(material, choices, journal, run.checkpoints, start=start_of(start and Path(start)))
    return carry_out(run, training, splits_from_json(run.read_json("split.json")))


def carry_out(run: RunFolder, training: _Training, splits: list[Split]) -> RunFolder:
    """Train and test on every split, train what is kept, and write the result."""
    material, recipe, journal = training.material, training.recipe, training.journal
    judged: list[Judged] = []
    fitted: _Fitted | None = None
    for number, split in enumerate(splits):
        stage = f"fold {number + 1} of {len(splits)}" if len(splits) > 1 else ""
        fitted = training.fit(split.train, split.valid, number=100 * number, stage=stage)
        journal.stage("test", f"testing {stage or 'on the untouched test part'}")
        judged.append(training.judge(fitted, split))
    assert fitted is not None
    tested = join_judged(judged)
    everything = np.arange(len(material.samples))
    kept_after_test = len(splits) > 1 or recipe.split.refit
    if kept_after_test:
        temperature = fitted.temperature if len(splits) == 1 else temperature_of(material, tested)
        journal.stage("final", "training the model that is kept on all samples")
        number = FINAL if len(splits) > 1 else REFIT
        fitted = training.fit(everything, everything[:0], number=number, stage="all samples")
        fitted.temperature = temperature
    scores = make_scores(material, splits, tested, recipe, fitted.temperature)
    if kept_after_test:
        scores["kept"] = "a model trained on all samples after the test"
    bundle = Bundle(
        material.samples.schema,
        fitted.spec,
        fitted.feed.preparation,
        fitted.module,
        fitted.feed.scaler,
        fitted.temperature,
    )
    scores["seconds"] = round(journal.seconds, 2)
    keep_result(run, material, tested, scores, bundle, recipe, journal)
    return run


@dataclass
class _Fitted:
    """A model, one or several judged as one, with what it is fed and how sure it should be."""

    module: nn.Module
    spec: ModelSpec
    feed: Feed
    temperature: float = 1.0
    features: np.ndarray | None = None


@dataclass
class _Training:
    """What all trainings of a run share."""

    material: Material
    choices: Choices
    journal: Journal
    folder: Path
    start: dict[str, torch.Tensor] | None = None

    @property
    def recipe(self) -> Recipe:
        return self.choices.recipe

    def parts(
        self,
        train_rows: np.ndarray,
        valid_rows: np.ndarray,
        *,
        number: int,
        stage: str,
        feed: Feed | None = None,
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Parts:
        device = torch.device(self.recipe.device or "cpu")
        feed = feed or make_feed(self.material, train_rows, self.recipe, device)
        folder = self.folder / f"training-{number:05d}"
        one = Stage(number, stage, folder, self.journal, should_stop, self.start)
        return assemble(self.material, feed, train_rows, valid_rows, self.recipe, one)

    def fit(self, train_rows: np.ndarray, valid_rows: np.ndarray, *, number: int, stage: str) -> _Fitted:
        """Train one model, or as many as there are bags, each with its own validation rows."""
        bags = self.recipe.training.bags or 1
        pool = np.sort(np.concatenate([train_rows, valid_rows]))
        divisions = [(train_rows, valid_rows)]
        if bags > 1:
            strata, groups = target_strata(self.material.samples)[pool], self.material.groups
            folds = fold_indices(
                len(pool),
                bags,
                strata=strata,
                groups=None if groups is None else groups[pool],
                seed=self.recipe.seed,
            )
            divisions = [(np.setdiff1d(pool, pool[fold.test]), pool[fold.test]) for fold in folds]
        device = torch.device(self.recipe.device or "cpu")
        feed = make_feed(self.material, pool if bags > 1 else train_rows, self.recipe, device)
        modules, specs, validated, rows = [], [], [], []
        features = None
        task = self.material.samples.schema.task
        for bag, (train_part, valid_part) in enumerate(divisions):
            name = f"{stage}, bag {bag + 1} of {bags}".removeprefix(", ") if bags > 1 else stage
            with stop_on_interrupt() as should_stop:
                parts = self.parts(
                    train_part,
                    valid_part,
                    number=number + bag,
                    stage=name,
                    feed=feed,
                    should_stop=should_stop,
                )
                if self.material.weights is not None and features is None:
                    features = (
                        backbone_features(parts.model, parts, np.arange(len(self.material.samples)))
                        .cpu()
                        .numpy()
                    )
                module = self._run(parts)
            modules.append(module)
            specs.append(parts.spec)
            if len(valid_part):
                validated.append(predict_rows(module, feed, valid_part, task))
                rows.append(valid_part)
        whole = modules[0] if bags == 1 else Ensemble(modules).eval()
        fitted = _Fitted(whole, ensemble_spec(specs), feed, features=features)
        if rows and task != "regression":
            targets = self.material.samples.targets[np.concatenate(rows)]
            fitted.temperature = fit_temperature(np.concatenate(validated), targets)
        return fitted

    def _run(self, parts: Parts) -> nn.Module:
        try:
            if self.material.weights is not None:
                train_head(parts, self.recipe)
            state = run_session(
                parts.model, parts.batches, parts.optimizer, parts.loss, parts.technique, parts.session
            )
        except (OSError, ArithmeticError, MemoryError) as error:
            raise translate_training_error(error, parts.session.folder) from error
        return state.evaluated

    def judge(self, fitted: _Fitted, split: Split) -> Judged:
        """Predictions of the model and of the baselines on the test part of a split."""
        task = self.material.samples.schema.task
        predictions = predict_rows(fitted.module, fitted.feed, split.test, task)
        if task != "regression":
            predictions = apply_temperature(predictions, fitted.temperature, multilabel=task == "multilabel")
        baselines, notes = judge_baselines(self.material, fitted.feed, split, self.recipe, fitted.features)
        for note in notes:
            self.journal.note(note)
        return Judged(split.test, predictions, baselines)


def temperature_of(material: Material, judged: Judged) -> float:
    """The temperature that cross-validated predictions ask for."""
    if material.samples.schema.task == "regression":
        return 1.0
    return fit_temperature(judged.predictions, material.samples.targets[judged.rows])
