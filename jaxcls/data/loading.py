"""From a dataset's name to its training and test set."""

import os
from collections.abc import Sequence

from jaxcls.data.dataset import Dataset, select_classes
from jaxcls.data.digits import load_digits
from jaxcls.data.labels import labels_called, whole_numbers
from jaxcls.data.mnist import FAMILY, load_cached, load_folder
from jaxcls.data.npz import load_npz
from jaxcls.data.table_files import is_table

DATASETS = (*FAMILY, "digits")
_VARIABLE = "JAXCLS_DATA_DIR"


def load(
    name: str | os.PathLike[str],
    *,
    data_dir: str | os.PathLike | None = None,
    classes: Sequence[int | str] | None = None,
    exact: bool = False,
) -> tuple[Dataset, Dataset]:
    """Loads the training and the test set of a dataset.

    Args:
        name: mnist, fashion_mnist, kmnist, digits, or the path of an .npz file.
        data_dir: folder with the four .gz files of a dataset of the MNIST family; the
            environment variable JAXCLS_DATA_DIR by default, and without that
            tensorflow-datasets' cache, into which the files are fetched.
        classes: the labels to keep, in this order; of an .npz file whose labels are words or
            floats that are no whole numbers their names. All by default.
        exact: keep numbers of an .npz file in float64 that float32 would round, for what is
            standardised.

    Raises:
        TypeError: the name is none.
        ValueError: the name, a file or a class is wrong.
        OSError: files can't be read or fetched.

    >>> train, test = load("digits", classes=(3, 8))
    >>> train.class_names
    ('3', '8')
    """
    if not isinstance(name, (str, os.PathLike)):
        raise TypeError(
            f"data.load: dataset must be a name or a path, got {type(name).__name__}."
        )
    name = os.fspath(name)
    if name in FAMILY:
        folder = data_dir or os.environ.get(_VARIABLE)
        train, test = load_folder(name, folder) if folder else load_cached(name)
    elif data_dir is not None:
        raise ValueError(
            f"data.load: data_dir is for {', '.join(FAMILY)}; the dataset {name} has no use for it."
        )
    elif name == "digits":
        train, test = load_digits()
    elif name.lower().endswith(".npz"):
        train, test = load_npz(name, exact=exact)
        classes = labels_called(train, classes)
    elif is_table(name):
        raise ValueError(
            f"data.load: {name} is a table; read it with data.load_table(path, target)."
        )
    else:
        raise ValueError(
            f"data.load: dataset must be {', '.join(DATASETS)} or the path of an .npz file, "
            f"got {name!r}."
        )
    kept = train.labels if classes is None else whole_numbers(classes)
    # One after the other, so that one of them stands in memory twice at a time.
    train = select_classes(train, kept)
    test = select_classes(test, kept)
    for part, dataset in (("training", train), ("test", test)):
        for place in range(len(dataset.labels)):
            if not (dataset.targets == place).any():
                raise ValueError(
                    f"{name}: class {dataset.class_names[place]} has no {part} examples; add some, "
                    "or name with classes those that both the training and the test set have."
                )
    return train, test


def data_folder(name: str, data_dir: str | os.PathLike | None) -> str | None:
    """The whole path of the folder that `load` reads, or None where it reads none."""
    folder = data_dir or os.environ.get(_VARIABLE)
    return os.path.abspath(folder) if folder and name in FAMILY else None


def load_mnist_or_digits(
    *,
    data_dir: str | os.PathLike | None = None,
    classes: Sequence[int | str] | None = None,
) -> tuple[str, Dataset, Dataset, str | None]:
    """Loads MNIST where it is at hand or can be fetched, else `digits`.

    Args:
        data_dir: as in `load`; where a folder is named, MNIST is there or it is an error.
        classes: as in `load`.

    Returns:
        The name of the dataset, its training and test set, and, if it is not MNIST, a line
        that says why and how to get MNIST.
    """
    try:
        return ("mnist", *load("mnist", data_dir=data_dir, classes=classes), None)
    except OSError as error:
        if data_dir or os.environ.get(_VARIABLE):
            raise
        notice = f"training on the digits of scikit-learn instead of MNIST: {error}"
        return ("digits", *load("digits", classes=classes), notice)
