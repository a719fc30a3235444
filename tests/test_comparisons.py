"""comparisons: published numbers, SciPy, plain loops, simulated coverage, and refusals."""

import itertools
import math

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from jaxcls import comparisons, scores

# O. L. Davies, 1947, yields of dyestuff: 6 batches, 5 preparations each.
DYESTUFF = np.reshape(
    [1545, 1440, 1440, 1520, 1580, 1540, 1555, 1490, 1560, 1495, 1595, 1550, 1605, 1510, 1560,
     1445, 1440, 1595, 1465, 1545, 1595, 1630, 1515, 1635, 1625, 1520, 1455, 1450, 1480, 1445],
    (6, 5),
)  # fmt: skip
# C. Darwin, 1876: crossed minus self-fertilised maize, in eighths of an inch.
DARWIN = [49, -67, 8, 16, 6, 23, 28, 41, 14, 29, 56, 24, 75, 60, -48]


def correlated_splits(rng, ratio, shape):
    """Normal scores of mean 0, whose splits [..., J] correlate as Nadeau and Bengio assume."""
    rho = ratio / (1 + ratio)
    common = rng.normal(size=(*shape[:-1], 1))
    return np.sqrt(rho) * common + np.sqrt(1 - rho) * rng.normal(size=shape)


def random_pair(seed, shape=(5, 3)):
    rng = np.random.default_rng(seed)
    return rng.normal(0.9, 0.02, shape), rng.normal(0.89, 0.02, shape)


def against_0(d, ratio, seed=0):
    return comparisons.compare(d, np.zeros(len(d)), ratio, seed)


# D. Bates et al., lme4: variances 1764.05 of the batches and 2451.25 of the rest.
def test_split_summary_parts_are_those_published_of_dyestuff():
    got = comparisons.split_summary(DYESTUFF, ratio=0.25)
    assert got.mean == 1527.5
    assert got.std_of_splits**2 == pytest.approx(1764.05)
    assert got.std_of_seeds**2 == pytest.approx(2451.25)
    assert (got.least, got.greatest) == (1440, 1635)


def test_split_summary_by_hand():
    # Split means 2, 3, 4: t of 2 degrees of freedom is 4.302653, and 1/3 + 2/3 = 1.
    got = comparisons.split_summary([[0, 4], [1, 5], [2, 6]], ratio=2 / 3)
    # The variance of 8 within each split is more than twice that of the means, 1.
    want = [3, 1, 3 - 4.302653, 3 + 4.302653, 0, math.sqrt(8), 0, 6]
    np.testing.assert_allclose(got, want, rtol=1e-6)


def test_split_summary_without_overlap_is_summary():
    values = random_pair(1, (9,))[0]
    got = comparisons.split_summary(values, ratio=0)
    want = scores.summary(values)
    for name in want._fields:
        assert getattr(got, name) == pytest.approx(getattr(want, name), rel=1e-14)


def test_split_summary_of_one_seed_takes_a_row_or_a_column():
    row = comparisons.split_summary(jnp.array([0.5, 0.75, 0.875]), ratio=0.25)
    column = comparisons.split_summary([[0.5], [0.75], [0.875]], ratio=0.25)
    np.testing.assert_equal(row, column)
    assert math.isnan(row.std_of_splits) and math.isnan(row.std_of_seeds)


def test_split_summary_of_one_split_knows_the_seeds_only():
    got = comparisons.split_summary([[0.5, 0.75]], ratio=0.25)
    want = (0.625, *[math.nan] * 4, math.sqrt(1 / 32), 0.5, 0.75)
    np.testing.assert_equal(tuple(got), want)
    got = comparisons.split_summary([0.5], ratio=0.25)
    np.testing.assert_equal(tuple(got), (0.5, *[math.nan] * 5, 0.5, 0.5))


