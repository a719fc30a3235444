"""data.splits: laws of the splits, scikit-learn's own as an oracle, and what is refused."""

import inspect

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import model_selection as ways

from jaxcls.data.splits import Splits, bootstrap, check_splits, folds, resplits

SIZES = (13, 37, 50)
CLASSES = np.random.default_rng(0).permutation(np.repeat([2, 5, 9], SIZES))
FLOATS = np.linspace(-1, 1, 100)
GROUPS = np.random.default_rng(1).integers(20, size=100)
# Each class alone in its groups: scikit-learn 1.5 to 1.9 leaves one of eight folds empty.
APART = np.repeat([0, 1, 1, 0, 1, 1, 0, 1], [17, 4, 11, 17, 6, 17, 35, 10])
APART_GROUPS = np.repeat(np.arange(8), [17, 4, 11, 17, 6, 17, 35, 10])

both_kinds = pytest.mark.parametrize("targets", [CLASSES, FLOATS], ids=["int", "float"])


def assert_partition(splits, num_rows):
    """Both parts of each split are ascending int32, disjoint, and together all rows."""
    assert len(splits.train) == len(splits.test) > 0
    for train, test in zip(*splits, strict=True):
        assert train.dtype == test.dtype == np.int32
        assert (np.diff(train) > 0).all() and (np.diff(test) > 0).all()
        both = np.sort(np.concatenate([train, test]))
        np.testing.assert_array_equal(both, np.arange(num_rows))


def assert_same(got, want):
    for part, other in zip(got, want, strict=True):
        assert len(part) == len(other)
        for rows, others in zip(part, other, strict=True):
            np.testing.assert_array_equal(rows, others)


def first(splits, count):
    return Splits(splits.train[:count], splits.test[:count])


def from_sklearn(splitter, *arguments):
    pairs = [map(np.sort, pair) for pair in splitter.split(*arguments)]
    return Splits(*zip(*pairs, strict=True))


