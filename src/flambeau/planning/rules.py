"""Choices that every training shares: the loss of the task, the optimizer with its rate, the schedule; and what
cannot be meant among them.
"""

from __future__ import annotations

from collections.abc import Iterable

from flambeau.errors import RecipeError, did_you_mean
from flambeau.recipe import Choices, Recipe
from flambeau.recipe.fields import is_own
from flambeau.recipe.text import is_given
from flambeau.recipe.training_options import ScheduleOptions
from flambeau.schema import Finding
from flambeau.training.names import LOSSES

USUAL_LOSS_REASONS = {
    "forecast": "its least value is at the mean of what may come",
    "classification": "classes exclude each other",
    "multilabel": "each label is a yes or no of its own",
    "regression": "its least value is at the mean, which squared errors are judged by",
    "language": "its exponential is the perplexity that language models are judged by",
    "chat": "the likelihood of the right answers",
}
OWN_LOSS_REASON = "a loss of your own is called with outputs and targets alone"
ADAM_NAMES = ("adamw", "adam", "nadam", "rmsprop", "muon")
# Above these a rate cannot be meant: a step of Adam changes each weight by about the rate.
LARGEST_SANE_RATES = {"sgd": 3.0, "adagrad": 2.0, "lbfgs": 2.0}
LARGEST_SANE_ADAM_RATE = 0.3
SMALLEST_SANE_RATE = 1e-7
# Of LBFGS, which keeps 21 copies of the weights and computes a step's gradients up to 25 times.
MANY_ROWS_FOR_LBFGS = 20_000


def usual_loss(task: str) -> str:
    """The loss of a task where nobody names one."""
    return next(iter(LOSSES[task]))


def came_from_person(choices: Choices, key: str) -> bool:
    """Whether this option was set, even to its default, and not by a choice of flambeau's."""
    return is_given(choices.recipe, key) and key not in choices.reasons


def plan_loss(choices: Choices, *, task: str) -> None:
    """Fill in the loss.

    Raises:
        RecipeError: the one that is named is for another task, or options are given that one's own never gets.
    """
    name = choices.choose("training.loss.name", usual_loss(task), USUAL_LOSS_REASONS[task])
    if is_own(name):
        check_own_loss(choices.recipe)
        choices.choose("training.label_smoothing", 0.0, OWN_LOSS_REASON)
        return
    if name in LOSSES[task]:
        return
    tasks = [other for other, names in LOSSES.items() if name in names]
    raise RecipeError(
        f"training.loss.name: '{name}' is a loss for {listed(tasks, 'and')}, and this is {task}",
        got=name,
        expected=listed(LOSSES[task]) + ", or file.py:function",
        hint=did_you_mean(name, LOSSES[task]),
        command=f"--loss {usual_loss(task)}",
    )


def check_own_loss(recipe: Recipe) -> None:
    """Raises RecipeError for class weights or smoothing beside a person's own loss, which would never see them."""
    training = recipe.training
    for key, plain in (("class_weights", "none"), ("label_smoothing", 0.0)):
        value = getattr(training, key)
        if value not in (None, plain):
            raise RecipeError(
                f"training.{key}: a loss of your own is called with outputs and targets alone",
                got=f"{value}, and the loss {training.loss.name}",
                expected=f"{plain}, and what you want of it inside the loss; or a loss by name",
                command="--loss cross_entropy",
            )


def listed(names: Iterable[object], last: str = "or") -> str:
    """Names with commas and an "or", or another word, before the last one.

    >>> listed(["a", "b", "c"])
    'a, b or c'
    """
    known = [str(name) for name in names]
    return known[0] if len(known) == 1 else ", ".join(known[:-1]) + f" {last} " + known[-1]


def plan_whole_batches(choices: Choices, *, rows: int) -> None:
    """Fill in a batch of everything for LBFGS, the schedule that its line search wants, and the layout it knows."""
    if choices.recipe.training.optimizer.name != "lbfgs":
        return
    reason = "LBFGS compares the loss of one step with that of the next, so each step needs all samples"
    choices.choose("training.batch_size", min(rows, 1_000_000), reason)
    choices.choose("training.memory_format", "contiguous", "LBFGS takes all gradients as one row of numbers")
    if not came_from_person(choices, "training.schedule.name"):
        choices.fix("training.schedule.name", "constant", "the line search of LBFGS finds each step's length")
        if not came_from_person(choices, "training.schedule.warmup"):
            choices.fix("training.schedule.warmup", 0.0, "the line search of LBFGS finds each step's length")


