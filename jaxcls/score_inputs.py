"""What scores are computed from, checked, in float64; `name` is how a message begins."""

import operator
from numbers import Real

import numpy as np
from jax.typing import ArrayLike


def as_integer(name: str, value: int, least: int) -> int:
    """An integer of any type, at least so large; TypeError or ValueError if it is none."""
    try:
        value = operator.index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}.") from None
    if value < least:
        raise ValueError(f"{name} must be at least {least}, got {value}.")
    return value


def as_floats(name: str, values: ArrayLike, axes: str) -> np.ndarray:
    """Finite numbers in float64.

    Args:
        name: of what they are.
        values: of any type of numbers.
        axes: a letter for each; those of the same letter must have the same length.

    Raises:
        TypeError, ValueError: they are none, or there are none.
    """
    values = np.asarray(values)
    if not np.can_cast(values.dtype, np.float64, "same_kind"):
        raise TypeError(f"{name} must be numbers, got {values.dtype}.")
    lengths = dict(zip(axes, values.shape, strict=False))
    if values.size == 0 or tuple(map(lengths.get, axes)) != values.shape:
        want, got = ", ".join(axes), [*values.shape]
        raise ValueError(f"{name} must be [{want}] and not empty, got {got}.")
    values = values.astype(np.float64)
    check_fits(name, values, np.isfinite(values), "be finite")
    return values


def as_probabilities(name: str, probabilities: ArrayLike) -> np.ndarray:
    """Rows [N, K] in float64 that sum to 1; else ValueError, or TypeError as of `as_floats`."""
    p = as_floats(name, probabilities, axes="NK")
    check_fits(name, p, (p >= 0) & (p <= 1), "lie in [0, 1]")
    sums = p.sum(axis=1)
    check_fits(name, sums, np.abs(sums - 1) <= 1e-3, "sum to 1 in each row")
    return p


def as_labels(name: str, labels: ArrayLike, rows: int, classes: int) -> np.ndarray:
    """So many whole numbers in 0..classes - 1, in float64; else ValueError or TypeError."""
    labels = as_floats(name, labels, axes="N")
    if len(labels) != rows:
        raise ValueError(f"{name} must be [{rows}], got [{len(labels)}].")
    whole = (labels >= 0) & (labels < classes) & (labels == np.floor(labels))
    check_fits(name, labels, whole, f"be whole numbers in 0..{classes - 1}")
    return labels


def check_fits(name: str, values: np.ndarray, fits: np.ndarray, want: str) -> None:
    """Raises ValueError that names the first value that does not fit, if one does not."""
    if not fits.all():
        raise ValueError(f"{name} must {want}, got {values[~fits][0]}.")


def check_number(name: str, value: float) -> None:
    """Raises TypeError unless the value is a number."""
    if not isinstance(value, Real):
        raise TypeError(f"{name} must be a number, got {value!r}.")
