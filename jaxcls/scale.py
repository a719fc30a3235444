"""Whether features are of a size from which a network learns."""

import numpy as np

# Sizes between which features do not make training hard: of bytes the largest number, of floats
# the root mean square of a column, and the largest number of all.
_LEAST_BYTE = 64
_LARGEST_SIZE = 20
_LEAST_SIZE = 0.05
_LEAST_SHARE = 1e-3  # of the largest number of all, that a column's should be


def problem_of_scale(features: np.ndarray) -> str | None:
    """Why a network can hardly learn from features of this scale, and what to do, or None.

    A column counts by its root mean square, so that a few large numbers are not taken for it. Whole
    numbers from 0 to at most 255 may be bytes that are of another type.

    Args:
        features: [N, D] bytes, which are divided by 255, or floats, which are taken as they are.

    >>> problem_of_scale(np.array([[0.0, 1700.0], [1.0, 1800.0]]))
    'column 1 of the training features has numbers from 1700 to 1800, far from the size of 1, from which a network learns badly; take off its mean and divide by its standard deviation.'
    >>> problem_of_scale(np.eye(3)) is None
    True
    """
    if features.dtype == np.uint8:
        most = int(features.max())
        if most >= _LEAST_BYTE:
            return None
        return (
            f"the training features are bytes from 0 to {most}, which are divided by 255 as if "
            f"they went up to 255, and a network learns badly from numbers of at most "
            f"{most / 255:.2g}; store them as floats from 0 to 1."
        )
    with np.errstate(over="ignore", invalid="ignore"):
        sizes = np.sqrt(np.einsum("nd,nd->d", features, features) / len(features))
    column = int(sizes.argmax())
    low, high = features[:, column].min(), features[:, column].max()
    if sizes[column] > _LARGEST_SIZE:
        told = (
            f"column {column} of the training features has numbers from {low:.6g} to {high:.6g}, "
            "far from the size of 1, from which a network learns badly; "
        )
        if _may_be_bytes(features):
            return (
                f"{told}save them as uint8 if they are bytes, which are divided by 255."
            )
        return f"{told}take off its mean and divide by its standard deviation."
    most = np.abs(features).max(axis=0)
    if most.max() < _LEAST_SIZE:
        return (
            f"the training features go from {features.min():.2g} to {features.max():.2g}, far "
            "below the size of 1, from which a network learns badly; divide them by their "
            "standard deviation."
        )
    small = np.flatnonzero((most > 0) & (most < _LEAST_SHARE * most.max()))
    if len(small):
        return (
            f"columns of the training features differ in their scale: numbers of column {small[0]} "
            f"go up to {most[small[0]]:.2g}, of column {most.argmax()} up to {most.max():.2g}, and "
            "from the smaller ones a network learns little; take off each column's mean and divide "
            "by its standard deviation."
        )
    return None


def _may_be_bytes(features: np.ndarray) -> bool:
    low, high = features.min(), features.max()
    return bool(low >= 0 and _LEAST_BYTE < high <= 255 and (features % 1 == 0).all())
