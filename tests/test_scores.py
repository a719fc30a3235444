"""scores: numbers by hand, scikit-learn, SciPy, plain loops, and refusals."""

import warnings

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    balanced_accuracy_score,
    confusion_matrix,
    matthews_corrcoef,
    precision_recall_fscore_support,
    roc_auc_score,
    roc_curve,
)

from jaxcls import metrics, scores


def random_probabilities(seed, num_rows, num_classes):
    rng = np.random.default_rng(seed)
    p = rng.dirichlet(np.ones(num_classes), num_rows)
    return p, rng.integers(0, num_classes, num_rows)


# R. G. Newcombe, 1998, "Two-sided confidence intervals for the single proportion", table I.
@pytest.mark.parametrize(
    "correct, count, want",
    [
        (81, 263, [0.2553, 0.3662]),
        (15, 148, [0.0624, 0.1605]),
        (0, 20, [0.0, 0.1611]),
        (1, 29, [0.0061, 0.1718]),
    ],
)
def test_accuracy_interval_as_published(correct, count, want):
    got = scores.accuracy_interval(correct, count)
    assert [round(end, 4) for end in got] == want


@pytest.mark.parametrize("count", [1, 7, 10_000, 10**12])
def test_accuracy_interval_closes_at_none_and_all(count):
    z2 = 1.959963984540054**2
    low, high = scores.accuracy_interval(0, count)
    assert low == 0
    np.testing.assert_allclose(high, z2 / (count + z2), rtol=1e-12 + 1e-16 * count)
    least, most = scores.accuracy_interval(count, count)
    assert least == pytest.approx(1 - high, rel=1e-14)
    assert most == 1


def test_accuracy_interval_ends_are_1_96_standard_errors_away():
    for correct, count in [(1, 3), (59_000, 60_000), (np.int32(7), jnp.int32(9))]:
        low, high = scores.accuracy_interval(correct, count)
        share = int(correct) / int(count)
        assert low < share < high
        for end in (low, high):
            error = np.sqrt(end * (1 - end) / int(count))
            assert abs(share - end) / error == pytest.approx(1.959964, rel=1e-6)


def test_class_scores_by_hand():
    got = scores.class_scores([[3, 1, 0], [2, 4, 0], [0, 0, 0]])
    np.testing.assert_allclose(got.precision, [3 / 5, 4 / 5, 0])
    np.testing.assert_allclose(got.recall, [3 / 4, 4 / 6, 0])
    np.testing.assert_allclose(got.f1, [6 / 9, 8 / 11, 0])
    np.testing.assert_array_equal(got.support, [4, 6, 0])
    assert got.support.dtype == np.int64


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("unused", ["none", "never a label", "never predicted"])
def test_class_scores_are_scikit_learns(num_classes, unused):
    rng = np.random.default_rng(num_classes)
    labels = rng.integers(0, num_classes - (unused == "never a label"), 400)
    noise = rng.integers(0, num_classes, 400)
    predictions = np.where(rng.random(400) < 0.7, labels, noise)
    if unused == "never predicted":
        predictions = np.maximum(predictions, 1)
    counts = metrics.confusion(predictions, labels, num_classes)
    classes = range(num_classes)
    np.testing.assert_array_equal(
        counts, confusion_matrix(labels, predictions, labels=classes)
    )
    want = precision_recall_fscore_support(
        labels, predictions, labels=classes, zero_division=0
    )
    got = scores.class_scores(counts)
    for name, got_one, want_one in zip(got._fields, got, want, strict=True):
        np.testing.assert_allclose(got_one, want_one, rtol=1e-14, err_msg=name)
    accuracy = accuracy_score(labels, predictions)
    assert got.recall @ got.support / 400 == pytest.approx(accuracy)
    with warnings.catch_warnings():  # of a prediction that is no label
        warnings.simplefilter("ignore", UserWarning)
        balanced = balanced_accuracy_score(labels, predictions)
    assert scores.balanced_accuracy(counts) == pytest.approx(balanced, rel=1e-12)
    want = matthews_corrcoef(labels, predictions)
    assert scores.matthews(counts) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize(
    "counts", [[[5, 0], [3, 0]], [[0, 0], [2, 4]], [[0, 0], [0, 0]]]
)
def test_matthews_of_one_class_is_0(counts):
    assert scores.matthews(counts) == 0


def test_balanced_accuracy_and_matthews_of_all_and_none():
    for function in (scores.balanced_accuracy, scores.matthews):
        assert function([[3, 0, 0], [0, 1, 0], [0, 0, 2]]) == 1
    assert scores.matthews([[0, 3], [4, 0]]) == -1
    assert scores.balanced_accuracy([[0, 3], [4, 0]]) == 0
    for function in (scores.balanced_accuracy, scores.matthews):
        with pytest.raises(ValueError, match=r"counts must be \[K, K\]"):
            function([1, 2])


