"""What is learned from a table's training rows, and how it makes features of any rows.

Numbers are standardised, and a missing one becomes 0, the mean; a column that misses some in
training has an indicator. Categories are one-hot, and a missing one is a category of its own where
training had it. Features are in the order of scikit-learn's ColumnTransformer: numbers, indicators,
categories. Sums are exact, so that every machine learns the same bits.
"""

import math
from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, Self

import numpy as np

from jaxcls.data.table_columns import Column, listed, quoted
from jaxcls.data.table_kinds import MOST_CATEGORIES, Kind, rows_shown

_MOST_TOLD = 5  # columns that are told one by one


class Numeric(NamedTuple):
    """A column of numbers: its mean, by what it is divided, whether it has an indicator."""

    name: str
    mean: float
    scale: float
    indicator: bool


class Categorical(NamedTuple):
    """A column of categories, whether a missing one is one, and whether words tell them.

    Attributes:
        name: of the column.
        categories: each has a feature.
        missing: whether a missing one has a feature, too, behind them.
        as_words: whether they are read as they are written, and not as numbers.
    """

    name: str
    categories: tuple[str, ...]
    missing: bool
    as_words: bool


class Preparation(NamedTuple):
    """What makes features of a table's rows.

    Attributes:
        target: the column of classes, which a table to be predicted need not have.
        numeric: columns of numbers.
        categorical: columns of categories.
    """

    target: str
    numeric: tuple[Numeric, ...]
    categorical: tuple[Categorical, ...]

    @property
    def kinds(self) -> dict[str, Kind]:
        """By name, what each column is."""
        kinds: dict[str, Kind] = {each.name: "numeric" for each in self.numeric}
        return kinds | {each.name: "categorical" for each in self.categorical}

    @property
    def as_words(self) -> set[str]:
        """Columns that are read as they are written."""
        return {each.name for each in self.categorical if each.as_words}

    @property
    def num_features(self) -> int:
        """D, how many features a row has."""
        numbers = sum(1 + each.indicator for each in self.numeric)
        return numbers + sum(
            len(each.categories) + each.missing for each in self.categorical
        )

    def record(self) -> dict:
        """What `config.json` keeps of it: numbers and names."""
        return {
            "target": self.target,
            "numeric": [each._asdict() for each in self.numeric],
            "categorical": [each._asdict() for each in self.categorical],
        }

    @classmethod
    def of_record(cls, record: Any) -> Self:
        """The preparation that a record keeps.

        Raises:
            ValueError: it keeps none.

        >>> Preparation.of_record(Preparation("y", (), ()).record())
        Preparation(target='y', numeric=(), categorical=())
        """
        try:
            numeric = tuple(Numeric(**each) for each in record["numeric"])
            categorical = tuple(
                Categorical(**each | {"categories": tuple(each["categories"])})
                for each in record["categorical"]
            )
            found = cls(record["target"], numeric, categorical)
            if found._is_right():
                return found
        except (TypeError, KeyError, AttributeError):
            pass
        raise ValueError("preparation must hold what was learned of a table.")

    def _is_right(self) -> bool:
        names = [each.name for each in (*self.numeric, *self.categorical)]
        texts = [
            self.target,
            *names,
            *(word for each in self.categorical for word in each.categories),
        ]
        numbers = [number for each in self.numeric for number in each[1:3]]
        switches = [each.indicator for each in self.numeric]
        switches += [switch for each in self.categorical for switch in each[2:]]
        return (
            all(type(each) is str for each in texts)
            and all(type(each) is float and math.isfinite(each) for each in numbers)
            and all(each.scale > 0 for each in self.numeric)
            and all(type(each) is bool for each in switches)
            and len({*names}) == len(names)
            and all(
                len({*each.categories}) == len(each.categories) <= MOST_CATEGORIES
                for each in self.categorical
            )
        )


def learn(
    columns: Mapping[str, Column],
    kinds: Mapping[str, Kind],
    target: str,
    as_words: Collection[str] = (),
) -> tuple[Preparation, list[str]]:
    """Learns from training rows alone.

    Args:
        columns: of the training rows, as `table_kinds.taken` gives them.
        kinds: of the columns to use.
        target: the name of the column of classes.
        as_words: columns of categories that are words in their file, and not numbers.

    Returns:
        The preparation, and the names of columns that it leaves out: all their training rows are
        alike, or missing.

    >>> columns = {"size": Column(np.array([1.0, 3.0, np.nan]))}
    >>> learn(columns, {"size": "numeric"}, "sort")[0].numeric
    (Numeric(name='size', mean=2.0, scale=1.0, indicator=True),)
    """
    numeric, categorical, left_out = [], [], []
    for name, kind in kinds.items():
        column = columns[name]
        missing = bool(column.is_missing.any())
        if kind == "numeric":
            learned = _numeric(name, column.values[~column.is_missing], missing)
            if learned is not None:
                numeric.append(learned)
        else:
            learned = _categorical(name, column, missing, name in as_words)
            if learned is not None:
                categorical.append(learned)
        if learned is None:
            left_out.append(name)
    return Preparation(target, tuple(numeric), tuple(categorical)), left_out


def _numeric(name: str, values: np.ndarray, missing: bool) -> Numeric | None:
    if len(values) == 0:
        return None
    mean, scale = mean_and_scale(values)
    if scale == 0 and not missing:
        return None
    return Numeric(name, mean, scale or 1.0, missing)


