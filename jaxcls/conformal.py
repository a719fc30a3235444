"""Sets of classes that hold the right one as often as is asked for: split conformal prediction.

(V. Vovk et al., 2005; M. Sadinle et al., 2019.) A set holds the classes whose probability is
`least` or more. Where the examples that `least` is taken of, n of them, and the one to predict are
drawn alike, and the model saw none of them, the set lacks the right class with a probability of at
most `error`, whatever the model is worth; where no probabilities tie, of at least error - 1 / (n + 1).
It is a mean over such draws: it says nothing of one class, or of one kind of example.
"""

import math
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxcls.score_inputs import as_labels, as_probabilities


class Conformal(NamedTuple):
    """Which classes a set holds.

    Attributes:
        error: share of sets, at the most, that lack the right class.
        least: probability that each class of a set has at least.
    """

    error: float
    least: float


def least_probability(
    probabilities: ArrayLike, labels: ArrayLike, error: float
) -> float:
    """The probability that the classes of a set have at least; 0 where the sets must hold all.

    Args:
        probabilities: [N, K] rows that sum to 1, of examples that the model never saw.
        labels: [N] whole numbers in 0..K-1.
        error: share of sets, above 0 and below 1, that may lack the right class.

    Raises:
        TypeError, ValueError: a shape or value does not fit.

    >>> least_probability([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]], [0, 1, 1], error=0.5)
    0.8
    """
    check_error("least_probability: error", error)
    p = as_probabilities("least_probability: probabilities", probabilities)
    labels = as_labels("least_probability: labels", labels, *p.shape)
    right = p[np.arange(len(p)), labels.astype(int)]
    # The (n + 1)(1 - error)-th largest, rounded up but for what 1 - error lost of its last bits.
    place = math.ceil((len(p) + 1) * (1 - error) - 1e-9)
    return float(np.sort(right)[-place]) if place <= len(p) else 0.0


def prediction_sets(probabilities: ArrayLike, least: float) -> np.ndarray:
    """Which classes each set holds, bool [N, K].

    >>> prediction_sets([[0.7, 0.2, 0.1]], least=0.2)
    array([[ True,  True, False]])
    """
    return np.asarray(probabilities, np.float64) >= least


def check_error(name: str, error: float) -> None:
    """Raises ValueError unless the share of errors lies above 0 and below 1."""
    if not 0 < error < 1:
        raise ValueError(f"{name} must lie above 0 and below 1, got {error}.")
