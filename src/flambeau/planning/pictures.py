"""Choices for pictures: what the model sees, which changes are harmless, which model, and how it is trained.

Every rule is a function of the data and the machine's kind, never of a stopwatch. The measurements behind the
numbers are in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambeau.planning.common import clipping_reason
from flambeau.planning.fast_pictures import plan_fast_pictures
from flambeau.planning.numbers import plan_numbers
from flambeau.planning.rules import (
    check_init,
    plan_loss,
    plan_optimizer,
    plan_schedule,
    plan_whole_batches,
)
from flambeau.planning.scans import VOLUME_SIDES, facts_as_read, plan_scans
from flambeau.planning.words import (
    DIRECTED_WORDS,
    MEDICAL_WORDS,
    UNDIRECTED_WORDS,
    are_symbols,
    find_words,
    has_word,
    is_medical,
)
from flambeau.recipe import Choices
from flambeau.schema import PictureFacts

# Pictures up to this side are used as they are.
NATIVE_SIDE = 64

# Area in pixels, as the side of a square, of larger pictures: from scratch and for a pretrained body. On a CPU
# it falls with the number of samples, so that the work of an epoch grows more slowly than they do.
SIDES = {"cuda": 160, "mps": 128}
CPU_SIDE, CPU_SIDE_ROWS, CPU_SIDE_POWER = 112, 400, 0.25
CPU_SIDES = (64, 128)
PRETRAINED_SIDES = {"cpu": 128, "cuda": 224, "mps": 192}
# Beyond this side the small residual net's first maps cost more than they tell.
LARGEST_SMALL_NET_SIDE = 160
WIDER_NET_SIDE = 96
# Pretrained filters were made for large objects: tiny pictures are enlarged to this side.
SMALLEST_PRETRAINED_SIDE = 128
LARGEST_TINY_SIDE = 40
# Sides are multiples of this, which the halvings of every net divide without a remainder.
SIDE_STEP = 8
FEWEST_PIXELS_A_SIDE = 16


def plan_pictures(
    choices: Choices,
    *,
    rows: int,
    facts: PictureFacts,
    task: str,
    classes: tuple[str, ...],
    pretrained: bool,
    hints: Mapping[str, Any],
    machine: Mapping[str, Any],
) -> None:
    """Fill in every open value of image, model and training.

    Args:
        choices: changed in place.
        rows: samples, all parts together.
        facts: what the pictures have in common.
        task: classification, multilabel or regression.
        classes: names of classes or labels.
        pretrained: whether there are weights to start from.
        hints: "source" and "target", whose words tell of digits or of medicine.
        machine: "device" (cpu, cuda, mps), "cores", "bf16".
    """
    plan_loss(choices, task=task)
    check_init(choices, pretrained=pretrained)
    plan_whole_batches(choices, rows=rows)
    words = find_words(hints, classes)
    plan_scans(choices, facts, pretrained=pretrained, device=machine["device"])
    facts = facts_as_read(facts, choices.recipe)
    plan_size(choices, facts, rows=rows, pretrained=pretrained, device=machine["device"])
    plan_channels(choices, facts, pretrained=pretrained)
    plan_fast_pictures(choices, rows=rows, device=machine["device"])
    plan_augmentation(choices, facts, classes, words, pretrained=pretrained)
    plan_picture_model(choices, pretrained=pretrained, device=machine["device"])
    plan_length(choices, rows=rows, pretrained=pretrained, device=machine["device"])
    plan_steps(choices, rows=rows, pretrained=pretrained, task=task)
    plan_schedule(choices)
    plan_numbers(choices, machine, pictures=True)


def plan_size(choices: Choices, facts: PictureFacts, *, rows: int, pretrained: bool, device: str) -> None:
    """Fill in height and width: native for small pictures, else an area that the device can work through."""
    native = (facts.height, facts.width)
    words = f"{facts.height}x{facts.width}"
    if choices.recipe.scan.volume:
        size = fit_area(native, VOLUME_SIDES[device], enlarge=False)
        reason = f"the shape of the median slice ({words}) at an area that suits a 3-D net here"
    elif pretrained:
        if max(native) <= LARGEST_TINY_SIDE:
            size = fit_area(native, SMALLEST_PRETRAINED_SIDE, enlarge=True)
            reason = f"{words} pictures are enlarged: the pretrained filters look for larger things"
        else:
            size = fit_area(native, PRETRAINED_SIDES[device], enlarge=True)
            reason = (
                f"the shape of the median picture ({words}) at an area that suits pretrained filters here"
            )
    elif max(native) <= NATIVE_SIDE:
        size, reason = native, "small enough to be used as they are"
    else:
        if device == "cpu":
            side = bounded(CPU_SIDE * (CPU_SIDE_ROWS / rows) ** CPU_SIDE_POWER, *CPU_SIDES)
            what = f"a CPU works through {rows:,} times"
        else:
            side, what = SIDES[device], "this GPU works through"
        size = fit_area(native, side, enlarge=False)
        reason = f"the shape of the median picture ({words}) at an area that {what} quickly"
    choices.choose("image.size", size, reason)


def fit_area(native: tuple[int, int], side: int, *, enlarge: bool) -> tuple[int, int]:
    """Height and width of about side · side pixels, in the shape of `native`, in steps that halve well."""
    factor = side / (native[0] * native[1]) ** 0.5
    if not enlarge:
        factor = min(1.0, factor)

    def step(length: int) -> int:
        return max(FEWEST_PIXELS_A_SIDE, round(length * factor / SIDE_STEP) * SIDE_STEP)

    return step(native[0]), step(native[1])


def plan_channels(choices: Choices, facts: PictureFacts, *, pretrained: bool) -> None:
    """Fill in channels and the statistics of normalisation."""
    kind = {1: "the pictures are grey", 3: "the pictures have colours"}
    other = "one for each slice" if choices.recipe.scan.volume else "as many as the pictures have"
    choices.choose("image.channels", facts.channels, kind.get(facts.channels, other))
    if pretrained and choices.get("image.channels") in (1, 3):
        choices.choose("image.normalise", "imagenet", "what the pretrained weights were trained with")
    else:
        choices.choose("image.normalise", "dataset", "mean and deviation of the training pictures")


def plan_augmentation(
    choices: Choices, facts: PictureFacts, classes: tuple[str, ...], words: set[str], *, pretrained: bool
) -> None:
    """Fill in the random changes: only those that leave the meaning as it is."""
    medical = is_medical(facts, words)
    directed = not facts.scans and (has_word(words, DIRECTED_WORDS) or (are_symbols(classes) and not medical))
    undirected = has_word(words, UNDIRECTED_WORDS) and not directed and not facts.scans
    key = "image.augment."
    if directed:
        flips = (False, False, "a mirrored digit, letter or sign is another one, or none")
    elif undirected:
        flips = (True, True, "seen through a microscope or from above, no side is up")
    elif medical:
        named = f"their names say '{', '.join(sorted(words & set(MEDICAL_WORDS.split())))}'"
        flips = (
            False,
            False,
            f"left and right differ in a body: {named if not facts.scans else 'these are scans'}",
        )
    else:
        flips = (True, False, "a mirrored photo is as likely; one upside down is not")
    choices.choose(key + "flip_horizontal", flips[0], flips[2])
    choices.choose(key + "flip_vertical", flips[1], flips[2])
    mirrored = bool(choices.recipe.image.augment.flip_horizontal)
    reason = "trained on both, so both answers count" if mirrored else "it was not trained on mirror images"
    choices.choose("image.flip_average", mirrored, reason)
    shift, scale, rotate = (0.06, 0.1, 0.0) if medical else (0.08, 0.2 if pretrained else 0.1, 10.0)
    choices.choose(key + "shift", shift, "the thing is not always in the middle")
    choices.choose(key + "scale", scale, "the thing is not always equally large")
    why = (
        "a scan is taken upright; a rotation is for you to ask for"
        if medical
        else "nothing is ever quite upright"
    )
    choices.choose(key + "rotate", rotate, why)
    tiny = facts.channels == 1 and max(facts.height, facts.width) <= NATIVE_SIDE // 2 and not medical
    light = "ink on paper: light says nothing" if tiny else "light and exposure vary"
    choices.choose(key + "brightness", 0.0 if tiny else 0.1, light)
    choices.choose(key + "contrast", 0.0 if tiny else 0.2, light)
    choices.choose(key + "erase", 0.0, "off by default; set it to try")
    if pretrained and not medical:
        choices.choose(
            key + "mixup", 0.4, "a pretrained net learns few pictures by heart unless they are blended"
        )
    else:
        choices.choose(key + "mixup", 0.0, "off by default; it asks for longer training")


def plan_picture_model(choices: Choices, *, pretrained: bool, device: str) -> None:
    """Fill in the model and its width."""
    if pretrained:
        return
    height, width = choices.get("image.size")
    if choices.recipe.scan.volume:
        name = choices.choose("model.name", "cnn3d", "a 3-D net sees the slices of a volume together")
    elif max(height, width) <= LARGEST_SMALL_NET_SIDE:
        name = choices.choose("model.name", "small_resnet", "a short residual net, made for small pictures")
    else:
        name = choices.choose(
            "model.name", "resnet", "a residual net that halves large pictures twice at once"
        )
    if name in ("small_resnet", "small_cnn"):
        if device != "cpu":
            filters, reason = 32, "a GPU has room"
        elif height * width > WIDER_NET_SIDE**2:
            filters, reason = 24, "larger pictures hold more to tell apart"
        else:
            filters, reason = 16, "wide enough for small pictures"
        choices.choose("model.width", filters, reason)
        choices.choose("model.depth", 1, "one residual block a stage")
        choices.choose("model.dropout", 0.0, "the random changes of the pictures do its work")
    elif name == "cnn3d":
        choices.choose("model.width", 8 if device == "cpu" else 16, "volumes are large, and usually few")
        choices.choose("model.dropout", 0.1, "volumes are usually few")
    elif name == "resnet":
        filters, reason = (32, "half of ResNet-18") if device == "cpu" else (64, "as ResNet-18")
        choices.choose("model.width", filters, reason)
        choices.choose("model.depth", 1 if device == "cpu" else 2, "residual blocks a stage")
        choices.choose("model.dropout", 0.1, "large pictures, and usually few of them")


def plan_length(choices: Choices, *, rows: int, pretrained: bool, device: str) -> None:
    """Fill in epochs: few samples are seen more often, in proportion to a power of their number."""
    if pretrained:
        epochs = bounded(230 * rows**-0.3, 4, 40)
        if choices.recipe.training.unfreeze_every:
            choices.choose("training.head_epochs", 0, "the head learns alone until the first stage thaws")
        else:
            why = "besides the epochs: the new head learns first, on features computed once"
            choices.choose("training.head_epochs", 5, why)
        reason = f"{rows:,} samples and a body that has learnt already"
    else:
        epochs = bounded(430 * rows**-0.37, 5, 80)
        choices.choose("training.head_epochs", 0, "no effect without a pretrained body")
        reason = f"{rows:,} samples: fewer samples are seen more often"
    freeze = pretrained and device == "cpu"
    if freeze:
        why = "edges and colours need no new learning, and half of a CPU's time goes into them"
    else:
        why = (
            "this device trains them in little time" if pretrained else "no effect without a pretrained body"
        )
    choices.choose("training.freeze_early", freeze, why)
    choices.choose("training.epochs", epochs, reason)
    choices.choose("training.patience", 0, "the learning rate falls to zero, and nets are best at that end")
    choices.choose(
        "training.tolerance", 1.0, "of epochs that are equally good, the last was annealed furthest"
    )


def bounded(value: float, low: int, high: int) -> int:
    """The nearest whole number between two bounds."""
    return max(low, min(high, round(value)))


def plan_steps(choices: Choices, *, rows: int, pretrained: bool, task: str) -> None:
    """Fill in batch size, optimizer and what keeps a net from learning by heart."""
    small = 32 if pretrained else 16
    batch = small if rows < 600 else 64 if rows < 20_000 else 128
    choices.choose("training.batch_size", batch, "many small steps while data are few")
    what = "of the head" if pretrained else "for nets with batch normalisation"
    plan_optimizer(choices, 4e-3 if pretrained else 2e-3, 0.05, f"usual for AdamW, {what}")
    share = 0.25 if pretrained else 1.0
    why = "the body has learnt already" if pretrained else "no effect without a pretrained body"
    choices.choose("training.optimizer.body_lr", share, why)
    smoothing = 0.1 if task == "classification" else 0.0
    why = (
        "keeps the net from being too sure of its training labels"
        if smoothing
        else "only exclusive classes are smoothed"
    )
    choices.choose("training.label_smoothing", smoothing, why)
    steps = max(1, rows // choices.get("training.batch_size")) * choices.get("training.epochs")
    decay = 0.99 if steps < 5_000 else 0.998
    choices.choose("training.ema", decay, f"averages the last weights of about {steps:,} steps")
    choices.choose("training.clip_norm", 0.0, clipping_reason(choices.get("training.optimizer.name")))
    choices.choose("training.bags", 1, "one model")
