"""One writer at a time: the lock on a folder, which the system takes back however a process ends.

Where there is `fcntl`, the folder itself is locked, so that no file is left behind. Windows
can't open folders: a file `.lock` in it is locked there.
"""

import contextlib
import errno
import os
from pathlib import Path

try:
    import fcntl
except ImportError:  # on Windows
    fcntl = None
try:
    import msvcrt
except ImportError:  # everywhere else
    msvcrt = None

# What a file system without locks says; NFS wants the file of an exclusive lock to be writable.
_NO_LOCKS = {
    errno.EBADF,
    errno.EINVAL,
    errno.ENOLCK,
    errno.ENOSYS,
    errno.ENOTSUP,
    errno.EOPNOTSUPP,
}
_HELD_ON_WINDOWS = {errno.EACCES, errno.EDEADLK}


class Lock:
    """A lock on a folder, held from its making to `release`.

    Attributes:
        problem: why no lock could be had where the system or the file system has none, or None.

    Raises:
        BlockingIOError: another process holds it.
        OSError: the folder can't be opened.
    """

    def __init__(self, folder: Path):
        """Takes the lock of a folder that there is."""
        self._is_file = fcntl is None
        self._place = folder / ".lock" if self._is_file else folder
        flags = os.O_RDWR | os.O_CREAT if self._is_file else os.O_RDONLY
        self._descriptor = os.open(self._place, flags)
        try:
            self.problem = self._take()
        except OSError:
            os.close(self._descriptor)
            raise

    def is_in_place(self) -> bool:
        """Whether what is locked still stands at its path.

        Raises:
            OSError: the path can't be looked at.
        """
        try:
            there = os.stat(self._place)
        except (FileNotFoundError, NotADirectoryError):
            return False
        return os.path.samestat(there, os.fstat(self._descriptor))

    def release(self) -> None:
        """Gives the lock back."""
        os.close(self._descriptor)
        if self._is_file:
            with contextlib.suppress(OSError):  # another process may have opened it
                self._place.unlink()

    def _take(self) -> str | None:
        try:
            if fcntl is not None:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            elif msvcrt is not None:
                # pyrefly: ignore [missing-attribute]
                msvcrt.locking(self._descriptor, msvcrt.LK_NBLCK, 1)
            else:
                return "this system has no locks"
        except BlockingIOError:
            raise
        except OSError as error:
            if self._is_file and error.errno in _HELD_ON_WINDOWS:
                raise BlockingIOError(error.errno, "locked") from None
            if error.errno not in _NO_LOCKS:
                raise
            return f"its file system has no locks: {error.strerror}"
        return None
