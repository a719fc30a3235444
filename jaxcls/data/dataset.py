"""`Dataset`: features and labels as they came from a file, and the choice of classes."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcls.batches import Batch


class Dataset(NamedTuple):
    """Examples on the host.

    Attributes:
        features: [N, D] uint8 in 0..255, or float32 as the user scaled them.
        targets: [N] int32 in 0..K-1, places in `labels`.
        labels: K numbers by which the source names its classes.
        class_names: K names, for tables and pictures.
        image_shape: (height, width) of an example that is an image, or None.
    """

    features: np.ndarray
    targets: np.ndarray
    labels: tuple[int, ...]
    class_names: tuple[str, ...]
    image_shape: tuple[int, int] | None


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


def check_classes(classes: Sequence[int], labels: Sequence[int]) -> None:
    """Raises ValueError unless `classes` are two or more distinct ones of `labels`."""
    shown = " ".join(str(each) for each in classes)
    if len(classes) < 2:
        raise ValueError(
            f"data.load: classes must be two or more, got {f'one: {shown}' if shown else 'none'}."
        )
    if len(set(classes)) < len(classes):
        raise ValueError(
            f"data.load: classes must differ from each other, got {shown}."
        )
    missing = [str(each) for each in classes if each not in labels]
    if missing:
        raise ValueError(
            f"data.load: classes must be among {' '.join(str(each) for each in labels)}, the "
            f"labels of this dataset; it has no {' and no '.join(missing)}."
        )


def to_batch(dataset: Dataset) -> Batch:
    """The examples as a network takes them: bytes divided by 255, in float32.

    The division is NumPy's, on the host: XLA would multiply by the reciprocal, which
    differs in the last bit for 126 of the 256 byte values.

    >>> white = Dataset(np.full((1, 1), 255, np.uint8), np.zeros(1, np.int32), (0,), ("0",), None)
    >>> to_batch(white).features
    array([[1.]], dtype=float32)
    """
    features = dataset.features
    if features.dtype == np.uint8:
        features = np.divide(features, np.float32(255), dtype=np.float32)
    return Batch(features, dataset.targets)
