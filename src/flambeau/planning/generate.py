"""Choices for a net that makes pictures: its size, its loss and rates, its length, and what has no meaning for it.

The measurements behind the numbers are in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambeau.errors import RecipeError
from flambeau.planning.pictures import bounded, fit_area
from flambeau.planning.rules import came_from_person
from flambeau.planning.scans import facts_as_read, plan_scans
from flambeau.recipe import Choices
from flambeau.recipe.describe import options
from flambeau.schema import Finding, PictureFacts

# Pictures up to this side are made as they are; larger ones are made at this area, given as the side of a square.
LARGEST_SIDES = {"cpu": 40, "cuda": 64, "mps": 64}
AREA_SIDES = {"cpu": 32, "cuda": 64, "mps": 64}
STEPS = {"cpu": 4_000, "cuda": 20_000, "mps": 10_000}
SCORE_SAMPLES = 1000

# What a person may set; all else has no effect.
USED = (
    *("source", "task", "seed", "device", "threads", "deterministic", "log", "data.", "generate."),
    *("split.train", "split.valid", "split.group", "split.near_duplicates", "split.folds"),
    *("image.size", "image.channels", "image.resize", "image.interpolation", "image.augment.flip_", "scan."),
    *("training.epochs", "training.batch_size", "training.ema", "training.precision", "training.matmul"),
    *("training.checkpoint_seconds", "evaluation.resamples", "evaluation.metric"),
)
# Key → why it cannot be meant, and what is expected.
REFUSED = {
    "split.folds": ("there is nothing to cross-validate: the score needs one test part", "--folds 0"),
    "split.refit": ("a net that has seen the test part could not be scored on it", "one split"),
    "training.minutes": ("how good the pictures are does not follow from the time", "--epochs N"),
    "training.patience": (
        "the score moves up and down from epoch to epoch; the best epoch is kept anyway",
        "--epochs N",
    ),
    "training.bags": ("several generators are not averaged", "one net; another --seed makes another"),
    "training.lr_finder": ("two nets play against each other, so no loss tells a good rate", "generate.lr"),
    "training.batch_finder": ("the size of a batch decides how the two nets play", "--batch-size N"),
    "training.optimizer.lr": (
        "there are two nets with a rate each",
        "generate.lr and generate.discriminator_lr",
    ),
    "training.optimizer.name": ("both nets are trained by Adam", "generate.beta1 and generate.beta2"),
    "training.loss.name": ("its losses have their own option", "--set generate.loss=hinge or bce"),
    "training.micro_batch": ("batch normalisation looks at the whole batch", "--batch-size N"),
    "training.memory_limit_gb": ("a step is not divided", "a smaller --batch-size or generate.width"),
    "model.name": ("its two nets have their own options", "generate.width and generate.latent"),
    "model.pretrained": ("there are no pretrained generators to start from", "--from RUN"),
    "devices": ("two nets that play against each other are trained by one process", "--devices 1"),
}

# What says the same as leaving it out.
HARMLESS = {"split.folds": 0, "training.bags": 1, "training.patience": 0}


def plan_generate(
    choices: Choices, *, rows: int, facts: PictureFacts, came_split: bool, machine: Mapping[str, Any]
) -> list[Finding]:
    """Fill in every open value, and tell what was given and has no effect.

    Args:
        choices: changed in place.
        rows: pictures, all parts together.
        facts: what they have in common.
        came_split: whether the data came with a test part.
        machine: "device" (cpu, cuda, mps).

    Raises:
        RecipeError: options that cannot be meant for a net that makes pictures.
    """
    _refuse_others(choices)
    device = machine["device"]
    part = "the data came with its own test part" if came_split else "one untouched test part for the score"
    choices.choose("split.folds", 0, part)
    choices.choose("evaluation.metric", "frechet_distance", "how far made pictures are from real ones")
    if facts.scans:
        choices.choose("scan.volume", False, "slices are made, not volumes")
        plan_scans(choices, facts, pretrained=False, device=device)
        facts = facts_as_read(facts, choices.recipe)
    _plan_pictures(choices, facts, device)
    _plan_length(choices, rows=rows, device=device)
    _plan_nets(choices, device)
    return _idle_findings(choices)


def _refuse_others(choices: Choices) -> None:
    for key, (why, expected) in REFUSED.items():
        value = choices.get(key)
        default = options()[key].field.get_default(call_default_factory=True)
        if came_from_person(choices, key) and value not in (default, None, HARMLESS.get(key, default)):
            raise RecipeError(
                f"{key} has no meaning where pictures are made: {why}", got=value, expected=expected
            )
    metric = choices.recipe.evaluation.metric
    if metric not in (None, "frechet_distance"):
        raise RecipeError(
            f"evaluation.metric: '{metric}' is not a metric of made pictures", expected="frechet_distance"
        )
    if choices.recipe.training.precision == "fp16":
        raise RecipeError(
            "training.precision: fp16 needs a scale of the loss, and here are two losses",
            got="fp16",
            expected="fp32 or bf16",
        )


def _plan_pictures(choices: Choices, facts: PictureFacts, device: str) -> None:
    native, words = (facts.height, facts.width), f"{facts.height}x{facts.width}"
    if max(native) <= LARGEST_SIDES[device]:
        choices.choose("image.size", native, "small enough to be made as they are")
    else:
        size = fit_area(native, AREA_SIDES[device], enlarge=False)
        choices.choose(
            "image.size", size, f"the shape of the median picture ({words}) at an area made quickly here"
        )
    kind = {1: "the pictures are grey", 3: "the pictures have colours"}
    choices.choose("image.channels", facts.channels, kind.get(facts.channels, "as many as the pictures have"))
    why = "off unless asked for: mirrored pictures would be made too"
    choices.choose("image.augment.flip_horizontal", False, why)
    choices.choose("image.augment.flip_vertical", False, why)


def _plan_length(choices: Choices, *, rows: int, device: str) -> None:
    batch = choices.choose("training.batch_size", 64, "as most nets of this kind (Miyato et al. 2018)")
    trained = max(1, round(rows * choices.recipe.split.train))
    steps = max(1, round(trained / batch))
    epochs = bounded(STEPS[device] / steps, 10, 1000)
    choices.choose("training.epochs", epochs, f"about {epochs * steps:,} steps of each net")
    decay = 0.999 if epochs * steps >= 3_000 else 0.99
    choices.choose("training.ema", decay, "the average of a generator's last weights makes better pictures")
    choices.choose("training.precision", "fp32", "two nets in balance are easily upset by rounding")
    choices.choose("training.matmul", "highest", "exact products, as in the score")


def _plan_nets(choices: Choices, device: str) -> None:
    side = max(choices.get("image.size"))
    latent = 64 if side <= LARGEST_SIDES["cpu"] else 128
    choices.choose("generate.latent", latent, "more than the ways in which such small pictures differ")
    width, why = (32, "half of DCGAN's, for a CPU") if device == "cpu" else (64, "as DCGAN")
    choices.choose("generate.width", width, why)
    spectral = choices.choose("generate.spectral_norm", True, "keeps the discriminator from running away")
    loss = "hinge" if spectral else "bce"
    why = (
        "the usual partner of spectral normalisation"
        if spectral
        else "as DCGAN, without spectral normalisation"
    )
    choices.choose("generate.loss", loss, why)
    lr = choices.choose("generate.lr", 5e-4, "larger than DCGAN's 2e-4: small pictures, and few steps")
    ratio, why = (
        (2.0, "twice the generator's (two rates: Heusel et al. 2017)") if spectral else (1.0, "as DCGAN")
    )
    choices.choose("generate.discriminator_lr", lr * ratio, why)
    choices.choose("generate.beta1", 0.5, "as DCGAN: little momentum, because the aim moves")
    choices.choose("generate.beta2", 0.999, "as DCGAN")
    choices.choose(
        "generate.score_samples", SCORE_SAMPLES, "enough for means and covariances of the features"
    )


def _idle_findings(choices: Choices) -> list[Finding]:
    findings = []
    for key, option in options().items():
        if option.section is not None or key.startswith(USED) or not came_from_person(choices, key):
            continue
        value = choices.get(key)
        default = option.field.get_default(call_default_factory=True)
        if value in (None, default, HARMLESS.get(key, default)):
            continue
        shown = str(value).lower() if isinstance(value, bool) else value
        findings.append(
            Finding("warning", "no-effect", f"{key}={shown} has no effect where pictures are made")
        )
    return findings