@pytest.mark.parametrize(
    "values, labels, want",
    [
        ([1, 2, 3], [0, 1, 1], 1.0),
        ([3, 2, 1], [0, 1, 1], 0.0),
        ([5, 5, 5], [0, 1, 1], 0.5),
        ([1, 2, 2, 3], [0, 0, 1, 1], 3.5 / 4),
        ([2, 1, 1, 1], [True, True, False, False], 3 / 4),
    ],
)
def test_roc_auc_by_hand(values, labels, want):
    assert scores.roc_auc(values, labels) == want


@pytest.mark.parametrize("decimals", [16, 1, 0], ids=["no ties", "ties", "many ties"])
@pytest.mark.parametrize("share", [0.5, 0.01])
def test_roc_auc_is_scikit_learns_and_counts_pairs(decimals, share):
    rng = np.random.default_rng(decimals)
    labels = (rng.random(700) < share).astype(int)
    values = rng.normal(labels, 1).round(decimals)
    got = scores.roc_auc(values, labels)
    assert got == pytest.approx(roc_auc_score(labels, values), rel=1e-12)
    gaps = values[labels == 1][:, None] - values[labels == 0]
    assert got == pytest.approx((np.sign(gaps) + 1).mean() / 2, rel=1e-12)
    assert scores.roc_auc(-values, labels) == pytest.approx(1 - got, rel=1e-12)


@pytest.mark.parametrize("decimals, share", [(1, 0.5), (15, 0.5), (2, 0.01)])
def test_a_roc_curve_is_scikit_learns_at_its_corners(decimals, share):
    rng = np.random.default_rng(decimals)
    labels = (rng.random(500) < share).astype(int)
    labels[:2] = 0, 1
    values = np.round(labels + rng.normal(size=500), decimals)
    curve = scores.roc_curve(values, labels)
    false_positive, true_positive, _ = roc_curve(
        labels, values, drop_intermediate=False
    )
    points = set(zip(false_positive.tolist(), true_positive.tolist(), strict=True))
    corners = list(zip(*(each.tolist() for each in curve), strict=True))
    assert set(corners) <= points and corners[0] == (0, 0) and corners[-1] == (1, 1)
    assert np.trapezoid(curve.true_positive, curve.false_positive) == pytest.approx(
        scores.roc_auc(values, labels), rel=1e-12
    )
    # Each point that was left out lies on the line between its neighbours.
    on_line = np.interp(false_positive, *curve)
    inner = ~np.isin(false_positive, curve.false_positive)
    np.testing.assert_allclose(on_line[inner], true_positive[inner], rtol=1e-12)
    steps = np.diff(np.stack(curve), axis=1)
    turns = steps[0, :-1] * steps[1, 1:] - steps[1, :-1] * steps[0, 1:]
    assert np.abs(turns).min() > 1e-12  # and no corner does


def test_roc_auc_of_every_example_of_mnists_size():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 60_000)
    values = jnp.asarray(rng.normal(labels, 1), jnp.float32)
    want = roc_auc_score(labels, np.asarray(values))
    got = scores.roc_auc(values, labels.astype(np.float32))
    assert got == pytest.approx(want, rel=1e-12)


def loop_calibration_error(p, labels, num_bins):
    total = 0.0
    for place in range(num_bins):
        low, high = place / num_bins, (place + 1) / num_bins
        rows = [i for i in range(len(p)) if low < max(p[i]) <= high]
        if rows:
            sure = sum(max(p[i]) for i in rows) / len(rows)
            right = sum(list(p[i]).index(max(p[i])) == labels[i] for i in rows)
            total += len(rows) / len(p) * abs(sure - right / len(rows))
    return total


def test_calibration_error_by_hand():
    p = np.array([[0.8, 0.2], [0.7, 0.3], [0.4, 0.6], [0.5, 0.5]])
    # Bins of two: 0.5 alone in (0, 0.5]; then mean 0.7 against 2 of 3 right.
    want = 1 / 4 * abs(0.5 - 1) + 3 / 4 * abs(0.7 - 2 / 3)
    got = scores.calibration_error(p, [0, 1, 1, 0], num_bins=2)
    assert got == pytest.approx(want, rel=1e-12)
    # In one bin the error is the gap of the means.
    got = scores.calibration_error(p, [0, 1, 1, 0], num_bins=1)
    assert got == pytest.approx(abs(0.65 - 3 / 4), rel=1e-12)


