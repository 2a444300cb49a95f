"""Numbers and scores in words, as the report says them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from flambeau.evaluation.metrics import higher_is_better, main_metric, task_metrics

METRIC_TITLES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "f1_macro": "Macro F1",
    "roc_auc": "ROC-AUC",
    "log_loss": "Log loss",
    "average_precision": "Mean average precision",
    "mae": "Mean absolute error",
    "mape": "Mean absolute percentage error",
    "rmse": "Root mean squared error",
    "r2": "R²",
    "mse": "Mean squared error",
    "scaled_mse": "Standardised MSE",
    "scaled_mae": "Standardised MAE",
    "mase": "Mean absolute scaled error",
    "pinball": "Pinball loss",
    "coverage": "Coverage",
    "width": "Width of the band",
    "direction": "Directional accuracy",
    "top1": "Right answer first",
    "top5": "Right answer among five",
    "nats_per_token": "Nats per token",
    "perplexity": "Perplexity",
    "bits_per_character": "Bits per character",
    "frechet_distance": "Fréchet distance",
}
METRIC_MEANINGS = {
    "accuracy": "share of samples that are wholly right",
    "balanced_accuracy": "mean over classes of the share found",
    "f1_macro": "mean over classes of precision and recall in one number",
    "roc_auc": "chance that a sample of a class scores above one of another; 0.5 is guessing",
    "log_loss": "how far the probabilities are from the truth; lower is better",
    "average_precision": "area under the precision-recall curve, mean over labels",
    "mae": "how far off a prediction is on average, in the target's units; lower is better",
    "mape": "how far off a prediction is on average, as a share of the target; lower is better",
    "rmse": "as the mean error, but large misses weigh more; lower is better",
    "r2": "share of the variance explained; 0 is guessing the mean",
    "mse": "mean of the squared errors, in squared units; lower is better",
    "scaled_mse": "mean squared error in standard deviations of the training rows, as in papers; lower is better",
    "scaled_mae": "mean absolute error in standard deviations of the training rows; lower is better",
    "mase": "mean absolute error beside that of the seasonal naive on training rows; below 1 is better than it",
    "pinball": "how far off the quantiles are, each weighed as it should be; lower is better",
    "coverage": "share of what came that lies between the outermost quantiles; best as far apart as they are",
    "width": "between the outermost quantiles, in the target's units; narrow is better where the coverage is right",
    "direction": "share of rises and falls from the last known value that were foreseen; a coin gives a half",
    "top1": "share of new questions whose right answer is found first",
    "top5": "share of new questions whose right answer is among the first five",
    "nats_per_token": "how much each next token surprises the model; lower is better",
    "perplexity": "from how many equally likely tokens it seems to choose; lower is better",
    "bits_per_character": "how long the text would be if the model packed it; lower is better",
    "frechet_distance": "how far made pictures are from real ones, in features; lower is better",
}
MODEL_TITLES = {
    "small_cnn": "small CNN",
    "small_resnet": "small ResNet",
    "fast_cnn": "fast CNN",
    "resnet": "ResNet",
    "cnn3d": "3-D CNN",
    "tabm": "TabM",
    "mlp": "MLP",
    "dcgan": "DCGAN",
    "text_bag": "bag of n-grams",
    "text_cnn": "CNN of texts",
    "lstm": "LSTM",
    "gru": "GRU",
    "rnn": "RNN",
    "linear": "linear",
    "ridge": "ridge regression",
    "nlinear": "NLinear",
    "dlinear": "DLinear",
    "tcn": "TCN",
    "patchtst": "patch transformer",
}
_PERCENT = frozenset({"top1", "top5", "accuracy", "balanced_accuracy", "mape", "coverage", "direction"})
_OWN_UNITS = frozenset({"mae", "rmse", "mse", "pinball", "width"})


def format_number(value: float | int | None, digits: int = 3) -> str:
    """A number with this many significant digits, thousands set apart: 45,912 or 0.0123; "–" for None."""
    if value is None:
        return "–"
    if isinstance(value, int) or (abs(value) < 1e15 and value == int(value)):
        return f"{int(value):,}"
    if abs(value) >= 1e9 or abs(value) < 1e-4:
        return f"{value:.{digits - 1}e}"
    if abs(value) >= 10 ** (digits - 1):
        return f"{value:,.0f}"
    return f"{value:.{digits}g}"


def format_metric(metric: str, value: float | None) -> str:
    """A score as people say it: 97.9 % for accuracies, three decimals for areas, units for errors."""
    if value is None:
        return "–"
    if metric in _PERCENT:
        return f"{100 * value:.1f} %"
    if metric in _OWN_UNITS:
        return format_number(float(value), 4)
    return f"{value:.3f}".replace("-", "−")


def format_tick(metric: str, value: float) -> str:
    """A score on an axis, without digits that say nothing: 80 %, 0.8, 200,000."""
    if metric in _PERCENT:
        return f"{100 * value:g} %"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:g}"


def format_interval(metric: str, score: Mapping[str, float]) -> str:
    """The ends of an interval: "96.8–98.9 %" or "0.981 to 0.993"."""
    low, high = format_metric(metric, score.get("low")), format_metric(metric, score.get("high"))
    if metric in _PERCENT:
        return f"{low.removesuffix(' %')}–{high}"
    return f"{low} to {high}"


def format_seconds(seconds: float | None) -> str:
    """A duration: 43 s, 2 min 5 s, 1 h 12 min."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60} min"


