"""Labels of arrays: whole numbers, or what is named by words, and the classes that they make."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np

from jaxcls.data.arrays import readable
from jaxcls.data.dataset import Dataset, check_classes, names_called
from jaxcls.data.table_columns import MISSING, quoted
from jaxcls.data.table_kinds import LARGEST, spelling

_WHOLE = 2.0**53  # up to which a float64 holds each integer


class Labels(NamedTuple):
    """Labels of N examples: each value once, integers, floats or words, and places [N] in these."""

    values: list[int] | list[float] | list[str]
    places: np.ndarray


class Classes(NamedTuple):
    """K classes, and the targets [N] int32 of each set, places in them.

    Attributes:
        labels: numbers of theirs; of words and of floats 0 to K - 1.
        names: as the user knows them.
        targets: of each set.
    """

    labels: tuple[int, ...]
    names: tuple[str, ...]
    targets: list[np.ndarray]


def read_labels(what: str, y: np.ndarray) -> Labels:
    """Labels out of words or numbers, [N] or [N, 1], or of one-hot rows [N, K].

    Args:
        what: how a message begins.
        y: of any type.

    Raises:
        ValueError: they are none.

    >>> read_labels("y_train", np.array(["oak", "ash", "oak"]))
    Labels(values=['ash', 'oak'], places=array([1, 0, 1]))
    """
    is_words = y.dtype.kind in "US"
    if (
        y.dtype.kind not in "biufUS"
        or y.ndim not in (1, 2)
        or 0 in y.shape[1:]
        or (is_words and y.shape[1:] not in ((), (1,)))
    ):
        raise ValueError(
            f"{what} must be numbers or words [N], [N, 1] or one-hot [N, K], got {y.dtype} "
            f"{list(y.shape)}."
        )
    if y.ndim == 2 and y.shape[1] > 1:
        y = _of_one_hot(what, y)
    y = y.reshape(len(y))
    if is_words:
        return _of_words(what, y)
    return _of_numbers(what, y)


def read_numbers(what: str, y: np.ndarray) -> np.ndarray:
    """Numbers to be predicted [N] float64, out of [N] or [N, 1].

    Args:
        what: how a message begins.
        y: of any type of numbers.

    Raises:
        ValueError: they are none, or not finite.

    >>> read_numbers("y_train", np.array([[1], [3]]))
    array([1., 3.])
    """
    if y.dtype.kind not in "biuf" or y.shape[1:] not in ((), (1,)) or y.ndim == 0:
        raise ValueError(
            f"{what} must be numbers to be predicted, [N] or [N, 1], got {y.dtype} {list(y.shape)}; "
            "for classes take train_multiclass.py."
        )
    numbers = y.reshape(len(y)).astype(np.float64)
    wrong = np.flatnonzero(~(np.abs(numbers) <= LARGEST))
    if len(wrong):
        raise ValueError(
            f"{what}: row {wrong[0]} has {numbers[wrong[0]]:g}, and finite numbers up to "
            f"{LARGEST:g} are taken; correct it, or leave the row out."
        )
    return numbers


def classes_of(what: str, train: Labels, test: Labels) -> Classes:
    """The classes of both sets, sorted.

    Raises:
        ValueError: one has words and the other numbers, or words and floats are too many to be
            classes.

    >>> one, other = Labels([0.5], np.zeros(4, int)), Labels([2], np.zeros(1, int))
    >>> classes_of("own.npz", one, other).names
    ('0.5', '2')
    """
    sets = (train, test)
    has_words = [any(isinstance(value, str) for value in each.values) for each in sets]
    if has_words[0] != has_words[1]:
        raise ValueError(
            f"{what}: y_train and y_test must both be words or both be numbers, got "
            f"{' and '.join('words' if each else 'numbers' for each in has_words)}."
        )
    # Integers and floats that are equal are one, however large.
    values = sorted({*train.values, *test.values})
    place = {value: number for number, value in enumerate(values)}
    targets = [
        np.array([place[value] for value in each.values], np.int32)[each.places]
        for each in sets
    ]
    integers = [value for value in values if isinstance(value, int)]
    if len(integers) == len(values):
        return Classes(tuple(integers), tuple(map(str, integers)), targets)
    if len(train.places) < 2 * len(train.values):
        raise ValueError(
            f"{what}: y_train names {len(train.values):,} classes in {len(train.places):,} "
            f"examples, such as {quoted(_name(train.values[0]))}, and each needs two or more; put "
            "classes together, or predict numbers as numbers by train_regression.py."
        )
    return Classes(tuple(range(len(values))), tuple(map(_name, values)), targets)


def are_named(dataset: Dataset) -> bool:
    """Whether the classes of an array's labels are known by names, and not by integers."""
    return dataset.class_names != tuple(map(str, dataset.labels))