def test_calibration_error_of_certainty_is_the_error_rate():
    assert scores.calibration_error(np.eye(3), [0, 1, 2]) == 0
    assert scores.calibration_error(np.eye(4), [0, 1, 2, 0]) == 0.25
    assert scores.calibration_error([[0.75, 0.25]] * 4, [0, 1, 0, 0]) == 0


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("num_bins", [1, 10, 15])
def test_calibration_error_is_a_loops_and_scikit_learns(num_classes, num_bins):
    p, labels = random_probabilities(num_bins, 300, num_classes)
    got = scores.calibration_error(p, labels, num_bins)
    assert got == pytest.approx(loop_calibration_error(p, labels, num_bins), rel=1e-12)
    assert got > 0.05  # these labels are drawn without a look at p
    top, right = p.max(axis=1), p.argmax(axis=1) == labels
    means = calibration_curve(right, top, n_bins=num_bins)
    sizes, _ = np.histogram(top, num_bins, (0, 1))
    want = sizes[sizes > 0] @ abs(means[0] - means[1]) / 300
    assert got == pytest.approx(want, rel=1e-12)


def test_calibration_error_is_small_where_labels_are_drawn_from_the_probabilities():
    p, _ = random_probabilities(0, 60_000, 10)
    draws = np.random.default_rng(1).random((60_000, 1))
    labels = (p.cumsum(axis=1) < draws).sum(axis=1).clip(max=9)
    got = scores.calibration_error(jnp.asarray(p, jnp.float32), labels)
    assert 0 < got < 0.01
    assert got == pytest.approx(scores.calibration_error(p, labels), rel=1e-4)


def test_summary_by_hand():
    got = scores.summary([4, 1, 2, 5])  # deviations 1, -2, -1, 2 of the mean 3
    std = (10 / 3) ** 0.5
    # 3.182 is in every printed table of t: three degrees of freedom, two-sided 5%.
    half_width = 3.1824463 * std / 2
    want = [3, std, 3 - half_width, 3 + half_width, 1, 5]
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert all(type(number) is float for number in got)


@pytest.mark.parametrize("count", [2, 3, 10, 1000])
@pytest.mark.parametrize("mean", [0.0, 0.97, -1e6])
def test_summary_is_scipys(count, mean):
    values = np.random.default_rng(count).normal(mean, 0.01, count)
    got = scores.summary(values)
    low, high = scipy.stats.t.interval(
        0.95, count - 1, values.mean(), scipy.stats.sem(values)
    )
    want = [values.mean(), values.std(ddof=1), low, high, values.min(), values.max()]
    np.testing.assert_allclose(got, want, rtol=1e-12 + 1e-16 * abs(mean), atol=1e-15)
    half_width = got.high - got.mean
    np.testing.assert_allclose(half_width, (high - low) / 2, rtol=1e-6)
    again = scores.summary(jnp.asarray(values, jnp.float32))
    np.testing.assert_allclose(again, scores.summary(np.float32(values)), rtol=0)


def test_summary_of_one_value_has_no_spread():
    got = scores.summary([0.75])
    np.testing.assert_array_equal(got, [0.75, np.nan, np.nan, np.nan, 0.75, 0.75])


@pytest.mark.parametrize("count", [2, 3, 10])
def test_summary_of_equal_values_has_a_spread_of_exactly_0(count):
    assert scores.summary([0.1] * count) == (0.1, 0.0, 0.1, 0.1, 0.1, 0.1)


@pytest.mark.parametrize("count", [2, 5])
def test_summarys_interval_covers_the_mean_in_95_of_100_samples(count):
    samples = np.random.default_rng(count).normal(7, 3, (4000, count))
    ends = np.array([scores.summary(sample)[2:4] for sample in samples])
    share = np.mean((ends[:, 0] <= 7) & (ends[:, 1] >= 7))
    # Five deviations; the normal distribution's 1.96 would cover 0.70 and 0.88.
    assert abs(share - 0.95) < 5 * (0.95 * 0.05 / 4000) ** 0.5


@pytest.mark.parametrize(
    "correct, count, error, message",
    [
        (0, 0, ValueError, "count must be at least 1, got 0"),
        (-1, 5, ValueError, "correct must be at least 0, got -1"),
        (6, 5, ValueError, "correct 6 exceeds count 5"),
        (0.9, 5, TypeError, r"correct must be an integer, got 0\.9"),
        (1, None, TypeError, "count must be an integer, got None"),
    ],
)
def test_accuracy_interval_refuses(correct, count, error, message):
    with pytest.raises(error, match=f"^accuracy_interval: {message}\\.$"):
        scores.accuracy_interval(correct, count)


