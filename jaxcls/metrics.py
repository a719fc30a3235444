"""Counts: how many examples, how many right, and which class was taken for which."""

from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike


class Errors(NamedTuple):
    """Sums over examples of how far predictions are from targets that are no classes.

    Attributes:
        squared: [] of the squared errors.
        absolute: [] of their sizes.
        variation: [] of the squared differences of the targets from their mean.
    """

    squared: Array | np.ndarray | float
    absolute: Array | np.ndarray | float
    variation: Array | np.ndarray | float


class Metrics(NamedTuple):
    """Sums over examples, which add up over batches as means do not.

    Attributes:
        loss_sum: [] float.
        correct: [] int32, examples whose prediction is their label; None of a likelihood without
            classes.
        count: [] int32, or the sum of the weights.
        errors: of a likelihood without classes, else None.

    >>> Metrics(loss_sum=1.0, correct=3, count=4).accuracy
    0.75
    >>> errors = Errors(squared=1.0, absolute=2.0, variation=4.0)
    >>> scores = Metrics(loss_sum=1.0, correct=None, count=4, errors=errors)
    >>> scores.mean_squared_error, scores.mean_absolute_error, scores.r_squared
    (0.25, 0.5, 0.75)
    """

    loss_sum: Array | np.ndarray | float
    correct: Array | np.ndarray | int
    count: Array | np.ndarray | int
    errors: Errors | None = None

    @property
    def loss(self) -> Array | np.ndarray | float:
        """[] mean loss."""
        return self.loss_sum / self.count

    @property
    def accuracy(self) -> Array | np.ndarray | float:
        """[] share of correct examples.

        Raises:
            ValueError: there are no classes.
        """
        if self.correct is None:
            raise ValueError(
                "Metrics: there is no accuracy where targets are no classes; see "
                "mean_squared_error, mean_absolute_error and r_squared."
            )
        return self.correct / self.count

    @property
    def mean_squared_error(self) -> Array | np.ndarray | float:
        """[] mean of the squared errors."""
        return self._errors().squared / self.count

    @property
    def mean_absolute_error(self) -> Array | np.ndarray | float:
        """[] mean size of the errors."""
        return self._errors().absolute / self.count

    @property
    def r_squared(self) -> Array | np.ndarray | float:
        """[] share of the targets' variation that is explained; not finite if they have none."""
        errors = self._errors()
        return 1 - errors.squared / errors.variation

    def _errors(self) -> Errors:
        if self.errors is None:
            raise ValueError(
                "Metrics: errors are of targets that are no classes; see accuracy."
            )
        return self.errors


def labels_of(targets: ArrayLike) -> Array:
    """Labels [N] of integer targets [N] or [N, 1], or of one-hot rows [N, K].

    >>> labels_of(jnp.array([[0, 1], [1, 0]]))
    Array([1, 0], dtype=int32)
    """
    targets = jnp.asarray(targets)
    if targets.ndim == 1:
        return targets
    if targets.shape[1] == 1:
        return targets[:, 0]
    return jnp.argmax(targets, axis=-1).astype(jnp.int32)


def confusion(
    predictions: ArrayLike, labels: ArrayLike, num_classes: int
) -> np.ndarray:
    """Counts [K, K] of examples: row their label, column their prediction.

    Args:
        predictions: [N] integers in 0..K-1, or booleans for 0 and 1.
        labels: [N] likewise.
        num_classes: K.

    Raises:
        TypeError: a value is no integer.
        ValueError: the lengths differ, or a value lies outside 0..K-1.

    >>> confusion([0, 1, 1], [0, 0, 1], num_classes=2).tolist()
    [[1, 1], [0, 1]]
    """
    predictions, labels = np.asarray(predictions), np.asarray(labels)
    if predictions.shape != labels.shape or labels.ndim != 1:
        raise ValueError(
            f"confusion: predictions {list(predictions.shape)} and labels {list(labels.shape)} "
            "must both be [N]."
        )
    for name, values in (("predictions", predictions), ("labels", labels)):
        if values.size and values.dtype.kind not in "biu":
            raise TypeError(f"confusion: {name} must be integers, got {values.dtype}.")
        if values.size and not (values.min() >= 0 and values.max() < num_classes):
            raise ValueError(f"confusion: {name} must lie in 0..{num_classes - 1}.")
    counts = np.zeros((num_classes, num_classes), np.int64)
    # As integers, since booleans would be taken for a mask.
    np.add.at(counts, (labels.astype(np.int64), predictions.astype(np.int64)), 1)
    return counts
