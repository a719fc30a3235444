"""Files that are written whole or not at all; shared by the edges, apart from the core."""

import contextlib
import csv
import errno
import hashlib
import io
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import jax
import numpy as np
import safetensors
import safetensors.numpy

# Many times any that is written here: a reader takes no more into memory.
_LARGEST_JSON = 16_000_000
# What is said where a folder can't be opened or flushed.
_NO_FLUSH = {
    *(errno.EACCES, errno.EPERM, errno.EBADF, errno.EINVAL),
    *(errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP),
}
_TEMPORARY = re.compile(r"\..+\.(json|jsonl|safetensors|png|csv)\.\d+\.tmp")


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
            sync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise cannot_write(path, error) from error


def append_lines(path: str | os.PathLike, *lines: str) -> None:
    """Adds lines to a text file; if that fails, the file ends where it did.

    Raises:
        OSError: they could not be written.
    """
    path = Path(path)
    try:
        with open(path, "ab", buffering=0) as file:
            end = file.tell()
            try:
                content = "".join(f"{line}\n" for line in lines).encode()
                if file.write(content) < len(content):
                    raise OSError(None, "No space left on device")
                os.fsync(file.fileno())
            except OSError:
                file.truncate(end)
                raise
    except OSError as error:
        raise cannot_write(path, error) from error


def write_csv(path: str | os.PathLike, rows: Sequence[dict]) -> None:
    """Writes rows, one or more that have the same names, as a whole .csv file.

    Raises:
        OSError: the file could not be written.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    write_whole(path, text.getvalue().encode())


def digest(content: bytes) -> str:
    """SHA-256 as 64 hexadecimal digits."""
    return hashlib.sha256(content).hexdigest()


def write_json(path: str | os.PathLike, value: dict) -> None:
    """Writes a dict as JSON with its own SHA-256, by which `read_json` knows it is unharmed.

    What is under `seconds` is not counted in, so that equal runs have equal digests.

    Raises:
        OSError: the file could not be written.
        ValueError: the value has a number that JSON has not.
    """
    sealed = value | {"sha256": _seal(value)}
    write_whole(path, (json.dumps(sealed, indent=2, allow_nan=False) + "\n").encode())


def read_json(path: str | os.PathLike) -> dict:
    """Reads what `write_json` wrote.

    Raises:
        ValueError: there is no such file, or it is not as it was written.
    """
    path = _existing(path)
    if path.stat().st_size > _LARGEST_JSON:
        raise ValueError(
            f"{path}: {path.stat().st_size:,} bytes, more than the {_LARGEST_JSON:,} allowed."
        )
    try:
        value = json.loads(path.read_bytes())
        seal = value.pop("sha256", None) if isinstance(value, dict) else None
        whole = seal is not None and seal == _seal(value)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"{path}: not a whole JSON file ({error}).") from None
    if seal is None:
        raise ValueError(f"{path}: not a file of jaxcls, as it has no seal (sha256).")
    if not whole:
        raise ValueError(f"{path}: changed or damaged since it was written.")
    return value


def save_arrays(path: str | os.PathLike, tree, metadata: dict[str, str]) -> str:
    """Writes a tree of arrays as safetensors, each named by its path in the tree.

    Args:
        path: of the file.
        tree: nested dicts, lists or NamedTuples of arrays.
        metadata: strings to keep beside them.

    Raises:
        OSError: the file could not be written.

    Returns:
        The file's SHA-256.
    """
    with _within_memory(f"{path} could not be written"):
        content = safetensors.numpy.save(named_arrays(tree), metadata)
        write_whole(path, content)
    return digest(content)


def load_arrays(
    path: str | os.PathLike, sha256: str | None = None
) -> dict[str, np.ndarray]:
    """Reads the named arrays of a safetensors file.

    Args:
        path: of the file.
        sha256: what the file's digest must be; None takes any.

    Raises:
        ValueError: there is no such file, or it is not a whole one of arrays that NumPy has,
            or not the one wanted.
        OSError: there is not enough memory for it.
    """
    path = _existing(path)
    with _within_memory(f"{path} could not be read"):
        return _load_arrays(path, sha256)


def _load_arrays(path: Path, sha256: str | None) -> dict[str, np.ndarray]:
    content = path.read_bytes()
    if sha256 is not None and digest(content) != sha256:
        raise ValueError(f"{path}: changed or damaged since it was written.")
    try:
        return safetensors.numpy.load(content)
    except KeyError as error:  # bfloat16 and the like
        raise ValueError(
            f"{path}: holds numbers of type {error.args[0]}, which NumPy has not; save float32."
        ) from None
    # The second is NumPy's, for a shape beyond it.
    except (safetensors.SafetensorError, ValueError) as error:
        reason = "".join(each if each.isprintable() else "?" for each in str(error))
        raise ValueError(f"{path}: not a whole safetensors file ({reason}).") from None


def named_arrays(tree) -> dict[str, np.ndarray]:
    """The tree's arrays on the host, each named by its path joined with "/".

    >>> list(named_arrays({"params": {"Dense_0": {"bias": np.zeros(2)}}}))
    ['params/Dense_0/bias']
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    # Contiguous, as safetensors writes any other array wrongly and without a word.
    return {_name(path): np.asarray(leaf, order="C") for path, leaf in leaves}


