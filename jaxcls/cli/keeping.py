"""Many runs in their folder: what is written as they go, and how they stop when asked to."""

import sys
import time
from typing import Self

from jaxcls.cli.screen import bearable, on_terminal, show, to_go_on
from jaxcls.cli.signals import Stopped, StopRequest
from jaxcls.runs import RunFolder, write_block
from jaxcls.study.devices import on_any_process
from jaxcls.study.sweep import Done

_FAILED = 255  # no signal's number
_SECONDS = 2.0  # between two blocks, and two lines of progress five times as long


class Keeper:
    """Keeps what came of chunks of runs, shows progress, and stops where a signal asked for it."""

    def __init__(
        self,
        folder: RunFolder | None,
        request: StopRequest,
        total: int,
    ):
        """Starts to keep.

        Args:
            folder: to write to; None where another process writes.
            request: of a stop.
            total: runs, with those that are known already.
        """
        self._folder, self._request = folder, request
        self._new: Done = {}
        self._written = time.perf_counter()
        self._progress = Progress(total, quiet=folder is None)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, *_) -> None:
        self._progress.close()
        # What was trained is kept, whatever ended the training; but a disk that is full is.
        if kind is None or not issubclass(kind, OSError):
            self._write()

    def skip(self, runs: int) -> None:
        """Counts runs that need not be trained: known already, or dropped."""
        self._progress.skip(runs)

    def keep(self, done: Done) -> None:
        """Takes chunks that were trained just now."""
        self._new |= done
        self._progress.show(sum(len(runs.epochs) for runs in done.values()))
        problem = None
        if time.perf_counter() - self._written > _SECONDS:
            try:
                self._write()
            except OSError as error:
                problem = error
        # Agreed on, lest the others wait for one that has ended.
        signum = on_any_process(_FAILED if problem else self._request.signum or 0)
        if problem is not None:
            raise problem
        if signum == _FAILED:
            raise OSError("the process that writes could not, and says why.")
        if signum:
            self._write()
            where = "FOLDER" if self._folder is None else self._folder.path
            raise Stopped(signum, f"stopped; {to_go_on(where)}")

    def _write(self) -> None:
        if self._folder is not None and self._new:
            write_block(self._folder.here(), self._new, self._folder.config)
        self._new, self._written = {}, time.perf_counter()


class Progress:
    """A bar with the time left on a terminal, a line now and then elsewhere.

    >>> progress = Progress(total=4)
    >>> progress.show(4)
    4 of 4 runs
    """

    def __init__(self, total: int, *, quiet: bool = False):
        from tqdm import tqdm

        self._total, self._done, self._trained, self._quiet = total, 0, 0, quiet
        self._start = self._shown = time.perf_counter()
        self._bar = None
        if not quiet and on_terminal():
            self._bar = tqdm(
                total=total,
                unit="run",
                unit_scale=True,
                file=sys.stdout,
                dynamic_ncols=True,
            )

    def close(self) -> None:
        """Ends the bar."""
        if self._bar is not None:
            with bearable():
                self._bar.close()

    def skip(self, runs: int) -> None:
        """Counts runs that need no training."""
        self._done += runs
        if self._bar is not None:
            self._bar.initial += runs
            with bearable():
                self._bar.update(runs)

    def show(self, runs: int) -> None:
        """Counts runs that were trained; those that filled up a chunk do not count."""
        before, self._done = self._done, min(self._done + runs, self._total)
        self._trained += self._done - before
        if self._bar is not None:
            with bearable():
                self._bar.update(self._done - before)
            return
        now = time.perf_counter()
        ended = self._done == self._total
        if self._quiet or not (ended or now - self._shown > 5 * _SECONDS):
            return
        self._shown = now
        line = f"{self._done:,} of {self._total:,} runs"
        if not ended:
            rate = self._trained / (now - self._start)
            left = (self._total - self._done) / rate
            line += f", {rate:.3g} a second, {left:,.0f} s left"
        show(line)
