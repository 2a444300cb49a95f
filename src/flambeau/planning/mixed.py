"""Choices for tables with columns of pictures: how large pictures are seen, by which net, and how parts are joined.

What tables and pictures have in common is planned as there; this file decides what differs. The measurements behind
the numbers are in docs/log.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from flambeau.errors import RecipeError
from flambeau.planning.pictures import fit_area, plan_augmentation, plan_channels
from flambeau.planning.rules import came_from_person, check_init
from flambeau.planning.tables import TINY_ROWS, plan_log_target, plan_table
from flambeau.planning.texts import plan_tokens
from flambeau.planning.words import find_words
from flambeau.recipe import Choices
from flambeau.schema import Schema

# Pixels a side of one picture of a row, where a net sees them anew in each epoch.
SIDE, SIDE_OF_SEVERAL = 64, 48
# A frozen body sees each picture once, so larger ones cost little.
FROZEN_SIDE = 128
# Above these, n-grams have as many numbers as where there are only texts.
MANY_TEXTS, FEW_BUCKETS = 5_000, 2**14
# Skewness of a target from which on its logarithm is learnt; an exponential distribution has 2.
LONG_TAIL = 1.0
# Above these, training on each kind of column alone would take more time than a person expects.
MOST_ROWS_FOR_PARTS = 5_000


def plan_mixed(
    choices: Choices,
    *,
    rows: int,
    schema: Schema,
    pretrained: bool,
    machine: Mapping[str, Any],
) -> None:
    """Fill in every open value for a table with columns of several kinds, but whether a logarithm is learnt.

    Args:
        choices: changed in place.
        rows: samples, all parts together.
        schema: with facts of the pictures, where there are any.
        pretrained: whether there are weights to start from.
        machine: "device" (cpu, cuda, mps), "cores", "bf16".

    Raises:
        RecipeError: an option that cannot be with pictures beside other columns.
    """
    check_init(choices, pretrained=pretrained)
    _refuse(choices)
    regression = schema.task == "regression"
    if not regression:
        plan_log_target(choices, schema.task, skewed=None)
    _plan_parts_of(choices, rows, schema, pretrained=pretrained, machine=machine)
    kinds = [column.kind for column in schema.used_columns if column.kind not in ("image", "text")]
    plan_table(
        choices,
        rows=rows,
        number_features=len(kinds) - kinds.count("category"),
        task=schema.task,
        machine=machine,
        target_later=regression,
    )
    plan_alone(choices, rows=rows, kinds=len(kinds_of_columns(schema)))


def _plan_parts_of(
    choices: Choices, rows: int, schema: Schema, *, pretrained: bool, machine: Mapping[str, Any]
) -> None:
    """Fill in what pictures and texts beside other columns decide, before a table's own choices."""
    if "texts" in kinds_of_columns(schema):
        _plan_texts(choices, rows)
    columns = len(schema.picture_columns)
    if columns == 0:
        _plan_joining(choices, rows)
        return
    frozen = bool(pretrained and _plan_frozen(choices, rows))
    _plan_pictures(choices, schema, columns=columns, frozen=frozen, pretrained=pretrained)
    if pretrained:
        choices.choose("training.head_epochs", 0, "the new layers learn together with the other columns")
        choices.choose("training.freeze_early", False, "the body is frozen as a whole, or not at all")
    _plan_net(choices, rows, pretrained=pretrained)
    _plan_joining(choices, rows)
    if frozen:
        choices.choose(
            "training.precision", "fp32", "only small layers are trained, on features computed once"
        )
        choices.choose("training.memory_format", "contiguous", "features have no layout")
        choices.choose("training.bags", 1, "each of several models would hold a copy of the frozen body")
    else:
        layout = "contiguous" if machine["device"] == "mps" else "channels_last"
        choices.choose("training.memory_format", layout, "the layout in which convolutions are quickest")
        if rows < TINY_ROWS:
            choices.choose("training.bags", 3, f"{rows:,} rows: networks differ much; more would take long")


def kinds_of_columns(schema: Schema) -> dict[str, tuple[str, ...]]:
    """The used columns of a table by what encodes them: "numbers" (with categories and dates), "texts", "pictures"."""
    found: dict[str, list[str]] = {}
    for column in schema.used_columns:
        kind = {"image": "pictures", "text": "texts"}.get(column.kind, "numbers")
        found.setdefault(kind, []).append(column.name)
    return {kind: tuple(found[kind]) for kind in ("numbers", "texts", "pictures") if kind in found}


def has_long_tail(targets: np.ndarray) -> bool:
    """Whether numbers are above 0 and so skewed that their logarithms are much less so."""
    if targets.ndim != 1 or len(targets) < 2 or not np.min(targets) > 0 or np.ptp(targets) == 0:
        return False
    return skewness(targets) > LONG_TAIL and abs(skewness(np.log(targets))) < skewness(targets) / 2


def skewness(values: np.ndarray) -> float:
    """The third moment about the mean, in standard deviations."""
    centred = values.astype(np.float64) - values.mean()
    return float(np.mean(centred**3) / np.mean(centred**2) ** 1.5)


def is_mixed(schema: Schema) -> bool:
    """Whether the used columns of a table are of several kinds, or pictures."""
    kinds = kinds_of_columns(schema)
    return len(kinds) > 1 or "pictures" in kinds


