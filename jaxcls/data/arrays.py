"""NumPy's files, .npy and .npz, read within bounds; nothing in them is ever unpickled.

An array is allocated only after its header was compared with what its file can hold. So a
.npy file takes no more memory than its own size, an array of an .npz file no more than
1,032 times the archive's size, which is deflate's limit, and neither more than 2 GiB.
"""

import contextlib
import io
import math
import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

import numpy as np

# A byte of deflate's holds at most four matches of 258 bytes, each of two bits.
_DEFLATE_LIMIT = 1_032
_LARGEST = 2**31  # bytes of an array: 2 GiB
_LONGEST_HEADER = 4_096  # bytes; one of 64 dimensions, the most NumPy has, is shorter
_LONGEST_REASON = 200  # characters of an error's
_KINDS = "biufcmMSU"  # neither objects nor records nor bytes of no type


def read_npy(path: str | os.PathLike) -> np.ndarray:
    """The array of a .npy file; memory stays within the file's size, and 2 GiB.

    Args:
        path: of a file as `numpy.save` writes it.

    Raises:
        ValueError: there is no such file, or it is not a whole one of numbers or strings.

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(f"{folder}/own.npy", np.arange(3))
    ...     read_npy(f"{folder}/own.npy")
    array([0, 1, 2])
    """
    path = Path(path)
    check_file(path, "an .npy file")
    with readable(f"{path}: it"):
        file = io.FileIO(path)
    with file:
        return _read_array(file, os.fstat(file.fileno()).st_size, f"{path}: it")


def npz_names(path: str | os.PathLike) -> list[str]:
    """The names of an .npz file's arrays, in its order.

    Raises:
        ValueError: there is no such file, or it is no .npz file.
    """
    path = Path(path)
    with _open_npz(path) as archive:
        return list(_members(archive))


def read_npz(path: str | os.PathLike, names: Sequence[str]) -> dict[str, np.ndarray]:
    """The named arrays of an .npz file.

    For each, memory stays within 1,032 times the file's size, and 2 GiB.

    Args:
        path: of a file as `numpy.savez` or `numpy.savez_compressed` write it.
        names: of the arrays to read; others are left alone.

    Raises:
        ValueError: there is no such file, it lacks one of `names`, or that is not a whole
            array of numbers or strings.
    """
    path = Path(path)
    arrays = {}
    with _open_npz(path) as archive:
        members = _members(archive)
        missing = [name for name in names if name not in members]
        if missing:
            raise ValueError(
                f"{path}: it can't be read: lacks {', '.join(missing)}; it must hold "
                f"{', '.join(names)}."
            )
        for name in names:
            what = f"{path}: {name}"
            _check_member(members[name], path.stat().st_size, what)
            with readable(what):
                member = archive.open(members[name])
            with member:
                arrays[name] = _read_array(member, members[name].file_size, what)
    return arrays


def check_file(path: Path, kind: str) -> None:
    """Raises ValueError unless `path` is a file; `kind` says of what: "an .npz file"."""
    # By os.path, which says no where pathlib raises, as for a name too long.
    if os.path.isdir(path):
        raise ValueError(f"{path}: a folder, not {kind}.")
    if os.path.exists(path) and not os.path.isfile(path):
        raise ValueError(f"{path}: a pipe or a device, not {kind}; save it as a file.")
    if not os.path.isfile(path):
        raise ValueError(f"{path}: there is no such file.")


