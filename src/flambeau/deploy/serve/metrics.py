"""What a server counts, for Prometheus: requests, batches, waiting, what was predicted, and what was strange."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable, Sequence

import numpy as np
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

from flambeau.deploy.serve.drift import Strange
from flambeau.deploy.serve.explaining import Explaining
from flambeau.deploy.serve.models import Loaded
from flambeau.evaluation.decide import choose_sure_classes
from flambeau.transforms.series import SeriesPreparation

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
DEVIATIONS = (-3, -2, -1, 0, 1, 2, 3)
SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)


class Metrics:
    """The counters of one server, in a registry of their own.

    Args:
        waiting: tells how many inputs wait now.
    """

    content_type = CONTENT_TYPE_LATEST.encode()

    def __init__(self, waiting: Callable[[], float]) -> None:
        self.registry = registry = CollectorRegistry()
        model = ("model", "version")
        self.requests = Counter(
            "flambeau_requests", "Requests to predict.", (*model, "status"), registry=registry
        )
        self.seconds = Histogram("flambeau_request_seconds", "Time of an answered request, from its last byte.",
                                 model, buckets=SECONDS, registry=registry)  # fmt: skip
        self.batches = Histogram("flambeau_batch_inputs", "Inputs that were answered together.", model, buckets=SIZES,
                                 registry=registry)  # fmt: skip
        self.inference = Counter(
            "flambeau_inference_seconds", "Time spent on batches.", model, registry=registry
        )
        self.predictions = Counter("flambeau_predictions", "Answers by predicted class.", (*model, "label"),
                                   registry=registry)  # fmt: skip
        self.values = Histogram(
            "flambeau_predicted_value",
            "Predicted values, in standard deviations of the training target from its mean.",
            model,
            buckets=DEVIATIONS,
            registry=registry,
        )
        self.strange = Counter("flambeau_strange_inputs", "Inputs unlike the training data, by kind.",
                               (*model, "kind"), registry=registry)  # fmt: skip
        self.made = Counter(
            "flambeau_made", "Tokens that were written, or pictures that were made.", model, registry=registry
        )
        Gauge(
            "flambeau_waiting_inputs", "Inputs that wait for their answer.", registry=registry
        ).set_function(waiting)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self.registry)

    def answered(self, model: Loaded, status: int, seconds: float | None = None) -> None:
        """Count one request; its time only where it was answered."""
        self.requests.labels(model.name, model.version, status).inc()
        if seconds is not None:
            self.seconds.labels(model.name, model.version).observe(seconds)

    def batched(self, model: Loaded | Explaining, size: int, seconds: float) -> None:
        """Count one batch."""
        if isinstance(model, Loaded):
            self.batches.labels(model.name, model.version).observe(size)
            self.inference.labels(model.name, model.version).inc(seconds)

    def predicted(self, model: Loaded, predictions: np.ndarray, strange: Sequence[Strange]) -> None:
        """Count what a batch was answered, and what was strange about its inputs."""
        schema = model.bundle.schema
        if model.asked is not None:
            self._asked(model, predictions)
        elif isinstance(model.bundle.preparation, SeriesPreparation):
            scaled = self.values.labels(model.name, model.version)
            for place, channel in enumerate(model.bundle.preparation.channels[: predictions.shape[2]]):
                for value in channel.scale(predictions[:, -1, place, 0]).tolist():
                    scaled.observe(value)
        elif schema.task == "regression":
            scaled = self.values.labels(model.name, model.version)
            for value in model.bundle.target.scale(predictions).tolist():
                scaled.observe(value)
        else:
            names = [*schema.classes, model.bundle.unknown]
            if schema.task == "classification":
                chosen = choose_sure_classes(predictions, model.bundle.point, model.bundle.threshold)
                counts = np.bincount(np.where(chosen < 0, len(schema.classes), chosen), minlength=len(names))
            else:
                counts = np.append(np.asarray(predictions > 0.5).sum(axis=0), 0)
            for number, name in zip(counts.tolist(), names, strict=True):
                if number:
                    self.predictions.labels(model.name, model.version, name).inc(number)
        for kind, count in Tally(kind for found in strange for kind in {kind for kind, _ in found}).items():
            self.strange.labels(model.name, model.version, kind).inc(count)

    def _asked(self, model: Loaded, counted: np.ndarray) -> None:
        """Count what was made, or whether there was an answer: 1, 0, and -1 for a step that is no answer."""
        if model.bundle.schema.task != "chat":
            self.made.labels(model.name, model.version).inc(float(counted.sum()))
            return
        for value, name in ((1, "answered"), (0, "unknown")):
            if number := int((counted == value).sum()):
                self.predictions.labels(model.name, model.version, name).inc(number)