def test_split_summary_of_equal_values_has_width_0():
    got = comparisons.split_summary(np.full((3, 7), 0.1), ratio=0.25)
    np.testing.assert_allclose(got, [0.1, 0, 0.1, 0.1, 0, 0, 0.1, 0.1], rtol=1e-14)
    assert got.low == got.high and got.std == got.std_of_seeds == 0


def test_intervals_cover_in_95_of_100_cases_where_splits_share_rows():
    values = correlated_splits(np.random.default_rng(0), 0.25, (4_000, 5))
    corrected = [comparisons.split_summary(row, 0.25) for row in values]
    naive = [scores.summary(row) for row in values]
    covered = np.mean([got.low <= 0 <= got.high for got in corrected])
    assert covered == pytest.approx(0.95, abs=0.01)
    assert np.mean([got.low <= 0 <= got.high for got in naive]) < 0.87


def test_p_value_and_beats_are_uniform_where_they_should_be():
    values = correlated_splits(np.random.default_rng(1), 0.25, (1_500, 6))
    p_values = [against_0(row, 0.25).p_value for row in values]
    ranks = [against_0(row[:5] - row[5], 0.25).beats for row in values]
    for uniform in (p_values, ranks):
        assert scipy.stats.kstest(uniform, "uniform").pvalue > 0.01


# scikit-learn, "Statistical comparison of models using grid search": 10 repeats of 10 folds,
# uncorrected t 2.611 and p 0.005, corrected t 0.750 and p 0.227, one-sided.
def test_compare_is_corrected_as_published():
    d = scipy.stats.zscore(np.random.default_rng(0).normal(size=100), ddof=1) + 0.26112
    assert round(against_0(d, 0).p_value / 2, 3) == 0.005
    assert round(against_0(d, 1 / 9).p_value / 2, 3) == 0.227


# R. A. Fisher, 1935, "The Design of Experiments", section 21: 1,726 of 32,768 flips.
def test_compare_flips_darwins_maize_as_fisher_did():
    got = against_0(DARWIN, 0)
    assert got.p_permutation == 1726 / 32768
    want = scipy.stats.ttest_1samp(DARWIN, 0)
    assert round(got.p_value, 4) == 0.0497 == round(want.pvalue, 4)
    interval = want.confidence_interval(0.95)
    np.testing.assert_allclose((got.low, got.high), interval, rtol=1e-12)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("ratio", [0.0, 0.25, 1.0])
def test_compare_follows_its_formulas(seed, ratio):
    a, b = random_pair(seed)
    d = [sum(a[j, s] - b[j, s] for s in range(3)) / 3 for j in range(5)]
    mean, s, t = np.mean(d), np.std(d, ddof=1), scipy.stats.t(4)
    error = s * np.sqrt(1 / 5 + ratio)
    got = comparisons.compare(a, b, ratio)
    assert got.difference == pytest.approx(mean, rel=1e-12)
    want = np.add(mean, np.multiply(t.interval(0.95), error))
    np.testing.assert_allclose((got.low, got.high), want, rtol=1e-9)
    assert got.p_value == pytest.approx(2 * t.sf(abs(mean) / error), rel=1e-9)
    assert got.beats == pytest.approx(t.sf(-mean / (s * np.sqrt(1.2))), rel=1e-9)


@pytest.mark.parametrize("num_splits", [2, 3, 8])
def test_compare_tries_every_flip(num_splits):
    d = np.random.default_rng(num_splits).normal(0.5, 1, num_splits)
    flips = itertools.product([-1, 1], repeat=num_splits)
    as_far = [abs(np.dot(signs, d)) >= abs(d.sum()) - 1e-9 for signs in flips]
    got = against_0(d, 0.25)
    assert got.p_permutation == np.mean(as_far)
    want = scipy.stats.permutation_test((d,), np.mean, permutation_type="samples")
    assert got.p_permutation == pytest.approx(want.pvalue)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_compare_counts_flips_that_tie_but_for_rounding(dtype):
    # Differences of 0.01 or -0.01: of 8 flips the sums 3, -3 and six times 1 or -1.
    a, b = np.array([0.91, 0.81, 0.34], dtype), np.array([0.90, 0.80, 0.35], dtype)
    assert comparisons.compare(a, b, 0.25).p_permutation == 1
    a, b = np.array([0.91, 0.81, 0.36], dtype), np.array([0.90, 0.80, 0.34], dtype)
    assert comparisons.compare(a, b, 0.25).p_permutation == 2 / 8


