"""Bins, the interval of a calibration error, and accuracy by coverage."""

import numpy as np
import pytest

from jaxcls.calibration import tempered
from jaxcls.reliability import (
    accuracy_at,
    calibration_bins,
    calibration_interval,
    coverage_curve,
)
from jaxcls.scores import calibration_error


def drawn(rng, num_rows, factor):
    """Probabilities [N, 3] of a model that is so many times too sure, and labels."""
    z = 2 * rng.normal(size=(num_rows, 3))
    labels = np.argmax(z + rng.gumbel(size=z.shape), axis=1)
    return np.exp(tempered(factor * z, 1)), labels


def test_bins_by_hand():
    p = np.array([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6], [0.5, 0.5]])
    got = calibration_bins(p, [0, 1, 1, 0], num_bins=4)
    np.testing.assert_allclose(got.low, [0, 0.25, 0.5, 0.75])
    np.testing.assert_allclose(got.high, [0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(got.count, [0, 1, 2, 1])
    np.testing.assert_allclose(got.probability, [np.nan, 0.5, 0.65, 0.8])
    np.testing.assert_allclose(got.accuracy, [np.nan, 1, 0.5, 1])


@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_bins_sum_to_the_error(num_bins):
    p, labels = drawn(np.random.default_rng(0), 500, 3)
    got = calibration_bins(p, labels, num_bins)
    gaps = np.nansum(got.count * np.abs(got.probability - got.accuracy))
    want = calibration_error(p, labels, num_bins)
    assert gaps / 500 == pytest.approx(want, rel=1e-12)
    low, high = calibration_interval(p, labels, num_bins, resamples=200)
    assert 0 < low < high < 1
    assert (low, high) == calibration_interval(p, labels, num_bins, resamples=200)


@pytest.mark.parametrize("factor", [1.0, 1.5])
def test_the_interval_holds_the_true_error(factor):
    """Of 100 samples; the percentiles themselves would hardly ever hold an error near 0."""
    rng = np.random.default_rng(7)
    true = calibration_error(*drawn(rng, 400_000, factor))
    held = []
    for _ in range(100):
        low, high = calibration_interval(*drawn(rng, 500, factor), resamples=100)
        held.append(low <= true <= high)
    assert np.mean(held) > 0.8


def test_coverage_by_hand_and_at_a_share():
    curve = coverage_curve([0.6, 0.9, 0.9, 0.7], [0, 1, 0, 1])
    np.testing.assert_array_equal(curve.least, [0.9, 0.7, 0.6])
    np.testing.assert_allclose(curve.coverage, [0.5, 0.75, 1])
    np.testing.assert_allclose(curve.accuracy, [1 / 2, 2 / 3, 1 / 2])
    assert accuracy_at(curve, 1) == (0.6, 0.5)
    assert accuracy_at(curve, 0.6) == (0.7, pytest.approx(2 / 3))
    assert accuracy_at(curve, 0.01) == (0.9, 0.5)


def test_coverage_is_a_loops():
    rng = np.random.default_rng(0)
    p, right = rng.random(300).round(2), rng.integers(0, 2, 300)
    curve = coverage_curve(p, right)
    for least, coverage, accuracy in zip(*curve, strict=True):
        answered = p >= least
        assert coverage == pytest.approx(answered.mean(), rel=1e-12)
        assert accuracy == pytest.approx(right[answered].mean(), rel=1e-12)
    assert curve.coverage[-1] == 1
    for share in (0.95, 0.9, 0.5):
        least, _ = accuracy_at(curve, share)
        assert (p >= least).mean() >= share


@pytest.mark.parametrize(
    "call, message",
    [
        (
            lambda: coverage_curve([1.5], [1]),
            r"probabilities must lie in \[0, 1\], got",
        ),
        (lambda: coverage_curve([0.5], [2]), r"right must be whole numbers in 0\.\.1"),
        (
            lambda: calibration_bins([[0.5, 0.4]], [0]),
            "probabilities must sum to 1 in e",
        ),
        (
            lambda: calibration_interval([[1.0]], [1]),
            r"labels must be whole numbers in",
        ),
        (
            lambda: calibration_interval([[1.0]], [0], 5, 0),
            "resamples must be at least",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
