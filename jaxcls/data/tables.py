"""A user's own table: training, validation and test set, prepared from the training rows alone."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxcls.data.dataset import Dataset, check_classes, held_out
from jaxcls.data.preparation import Preparation, apply, learn, surprises
from jaxcls.data.table_columns import Column, listed, quoted
from jaxcls.data.table_files import Table, read_table
from jaxcls.data.table_kinds import Kind, Roles, kinds_of, rows_shown, spelled, taken

_LARGEST = 2**33  # bytes of features: 8 GiB
TEST_FRACTION = 0.2  # of each class, where no test file is named


class Tabled(NamedTuple):
    """What `load_table` gives.

    Attributes:
        train: rows to learn from.
        validation: rows to choose by, or None.
        test: rows to be judged by.
        preparation: what made their features.
        columns: of the training rows, before that.
        numbers: of these rows in their file, from 1.
        notes: what the user should know, a sentence each.
    """

    train: Dataset
    validation: Dataset | None
    test: Dataset
    preparation: Preparation
    columns: dict[str, Column]
    numbers: np.ndarray
    notes: tuple[str, ...]


class _Classes(NamedTuple):
    """Classes that a target names, and the place of each row's among them, -1 for none."""

    labels: tuple[int, ...]
    names: tuple[str, ...]
    places: np.ndarray


def load_table(
    path: str | os.PathLike,
    target: str,
    *,
    test_path: str | os.PathLike | None = None,
    classes: Sequence[int | str] | None = None,
    categorical: Sequence[str] = (),
    numeric: Sequence[str] = (),
    drop: Sequence[str] = (),
    validation_fraction: float = 0.0,
    seed: int = 0,
) -> Tabled:
    """Training and test set from a .csv or .parquet file, class by class.

    Args:
        path: of the file.
        target: the column of classes: words, integers, floats or booleans.
        test_path: of a file of the same columns; by default a fifth of each class of the first
            file is the test set.
        classes: those to keep, as the table writes them, in this order; all by default.
        categorical: columns that are categories, whatever they look like.
        numeric: columns that are numbers.
        drop: columns that are not looked at.
        validation_fraction: share of each class of the training rows that is held out.
        seed: of what is held out.

    Raises:
        ValueError: a file is no such table, or what it holds can't be learned; the message says
            what to do.

    >>> import pathlib, tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     path = pathlib.Path(folder, "own.csv")
    ...     lines = ["size,kind,sort"] + [f"{i % 7},{'xy'[i % 2]},{'ab'[i > 9]}" for i in range(20)]
    ...     _ = path.write_text("\\n".join(lines))
    ...     found = load_table(path, "sort")
    >>> found.train.class_names, found.train.features.shape, len(found.test.targets)
    (('a', 'b'), (16, 3), 4)
    """
    table = read_table(path)
    roles = Roles(target, categorical, numeric, drop)
    kinds = kinds_of(table, roles)
    columns, notes = taken(table, kinds), []
    given = _classes(table, target, notes)
    wanted = _wanted(given, classes, f"{table.path}: target {quoted(target)}")
    rows, targets = _rows_of(given, wanted)
    labels = tuple(given.labels[place] for place in wanted)
    names = tuple(given.names[place] for place in wanted)
    least = 1 + (test_path is None) + bool(validation_fraction)
    _check_sizes(table, target, targets, names, least)
    fractions = {
        "test": TEST_FRACTION if test_path is None else 0.0,
        "validation": validation_fraction,
    }
    parts = _drawn(targets, labels, fractions, seed)
    if test_path is None:
        notes.append(
            f"no --test-dataset is named: a fifth of each class, {len(parts['test']):,} of "
            f"{len(rows):,} rows drawn from seed {seed}, is the test set."
        )
    own = {name: column.rows(rows[parts["train"]]) for name, column in columns.items()}
    preparation = _learned(table, own, kinds, roles, notes)
    _check_size(table, preparation)
    features = apply(preparation, columns)
    sets = {
        name: Dataset(features[rows[part]], targets[part], labels, names, None)
        for name, part in parts.items()
    }
    for name, part in parts.items():
        used = {each: column.rows(rows[part]) for each, column in columns.items()}
        where = f"{table.path}, {name} set"
        notes.extend(surprises(preparation, used, rows[part] + 1, where))
    if test_path is not None:
        of_target = {target} if table.columns[target].words is not None else set()
        other = read_table(test_path, preparation.as_words | of_target)
        sets["test"] = _test_set(
            other, preparation, sets["train"], classes is None, notes
        )
    return Tabled(
        *(sets["train"], sets.get("validation"), sets["test"]),
        *(preparation, own, rows[parts["train"]] + 1, tuple(notes)),
    )


