"""To what sizes rows are filled up, so that sets of many sizes share a few programs.

A set of up to `batch_size` rows is one step of all of them, filled up to `batch_size` halved so often
as they still fit. A larger one is filled up to a power of two of steps, of which only those that
have rows of their own are done. So four fifths of a set, give or take a row, and the whole set have two
sizes between them at most.
"""

import math
from typing import NamedTuple

_FEWEST = 16  # rows; smaller sizes save nothing


class Size(NamedTuple):
    """How so many rows are trained on.

    Attributes:
        rows: to which they are filled up.
        steps: of an epoch that have rows.
        batch_size: of a step, or None where one step sees all.
    """

    rows: int
    steps: int
    batch_size: int | None


def size_of(count: int, batch_size: int) -> Size:
    """The size of a set of `count` rows in steps of at most `batch_size`.

    >>> size_of(100, 200), size_of(1437, 64)
    (Size(rows=100, steps=1, batch_size=None), Size(rows=2048, steps=23, batch_size=64))
    """
    if count > batch_size:
        steps = math.ceil(count / batch_size)
        return Size(_power_of_two(steps) * batch_size, steps, batch_size)
    rows = batch_size
    while (half := math.ceil(rows / 2)) >= max(count, _FEWEST) and half < rows:
        rows = half
    return Size(rows, 1, None)


def held_out_size(size: Size, fraction: float) -> int:
    """Rows to which those held out are filled up, the same for all sets of this size.

    Of N examples at most `fraction` N + 1 are held out.

    >>> held_out_size(size_of(1437, 64), 0.1)
    229
    """
    return math.ceil((size.rows * fraction + 1) / (1 - fraction))


def _power_of_two(count: int) -> int:
    """The least that is not below `count`."""
    return 1 << (count - 1).bit_length()