def mean_and_scale(
    values: np.ndarray, counts: np.ndarray | None = None
) -> tuple[float, float]:
    """Mean and standard deviation of numbers [N], which is 0 where they are all alike.

    Args:
        values: the numbers.
        counts: [N], how many of each there are; one by default.

    >>> mean_and_scale(np.array([1.0, 3.0]))
    (2.0, 1.0)
    """
    times = np.ones(len(values), int) if counts is None else counts
    count = int(times.sum())
    mean = math.fsum((times * values).tolist()) / count
    variance = math.fsum((times * np.square(values - mean)).tolist()) / count
    # As scikit-learn has it: no more than what rounding makes of numbers that are all alike.
    epsilon = float(np.finfo(np.float64).eps)
    alike = variance <= count * epsilon * variance + (count * mean * epsilon) ** 2
    return mean, 0.0 if alike else math.sqrt(variance)


def _categorical(
    name: str, column: Column, missing: bool, as_words: bool
) -> Categorical | None:
    words = column.words or ()
    present = np.unique(column.values[~column.is_missing]).tolist()
    if len(present) + missing < 2 or not present:
        return None
    categories = tuple(sorted(words[place] for place in present))
    return Categorical(name, categories, missing, as_words)


def apply(preparation: Preparation, columns: Mapping[str, Column]) -> np.ndarray:
    """Features [N, D] float32 of any rows.

    A category that training did not have has no feature, and neither has a missing one where none
    was missing; a missing number is the mean.

    Args:
        preparation: as `learn` gives it.
        columns: of the rows, as `table_kinds.taken` gives them.

    Raises:
        ValueError: a number is so far from the training rows' that float32 can't hold it.

    >>> preparation = Preparation("sort", (Numeric("size", 2.0, 0.5, True),), ())
    >>> apply(preparation, {"size": Column(np.array([3.0, np.nan]))})
    array([[2., 0.],
           [0., 1.]], dtype=float32)
    """
    num_rows = len(next(iter(columns.values())).values)
    out = np.zeros((num_rows, preparation.num_features), np.float32)
    at = len(preparation.numeric)
    for place, each in enumerate(preparation.numeric):
        values = columns[each.name].values
        known = (values - each.mean) / each.scale
        wrong = np.flatnonzero(np.abs(known) > np.finfo(np.float32).max)
        if len(wrong):
            raise ValueError(
                f"column {quoted(each.name)}: row {wrong[0] + 1} has {values[wrong[0]]:g}, too far "
                f"from the training rows' mean of {each.mean:g} to be taken; correct it."
            )
        missing = np.isnan(values)
        out[:, place] = np.where(missing, 0.0, known)
        if each.indicator:
            out[:, at] = missing
            at += 1
    for each in preparation.categorical:
        codes = _codes(each, columns[each.name])
        width = len(each.categories) + each.missing
        out[:, at : at + width] = codes[:, None] == np.arange(width)
        at += width
    return out


def word_places(learned: Categorical) -> dict[str, int]:
    """By word, the place of its feature among the column's, however false and true are written.

    >>> word_places(Categorical("wet", ("False", "True"), False, True))["TRUE"]
    1
    """
    exact = {word: place for place, word in enumerate(learned.categories)}
    others = {}
    for word, place in exact.items():
        if word.lower() in ("false", "true"):
            written = (word.lower(), word.capitalize(), word.upper())
            others |= dict.fromkeys(written, place)
    return others | exact


def _codes(learned: Categorical, column: Column) -> np.ndarray:
    """The place [N] of each row's category among its features, or -1 where it has none."""
    places = word_places(learned)
    found = [places.get(word, -1) for word in column.words or ()]
    of_missing = len(learned.categories) if learned.missing else -1
    return np.array([*found, of_missing])[column.values]


def surprises(
    preparation: Preparation,
    columns: Mapping[str, Column],
    numbers: np.ndarray,
    where: str,
) -> list[str]:
    """What rows have that no training row had, a sentence each; of many columns the first.

    Args:
        preparation: as `learn` gives it.
        columns: of the rows.
        numbers: [N] of the rows in their file, from 1.
        where: what the sentences begin with, such as "own.csv".

    >>> preparation = Preparation("sort", (Numeric("size", 2.0, 0.5, False),), ())
    >>> columns = {"size": Column(np.array([3.0, np.nan]))}
    >>> surprises(preparation, columns, np.array([1, 2]), "own.csv")
    ["own.csv: column 'size' is empty in row 2, as in no training row; the mean is taken."]
    """
    told = []

    def tell(name: str, has: str, rows: np.ndarray, so: str) -> None:
        told.append(
            f"{where}: column {quoted(name)} {has} in {rows_shown(numbers[rows])}, {so}."
        )

    for each in preparation.numeric:
        missing = columns[each.name].is_missing
        if missing.any() and not each.indicator:
            tell(
                each.name,
                "is empty",
                missing,
                "as in no training row; the mean is taken",
            )
    for each in preparation.categorical:
        column = columns[each.name]
        missing, has_none = column.is_missing, _codes(each, column) < 0
        if (has_none & ~missing).any():
            places = np.unique(column.values[has_none & ~missing]).tolist()
            found = listed([(column.words or ())[place] for place in places])
            tell(
                *(each.name, f"has {found}", has_none & ~missing),
                "which no training row has; that counts as no category",
            )
        if (has_none & missing).any():
            tell(
                *(each.name, "is empty", has_none & missing),
                "as in no training row; that counts as no category",
            )
    if len(told) > _MOST_TOLD:
        more = len(told) - _MOST_TOLD
        told = [*told[:_MOST_TOLD], f"{where}: the like of {more:,} more columns."]
    return told
