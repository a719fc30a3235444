"""The lines of torture.py's table, and what can go wrong with what they try."""

import contextlib
import dataclasses
import sys
import time
from collections.abc import Generator

LIMIT = 600  # seconds for any process, so that one that hangs is noticed


class Broken(Exception):
    """Something did not hold."""


class Untried(Exception):
    """A fault that can't be brought about on this machine."""


class TooLate(Exception):
    """The run ended before a fault came."""


@dataclasses.dataclass
class Row:
    """A line of the table.

    Attributes:
        what: was tried.
        times: how often.
        note: beside the times.
        lost: epochs of checkpoints that were done again, at most.
        problems: what did not hold.
        untried: why it could not be tried.
    """

    what: str
    times: int = 0
    note: str = ""
    lost: int = 0
    problems: list[str] = dataclasses.field(default_factory=list)
    untried: str = ""

    def cells(self) -> tuple[str, str, str, str]:
        """As the table shows it."""
        if self.untried:
            return self.what, "0", f"could not be tried: {self.untried}", "not tried"
        lost = "nothing beyond the last checkpoint"
        if self.lost:
            lost = f"the damaged checkpoint: {self.lost} epochs, done again"
        if self.lost and self.what.startswith("finished"):
            lost = "the damaged checkpoint; the result stands"
        if self.problems:
            return self.what, f"{self.times}{self.note}", "see below", "NO"
        return self.what, f"{self.times}{self.note}", lost, "yes"


@contextlib.contextmanager
def trying(*rows: Row) -> Generator[None]:
    """Notes in these rows what goes wrong inside."""
    try:
        yield
    except Untried as reason:
        for row in rows:
            row.untried = str(reason)
    except Broken as problem:
        for row in rows:
            row.problems.append(f"{row.what}: {problem}")
        say(f"NOT HELD: {rows[-1].problems[-1]}")


def table(rows: list[Row]) -> str:
    """The rows below each other, in columns as wide as need be."""
    title = ("what was tried", "times", "what was lost", "held")
    cells = [row.cells() for row in rows]
    widths = [max(map(len, column)) for column in zip(title, *cells, strict=True)]
    cells = [title, tuple("-" * width for width in widths), *cells]
    return "\n".join(
        " | ".join(map(str.ljust, line, widths)).rstrip() for line in cells
    )


def say(text: str) -> None:
    """Tells on standard error what is done now."""
    print(f"{time.strftime('%H:%M:%S')} {text}", file=sys.stderr, flush=True)
