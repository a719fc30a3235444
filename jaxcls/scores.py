"""Scores on the host in float64: intervals, scores by class, ranking, calibration, summary."""

import math
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxcls.score_inputs import (
    as_floats,
    as_integer,
    as_labels,
    as_probabilities,
    check_fits,
)

Z_95 = 1.959963984540054  # 95% of a standard normal lies within this of 0


class ClassScores(NamedTuple):
    """Scores of each class against the rest, each [K].

    Attributes:
        precision: share of the examples taken for the class that are of it.
        recall: share of the examples of the class that are taken for it.
        f1: harmonic mean of the two.
        support: int64, examples of the class.
    """

    precision: np.ndarray
    recall: np.ndarray
    f1: np.ndarray
    support: np.ndarray


class Summary(NamedTuple):
    """What several runs scored, in short.

    Attributes:
        mean: of the values.
        std: their sample standard deviation, whose variance divides by N - 1.
        low: lower end of the 95% interval of the mean.
        high: upper end of it.
        least: the smallest value.
        greatest: the largest.
    """

    mean: float
    std: float
    low: float
    high: float
    least: float
    greatest: float


def accuracy_interval(correct: int, count: int) -> tuple[float, float]:
    """95% score interval of the accuracy (E. B. Wilson, 1927).

    Raises:
        TypeError, ValueError: not an integer, count below 1, or correct outside 0..count.

    >>> [round(end, 4) for end in accuracy_interval(9, 10)]
    [0.5958, 0.9821]
    """
    count = as_integer("accuracy_interval: count", count, least=1)
    correct = as_integer("accuracy_interval: correct", correct, least=0)
    if correct > count:
        raise ValueError(f"accuracy_interval: correct {correct} exceeds count {count}.")
    # The upper end by way of the errors, so that no error gives 1 exactly.
    return _wilson_low(correct, count), 1 - _wilson_low(count - correct, count)


def class_scores(counts: ArrayLike) -> ClassScores:
    """Precision, recall, F1 and support of each class; a share of no examples is 0.

    Args:
        counts: [K, K] row the label, column the prediction, as of `metrics.confusion`.

    Raises:
        TypeError, ValueError: counts is not square, or not of whole numbers of at least 0.

    >>> class_scores([[1, 1], [0, 2]]).recall.tolist()
    [0.5, 1.0]
    """
    counts = as_floats("class_scores: counts", counts, axes="KK")
    whole = (counts >= 0) & (counts == np.floor(counts))
    check_fits("class_scores: counts", counts, whole, "be whole numbers of at least 0")
    hits, predicted, support = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    precision, recall = _share(hits, predicted), _share(hits, support)
    f1 = _share(2 * hits, predicted + support)
    return ClassScores(precision, recall, f1, support.astype(np.int64))


def balanced_accuracy(counts: ArrayLike) -> float:
    """The mean of the classes' recalls, of those that have examples.

    Args:
        counts: [K, K] row the label, column the prediction, as of `metrics.confusion`.

    Raises:
        TypeError, ValueError: as of `class_scores`.

    >>> balanced_accuracy([[1, 1], [0, 2]])
    0.75
    """
    by_class = class_scores(counts)
    return float(by_class.recall[by_class.support > 0].mean())


def matthews(counts: ArrayLike) -> float:
    """Matthews' correlation of labels and predictions, for K classes (J. Gorodkin, 2004).

    It is 0 where all labels, or all predictions, are one class.

    Args:
        counts: [K, K] row the label, column the prediction, as of `metrics.confusion`.

    Raises:
        TypeError, ValueError: as of `class_scores`.

    >>> round(matthews([[1, 1], [0, 2]]), 4)
    0.5774
    """
    class_scores(counts)  # which checks them
    counts = np.asarray(counts, np.float64)
    whole, labels, predictions = counts.sum(), counts.sum(axis=1), counts.sum(axis=0)
    spread = (whole**2 - labels @ labels) * (whole**2 - predictions @ predictions)
    joint = np.trace(counts) * whole - labels @ predictions
    return float(joint / math.sqrt(spread)) if spread > 0 else 0.0


def roc_auc(scores: ArrayLike, labels: ArrayLike) -> float:
    """Area under the ROC curve: how often a 1 outscores a 0, where a tie counts half.

    Args:
        scores: [N] finite, higher for the label 1: logits or probabilities.
        labels: [N] values 0 or 1.

    Raises:
        TypeError, ValueError: a shape or value does not fit, or one class is missing.

    >>> roc_auc([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1])
    0.75
    """
    scores, labels = _ranked("roc_auc", scores, labels)
    ones, zeros = int(labels.sum()), int((1 - labels).sum())
    _, places, ties = np.unique(scores, return_inverse=True, return_counts=True)
    mean_ranks = np.cumsum(ties) - (ties - 1) / 2
    rank_sum = mean_ranks[places[labels == 1]].sum()
    return float((rank_sum - ones * (ones + 1) / 2) / (ones * zeros))


class RocCurve(NamedTuple):
    """Receiver operating characteristic, from (0, 0) to (1, 1).

    Attributes:
        false_positive: [M] share of the 0s at or above a threshold that falls, rising.
        true_positive: [M] share of the 1s, likewise.
    """

    false_positive: np.ndarray
    true_positive: np.ndarray