def plan_optimizer(choices: Choices, rate: float, decay: float, reason: str) -> None:
    """Fill in the optimizer, its rate and its weight decay.

    Args:
        choices: changed in place.
        rate, decay, reason: what suits AdamW for these data and this net, and why.

    Raises:
        RecipeError: options that the optimizer does not know.
    """
    section = "training.optimizer."
    name = choices.choose(section + "name", "adamw", "steady for every net here")
    lr, weight_decay, why = rate_of(name, rate, decay, reason)
    choices.choose(section + "lr", lr, why)
    choices.choose(section + "weight_decay", weight_decay, why)
    if name == "rmsprop" and not came_from_person(choices, section + "beta2"):
        choices.fix(section + "beta2", 0.99, "the usual alpha of RMSprop: it has no correction of its start")
    _check_optimizer(choices.recipe)


def rate_of(name: str, rate: float, decay: float, reason: str) -> tuple[float, float, str]:
    """Learning rate, weight decay, and why, from those that suit AdamW."""
    if name == "sgd":
        return 0.05, 5e-4, "usual for SGD with momentum"
    if name == "lbfgs":
        return 1.0, 0.0, "the whole step that the line search proposes; LBFGS knows no weight decay"
    if name == "muon":
        return rate * 4, decay, "four times AdamW's rate, at which nets for small pictures learnt most"
    if name in ("adam", "nadam"):
        return rate, 0.0, "the rate of AdamW; decay that is part of the gradient is left out by default"
    if name == "rmsprop":
        return rate / 10, 0.0, "a tenth of AdamW's rate: the momentum of RMSprop adds up ten steps"
    if name == "adagrad":
        return rate * 10, 0.0, "ten times AdamW's rate: Adagrad's steps shrink with all gradients so far"
    return rate, decay, f"as for AdamW ({reason})" if is_own(name) else reason


def _check_optimizer(recipe: Recipe) -> None:
    options = recipe.training.optimizer
    if options.arguments and not is_own(options.name or ""):
        raise RecipeError(
            "training.optimizer.arguments are for an optimizer of your own",
            got=f"{', '.join(options.arguments)} for {options.name}",
            expected="lr, weight_decay, momentum, beta2, nesterov and eps of training.optimizer",
            hint=did_you_mean(next(iter(options.arguments)), type(options).model_fields),
        )
    if options.name != "lbfgs":
        return
    for key, plain in (("weight_decay", 0.0), ("layer_decay", 1.0), ("body_lr", 1.0)):
        value = getattr(options, key)
        if value not in (None, plain):
            raise RecipeError(
                f"training.optimizer.{key}: LBFGS has one rate for all parameters and no decay",
                got=value,
                expected=plain,
                command="--optimizer adamw",
            )
    if recipe.training.memory_format == "channels_last":
        raise RecipeError(
            "training.memory_format: LBFGS takes all gradients as one row of numbers",
            got="channels_last",
            expected="contiguous",
        )
    if recipe.training.precision == "fp16":
        raise RecipeError(
            "training.precision: LBFGS compares losses of different steps, which the scaling of fp16 changes",
            got="fp16",
            expected="fp32 or bf16",
        )


