"""The quantile function of the normal distribution in plain arithmetic, for formats that lack it."""

from __future__ import annotations

import torch
from torch import Tensor

# Coefficients of Wichura 1988, "Algorithm AS 241: The Percentage Points of the Normal Distribution", routine PPND16,
# Applied Statistics 37(3), 477-484: highest power first.
CENTRE_UPPER = (
    *(2509.0809287301226727, 33430.575583588128105, 67265.770927008700853, 45921.953931549871457),
    *(13731.693765509461125, 1971.5909503065514427, 133.14166789178437745, 3.387132872796366608),
)
CENTRE_LOWER = (
    *(5226.495278852545925, 28729.085735721942674, 39307.89580009271061, 21213.794301586595867),
    *(5394.1960214247511077, 687.1870074920579083, 42.313330701600911252, 1.0),
)
MIDDLE_UPPER = (
    *(7.7454501427834140764e-4, 0.0227238449892691845833, 0.24178072517745061177, 1.27045825245236838258),
    *(3.64784832476320460504, 5.7694972214606914055, 4.6303378461565452959, 1.42343711074968357734),
)
MIDDLE_LOWER = (
    *(1.05075007164441684324e-9, 5.475938084995344946e-4, 0.0151986665636164571966, 0.14810397642748007459),
    *(0.68976733498510000455, 1.6763848301838038494, 2.05319162663775882187, 1.0),
)
FAR_UPPER = (
    *(
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        0.0012426609473880784386,
        0.026532189526576123093,
    ),
    *(0.29656057182850489123, 1.7848265399172913358, 5.4637849111641143699, 6.6579046435011037772),
)
FAR_LOWER = (
    *(
        2.04426310338993978564e-15,
        1.4215117583164458887e-7,
        1.8463183175100546818e-5,
        7.868691311456132591e-4,
    ),
    *(0.0148753612908506148525, 0.13692988092273580531, 0.59983220655588793769, 1.0),
)
CENTRE_WIDTH = 0.425
CENTRE_SQUARE = 0.180625
MIDDLE_START, FAR_START = 1.6, 5.0
SMALLEST_PROBABILITY = 1e-300


def normal_quantiles(probabilities: Tensor) -> Tensor:
    """The values below which these shares of a standard normal distribution lie, as `torch.special.ndtri`.

    Wichura's PPND16 (see the coefficients): about 1 part in 10^16. At 0 and 1, large finite numbers stand for
    the infinities.

    Args:
        probabilities: any shape, float64 from 0 to 1.

    Returns:
        The same shape, float64.
    """
    offset = probabilities - 0.5
    centre = offset * _ratio(float64(CENTRE_SQUARE) - offset * offset, CENTRE_UPPER, CENTRE_LOWER)
    tail = torch.minimum(probabilities, 1.0 - probabilities).maximum(float64(SMALLEST_PROBABILITY))
    depth = torch.sqrt(-torch.log(tail))
    middle = _ratio(depth - float64(MIDDLE_START), MIDDLE_UPPER, MIDDLE_LOWER)
    far = _ratio(depth - FAR_START, FAR_UPPER, FAR_LOWER)
    outer = torch.where(depth <= FAR_START, middle, far)
    outer = torch.where(offset < 0.0, -outer, outer)
    return torch.where(offset.abs() <= float64(CENTRE_WIDTH), centre, outer)


def float64(number: float) -> Tensor:
    """A number as a tensor: torch's ONNX exporter takes plain numbers through float32."""
    return torch.tensor(number, dtype=torch.float64)


def _ratio(values: Tensor, upper: tuple[float, ...], lower: tuple[float, ...]) -> Tensor:
    """A quotient of two polynomials, each by Horner's rule."""
    above, below = float64(upper[0]), float64(lower[0])
    for high, low in zip(upper[1:], lower[1:], strict=True):
        above, below = above * values + float64(high), below * values + float64(low)
    return above / below
