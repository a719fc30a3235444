"""Scores over splits and seeds on the host in float64: their spread, and paired comparisons.

J splits of one set share training rows, so their scores are not independent. The intervals and
p values by Student's t allow for that (C. Nadeau and Y. Bengio, 2003).
"""

import math
from bisect import bisect_left
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxcls.score_inputs import as_floats, as_integer, check_fits, check_number
from jaxcls.scores import student_95

_ROUNDING = float(np.finfo(np.float32).eps)  # of its size, as scores may be float32
_MOST_SPLITS = 100_000  # that `needed` goes to
_EXACT_SPLITS = 16  # up to which all 2**J flips of signs are tried
_FLIPS = 9_999  # drawn beyond it


class SplitSummary(NamedTuple):
    """What J splits with S seeds each scored, in short.

    Attributes:
        mean: of all values.
        std: sample standard deviation of the J split means; NaN for one split.
        low: lower end of the 95% interval of the mean; NaN for one split.
        high: upper end of it.
        std_of_splits: the splits' part of the spread; NaN for one split or seed.
        std_of_seeds: the part of the seeds within a split; NaN for one seed.
        least: the smallest value.
        greatest: the largest.
    """

    mean: float
    std: float
    low: float
    high: float
    std_of_splits: float
    std_of_seeds: float
    least: float
    greatest: float


class Comparison(NamedTuple):
    """How far A outscores B on the same J splits.

    Attributes:
        difference: mean of A minus B.
        low: lower end of its 95% interval.
        high: upper end of it.
        p_value: of no difference, by the corrected resampled t-test.
        p_permutation: of no difference, by flips of signs. It takes the splits as independent, so
            it is too small where they share training rows.
        beats: probability that A outscores B on one more split of the same rows.
        needed: fewest splits, two or more, whose interval leaves out 0 if mean and spread stay;
            None if 100,000 are too few: the interval narrows no further than `ratio` lets it.
    """

    difference: float
    low: float
    high: float
    p_value: float
    p_permutation: float
    beats: float
    needed: int | None


class McNemar(NamedTuple):
    """Where two models differ on one test set.

    Attributes:
        only_a: examples that A alone has right.
        only_b: examples that B alone has right.
        p_value: of both being as likely, exact and two-sided.
    """

    only_a: int
    only_b: int
    p_value: float


def split_summary(values: ArrayLike, ratio: float) -> SplitSummary:
    """Mean, spread and range over splits and seeds, with the mean's corrected 95% interval.

    With s the std of the split means, the interval is the mean +- t * s * sqrt(1 / J + ratio), for
    t of J - 1 degrees of freedom (C. Nadeau and Y. Bengio, 2003). The parts of the spread are those
    of one-way random effects by the method of moments (S. R. Searle et al., 1992, "Variance
    Components"), where a negative variance counts as 0. Equal split means give an interval of
    width 0: see `honest_interval`.

    Args:
        values: [J, S] finite, such as the accuracies of J splits with S seeds each; [J] is taken
            as [J, 1].
        ratio: test rows for each training row, such as of `Splits.ratio`. 0 gives Student's t
            interval, for splits that share no row.

    Raises:
        TypeError, ValueError: values are not finite numbers [J, S], or ratio not one from 0 on.

    >>> got = split_summary([[0.8, 0.9], [0.9, 0.9], [0.9, 1.0]], ratio=0.25)
    >>> [round(number, 3) for number in got]
    [0.9, 0.05, 0.736, 1.064, 0.029, 0.058, 0.8, 1.0]
    """
    values = _split_scores("split_summary: values", values)
    _check_ratio("split_summary: ratio", ratio)
    num_splits, num_seeds = values.shape
    mean, std = _mean_and_std(values.mean(axis=1))
    half_width = _half_width(num_splits, ratio, std)
    within = math.nan
    if num_seeds > 1:
        # Counted from the first seed, so that equal values have a variance of exactly 0.
        within = float((values - values[:, :1]).var(axis=1, ddof=1).mean())
    between = np.maximum(0, std**2 - within / num_seeds)  # which keeps a NaN
    return SplitSummary(
        mean,
        std,
        mean - half_width,
        mean + half_width,
        float(np.sqrt(between)),
        math.sqrt(within),
        float(values.min()),
        float(values.max()),
    )


