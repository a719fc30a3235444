"""What a file holds, as a run takes it: a picture, or arrays of one example or many."""

import os
from pathlib import Path
from typing import NamedTuple

import numpy as np

from jaxcls.data.arrays import check_file, npz_names, read_npy, read_npz
from jaxcls.data.images import read_image
from jaxcls.data.table_columns import listed
from jaxcls.data.table_files import is_table
from jaxcls.data.tables import prepared
from jaxcls.runs.trained import Run


class Input(NamedTuple):
    """Examples of a file.

    Attributes:
        name: of the file.
        features: [N, ...].
        done: what was done to them.
        is_one: whether it is one alone.
        told: what they have that no training example had, a sentence each.
        is_table: whether they are a table's rows.
    """

    name: str
    features: np.ndarray
    done: str
    is_one: bool
    told: tuple[str, ...] = ()
    is_table: bool = False

    def named(self, row: int) -> dict:
        """By what an example is known; rows of a table are counted from 1."""
        if self.is_table:
            return {"input": self.name, "row": row + 1}
        return {"input": self.name if self.is_one else f"{self.name}[{row}]"}


def read_input(trained: Run, path: str | os.PathLike) -> Input:
    """The examples of an image file, .npy, .npz or a table, as the run takes them.

    Raises:
        ValueError: it can't be read, or is not what the run was trained on.
    """
    path = Path(path)
    check_file(path, "an image, arrays or a table")
    if is_table(path):
        if trained.preparation is None:
            raise ValueError(
                f"{path}: the run was trained on no table; give images, or .npy or .npz arrays."
            )
        features, told = prepared(path, trained.preparation)
        return Input(str(path), features, "prepared", False, tuple(told), True)
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
    if trained.preparation is not None:
        raise ValueError(
            f"{path}: the run was trained on a table; give a .csv or .parquet file of the columns "
            f"{listed([*trained.preparation.kinds])}."
        )
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
