"""Targets, predictions and mistakes that are made up with a given skill, for synthetic run folders."""

from __future__ import annotations

import base64
import io
from typing import Any

import numpy as np
from PIL import Image

from flambeau.schema import Schema


def class_frequencies(schema: Schema, targets: np.ndarray) -> np.ndarray:
    if schema.task != "classification":
        return targets.mean(0)
    return np.bincount(targets, minlength=len(schema.classes)) / len(targets)


def made_up(
    schema: Schema, rows: int, skill: float, generator: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    if schema.task == "regression":
        targets = np.exp(generator.normal(12, 0.5, rows))
        return targets, targets * np.exp(generator.normal(0, 1 / (1 + skill), rows))
    outputs = len(schema.classes)
    if schema.task == "multilabel":
        labels = (generator.random((rows, outputs)) < np.linspace(0.5, 0.05, outputs)).astype(np.float32)
        logits = generator.normal(size=labels.shape) + skill * (labels - 0.5)
        return labels, 1 / (1 + np.exp(-logits))
    classes = generator.integers(0, outputs, rows)
    logits = generator.normal(size=(rows, outputs)) + skill * np.eye(outputs)[classes]
    logits += 0.6 * skill * np.eye(outputs)[(classes + 1) % outputs] * (generator.random((rows, 1)) < 0.15)
    return classes, np.exp(logits) / np.exp(logits).sum(1, keepdims=True)


def worst_mistakes(
    schema: Schema, targets: np.ndarray, predictions: np.ndarray, test: list[int], ids: list[str]
) -> list[dict[str, Any]]:
    if schema.task == "regression":
        errors = np.abs(predictions - targets)
        return [
            {
                "id": f"row {test[i] + 1}",
                "target": float(targets[i]),
                "predicted": float(predictions[i]),
                "confidence": None,
                "error": float(errors[i]),
                "png": None,
                "row": {"rooms": 5.2, "income": 3.14159, "ocean": "near bay", "age": None},
            }
            for i in np.argsort(-errors)[:9]
        ]
    if schema.task == "multilabel":
        errors = np.abs(predictions - targets).max(1)
        return [
            {
                "id": ids[test[i]],
                "target": [schema.classes[k] for k in np.flatnonzero(targets[i])],
                "predicted": [schema.classes[k] for k in np.flatnonzero(predictions[i] > 0.5)],
                "confidence": None,
                "error": float(errors[i]),
                "png": example_picture(i),
                "row": None,
            }
            for i in np.argsort(-errors)[:8]
        ]
    right = predictions[np.arange(len(targets)), targets]
    chosen = predictions.argmax(1)
    wrong = [i for i in np.argsort(right) if chosen[i] != targets[i]][:12]
    return [
        {
            "id": ids[test[i]],
            "target": schema.classes[targets[i]],
            "predicted": schema.classes[chosen[i]],
            "confidence": float(predictions[i].max()),
            "error": float(right[i]),
            "png": example_picture(i),
            "row": None,
        }
        for i in wrong
    ]


def example_picture(seed: int) -> str:
    """A small grey picture as base64 PNG."""
    rows, columns = np.mgrid[0:28, 0:28]
    centre = np.random.default_rng(seed).integers(9, 19, 2)
    ring = np.abs(np.hypot(rows - centre[0], columns - centre[1]) - 6) < 1.6
    buffer = io.BytesIO()
    Image.fromarray((255 * ring).astype(np.uint8)).save(buffer, "PNG")
    return base64.b64encode(buffer.getvalue()).decode("ascii")