def compare(a: ArrayLike, b: ArrayLike, ratio: float, seed: int = 0) -> Comparison:
    """Tells whether A outscores B by more than the splits explain.

    The J differences are means over seeds. Interval and p_value are those of the corrected
    resampled t-test (C. Nadeau and Y. Bengio, 2003). p_permutation is that of all 2**J flips of the
    differences' signs (R. A. Fisher, 1935), or of 9,999 drawn ones beyond 16 splits. `beats` is
    P(T > -mean / (s * sqrt(1 + 1 / J))) for T of J - 1 degrees of freedom, from the prediction
    interval of one more normal value.

    Differences that are all the same but for float32's rounding tell no spread: low, high and
    p_value are NaN, `needed` is None, and `beats` is 1, 0 or 0.5 by their sign. If they are all
    0, p_value is 1. One split alone leaves `beats` NaN too, and p_value even at 0.

    Args:
        a: [J, S] finite scores of A, higher for better; [J] is taken as [J, 1].
        b: [J, S] those of B, on the same splits with the same seeds.
        ratio: test rows for each training row, such as of `Splits.ratio`.
        seed: of the drawn flips.

    Raises:
        TypeError, ValueError: scores, shapes, ratio or seed do not fit.

    >>> got = compare([0.9, 0.8, 0.9, 0.9], [0.8, 0.8, 0.7, 0.8], ratio=0.25)
    >>> [round(number, 3) for number in got[:-1]], got.needed
    ([0.1, -0.084, 0.284, 0.182, 0.25, 0.823], 15)
    """
    a, b = _split_scores("compare: a", a), _split_scores("compare: b", b)
    if a.shape != b.shape:
        raise ValueError(f"compare: b must be {[*a.shape]} as a, got {[*b.shape]}.")
    _check_ratio("compare: ratio", ratio)
    seed = as_integer("compare: seed", seed, least=0)
    differences = (a - b).mean(axis=1)
    rounding = _ROUNDING * float(max(np.abs(a).max(), np.abs(b).max()))
    mean, std = _mean_and_std(differences)
    p_permutation = _sign_flips(differences, rounding, seed)
    if std > rounding:  # which a NaN is not
        return _with_spread(mean, std, len(differences), ratio, p_permutation)
    mean = mean if abs(mean) > rounding else 0.0
    return _without_spread(mean, len(differences), p_permutation)


def mcnemar(right_a: ArrayLike, right_b: ArrayLike) -> McNemar:
    """Compares two models on one test set (Q. McNemar, 1947), by the exact binomial test.

    Only examples that one model alone has right count; if there is none, the p value is 1.

    Args:
        right_a: [N] booleans, whether A has the example right.
        right_b: [N] booleans, whether B has it right.

    Raises:
        TypeError, ValueError: not booleans [N], or their lengths differ.

    >>> mcnemar([True, True, True, False], [False, False, True, False])
    McNemar(only_a=2, only_b=0, p_value=0.5)
    """
    from scipy.special import bdtr  # scipy.stats would take longer to import

    right_a = _booleans("mcnemar: right_a", right_a)
    right_b = _booleans("mcnemar: right_b", right_b)
    want, got = len(right_a), len(right_b)
    if want != got:
        raise ValueError(f"mcnemar: right_b must be [{want}] as right_a, got [{got}].")
    only_a, only_b = int((right_a & ~right_b).sum()), int((right_b & ~right_a).sum())
    tail = float(bdtr(min(only_a, only_b), only_a + only_b, 0.5))
    return McNemar(only_a, only_b, min(1.0, 2 * tail))


def holm(p_values: ArrayLike) -> np.ndarray:
    """Adjusts the p values of M tests for their number (S. Holm, 1979).

    To reject where the adjusted value is at most 5% is wrong about any of them in at most 5% of
    cases, however the tests depend on each other.

    Args:
        p_values: [M] in [0, 1]; a NaN stays one and does not count as a test.

    Returns:
        [M], none below its own p value and none above 1.

    Raises:
        TypeError, ValueError: p_values are not numbers [M], or one lies outside [0, 1].

    >>> holm([0.01, 0.04, 0.03]).tolist()
    [0.03, 0.06, 0.06]
    """
    given = np.asarray(p_values)
    missing = np.zeros(given.shape, bool)
    if given.dtype.kind == "f":
        missing = np.isnan(given)
        given = np.where(missing, 1, given)
    adjusted = as_floats("holm: p_values", given, axes="M")
    check_fits(
        "holm: p_values", adjusted, adjusted == adjusted.clip(0, 1), "lie in [0, 1]"
    )
    adjusted[missing] = np.nan
    order = np.argsort(adjusted)[: np.sum(~missing)]  # which puts NaN last
    factors = np.arange(len(order), 0, -1)
    adjusted[order] = np.minimum(1, np.maximum.accumulate(factors * adjusted[order]))
    return adjusted


