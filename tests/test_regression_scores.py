"""`regression.py` beside scikit-learn and SciPy, and intervals that hold what they promise."""

import tracemalloc

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error

from jaxcls.regression import Coverage, coverage, regression_scores, values_alone


def _example(count=200, seed=0, offset=0.0):
    rng = np.random.default_rng(seed)
    targets = offset + rng.normal(size=count)
    return targets + 0.5 * rng.normal(size=count), targets


@pytest.mark.parametrize("offset", [0.0, 1e6, -1e9])
def test_scores_are_scikit_learns(offset):
    predictions, targets = _example(offset=offset)
    scores = regression_scores(predictions, targets)
    for got, wanted in (
        (scores.r_squared, r2_score(targets, predictions)),
        (scores.rmse, root_mean_squared_error(targets, predictions)),
        (scores.mae, mean_absolute_error(targets, predictions)),
    ):
        assert got.value == pytest.approx(wanted, rel=1e-9)
        assert got.low < got.value < got.high


@pytest.mark.parametrize(
    ("name", "function"),
    [
        (
            "r_squared",
            lambda p, t: 1 - ((p - t) ** 2).sum() / ((t - t.mean()) ** 2).sum(),
        ),
        ("rmse", lambda p, t: np.sqrt(((p - t) ** 2).mean())),
        ("mae", lambda p, t: np.abs(p - t).mean()),
    ],
)
def test_intervals_are_scipys(name, function):
    predictions, targets = _example()
    got = getattr(regression_scores(predictions, targets), name)
    wanted = stats.bootstrap(
        (predictions, targets),
        function,
        paired=True,
        vectorized=False,
        n_resamples=1000,
        method="percentile",
        rng=np.random.default_rng(1),
    )
    width = wanted.confidence_interval.high - wanted.confidence_interval.low
    assert abs(got.low - wanted.confidence_interval.low) < 0.15 * width
    assert abs(got.high - wanted.confidence_interval.high) < 0.15 * width


def test_interval_holds_the_true_error_about_95_times_of_100():
    # Errors of 0.5 standard normals: the true RMSE is 0.5.
    inside = 0
    for seed in range(200):
        rmse = regression_scores(*_example(100, seed)).rmse
        inside += rmse.low <= 0.5 <= rmse.high
    assert 175 <= inside <= 198


def test_many_rows_take_the_memory_of_a_few_copies_of_them(monkeypatch):
    predictions, targets = _example(100_000)
    monkeypatch.setattr("jaxcls.regression._RESAMPLES", 20)
    tracemalloc.start()
    try:
        regression_scores(predictions, targets)
        most = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert most < 16 * targets.nbytes


@pytest.mark.parametrize("targets", [[1.0, 2.0, 3.0], [2.0, 2.0, 2.0]])
def test_values_alone_are_those_that_have_intervals(targets):
    scores = regression_scores([1.0, 2.0, 4.0], targets)
    wanted = [each.value for each in scores]
    np.testing.assert_array_equal(values_alone([1.0, 2.0, 4.0], targets), wanted)


def test_alike_targets_have_no_r_squared():
    scores = regression_scores([1.0, 2.0], [3.0, 3.0])
    assert np.isnan(scores.r_squared).all()
    assert scores.mae.value == 1.5


def test_coverage_is_of_normal_bands():
    rng = np.random.default_rng(0)
    std = rng.uniform(0.1, 3, 20_000)
    inside, count = coverage(np.zeros(20_000), std, std * rng.normal(size=20_000))
    assert abs(inside / count - 0.95) < 0.006
    assert coverage([0.0], [0.0], [0.0]) == Coverage(1, 1)


@pytest.mark.parametrize(
    ("predictions", "targets", "message"),
    [
        ([1.0], [1.0, 2.0], "must both be"),
        ([], [], "N at least 1"),
        ([[1.0]], [[1.0]], "must both be"),
        ([np.nan], [1.0], "must be finite"),
    ],
)
def test_bad_arrays_are_told(predictions, targets, message):
    with pytest.raises(ValueError, match=message):
        regression_scores(predictions, targets)
    with pytest.raises(ValueError, match=message):
        coverage(predictions, np.ones(np.shape(predictions)), targets)


def test_negative_spread_is_told():
    with pytest.raises(ValueError, match="at least 0, got -1"):
        coverage([0.0], [-1.0], [0.0])
