"""From a table's flags to data: what `--target` and the flags beside it name."""

import os
from typing import NamedTuple

import numpy as np

from jaxcls.cli.flags import RegressionFlags, TrainFlags
from jaxcls.data import Dataset
from jaxcls.data.diabetes import TARGET, diabetes_table
from jaxcls.data.preparation import Preparation
from jaxcls.data.table_columns import Column, listed
from jaxcls.data.table_files import is_table, read_table
from jaxcls.data.tables import Tabled, load_table

_OF_TABLES = ("target", "test_dataset", "categorical", "numeric", "drop")


class Origin(NamedTuple):
    """Where a table's features come from.

    Attributes:
        preparation: what made them, learned of the training rows.
        columns: of the training rows, before that.
        numbers: of these rows in their file, from 1.
        test_file: the whole path of the test set's file, or None where it is a part of the other.
        by_words: whether the file names classes by words, and not by integers.
    """

    preparation: Preparation
    columns: dict[str, Column]
    numbers: np.ndarray
    test_file: str | None
    by_words: bool


def check_table_flags(flags: TrainFlags) -> None:
    """Raises ValueError for flags of tables where there is none, and for a table without target."""
    name = flags.dataset or ""
    is_diabetes = isinstance(flags, RegressionFlags) and not name.endswith(".npz")
    if flags.standardize and (is_table(name) or is_diabetes):
        raise ValueError(
            "--standardize is for arrays: the numbers of a table are always standardised; leave it "
            "out."
        )
    if is_table(name):
        what = "numbers to predict"
        if not isinstance(flags, RegressionFlags):
            what = "classes"
        if flags.data_dir is not None:
            raise ValueError(
                f"--data-dir has the four files of MNIST's family, and {name} is a table; leave "
                "it out."
            )
        if flags.target is None:
            raise ValueError(
                f"{name}: name the column of {what} with --target; it has "
                f"{listed([*read_table(name).columns])}."
            )
        return
    for each in _OF_TABLES:
        if getattr(flags, each):
            raise ValueError(
                f"--{each.replace('_', '-')} is for tables; name a .csv or .parquet file as "
                f"--dataset, got {name or 'none'}."
            )


def load_tabled(flags: TrainFlags, validation_fraction: float, seed: int) -> Tabled:
    """The sets of the table that the flags name.

    Raises:
        ValueError: one sentence for the user.
    """
    regression = isinstance(flags, RegressionFlags)
    table, target = os.path.abspath(flags.dataset or ""), flags.target or ""
    if regression and not is_table(flags.dataset or ""):
        table, target = diabetes_table(), TARGET
    return load_table(
        table,
        target,
        regression=regression,
        test_path=flags.test_dataset,
        classes=flags.classes,
        categorical=flags.categorical,
        numeric=flags.numeric,
        drop=flags.drop,
        validation_fraction=validation_fraction,
        seed=seed,
    )


def origin_of(flags: TrainFlags, found: Tabled) -> Origin:
    """Where the features of a table that was loaded come from."""
    test_file = None
    if flags.test_dataset is not None:
        test_file = os.path.abspath(flags.test_dataset)
    by_words = found.train.class_names != tuple(map(str, found.train.labels))
    return Origin(found.preparation, found.columns, found.numbers, test_file, by_words)


def classes_kept(data: Dataset, *, by_words: bool) -> tuple[int | str, ...]:
    """The classes as `--classes` would name them."""
    return data.class_names if by_words else data.labels
