"""From flags to data: loaded, split for validation, and known again by their digest."""

import hashlib
import os
from typing import NamedTuple

import numpy as np

from jaxcls.batches import Batch
from jaxcls.cli.flags import BinaryFlags, RegressionFlags, TrainFlags
from jaxcls.cli.screen import note
from jaxcls.cli.splits import num_splits, seed_of_splits
from jaxcls.cli.table_data import Origin, check_table_flags, load_tabled, origin_of
from jaxcls.data import (
    Dataset,
    Standardization,
    data_folder,
    load,
    load_mnist_or_digits,
    split,
    to_batch,
)
from jaxcls.data.labels import are_named, whole_numbers
from jaxcls.data.npz import load_npz
from jaxcls.data.table_columns import spaced
from jaxcls.data.table_files import is_table
from jaxcls.data.table_targets import standardised, target_of

DIABETES = "diabetes"  # the dataset of numbers that has a name


class Data(NamedTuple):
    """A dataset's name, its folder if it has one, and its parts; none for validation is None.

    `origin` tells where a table's features come from; None of what is no table. `standardization`
    is learned of arrays, where it is asked for.
    """

    name: str
    folder: str | None
    train: Dataset
    validation: Dataset | None
    test: Dataset
    origin: Origin | None = None
    standardization: Standardization | None = None

    def batches(self) -> dict[str, Batch]:
        """The parts as a network takes them, by name."""
        return {
            name: to_batch(part, self.standardization)
            for name, part in self.parts().items()
        }

    @property
    def by_words(self) -> bool:
        """Whether the file names classes by words, and not by integers."""
        if self.origin is not None:
            return self.origin.by_words
        return is_npz(self.name) and are_named(self.train)

    def parts(self) -> dict[str, Dataset]:
        """Those that there are, by name."""
        parts = {"train": self.train, "validation": self.validation, "test": self.test}
        return {name: part for name, part in parts.items() if part is not None}


def data_of_flags(flags: TrainFlags) -> Data:
    """Loads the dataset and the classes that the flags ask for, and splits for validation.

    Raises:
        ValueError, OSError: one sentence for the user.
    """
    check_there("--dataset", flags.dataset)
    check_there("--test-dataset", flags.test_dataset)
    check_table_flags(flags)
    if isinstance(flags, RegressionFlags):
        _check_numbers(flags)
        return (
            _arrays_of_numbers(flags) if is_npz(flags.dataset or "") else _table(flags)
        )
    if is_table(flags.dataset or ""):
        return _table(flags)
    binary = isinstance(flags, BinaryFlags)
    classes = flags.classes
    if not is_npz(flags.dataset or ""):
        usual = (0, 1) if binary else (0, 1, 2)
        classes = usual if classes is None else whole_numbers(classes)
    if flags.dataset is not None:
        name = flags.dataset
        if is_npz(name):
            name = os.path.abspath(name)  # a run may be resumed from another folder
        train, test = load(
            name, data_dir=flags.data_dir, classes=classes, exact=flags.standardize
        )
    else:
        name, train, test, notice = load_mnist_or_digits(
            data_dir=flags.data_dir, classes=classes
        )
        if notice is not None:
            note(notice)
    _check_two(flags, train)
    train, validation = _with_validation(flags, train)
    standardization = Standardization.of(train.features) if flags.standardize else None
    return Data(
        *(name, data_folder(name, flags.data_dir), train, validation, test),
        standardization=standardization,
    )


def check_there(flag: str, name: str | os.PathLike | None) -> None:
    """Raises ValueError where a flag, or the run that kept it, names a file that is not there.

    >>> check_there("--dataset", "moved.csv")
    Traceback (most recent call last):
    ValueError: moved.csv: there is no such file; name with --dataset where it is now.
    """
    path = os.fspath(name or "")
    if (is_table(path) or is_npz(path)) and not os.path.lexists(path):
        raise ValueError(
            f"{path}: there is no such file; name with {flag} where it is now."
        )


def _fraction(flags: TrainFlags) -> float:
    """Share of the training rows for validation; none where splits hold out rows in turn."""
    return 0.0 if num_splits(flags) is not None else flags.validation_fraction or 0.0


def _with_validation(
    flags: TrainFlags, train: Dataset
) -> tuple[Dataset, Dataset | None]:
    """The training set, and what of it is held out for validation, if anything is."""
    fraction = _fraction(flags)
    return split(train, fraction, seed_of_splits(flags)) if fraction else (train, None)


def _table(flags: TrainFlags) -> Data:
    """The table that the flags ask for, prepared by what its training rows taught."""
    found = load_tabled(flags, _fraction(flags), seed_of_splits(flags))
    _check_two(flags, found.train)
    for each in found.notes:
        note(each)
    name = DIABETES
    if is_table(flags.dataset or ""):
        name = os.path.abspath(flags.dataset or "")
    sets = (found.train, found.validation, found.test)
    return Data(name, None, *sets, origin_of(flags, found))


def _arrays_of_numbers(flags: RegressionFlags) -> Data:
    """Arrays whose `y_train` and `y_test` are predicted, standardised by the training rows."""
    name = os.path.abspath(flags.dataset or "")
    train, test = load_npz(name, exact=flags.standardize, regression=True)
    train, validation = _with_validation(flags, train)
    target = target_of(f"{name}: y_train", "y", train.targets)

    def learned(each: Dataset) -> Dataset:
        return each._replace(targets=standardised(each.targets, target), target=target)

    standardization = Standardization.of(train.features) if flags.standardize else None
    return Data(
        *(name, None, learned(train), validation and learned(validation)),
        *(learned(test), None, standardization),
    )


def _check_numbers(flags: RegressionFlags) -> None:
    """Raises ValueError unless the dataset is one of numbers to predict."""
    name = flags.dataset or DIABETES
    if name != DIABETES and not is_table(name) and not is_npz(name):
        raise ValueError(
            f"--dataset must be {DIABETES} or the path of a .csv, .parquet or .npz file here, got "
            f"{name}; for classes take train_multiclass.py."
        )


def _check_two(flags: TrainFlags, train: Dataset) -> None:
    if isinstance(flags, BinaryFlags) and len(train.labels) != 2:
        raise ValueError(
            f"classes must be two here, got {len(train.labels)}: "
            f"{spaced(train.class_names)}; name two with --classes, or use "
            "train_multiclass.py."
        )


def data_digest(data: Data) -> str:
    """SHA-256 of every example and label, by which a run knows its data again."""
    sha256 = hashlib.sha256()
    for part in data.parts().values():
        for array in (part.features, part.targets):
            sha256.update(f"{array.dtype}{array.shape}".encode())
            sha256.update(np.ascontiguousarray(array).data)
    return sha256.hexdigest()


def is_npz(name: str) -> bool:
    """Whether a dataset's name is that of a file of arrays.

    >>> is_npz("own.NPZ"), is_npz("mnist")
    (True, False)
    """
    return name.lower().endswith(".npz")