def test_compare_draws_flips_of_many_splits():
    d = np.random.default_rng(3).normal(0.5, 1, 17)
    got = against_0(d, 0.25)
    signs = 1 - 2 * (np.arange(2**17)[:, None] >> np.arange(17) & 1)
    want = np.mean(abs(signs @ d) >= abs(d.sum()) - 1e-9)
    error = np.sqrt(want * (1 - want) / 9_999)
    assert got.p_permutation == pytest.approx(want, abs=4 * error)
    assert got == against_0(d, 0.25)
    assert against_0(d, 0.25, seed=1).p_permutation != got.p_permutation
    assert against_0(np.arange(100, 140), 0.25).p_permutation == 1 / 10_000


@pytest.mark.parametrize("ratio", [0.0, 0.1, 0.25])
@pytest.mark.parametrize("effect", [0.3, 1.1, 1.5, 4.0, 100.0])
def test_compare_needs_as_many_splits_as_a_search_finds(effect, ratio):
    d = np.array([-1.0, 0.0, 1.0]) + effect  # std 1
    got = against_0(d, ratio)
    j = np.arange(2, 500)
    enough = j[effect > scipy.stats.t.ppf(0.975, j - 1) * np.sqrt(1 / j + ratio)]
    want = enough[0] if len(enough) else None
    assert got.needed == want
    assert (got.needed is not None and got.needed <= 3) == (got.low > 0)


def test_compare_may_need_very_many_splits():
    d = np.array([-1.0, 0.0, 1.0])
    many = against_0(d + 0.01, 0).needed
    assert many == pytest.approx((1.959964 / 0.01) ** 2, rel=1e-3)
    # z * sqrt(ratio) = 0.98 is the floor for a ratio of 0.25.
    assert against_0(d + 0.981, 0.25).needed > 500
    for effect, ratio in [(0.979, 0.25), (0.001, 0), (0, 0)]:
        assert against_0(d + effect, ratio).needed is None


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
@pytest.mark.parametrize("sign, beats", [(1, 1.0), (-1, 0.0)])
def test_compare_of_equal_differences_tells_no_spread(dtype, sign, beats):
    a, b = np.array([0.91, 0.81, 0.36], dtype), np.array([0.90, 0.80, 0.35], dtype)
    a, b = (a, b) if sign > 0 else (b, a)
    got = comparisons.compare(a, b, 0.25)
    assert got.difference == pytest.approx(sign * 0.01, rel=1e-5)
    np.testing.assert_equal(got[1:4], (math.nan,) * 3)
    assert got[4:] == (2 / 8, beats, None)


def test_compare_of_no_difference():
    values = random_pair(0)[0]
    swapped = values[:, [1, 0, 2]]  # with the same mean of each split
    rounded = [0.1 + 0.2, 0.1 + 0.2], [0.3, 0.3]
    for a, b in [(values, swapped), rounded, ([0, 0], [0, 0])]:
        got = comparisons.compare(a, b, 0.25)
        want = (0.0, math.nan, math.nan, 1.0, 1.0, 0.5, None)
        np.testing.assert_equal(tuple(got), want)


def test_compare_on_one_split_tells_the_difference_only():
    for mean in (0.25, 0):
        want = (mean, math.nan, math.nan, math.nan, 1.0, math.nan, None)
        np.testing.assert_equal(tuple(against_0([mean], 0.25)), want)


def rights(both, only_a, only_b, neither):
    cases = [[1, 1]] * both + [[1, 0]] * only_a + [[0, 1]] * only_b + [[0, 0]] * neither
    return np.random.default_rng(0).permutation(cases).astype(bool).T


