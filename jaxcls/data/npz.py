"""A user's own arrays: an .npz file of x_train, y_train, x_test and y_test."""

import os
from pathlib import Path

import numpy as np

from jaxcls.checks import check_finite
from jaxcls.data.arrays import read_npz
from jaxcls.data.dataset import Dataset

_NAMES = ("x_train", "y_train", "x_test", "y_test")


def load_npz(path: str | os.PathLike) -> tuple[Dataset, Dataset]:
    """Training and test set from an .npz file; nothing in it is ever unpickled.

    Reading an array takes at most 1,032 times the file's size, deflate's limit, and 2 GiB.

    Args:
        path: of a file with `x_train`, `x_test`: [N, height, width], [N, height, width, 1],
            [N, 1, height, width] or [N, D], uint8 in 0..255 or floats as they shall be used; `y_train`, `y_test`:
            whole numbers [N] or [N, 1], of any type, or one-hot rows [N, K].

    Raises:
        ValueError: the file is not such a file; the message says what is wrong with which
            array.
    """
    path = Path(path)
    arrays = read_npz(path, _NAMES)
    types = {name: array.dtype for name, array in arrays.items()}
    # Each is let go once it was converted, since they may be all that memory holds.
    x_train, x_test = (
        _features(path, name, arrays.pop(name)) for name in ("x_train", "x_test")
    )
    y_train, y_test = (
        _labels(path, name, arrays[name]) for name in ("y_train", "y_test")
    )
    if x_train.dtype != x_test.dtype:
        raise ValueError(
            f"{path}: x_train and x_test must both be uint8, which is divided by 255, or both be "
            f"floats, got {types['x_train']} and {types['x_test']}."
        )
    if x_train.shape[1:] != x_test.shape[1:]:
        raise ValueError(
            f"{path}: x_train and x_test must hold examples of one shape, got "
            f"{list(x_train.shape[1:])} and {list(x_test.shape[1:])}."
        )
    labels = np.union1d(y_train, y_test)

    def dataset(part: str, x: np.ndarray, y: np.ndarray) -> Dataset:
        if len(x) != len(y):
            raise ValueError(
                f"{path}: x_{part} and y_{part} must be of one length, got {len(x)} and {len(y)}."
            )
        return Dataset(
            features=x.reshape(len(x), -1),
            targets=np.searchsorted(labels, y).astype(np.int32),
            labels=tuple(labels.tolist()),
            class_names=tuple(str(label) for label in labels.tolist()),
            image_shape=_image_shape(x),
        )

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


def _features(path: Path, name: str, x: np.ndarray) -> np.ndarray:
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
    if not np.issubdtype(x.dtype, np.floating):
        raise ValueError(
            f"{path}: {name} must be uint8 or floats, got {x.dtype}; save .astype(np.uint8) of bytes "
            "0 to 255, which are divided by 255, or .astype(np.float32) of numbers that are taken "
            "as they are."
        )
    check_finite(f"{path}: {name}", x, np.float32)
    return x.astype(np.float32, copy=False)


def _labels(path: Path, name: str, y: np.ndarray) -> np.ndarray:
    """Labels [N] int64, out of whole numbers of any type, [N], [N, 1] or one-hot [N, K]."""
    if y.dtype.kind not in "biuf" or y.ndim not in (1, 2) or 0 in y.shape[1:]:
        raise ValueError(
            f"{path}: {name} must be whole numbers [N], [N, 1] or one-hot [N, K], got {y.dtype} "
            f"{list(y.shape)}; np.unique(labels, return_inverse=True) numbers any others."
        )
    if y.ndim == 2 and y.shape[1] > 1:
        return _of_one_hot(path, name, y)
    y = y.reshape(len(y))
    if y.dtype.kind == "f":
        y = y.astype(np.float64)
        wrong = np.flatnonzero(~(np.abs(y) < 2.0**53) | (y != np.round(y)))
        if len(wrong):
            raise ValueError(
                f"{path}: {name} must be whole numbers, got {y[wrong[0]]} in row {wrong[0]}; "
                "np.unique(labels, return_inverse=True) numbers any others."
            )
    elif y.size and y.max() > np.iinfo(np.int64).max:
        raise ValueError(f"{path}: {name} must fit int64, got {y.max()}.")
    return y.astype(np.int64)  # of one type: the union of two may be floats


def _of_one_hot(path: Path, name: str, y: np.ndarray) -> np.ndarray:
    """The place of the 1 in each row.

    >>> _of_one_hot(Path("own.npz"), "y_test", np.eye(2, dtype=bool)).tolist()
    [0, 1]
    """
    is_one = y == 1
    wrong = np.flatnonzero(((y != 0) & ~is_one).any(axis=1) | (is_one.sum(axis=1) != 1))
    if len(wrong):
        raise ValueError(
            f"{path}: {name} has rows of {y.shape[1]} numbers, which must be one-hot, and row "
            f"{wrong[0]} is not; if they are scores, save their argmax(axis=1)."
        )
    return is_one.argmax(axis=1)
