"""Temperature scaling: one number that makes probabilities as sure as they are right.

On the host in float64, as all of `scores`.
"""

from typing import cast

import numpy as np
from jax.typing import ArrayLike

from jaxcls.score_inputs import as_floats, as_labels


def tempered(log_probabilities: ArrayLike, temperature: float) -> np.ndarray:
    """Logarithms [N, K] of p ** (1 / temperature), divided by their sum in each row.

    Args:
        log_probabilities: [N, K] logarithms of probabilities p, or logits.
        temperature: above 0; 1 leaves p as they are, and more makes them less sure.

    >>> np.exp(tempered([[0.0, np.log(9)]], 2.0)).round(4)
    array([[0.25, 0.75]])
    """
    z = np.asarray(log_probabilities, np.float64) / temperature
    z -= z.max(axis=1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))


def fit_temperature(log_probabilities: ArrayLike, labels: ArrayLike) -> float:
    """The temperature of the least log loss on these examples (C. Guo et al., 2017).

    The loss is convex in 1 / temperature, so that there is one at most.

    Args:
        log_probabilities: [N, K] finite logarithms of probabilities, or logits, of examples that
            were not trained on.
        labels: [N] whole numbers in 0..K-1.

    Raises:
        TypeError, ValueError: a shape or value does not fit; or no temperature is the best, as
            each right class is the likeliest, or right ones are no likelier than others.

    >>> logits = np.log([[0.9, 0.1]] * 10)  # too sure: of these 7 are right
    >>> round(fit_temperature(logits, [0] * 7 + [1] * 3), 4)
    2.5932
    """
    from scipy.optimize import brentq  # which takes a while to import

    z = as_floats("fit_temperature: log_probabilities", log_probabilities, axes="NK")
    rows, labels = (
        np.arange(len(z)),
        as_labels("fit_temperature: labels", labels, *z.shape),
    )
    z -= z.max(axis=1, keepdims=True)
    right = z[rows, labels.astype(int)]
    if not right.any():
        raise ValueError(
            f"fit_temperature: each of the {len(z):,} right classes is the likeliest one, so that "
            "the lower the temperature is the better; give examples of which some are wrong."
        )
    if right.mean() <= z.mean():
        raise ValueError(
            "fit_temperature: right classes are no likelier than others, so that the higher the "
            "temperature is the better; train the model further."
        )

    def slope(log_inverse: float) -> float:
        """Of the mean log loss, by 1 / temperature."""
        weights = np.exp(np.exp(log_inverse) * z)
        means = (weights * z).sum(axis=1) / weights.sum(axis=1)
        return float((means - right).mean())

    low = high = 0.0
    while slope(low) > 0:
        low -= 2
    while slope(high) < 0:
        high += 2
    if low == high:
        return 1.0
    return float(np.exp(-cast(float, brentq(slope, low, high, xtol=1e-12))))
