"""The target of a table: classes, or numbers, and the rows that have one."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcls.data.dataset import check_classes, names_called
from jaxcls.data.preparation import mean_and_scale
from jaxcls.data.table_columns import Column, listed, quoted
from jaxcls.data.table_files import Table
from jaxcls.data.table_kinds import LARGEST, rows_shown, spelled
from jaxcls.regression import Target


class Targets(NamedTuple):
    """Targets of a table's rows.

    Attributes:
        rows: [N] places of rows that have one.
        values: [N] int32, places of classes; or float64, numbers.
        labels: of classes; none of numbers.
        names: of classes; none of numbers.
    """

    rows: np.ndarray
    values: np.ndarray
    labels: tuple[int, ...] = ()
    names: tuple[str, ...] = ()


class _Classes(NamedTuple):
    """Classes that a target names, and the place of each row's among them, -1 for none."""

    labels: tuple[int, ...]
    names: tuple[str, ...]
    places: np.ndarray


def class_targets(
    table: Table,
    target: str,
    classes: Sequence[int | str] | None,
    least: int,
    notes: list[str],
) -> Targets:
    """Classes of rows, class by class; those without one are told in `notes`.

    Args:
        table: of the rows.
        target: its column of classes.
        classes: those to keep, in this order; None keeps all.
        least: rows that each class must have.
        notes: sentences for the user, which this adds to.

    Raises:
        ValueError: the column holds no classes, or too few rows of one.
    """
    given = _classes(table, target, notes)
    wanted = _wanted(given, classes, f"{table.path}: target {quoted(target)}")
    rows, values = _rows_of(given, wanted)
    labels = tuple(given.labels[place] for place in wanted)
    names = tuple(given.names[place] for place in wanted)
    _check_sizes(table, target, values, names, least)
    return Targets(rows, values, labels, names)


def same_class_targets(
    table: Table,
    target: str,
    names: Sequence[str],
    takes_all: bool,
    notes: list[str],
) -> Targets:
    """Classes of a test file's rows, as those of the training rows are numbered."""
    given = _classes(table, target, notes)
    unknown = [name for name in given.names if name not in names]
    if unknown and takes_all:
        raise ValueError(
            f"{table.path}: target {quoted(target)} has {listed(unknown)}, which no training row "
            "has; take those rows out, or name with --classes those that both files have."
        )
    lacking = [name for name in names if name not in given.names]
    if lacking:
        raise ValueError(
            f"{table.path}: target {quoted(target)} has no rows of class {listed(lacking)}; add "
            "some, or name with --classes those that both files have."
        )
    return Targets(*_rows_of(given, [given.names.index(name) for name in names]))


def number_targets(table: Table, target: str, least: int, notes: list[str]) -> Targets:
    """Numbers of rows, in their order; rows without one are told in `notes`.

    Args:
        table: of the rows.
        target: its column of numbers.
        least: rows that there must be.
        notes: sentences for the user, which this adds to.

    Raises:
        ValueError: the column holds no numbers, or too few.
    """
    what, column = f"{table.path}: target {quoted(target)}", table.columns[target]
    if column.problem is not None or column.words is not None:
        words = column.words or ()
        got = column.problem or f"words such as {listed(words[:3])}"
        raise ValueError(
            f"{what} must hold numbers to be predicted, got {got}; name another --target, or take "
            "train_multiclass.py for classes."
        )
    _check_infinite(what, column, "numbers")
    _tell_missing(table, target, column, notes)
    rows = np.flatnonzero(~column.is_missing)
    large = np.flatnonzero(np.abs(column.values) > LARGEST)
    if len(large):
        raise ValueError(
            f"{what}: row {large[0] + 1} has {column.values[large[0]]:g}, and numbers up to "
            f"{LARGEST:g} are taken; correct it, or write the column in another unit."
        )
    if len(rows) < least:
        raise ValueError(
            f"{what} must have numbers in {least} rows or more, got {len(rows)}; add rows."
        )
    return Targets(rows, column.values[rows])


def standardised(values: np.ndarray, target: Target) -> np.ndarray:
    """Targets [N] float32 as a network learns them."""
    return ((values - target.mean) / target.scale).astype(np.float32)


