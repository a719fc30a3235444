"""`Dataset`: features and labels as they came from a file, and the choice of classes."""

import re
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcls.batches import Batch
from jaxcls.data.standardization import Standardization, network_features
from jaxcls.data.table_columns import spaced
from jaxcls.regression import Target

_MOST_NAMED = 50  # classes, in a message


class Dataset(NamedTuple):
    """Examples on the host.

    Attributes:
        features: [N, D] uint8 in 0..255, or floats as the user scaled them: float32, or float64
            where they are to be standardised.
        targets: [N] int32 in 0..K-1, places in `labels`; or, of a `target`, [N] float32,
            standardised.
        labels: K numbers by which the source names its classes; none of a `target`.
        class_names: K names, for tables and pictures.
        image_shape: (height, width) of an example that is an image, or None.
        target: of numbers that are predicted, which are no classes; else None.
    """

    features: np.ndarray
    targets: np.ndarray
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int] | None
    target: Target | None = None


def select_classes(dataset: Dataset, classes: Sequence[int]) -> Dataset:
    """Keeps the examples of `classes`, class by class, relabelled 0..K-1 in that order.

    Within a class the examples keep their order, as in the notes.

    Args:
        dataset: with labels that name its classes.
        classes: two or more of `dataset.labels`.

    Raises:
        ValueError: fewer than two classes, one twice, or one that the dataset has not.

    >>> three = Dataset(
    ...     np.eye(3, dtype=np.uint8), np.array([0, 1, 2]), (0, 1, 2), ("a", "b", "c"), None
    ... )
    >>> select_classes(three, (2, 0)).class_names
    ('c', 'a')
    """
    check_classes(classes, dataset.labels)
    places = [dataset.labels.index(each) for each in classes]
    rows = [np.flatnonzero(dataset.targets == place) for place in places]
    return Dataset(
        features=dataset.features[np.concatenate(rows)],
        targets=np.repeat(
            np.arange(len(places), dtype=np.int32), [len(each) for each in rows]
        ),
        labels=tuple(dataset.labels[place] for place in places),
        class_names=tuple(dataset.class_names[place] for place in places),
        image_shape=dataset.image_shape,
    )


def split(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Holds out a share of the examples of each class, drawn at random.

    Both parts have every class and keep the order of the examples. Where targets are no classes,
    a share of all of them is drawn.

    Args:
        dataset: in any order, such as class by class.
        fraction: share held out, in (0, 1), rounded for each class to at least one example
            and to all but one at most.
        seed: what is held out depends on it and on the dataset's labels alone; where there are
            none, scikit-learn's `train_test_split` draws by this `random_state`.

    Returns:
        What remains, and what is held out.

    Raises:
        ValueError: the fraction or the seed is out of its range, or a class has one example
            only.

    >>> targets = np.repeat(np.arange(2, dtype=np.int32), [30, 10])
    >>> data = Dataset(np.zeros((40, 1), np.uint8), targets, (3, 8), ("3", "8"), None)
    >>> remaining, held_out = split(data, 0.2, seed=0)
    >>> np.bincount(held_out.targets).tolist()
    [6, 2]
    """
    if not isinstance(dataset, Dataset):
        raise TypeError(
            f"data.split: dataset must be a jaxcls.data.Dataset, got {type(dataset).__name__}; "
            "split before data.to_batch."
        )
    is_held_out = held_out(dataset.targets, dataset.labels, fraction, seed)
    return _rows(dataset, ~is_held_out), _rows(dataset, is_held_out)


def held_out(
    targets: np.ndarray, labels: Sequence[int], fraction: float, seed: int
) -> np.ndarray:
    """Which examples [N] `split` holds out, of targets [N] that are places in `labels`.

    Of no labels, a share of all is drawn.

    Raises:
        ValueError: as of `split`.

    >>> int(held_out(np.repeat([0, 1], [30, 10]), (3, 8), 0.2, seed=0).sum())
    8
    """
    if not 0 < fraction < 1:
        raise ValueError(
            f"data.split: validation_fraction must lie above 0 and below 1, got {fraction}."
        )
    if seed < 0:
        raise ValueError(f"data.split: seed must be at least 0, got {seed}.")
    is_held_out = np.zeros(len(targets), bool)
    if not labels:
        is_held_out[_drawn_of_all(len(targets), fraction, seed)] = True
    for place, label in enumerate(labels):
        rows = np.flatnonzero(targets == place)
        if len(rows) < 2:
            raise ValueError(
                f"data.split: class {label} has {len(rows)} training examples, and a validation "
                "split needs two or more of each; leave out the class, or the split."
            )
        size = min(max(1, round(fraction * len(rows))), len(rows) - 1)
        is_held_out[np.random.default_rng((seed, place)).permutation(rows)[:size]] = (
            True
        )
    return is_held_out


def _drawn_of_all(count: int, fraction: float, seed: int) -> np.ndarray:
    from sklearn.model_selection import train_test_split

    if count < 2:
        raise ValueError(
            f"data.split: there are {count} examples, and a part held out needs two or more."
        )
    drawn = train_test_split(np.arange(count), test_size=fraction, random_state=seed)
    return drawn[1]


def _rows(dataset: Dataset, rows: np.ndarray) -> Dataset:
    return dataset._replace(
        features=dataset.features[rows], targets=dataset.targets[rows]
    )


def check_classes(
    classes: Sequence[int] | Sequence[str], labels: Sequence[int] | Sequence[str]
) -> None:
    """Raises ValueError unless `classes` are two or more distinct ones of `labels`."""
    shown = spaced(list(map(str, classes)))
    if len(classes) < 2:
        raise ValueError(
            f"data.load: classes must be two or more, got {f'one: {shown}' if shown else 'none'}."
        )
    if len(set(classes)) < len(classes):
        raise ValueError(
            f"data.load: classes must differ from each other, got {shown}."
        )
    missing = [spaced([str(each)]) for each in classes if each not in labels]
    if missing:
        names = [str(each) for each in labels[:_MOST_NAMED]]
        more = len(labels) - len(names)
        raise ValueError(
            f"data.load: classes must be among {spaced(names)}"
            f"{f' and {more:,} more' if more else ''}, the "
            f"labels of this dataset; it has no {' and no '.join(missing)}."
        )


def names_called(classes: Sequence[int | str], names: Sequence[str]) -> list[str]:
    """The names that a user means, who may have had to write one as an integer.

    >>> names_called((7, "x", 3), ("07", "x", "3"))
    ['07', 'x', '3']
    """
    written = [name for name in names if re.fullmatch(r"[+-]?[0-9]{1,99}", name)]
    numbers = {int(name): name for name in reversed(written)}
    return [
        str(each)
        if isinstance(each, str) or str(each) in names
        else numbers.get(each, str(each))
        for each in classes
    ]


def to_batch(dataset: Dataset, standardization: Standardization | None = None) -> Batch:
    """The examples as a network takes them: bytes divided by 255, and standardised, in float32.

    jax on CPU takes the features over without a copy: don't write to them once jax has them.

    Args:
        dataset: the examples.
        standardization: learned of the training rows, if it is wanted.

    Raises:
        ValueError: a number is so far from the training rows' that float32 can't hold it.

    >>> white = Dataset(np.full((1, 1), 255, np.uint8), np.zeros(1, np.int32), (0,), ("0",), None)
    >>> to_batch(white).features
    array([[1.]], dtype=float32)
    """
    features = network_features(dataset.features, standardization)
    return Batch(features, dataset.targets)