# S. Siegel, 1956, "Nonparametric Statistics", sign test: 11 to 3 and 3 ties, p 0.029 one-sided.
def test_mcnemar_as_published():
    got = comparisons.mcnemar(*rights(2, 3, 11, 1))
    assert (*got[:2], round(got.p_value / 2, 3)) == (3, 11, 0.029)


@pytest.mark.parametrize("only_b", [0, 1, 4, 9, 900])
@pytest.mark.parametrize("only_a", [0, 1, 4, 5, 86])
def test_mcnemar_is_scipys_binomial_test(only_a, only_b):
    got = comparisons.mcnemar(*map(jnp.array, rights(7, only_a, only_b, 2)))
    assert got[:2] == (only_a, only_b)
    want = scipy.stats.binomtest(only_a, max(only_a + only_b, 1))
    assert got.p_value == pytest.approx(want.pvalue, rel=1e-10)


@pytest.mark.parametrize(
    "p, want",
    [
        ([0.01, 0.02, 0.03, 0.04], [0.04, 0.06, 0.06, 0.06]),
        ([0.04, 0.01, 0.03, 0.005], [0.06, 0.03, 0.06, 0.02]),
        ([0.5, 0.75, 0], [1, 1, 0]),
        ([0.02, np.nan, 0.01], [0.02, np.nan, 0.02]),
        ([np.nan, np.nan], [np.nan, np.nan]),
    ],
)
def test_holm_by_hand(p, want):
    np.testing.assert_allclose(comparisons.holm(p), want, rtol=1e-14)


@pytest.mark.parametrize("seed", range(3))
def test_holm_rejects_as_the_steps_down_do(seed):
    rng = np.random.default_rng(seed)
    p = np.append(rng.beta(0.3, 2, 10), rng.beta(0.3, 2, 3).repeat(2))
    adjusted = comparisons.holm(p)
    assert (adjusted >= p).all() and (np.diff(adjusted[np.argsort(p)]) >= 0).all()
    for level in np.linspace(0.003, 0.997, 70):
        rejected = set()
        for step, place in enumerate(np.argsort(p)):
            if p[place] > level / (len(p) - step):
                break
            rejected.add(place)
        assert set(np.flatnonzero(adjusted <= level)) == rejected


@pytest.mark.parametrize(
    "low, high, mean, count, want",
    [
        (0.9, 0.9, 0.9, 100, (0.895, 0.905)),
        (0.899, 0.95, 0.9, 100, (0.895, 0.95)),
        (1.0, 1.0, 1.0, 1_000, (0.9995, 1.0)),
        (0.0, 0.0, 0.0, 1_000, (0.0, 0.0005)),
        (-0.2, 1.3, 0.5, 10, (0.0, 1.0)),
        (1, 1, 1, np.int32(1), (0.5, 1.0)),
        (math.nan, math.nan, 0.5, 10, (math.nan, math.nan)),
    ],
)
def test_honest_interval_by_hand(low, high, mean, count, want):
    got = comparisons.honest_interval(low, high, mean, count)
    np.testing.assert_allclose(got, want, rtol=1e-14)
    assert [type(end) for end in got] == [float, float]


VALUES = [[0.5, 0.75], [0.25, 0.5]]


@pytest.mark.parametrize(
    "values, error, message",
    [
        ([], ValueError, r"be \[J, S\] and not empty, got \[0\]"),
        (0.5, ValueError, r"be \[J, S\] and not empty, got \[\]"),
        (np.zeros((1, 2, 3)), ValueError, r"be \[J, S\] .*, got \[1, 2, 3\]"),
        ([1, np.nan], ValueError, "be finite, got nan"),
        (["1"], TypeError, "be numbers, got <U1"),
    ],
)
def test_scores_are_refused(values, error, message):
    with pytest.raises(error, match=f"^split_summary: values must {message}\\.$"):
        comparisons.split_summary(values, 0.25)
    with pytest.raises(error, match=f"^compare: a must {message}\\.$"):
        comparisons.compare(values, VALUES, 0.25)
    with pytest.raises(error, match=f"^compare: b must {message}\\.$"):
        comparisons.compare(VALUES, values, 0.25)


