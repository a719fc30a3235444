"""Outcomes for a person, as a table by section, and for a program, as JSON values."""

import itertools
import textwrap

import numpy as np

from jaxcls.notes.checks import rounded
from jaxcls.notes.figures import Printed
from jaxcls.notes.verdicts import Verdict

_WIDTHS = (30, 24, 24, 24, 6)


def lines_of(verdict: Verdict, before: Verdict | None) -> list[str]:
    """The lines of a verdict, below a new title, page or head where those of `before` do not hold."""
    lines = []
    if before is None or before.figure.section != verdict.figure.section:
        lines += ["", *textwrap.wrap(verdict.figure.section, sum(_WIDTHS))]
        before = None
    if before is None or before.figure.page != verdict.figure.page:
        lines.append(f"code: {verdict.figure.page}")
    if before is None or _head(before) != _head(verdict):
        lines += _row([[cell] for cell in _head(verdict)])
    return lines + _verdict_lines(verdict)


def as_json(verdict: Verdict) -> dict:
    """A verdict as values for JSON, its numbers to the last digit."""
    values = {
        name: value if isinstance(value, str) else np.asarray(value).tolist()
        for name, value in verdict.values.items()
    }
    keys = {} if verdict.num_keys is None else {"num_keys": verdict.num_keys}
    figure = verdict.figure._asdict() | {"page": verdict.figure.page}
    return figure | values | keys | {"agrees": verdict.agrees}


def _head(verdict: Verdict) -> tuple[str, ...]:
    of = "" if verdict.num_keys is None else f" of {verdict.num_keys} keys"
    columns = (f"{name}{of}" for name in verdict.values)
    return ("figure", "in the notes", *columns, "agrees")


def _verdict_lines(verdict: Verdict) -> list[str]:
    figure = verdict.figure
    cells = [[figure.id, *textwrap.wrap(figure.what, _WIDTHS[0] - 2)]]
    cells.append(_cell(figure.printed, _WIDTHS[1]))
    for value, width in zip(verdict.values.values(), _WIDTHS[2:4], strict=True):
        text = value if isinstance(value, str) else rounded(value, figure.printed)
        cells.append(_cell(text, width))
    return _row([*cells, ["yes" if verdict.agrees else "NO"]])


def _cell(printed: Printed, width: int) -> list[str]:
    """The lines of a cell: a line for each row of a matrix, else as many as it takes."""
    if isinstance(printed, str):
        return textwrap.wrap(printed, width)
    if isinstance(printed[0], str):
        return textwrap.wrap(" ".join(printed), width)
    places = max(len(number) for row in printed for number in row)
    return [" ".join(number.rjust(places) for number in row) for row in printed]


def _row(cells: list[list[str]]) -> list[str]:
    return [
        "  ".join(
            line.ljust(width) for line, width in zip(lines, _WIDTHS, strict=True)
        ).rstrip()
        for lines in itertools.zip_longest(*cells, fillvalue="")
    ]
