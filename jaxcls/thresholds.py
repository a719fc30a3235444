"""The probability of the second of two classes from which on it is the answer."""

from typing import Literal

import numpy as np
from jax.typing import ArrayLike

from jaxcls.score_inputs import as_floats, as_labels, check_fits

Aim = Literal["accuracy", "f1", "balanced"]


def choose_threshold(
    probabilities: ArrayLike,
    labels: ArrayLike,
    aim: Aim | tuple[float, float],
) -> float:
    """The threshold that is the best on these examples, on the host in float64.

    Of several it is the one nearest to 0.5: 0.5 itself, or halfway between two examples.

    Args:
        probabilities: [N] of the second class, of examples that were not trained on.
        labels: [N] 1 for the second class, else 0; both occur.
        aim: "accuracy", "f1" of the second class, "balanced" accuracy; or what a mistake costs,
            a first class that is taken for the second and the other way round, whose sum is to
            be the least.

    Raises:
        TypeError, ValueError: a shape or value does not fit, or a class has no example.

    >>> choose_threshold([0.1, 0.2, 0.3, 0.9], [0, 0, 1, 1], "accuracy")
    0.25
    """
    name = "choose_threshold: probabilities"
    p = as_floats(name, probabilities, axes="N")
    check_fits(name, p, (p >= 0) & (p <= 1), "lie in [0, 1]")
    labels = as_labels("choose_threshold: labels", labels, len(p), classes=2)
    if not 0 < labels.sum() < len(labels):
        raise ValueError(
            f"choose_threshold: labels must hold both 0 and 1, got {int(labels.sum())} ones of "
            f"{len(labels)}."
        )
    values, places = np.unique(p, return_inverse=True)
    ones = np.bincount(places, weights=labels, minlength=len(values))
    zeros = np.bincount(places, weights=1 - labels, minlength=len(values))
    # At cut j what has the j-th value or a larger one is taken for a 1; at the last nothing is.
    hits, false_ones = (
        np.append(each[::-1].cumsum()[::-1], 0.0) for each in (ones, zeros)
    )
    merit = _merit(aim, hits, false_ones, labels.sum(), (1 - labels).sum())
    low, high = np.append(0.0, values), np.append(values, 1.0)
    thresholds = np.where((low < 0.5) & (high >= 0.5), 0.5, (low + high) / 2)
    thresholds = np.where(thresholds > low, thresholds, high)  # of neighbouring floats
    thresholds[-1] = max(thresholds[-1], np.nextafter(values[-1], 2))
    best = (merit >= merit.max() - 1e-12) & (thresholds <= 1)
    near = np.where(best, np.abs(thresholds - 0.5), np.inf)
    return float(thresholds[near.argmin()])


def _merit(
    aim: Aim | tuple[float, float],
    hits: np.ndarray,
    false_ones: np.ndarray,
    ones: float,
    zeros: float,
) -> np.ndarray:
    """How good each cut is: hits are 1s that are taken for 1s, false ones 0s that are."""
    misses = ones - hits
    if aim == "accuracy":
        return (hits + zeros - false_ones) / (ones + zeros)
    if aim == "f1":
        return 2 * hits / (2 * hits + false_ones + misses)
    if aim == "balanced":
        return (hits / ones + (zeros - false_ones) / zeros) / 2
    costs = np.asarray(aim)
    if costs.shape != (2,) or costs.dtype.kind not in "iuf":
        raise ValueError(
            "choose_threshold: aim must be accuracy, f1, balanced or two costs, got "
            f"{aim!r}."
        )
    fits = np.isfinite(costs) & (costs >= 0)
    check_fits("choose_threshold: costs", costs, fits, "be finite and at least 0")
    if not costs.any():
        raise ValueError("choose_threshold: costs must not both be 0.")
    return -(costs[0] * false_ones + costs[1] * misses) / costs.max()
