"""Ctrl-C and SIGTERM: the first asks for a stop, the second stops at once."""

import contextlib
import os
import signal
import threading
from collections.abc import Iterator


class Stopped(KeyboardInterrupt):
    """A run that stopped because it was asked to; `signum` says by which signal."""

    def __init__(self, signum: int, sentence: str):
        super().__init__(sentence)
        self.signum = signum


class StopRequest:
    """The signal that asked for a stop, or None so far."""

    def __init__(self):
        self.signum: int | None = None

    @contextlib.contextmanager
    def listening(self) -> Iterator[None]:
        """Takes the first SIGINT or SIGTERM as a request; a second one ends the process.

        A signal that is ignored, as Ctrl-C is in a shell's background, stays so; a thread has
        no say in signals.
        """
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        default = {
            signal.SIGINT: signal.default_int_handler,
            signal.SIGTERM: signal.SIG_DFL,
        }
        mine = [each for each in default if signal.getsignal(each) == default[each]]

        def first(signum: int, _) -> None:
            self.signum = signum
            for each in mine:
                signal.signal(each, second)
            # Not print: the signal may have come in the midst of one.
            with contextlib.suppress(OSError):
                os.write(2, b"stopping after the epochs in hand; once more: at once\n")

        def second(signum: int, _) -> None:
            # The system's own way, which waits for nothing in hand. It is not set at once in
            # `first`: a signal that came meanwhile would be lost.
            signal.signal(signum, signal.SIG_DFL)
            signal.raise_signal(signum)

        for each in mine:
            signal.signal(each, first)
        try:
            yield
        finally:
            for each in mine:
                # After a request the process is about to end: a second signal ends it at once
                # also then, and not by an exception in the midst of Python's own clean-up.
                asked = self.signum is not None
                signal.signal(each, signal.SIG_DFL if asked else default[each])