def roc_curve(scores: ArrayLike, labels: ArrayLike) -> RocCurve:
    """The curve whose area `roc_auc` is, at its corners alone.

    Args:
        scores: [N] finite, higher for the label 1: logits or probabilities.
        labels: [N] values 0 or 1.

    Raises:
        TypeError, ValueError: a shape or value does not fit, or one class is missing.

    >>> roc_curve([0.1, 0.4, 0.35, 0.8], [0, 0, 1, 1]).true_positive
    array([0. , 0.5, 0.5, 1. , 1. ])
    """
    scores, labels = _ranked("roc_curve", scores, labels)
    order = np.argsort(-scores, kind="stable")
    ends = np.append(np.flatnonzero(np.diff(scores[order])), len(scores) - 1)
    ones = np.append(0, np.cumsum(labels[order])[ends])
    zeros = np.append(0, ends + 1) - ones
    # Between two corners both grow at one rate.
    up, right = np.diff(ones), np.diff(zeros)
    corners = np.r_[True, up[1:] * right[:-1] != up[:-1] * right[1:], True]
    return RocCurve(zeros[corners] / zeros[-1], ones[corners] / ones[-1])


def _ranked(
    caller: str, scores: ArrayLike, labels: ArrayLike
) -> tuple[np.ndarray, np.ndarray]:
    scores = as_floats(f"{caller}: scores", scores, axes="N")
    labels = as_labels(f"{caller}: labels", labels, len(scores), classes=2)
    if not 0 < labels.sum() < len(labels):
        raise ValueError(
            f"{caller}: labels must hold both 0 and 1, got {labels.sum():g} ones."
        )
    return scores, labels


def calibration_error(
    probabilities: ArrayLike, labels: ArrayLike, num_bins: int = 15
) -> float:
    """Expected calibration error of the top class's probability (C. Guo et al., 2017).

    The gap between mean probability and accuracy in each bin, averaged over examples.

    Args:
        probabilities: [N, K] rows that sum to 1, as of `class_probabilities`.
        labels: [N] whole numbers in 0..K-1.
        num_bins: bins of equal width on (0, 1], each with its upper edge.

    Raises:
        TypeError, ValueError: a shape or value does not fit, or a row does not sum to 1.

    >>> round(calibration_error([[0.9, 0.1], [0.9, 0.1]], [0, 1]), 4)
    0.4
    """
    top, right, bins = binned("calibration_error", probabilities, labels, num_bins)
    gaps = np.bincount(bins, weights=top - right)
    return float(np.abs(gaps).sum() / len(top))


def summary(values: ArrayLike) -> Summary:
    """Mean, spread and range, and the mean's 95% interval by Student's t (W. S. Gosset, 1908).

    The interval takes the values for independent draws of one normal distribution. One value
    alone says nothing of the spread: its std, low and high are NaN.

    Args:
        values: [N] finite, such as the accuracies of N seeds.

    Raises:
        TypeError, ValueError: values are not finite numbers [N], or there is none.

    >>> [round(number, 3) for number in summary([1, 2, 3])]
    [2.0, 1.0, -0.484, 4.484, 1.0, 3.0]
    """
    values = as_floats("summary: values", values, axes="N")
    # Counted from the first, so that equal values have a std of exactly 0.
    offsets = values - values[0]
    mean = float(values[0] + offsets.mean())
    std = half_width = math.nan
    if len(values) > 1:
        std = float(offsets.std(ddof=1))
        half_width = student_95(len(values) - 1) * std / math.sqrt(len(values))
    return Summary(
        mean,
        std,
        mean - half_width,
        mean + half_width,
        float(values.min()),
        float(values.max()),
    )


def binned(
    caller: str, probabilities: ArrayLike, labels: ArrayLike, num_bins: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The top class's probability, whether it is right, and the number of its bin, each [N]."""
    num_bins = as_integer(f"{caller}: num_bins", num_bins, least=1)
    p = as_probabilities(f"{caller}: probabilities", probabilities)
    labels = as_labels(f"{caller}: labels", labels, *p.shape)
    guesses = p.argmax(axis=1)
    top = p[np.arange(len(p)), guesses]
    inner_edges = np.linspace(0, 1, num_bins + 1)[1:-1]
    return top, guesses == labels, np.searchsorted(inner_edges, top)


def student_95(freedom: int) -> float:
    """95% of Student's t with so many degrees of freedom lies within this of 0."""
    from scipy.special import stdtrit  # scipy.stats would take longer to import

    return float(stdtrit(freedom, 0.975))


def _wilson_low(correct: int, count: int) -> float:
    """Lower root p of (correct / count - p)**2 = z**2 * p * (1 - p) / count."""
    spread = Z_95 * math.sqrt(Z_95**2 + 4 * correct * (count - correct) / count)
    return (2 * correct + Z_95**2 - spread) / (2 * (count + Z_95**2))


def _share(part: np.ndarray, whole: np.ndarray) -> np.ndarray:
    return np.divide(part, whole, out=np.zeros_like(whole), where=whole > 0)