def as_sentence(words: str) -> str:
    """Words with a capital at their begin and a stop at their end; a name in quotes, or of a file, stays as it is.

    >>> as_sentence("it answers"), as_sentence("Rates rise. "), as_sentence("net.pth: 16 of 18 tensors")
    ('It answers.', 'Rates rise.', 'net.pth: 16 of 18 tensors.')
    """
    words = words.strip()
    stop = "" if words.endswith((".", "!", "?", ":")) or not words else "."
    is_name = "." in words.split(" ")[0].rstrip(".:,")
    return (words if is_name else words[:1].upper() + words[1:]) + stop


def count_of(number: int, one: str, many: str = "") -> str:
    """A count with its noun: "1 class", "12,000 classes"."""
    return f"{number:,} {one if number == 1 else many or one + 's'}"


def best_baseline(metric: str, baselines: Mapping[str, Mapping[str, float]]) -> tuple[str, float] | None:
    """The name and value of the baseline that does best at the metric, or None where there is none."""
    scored = [(name, scores[metric]) for name, scores in baselines.items() if scores.get(metric) is not None]
    if not scored:
        return None
    return (max if higher_is_better(metric) else min)(scored, key=lambda item: item[1])


def compare_with_baseline(scores: Mapping[str, Any]) -> tuple[str, str]:
    """Whether the main score beats the best baseline.

    Args:
        scores: the contents of scores.json.

    Returns:
        "better", "unclear", "worse" or "none", and the sentence that says so. It is better only where the
        whole interval lies on the good side of the baseline.
    """
    metric = headline_metric(scores)
    ours = scores["test"].get(metric)
    best = best_baseline(metric, scores.get("baselines") or {})
    if ours is None or best is None:
        return "none", "No baseline was fitted, so there is nothing to compare this score with."
    name, value = best
    sign = 1 if higher_is_better(metric) else -1
    worst_end = min(sign * ours["low"], sign * ours["high"])
    against = f"the best baseline, {name} ({format_metric(metric, value)})"
    if worst_end > sign * value:
        return "better", f"It beats {against}: the whole interval lies on the better side."
    if sign * ours["value"] > sign * value:
        return "unclear", f"It is ahead of {against}, but the interval holds both: the lead may be luck."
    return "worse", f"It does not beat {against}. The simpler model is the better choice here."


def headline_metric(scores: Mapping[str, Any]) -> str:
    """The metric that leads: of a forecast the one that chose it, else the task's main one, or the first defined."""
    main = scores.get("metric") if scores["task"] == "forecast" else None
    main = main or main_metric(scores["task"])
    defined = [metric for metric in task_metrics(scores["task"]) if metric in scores["test"]]
    return main if main in defined or not defined else defined[0]
