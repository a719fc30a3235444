"""Many runs in their folder: what is written as they go, and how they stop when asked to."""

import time
from pathlib import Path
from typing import Self

from jaxcls.cli.progress import ProgressBar
from jaxcls.cli.signals import Stopped, StopRequest
from jaxcls.runs import RunFolder, write_block
from jaxcls.study.devices import on_any_process
from jaxcls.study.sweep import Done

_FAILED = 255  # no signal's number
_SECONDS = 2.0  # between two blocks


class Keeper:
    """Keeps what came of chunks of runs, shows progress, and stops where a signal asked for it."""

    def __init__(
        self,
        folder: RunFolder | None,
        request: StopRequest,
        total: int,
        known: int,
    ):
        """Starts to keep.

        Args:
            folder: to write to; None where another process writes.
            request: of a stop.
            total: runs, with those that are known already.
            known: those.
        """
        self._folder, self._request = folder, request
        self._new: Done = {}
        self._written = time.perf_counter()
        self._runs = known
        # The process that writes shows it, for all.
        self._progress = (
            None if folder is None else ProgressBar(total, "run", done=known)
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        if self._progress is not None:
            self._progress.__exit__()
        # What was trained is kept, whatever ended the training; but a disk that is full is.
        if kind is None or not issubclass(kind, OSError):
            self._write()

    def keep(self, done: Done) -> None:
        """Takes chunks that were trained just now."""
        self._new |= done
        self._runs += sum(len(runs.epochs) for runs in done.values())
        if self._progress is not None:
            self._progress.update(self._runs)
        problem = None
        if time.perf_counter() - self._written > _SECONDS:
            try:
                self._write()
            except OSError as error:
                problem = error
        # Agreed on, so that the others do not wait for one that has ended.
        signum = on_any_process(_FAILED if problem else self._request.signum or 0)
        if problem is not None:
            raise problem
        if signum == _FAILED:
            raise OSError("the process that writes could not, and says why.")
        if signum:
            self._write()
            raise Stopped(
                signum, Path("FOLDER") if self._folder is None else self._folder.path
            )

    def _write(self) -> None:
        if self._folder is not None and self._new:
            write_block(self._folder.here(), self._new, self._folder.config)
        self._new, self._written = {}, time.perf_counter()
