"""The validation score that chooses the best epoch, and the rule by which it does."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flambeau.evaluation.calibration import apply_temperature
from flambeau.evaluation.metrics import higher_is_better, score_predictions
from flambeau.evaluation.temperature import fit_temperature

MOST_CALIBRATED = 2_000_000
LEAST_PROBABILITY = 1e-7


@dataclass(frozen=True)
class Validation:
    """Scores of the validation part.

    Args:
        loss: the mean loss.
        score: what chooses the best epoch.
        spread: the standard error of the mean loss.
    """

    loss: float
    score: float
    spread: float = 0.0


@dataclass
class BestEpoch:
    """The epoch whose weights are kept.

    Args:
        epoch: counted from 1; 0 before the first epoch has ended.
        score, loss, spread: of the best epoch's validation; a later one within tolerance may be kept.
    """

    epoch: int = 0
    score: float | None = None
    loss: float | None = None
    spread: float = 0.0

    def note(
        self, epoch: int, validation: Validation | None, *, higher_is_better: bool, tolerance: float = 0.0
    ) -> bool:
        """Whether the weights of this epoch are kept: it is the best, or late and as good; without validation the last.

        Equal scores are decided by the validation loss: scores such as accuracy tie often on few samples. With a
        tolerance, a later epoch is kept too if its loss is within that many standard errors of the best one's (the
        one-standard-error rule of Breiman et al. 1984, which takes the further annealed net for the simpler one).
        """
        best = True
        if validation is not None and self.score is not None and self.loss is not None:
            sign = 1 if higher_is_better else -1
            best = (sign * validation.score, -validation.loss) > (sign * self.score, -self.loss)
            if not best and (tolerance == 0 or validation.loss > self.loss + tolerance * self.spread):
                return False
        self.epoch = epoch
        if validation is not None and best:
            self.score, self.loss, self.spread = validation.score, validation.loss, validation.spread
        return True

    def stopped(self, epochs: int, patience: int) -> bool:
        """Whether early stopping applies: `patience` epochs (0: never) of `epochs` have passed since the best one."""
        return patience > 0 and self.epoch > 0 and epochs - self.epoch >= patience


def validate_predictions(task: str, metric: str, targets: np.ndarray, predictions: np.ndarray) -> Validation:
    """The mean loss of predictions, and the score that chooses the best epoch.

    Probabilities are calibrated first (Guo et al. 2017), as the kept model's will be: label smoothing and mixup make
    the raw log loss of better epochs look worse.

    Args:
        task, targets, predictions: as for `score_predictions`.
        metric: name of the score.
    """
    if task != "regression" and predictions.size <= MOST_CALIBRATED:
        temperature = fit_temperature(predictions, targets)
        predictions = apply_temperature(predictions, temperature, multilabel=task == "multilabel")
    if task == "classification":
        losses = -np.log(np.maximum(predictions[np.arange(len(targets)), targets], LEAST_PROBABILITY))
    elif task == "multilabel":
        likelihood = np.where(targets > 0.5, predictions, 1 - predictions)
        losses = -np.log(np.maximum(likelihood, LEAST_PROBABILITY)).mean(axis=1)
    else:
        losses = np.square(targets - predictions)
    loss = float(losses.mean())
    worst = float("-inf") if higher_is_better(metric) else float("inf")
    if not np.isfinite(loss):  # the model has diverged
        score = worst
    elif metric == "log_loss":
        score = loss
    elif metric == "rmse":
        score = loss**0.5
    elif metric == "accuracy" and task == "classification":
        score = float((predictions.argmax(axis=1) == targets).mean())
    else:
        score = score_predictions(task, targets, predictions).get(metric, worst)
    return Validation(loss, score, float(losses.std() / len(losses) ** 0.5))
