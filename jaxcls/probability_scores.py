"""Scores of class probabilities, on the host in float64: proper ones, and those of ranking.

Those that a rounded probability would spoil take logarithms, as `Run.predict_log_proba` gives them:
where p rounds to 0 or 1 they still tell examples apart.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxcls.score_inputs import as_floats, as_labels, as_probabilities, check_fits


class Averages(NamedTuple):
    """The mean over K classes of a score of each against the rest.

    Attributes:
        macro: each class counts the same.
        weighted: each counts as often as it has examples.
    """

    macro: float
    weighted: float


def log_loss(log_probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The mean of -log p of the right class, in nats.

    Args:
        log_probabilities: [N, K] logarithms of rows that sum to 1.
        labels: [N] whole numbers in 0..K-1.

    Raises:
        TypeError, ValueError: a shape or value does not fit, or a row does not sum to 1.

    >>> round(log_loss(np.log([[0.9, 0.1], [0.5, 0.5]]), [0, 1]), 4)
    0.3993
    """
    log_p = _logarithms("log_loss: log_probabilities", log_probabilities)
    labels = as_labels("log_loss: labels", labels, *log_p.shape)
    return float(-log_p[np.arange(len(log_p)), labels.astype(int)].mean())


def brier(probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The mean squared error of the probabilities (G. W. Brier, 1950).

    Summed over the classes, so that it lies in [0, 2]; of two classes half of that, the error of
    the second one's probability, as scikit-learn has it.

    Args:
        probabilities: [N, K] rows that sum to 1.
        labels: [N] whole numbers in 0..K-1.

    Raises:
        TypeError, ValueError: a shape or value does not fit, or a row does not sum to 1.

    >>> round(brier([[0.9, 0.1], [0.5, 0.5]], [0, 1]), 4)
    0.13
    """
    p = as_probabilities("brier: probabilities", probabilities)
    labels = as_labels("brier: labels", labels, *p.shape)
    errors = (p - np.eye(p.shape[1])[labels.astype(int)]) ** 2
    return float(errors.sum(axis=1).mean() / (2 if p.shape[1] == 2 else 1))


def average_precision(scores: ArrayLike, labels: ArrayLike) -> float:
    """The mean of precision over the 1s, each at its own score; ties share one.

    Args:
        scores: [N] finite, higher for the label 1.
        labels: [N] values 0 or 1.

    Raises:
        TypeError, ValueError: a shape or value does not fit, or there is no 1.

    >>> round(average_precision([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]), 4)
    0.8333
    """
    scores = as_floats("average_precision: scores", scores, axes="N")
    labels = as_labels("average_precision: labels", labels, len(scores), classes=2)
    if not labels.any():
        raise ValueError("average_precision: labels must hold a 1, got none.")
    _, places, counts = np.unique(-scores, return_inverse=True, return_counts=True)
    ones = np.bincount(places, weights=labels)
    precision = np.cumsum(ones) / np.cumsum(counts)
    return float(ones @ precision / labels.sum())


def one_against_rest(log_probabilities: ArrayLike) -> np.ndarray:
    """log(p / (1 - p)) [N, K] of each class, which orders what rounds to 0 or 1, too.

    Args:
        log_probabilities: [N, K] logarithms of rows that sum to 1.

    >>> one_against_rest([[0.0, -379.0]])
    array([[ 379., -379.]])
    """
    # What is impossible is taken for the least of float32, whose order roc_auc can tell.
    least = float(np.finfo(np.float32).min)
    log_p = np.maximum(np.asarray(log_probabilities, np.float64), least)
    rows, top = np.arange(len(log_p)), log_p.argmax(axis=1)
    others = log_p.copy()
    others[rows, top] = -np.inf
    # Of the likeliest class 1 - p would be rounded; any other has half of it at the most.
    most = others.max(axis=1)
    rest = most + np.log(np.exp(others - most[:, None]).sum(axis=1))
    odds = others - np.log1p(-np.exp(others))
    odds[rows, top] = log_p[rows, top] - rest
    return odds


def over_classes(
    score: Callable[[np.ndarray, np.ndarray], float],
    log_probabilities: ArrayLike,
    labels: ArrayLike,
) -> Averages:
    """A score of each class against the rest, such as `roc_auc`, in the mean over the classes.

    Args:
        score: of scores [N] and labels [N] that are 0 or 1, as `roc_auc` or `average_precision`.
        log_probabilities: [N, K] logarithms of rows that sum to 1.
        labels: [N] whole numbers in 0..K-1.

    Raises:
        TypeError, ValueError: a shape or value does not fit, or a class has no example.

    >>> from jaxcls.scores import roc_auc
    >>> over_classes(roc_auc, np.log([[0.9, 0.1], [0.5, 0.5]]), [0, 1])
    Averages(macro=1.0, weighted=1.0)
    """
    log_p = _logarithms("over_classes: log_probabilities", log_probabilities)
    labels = as_labels("over_classes: labels", labels, *log_p.shape)
    counts = np.bincount(labels.astype(int), minlength=log_p.shape[1])
    if not counts.all():
        raise ValueError(
            f"over_classes: labels must hold each of 0..{len(counts) - 1}, and "
            f"{int(counts.argmin())} has no example; leave its column out."
        )
    odds = one_against_rest(log_p)
    each = np.array([score(odds[:, k], labels == k) for k in range(len(counts))])
    return Averages(float(each.mean()), float(each @ counts / counts.sum()))


def _logarithms(name: str, log_probabilities: ArrayLike) -> np.ndarray:
    """[N, K] in float64, checked."""
    log_p = np.asarray(log_probabilities)
    if not np.can_cast(log_p.dtype, np.float64, "same_kind"):
        raise TypeError(f"{name} must be numbers, got {log_p.dtype}.")
    if log_p.ndim != 2 or log_p.size == 0:
        raise ValueError(f"{name} must be [N, K] and not empty, got {[*log_p.shape]}.")
    log_p = log_p.astype(np.float64)
    check_fits(name, log_p, ~np.isnan(log_p), "be numbers")
    sums = np.exp(np.minimum(log_p, 1)).sum(axis=1)
    check_fits(
        name, sums, np.abs(sums - 1) <= 1e-3, "be logarithms of rows that sum to 1"
    )
    return log_p