@contextlib.contextmanager
def readable(what: str) -> Iterator[None]:
    """Turns whatever a reader raises into a ValueError of one line; warnings are dropped.

    >>> with readable("own.npz: x_train"):
    ...     raise EOFError("no more bytes")
    Traceback (most recent call last):
    ValueError: own.npz: x_train can't be read: no more bytes.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # of old formats, which are read all the same
            yield
    # Any kind: zipfile, zlib, NumPy, Python's parser and Pillow raise two dozen.
    except Exception as error:
        reason = _short(str(error).strip() or type(error).__name__)
        raise ValueError(f"{what} can't be read: {reason.rstrip('.')}.") from None


def _open_npz(path: Path) -> zipfile.ZipFile:
    check_file(path, "an .npz file")
    with readable(f"{path}: it"):
        try:
            return zipfile.ZipFile(path)
        except zipfile.BadZipFile:
            pass
    raise ValueError(f"{path}: not an .npz file; numpy.savez writes one.")


def _members(archive: zipfile.ZipFile) -> dict[str, zipfile.ZipInfo]:
    return {each.filename.removesuffix(".npy"): each for each in archive.infolist()}


def _check_member(info: zipfile.ZipInfo, archive_size: int, what: str) -> None:
    # The others' decompressors, bzip2's and LZMA's, take no bound.
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise ValueError(
            f"{what} can't be read: its compression is number {info.compress_type} of ZIP, "
            "neither numpy.savez's nor numpy.savez_compressed's."
        )
    stored = info.compress_type == zipfile.ZIP_STORED
    most = info.compress_size * (1 if stored else _DEFLATE_LIMIT)
    if info.compress_size > archive_size or info.file_size > most:
        raise ValueError(
            f"{what} can't be read: the archive of {archive_size:,} bytes announces "
            f"{info.file_size:,} bytes packed into {info.compress_size:,}, which can't be."
        )


def _read_array(file: IO[bytes], size: int, what: str) -> np.ndarray:
    """The array of a .npy file of `size` bytes."""
    with readable(what):
        shape, dtype = _read_header(file)
        rest = size - file.tell()
    _check_announced(shape, dtype, rest, what)
    with readable(what):
        file.seek(0)
        array = np.lib.format.read_array(file, allow_pickle=False)
        # In this machine's byte order, whichever wrote it: jax takes no other.
        return array.astype(array.dtype.newbyteorder("="), copy=False)


def _read_header(file: IO[bytes]) -> tuple[tuple[int, ...], np.dtype]:
    try:
        version = np.lib.format.read_magic(file)
    except ValueError:
        raise ValueError("it is no array in NumPy's format") from None
    if version not in ((1, 0), (2, 0), (3, 0)):
        raise ValueError(
            f"its format is {'.'.join(map(str, version))}, wanted 1.0, 2.0 or 3.0"
        )
    length = file.read(2 if version == (1, 0) else 4)
    size = int.from_bytes(length, "little")
    if size > _LONGEST_HEADER:
        raise ValueError(
            f"its header announces {size:,} bytes of its own, more than the "
            f"{_LONGEST_HEADER:,} allowed"
        )
    header = file.read(size)
    # Then 2.0 and 3.0, which differ in how they decode it, agree on what it says.
    if not header.isascii():
        raise ValueError("its header is not ASCII")
    read = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    shape, _, dtype = read(io.BytesIO(length + header))
    return shape, dtype


def _check_announced(
    shape: tuple[int, ...], dtype: np.dtype, rest: int, what: str
) -> None:
    if dtype.hasobject:
        raise ValueError(
            f"{what} holds pickled objects, which are never loaded; save numbers, or words by "
            ".astype(str)."
        )
    if dtype.kind not in _KINDS or dtype.itemsize == 0:
        raise ValueError(
            f"{what} holds {_short(str(dtype))}, neither numbers nor strings; save float32."
        )
    size = math.prod(shape) * dtype.itemsize
    # Each dimension too: where one is 0, others of any size announce no bytes.
    if max(size, *shape, 0) > _LARGEST:
        raise ValueError(
            f"{what} can't be read: its header announces more than the 2 GiB allowed."
        )
    if size != rest or min(shape, default=0) < 0:
        raise ValueError(
            f"{what} can't be read: its header announces {size:,} bytes of "
            f"{_short(f'{dtype} {list(shape)}')}, but {rest:,} follow."
        )


def _short(text: str) -> str:
    line = text.splitlines()[0]
    if not line.isprintable():
        line = ascii(line)[1:-1]
    if len(line) <= _LONGEST_REASON:
        return line
    return f"{line[:_LONGEST_REASON]}..."
