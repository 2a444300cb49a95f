"""Scores as sentences tell them: the names of metrics, and numbers as tables write them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

METRIC_NAMES = {
    "f1_macro": "macro F1",
    "roc_auc": "ROC-AUC",
    "mae": "MAE",
    "mape": "MAPE",
    "rmse": "RMSE",
    "r2": "R²",
    "mse": "MSE",
    "mase": "MASE",
    "scaled_mse": "standardised MSE",
    "scaled_mae": "standardised MAE",
    "pinball": "pinball loss",
    "width": "width of the band",
    "direction": "directions right",
    "top1": "right answer first",
    "top5": "right answer among five",
    "frechet_distance": "Fréchet distance",
}


def metric_name(metric: str) -> str:
    """A metric's key as people say it.

    >>> metric_name("balanced_accuracy"), metric_name("rmse")
    ('balanced accuracy', 'RMSE')
    """
    return METRIC_NAMES.get(metric, metric.replace("_", " "))


def band_words(low: float, high: float) -> str:
    """The band between two quantiles.

    >>> band_words(0.1, 0.9), band_words(0.025, 0.975)
    ('10 % to 90 %', '2.5 % to 97.5 %')
    """
    return f"{100 * low:g} % to {100 * high:g} %"


def tell_band(coverage: Mapping[str, float] | None, quantiles: Sequence[float]) -> str:
    """Whether the band between the outermost quantiles is too narrow or too wide by more than luck; "" where it fits.

    Args:
        coverage: "value", "low", "high" of the share of what came that lay in the band; None where it was not judged.
        quantiles: in rising order.
    """
    if coverage is None or len(quantiles) < 2:
        return ""
    asked = 100 * (quantiles[-1] - quantiles[0])
    digits = 0 if abs(asked - round(asked)) < 1e-6 else 1
    # as they are printed, so that the sentence cannot contradict its own numbers
    wanted, value, low, high = (
        round(one, digits) for one in (asked, *(100 * coverage[name] for name in ("value", "low", "high")))
    )
    if low <= wanted <= high:
        return ""
    width = "narrow" if value < wanted else "wide"
    return (
        f"The band from {band_words(quantiles[0], quantiles[-1])} is too {width}: it held {value:.{digits}f}% "
        f"[{low:.{digits}f}%, {high:.{digits}f}%] of what came in the test, not {wanted:.{digits}f}%."
    )


def score_number(value: float) -> str:
    """A score in a sentence: four digits, and thousands set apart, no power of ten that people must count out.

    >>> score_number(377458.2), score_number(0.36364), score_number(11.5), score_number(0.8)
    ('377,458', '0.3636', '11.50', '0.8000')
    >>> score_number(9.9999), score_number(999.96), score_number(5e20)
    ('10.00', '1,000', '5e+20')
    """
    # rounding may carry into another digit
    size = abs(float(f"{value:.4g}"))
    if size >= 1e15:
        return f"{value:.4g}"
    if size >= 1000:
        return f"{value:,.0f}"
    if size >= 1:
        return f"{value:.{4 - len(str(int(size)))}f}"
    return f"{value:.4f}" if size >= 0.001 or size == 0 else f"{value:.2g}"
