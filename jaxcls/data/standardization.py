"""What standardises the features of arrays: each column's mean and scale, from training rows alone.

Sums are exact, so that every machine learns the same bits.
"""

import math
from collections.abc import Iterator
from typing import Any, NamedTuple, Self

import numpy as np

from jaxcls.batches import aligned_empty, scaled
from jaxcls.data.preparation import Numeric, Preparation, mean_and_scale

_ROWS = 8_192  # standardised at once, so that memory stays small


class Standardization(NamedTuple):
    """What is taken off each column, and by what it is divided then.

    Attributes:
        mean: [D] float64.
        scale: [D] float64; infinite where all training rows are alike: that feature is always 0.
    """

    mean: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> Self:
        """Learned of training rows.

        Args:
            features: [N, D] bytes, which are divided by 255 first, or floats.

        Raises:
            ValueError: all rows are alike.

        >>> Standardization.of(np.array([[1e9, 5.0], [1e9 + 2, 5.0]]))
        Standardization(mean=array([1.e+09, 5.e+00]), scale=array([ 1., inf]))
        """
        if features.dtype == np.uint8:  # of which there are 256
            values = scaled(np.arange(256, dtype=np.uint8)).astype(np.float64)
            found = [
                mean_and_scale(values, np.bincount(column, minlength=256))
                for column in features.T
            ]
        else:
            found = [mean_and_scale(each) for each in as_columns(features)]
        mean, scale = np.array(found, np.float64).T
        if not scale.any():
            raise ValueError(
                "all training rows are alike, and nothing can be learned from them; add columns "
                "that tell them apart."
            )
        return cls(mean, np.where(scale == 0, math.inf, scale))

    def record(self) -> dict:
        """What `config.json` keeps of it: numbers, null for an infinite one."""
        scale = [each if each < math.inf else None for each in self.scale.tolist()]
        return {"mean": self.mean.tolist(), "scale": scale}

    @classmethod
    def of_record(cls, record: Any) -> Self:
        """The standardization that a record keeps.

        Raises:
            ValueError: it keeps none.

        >>> Standardization.of_record({"mean": [0.5, 1.0], "scale": [2.0, None]})
        Standardization(mean=array([0.5, 1. ]), scale=array([ 2., inf]))
        """
        try:
            mean, scale = record["mean"], record["scale"]
            if (
                len(mean) == len(scale)
                and all(type(each) is float and math.isfinite(each) for each in mean)
                and all(
                    each is None
                    or (type(each) is float and math.isfinite(each) and each > 0)
                    for each in scale
                )
            ):
                divisors = [math.inf if each is None else each for each in scale]
                return cls(np.array(mean, np.float64), np.array(divisors, np.float64))
        except (TypeError, KeyError):
            pass
        raise ValueError(
            "standardization must hold the mean and the scale of each feature."
        )

    def as_preparation(self) -> Preparation:
        """The same of a table whose columns are named 0 to D - 1."""
        scale = np.where(np.isinf(self.scale), 1.0, self.scale)
        numeric = (
            Numeric(str(place), mean, each, indicator=False)
            for place, (mean, each) in enumerate(
                zip(self.mean.tolist(), scale.tolist(), strict=True)
            )
        )
        return Preparation("", tuple(numeric), ())


def as_columns(features: np.ndarray) -> Iterator[np.ndarray]:
    """The numbers of each column, [N] float64, before they are standardised."""
    for column in _numbers(features).T:
        yield np.array(column, np.float64)


def network_features(
    features: np.ndarray, standardization: Standardization | None
) -> np.ndarray:
    """Features [N, D] float32 as a network takes them: bytes divided by 255, and standardised.

    Args:
        features: [N, D] bytes 0 to 255, or numbers.
        standardization: of the run; None takes them as they are.

    Raises:
        ValueError: a number is so far from the training rows' that float32 can't hold it.

    >>> network_features(np.array([[3.0, 9.0]]), Standardization(np.ones(2), np.array([2, np.inf])))
    array([[1., 0.]], dtype=float32)
    """
    if standardization is None:
        return scaled(features)
    mean, scale = standardization
    out = aligned_empty(features.shape, np.dtype(np.float32))
    for start in range(0, len(features), _ROWS):
        rows = _numbers(features[start : start + _ROWS])
        known = (rows - mean) / scale
        wrong = np.argwhere(np.abs(known) > np.finfo(np.float32).max)
        if len(wrong):
            row, column = wrong[0].tolist()
            raise ValueError(
                f"features: column {column} has {rows[row, column]:g}, too far from the training "
                f"rows' mean of {mean[column]:g} to be taken; correct it."
            )
        out[start : start + _ROWS] = known
    return out


def _numbers(features: np.ndarray) -> np.ndarray:
    return scaled(features) if features.dtype == np.uint8 else features