@contextlib.contextmanager
def _within_memory(failed: str) -> Iterator[None]:
    """Turns want of memory into an OSError of one sentence, which begins with `failed`."""
    try:
        yield
    except BaseException as error:
        # The latter is how Rust's libraries say it, and no Exception.
        if not isinstance(error, MemoryError) and (
            type(error).__name__ != "PanicException"
        ):
            raise
        raise OSError(
            f"{failed}: there is not enough memory for it; take smaller layers, or allow more."
        ) from None


def restore(template, arrays: Mapping[str, np.ndarray], source: str | os.PathLike):
    """The tree whose leaves are the arrays of these names: the inverse of `named_arrays`.

    Args:
        template: a tree of arrays or of `jax.ShapeDtypeStruct`.
        arrays: by name.
        source: what errors call the place they come from.

    Raises:
        ValueError: a name is missing or too many, or a shape or dtype is not the template's.

    >>> restore({"a": jax.ShapeDtypeStruct((2,), "int32")}, {"a": np.zeros(3, "int32")}, "x")
    Traceback (most recent call last):
    ValueError: x: a must be int32 [2], got int32 [3].
    """
    leaves, structure = jax.tree_util.tree_flatten_with_path(template)
    wanted = {_name(path): leaf for path, leaf in leaves}
    for problem, names in (
        ("lacks", wanted.keys() - arrays.keys()),
        ("has no place for", arrays.keys() - wanted.keys()),
    ):
        if names:
            raise ValueError(f"{source}: {problem} {', '.join(sorted(names))}.")
    for name, leaf in wanted.items():
        found = arrays[name]
        if (found.shape, found.dtype) != (leaf.shape, leaf.dtype):
            raise ValueError(
                f"{source}: {name} must be {leaf.dtype} {list(leaf.shape)}, "
                f"got {found.dtype} {list(found.shape)}."
            )
    return jax.tree.unflatten(structure, [arrays[name] for name in wanted])


def cannot_write(path: Path, error: OSError) -> OSError:
    """An error of one sentence for a file or folder that can't be written."""
    for part in (path, *path.parents):
        leads_nowhere = os.path.islink(part) and not os.path.exists(part)
        if leads_nowhere or (os.path.exists(part) and not os.path.isdir(part)):
            if part == path and not isinstance(error, FileExistsError):
                continue  # a file that was to be written
            what = "a link that leads nowhere" if leads_nowhere else "not a folder"
            return OSError(
                f"{path} could not be written: {part} is {what}; name another, or remove it."
            )
    return OSError(f"{path} could not be written: {error.strerror or error}.")


def make_folder(folder: Path) -> None:
    """Makes a folder in one that there is, unless it is there, so that it stays.

    Raises:
        OSError: it can't be made.
    """
    try:
        if not folder.is_dir():
            folder.mkdir()
            sync_folder(folder.parent)
    except OSError as error:
        raise cannot_write(folder, error) from error


def sync_folder(folder: Path) -> bool:
    """Flushes to disk which files a folder has, if the system and its file system can.

    Raises:
        OSError: the disk failed.

    Returns:
        Whether they can.
    """
    try:
        # Windows can't open a folder, and some file systems can't flush one.
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _NO_FLUSH:
            raise
        return False
    return True


def remove_leftovers(folder: Path) -> None:
    """Removes temporary files that a process left which was killed while it wrote."""
    for path in folder.glob(".*.tmp"):
        if _TEMPORARY.fullmatch(path.name):
            path.unlink(missing_ok=True)


def _existing(path: str | os.PathLike) -> Path:
    path = Path(path)
    try:
        if path.is_file():
            return path
        found = "not a file" if path.exists() else "there is no such file"
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        found = "a name too long for a file"
    raise ValueError(f"{path}: {found}.")


def _name(path: tuple) -> str:
    return jax.tree_util.keystr(path, simple=True, separator="/")


def _seal(value: dict) -> str:
    counted = {name: each for name, each in value.items() if name != "seconds"}
    return digest(json.dumps(counted, sort_keys=True, allow_nan=False).encode())
