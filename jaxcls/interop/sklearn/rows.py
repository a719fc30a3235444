"""From the rows that a user has to those that are trained on: weighed, merged, standardised, split."""

from typing import Any, NamedTuple

import numpy as np
from sklearn.model_selection import train_test_split

from jaxcls.checks import check_finite

_MOST_TO_MERGE = 2**24


class Examples(NamedTuple):
    """Examples on the host, before they are made fit for a network.

    Attributes:
        features: [N, D] float32 or float64.
        targets: [N] places of classes, or float64 numbers.
        weights: [N] float64, above 0.
    """

    features: np.ndarray
    targets: np.ndarray
    weights: np.ndarray


class Scaling(NamedTuple):
    """Means that are taken off and sizes that are divided by.

    Attributes:
        mean: [D] or [] float64.
        scale: likewise, nowhere 0.
    """

    mean: np.ndarray
    scale: np.ndarray

    def apply(self, values: np.ndarray) -> np.ndarray:
        """In the type of the values."""
        return (values - self.mean.astype(values.dtype)) / self.scale.astype(
            values.dtype
        )


def checked_weights(owner: str, given: Any, count: int) -> np.ndarray:
    """Sample weights [N] float64; ones where none are given.

    Raises:
        ValueError: they are not N finite numbers of at least 0, or all are 0.

    >>> checked_weights("fit", None, 2)
    array([1., 1.])
    """
    if given is None:
        return np.ones(count)
    try:
        weights = np.asarray(given, np.float64)
    except (TypeError, ValueError):
        raise ValueError(
            f"{owner}: sample_weight must be [{count}], one number for each row of X, got "
            f"{given!r}."
        ) from None
    if weights.ndim == 0:
        weights = np.full(count, weights)
    if weights.shape != (count,):
        raise ValueError(
            f"{owner}: sample_weight must be [{count}], one number for each row of X, got "
            f"{list(weights.shape)}."
        )
    if not np.isfinite(weights).all() or weights.min() < 0:
        raise ValueError(
            f"{owner}: sample_weight must be finite and at least 0, got {weights.min()} to "
            f"{weights.max()}."
        )
    if not weights.max() > 0:
        raise ValueError(
            f"{owner}: sample_weight must not be zero for all samples; there is nothing to learn "
            "from."
        )
    return weights


def without_weightless(examples: Examples) -> Examples:
    """Without the examples of weight 0, so that they are as if they had not been there."""
    kept = examples.weights > 0
    if kept.all():
        return examples
    return Examples(*(leaf[kept] for leaf in examples))


def merged(examples: Examples) -> Examples:
    """Equal examples as one, in an order that hangs on their numbers alone.

    A step of all examples asks for neither, so that this changes nothing but how sums are rounded;
    and an example twice is thereby one of weight 2 to the last bit. Of more than 16 million numbers
    they stay as they are, which is the same up to rounding.
    """
    if examples.features.size > _MOST_TO_MERGE:
        return examples
    columns = np.column_stack([examples.features, examples.targets]).astype(np.float64)
    columns = np.ascontiguousarray(columns + 0.0)  # -0 is 0
    rows = columns.view(f"V{columns[0].nbytes}")[:, 0]  # in the order of their bytes
    _, first, place = np.unique(rows, return_index=True, return_inverse=True)
    weights = np.bincount(place.ravel(), examples.weights)
    return Examples(examples.features[first], examples.targets[first], weights)


def scaling_of(values: np.ndarray, weights: np.ndarray) -> Scaling:
    """Weighted mean and standard deviation of each column; a constant one is divided by 1.

    >>> scaling_of(np.array([[1.0, 5.0], [3.0, 5.0]]), np.ones(2)).scale
    array([1., 1.])
    """
    values = values.astype(np.float64, copy=False)
    shares = weights / weights.sum()
    mean = shares @ values
    scale = np.sqrt(shares @ (values - mean) ** 2)
    tiny = 10 * np.finfo(np.float64).eps * np.abs(mean)
    return Scaling(mean, np.where(scale > tiny, scale, 1.0))


def in_float32(owner: str, name: str, values: np.ndarray) -> np.ndarray:
    """As the network takes them.

    Raises:
        ValueError: a number is beyond float32.
    """
    check_finite(f"{owner}: {name}", values, np.float32)
    return np.ascontiguousarray(values, np.float32)


def split(
    estimator: Any, count: int, labels: np.ndarray | None, seed: int
) -> tuple[np.ndarray, np.ndarray]:
    """Rows to train on and rows held out, as scikit-learn's `train_test_split` draws them.

    Args:
        estimator: with a `validation_fraction`.
        count: N.
        labels: [N], by which it is stratified; None where targets are no classes.
        seed: of the draw.

    Raises:
        ValueError: there are too few examples to hold any out.
    """
    try:
        train, held = train_test_split(
            np.arange(count),
            test_size=float(estimator.validation_fraction),
            stratify=labels,
            random_state=int(seed),
        )
    except ValueError as error:
        raise ValueError(
            f"{type(estimator).__name__}: early_stopping holds out validation_fraction="
            f"{estimator.validation_fraction} of {count} examples, which cannot be done: {str(error).rstrip('.')}. "
            "Give more examples, or early_stopping=False."
        ) from None
    return train.astype(np.int32), held.astype(np.int32)
