"""Words of a script: what it is, what it prints after an epoch and at the end."""

from __future__ import annotations

from pathlib import Path

from flambeau.deploy.bundle import weights_digest
from flambeau.deploy.eject.facts import RunFacts
from flambeau.deploy.eject.text import literal
from flambeau.evaluation.metrics import higher_is_better, main_metric


def epoch_lines(facts: RunFacts, kept: str, *, head: bool) -> str:
    """What is done after an epoch: `kept` is the variable of the module that is judged.

    Inside `main`, where only one model is trained, nothing needs to be handed over: the rows are known there.
    """
    metric = facts.recipe.evaluation.metric or "log_loss"
    better = "higher_is_better" if head else literal(higher_is_better(metric))
    tolerance = facts.recipe.training.tolerance or 0.0
    judge = f"validate({kept})"
    source = ", gather_features" if facts.on_features else ""
    if not head and len(facts.trainings) == 1:
        predicted = f"predict({kept}, valid_rows{source})"
        arguments = f"{literal(facts.task)}, {literal(metric)}, targets[valid_rows], {predicted}"
        judge = f"validate_predictions({arguments})"
    lines = [
        "if isinstance(record, StepRecord):",
        "    continue",
        f"validation = {judge}",
        'print(f"epoch {record.epoch + 1}: loss {record.loss:.4f}, validation {validation.score:.4f}")',
        f"if best.note(record.epoch + 1, validation, higher_is_better={better}, tolerance={tolerance!r}):",
        f"    weights = {{name: tensor.clone() for name, tensor in {kept}.state_dict().items()}}",
    ]
    if facts.recipe.training.schedule.name == "plateau":
        lines.append(f"technique.schedule.note(validation.score, {better})")
    if facts.recipe.training.patience:
        lines += ["if best.stopped(record.epoch + 1, patience):", "    break"]
    return "\n".join(lines)


def epoch_without_validation(facts: RunFacts) -> str:
    """What is done after an epoch where no samples are left to choose by."""
    lines = [
        "if not isinstance(record, StepRecord):",
        '    print(f"epoch {record.epoch + 1}: loss {record.loss:.4f}")',
    ]
    if facts.recipe.training.schedule.name == "plateau":
        lines.append("    technique.schedule.note(record.loss, False)")
    return "\n".join(lines)


def score_line(task: str) -> str:
    """The lines that print a score of the test part."""
    name, score = {
        "classification": ("accuracy", "(predictions.argmax(axis=1) == targets[test_rows]).mean()"),
        "multilabel": ("share of right labels", "((predictions > 0.5) == (targets[test_rows] > 0.5)).mean()"),
        "regression": ("RMSE", "np.sqrt(np.square(predictions - targets[test_rows]).mean())"),
    }[task]
    return f'score = {score}\nprint(f"{name} on the test part: {{score:.5g}}")'


def source_name(facts: RunFacts) -> str:
    """The last part of the source."""
    return Path(str(facts.recipe.source)).name


def count_of(threads: int) -> str:
    """A number of threads in words."""
    return "1 thread" if threads == 1 else f"{threads} threads"


def in_docstring(text: str) -> str:
    """Text that cannot end a docstring or escape from it, whatever names are in it."""
    return text.replace("\\", "/").replace('"', "'")


def story_of(facts: RunFacts) -> str:
    """What a reader should know first, as lines of a docstring."""
    environment = facts.folder.read_json("environment.json")
    metric = main_metric(facts.task)
    score = facts.scores["test"].get(metric)
    told = "no score"
    if score:
        told = f"{metric.replace('_', ' ')} {score['value']:.4g} ({score['low']:.4g} to {score['high']:.4g})"
    lines = [
        "Running it trains the model and writes weights.safetensors. It reads the data, and which rows train, from the",
        "run's folder: where these have moved, change the paths below.",
        f"The run's test gave {told}: {facts.scores['method']}.",
        f"Its weights have the digest {weights_digest(facts.bundle.module)}, on {facts.recipe.device or 'cpu'} with "
        f"{count_of(facts.recipe.threads or 1)},",
        f"Python {environment['python']} and torch {environment['torch']}; others may differ in the last bits.",
    ]
    if facts.task != "regression" and facts.bundle.temperature != 1:
        lines.append(
            f"The run's answers are these probabilities at the temperature {facts.bundle.temperature:.4g}."
        )
    if facts.on_all_samples:
        lines.append(
            "The test was of models that had not seen its samples; this one is trained on all of them."
        )
    if facts.recipe.devices > 1:
        lines.append(
            f"The run was made by {facts.recipe.devices} processes together; this is one, so the last bits may differ."
        )
    if facts.recipe.device not in (None, "cpu") and not facts.recipe.deterministic:
        lines.append(
            "That device was used without deterministic kernels: the last bits may differ from run to run."
        )
    return "\n".join(lines)