def plan_schedule(choices: Choices) -> None:
    """Fill in where step and multi_step fall, which depends on the epochs.

    As long as `training.minutes` is open, the epochs are a guess, and nothing is refused.

    Raises:
        RecipeError: what a person gave does not fit the length of the run.
    """
    recipe = choices.recipe
    options, epochs = recipe.training.schedule, recipe.training.epochs or 1
    section = "training.schedule."
    if options.name == "step" and not came_from_person(choices, section + "step_size"):
        size = max(1, round(epochs / 3))
        choices.fix(section + "step_size", size, f"a third of the {epochs} epochs: the rate falls twice")
    if options.name == "multi_step" and not came_from_person(choices, section + "milestones"):
        milestones = usual_milestones(epochs)
        reason = f"half and three quarters of the {epochs} epochs, as He et al. 2016"
        choices.fix(section + "milestones", milestones, reason)
    if options.name == "plateau" and not came_from_person(choices, section + "patience"):
        patience = min(options.patience, max(0, epochs // 4))
        choices.fix(section + "patience", patience, f"a quarter of the {epochs} epochs, and 5 at most")
    if recipe.training.minutes is not None:
        return
    check_schedule(options, epochs)
    if options.name == "plateau":
        _check_plateau(recipe)


def usual_milestones(epochs: int) -> list[int]:
    """Half and three quarters of the epochs."""
    return sorted({max(1, epochs // 2), max(1, epochs * 3 // 4)})


def check_schedule(options: ScheduleOptions, epochs: int) -> None:
    """Raises RecipeError for falls that a run of so many epochs would never come to.

    One epoch bears any schedule: it is a trial.
    """
    if epochs <= 1:
        return
    if options.name == "step" and options.step_size >= epochs:
        raise RecipeError(
            "training.schedule.step_size: the rate would never fall",
            got=f"{options.step_size} epochs between two falls, in a run of {epochs}",
            expected=f"at most {epochs - 1}",
            command=f"--set training.schedule.step_size={max(1, epochs // 3)}",
        )
    late = [milestone for milestone in options.milestones if milestone >= epochs]
    if options.name == "multi_step" and (late or not options.milestones):
        raise RecipeError(
            "training.schedule.milestones: the run is over before the rate falls"
            if late
            else "training.schedule.milestones: there are none, so the rate would never fall",
            got=f"{listed(late or ['none'])}, in a run of {epochs} epochs",
            expected=f"epochs from 1 to {epochs - 1}",
            command=f"--set training.schedule.milestones=[{','.join(map(str, usual_milestones(epochs)))}]",
        )


def _check_plateau(recipe: Recipe) -> None:
    options = recipe.training
    if options.epochs and 1 < options.epochs <= options.schedule.patience:
        raise RecipeError(
            "training.schedule.patience: the rate would never fall",
            got=f"{options.schedule.patience} epochs, in a run of {options.epochs}",
            expected=f"less than {options.epochs}",
            command=f"--set training.schedule.patience={max(0, options.epochs // 4)}",
        )


def check_init(choices: Choices, *, pretrained: bool) -> None:
    """Raises RecipeError for fresh weights in a pretrained model."""
    init = choices.recipe.model.init
    if init is not None and pretrained:
        raise RecipeError(
            "model.init and model.pretrained are both given, and each says how the weights begin",
            got=f"{init} and {choices.recipe.model.pretrained}",
            expected="one of them",
        )


def rule_findings(recipe: Recipe, rows: int) -> list[Finding]:
    """What is odd about the optimizer and its rate, though it may be meant.

    Args:
        recipe: resolved.
        rows: samples that are trained on.
    """
    options = recipe.training.optimizer
    name, rate = options.name or "adamw", options.lr or 1e-3
    findings = []
    largest = LARGEST_SANE_RATES.get(name, LARGEST_SANE_ADAM_RATE if name in ADAM_NAMES else 10.0)
    if rate > largest or rate < SMALLEST_SANE_RATE:
        much = "a step throws the weights far away" if rate > largest else "the weights will hardly move"
        findings.append(
            Finding(
                "warning",
                "learning-rate",
                f"a learning rate of {rate:g} is {'large' if rate > largest else 'small'} for {name}: {much}; "
                f"{SMALLEST_SANE_RATE:g} to {largest:g} is usual (--set training.optimizer.lr=…, or --lr auto)",
            )
        )
    batch = recipe.training.batch_size or rows
    if name == "lbfgs" and batch < rows:
        message = (
            f"LBFGS on batches of {batch:,} of {rows:,} samples: it compares losses as if of one function"
        )
        findings.append(Finding("warning", "lbfgs-batches", message))
    if name == "lbfgs" and rows > MANY_ROWS_FOR_LBFGS:
        message = f"LBFGS goes through all {rows:,} samples up to 25 times a step; adamw would be quicker"
        findings.append(Finding("warning", "lbfgs-rows", message))
    if recipe.training.schedule.name == "plateau" and (recipe.split.folds or recipe.split.refit):
        message = (
            "plateau follows the validation score, and the kept model is trained on all samples: there it follows the "
            "training loss, so its rate may fall at other epochs than in the trainings that were scored"
        )
        findings.append(Finding("warning", "plateau-unseen", message))
    if recipe.training.loss.name == "quantile" and recipe.training.loss.quantile != 0.5:
        message = (
            f"the model predicts the {recipe.training.loss.quantile:g} quantile, and scores such as RMSE measure the "
            "distance from the mean: they will look worse"
        )
        findings.append(Finding("info", "quantile-scores", message))
    return findings
