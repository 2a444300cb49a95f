"""The flow of a net that makes pictures: train both nets, score the generator on the untouched test part, keep it.

Reading, decoding, checking and splitting are those of all pictures; see `flambeau.pipeline`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from flambeau.data.split import Split
from flambeau.deploy.bundle import Bundle
from flambeau.deploy.making.making import png_of
from flambeau.errors import DataError, ModelError
from flambeau.records import RunFolder
from flambeau.schema import Finding
from flambeau.stages.explaining import explained_checkpoint
from flambeau.stages.facts import gather_facts
from flambeau.stages.generate.eye import make_eye
from flambeau.stages.generate.judging import EpochJudge, Generated, judge_generator
from flambeau.stages.generate.parts import GanParts, assemble_generator
from flambeau.stages.journal import Journal
from flambeau.stages.keeping import finish_run, keep_trainings
from flambeau.stages.starting.start import keep_seen
from flambeau.stages.trainings import Trainings
from flambeau.training.gan_session import GanSession, run_gan_session
from flambeau.transforms.table import TargetScaler

FEWEST_TESTED, FEW_TESTED = 2, 100


def carry_out_generation(run: RunFolder, trainings: Trainings, splits: list[Split]) -> RunFolder:
    """Train on the training part, choose the epoch on the validation part, score on the test part, write all of it."""
    (split,) = splits
    recipe, journal = trainings.recipe, trainings.journal
    check_tested(split, journal)
    parts = assemble_generator(trainings, split)
    journal.stage("features", "making the net whose features pictures are compared by")
    eye = make_eye(
        parts.gather,
        parts.targets,
        split.train,
        split.valid,
        channels=parts.preparation.channels,
        size=parts.preparation.size,
        classes=len(trainings.material.samples.schema.classes),
        seed=recipe.seed,
    )
    journal.note(f"score: {eye.method}")
    judge = EpochJudge(run, parts, eye, split, recipe)
    session = GanSession(
        folder=run.checkpoints / "training-00000",
        judge=judge,
        checkpoint_seconds=recipe.training.checkpoint_seconds,
        listen=journal,
        should_stop=trainings.stop,
    )
    with trainings.stop.catching(), explained_generator(session.folder):
        run_gan_session(parts.state, parts.batches, session)
    journal.stage("test", f"scoring made pictures against the {len(split.test):,} untouched test pictures")
    classes = trainings.material.samples.schema.classes
    result = judge_generator(parts, eye, split, recipe, classes)
    for finding in result.findings:
        journal.finding(finding)
    conclude_generation(run, trainings, split, parts, result)
    return run


def check_tested(split: Split, journal: Journal) -> None:
    """Tell that the score is rough where few pictures test it. Raises DataError where there is no scoring at all."""
    count = len(split.test)
    if count < FEWEST_TESTED:
        raise DataError(
            "the test part is too small: a distance of distributions needs several pictures on both sides",
            got=f"{count} test pictures",
            expected=f"at least {FEWEST_TESTED}, and hundreds to learn from",
        )
    if count < FEW_TESTED:
        message = (
            f"only {count} test pictures: the score is rough, and so is what is told of collapse and copies"
        )
        journal.finding(Finding("warning", "few-tested", message))


def conclude_generation(
    run: RunFolder, trainings: Trainings, split: Split, parts: GanParts, result: Generated
) -> None:
    """Write scores, sheets, bundle and report."""
    material, recipe, journal = trainings.material, trainings.recipe, trainings.journal
    best = parts.state.best.epoch
    scores = scores_of(result, split, best, list(material.samples.schema.classes))
    scores["seconds"] = round(journal.seconds, 2)
    bundle = Bundle(
        schema=material.samples.schema,
        spec=parts.spec,
        preparation=parts.preparation,
        module=parts.state.evaluated,
        target=TargetScaler(0.0, 1.0),
    )
    fitted = split.train
    told: dict[str, Any] = {
        "number": 0,
        "epochs": recipe.training.epochs,
        "best_epoch": best,
        "valid": split.valid.tolist(),
        "changes": [],
        "head_changes": [],
        "on_features": False,
        "asks_again": False,
    }
    keep_trainings(run, fitted, [told])
    keep_seen(run, material.samples, fitted, split.test, trainings.start)
    bundle.facts = gather_facts(run, material, recipe.data.test)
    for name, sheet in result.sheets.items():
        run.write_bytes(f"samples/{name}.png", png_of(sheet))
    finish_run(run, bundle, scores, journal)


def scores_of(result: Generated, split: Split, best: int, classes: list[str]) -> dict[str, Any]:
    """The content of scores.json."""
    references = {name: {"frechet_distance": round(value, 6)} for name, value in result.references.items()}
    return {
        "task": "generate",
        "rows": {"train": len(split.train), "valid": len(split.valid), "test": len(split.test)},
        "test": {"frechet_distance": result.distance},
        "baselines": references,
        "method": f"test part of {len(split.test):,} pictures",
        "metric": "frechet_distance",
        "measured": result.method,
        "verdict": result.verdict,
        "standing": result.standing,
        "classes": classes,
        "best_epoch": best,
        "generated": result.measures,
    }


@contextmanager
def explained_generator(folder: Path) -> Iterator[None]:
    """What goes wrong in a training, told to a person.

    Raises RunError for a checkpoint that cannot be written, ModelError for nets that diverge or are too large.
    """
    try:
        with explained_checkpoint(folder):
            yield
    except ArithmeticError as error:
        raise ModelError(
            "the training diverged",
            got=str(error),
            expected="smaller rates, or spectral normalisation",
            command="--set generate.lr=… --set generate.discriminator_lr=…",
        ) from error
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):
            raise
        raise ModelError(
            "the two nets do not fit into memory",
            got=str(error).splitlines()[0],
            command="--batch-size … or --set generate.width=…",
        ) from error
