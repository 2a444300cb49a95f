"""What flows beside that of samples share: options that mean nothing to a text are refused or told."""

from __future__ import annotations

from typing import Any

from flambeau.errors import RecipeError, RunError
from flambeau.planning.named import plan_named
from flambeau.planning.rules import came_from_person, usual_loss
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.describe import options
from flambeau.records import RunFolder
from flambeau.schema import Finding
from flambeau.stages.journal import Journal, Listener
from flambeau.stages.setting import with_full_paths
from flambeau.stages.trackers import check_trackers

DATA_OF_TASK = {
    "language": "the data are one plain text",
    "chat": "the data are questions and answers",
}
OF_SAMPLES = ("image.", "table.", "forecast.", "generate.", "text.", "mixed.", "scan.")
IDLE_OPTIONS = (
    "data.columns",
    "data.drop",
    "split.group",
    "split.rows",
    "training.label_smoothing",
    "training.class_weights",
    "training.head_epochs",
    "training.freeze_early",
    "training.bags",
    "training.optimizer.body_lr",
    "training.memory_limit_gb",
    "training.batch_norm_momentum",
    "model.members",
    "model.activation",
    "model.normalisation",
    "model.arch",
)
# All that a chatbot obeys; whatever else a person gives is told.
OBEYED_BY_CHAT = (
    *(
        "source",
        "task",
        "seed",
        "device",
        "threads",
        "devices",
        "deterministic",
        "log",
        "language.heads",
        "chat.",
    ),
    *("split.train", "split.valid", "split.folds", "split.refit", "split.near_duplicates"),
    *("model.name", "model.width", "model.depth", "model.dropout"),
    *(
        f"training.optimizer.{name}"
        for name in (
            "name",
            "lr",
            "weight_decay",
            "momentum",
            "beta2",
            "nesterov",
            "eps",
            "arguments",
            "layer_decay",
        )
    ),
    *("training.schedule.", "training.epochs", "training.batch_size", "training.micro_batch", "training.ema"),
    *(
        "training.clip_norm",
        "training.clip_value",
        "training.tolerance",
        "training.patience",
        "training.precision",
    ),
    *("training.matmul", "training.checkpoint_seconds"),
    *("evaluation.metric", "evaluation.resamples", "evaluation.baselines"),
)
# What planning fills in for options that mean nothing to texts, and so stands in the recipe of a run.
AS_PLANNED: dict[str, Any] = {
    "training.loss.name": usual_loss("chat"),
    "training.class_weights": "none",
    "training.label_smoothing": 0.0,
    "training.head_epochs": 0,
    "training.freeze_early": False,
    "training.optimizer.body_lr": 1.0,
    "training.bags": 1,
    "training.recompute": False,
    "training.compile": False,
    "training.memory_format": "contiguous",
}
# What would change the result and is not done for texts: refused, and never left out unseen.
REFUSED: dict[str, str] = {
    "model.pretrained": "pretrained language models are not read yet",
    "model.whiten": "it is for pictures",
    "training.freeze": "there is no pretrained body",
    "training.unfreeze_every": "there is no pretrained body",
    "training.lr_finder": "the range test is for samples; give a rate, such as --lr 0.008",
    "training.batch_finder": "the batch finder is for samples; give a size, such as --batch-size 32",
}
REFUSED_OF: dict[str, dict[str, str]] = {
    "language": {
        "data.test": "a text is tested on its own end; put a second text behind it, and set split.train",
        "split.refit": "a text is divided by place, once",
    },
    "chat": {
        "model.init": "the net that finds answers begins as a comparison of counted words",
        "training.minutes": "two nets share the time; give their epochs, such as --epochs 5 --set chat.epochs=10",
        "training.loss.name": "each of the two nets has a loss of its own",
        "training.sampler": "questions are drawn as often as they come",
        "data.test": "a bot is tested on a part of its own questions; flambeau evaluate takes others",
    },
}


def given_options(choices: Choices) -> dict[str, Any]:
    """Key and value of every option that a person set to something else than its default."""
    found = {}
    for key, option in options().items():
        if option.section is None and came_from_person(choices, key):
            value = choices.get(key)
            if value != option.field.get_default(call_default_factory=True):
                found[key] = value
    return found


def begin_texts(source: str, recipe: Recipe, task: str, listener: Listener) -> tuple[Journal, Choices]:
    """The journal and the choices of a training on texts, with what can be settled before they are read."""
    journal = Journal(listener)
    choices = Choices(with_full_paths(recipe, source), journal.choice)
    plan_named(choices)
    settle_task(choices, task)
    check_trackers(choices.recipe)
    return journal, choices


def settle_task(choices: Choices, task: str) -> None:
    """Fix the task of texts. Raises RecipeError for what is not done for it."""
    choices.choose("task", task, DATA_OF_TASK[task])
    refuse_for_texts(choices, task)


def check_same_texts(run: RunFolder, fingerprint: str, have: str, now: str, task: str) -> None:
    """Raises RunError where the data are not those that the run was started with.

    Args:
        run: that is resumed.
        fingerprint: of the data as they are.
        have: what may have changed, and its verb.
        now: how much there is, in words.
        task: of the run.
    """
    before = run.read_json("data.json")
    if before["fingerprint"] != fingerprint:
        raise RunError(
            f"{have} changed since this run was started, so it cannot go on to the same result",
            where=before["source"],
            got=f"{now} now, {before['count']:,} before",
            expected="the data as they were, or a new run",
            command=f"flambeau train {before['source']} --task {task}",
        )


def refuse_for_texts(choices: Choices, task: str) -> None:
    """Raises RecipeError for the first option that a person gave and that is not done for a task of texts."""
    refused = REFUSED | REFUSED_OF[task]
    if choices.recipe.devices > 1:
        raise RecipeError(
            "models of texts are trained by one process",
            got=f"{choices.recipe.devices} devices",
            expected="--devices 1",
        )
    for key, value in given_options(choices).items():
        if key in refused and (key not in AS_PLANNED or value != AS_PLANNED[key]):
            raise RecipeError(
                f"{key}: {refused[key]}",
                got=f"{key}={str(value).lower() if isinstance(value, bool) else value}",
                expected=f"the same command without {key}",
            )


def idle_findings(choices: Choices, task: str) -> list[Finding]:
    """A warning for each option that a person gave and that changes nothing for a text."""
    found = []
    for key, value in given_options(choices).items():
        if key in AS_PLANNED and value == AS_PLANNED[key]:
            continue
        if _idle(key, task):
            shown = str(value).lower() if isinstance(value, bool) else value
            found.append(Finding("warning", "no-effect", f"{key}={shown} has no effect with --task {task}"))
    return found


def _idle(key: str, task: str) -> bool:
    """Whether an option changes nothing in a task of texts."""
    if task == "chat":
        return not any(
            key == name or (name.endswith(".") and key.startswith(name)) for name in OBEYED_BY_CHAT
        )
    return key in IDLE_OPTIONS or key.startswith((*OF_SAMPLES, "chat."))
