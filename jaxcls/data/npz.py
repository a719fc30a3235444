"""A user's own arrays: an .npz file of x_train, y_train, x_test and y_test."""

import os
from pathlib import Path

import numpy as np

from jaxcls.checks import check_finite
from jaxcls.data.arrays import read_npz
from jaxcls.data.dataset import Dataset
from jaxcls.data.labels import Classes, classes_of, read_labels, read_numbers

_NAMES = ("x_train", "y_train", "x_test", "y_test")


def load_npz(
    path: str | os.PathLike, *, exact: bool = False, regression: bool = False
) -> tuple[Dataset, Dataset]:
    """Training and test set from an .npz file; nothing in it is ever unpickled.

    Reading an array takes at most 1,032 times the file's size, deflate's limit, and 2 GiB.

    Args:
        path: of a file with `x_train`, `x_test`: [N, height, width], [N, height, width, 1],
            [N, 1, height, width] or [N, D]: uint8 in 0..255, or other numbers as they shall be
            used; `y_train`, `y_test`: numbers or words [N] or [N, 1], or one-hot rows [N, K]. Words
            are names of classes, and so are floats unless all are whole numbers.
        exact: keep in float64 what float32 would round, for what is standardised.
        regression: whether `y_train` and `y_test` are numbers that are predicted, and no classes;
            targets are then [N] float64 in their unit.

    Raises:
        ValueError: the file is not such a file; the message says what is wrong with which
            array.
    """
    path = Path(path)
    arrays = read_npz(path, _NAMES)
    types = {name: array.dtype for name, array in arrays.items()}
    # Each is let go once it was converted, since they may be all that memory holds.
    x_train, x_test = (
        _features(path, name, arrays.pop(name), exact) for name in ("x_train", "x_test")
    )
    y_train, y_test = ((f"{path}: {name}", arrays[name]) for name in _NAMES[1::2])
    if regression:
        targets = [read_numbers(*y_train), read_numbers(*y_test)]
        classes = Classes((), (), targets)
    else:
        classes = classes_of(str(path), read_labels(*y_train), read_labels(*y_test))
    if (x_train.dtype == np.uint8) != (x_test.dtype == np.uint8):
        raise ValueError(
            f"{path}: x_train and x_test must both be uint8, which is divided by 255, or both be "
            f"floats, got {types['x_train']} and {types['x_test']}; other integers are taken as "
            "floats."
        )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{path}: x_train and x_test must hold examples of one shape, got "
            f"{list(x_train.shape[1:])} and {list(x_test.shape[1:])}."
        )

    def dataset(part: str, x: np.ndarray, y: np.ndarray) -> Dataset:
        if len(x) != len(y):
            raise ValueError(
                f"{path}: x_{part} and y_{part} must be of one length, got {len(x)} and {len(y)}."
            )
        return Dataset(
            features=x.reshape(len(x), -1),
            targets=y,
            labels=classes.labels,
            class_names=classes.names,
            image_shape=_image_shape(x),
        )

    y_train, y_test = classes.targets
    return dataset("train", x_train, y_train), dataset("test", x_test, y_test)


def _image_shape(x: np.ndarray) -> tuple[int, int] | None:
    """Height and width of examples [N, ...] that are images of one channel, else None.

    >>> _image_shape(np.zeros((3, 8, 9))), _image_shape(np.zeros((3, 1, 8, 9)))
    ((8, 9), (8, 9))
    """
    shape = x.shape[1:]
    if len(shape) == 3 and 1 in (shape[0], shape[-1]):
        shape = shape[:-1] if shape[-1] == 1 else shape[1:]
    return shape if len(shape) == 2 else None


def _features(path: Path, name: str, x: np.ndarray, exact: bool) -> np.ndarray:
    if x.ndim and len(x) == 0:
        raise ValueError(
            f"{path}: {name} holds no examples, got {list(x.shape)}; add some."
        )
    if x.ndim < 2 or x.size == 0:
        raise ValueError(
            f"{path}: {name} must be images [N, height, width] or rows [N, D], got {list(x.shape)}."
        )
    if x.dtype == np.uint8:
        return x
    if x.dtype.kind not in "biuf":
        raise ValueError(
            f"{path}: {name} must be numbers, got {x.dtype}; save .astype(np.float32)."
        )
    check_finite(f"{path}: {name}", x, np.float32)
    is_small = x.dtype.itemsize <= (4 if x.dtype.kind == "f" else 2)
    return x.astype(np.float32 if is_small or not exact else np.float64, copy=False)
