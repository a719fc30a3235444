"""Ctrl-C, SIGTERM and a closed terminal: the first asks for a stop, the second stops at once.

Python runs its handlers in the main thread alone, which may wait inside XLA for minutes. So a
thread watches beside it: it answers the first signal, and a second one ends the process,
wherever the main thread is.
"""

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from jaxcls.cli.screen import how_to_resume

_DEFAULTS = {
    getattr(signal, name): signal.SIG_DFL
    for name in ("SIGTERM", "SIGHUP")  # Windows has no SIGHUP
    if hasattr(signal, name)
} | {signal.SIGINT: signal.default_int_handler}
_ANSWER = (
    b"stopping once what is being trained now is done and saved; a second signal stops "
    b"at once\n"
)


class Stopped(KeyboardInterrupt):
    """A run that stopped because it was asked to; its text is the line that the user reads."""

    def __init__(self, signum: int, path: Path, how_far: str = ""):
        """Stops a run in this folder by a signal, after so many epochs where `how_far` says so."""
        super().__init__(f"stopped{how_far}; {how_to_resume(path)}")
        self.signum = signum


class StopRequest:
    """The signal that asked for a stop, or None so far."""

    def __init__(self):
        self.signum: int | None = None
        self._answered = threading.Lock()

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the first SIGINT, SIGTERM or SIGHUP as a request; a second one ends the process.

        A signal that is ignored, as Ctrl-C is in a shell's background, stays so; a thread has
        no say in signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        # Those that a script leaves to the system, too.
        mine = [
            each
            for each, default in _DEFAULTS.items()
            if signal.getsignal(each) in (default, signal.SIG_DFL)
        ]
        before = {each: signal.getsignal(each) for each in mine}

        def heard(signum: int, _) -> None:
            # Stays for a second one, which the thread has heard of, too: of a handler that is
            # taken away between a signal and its turn, Python prints a traceback.
            self._answer(signum)

        with self._watched():
            for each in mine:
                signal.signal(each, heard)
            try:
                yield
            finally:
                for each in mine:
                    # After a request the process is about to end: a second signal ends it at
                    # once also then, and not by an exception in the midst of Python's clean-up.
                    asked = self.signum is not None
                    signal.signal(each, signal.SIG_DFL if asked else before[each])

    @contextlib.contextmanager
    def _watched(self) -> Iterator[None]:
        """Hears of each signal in a thread, as the system tells it."""
        heard, told = socket.socketpair()  # Windows wakes sockets alone
        told.setblocking(False)
        thread = threading.Thread(target=self._watch, args=(heard,), daemon=True)
        thread.start()
        before = signal.set_wakeup_fd(told.fileno(), warn_on_full_buffer=False)
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            told.close()  # which ends the thread
            thread.join()

    def _watch(self, heard: socket.socket) -> None:
        asked = False
        with heard:
            while byte := heard.recv(1):
                if byte[0] not in _DEFAULTS:
                    continue
                if asked:
                    # What is being trained is not waited for. The code is what a shell shows
                    # of a process that the signal itself ends.
                    os._exit(128 + byte[0])
                asked = True
                self._answer(byte[0])

    def _answer(self, signum: int) -> None:
        """Takes the first signal as the request, and says so; heard of twice, it is one."""
        if not self._answered.acquire(blocking=False):
            return
        self.signum = signum
        # Not print: the signal may have come in the midst of one.
        if sys.__stderr__ is not None:
            with contextlib.suppress(OSError, ValueError):
                os.write(sys.__stderr__.fileno(), _ANSWER)


@contextlib.contextmanager
def ending_at_once() -> Iterator[None]:
    """Leaves Ctrl-C to the system, which ends the process wherever it is, XLA included.

    For what has nothing to save yet. SIGTERM and SIGHUP are the system's own anyway.
    """
    main = threading.current_thread() is threading.main_thread()
    if not main or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
        yield
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    stopped = False
    try:
        yield
    except Stopped:
        stopped = (
            True  # the process is about to end, and a second signal ends it at once
        )
        raise
    finally:
        if not stopped:
            signal.signal(signal.SIGINT, signal.default_int_handler)
