"""A user's own table: training, validation and test set, prepared from the training rows alone."""

import os
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from jaxcls.data.dataset import Dataset, held_out
from jaxcls.data.preparation import Preparation, apply, learn, surprises
from jaxcls.data.table_columns import Column, listed, quoted
from jaxcls.data.table_files import Table, read_table
from jaxcls.data.table_kinds import Kind, Roles, counters, kinds_of, taken
from jaxcls.data.table_targets import (
    class_targets,
    number_targets,
    same_class_targets,
    standardised,
    target_of,
)

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


def load_table(
    path: str | os.PathLike | Table,
    target: str,
    *,
    regression: bool = False,
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
        path: of the file, or a table that was read.
        target: the column of classes: words, integers, floats or booleans; or of numbers.
        regression: whether the target's numbers are predicted, and are no classes. They are
            standardised by those of the training rows; the datasets' `target` says how.
        test_path: of a file of the same columns; by default a fifth of each class of the first
            file, or of its rows, is the test set.
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
    if not isinstance(path, (str, os.PathLike, Table)):
        raise TypeError(
            f"data.load_table: path must name a .csv or .parquet file, got {type(path).__name__}; "
            "write a frame by .to_parquet(path, index=False)."
        )
    table = path if isinstance(path, Table) else read_table(path)
    roles = Roles(target, categorical, numeric, drop)
    kinds = kinds_of(table, roles)
    columns, notes = taken(table, kinds), counters(table, kinds, numeric)
    least = 1 + (test_path is None) + bool(validation_fraction)
    if regression:
        found = number_targets(table, target, least + 1, notes)
    else:
        found = class_targets(table, target, classes, least, notes)
    rows = found.rows
    fractions = {
        "test": TEST_FRACTION if test_path is None else 0.0,
        "validation": validation_fraction,
    }
    parts = _drawn(found.values, found.labels, fractions, seed)
    values, scaling = found.values, None
    if regression:
        what = f"{table.path}: target {quoted(target)}"
        scaling = target_of(what, target, values[parts["train"]])
        values = standardised(values, scaling)
    if test_path is None:
        share = "a fifth" if regression else "a fifth of each class"
        notes.append(
            f"no --test-dataset is named: {share}, {len(parts['test']):,} of {len(rows):,} rows "
            f"drawn from seed {seed}, is the test set."
        )
    own = {name: column.rows(rows[parts["train"]]) for name, column in columns.items()}
    preparation = _learned(table, own, kinds, roles, notes)
    _check_size(table, preparation)
    features, sets = apply(preparation, columns), {}
    for name, part in parts.items():
        x, y = features[rows[part]], values[part]
        sets[name] = Dataset(x, y, found.labels, found.names, None, scaling)
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
    if train.target is None:
        rows, values, *_ = same_class_targets(
            table, target, train.class_names, takes_all, notes
        )
    else:
        rows, values, *_ = number_targets(table, target, 1, notes)
        values = standardised(values, train.target)
    features, told = _features(table, preparation)
    notes.extend(told)
    return train._replace(features=features[rows], targets=values)
