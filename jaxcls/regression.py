"""Scores of predicted numbers on the host in float64, with intervals, and bands that hold them."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxcls.scores import Z_95

_RESAMPLES = 1_000


class Target(NamedTuple):
    """A number that is predicted, in a unit of its own: mean + scale x what a network gives.

    Attributes:
        name: of what is measured.
        mean: of the targets of the training rows, or 0 where they are learned as they are.
        scale: by which they are divided, their standard deviation, or 1.
    """

    name: str
    mean: float = 0.0
    scale: float = 1.0


class Estimate(NamedTuple):
    """A score, and its 95% interval.

    Attributes:
        value: of all rows; NaN where they don't tell it.
        low: lower end; NaN where the rows tell no spread.
        high: upper end, likewise.
    """

    value: float
    low: float
    high: float


class RegressionScores(NamedTuple):
    """How far predictions are from targets.

    Attributes:
        r_squared: share of the targets' variation that is explained; NaN where they have none.
        rmse: root of the mean squared error, in the targets' unit.
        mae: mean absolute error, in the targets' unit.
    """

    r_squared: Estimate
    rmse: Estimate
    mae: Estimate


class Coverage(NamedTuple):
    """How many targets lie in their bands.

    Attributes:
        inside: targets within 1.96 standard deviations of their mean.
        count: targets.
    """

    inside: int
    count: int


def regression_scores(
    predictions: ArrayLike, targets: ArrayLike, *, seed: int = 0
) -> RegressionScores:
    """Scores with intervals by the bootstrap over rows (B. Efron, 1979), percentiles of 1,000.

    An interval tells what other test rows would have changed, and not what another training would.

    Args:
        predictions: [N] numbers.
        targets: [N] numbers in the same unit.
        seed: of the rows that are drawn.

    Raises:
        ValueError: they are not two arrays [N] of finite numbers with N at least 1.

    >>> scores = regression_scores([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    >>> scores.r_squared.value, round(scores.mae.value, 3)
    (0.5, 0.333)
    """
    columns = _columns(*_pair("regression_scores", predictions, targets))
    drawn = _drawn_means(columns, seed)
    whole = columns.mean(axis=1)
    return RegressionScores(*(_estimate(each, whole, drawn) for each in _FUNCTIONS))


def values_alone(predictions: ArrayLike, targets: ArrayLike) -> list[float]:
    """The values of `regression_scores`, without its intervals, which take a while.

    >>> [round(value, 3) for value in values_alone([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])]
    [0.5, 0.577, 0.333]
    """
    means = _columns(*_pair("values_alone", predictions, targets)).mean(axis=1)
    return [float(each(means)) for each in _FUNCTIONS]


def coverage(mean: ArrayLike, std: ArrayLike, targets: ArrayLike) -> Coverage:
    """How many targets lie in the 95% bands of normal distributions.

    Args:
        mean: [N].
        std: [N], standard deviations, at least 0.
        targets: [N].

    Raises:
        ValueError: as of `regression_scores`, or a standard deviation is negative.

    >>> coverage([0.0, 0.0], [1.0, 1.0], [1.9, 2.0])
    Coverage(inside=1, count=2)
    """
    middle, wanted = _pair("coverage", mean, targets)
    half, _ = _pair("coverage", std, targets)
    if (half < 0).any():
        raise ValueError(f"coverage: std must be at least 0, got {half.min()}.")
    inside = np.abs(wanted - middle) <= Z_95 * half
    return Coverage(int(inside.sum()), len(wanted))


def _pair(
    caller: str, predictions: ArrayLike, targets: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    predicted = np.asarray(predictions, np.float64)
    wanted = np.asarray(targets, np.float64)
    if predicted.shape != wanted.shape or wanted.ndim != 1 or not len(wanted):
        raise ValueError(
            f"{caller}: predictions {list(predicted.shape)} and targets {list(wanted.shape)} must "
            "both be [N] with N at least 1."
        )
    if not (np.isfinite(predicted).all() and np.isfinite(wanted).all()):
        raise ValueError(f"{caller}: predictions and targets must be finite.")
    return predicted, wanted


def _columns(predicted: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """[4, N], of whose means all scores are made."""
    wrong = predicted - wanted
    # Around their mean, so that no digits are lost where the sum of squares is reckoned.
    centred = wanted - wanted.mean()
    return np.stack([wrong**2, np.abs(wrong), centred, centred**2])


def _drawn_means(columns: np.ndarray, seed: int) -> np.ndarray:
    """Means [C, R] of columns [C, N] over rows drawn with replacement, R times."""
    count, rng = columns.shape[1], np.random.default_rng(seed)
    found = np.empty((len(columns), _RESAMPLES))
    for place in range(_RESAMPLES):
        times = np.bincount(rng.integers(0, count, count), minlength=count)
        found[:, place] = columns @ times / count
    return found


def _r_squared(means: np.ndarray) -> np.ndarray:
    variation = means[3] - means[2] ** 2
    # NaN of targets that are all alike, as draws of a few rows may be.
    variation = np.where(variation > 0, variation, np.nan)
    return 1 - means[0] / variation


def _rmse(means: np.ndarray) -> np.ndarray:
    return np.sqrt(means[0])


def _mae(means: np.ndarray) -> np.ndarray:
    return means[1]


_FUNCTIONS = (_r_squared, _rmse, _mae)  # as `RegressionScores` has them


def _estimate(
    function: Callable[[np.ndarray], np.ndarray], whole: np.ndarray, drawn: np.ndarray
) -> Estimate:
    values = function(drawn)
    values = values[np.isfinite(values)]
    value = float(function(whole))
    # Rows that are drawn alike each time, such as one row alone, tell no spread.
    if len(np.unique(values)) < 2 or np.isnan(value):
        return Estimate(value, float("nan"), float("nan"))
    low, high = np.quantile(values, (0.025, 0.975))
    return Estimate(value, float(low), float(high))
