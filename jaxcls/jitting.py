"""`jitted`: jax.jit that keeps a function's signature, which type checkers otherwise lose."""

from collections.abc import Callable
from typing import Any, Generic, ParamSpec, Protocol, TypeVar, cast

import jax

P = ParamSpec("P")
R = TypeVar("R")
R_co = TypeVar("R_co", covariant=True)


class Jitted(Protocol, Generic[P, R_co]):
    """A jitted function."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R_co:
        """As the function itself."""
        ...

    def lower(self, *args: P.args, **kwargs: P.kwargs) -> Any:
        """Its program for these arguments, a `jax.stages.Lowered`."""
        ...


def jitted(*static: str) -> Callable[[Callable[P, R]], Jitted[P, R]]:
    """`jax.jit` as a decorator, with the names of static arguments.

    >>> @jitted("power")
    ... def raised(x: float, *, power: int) -> float:
    ...     return x**power
    >>> float(raised(3.0, power=2))
    9.0
    """

    def decorate(function: Callable[P, R]) -> Jitted[P, R]:
        return cast(Jitted[P, R], jax.jit(function, static_argnames=static))

    return decorate
