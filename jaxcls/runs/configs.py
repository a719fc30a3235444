"""What `config.json` keeps of a `Config`, and the `Config` that it keeps."""

import dataclasses
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from jax import Array

from jaxcls.config import Config
from jaxcls.likelihoods import LIKELIHOODS, Likelihood
from jaxcls.optimizers import NotAtHand, OwnOptimizer
from jaxcls.runs.records import as_json, shown

# Names of `Config` that came after 0.1.0, each with the value that stands for what was done before,
# so that older folders stay readable.
LATER: dict[str, Any] = {"activation": "relu", "ema_decay": None}


def settings_record(config: Config) -> dict:
    """What `config.json` keeps of a run's config.

    >>> from jaxcls import bernoulli
    >>> settings_record(Config((784, 32, 1), bernoulli))["likelihood"]
    'bernoulli'
    """
    settings = {
        field.name: getattr(config, field.name) for field in dataclasses.fields(Config)
    }
    for name in ("optimizer", "activation"):
        if callable(settings[name]):
            settings[name] = {"own": _name_of(settings[name])}
    return as_json(settings | {"likelihood": config.likelihood.name})


def _name_of(function: Any) -> str:
    """By which a function of one's own is known again; of a partial that of its function."""
    while isinstance(function, partial):
        function = function.func
    return getattr(function, "name", None) or getattr(
        function, "__name__", type(function).__name__
    )


class Own(NamedTuple):
    """A user's own functions, which no file keeps."""

    likelihood: Likelihood | None = None
    activation: Callable[[Array], Array] | None = None
    optimizer: OwnOptimizer | None = None


NO_OWN = Own()


def config_of(record: dict, own: Own = NO_OWN) -> Config:
    """The config that a `config.json` keeps; see `settings_record`.

    Args:
        record: its content.
        own: where it names functions of a user's own; only an optimizer may be missing.

    Raises:
        ValueError, TypeError, KeyError: it keeps none.
    """
    names = [field.name for field in dataclasses.fields(Config)]
    settings = LATER | {name: record[name] for name in names if name in record}
    missing = [name for name in names if name not in settings]
    if missing:
        raise KeyError(missing[0])
    settings["likelihood"] = _likelihood_of(settings["likelihood"], own.likelihood)
    for name, function in (
        ("activation", own.activation),
        ("optimizer", own.optimizer),
    ):
        if isinstance(settings[name], dict):
            settings[name] = _own_of(name, settings[name], function)
        elif function is not None:
            raise ValueError(
                f"{name} {settings[name]!r} is no function of one's own; leave out {name}."
            )
    settings["layer_sizes"] = tuple(settings["layer_sizes"])
    return Config(**settings)


def _likelihood_of(named: str, own: Likelihood | None) -> Likelihood:
    if own is not None and not isinstance(own, Likelihood):
        raise TypeError(f"likelihood must be a jaxcls.Likelihood, got {own!r}")
    if named in LIKELIHOODS:
        if own is not None:
            raise ValueError(
                f"likelihood {named!r} is none of one's own; leave out likelihood."
            )
        return LIKELIHOODS[named]
    if own is None or own.name != named:
        got = "none" if own is None else repr(own.name)
        raise ValueError(
            f"no likelihood of jaxcls is named {named!r}; if it is one of your own, pass it to "
            f"load_run as likelihood, got {got}."
        )
    return own


def check_names(caller: str, config: Config) -> None:
    """Raises ValueError for functions of one's own that no name would tell from others."""
    own = config.likelihood
    if own.name in LIKELIHOODS and LIKELIHOODS[own.name] != own:
        raise ValueError(
            f"{caller}: the likelihood {own.name!r} has a name of jaxcls's own; give it another."
        )
    for name in ("optimizer", "activation"):
        if _name_of(getattr(config, name)) == "<lambda>":
            raise ValueError(
                f"{caller}: {name} is a lambda, which has no name to be known by; define it with def."
            )


def _own_of(name: str, kept: dict, function: Any) -> Any:
    """The function of one's own that a record names."""
    its_name = kept.get("own")
    if not isinstance(its_name, str):
        raise ValueError(f"{name} can't be {shown(kept)}.")
    if function is None and name == "optimizer":
        return NotAtHand(its_name)
    if function is None or _name_of(function) != its_name:
        got = "none" if function is None else repr(_name_of(function))
        raise ValueError(
            f"the {name} is a function of one's own, {its_name!r}, which no file keeps; pass it to "
            f"load_run as {name}, got {got}."
        )
    return function