@pytest.mark.parametrize("ratio", [-0.25, math.inf, math.nan, "1", None])
def test_ratios_are_refused(ratio):
    error, want = TypeError, "a number"
    if isinstance(ratio, float):
        error, want = ValueError, "finite and at least 0"
    message = f"ratio must be {want}, got {ratio!r}\\.$"
    with pytest.raises(error, match=f"^split_summary: {message}"):
        comparisons.split_summary(VALUES, ratio)
    with pytest.raises(error, match=f"^compare: {message}"):
        comparisons.compare(VALUES, VALUES, ratio)


RIGHT = [True, False]


@pytest.mark.parametrize(
    "call, arguments, error, message",
    [
        ("compare", (VALUES, [1, 2], 1), ValueError, r"b must be \[2, 2\] as a, got \[2, 1\]"),
        ("compare", (VALUES, VALUES, 1, -1), ValueError, "seed must be at least 0, got -1"),
        ("compare", (VALUES, VALUES, 1, 0.5), TypeError, r"seed must be an .*, got 0\.5"),
        ("mcnemar", ([1, 0], RIGHT), TypeError, "right_a must be booleans, got int64"),
        ("mcnemar", (RIGHT, [1.0, 0]), TypeError, "right_b must be booleans, got float64"),
        ("mcnemar", (np.zeros(0, bool), RIGHT), ValueError, r"right_a must be \[N\] .* \[0\]"),
        ("mcnemar", (RIGHT, [RIGHT]), ValueError, r"right_b must be \[N\] .* got \[1, 2\]"),
        ("mcnemar", (RIGHT, [True]), ValueError, r"right_b must be \[2\] as right_a, got \[1\]"),
        ("holm", ([],), ValueError, r"p_values must be \[M\] and not empty, got \[0\]"),
        ("holm", (np.nan,), ValueError, r"p_values must be \[M\] and not empty, got \[\]"),
        ("holm", ([0.5, -1e-18],), ValueError, r"p_values must lie in \[0, 1\], got -1e-18"),
        ("holm", ([1.5, np.nan],), ValueError, r"p_values must lie in \[0, 1\], got 1\.5"),
        ("holm", ([np.inf],), ValueError, "p_values must be finite, got inf"),
        ("holm", (["0.5"],), TypeError, "p_values must be numbers, got <U3"),
        ("honest_interval", (0, 1, 0.5, 0), ValueError, "count must be at least 1, got 0"),
        ("honest_interval", (0, 1, 0.5, 1.5), TypeError, r"count must be an .*, got 1\.5"),
        ("honest_interval", ("0", 1, 0.5, 9), TypeError, "low must be a number, got '0'"),
        ("honest_interval", (0, None, 0, 9), TypeError, "high must be a number, got None"),
        ("honest_interval", (0, 1, [1], 9), TypeError, r"mean must be a number, got \[1\]"),
        ("honest_interval", (0, 2, 1.5, 9), ValueError, r"mean must lie in \[0, 1\], got 1\.5"),
        ("honest_interval", (0, 1, np.nan, 9), ValueError, r"mean must .* \[0, 1\], got nan"),
        ("honest_interval", (0.5, 1, 0, 9), ValueError, r"mean must .* \[0\.5, 1\], got 0"),
        ("honest_interval", (0, 0.5, 1, 9), ValueError, r"mean must .* \[0, 0\.5\], got 1"),
    ],
)  # fmt: skip
def test_refuses(call, arguments, error, message):
    with pytest.raises(error, match=f"^{call}: {message}\\.$"):
        getattr(comparisons, call)(*arguments)