@pytest.mark.parametrize(
    "counts, error, message",
    [
        ([1, 2], ValueError, r"be \[K, K\] and not empty, got \[2\]"),
        ([[1, 2]], ValueError, r"be \[K, K\] and not empty, got \[1, 2\]"),
        (np.zeros((0, 0)), ValueError, r"be \[K, K\] and not empty, got \[0, 0\]"),
        ([[1, -1], [0, 1]], ValueError, r"be whole numbers of at least 0, got -1\.0"),
        ([[0.5, 0.5], [0, 1]], ValueError, r"be whole numbers .* 0, got 0\.5"),
        ([[1, np.inf], [0, 1]], ValueError, "be finite, got inf"),
        ([["1"]], TypeError, "be numbers, got <U1"),
    ],
)
def test_class_scores_refuses(counts, error, message):
    with pytest.raises(error, match=f"^class_scores: counts must {message}\\.$"):
        scores.class_scores(counts)


@pytest.mark.parametrize(
    "values, labels, error, message",
    [
        ([1, 2], [1, 1], ValueError, "labels must hold both 0 and 1, got 2 ones"),
        ([1, 2], [0, 0], ValueError, "labels must hold both 0 and 1, got 0 ones"),
        ([], [], ValueError, r"scores must be \[N\] and not empty, got \[0\]"),
        ([[1], [2]], [0, 1], ValueError, r"scores must be \[N\] .*, got \[2, 1\]"),
        ([1, 2], [[0], [1]], ValueError, r"labels must be \[N\] .*, got \[2, 1\]"),
        ([1, 2], [0, 1, 1], ValueError, r"labels must be \[2\], got \[3\]"),
        ([1, np.nan], [0, 1], ValueError, "scores must be finite, got nan"),
        ([1, -np.inf], [0, 1], ValueError, "scores must be finite, got -inf"),
        ([1, 2], [0, 2], ValueError, r"labels must be whole .* 0\.\.1, got 2\.0"),
        ([1, 2], [-1, 1], ValueError, r"labels must be whole .* 0\.\.1, got -1\.0"),
        ([1, 2], [0.5, 1], ValueError, r"labels must be whole .* 0\.\.1, got 0\.5"),
        ([1j, 2], [0, 1], TypeError, "scores must be numbers, got complex128"),
    ],
)
def test_roc_auc_refuses(values, labels, error, message):
    with pytest.raises(error, match=f"^roc_auc: {message}\\.$"):
        scores.roc_auc(values, labels)


HALF = [[0.5, 0.5], [0.25, 0.75]]


@pytest.mark.parametrize(
    "p, labels, num_bins, error, message",
    [
        (HALF, [0, 1], 0, ValueError, "num_bins must be at least 1, got 0"),
        (HALF, [0, 1], 1.5, TypeError, r"num_bins must be an integer, got 1\.5"),
        (HALF, [0], 15, ValueError, r"labels must be \[2\], got \[1\]"),
        (HALF, [0, 2], 15, ValueError, r"labels must be whole .* 0\.\.1, got 2\.0"),
        (HALF[0], [0, 1], 15, ValueError, r"probabilities must be \[N, K\] .* \[2\]"),
        (np.ones((0, 2)), [], 15, ValueError, r"probabilities must be .* \[0, 2\]"),
        ([[1.5, -0.5]], [0], 15, ValueError, r".* must lie in \[0, 1\], got 1\.5"),
        ([[-0.5, 1.0]], [0], 15, ValueError, r".* must lie in \[0, 1\], got -0\.5"),
        ([[0.5, 0.25]], [0], 15, ValueError, r".* sum to 1 in each row, got 0\.75"),
        ([[0.5], [0.5]], [0, 0], 15, ValueError, r".* sum to 1 .*, got 0\.5"),
        ([[np.nan, 1]], [0], 15, ValueError, "probabilities must be finite, got nan"),
    ],
)
def test_calibration_error_refuses(p, labels, num_bins, error, message):
    with pytest.raises(error, match=f"^calibration_error: {message}\\.$"):
        scores.calibration_error(p, labels, num_bins)


@pytest.mark.parametrize(
    "values, error, message",
    [
        ([], ValueError, r"be \[N\] and not empty, got \[0\]"),
        (0.5, ValueError, r"be \[N\] and not empty, got \[\]"),
        ([[1, 2]], ValueError, r"be \[N\] and not empty, got \[1, 2\]"),
        ([1, np.nan], ValueError, "be finite, got nan"),
        ([1, np.inf], ValueError, "be finite, got inf"),
        (["1"], TypeError, "be numbers, got <U1"),
        ([1j], TypeError, "be numbers, got complex128"),
    ],
)
def test_summary_refuses(values, error, message):
    with pytest.raises(error, match=f"^summary: values must {message}\\.$"):
        scores.summary(values)
