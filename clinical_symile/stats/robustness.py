"""Describe a curve of performance under missing modalities by single numbers.

- The *area* under a degradation curve is the mean performance over the rates of missingness.
- The *retained share* is the performance above chance, divided by that with nothing missing.
- *Effective robustness* is the performance under a shift minus the one that methods of the same
  performance without the shift have. It tells a method that holds up from one that is just better.

Source: Taori, Dave, Shankar, Carlini, Recht and Schmidt, "Measuring robustness to natural
distribution shifts in image classification", NeurIPS 2020, https://arxiv.org/abs/2007.00644;
section 3: a line is fitted on a logit scale. Here a method is not among those that its line is
fitted on, because there are few methods.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float
from scipy.special import expit, logit  # pyright: ignore[reportMissingTypeStubs, reportUnknownVariableType]

LEAST_METHODS = 6
"""Effective robustness needs as many methods: a line on at least five others."""
_CLIPPED = 1e-3  # a logit needs values inside 0 and 1


def mean_over_rates(
    values: Float[np.ndarray, "*shape rate"], rates: Sequence[float]
) -> Float[np.ndarray, "*shape"]:
    """Compute the area under values against rates, divided by the range of the rates.

    Args:
        values: at each rate; straight lines join them.
        rates: in per cent, or severities of another unit, rising, two at least.

    Raises:
        ValueError: there are fewer than two rates, or they do not rise.
    """
    widths = np.diff(np.asarray(rates, dtype=np.float64))
    if not len(widths) or (widths <= 0).any():
        raise ValueError(f"rates {[*rates]}; expected two or more that rise.")
    return np.asarray((values[..., 1:] + values[..., :-1]) @ widths / (2 * widths.sum()))


def effective_robustness(
    complete: Float[np.ndarray, "*shape method"],
    shifted: Float[np.ndarray, "*shape method"],
    *,
    low: float,
    high: float,
    higher_is_better: bool = True,
) -> Float[np.ndarray, "*shape method"]:
    """Compute each method's performance under a shift minus what the other methods predict for it.

    Args:
        complete: the performance without the shift.
        shifted: the performance under it.
        low: the smallest possible performance.
        high: the largest; without a limit the line is fitted on the values themselves.
        higher_is_better: without it, what is below the line counts as positive.

    Returns:
        In units of the metric; NaN where the other methods are all alike without the shift.

    Raises:
        ValueError: there are fewer than six methods.
    """
    methods = int(complete.shape[-1])
    if methods < LEAST_METHODS:
        raise ValueError(
            f"effective robustness needs {LEAST_METHODS} methods or more; there are {methods}."
        )
    bounded = bool(np.isfinite([low, high]).all())
    x, y = (_scaled(each, low, high) if bounded else each for each in (complete, shifted))
    x = x - x.mean(axis=-1, keepdims=True)  # the variance of values that are alike is then 0
    others = 1 - np.eye(methods)
    count = methods - 1
    x_mean, y_mean = x @ others / count, y @ others / count
    variance = (x**2) @ others / count - x_mean**2
    covariance = (x * y) @ others / count - x_mean * y_mean
    undefined = np.full_like(variance, np.nan)
    slope = np.divide(covariance, variance, out=undefined, where=variance > 1e-12)
    predicted = y_mean + slope * (x - x_mean)
    if bounded:
        predicted = low + (high - low) * np.asarray(expit(predicted))  # pyright: ignore[reportUnknownArgumentType]
    return shifted - predicted if higher_is_better else predicted - shifted


def _scaled(
    values: Float[np.ndarray, "*shape"], low: float, high: float
) -> Float[np.ndarray, "*shape"]:
    share = np.clip((values - low) / (high - low), _CLIPPED, 1 - _CLIPPED)
    return np.asarray(logit(share))  # pyright: ignore[reportUnknownArgumentType]