def target_of(what: str, name: str, values: np.ndarray) -> Target:
    """How numbers are standardised, of those of the training rows.

    Raises:
        ValueError: they are all alike.

    >>> target_of("own.csv: target 'y'", "y", np.array([1.0, 3.0]))
    Target(name='y', mean=2.0, scale=1.0)
    """
    mean, scale = mean_and_scale(values)
    if scale == 0:
        raise ValueError(
            f"{what} is {values[0]:g} in every training row, and there is nothing to predict; name "
            "another --target."
        )
    return Target(name, mean, scale)


def _classes(table: Table, target: str, notes: list[str]) -> _Classes:
    """The classes of a table's rows; those without one are told."""
    column = table.columns[target]
    what = f"{table.path}: target {quoted(target)}"
    if column.problem is not None:
        raise ValueError(
            f"{what} must hold classes, words or numbers, got {column.problem}; name another "
            "--target."
        )
    _check_infinite(what, column, "classes")
    found = spelled(column)
    words = found.words or ()
    if not words:
        raise ValueError(f"{what} is empty in every row; name another --target.")
    order = list(range(len(words)))  # of numbers they stand in theirs
    labels = [*order]
    if column.words is not None:
        order.sort(key=words.__getitem__)
    else:
        numbers = np.unique(column.values[~np.isnan(column.values)])
        if (numbers == np.round(numbers)).all() and np.abs(numbers).max() < 2.0**53:
            labels = numbers.astype(np.int64).tolist()
    places = np.empty(len(words) + 1, np.int32)
    places[order], places[-1] = np.arange(len(words)), -1
    _tell_missing(table, target, found, notes)
    names = tuple(words[place] for place in order)
    return _Classes(tuple(labels), names, places[found.values])


def _wanted(
    given: _Classes, classes: Sequence[int | str] | None, what: str
) -> list[int]:
    """The places of the classes to keep."""
    names = given.names
    if classes is None:
        if len(names) < 2:
            raise ValueError(
                f"{what} has one class, {quoted(names[0])}, and two or more are wanted; name "
                "another --target, or add rows of another class."
            )
        return list(range(len(names)))
    called = names_called(classes, names)
    if len(names) > 50:  # so that the message stays short
        unknown = [each for each in called if each not in names]
        if unknown:
            raise ValueError(f"{what} has no class {listed(unknown)}; see --classes.")
    check_classes(called, names)
    return [names.index(each) for each in called]


def _rows_of(given: _Classes, wanted: Sequence[int]) -> tuple[np.ndarray, np.ndarray]:
    """Rows class by class, and their targets."""
    by_class = [np.flatnonzero(given.places == place) for place in wanted]
    sizes = [len(rows) for rows in by_class]
    targets = np.repeat(np.arange(len(wanted), dtype=np.int32), sizes)
    return np.concatenate(by_class), targets


def _check_sizes(
    table: Table, target: str, targets: np.ndarray, names: Sequence[str], least: int
) -> None:
    """Raises ValueError where a class has too few rows to be in each set."""
    what = f"{table.path}: target {quoted(target)}"
    if len(targets) < 2 * len(names):
        raise ValueError(
            f"{what} has {len(names):,} classes in {len(targets):,} rows, and each needs two or "
            "more; name another --target, put classes together, or predict numbers as numbers by "
            "train_regression.py."
        )
    sizes = np.bincount(targets, minlength=len(names))
    few = int(sizes.argmin())
    if sizes[few] < least:
        raise ValueError(
            f"{what} has {sizes[few]} row of class {quoted(names[few])}, and {least} are wanted, "
            "one for each set; add rows, leave it out with --classes, or name a --test-dataset."
            if sizes[few] == 1
            else f"{what} has {sizes[few]} rows of class {quoted(names[few])}, and {least} are "
            "wanted, one for each set; add rows, or leave it out with --classes."
        )


def _check_infinite(what: str, column: Column, kind: str) -> None:
    infinite = np.flatnonzero(np.isinf(column.values))
    if len(infinite):
        raise ValueError(
            f"{what} must hold {kind}, and row {infinite[0] + 1} has an infinite number; correct "
            "it, or leave it empty."
        )


def _tell_missing(table: Table, target: str, column: Column, notes: list[str]) -> None:
    without = np.flatnonzero(column.is_missing) + 1
    if len(without):
        notes.append(
            f"{table.path}: without a {quoted(target)} and left out: {rows_shown(without)}."
        )
