"""What a file holds, as a run takes it: a picture, or arrays of one example or many."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxcls.data.arrays import check_file, npz_names, read_npy, read_npz
from jaxcls.data.images import read_image
from jaxcls.runs.trained import Run


class Input(NamedTuple):
    """Examples of a file: its name, features [N, ...], what was done, whether it is one alone."""

    name: str
    features: np.ndarray
    done: str
    is_one: bool


def read_input(trained: Run, path: str | os.PathLike) -> Input:
    """The examples of an image file, .npy or .npz, as the run takes them.

    Raises:
        ValueError: it can't be read, or is not what the run was trained on.
    """
    path = Path(path)
    check_file(path, "an image or arrays")
    if path.suffix.lower() == ".npy":
        return _of_array(trained, str(path), read_npy(path))
    if path.suffix.lower() == ".npz":
        names = npz_names(path)
        if len(names) != 1:
            raise ValueError(
                f"{path}: holds {len(names)} arrays ({', '.join(names)}), and one is wanted; save "
                "the examples alone."
            )
        return _of_array(trained, str(path), read_npz(path, names)[names[0]])
    if trained.image_shape is None or not trained.takes_bytes:
        raise ValueError(
            f"{path}: the run was trained on rows of numbers or on floats; give .npy or .npz arrays."
        )
    image, done = read_image(
        path,
        trained.image_shape,
        centre=trained.centred,
        light_ground=trained.light_ground,
        plain_ground=trained.plain_ground,
    )
    return Input(str(path), image[None], done, True)


def _of_array(trained: Run, name: str, array: np.ndarray) -> Input:
    if array.shape in trained.example_shapes:
        return Input(name, array[None], "as it is", True)
    return Input(name, array, "as it is", False)
