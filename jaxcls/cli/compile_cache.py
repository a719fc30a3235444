"""Compiled programs, kept from one run of a script to the next."""

import contextlib
import hashlib
import os
import re
import stat
import warnings
from pathlib import Path

import jax

from jaxcls.cli.device import instruction_sets, machine
from jaxcls.cli.screen import note

# Some 20 kB each. One that is not used any more, by another version of jax say, goes in time.
_MOST_PROGRAMS = 2000
_NAMED = "JAX_COMPILATION_CACHE_DIR"


def use_compile_cache() -> None:
    """Has jax keep what it compiles, so that the same job compiles once.

    Where JAX_COMPILATION_CACHE_DIR names a folder it is that one, unless others may write to
    it, since what lies there is run as it is; a line says so. Else it is one of the user's
    own, for this processor and number of cores, since what is compiled depends on them. With
    neither, nothing is kept.
    """
    if (named := os.environ.get(_NAMED)) is not None:
        if not named or "://" in named:  # none is wanted, or jax keeps them elsewhere
            return
        folder = Path(named)
        if folder.is_dir() and not _is_private(folder):
            note(
                f"{_NAMED} {folder} is not used: others may write there, and what it holds "
                "is run as it is; name a folder of your own.",
            )
            jax.config.update("jax_compilation_cache_dir", None)
            return
    elif (folder := _private_folder()) is not None:
        _remove_oldest(folder)
        jax.config.update("jax_compilation_cache_dir", str(folder))
    else:
        return
    # Each of our programs compiles in less than the second from which on jax would keep it.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # With a full disk, say, a run compiles again, and is right.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation")
    _seal_programs()


class SealedPrograms:
    """A folder of programs, each behind a digest of its name and itself.

    jax's own writes no program a second time, so that one which was cut short is compiled
    again for ever, and runs what it finds under a name. Here what does not fit goes.
    """

    def __init__(self, folder: str | os.PathLike):
        self._path = Path(folder)

    def get(self, key: str) -> bytes | None:
        """The program of this name, or None."""
        path = self._file(key)
        try:
            content = path.read_bytes()
        except OSError:
            return None
        seal = _seal(key, b"")
        seal, program = content[: len(seal)], content[len(seal) :]
        if seal == _seal(key, program):
            return program
        with contextlib.suppress(OSError):
            path.unlink()
        return None

    def put(self, key: str, value: bytes) -> None:
        """Keeps a program, whole or not at all.

        Raises:
            OSError: it can't be written.
        """
        self._path.mkdir(mode=0o700, parents=True, exist_ok=True)
        path = self._file(key)
        temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
        try:
            # Not flushed to disk: what a power cut leaves of it does not fit its seal.
            temporary.write_bytes(_seal(key, value) + value)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)

    def _file(self, key: str) -> Path:
        # Not quite jax's own name: where the folder is shared, each leaves the other's alone.
        return self._path / f"{key}-sealed-cache"


def _seal(key: str, program: bytes) -> bytes:
    return hashlib.sha256(key.encode() + b"\0" + program).digest()


def _seal_programs() -> None:
    """Has jax keep its programs sealed; one whose insides are others keeps them as it does."""
    with contextlib.suppress(ImportError):
        from jax._src import compilation_cache

        if hasattr(compilation_cache, "get_file_cache"):
            # pyrefly: ignore[bad-assignment]
            compilation_cache.get_file_cache = lambda path: (SealedPrograms(path), path)


def _private_folder() -> Path | None:
    """The folder, made if need be; None if there can be none that only its user writes to."""
    digest = hashlib.sha256(f"{machine()} {instruction_sets()}".encode()).hexdigest()
    name = f"{re.sub('[^A-Za-z0-9]+', '-', machine())}-{digest[:8]}"
    try:
        where = Path(os.environ.get("XDG_CACHE_HOME", ""))
        if not where.is_absolute():
            where = Path.home() / ".cache"
        where.mkdir(parents=True, exist_ok=True)
        for folder in (where / "jaxcls", where / "jaxcls" / name):
            folder.mkdir(mode=0o700, exist_ok=True)
            if not _is_private(folder):
                return None
    except (OSError, RuntimeError):  # a read-only home, or none
        return None
    return where / "jaxcls" / name


def _is_private(folder: Path) -> bool:
    found = folder.stat()
    own = not hasattr(os, "getuid") or found.st_uid == os.getuid()
    # Windows keeps no such bits; its homes are the users' own.
    open_to_others = os.name == "posix" and found.st_mode & (
        stat.S_IWGRP | stat.S_IWOTH
    )
    return own and not open_to_others


def _remove_oldest(folder: Path) -> None:
    ages = []
    with contextlib.suppress(OSError), os.scandir(folder) as found:
        for each in found:
            # Beside the programs lies a folder of XLA's where there is a GPU; and another
            # process may remove one meanwhile.
            with contextlib.suppress(OSError):
                if each.is_file(follow_symlinks=False):
                    ages.append((each.stat().st_mtime, each.path))
    for _, path in sorted(ages)[:-_MOST_PROGRAMS]:
        with contextlib.suppress(OSError):
            os.unlink(path)