def _drawn(
    targets: np.ndarray, labels: Sequence[int], fractions: dict[str, float], seed: int
) -> dict[str, np.ndarray]:
    """The places of each set's rows, in their order; none of a set that takes no share.

    >>> parts = _drawn(np.zeros(10, np.int32), (0,), {"test": 0.2, "validation": 0.5}, 0)
    >>> {name: len(part) for name, part in parts.items()}
    {'train': 4, 'validation': 4, 'test': 2}
    """
    remaining, parts = np.arange(len(targets)), {}
    for name, fraction in fractions.items():
        if fraction:
            is_held = held_out(targets[remaining], labels, fraction, seed)
            parts[name], remaining = remaining[is_held], remaining[~is_held]
    return {"train": remaining, **dict(reversed(parts.items()))}


def prepared(
    path: str | os.PathLike, preparation: Preparation
) -> tuple[np.ndarray, list[str]]:
    """Features [N, D] of a file's rows, and what these have that no training row had.

    Args:
        path: of a file with the columns that were trained on; the target may be missing.
        preparation: as `load_table` gives it.

    Raises:
        ValueError: it is no table, lacks a column, or has a value that none can be.
    """
    return _features(read_table(path, preparation.as_words), preparation)


def _features(table: Table, preparation: Preparation) -> tuple[np.ndarray, list[str]]:
    _check_size(table, preparation)
    columns = taken(table, preparation.kinds)
    numbers = np.arange(1, table.num_rows + 1)
    told = surprises(preparation, columns, numbers, str(table.path))
    try:
        return apply(preparation, columns), told
    except ValueError as error:
        raise ValueError(f"{table.path}: {error}") from None


def _check_size(table: Table, preparation: Preparation) -> None:
    """Raises ValueError before features are made that would take far more than their table."""
    size = 4 * table.num_rows * preparation.num_features
    if size > _LARGEST:
        widths = {each.name: len(each.categories) for each in preparation.categorical}
        most = max(widths, key=lambda name: widths[name], default=None)
        such = (
            ""
            if most is None
            else f", such as {quoted(most)} of {widths[most]:,} categories"
        )
        raise ValueError(
            f"{table.path}: {table.num_rows:,} rows of {preparation.num_features:,} features take "
            f"{size / 1e9:.1f} GB, and at most {_LARGEST / 1e9:.1f} are taken; --drop columns{such}."
        )


def _learned(
    table: Table,
    own: Mapping[str, Column],
    kinds: Mapping[str, Kind],
    roles: Roles,
    notes: list[str],
) -> Preparation:
    """What the columns of the training rows teach."""
    as_words = {name for name in kinds if table.columns[name].words is not None}
    preparation, left_out = learn(own, kinds, roles.target, as_words)
    if left_out:
        notes.append(
            f"{table.path}: left out, since all training rows are alike in it: "
            f"{listed(left_out)}."
        )
    if preparation.num_features == 0:
        raise ValueError(
            f"{table.path}: all training rows are alike, in each column but the target "
            f"{quoted(roles.target)}; nothing can be learned from them, add columns that tell "
            "the classes apart."
        )
    return preparation


def _classes(table: Table, target: str, notes: list[str]) -> _Classes:
    """The classes of a table's rows; those without one are told."""
    column = table.columns[target]
    what = f"{table.path}: target {quoted(target)}"
    if column.problem is not None:
        raise ValueError(
            f"{what} must hold classes, words or numbers, got {column.problem}; name another "
            "--target."
        )
    infinite = np.flatnonzero(np.isinf(column.values))
    if len(infinite):
        raise ValueError(
            f"{what} must hold classes, and row {infinite[0] + 1} has an infinite number; correct "
            "it, or leave it empty."
        )
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
    without = np.flatnonzero(found.is_missing) + 1
    if len(without):
        notes.append(
            f"{table.path}: without a {quoted(target)} and left out: {rows_shown(without)}."
        )
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
    called = [str(each) for each in classes]
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
            "more; name another --target, or put classes together."
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


def _test_set(
    table: Table,
    preparation: Preparation,
    train: Dataset,
    takes_all: bool,
    notes: list[str],
) -> Dataset:
    """The rows of a test file, class by class."""
    target = preparation.target
    if target not in table.columns:
        raise ValueError(
            f"{table.path}: has no column {quoted(target)}, the target; it has "
            f"{listed([*table.columns])}."
        )
    given = _classes(table, target, notes)
    unknown = [name for name in given.names if name not in train.class_names]
    if unknown and takes_all:
        raise ValueError(
            f"{table.path}: target {quoted(target)} has {listed(unknown)}, which no training row "
            "has; take those rows out, or name with --classes those that both files have."
        )
    lacking = [name for name in train.class_names if name not in given.names]
    if lacking:
        raise ValueError(
            f"{table.path}: target {quoted(target)} has no rows of class {listed(lacking)}; add "
            "some, or name with --classes those that both files have."
        )
    wanted = [given.names.index(name) for name in train.class_names]
    rows, targets = _rows_of(given, wanted)
    features, told = _features(table, preparation)
    notes.extend(told)
    return train._replace(features=features[rows], targets=targets)
