"""Progress: a bar with the time left on a terminal, and elsewhere a line now and then."""

import sys
import time
from typing import Self

from jaxcls.cli.screen import bearable, on_terminal, show

_SECONDS = 10.0  # between two lines


class ProgressBar:
    """How much of what is counted is done.

    >>> with ProgressBar(4, "run") as progress:
    ...     progress.update(4)
    4 of 4 runs
    """

    def __init__(
        self,
        total: int,
        unit: str,
        *,
        done: int = 0,
        name: str = "",
        lines: bool = True,
    ):
        """Starts at `done` of `total`.

        Args:
            total: of the units to do.
            unit: what is counted, such as "epoch".
            done: those that need not be done here.
            name: before the bar.
            lines: whether to show lines where there is no bar, and to leave the bar there.
        """
        from tqdm import tqdm

        self._total, self._unit, self._lines = total, unit, lines
        self._first, self._told = done, done
        self._start = self._shown = time.perf_counter()
        self._bar = None
        if on_terminal():
            self._bar = tqdm(
                desc=name or None,
                initial=done,
                total=total,
                unit=unit,
                unit_scale=total >= 10_000,
                leave=lines,
                file=sys.stdout,
                dynamic_ncols=True,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        if self._bar is not None:
            with bearable():
                self._bar.close()

    def update(self, done: int, line: str = "", short: str = "") -> None:
        """So many are done.

        Args:
            done: of them; more than there are, which fill something up, do not count.
            line: what to show where there is no bar. Without it a line that tells the time left
                comes every ten seconds, and one at the end.
            short: what the bar has at its end.
        """
        done = min(done, self._total)
        if self._bar is not None:
            if short:
                self._bar.set_postfix_str(short, refresh=False)
            with bearable():
                self._bar.update(done - self._bar.n)
            return
        now = time.perf_counter()
        is_due = now - self._shown > _SECONDS or self._told < done == self._total
        if self._lines and (line or is_due):
            self._shown, self._told = now, done
            show(line or self._time_left(done, now))

    def _time_left(self, done: int, now: float) -> str:
        line = f"{done:,} of {self._total:,} {self._unit}s"
        if self._first < done < self._total:
            rate = (done - self._first) / (now - self._start)
            left = (self._total - done) / rate
            line += f", {rate:.3g} a second, {left:,.0f} s left"
        return line