def labels_called(
    dataset: Dataset, classes: Sequence[int | str] | None
) -> tuple[int, ...]:
    """The labels of the classes that a user names, as the file writes them; all of them by default.

    Raises:
        ValueError: there is no such class.

    >>> words = Dataset(np.eye(2), np.arange(2), (0, 1), ("ash", "oak"), None)
    >>> labels_called(words, ("oak", "ash"))
    (1, 0)
    """
    if classes is not None:
        _check_several(classes)
    names = dataset.class_names
    if not are_named(dataset):
        return dataset.labels if classes is None else whole_numbers(classes)
    called = names if classes is None else names_called(classes, names)
    check_classes(called, names)
    return tuple(dataset.labels[names.index(each)] for each in called)


def whole_numbers(classes: Sequence[int | str]) -> tuple[int, ...]:
    """Classes that must be integers, since the dataset names them so.

    >>> whole_numbers((3, 8))
    (3, 8)
    """
    _check_several(classes)
    for each in classes:
        if isinstance(each, str):
            raise ValueError(
                f"classes must be integers, unless the dataset names them by words, got {each!r}."
            )
    return tuple(each for each in classes if not isinstance(each, str))


def _check_several(classes: object) -> None:
    if isinstance(classes, str) or not isinstance(classes, Iterable):
        raise TypeError(f"classes must be several, such as (3, 8), got {classes!r}.")


def _name(value: float | str) -> str:
    return value if isinstance(value, str) else spelling(value)


def _of_words(what: str, y: np.ndarray) -> Labels:
    """Of [N] texts; bytes are read as UTF-8."""
    with readable(what):
        found, places = np.unique(y, return_inverse=True)
        words = [
            (each.decode() if isinstance(each, bytes) else each).strip()
            for each in found.tolist()
        ]
        "".join(words).encode()  # or they are no text
    for place, word in enumerate(words):
        if word in MISSING:
            row = int(np.flatnonzero(places == place)[0])
            raise ValueError(
                f"{what} has no label in row {row}, got {quoted(word)}; name it, or leave the "
                "example out."
            )
    values = sorted({*words})
    order = {word: number for number, word in enumerate(values)}
    renumbered = np.array([order[word] for word in words], np.intp)
    return Labels(values, renumbered[places])


def _of_numbers(what: str, y: np.ndarray) -> Labels:
    if y.dtype.kind == "f":
        wrong = np.flatnonzero(~np.isfinite(y))
        if len(wrong):
            raise ValueError(
                f"{what} must be finite, got {y[wrong[0]]} in row {wrong[0]}; name its class, or "
                "leave the example out."
            )
    elif y.size and y.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{what} must fit int64, got {y.max()}.")
    found, places = np.unique(y, return_inverse=True)
    if y.dtype.kind != "f":
        return Labels([int(each) for each in found.tolist()], places)
    # As they are written in their own type: 0.1, whichever that is.
    floats = [float(str(each)) for each in found]
    if all(each.is_integer() and abs(each) < _WHOLE for each in floats):
        return Labels([int(each) for each in floats], places)
    return Labels(floats, places)


def _of_one_hot(what: str, y: np.ndarray) -> np.ndarray:
    """The place of the 1 in each row.

    >>> _of_one_hot("y_test", np.eye(2, dtype=bool)).tolist()
    [0, 1]
    """
    is_one = y == 1
    wrong = np.flatnonzero(((y != 0) & ~is_one).any(axis=1) | (is_one.sum(axis=1) != 1))
    if len(wrong):
        raise ValueError(
            f"{what} has rows of {y.shape[1]} numbers, which must be one-hot, and row "
            f"{wrong[0]} is not; if they are scores, save their argmax(axis=1)."
        )
    return is_one.argmax(axis=1)