def plan_alone(choices: Choices, *, rows: int, kinds: int) -> None:
    """Fill in whether each kind of column is trained on alone, too.

    Args:
        choices: changed in place.
        rows: samples, all parts together.
        kinds: numbers and categories, texts, pictures: how many of these there are.
    """
    if kinds < 2:
        choices.choose("mixed.parts", False, "there is only one kind of column")
    elif rows > MOST_ROWS_FOR_PARTS:
        choices.choose("mixed.parts", False, f"{rows:,} rows: it would take two to three times as long")
    else:
        choices.choose(
            "mixed.parts", True, f"{rows:,} rows: it takes little more time, and says what each part tells"
        )


def _refuse(choices: Choices) -> None:
    recipe = choices.recipe
    if recipe.image.augment.mixup:
        raise RecipeError(
            "image.augment.mixup blends two samples, and numbers or words beside pictures cannot be blended",
            got=f"{recipe.image.augment.mixup:g}",
            command="--set image.augment.mixup=0",
        )
    if recipe.image.flip_average:
        raise RecipeError(
            "image.flip_average is for pictures alone; a row of several columns has no mirror image",
            command="--set image.flip_average=false",
        )
    if recipe.model.whiten:
        raise RecipeError("model.whiten is for pictures alone", command="--set model.whiten=false")


def _plan_frozen(choices: Choices, rows: int) -> bool:
    reason = (
        f"{rows:,} rows: features of a body that has learnt already, computed once, are learnt by heart least"
    )
    frozen = bool(choices.choose("mixed.frozen", True, reason))
    augment = choices.recipe.image.augment.model_dump()
    asked = [
        key for key, value in augment.items() if value and came_from_person(choices, f"image.augment.{key}")
    ]
    if frozen and asked:
        raise RecipeError(
            f"image.augment.{asked[0]} changes pictures in each epoch, and the frozen body sees each picture once",
            command="--set mixed.frozen=false",
        )
    return frozen


def _plan_pictures(choices: Choices, schema: Schema, *, columns: int, frozen: bool, pretrained: bool) -> None:
    facts = schema.picture
    assert facts is not None
    native, words = (facts.height, facts.width), f"{facts.height}x{facts.width}"
    if frozen:
        side, reason = FROZEN_SIDE, "the frozen body sees each picture once"
    else:
        side = SIDE if columns == 1 else SIDE_OF_SEVERAL
        reason = f"{columns} pictures a row are seen in each epoch"
    size = fit_area(native, side, enlarge=pretrained)
    if not pretrained and max(native) <= side:
        size, reason = native, "small enough to be used as they are"
    choices.choose("image.size", size, f"the shape of the median picture ({words}); {reason}")
    plan_channels(choices, facts, pretrained=pretrained)
    choices.choose("image.flip_average", False, "a row of several columns has no mirror image")
    choices.choose("image.augment.mixup", 0.0, "numbers and words beside pictures cannot be blended")
    if frozen:
        for name in ("flip_horizontal", "flip_vertical"):
            choices.choose(
                f"image.augment.{name}", False, "the frozen body sees each picture once, unchanged"
            )
        for name in ("shift", "scale", "rotate", "brightness", "contrast", "erase"):
            choices.choose(f"image.augment.{name}", 0.0, "the frozen body sees each picture once, unchanged")
        return
    hints = {"source": str(choices.recipe.source), "target": schema.target}
    plan_augmentation(choices, facts, schema.classes, find_words(hints, schema.classes), pretrained=False)


def _plan_net(choices: Choices, rows: int, *, pretrained: bool) -> None:
    if not pretrained:
        choices.choose(
            "mixed.pictures", "small_cnn", "a short net is enough for small pictures, and is quick"
        )
        choices.choose("mixed.picture_channels", 8, "one net sees the pictures of all columns")
    if rows < TINY_ROWS:
        width, reason = 4, f"{rows:,} rows: more numbers a picture would drown the other columns"
    else:
        width, reason = 16, "a few numbers a picture, so that many pictures do not drown the rest"
    choices.choose("mixed.picture_width", width, reason)


def _plan_texts(choices: Choices, rows: int) -> None:
    name = choices.choose("mixed.text", "text_bag", "the best of the small nets, and by far the quickest")
    choices.choose("mixed.text_width", 32, "enough beside other columns")
    if rows < MANY_TEXTS and name == "text_bag" and choices.recipe.text.tokens in (None, "ngrams"):
        choices.choose("text.buckets", FEW_BUCKETS, f"{rows:,} rows hold few different n-grams")
    plan_tokens(choices, name)
    choices.choose("text.token_dropout", 0.1, "no single word may decide")
    if name == "transformer":
        choices.choose("text.heads", 4, "usual for vectors this short")


def _plan_joining(choices: Choices, rows: int) -> None:
    choices.choose("mixed.fusion", "concat", "gates gained nothing that was measured")
    dropout, reason = (
        (0.5, f"{rows:,} rows: pictures are soon learnt by heart")
        if rows < TINY_ROWS * 5
        else (0.2, "many rows")
    )
    choices.choose("mixed.dropout", dropout, reason)
