"""Whether a value is what the notes print: to the last digit, nearly, or within a range."""

from collections.abc import Iterator
from decimal import Decimal

import numpy as np

from jaxcls.notes.figures import Printed

_FLOAT32_UNITS = 2
_FLOAT32_DIGITS = 9


def rounded(values: np.ndarray, printed: Printed) -> Printed:
    """Numbers as the notes would print them, each with the digits of its place in `printed`.

    The notes print tensors, which hold float32: a number is rounded to that first, save where
    more digits are printed than a float32 has (they are then a Python float's). It matters
    once: exp(4) is 54.59815003, but the float32 nearest to it 54.59814835, printed 54.5981.

    >>> rounded(np.array([0.99357, 7.59312e-4, np.exp(4)]), ["0.9936", "7.5931e-04", "54.5981"])
    ['0.9936', '7.5931e-04', '54.5981']
    """
    if isinstance(printed, str):
        mantissa, _, exponent = printed.partition("e")
        is_tensor = len(mantissa.strip("-0.").replace(".", "")) <= _FLOAT32_DIGITS
        value = float(np.float32(values)) if is_tensor else float(values)
        decimals = len(mantissa.partition(".")[2])
        return f"{value:.{decimals}{'e' if exponent else 'f'}}"
    return [rounded(*pair) for pair in zip(values, printed, strict=True)]


def agrees_to_the_digit(values: np.ndarray, printed: Printed) -> bool:
    """Whether every number, rounded, is the printed one.

    >>> agrees_to_the_digit(np.array(0.99357), "0.9936")
    True
    """
    return rounded(values, printed) == printed


def agrees_in_float32(values: np.ndarray, printed: Printed) -> bool:
    """Whether every number lies within two units of the last printed digit.

    Where more digits are printed than float32 has, the unit is float32's own; integers, which
    are labels here, must be equal.

    >>> agrees_in_float32(np.array(0.44009), "0.4399"), agrees_in_float32(np.array(0.4402), "0.4399")
    (True, False)
    """
    return all(
        abs(value - float(text)) <= _FLOAT32_UNITS * _unit_in_float32(text)
        for value, text in _pairs(values, printed)
    )


def lies_within(lowest: np.ndarray, highest: np.ndarray, printed: Printed) -> bool:
    """Whether every printed number lies in its range, widened by its own last digit.

    >>> lies_within(np.array(0.951), np.array(0.958), "0.96")
    True
    """
    return all(
        low - _unit(text) <= float(text) <= high + _unit(text)
        for (low, text), (high, _) in zip(
            _pairs(lowest, printed), _pairs(highest, printed), strict=True
        )
    )


def _unit(text: str) -> float:
    """One in the last place of a number's text: 0.01 for "0.97", 1e-8 for "7.5931e-04"."""
    return float(Decimal(1).scaleb(int(Decimal(text).as_tuple().exponent)))


def _unit_in_float32(text: str) -> float:
    return max(_unit(text), np.spacing(np.float32(text))) if "." in text else 0.0


def _pairs(values: np.ndarray, printed: Printed) -> Iterator[tuple[float, str]]:
    if isinstance(printed, str):
        yield float(values), printed
        return
    for value, text in zip(values, printed, strict=True):
        yield from _pairs(value, text)
