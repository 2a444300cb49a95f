"""Why an answer: what of a picture or a row moves it, by hiding one part after the other (Zeiler and Fergus 2014)."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from flambeau.deploy.answer import device_of, predict_inputs
from flambeau.deploy.bundle import Bundle
from flambeau.errors import UsageError, did_you_mean
from flambeau.evaluation.decide import choose_classes
from flambeau.transforms.categories import MISSING, UNKNOWN, CategoryFeature
from flambeau.transforms.image import PicturePreparation
from flambeau.transforms.series import SECONDS_A_DAY
from flambeau.transforms.table import TablePreparation

FEWEST_CELLS, MOST_CELLS = 6, 12
# The work of one explanation: about as many pixels pass the model as in 84 pictures of 224 by 224.
MOST_PIXELS = 2**22
AT_ONCE = 64
# Sums of equal numbers in batches of other sizes differ by this share in float32.
ROUNDING = 1e-6


def explain_picture(bundle: Bundle, picture: Tensor | np.ndarray, label: str | None = None) -> dict[str, Any]:
    """How the answer changes where a patch of the picture is painted in the mean colour of the training pictures.

    Patches of two by two cells of a coarse grid, moved by one cell, are hidden one after the other (captum's
    Occlusion). Equal calls give equal maps, and the work is bounded whatever the size of the model's pictures.

    Args:
        bundle: of pictures.
        picture: (height, width, channels) pixels as `load_picture` gives them, or prepared (1, channels, height,
            width) on the model's device.
        label: whose probability is explained; the most probable one for None. Meaningless for a regression.

    Returns:
        "label" (None for a regression) and "answer", its probability or the value; "heat": rows of floats, positive
        where what is seen speaks for the label or raises the value; "fit", as of the preparation, which says what
        part of the original picture the map covers, and "size" (height, width) of what the model sees.

    Raises:
        UsageError: no such label.
    """
    from captum.attr import Occlusion

    preparation = bundle.preparation
    assert isinstance(preparation, PicturePreparation)
    inputs = picture if isinstance(picture, Tensor) else _prepared(bundle, preparation, picture)
    height, width = preparation.size
    most = int(math.sqrt(MOST_PIXELS / (height * width)))
    cells = max(FEWEST_CELLS, min(MOST_CELLS, most))
    rows, columns = min(cells, height), min(cells, width)
    stride = (math.ceil(height / rows), math.ceil(width / columns))
    window = (min(2 * stride[0], height), min(2 * stride[1], width))
    # Prepared pictures have mean 0 unless they were not normalised at all.
    baseline = 0.0 if preparation.mean else inputs.mean((2, 3), keepdim=True)
    label, index, answer = explained_label(bundle, (inputs,), label)
    with torch.inference_mode():
        changes = Occlusion(lambda pictures: answers_of(bundle, (pictures,), index)).attribute(
            inputs,
            sliding_window_shapes=(preparation.channels, *window),
            strides=(preparation.channels, *stride),
            baselines=baseline,
            perturbations_per_eval=AT_ONCE,
        )
    field = changes[:, 0].float()  # (1, height, width); equal over channels
    heat = torch.nn.functional.interpolate(field[:, None], size=(rows, columns), mode="area")[0, 0]
    return {
        "label": label,
        "answer": answer,
        "heat": [[round(value, 6) for value in row] for row in heat.tolist()],
        "fit": preparation.fit,
        "size": [height, width],
    }


def explain_row(bundle: Bundle, columns: dict[str, np.ndarray], label: str | None = None) -> dict[str, Any]:
    """How the answer for a row changes where one column after the other is made typical.

    Typical are the median of a number, the most frequent category, and for a date the medians of its parts; each
    column is replaced alone (captum's FeatureAblation).

    Args:
        bundle: of a table.
        columns: name → (1,) array, as `rows_as_columns` gives them.
        label: whose probability is explained; the most probable one for None. Meaningless for a regression.

    Returns:
        "label" (None for a regression) and "answer", its probability or the value; "effects": one {"column",
        "value", "typical", "effect"} a column, the largest |effect| first, where the effect is the answer as it is
        minus the answer with the typical value.

    Raises:
        UsageError: no such label.
    """
    from captum.attr import FeatureAblation

    preparation = bundle.preparation
    assert isinstance(preparation, TablePreparation)
    device = device_of(bundle.module)
    arrays = preparation.transform({name: values[:1] for name, values in columns.items()})
    inputs = tuple(torch.from_numpy(array).to(device) for array in arrays)
    names = list(dict.fromkeys((*(f.column for f in preparation.numbers), *preparation.category_names)))
    groups = {name: number for number, name in enumerate(names)}
    masks = (
        torch.tensor([[groups[feature.column] for feature in preparation.numbers]], device=device),
        torch.tensor([[groups[feature.column] for feature in preparation.categories]], device=device),
    )
    used = [position for position, part in enumerate(inputs) if part.shape[1]]
    typical = tuple(torch.from_numpy(part).to(device) for part in typical_inputs(preparation))
    label, index, answer = explained_label(bundle, inputs, label)

    def answers(*parts: Tensor) -> Tensor:
        given = dict(zip(used, parts, strict=True))
        rows = len(parts[0])
        # An empty array has nothing to hide, but the model takes both.
        both = tuple(given.get(position, part.expand(rows, -1)) for position, part in enumerate(inputs))
        return answers_of(bundle, both, index)

    with torch.inference_mode():
        changes = FeatureAblation(answers).attribute(
            tuple(inputs[position] for position in used),
            baselines=tuple(typical[position] for position in used),
            feature_mask=tuple(masks[position].long() for position in used),
            perturbations_per_eval=AT_ONCE,
        )
    effects: dict[str, float] = {}
    for position, change in zip(used, changes, strict=True):
        for group, effect in zip(masks[position][0].tolist(), change[0].tolist(), strict=True):
            effects[names[int(group)]] = 0.0 if abs(effect) <= ROUNDING * max(1e-3, abs(answer)) else effect
    ranked = sorted(names, key=lambda name: (-abs(effects[name]), groups[name]))
    return {
        "label": label,
        "answer": answer,
        "effects": [effect_of(bundle, name, columns[name][0], effects[name]) for name in ranked],
    }


def effect_of(bundle: Bundle, column: str, value: Any, effect: float) -> dict[str, Any]:
    """What is told of a column: "column", "value", "typical" and "effect"."""
    return {
        "column": column,
        "value": "a picture" if isinstance(value, bytes | np.ndarray) else plain_value(value),
        "typical": typical_value(bundle, column),
        "effect": effect,
    }


def _prepared(bundle: Bundle, preparation: PicturePreparation, pixels: np.ndarray) -> Tensor:
    numbers = pixels if pixels.dtype == np.uint8 else pixels.astype(np.int32)
    device = device_of(bundle.module)
    return preparation.prepare(torch.from_numpy(np.ascontiguousarray(numbers))[None].to(device))


def explained_label(
    bundle: Bundle, inputs: tuple[Tensor, ...], label: str | None
) -> tuple[str | None, int, float]:
    """The label that is explained, its position, and its probability; or None, 0 and the predicted value."""
    prediction = predict_inputs(bundle, inputs)[0]
    classes = bundle.schema.classes
    if bundle.schema.task == "regression":
        return None, 0, float(prediction)
    if label is not None and label not in classes:
        raise UsageError(f"there is no label '{label}'", hint=did_you_mean(label, classes))
    index = int(choose_classes(prediction[None], bundle.point)[0]) if label is None else classes.index(label)
    return classes[index], index, float(prediction[index])


def answers_of(bundle: Bundle, inputs: tuple[Tensor, ...], index: int) -> Tensor:
    """(n,) float64: the probability of one class or label, or the values."""
    predictions = predict_inputs(bundle, inputs)
    chosen = predictions if predictions.ndim == 1 else predictions[:, index]
    return torch.from_numpy(np.ascontiguousarray(chosen, dtype=np.float64)).to(inputs[0].device)


def typical_inputs(preparation: TablePreparation) -> tuple[np.ndarray, np.ndarray]:
    """Numbers (1, features) float32 and categories (1, columns) int64 of a row that is typical in every column."""
    numbers = [
        float(feature.scale(np.array([0.0 if feature.part == "missing" else feature.fill]))[0])
        for feature in preparation.numbers
    ]
    categories = [_typical_code(feature) for feature in preparation.categories]
    return np.array([numbers], dtype=np.float32), np.array([categories], dtype=np.int64)


def _typical_code(feature: CategoryFeature) -> int:
    if feature.values:
        return 2
    return MISSING if feature.missing else UNKNOWN


def typical_value(bundle: Bundle, name: str) -> str | float | bool | None:
    """What stands for a column where it is made typical; None for missing, or for a picture."""
    preparation = bundle.preparation
    if not isinstance(preparation, TablePreparation) or bundle.schema.column(name).kind in ("text", "image"):
        return None
    for category in preparation.categories:
        if category.column == name:
            return category.values[0] if category.values else None
    fills = {feature.part: feature.fill for feature in preparation.numbers if feature.column == name}
    if "days" in fills:
        moment = np.datetime64(round(fills["days"] * SECONDS_A_DAY), "s")
        return str(moment.astype("datetime64[D]"))
    if bundle.schema.column(name).kind == "boolean":
        return fills["value"] >= 0.5
    return fills["value"]


def plain_value(value: Any) -> str | float | None:
    """A value of a row for JSON: None for missing."""
    if isinstance(value, np.datetime64):
        return None if np.isnat(value) else str(value)
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None
    return value if value is None else str(value)
