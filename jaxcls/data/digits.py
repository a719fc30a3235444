"""The handwritten digits that scikit-learn ships: real images for where there is no network."""

import importlib.util
from pathlib import Path
from typing import Any, cast

import numpy as np

from jaxcls.data.dataset import Dataset

_ZOOM, _MARGIN = 3, 2  # 8 x 8 pixels, each drawn as 3 x 3, in a margin of 2: 28 x 28
_TEST_EVERY = 5


def load_digits() -> tuple[Dataset, Dataset]:
    """1,797 digits at MNIST's size, every fifth image of each class held out for testing.

    Source: E. Alpaydin, C. Kaynak, "Optical Recognition of Handwritten Digits", UCI, 1998;
    8 x 8 pixels of 17 grey levels, brought to 28 x 28 bytes without interpolation.

    >>> train, test = load_digits()
    >>> train.features.shape, test.features.shape
    ((1442, 784), (355, 784))
    """
    images, labels = _originals()
    images = np.rint(images.reshape(-1, 8, 8) * (255 / 16)).astype(np.uint8)
    images = images.repeat(_ZOOM, axis=1).repeat(_ZOOM, axis=2)
    images = np.pad(images, ((0, 0), (_MARGIN, _MARGIN), (_MARGIN, _MARGIN)))
    is_test = np.zeros(len(labels), bool)
    for label in range(10):
        is_test[np.flatnonzero(labels == label)[_TEST_EVERY - 1 :: _TEST_EVERY]] = True

    def dataset(rows: np.ndarray) -> Dataset:
        return Dataset(
            features=images[rows].reshape(-1, 28 * 28),
            targets=labels[rows].astype(np.int32),
            labels=tuple(range(10)),
            class_names=tuple("0123456789"),
            image_shape=(28, 28),
        )

    return dataset(~is_test), dataset(is_test)


def _originals() -> tuple[np.ndarray, np.ndarray]:
    """Rows [N, 64] and labels [N], read from the file: to import scikit-learn takes a second."""
    spec = importlib.util.find_spec("sklearn")
    folder = Path("" if spec is None or spec.origin is None else spec.origin).parent
    path = folder / "datasets" / "data" / "digits.csv.gz"
    if not path.is_file():  # it may be put elsewhere
        from sklearn.datasets import load_digits as load

        return cast(Any, load(return_X_y=True))
    rows = np.loadtxt(path, delimiter=",")
    return rows[:, :-1], rows[:, -1].astype(int)