def honest_interval(
    low: float, high: float, mean: float, count: int
) -> tuple[float, float]:
    """Widens an interval of the mean accuracy of seeds to at least the grid of the accuracy.

    Where few seeds agree to the digit, their t interval has width 0. An accuracy of `count`
    examples moves in steps of 1 / count, so the interval is made to hold mean +- 0.5 / count, and
    clipped into [0, 1]. That is a convention of jaxcls, of no paper. It says nothing of other test
    examples: see `scores.accuracy_interval`. NaN ends, as of one seed, stay NaN.

    Args:
        low: lower end, such as of `scores.summary`, or NaN.
        high: upper end, or NaN.
        mean: of the seeds' accuracies, between the two.
        count: test examples that each accuracy was measured on.

    Raises:
        TypeError, ValueError: count is not an integer of at least 1, or mean lies outside [0, 1]
            or [low, high].

    >>> honest_interval(0.5, 0.5, 0.5, count=100)
    (0.495, 0.505)
    """
    count = as_integer("honest_interval: count", count, least=1)
    for name, value in (("low", low), ("high", high), ("mean", mean)):
        check_number(f"honest_interval: {name}", value)
    if not 0 <= mean <= 1:
        raise ValueError(f"honest_interval: mean must lie in [0, 1], got {mean}.")
    if low > mean or high < mean:
        ends = f"[{low}, {high}]"
        raise ValueError(f"honest_interval: mean must lie in {ends}, got {mean}.")
    # NumPy's minimum and maximum keep a NaN, Python's may drop it.
    low = np.maximum(0, np.minimum(low, mean - 0.5 / count))
    high = np.minimum(1, np.maximum(high, mean + 0.5 / count))
    return float(low), float(high)


def _with_spread(
    mean: float, std: float, num_splits: int, ratio: float, p_permutation: float
) -> Comparison:
    from scipy.special import stdtr

    half_width = _half_width(num_splits, ratio, std)
    t = mean / (std * math.sqrt(1 / num_splits + ratio))
    t_of_next = mean / (std * math.sqrt(1 + 1 / num_splits))
    return Comparison(
        mean,
        mean - half_width,
        mean + half_width,
        2 * float(stdtr(num_splits - 1, -abs(t))),
        p_permutation,
        float(stdtr(num_splits - 1, t_of_next)),
        _needed(mean, std, ratio),
    )


def _without_spread(mean: float, num_splits: int, p_permutation: float) -> Comparison:
    p_value = beats = math.nan
    if num_splits > 1:
        p_value = math.nan if mean else 1.0
        beats = float(np.sign(mean) + 1) / 2
    return Comparison(mean, math.nan, math.nan, p_value, p_permutation, beats, None)


def _needed(mean: float, std: float, ratio: float) -> int | None:
    # The half width falls with each split, so that bisection finds the first that will do.
    counts = range(2, _MOST_SPLITS + 1)
    place = bisect_left(
        counts, True, key=lambda count: abs(mean) > _half_width(count, ratio, std)
    )
    return counts[place] if place < len(counts) else None


def _half_width(num_splits: int, ratio: float, std: float) -> float:
    # For one split std is NaN, and so is the half width.
    return student_95(num_splits - 1) * std * math.sqrt(1 / num_splits + ratio)


def _mean_and_std(values: np.ndarray) -> tuple[float, float]:
    # Counted from the first, so that equal values have a std of exactly 0.
    offsets = values - values[0]
    std = float(offsets.std(ddof=1)) if len(values) > 1 else math.nan
    return float(values[0] + offsets.mean()), std


def _sign_flips(differences: np.ndarray, rounding: float, seed: int) -> float:
    """Share of flips whose mean is as far from 0; of drawn ones, the given signs are one more."""
    # Differences of accuracies often tie but for rounding, which SciPy's test takes for no tie.
    num_splits = len(differences)
    if exact := num_splits <= _EXACT_SPLITS:
        bits = np.arange(2**num_splits)[:, None] >> np.arange(num_splits) & 1
    else:
        bits = np.random.default_rng(seed).integers(0, 2, (_FLIPS, num_splits))
    means = (1 - 2 * bits) @ differences / num_splits
    as_far = np.abs(means) >= abs(differences.mean()) - rounding
    return float(as_far.mean() if exact else (as_far.sum() + 1) / (_FLIPS + 1))


def _split_scores(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values)
    one_seed = values.ndim == 1 and values.size > 0
    return as_floats(name, values[:, None] if one_seed else values, axes="JS")


def _booleans(name: str, values: ArrayLike) -> np.ndarray:
    values = np.asarray(values)
    if values.dtype != bool:
        raise TypeError(f"{name} must be booleans, got {values.dtype}.")
    if values.ndim != 1 or not values.size:
        raise ValueError(f"{name} must be [N] and not empty, got {[*values.shape]}.")
    return values


def _check_ratio(name: str, ratio: float) -> None:
    check_number(name, ratio)
    if not 0 <= ratio < math.inf:
        raise ValueError(f"{name} must be finite and at least 0, got {ratio}.")
