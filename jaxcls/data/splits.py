"""Rows to train on and rows to be judged by, many times over.

`folds` and `resplits` are drawn by scikit-learn, `bootstrap` by NumPy. The same seed gives the same
splits as long as the version of that library stays the same. Integer targets are classes, and each
part gets its share of each. Float targets are no classes, and rows are drawn whatever they are.
Rows ascend within each part, so that examples keep their order.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from numbers import Integral, Real
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from jaxcls.checks import check_finite
from jaxcls.config import check_seed

Pair = tuple[np.ndarray, np.ndarray]  # rows trained on, rows judged by
Places = np.ndarray | None  # the number of each row's group, 0..G-1, or no groups


class Splits(NamedTuple):
    """J ways to split the rows 0..N-1 of one set.

    Attributes:
        train: J int32 arrays, rows trained on.
        test: J int32 arrays, rows judged by.
    """

    train: tuple[np.ndarray, ...]
    test: tuple[np.ndarray, ...]

    @property
    def ratio(self) -> float:
        """Rows judged by for each row trained on, a mean over the splits (Nadeau and Bengio).

        >>> Splits(train=(np.arange(8),), test=(np.arange(8, 10),)).ratio
        0.25
        """
        pairs = zip(self.train, self.test, strict=True)
        return float(np.mean([len(test) / len(train) for train, test in pairs]))


def folds(
    targets: ArrayLike,
    count: int,
    seed: int,
    *,
    repeats: int = 1,
    groups: ArrayLike | None = None,
) -> Splits:
    """Cuts the rows into `count` folds, each of which is held out once per repeat.

    Without groups the folds differ by one row at most, and by one example of each class at most.
    Groups are kept whole: folds are then as alike as scikit-learn finds them, or for float targets
    alike in the number of groups, and may lack a class to be judged by, but not to train on.

    Args:
        targets: [N] integers, which are classes, or floats, which are not.
        count: folds, two or more.
        seed: in 0..2**32-1. The first repeat is scikit-learn's own with this random_state. Later
            ones take seeds made of this one and their number, so that more repeats leave the
            earlier ones as they were.
        repeats: how many times the rows are shuffled and cut anew.
        groups: [N] integers or strings, such as subjects; rows of one group stay together.

    Returns:
        `count` * `repeats` splits, fold by fold within a repeat.

    Raises:
        ValueError: rows, groups or examples are too few, or a fold takes all those of a class.

    >>> folds(np.array([0, 1, 0, 1]), 2, seed=0).test
    (array([1, 2], dtype=int32), array([0, 3], dtype=int32))
    """
    caller = "data.folds"
    _check_count(caller, "count", count, 2)
    _check_count(caller, "repeats", repeats, 1)
    check_seed(caller, seed)
    classes = _classes(caller, targets)
    places = _group_places(caller, groups, len(classes))
    units = _num_units(classes, places)
    _check_count(caller, f"rows or groups for {count} folds", units, count)
    _check_smallest(caller, classes, count, "fold")
    later = (np.random.SeedSequence((seed, each)) for each in range(1, repeats))
    seeds = [seed, *(each.generate_state(1)[0] for each in later)]
    pairs = (pair for each in seeds for pair in _cut(classes, places, count, each))
    splits = _splits(caller, pairs)
    _check_classes(caller, "train on", splits.train, classes)
    return splits


def resplits(
    targets: ArrayLike,
    count: int,
    fraction: float,
    seed: int,
    *,
    groups: ArrayLike | None = None,
) -> Splits:
    """Holds out a share of the rows, drawn anew `count` times.

    Without groups both parts have their share of every class. With groups nothing is stratified,
    and a split may lack a class to be judged by, but not to train on.

    Args:
        targets: [N] integers, which are classes, or floats, which are not.
        count: splits, one or more. More of them leave the earlier ones as they were.
        fraction: share of the rows held out, in (0, 1), rounded up to whole rows. With groups it
            is the share of the groups, however many rows they have.
        seed: in 0..2**32-1, scikit-learn's random_state.
        groups: [N] integers or strings, such as subjects; rows of one group stay together.

    Raises:
        ValueError: a part would be empty or lack a class.

    >>> [len(rows) for rows in resplits(np.arange(10) % 2, 3, 0.4, seed=0).test]
    [4, 4, 4]
    """
    caller = "data.resplits"
    _check_count(caller, "count", count, 1)
    check_seed(caller, seed)
    classes = _classes(caller, targets)
    places = _group_places(caller, groups, len(classes))
    least = len(np.unique(classes)) if places is None else 1
    _check_fraction(caller, fraction, _num_units(classes, places), least)
    if places is None:
        _check_smallest(caller, classes, 2, "part")
    splits = _splits(caller, _draw_anew(classes, places, count, fraction, seed))
    _check_classes(caller, "train on", splits.train, classes)
    if places is None:
        _check_classes(caller, "be judged by", splits.test, classes)
    return splits


def bootstrap(targets: ArrayLike, count: int, seed: int) -> Splits:
    """Draws as many rows as there are, with replacement, and judges by those not drawn.

    Each class is drawn for itself, as often as it has examples, so that none lacks to train on.
    About 0.368 of the rows are not drawn, which may lack a class of few examples. If a split has
    none of them, a ValueError says so.

    Args:
        targets: [N] integers, which are classes, or floats, which are not.
        count: splits, one or more. More of them leave the earlier ones as they were.
        seed: in 0..2**32-1.

    >>> once = bootstrap(np.zeros(5, np.int32), 1, seed=0)
    >>> once.train[0].tolist(), once.test[0].tolist()
    ([1, 1, 2, 3, 4], [0])
    """
    caller = "data.bootstrap"
    _check_count(caller, "count", count, 1)
    check_seed(caller, seed)
    classes = _classes(caller, targets)
    sizes = np.unique(classes, return_counts=True)[1]
    by_class = np.split(np.argsort(classes, kind="stable"), np.cumsum(sizes)[:-1])
    generators = (np.random.default_rng((seed, each)) for each in range(count))
    return _splits(caller, (_bag(by_class, each) for each in generators))


def check_splits(
    splits: Splits | Iterable[tuple[ArrayLike, ArrayLike]], num_rows: int
) -> Splits:
    """Takes a user's own lists of rows, once they are sound.

    Rows keep their order, and one may come several times in the same part.

    Args:
        splits: a `Splits`, or pairs of rows to train on and rows to be judged by, as `split` of
            scikit-learn gives them.
        num_rows: N, the rows of the set.

    Raises:
        ValueError: a part is empty, or has a row that is not in 0..N-1 or is in the other part.
        TypeError: the splits are not pairs, or the rows not integers.

    >>> check_splits([([0, 1], [2]), ([1, 2], [0])], num_rows=3).test
    (array([2], dtype=int32), array([0], dtype=int32))
    """
    caller = "data.check_splits"
    try:
        given = zip(*splits, strict=True) if isinstance(splits, Splits) else splits
        pairs = [(train, test) for train, test in given]
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"{caller}: splits must be pairs, rows to train on and rows to be judged by ({error})."
        ) from error
    _check_count(caller, "the number of splits", len(pairs), 1)
    checked = [
        _checked(f"{caller}: split {place}", *pair, num_rows)
        for place, pair in enumerate(pairs)
    ]
    return Splits(*zip(*checked, strict=True))


def _cut(classes: np.ndarray, places: Places, count: int, seed: int) -> Iterator[Pair]:
    from sklearn.model_selection import KFold, StratifiedGroupKFold, StratifiedKFold

    if classes.dtype.kind != "f":
        splitter = StratifiedKFold if places is None else StratifiedGroupKFold
        folder = splitter(count, shuffle=True, random_state=seed)
        yield from folder.split(classes, classes, places)
        return
    units = np.arange(_num_units(classes, places))
    # With groups these are the folds of GroupKFold(shuffle=True), which needs scikit-learn 1.6.
    for _, tested in KFold(count, shuffle=True, random_state=seed).split(units):
        is_tested = np.isin(units if places is None else places, tested)
        yield np.flatnonzero(~is_tested), np.flatnonzero(is_tested)


def _draw_anew(
    classes: np.ndarray, places: Places, count: int, fraction: float, seed: int
) -> Iterator[Pair]:
    from sklearn import model_selection as ways

    splitter = ways.StratifiedShuffleSplit
    if classes.dtype.kind == "f":
        splitter = ways.ShuffleSplit
    if places is not None:
        splitter = ways.GroupShuffleSplit
    drawn = splitter(count, test_size=float(fraction), random_state=seed)
    return drawn.split(classes, classes, places)


def _bag(by_class: Sequence[np.ndarray], rng: np.random.Generator) -> Pair:
    drawn = [rows[rng.integers(len(rows), size=len(rows))] for rows in by_class]
    bag = np.concatenate(drawn)
    return bag, np.setdiff1d(np.concatenate(by_class), bag)


def _splits(caller: str, pairs: Iterable[Pair]) -> Splits:
    kept = [[np.sort(rows).astype(np.int32) for rows in pair] for pair in pairs]
    train, test = zip(*kept, strict=True)
    for place, rows in enumerate(test):
        if not len(rows):  # all are in a bag, or scikit-learn gave a fold no group
            raise ValueError(
                f"{caller}: split {place} must have rows to be judged by, got none; take another "
                "seed or fewer splits."
            )
    return Splits(train, test)


def _num_units(classes: np.ndarray, places: Places) -> int:
    return len(classes) if places is None else int(places.max()) + 1


def _column(what: str, values: object) -> np.ndarray:
    column = np.asarray(values)
    if column.ndim != 1 or not len(column):
        raise ValueError(f"{what} must be [M], M at least 1, got {list(column.shape)}.")
    return column


def _classes(caller: str, targets: ArrayLike) -> np.ndarray:
    """Integer targets as they are, and a float 0 for each float target, as one class for all."""
    column = _column(f"{caller}: targets", targets)
    if column.dtype.kind == "f":
        check_finite(f"{caller}: targets", column, column.dtype)
        return np.zeros(len(column))
    if column.dtype.kind not in "biu":
        raise TypeError(
            f"{caller}: targets must be integers, which are classes, or floats, got "
            f"{column.dtype}; number the classes from 0 on."
        )
    return column


def _group_places(caller: str, groups: ArrayLike | None, num_rows: int) -> Places:
    if groups is None:
        return None
    names = _column(f"{caller}: groups", groups)
    if len(names) != num_rows:
        raise ValueError(f"{caller}: groups must be [{num_rows}], got [{len(names)}].")
    kinds = (str, Integral)
    if not any(all(isinstance(each, kind) for each in names) for kind in kinds):
        raise TypeError(
            f"{caller}: groups must be all integers or all strings, got {names.dtype}; number "
            "the groups from 0 on, and give a row without a group one of its own."
        )
    return np.unique(names, return_inverse=True)[1]


def _check_count(caller: str, name: str, number: int, least: int) -> None:
    if not isinstance(number, Integral) or isinstance(number, bool):
        raise TypeError(f"{caller}: {name} must be an integer, got {number!r}.")
    if number < least:
        raise ValueError(f"{caller}: {name} must be {least} or more, got {number}.")


def _check_smallest(caller: str, classes: np.ndarray, least: int, part: str) -> None:
    labels, sizes = np.unique(classes, return_counts=True)
    if sizes.min() < least:
        raise ValueError(
            f"{caller}: class {labels[sizes.argmin()]} must have {least} examples or more, one for "
            f"each {part}, got {sizes.min()}; leave it out, or give floats if these are no classes."
        )


def _check_fraction(caller: str, fraction: float, units: int, least: int) -> None:
    if not isinstance(fraction, Real):
        raise TypeError(f"{caller}: fraction must be a number, got {fraction!r}.")
    if not 0 < fraction < 1:
        raise ValueError(f"{caller}: fraction must lie in (0, 1), got {fraction}.")
    held_out = math.ceil(float(fraction) * units)
    if min(held_out, units - held_out) < least:
        raise ValueError(
            f"{caller}: fraction must leave {least} or more in each part, so that none is empty or "
            f"lacks a class, and {fraction} of {units} leaves {units - held_out} to train on and "
            f"{held_out} to be judged by; take another."
        )


def _check_classes(
    caller: str, use: str, parts: Sequence[np.ndarray], classes: np.ndarray
) -> None:
    labels, places = np.unique(classes, return_inverse=True)
    for place, rows in enumerate(parts):
        sizes = np.bincount(places[rows], minlength=len(labels))
        if not sizes.all():
            raise ValueError(
                f"{caller}: split {place} must have every class to {use}, and has none of class "
                f"{labels[sizes.argmin()]}; take another seed or other sizes, or leave it out."
            )


def _checked(what: str, train: ArrayLike, test: ArrayLike, num_rows: int) -> Pair:
    rows = _rows(f"{what}: train", train, num_rows)
    judges = _rows(f"{what}: test", test, num_rows)
    both = np.intersect1d(rows, judges)
    if len(both):
        raise ValueError(
            f"{what} has a leak: train and test must have no row in common, and share {len(both)}, "
            f"such as {both[0]}; take them out of one."
        )
    return rows, judges


def _rows(what: str, rows: ArrayLike, num_rows: int) -> np.ndarray:
    column = _column(what, rows)
    if column.dtype.kind not in "iu":
        raise TypeError(
            f"{what} must be integers, got {column.dtype}; np.flatnonzero makes them of a mask."
        )
    wrong = column[(column < 0) | (column >= num_rows)]
    if len(wrong):
        raise ValueError(f"{what} must lie in 0..{num_rows - 1}, got {wrong[0]}.")
    return column.astype(np.int32)
