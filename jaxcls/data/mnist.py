"""The MNIST family: from four .gz files, checked against their registered SHA-256.

Addresses, sizes and SHA-256 are those of tensorflow-datasets' registry. A folder of the
user's is read and never written to; otherwise tensorflow-datasets' download manager fetches
the files once and keeps them in its cache.
"""

import hashlib
import importlib.util
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from jaxcls.data.dataset import Dataset
from jaxcls.data.idx import read_images, read_labels

FAMILY = {
    "mnist": tuple("0123456789"),
    "fashion_mnist": (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    ),
    "kmnist": ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo"),
}
PROBE_SECONDS = 5.0


class RegisteredFile(NamedTuple):
    """A line of tensorflow-datasets' registry."""

    name: str
    url: str
    size: int
    sha256: str


def registry(name: str) -> list[RegisteredFile]:
    """The four files of a dataset of the family, as tensorflow-datasets registers them.

    >>> [file.name for file in registry("mnist")][:2]
    ['t10k-images-idx3-ubyte.gz', 't10k-labels-idx1-ubyte.gz']
    """
    # Read as a file: importing tensorflow_datasets takes as long as all the rest of a load.
    package = importlib.util.find_spec("tensorflow_datasets")
    assert package is not None and package.origin is not None  # a declared dependency
    folder = Path(package.origin).parent / "url_checksums"
    files = []
    for line in (folder / f"{name}.txt").read_text().splitlines():
        url, size, sha256 = line.split()[:3]
        files.append(RegisteredFile(url.rsplit("/", 1)[-1], url, int(size), sha256))
    return files


def load_folder(name: str, folder: str | os.PathLike) -> tuple[Dataset, Dataset]:
    """Training and test set from the dataset's four .gz files in `folder`.

    Raises:
        ValueError: the folder or a file is missing, or a file is not the registered one.
    """
    folder = Path(folder)
    if not folder.is_dir():
        found = "a file, not a folder" if folder.exists() else "there is no such folder"
        raise ValueError(f"data folder {folder}: {found}. {_how_to_get(name)}")
    missing = [
        file.name for file in registry(name) if not (folder / file.name).is_file()
    ]
    if missing:
        raise ValueError(
            f"data folder {folder}: lacks {', '.join(missing)}. {_how_to_get(name)}"
        )
    return _load(name, {file.name: folder / file.name for file in registry(name)})


def load_cached(name: str) -> tuple[Dataset, Dataset]:
    """Training and test set from tensorflow-datasets' cache, fetched there if need be.

    Raises:
        OSError: the files are not in the cache and can't be fetched.
        ValueError: a file is not the registered one.
    """
    paths = _cached_paths(name)
    if not all(path.is_file() for path in paths.values()):
        _fetch(name)
    return _load(name, paths)


def host_answers(name: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether the dataset's host answers within `seconds`, name resolution included."""
    url = registry(name)[0].url
    done, answered = threading.Event(), threading.Event()

    def ask():
        try:
            import requests

            if requests.head(url, timeout=seconds, allow_redirects=True).ok:
                answered.set()
        except Exception:  # whatever went wrong, the answer is no
            pass
        finally:
            done.set()

    # In a thread that may be left behind: no socket's timeout covers name resolution.
    threading.Thread(target=ask, daemon=True).start()
    done.wait(seconds)
    return answered.is_set()


def _fetch(name: str) -> None:
    host = registry(name)[0].url.split("/")[2]
    if not host_answers(name):
        raise OSError(
            f"{name} is not at hand and {host} does not answer. {_how_to_get(name)}"
        )
    import tensorflow_datasets as tfds

    try:
        manager = tfds.download.DownloadManager(
            download_dir=_download_dir(name),
            dataset_name=name,
            force_checksums_validation=True,
        )
        manager.download([file.url for file in registry(name)])
    except Exception as error:  # the manager raises what its many layers raise
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        raise OSError(
            f"{name} could not be fetched from {host} ({reason}). {_how_to_get(name)}"
        ) from error


def _download_dir(name: str) -> Path:
    from tensorflow_datasets.core import constants

    try:
        return Path(constants.DATA_DIR).expanduser() / "downloads"
    except RuntimeError:  # of a user whom the system does not know, as a container's
        raise OSError(
            f"{name} is not at hand, and there is no home folder to fetch it into. "
            f"{_how_to_get(name)}"
        ) from None


def _cached_paths(name: str) -> dict[str, Path]:
    """Where the download manager keeps each file."""
    from tensorflow_datasets.core.download.resource import get_dl_fname

    folder = _download_dir(name) / name
    return {
        file.name: folder / get_dl_fname(file.url, file.sha256)
        for file in registry(name)
    }


def _load(name: str, paths: dict[str, Path]) -> tuple[Dataset, Dataset]:
    files = {
        file.name: _read_checked(name, file, paths[file.name])
        for file in registry(name)
    }

    def dataset(part: str) -> Dataset:
        image_file, label_file = (
            f"{part}-images-idx3-ubyte.gz",
            f"{part}-labels-idx1-ubyte.gz",
        )
        images = read_images(files.pop(image_file), image_file)
        labels = read_labels(files.pop(label_file), label_file)
        if len(images) != len(labels):
            raise ValueError(
                f"{image_file} holds {len(images):,} images, but {label_file} {len(labels):,} labels."
            )
        return Dataset(
            features=images.reshape(len(images), -1),
            targets=labels.astype("int32"),
            labels=tuple(range(10)),
            class_names=FAMILY[name],
            image_shape=images.shape[1:],
        )

    with ThreadPoolExecutor() as pool:  # unpacking leaves the interpreter free
        train, test = pool.map(dataset, ("train", "t10k"))
    return train, test


def _read_checked(name: str, file: RegisteredFile, path: Path) -> bytes:
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found == file.sha256:
        return content
    for other in FAMILY:
        for theirs in registry(other):
            if found == theirs.sha256:
                raise ValueError(
                    f"{path}: this is {theirs.name} of {other}, not {file.name} of {name}."
                )
    raise ValueError(
        f"{path}: not the registered file of {name}: expected SHA-256 {file.sha256} and "
        f"{file.size:,} bytes, found {found} and {len(content):,} bytes. Get it again from {file.url}"
    )


def _how_to_get(name: str) -> str:
    folder = registry(name)[0].url.rsplit("/", 1)[0]
    return (
        f"To use {name}, put the four .gz files of {folder}/ in a folder and name it with "
        "--data-dir or JAXCLS_DATA_DIR."
    )
