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

# Some 20 kB each. One that is not used any more, by another version of jax say, goes in time.
_MOST_PROGRAMS = 2000


def use_compile_cache(script: str) -> None:
    """Has jax keep what it compiles, so that the same job compiles once.

    Where JAX_COMPILATION_CACHE_DIR names a folder jax uses that one. Else it is one of the
    user's own, since what lies there is run as it is, and one for this processor and number
    of cores, since what is compiled depends on them. With neither, nothing is kept.
    """
    if "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = _private_folder()
        if folder is None:
            return
        _remove_oldest(folder)
        jax.config.update("jax_compilation_cache_dir", str(folder))
    # Each of our programs compiles in less than the second from which on jax would keep it.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # With a damaged entry, or a full disk, a run compiles anew, and is right.
    warnings.filterwarnings("ignore", "Error (reading|writing) persistent compilation")


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
    return own and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


def _remove_oldest(folder: Path) -> None:
    with contextlib.suppress(OSError):
        programs = sorted(folder.iterdir(), key=lambda path: path.stat().st_mtime)
        for path in programs[:-_MOST_PROGRAMS]:
            path.unlink(missing_ok=True)
