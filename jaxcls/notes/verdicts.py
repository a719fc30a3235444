"""A figure beside jaxcls's value of it, and whether the two agree."""

from typing import NamedTuple

import jax
import numpy as np

from jaxcls.notes.checks import (
    agrees_in_float32,
    agrees_to_the_digit,
    lies_within,
)
from jaxcls.notes.figures import Figure
from jaxcls.notes.recipes import REPEATED
from jaxcls.notes.runs import Precision, Runs
from jaxcls.notes.values import ERRORS, EXACT, STATISTICAL

PRECISIONS: tuple[Precision, Precision] = ("float64", "float32")


class Verdict(NamedTuple):
    """What came of a figure.

    Attributes:
        figure: of the notes.
        values: two of jaxcls: in float64 and float32, or the lowest and highest of all keys;
            numbers of the figure's shape, or what was seen at an error.
        num_keys: how many keys a statistical figure was repeated with.
        agrees: whether they are what the notes print.
    """

    figure: Figure
    values: dict[str, np.ndarray | str]
    num_keys: int | None
    agrees: bool


def judge(figure: Figure, runs: dict[Precision, Runs]) -> Verdict:
    """Computes a figure and compares it with the notes.

    Args:
        figure: of the notes.
        runs: the notes' runs in both precisions.
    """
    if figure.kind == "statistical":
        name, part = STATISTICAL[figure.id]
        values = part(runs["float32"].repeated(name))
        lowest, highest = values.min(axis=0), values.max(axis=0)
        agrees = lies_within(lowest, highest, figure.printed)
        num_keys = REPEATED[name].num_keys
        return Verdict(figure, {"lowest": lowest, "highest": highest}, num_keys, agrees)
    if figure.kind == "error":
        seen = {each: _error(figure, runs[each]) for each in PRECISIONS}
        texts = {precision: text for precision, (_, text) in seen.items()}
        return Verdict(figure, {**texts}, None, all(met for met, _ in seen.values()))
    wide, narrow = (_exact(figure, runs[each]) for each in PRECISIONS)
    agrees = agrees_to_the_digit(wide, figure.printed) and agrees_in_float32(
        narrow, figure.printed
    )
    return Verdict(figure, {"float64": wide, "float32": narrow}, None, agrees)


def _exact(figure: Figure, runs: Runs) -> np.ndarray:
    with jax.enable_x64(runs.precision == "float64"):
        return np.asarray(jax.device_get(EXACT[figure.id](runs)), np.float64)


def _error(figure: Figure, runs: Runs) -> tuple[bool, str]:
    with jax.enable_x64(runs.precision == "float64"):
        return ERRORS[figure.id](runs)
