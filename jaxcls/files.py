"""Files that are written whole or not at all; shared by the edges, apart from the core."""

import os
from pathlib import Path

import jax
import numpy as np
import safetensors
import safetensors.numpy


def write_whole(path: str | os.PathLike, content: bytes) -> None:
    """Writes a file so that its name never stands for half of it.

    The content goes to a temporary file beside it, is flushed to disk and then renamed;
    what stood there before stays until that moment.

    Raises:
        OSError: the file could not be written; nothing of it is left behind.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        try:
            with open(temporary, "wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
            _sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def append_line(path: str | os.PathLike, line: str) -> None:
    """Adds a line to a text file; if that fails, the file ends where it did.

    Raises:
        OSError: the line could not be written.
    """
    path = Path(path)
    try:
        with open(path, "ab", buffering=0) as file:
            end = file.tell()
            try:
                content = f"{line}\n".encode()
                if file.write(content) < len(content):
                    raise OSError(None, "No space left on device")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise cannot_write(path, error) from error


def save_arrays(path: str | os.PathLike, tree, metadata: dict[str, str]) -> None:
    """Writes a tree of arrays as safetensors, each named by its path in the tree.

    Args:
        path: of the file.
        tree: nested dicts, lists or NamedTuples of arrays.
        metadata: strings to keep beside them.

    Raises:
        OSError: the file could not be written.
    """
    write_whole(path, safetensors.numpy.save(named_arrays(tree), metadata))


def load_arrays(path: str | os.PathLike) -> dict[str, np.ndarray]:
    """Reads the named arrays of a safetensors file.

    Raises:
        ValueError: there is no such file, or it is not a whole one of arrays that NumPy has.
    """
    path = Path(path)
    if not path.is_file():
        found = "not a file" if path.exists() else "there is no such file"
        raise ValueError(f"{path}: {found}.")
    try:
        return safetensors.numpy.load(path.read_bytes())
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: not a whole safetensors file ({error}).") from None
    except KeyError as error:  # bfloat16 and the like
        raise ValueError(
            f"{path}: holds numbers of type {error.args[0]}, which NumPy has not; save float32."
        ) from None


def named_arrays(tree) -> dict[str, np.ndarray]:
    """The tree's arrays on the host, each named by its path joined with "/".

    >>> list(named_arrays({"params": {"Dense_0": {"bias": np.zeros(2)}}}))
    ['params/Dense_0/bias']
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {
        # Contiguous, as safetensors writes any other array wrongly and without a word.
        jax.tree_util.keystr(path, simple=True, separator="/"): np.ascontiguousarray(
            leaf
        )
        for path, leaf in leaves
    }


def cannot_write(path: Path, error: OSError) -> OSError:
    """An error of one sentence for a file or folder that can't be written."""
    return OSError(f"{path} could not be written: {error.strerror or error}.")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
