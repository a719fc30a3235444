"""Conformal sets: by hand, as the definition has them, and their guarantee over 1,000 resplits."""

import math

import numpy as np
import pytest

from jaxcls.conformal import least_probability, prediction_sets


def test_by_hand():
    p = np.array([[0.9, 0.1], [0.2, 0.8], [0.3, 0.7], [0.4, 0.6]])
    labels = [0, 1, 1, 0]  # right: 0.9, 0.8, 0.7, 0.4
    # With n = 4 the set must hold the k-th largest, k = (n + 1)(1 - error) rounded up.
    assert least_probability(p, labels, 0.5) == 0.7
    assert least_probability(p, labels, 0.4) == 0.7
    assert least_probability(p, labels, 0.2) == 0.4
    assert least_probability(p, labels, 0.1) == 0  # of five none can be spared
    sets = prediction_sets(p, 0.4)
    np.testing.assert_array_equal(sets, [[1, 0], [0, 1], [0, 1], [1, 1]])


@pytest.mark.parametrize("error", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("count", [9, 10, 99, 1000])
def test_it_is_the_quantile_of_the_definition(count, error):
    """A class belongs to the set if its score 1 - p is no more than the ceil((n + 1)(1 - a))-th
    smallest of the right classes' (A. N. Angelopoulos and S. Bates, 2021, section 1)."""
    rng = np.random.default_rng(count)
    p, labels = rng.dirichlet(np.ones(4), count), rng.integers(0, 4, count)
    scores = np.sort(1 - p[np.arange(count), labels])
    place = math.ceil(round((count + 1) * (1 - error), 6))
    limit = scores[place - 1] if place <= count else np.inf
    got = prediction_sets(p, least_probability(p, labels, error))
    np.testing.assert_array_equal(got, 1 - p <= limit + 1e-12)


@pytest.mark.parametrize("error", [0.1, 0.25])
def test_the_guarantee_over_1000_resplits(error):
    """Of a model that is wrong in its probabilities, the share is right all the same."""
    rng = np.random.default_rng(0)
    z = rng.normal(size=(600, 5))
    labels = np.argmax(z + rng.gumbel(size=z.shape), axis=1)
    p = np.exp(5 * z) / np.exp(5 * z).sum(axis=1, keepdims=True)
    held = []
    for _ in range(1_000):
        order = rng.permutation(600)
        known, new = order[:100], order[100:]
        least = least_probability(p[known], labels[known], error)
        sets = prediction_sets(p[new], least)
        held.append(sets[np.arange(500), labels[new]].mean())
    exact = math.ceil(101 * (1 - error)) / 101  # as no two probabilities are alike
    assert 1 - error <= exact <= 1 - error + 1 / 101
    spread = np.std(held) / 1_000**0.5
    assert 0.02 < np.std(held) < 0.06
    assert abs(np.mean(held) - exact) < 4 * spread


@pytest.mark.parametrize(
    "p, labels, error, message",
    [
        ([[0.5, 0.5]], [0], 0, "error must lie above 0 and below 1, got 0"),
        ([[0.5, 0.5]], [0], 1.0, "error must lie above 0 and below 1, got 1.0"),
        (
            [[0.5, 0.5]],
            [0],
            float("nan"),
            "error must lie above 0 and below 1, got nan",
        ),
        ([[0.5, 0.4]], [0], 0.1, "probabilities must sum to 1 in each row, got 0.9"),
        ([[0.5, 0.5]], [2], 0.1, r"labels must be whole numbers in 0\.\.1, got 2"),
    ],
)
def test_refusals(p, labels, error, message):
    with pytest.raises(ValueError, match=f"^least_probability: {message}"):
        least_probability(p, labels, error)