@given(
    sizes=st.lists(st.integers(7, 30), min_size=1, max_size=5),
    count=st.integers(2, 7),
    repeats=st.integers(1, 3),
    seed=st.integers(0, 2**32 - 1),
    as_floats=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_each_row_is_tested_once_per_repeat(sizes, count, repeats, seed, as_floats):
    targets = np.random.default_rng(seed).permutation(
        np.repeat(np.arange(len(sizes)), sizes)
    )
    splits = folds(
        targets * 1.0 if as_floats else targets, count, seed, repeats=repeats
    )
    assert len(splits.train) == count * repeats
    assert_partition(splits, len(targets))
    for repeat in range(repeats):
        tested = splits.test[repeat * count : (repeat + 1) * count]
        np.testing.assert_array_equal(
            np.sort(np.concatenate(tested)), np.arange(len(targets))
        )
        assert np.ptp([len(rows) for rows in tested]) <= 1
        if not as_floats:
            sizes_of = [
                np.bincount(targets[rows], minlength=len(sizes)) for rows in tested
            ]
            assert np.ptp(sizes_of, axis=0).max() <= 1


@given(
    sizes=st.lists(st.integers(12, 40), min_size=1, max_size=4),
    fraction=st.floats(0.2, 0.8),
    seed=st.integers(0, 2**32 - 1),
    as_floats=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_resplits_hold_out_the_share_of_each_class(sizes, fraction, seed, as_floats):
    targets = np.repeat(np.arange(len(sizes)), sizes)
    splits = resplits(targets * 1.0 if as_floats else targets, 3, fraction, seed)
    assert len(splits.test) == 3
    assert_partition(splits, len(targets))
    for rows in splits.test:
        assert len(rows) == np.ceil(fraction * len(targets))
        if not as_floats:
            found = np.bincount(targets[rows], minlength=len(sizes))
            # Rounded up to whole rows, which may be a row more than the share itself.
            assert (abs(found - len(rows) / len(targets) * np.array(sizes)) <= 1).all()


@both_kinds
@pytest.mark.parametrize("names", [int, str, object])
def test_groups_are_never_on_both_sides(targets, names):
    groups = (
        np.array([f"subject {each}" for each in GROUPS]) if names is str else GROUPS
    )
    groups = groups.astype(object) if names is object else groups
    cut = folds(targets, 4, 3, repeats=2, groups=groups)
    drawn = resplits(targets, 5, 0.25, 3, groups=groups)
    assert (len(cut.test), len(drawn.test)) == (8, 5)
    for splits in (cut, drawn):
        assert_partition(splits, 100)
        for train, test in zip(*splits, strict=True):
            assert not set(GROUPS[train]) & set(GROUPS[test])
    for rows in drawn.test:
        assert len(set(GROUPS[rows])) == 5
    for repeat in (0, 4):
        tested = np.concatenate(cut.test[repeat : repeat + 4])
        np.testing.assert_array_equal(np.sort(tested), np.arange(100))


def test_one_repeat_is_scikit_learns_own():
    how = {"shuffle": True, "random_state": 7}
    for got, splitter, arguments in (
        (folds(FLOATS, 6, 7), ways.KFold(6, **how), (FLOATS,)),
        (folds(CLASSES, 6, 7), ways.StratifiedKFold(6, **how), (CLASSES, CLASSES)),
        (
            folds(CLASSES, 4, 7, groups=GROUPS),
            ways.StratifiedGroupKFold(4, **how),
            (CLASSES, CLASSES, GROUPS),
        ),
    ):
        assert_same(got, from_sklearn(splitter, *arguments))
    how = {"n_splits": 4, "test_size": 0.3, "random_state": 7}
    for got, splitter in (
        (resplits(FLOATS, 4, 0.3, 7), ways.ShuffleSplit),
        (resplits(CLASSES, 4, 0.3, 7), ways.StratifiedShuffleSplit),
        (resplits(CLASSES, 4, 0.3, 7, groups=GROUPS), ways.GroupShuffleSplit),
    ):
        groups = GROUPS if splitter is ways.GroupShuffleSplit else None
        want = from_sklearn(splitter(**how), CLASSES, CLASSES, groups)
        assert_same(got, want)


@pytest.mark.skipif(
    "shuffle" not in inspect.signature(ways.GroupKFold).parameters,
    reason="scikit-learn below 1.6 does not shuffle groups",
)
def test_float_targets_with_groups_are_cut_as_scikit_learn_does():
    splitter = ways.GroupKFold(6, shuffle=True, random_state=7)
    want = from_sklearn(splitter, FLOATS, FLOATS, GROUPS)
    assert_same(folds(FLOATS, 6, 7, groups=GROUPS), want)


@both_kinds
@pytest.mark.parametrize("groups", [None, GROUPS], ids=["alone", "grouped"])
def test_more_repeats_and_splits_leave_the_earlier_ones(targets, groups):
    some = folds(targets, 4, 5, repeats=2, groups=groups)
    more = folds(targets, 4, 5, repeats=4, groups=groups)
    assert_same(some, first(more, 8))
    assert_same(folds(targets, 4, 5, groups=groups), first(some, 4))
    assert not np.array_equal(some.test[0], some.test[4])
    few, many = (resplits(targets, each, 0.2, 5, groups=groups) for each in (3, 9))
    assert_same(few, first(many, 3))
    assert_same(bootstrap(targets, 3, 5), first(bootstrap(targets, 9, 5), 3))


@pytest.mark.parametrize(
    "draw",
    [
        lambda seed: folds(CLASSES, 5, seed, repeats=2),
        lambda seed: resplits(CLASSES, 5, 0.2, seed),
        lambda seed: bootstrap(CLASSES, 5, seed),
    ],
    ids=["folds", "resplits", "bootstrap"],
)
def test_a_seed_decides_the_splits(draw):
    assert_same(draw(0), draw(0))
    assert_same(draw(np.int64(2**32 - 1)), draw(2**32 - 1))
    seeds = [draw(seed).test[0].tolist() for seed in range(4)]
    assert len({tuple(rows) for rows in seeds}) == 4


@both_kinds
def test_a_bootstrap_draws_each_class_as_often_as_it_has_examples(targets):
    splits = bootstrap(targets, 200, 0)
    for train, test in zip(*splits, strict=True):
        assert train.dtype == test.dtype == np.int32
        assert len(train) == 100 and (np.diff(train) >= 0).all()
        np.testing.assert_array_equal(test, np.setdiff1d(np.arange(100), train))
        if targets is CLASSES:
            found = np.unique(CLASSES[train], return_counts=True)[1]
            assert tuple(found) == SIZES
    share = np.mean([len(rows) for rows in splits.test]) / 100
    # (1 - 1/n)**n is below 1/e in a class of n; the spread of one split is about 0.03.
    assert share == pytest.approx(0.366, abs=0.01)
    assert bootstrap([0, 0, 0, 1], 1, 3).train[0][-1] == 3


def test_ratio_is_the_mean_of_the_splits():
    rows = np.arange(12)
    splits = Splits((rows[:8], rows[:6]), (rows[8:], rows[6:]))
    assert splits.ratio == pytest.approx((4 / 8 + 6 / 6) / 2)
    assert folds(FLOATS, 5, 0, repeats=2).ratio == pytest.approx(0.25)
    assert isinstance(splits.ratio, float)


def test_own_rows_are_taken_as_they_are():
    splits = check_splits([([5, 0, 0], np.array([2], np.uint8))], 6)
    assert splits.train[0].tolist() == [5, 0, 0] and splits.test[0].tolist() == [2]
    assert splits.train[0].dtype == splits.test[0].dtype == np.int32
    want = folds(CLASSES, 5, 0)
    assert_same(check_splits(want, 100), want)
    splitter = ways.StratifiedKFold(5, shuffle=True, random_state=0)
    assert_same(check_splits(splitter.split(CLASSES, CLASSES), 100), want)


@pytest.mark.parametrize(
    "splits, error, message",
    [
        (
            [([0], [1]), ([], [1])],
            ValueError,
            r"split 1: train must be \[M\].*got \[0\]",
        ),
        ([([0], [[1]])], ValueError, r"split 0: test must be \[M\].*got \[1, 1\]"),
        ([([0], [4])], ValueError, r"split 0: test must lie in 0\.\.3, got 4"),
        ([([-1], [1])], ValueError, r"split 0: train must lie in 0\.\.3, got -1"),
        ([([0, 1, 2], [3, 2, 1])], ValueError, "a leak: .* share 2, such as 1"),
        (
            [([0.0], [1])],
            TypeError,
            "train must be integers, got float64; np.flatnonzero",
        ),
        (
            [([True], [1])],
            TypeError,
            "train must be integers, got bool; np.flatnonzero",
        ),
        ([], ValueError, "the number of splits must be 1 or more, got 0"),
        ([(1, 2, 3)], TypeError, "splits must be pairs"),
        (5, TypeError, "splits must be pairs"),
        (Splits((np.array([0]),), ()), TypeError, "splits must be pairs"),
    ],
)
def test_unsound_rows_are_named(splits, error, message):
    with pytest.raises(error, match=rf"data\.check_splits: .*{message}"):
        check_splits(splits, 4)


FEW = np.repeat([3, 8], [3, 97])


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: folds(CLASSES, 1, 0), "folds: count must be 2 or more, got 1."),
        (lambda: folds(CLASSES, 2, 0, repeats=0), "repeats must be 1 or more, got 0."),
        (lambda: folds(CLASSES, 2, -1), "folds: seed must lie in 0..2**32-1, got -1."),
        (
            lambda: folds(FEW, 5, 0),
            "class 3 must have 5 examples or more, one for each fold, got 3; leave it",
        ),
        (
            lambda: folds(FEW, 5, 0, groups=GROUPS),
            "class 3 must have 5 examples or more",
        ),
        (
            lambda: folds(FLOATS[:3], 4, 0),
            "groups for 4 folds must be 4 or more, got 3",
        ),
        (
            lambda: folds(CLASSES, 4, 0, groups=np.arange(100) % 3),
            "folds: rows or groups for 4 folds must be 4 or more, got 3.",
        ),
        (lambda: folds(CLASSES, 4, 0, groups=[1]), "groups must be [100], got [1]."),
        (
            lambda: folds(CLASSES, 2, 0, groups=CLASSES),
            "must have every class to train on, and has none of class",
        ),
        (
            lambda: folds(APART, 8, 0, groups=APART_GROUPS),
            "must have rows to be judged by, got none; take another seed or fewer splits",
        ),
        (lambda: folds(CLASSES[:, None], 2, 0), "M at least 1, got [100, 1]."),
        (lambda: folds([], 2, 0), "targets must be [M], M at least 1, got [0]."),
        (
            lambda: folds([0.0, np.nan], 2, 0),
            "folds: targets must be finite in float64, got nan in row 1",
        ),
        (lambda: resplits(CLASSES, 0, 0.2, 0), "count must be 1 or more, got 0."),
        (lambda: resplits(CLASSES, 1, 0.2, -1), "resplits: seed must lie in"),
        (lambda: resplits(CLASSES, 1, 1, 0), "fraction must lie in (0, 1), got 1."),
        (lambda: resplits(CLASSES, 1, np.nan, 0), "must lie in (0, 1), got nan."),
        (
            lambda: resplits(CLASSES, 1, 0.02, 0),
            "must leave 3 or more in each part, so that none is empty or lacks a class, and 0.02 "
            "of 100 leaves 98 to train on and 2 to be judged by; take another.",
        ),
        (lambda: resplits(FLOATS, 1, 0.999, 0), "0.999 of 100 leaves 0 to train on"),
        (lambda: resplits(FLOATS, 1, 0.9, 0, groups=CLASSES), "0.9 of 3 leaves 0 to"),
        (
            lambda: resplits(np.repeat([4, 7], [1, 9]), 1, 0.5, 0),
            "class 4 must have 2 examples or more, one for each part, got 1; leave it",
        ),
        (
            lambda: resplits(FEW, 1, 0.05, 0),
            "split 0 must have every class to be judged by, and has none of class 3; take",
        ),
        (
            lambda: resplits(CLASSES, 1, 0.5, 0, groups=CLASSES),
            "split 0 must have every class to train on, and has none of class",
        ),
        (lambda: bootstrap(CLASSES, 0, 0), "bootstrap: count must be 1 or more, got 0"),
        (lambda: bootstrap(CLASSES, 1, -1), "bootstrap: seed must lie in"),
        (lambda: bootstrap([0, 1], 1, 0), "split 0 must have rows to be judged by"),
    ],
)
def test_what_cannot_be_split_is_named(draw, message):
    with pytest.raises(ValueError, match=r"^data\.[a-z]+: .*\.$") as caught:
        draw()
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "draw, message",
    [
        (lambda: folds(CLASSES, 2.0, 0), "folds: count must be an integer, got 2.0."),
        (lambda: folds(CLASSES, 2, 0, repeats="2"), "repeats must be an integer"),
        (lambda: folds(CLASSES, 2, 0.5), "folds: seed must be an integer, got 0.5."),
        (
            lambda: folds(["a", "b"], 2, 0),
            "targets must be integers, .* got <U1; number",
        ),
        (
            lambda: folds(CLASSES, 2, 0, groups=FLOATS),
            "groups must be all integers or all strings, got float64; number",
        ),
        (
            lambda: folds([0, 1], 2, 0, groups=np.array(["a", np.nan], object)),
            "groups must be all integers or all strings, got object",
        ),
        (
            lambda: resplits(CLASSES, 1, "0.2", 0),
            "fraction must be a number, got '0.2'",
        ),
    ],
)
def test_arguments_of_the_wrong_kind_are_named(draw, message):
    with pytest.raises(TypeError, match=rf"data\.[a-z]+: .*{message}|data\.{message}"):
        draw()
