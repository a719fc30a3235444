"""What a sweep tries: a distribution for each name, and the settings listed or drawn of it."""

import dataclasses
import itertools
import math
from collections.abc import Mapping
from numbers import Integral, Real
from typing import Any

import numpy as np


@dataclasses.dataclass(frozen=True)
class Uniform:
    """Numbers from `low` to `high`, each as likely.

    Raises:
        TypeError, ValueError: a bound is no finite number, or low is not below high.

    >>> Uniform(0, 0.5)
    Uniform(low=0.0, high=0.5)
    """

    low: float
    high: float

    def __post_init__(self):
        _set_bounds("Uniform", self)

    def at(self, share: float) -> float:
        """The number below which that share [0, 1) of all draws lies."""
        return _clip(_between(self.low, self.high, share), self.low, self.high)


@dataclasses.dataclass(frozen=True)
class LogUniform:
    """Positive numbers from `low` to `high`, each order of magnitude as likely.

    Raises:
        TypeError, ValueError: as of `Uniform`, or low is not positive.

    >>> round(LogUniform(1e-4, 1e-2).at(0.5), 6)
    0.001
    """

    low: float
    high: float

    def __post_init__(self):
        _set_bounds("LogUniform", self)
        if self.low <= 0:
            raise ValueError(f"LogUniform: low must be positive, got {self.low}.")

    def at(self, share: float) -> float:
        """The number below which that share [0, 1) of all draws lies."""
        exponent = _between(math.log(self.low), math.log(self.high), share)
        return _clip(math.exp(exponent), self.low, self.high)


@dataclasses.dataclass(frozen=True, init=False)
class Choice:
    """One of the values given, each as likely.

    Raises:
        TypeError: a value is not hashable, such as a list.
        ValueError: there is no value, or two are equal.

    >>> Choice("sgd", "adam").values
    ('sgd', 'adam')
    """

    values: tuple[Any, ...]

    def __init__(self, *values: Any):
        for value in values:
            try:
                hash(value)
            except TypeError:
                raise TypeError(
                    "Choice: values must be given one by one, each hashable such as a number, "
                    f"a name or a tuple, got {value!r}."
                ) from None
        if not values:
            raise ValueError("Choice: values must hold at least one, got none.")
        if len(set(values)) < len(values):
            raise ValueError(f"Choice: values must differ, got {values}.")
        object.__setattr__(self, "values", values)

    def at(self, share: float) -> Any:
        """The value that stands at that share [0, 1) of the way through them."""
        return self.values[int(share * len(self.values))]


Distribution = Uniform | LogUniform | Choice
Space = Mapping[str, Distribution]


def grid(space: Space) -> list[dict[str, Any]]:
    """Lists every combination of the choices, in their order, the last name fastest.

    Args:
        space: a `Choice` for each name.

    Raises:
        TypeError: a name is no text, or has no distribution.
        ValueError: a distribution is not a `Choice`.

    >>> grid({"optimizer": Choice("sgd", "adam"), "epochs": Choice(10)})
    [{'optimizer': 'sgd', 'epochs': 10}, {'optimizer': 'adam', 'epochs': 10}]
    """
    _check_space("search_space.grid", space)
    lists = []
    for name, distribution in space.items():
        if not isinstance(distribution, Choice):
            raise ValueError(
                f"search_space.grid: {name} must be a Choice, since a grid needs listed values, "
                f"got {distribution}; list some, or draw instead."
            )
        lists.append(distribution.values)
    return [
        dict(zip(space, values, strict=True)) for values in itertools.product(*lists)
    ]


def draw(space: Space, num: int, seed: int) -> list[dict[str, Any]]:
    """Draws independent random settings.

    A value depends on the seed, its name, its distribution and its place alone: neither on
    how many settings are drawn nor on the other names.

    Args:
        space: a distribution for each name.
        num: how many settings.
        seed: in 0..2**32-1.

    Raises:
        TypeError, ValueError: a name is no text or has no distribution, num is no integer of at
            least 1, or the seed is out of its range.

    >>> space = {"dropout_rate": Uniform(0, 0.5), "optimizer": Choice("sgd", "adam")}
    >>> draw(space, 3, seed=0)[:2] == draw(space, 2, seed=0)
    True
    """
    _check_space("search_space.draw", space)
    _check_integer("num", num)
    if num < 1:
        raise ValueError(f"search_space.draw: num must be at least 1, got {num}.")
    _check_integer("seed", seed)
    if not 0 <= seed < 2**32:
        raise ValueError(f"search_space.draw: seed must lie in 0..2**32-1, got {seed}.")
    columns = {
        name: [distribution.at(share) for share in _shares(name, num, seed)]
        for name, distribution in space.items()
    }
    return [{name: columns[name][index] for name in space} for index in range(num)]


def _shares(name: str, num: int, seed: int) -> list[float]:
    # A generator for each name, seeded by its letters as well: a hash of them could be the
    # same for two names, whose values would then always rise and fall together.
    rng = np.random.default_rng([seed, *name.encode()])
    return rng.random(num).tolist()


def _between(low: float, high: float, share: float) -> float:
    # Not low + share * (high - low), where the difference may overflow.
    return (1 - share) * low + share * high


def _clip(value: float, low: float, high: float) -> float:
    """`value`, which rounding may have put just outside, within the bounds."""
    return min(max(value, low), high)


def _set_bounds(caller: str, bounds: Uniform | LogUniform) -> None:
    """Turns the bounds into floats; raises unless they are finite and low is below high."""
    for name in ("low", "high"):
        value = getattr(bounds, name)
        if not isinstance(value, Real) or isinstance(value, bool):
            raise TypeError(f"{caller}: {name} must be a number, got {value!r}.")
        if not math.isfinite(value):
            raise ValueError(f"{caller}: {name} must be finite, got {value}.")
        object.__setattr__(bounds, name, float(value))
    if not bounds.low < bounds.high:
        raise ValueError(
            f"{caller}: low must be below high, got {bounds.low} and {bounds.high}."
        )


def _check_space(caller: str, space: Space) -> None:
    for name, distribution in space.items():
        if not isinstance(name, str):
            raise TypeError(f"{caller}: names must be text, got {name!r}.")
        if not isinstance(distribution, Distribution):
            raise TypeError(
                f"{caller}: {name} must be a Uniform, LogUniform or Choice, "
                f"got {distribution!r}."
            )


def _check_integer(name: str, value: int) -> None:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"search_space.draw: {name} must be an integer, got {value!r}.")
