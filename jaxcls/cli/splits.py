"""Folds and resplits on the command line: which rows each run has."""

import hashlib
import math
from typing import NamedTuple

import numpy as np

from jaxcls.cli.flags import SweepFlags, TrainFlags
from jaxcls.data import Dataset
from jaxcls.data.dataset import held_out
from jaxcls.data.splits import Splits, folds, resplits

HELD_OUT = 0.2  # of the training set, by --resplit
_MOST_BYTES = 2**31  # of the lists of rows


class Plan(NamedTuple):
    """The splits of a study, and its members: split by split, seed by seed.

    Attributes:
        splits: J of them.
        rows: by set, those of each of the J x S members.
        num_seeds: S, with each split.
    """

    splits: Splits
    rows: dict[str, list[np.ndarray]]
    num_seeds: int

    def split_of(self, member: int) -> int:
        """The number of a member's split."""
        return member // self.num_seeds


def num_splits(flags: TrainFlags | SweepFlags) -> int | None:
    """How many ways to split the flags ask for, or None where one set is trained on.

    Raises:
        ValueError: flags that do not go together, or a number that can't be.
    """
    if flags.folds is not None and flags.resplit is not None:
        raise ValueError("--folds and --resplit are two ways to split; give one.")
    if flags.repeats != 1 and flags.folds is None:
        raise ValueError(
            f"--repeats {flags.repeats} draws folds so many times; give --folds, or take --resplit."
        )
    for name, least in (("folds", 2), ("repeats", 1), ("resplit", 1)):
        value = getattr(flags, name)
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
    if flags.folds is not None:
        return flags.folds * flags.repeats
    return flags.resplit


def seed_of_splits(flags: TrainFlags) -> int:
    """The seed from which it is drawn which rows are held out."""
    return flags.seed if flags.split_seed is None else flags.split_seed


def plan_splits(flags: TrainFlags, data: Dataset) -> Plan | None:
    """The splits that the flags ask for, of the training set.

    Raises:
        ValueError: a class has too few examples.
    """
    if num_splits(flags) is None:
        return None
    _check_enough(flags, data)
    seed = seed_of_splits(flags)
    if flags.folds is not None:
        splits = folds(data.targets, flags.folds, seed, repeats=flags.repeats)
    else:
        splits = resplits(data.targets, flags.resplit or 0, HELD_OUT, seed)
    rows: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for train, test in zip(splits.train, splits.test, strict=True):
        parts = {"train": train, "test": test}
        if flags.validation_fraction:
            held = held_out(
                data.targets[train], data.labels, flags.validation_fraction, seed
            )
            parts |= {"train": train[~held], "validation": train[held]}
        for name, part in parts.items():
            rows.setdefault(name, []).extend([part] * flags.seeds)
    return Plan(splits, rows, flags.seeds)


def _check_enough(flags: TrainFlags, data: Dataset) -> None:
    """Raises ValueError where a part would lack a class, or there are too many parts."""
    size = 4 * (num_splits(flags) or 0) * len(data.targets)
    if size > _MOST_BYTES:
        raise ValueError(
            f"{num_splits(flags):,} splits of {len(data.targets):,} rows take {size / 1e9:,.1f} GB "
            "as lists of rows, and at most 2 GiB are taken; ask for fewer."
        )
    held = math.ceil(HELD_OUT * len(data.targets))
    if data.target is not None:
        least = max(2, flags.folds or 0)
        if len(data.targets) < least:
            raise ValueError(
                f"there are {len(data.targets)} training rows, and these splits need {least} or "
                "more; ask for fewer folds."
            )
        return
    counts = np.bincount(data.targets, minlength=len(data.labels))
    name, fewest = data.class_names[counts.argmin()], counts.min()
    needed = 2 if flags.folds is None else flags.folds
    if fewest < needed:
        raise ValueError(
            f"class {name} has {fewest} training examples, and these splits need {needed} or more "
            "of each; ask for fewer folds, or leave the class out with --classes."
        )
    if flags.folds is None and held < len(counts):
        raise ValueError(
            f"--resplit holds out a fifth of {len(data.targets)} examples, {held}, which can't hold "
            f"one of each of {len(counts)} classes; take --folds, or more examples."
        )


def digest_of_rows(rows: dict[str, list[np.ndarray]]) -> str:
    """SHA-256 of the rows of all members, by which a study knows its splits again."""
    sha256 = hashlib.sha256()
    for name, of_all in sorted(rows.items()):
        for each in of_all:
            sha256.update(f"{name}{len(each)}".encode() + each.astype("<i4").tobytes())
    return sha256.hexdigest()


def check_same_rows(before: dict, now: dict) -> None:
    """Raises ValueError where a study began with other splits than are drawn now.

    Both hold "sha256_of_rows" where there are splits.
    """
    if before.get("sha256_of_rows") != now.get("sha256_of_rows"):
        raise ValueError(
            "its splits were drawn otherwise, by another version of scikit-learn or NumPy; resume "
            "with that one, or start again."
        )


def describe(flags: TrainFlags | SweepFlags) -> str:
    """The splits in words."""
    if flags.folds is None:
        return f"{flags.resplit} times a fifth of the training set held out"
    times = f"{flags.repeats} times " if flags.repeats > 1 else ""
    return f"{times}{flags.folds} folds of the training set"


def split_columns(plan: Plan, flags: TrainFlags, member: int) -> dict[str, int]:
    """What tells a member's split in `seeds.csv`, counted from 1."""
    split = plan.split_of(member)
    if flags.folds is None:
        return {"split": split + 1}
    return {"repeat": split // flags.folds + 1, "fold": split % flags.folds + 1}
