"""What an estimator was told: checked, and put in jaxcls's words."""

import math
from numbers import Integral, Real
from typing import Any, get_args

import numpy as np
from sklearn.utils import check_random_state

from jaxcls.config import MOST_STEPS, Config
from jaxcls.interop.sklearn.segments import SEGMENT
from jaxcls.interop.sklearn.sizes import Size
from jaxcls.likelihoods import Likelihood
from jaxcls.mlp import ACTIVATIONS
from jaxcls.optimizers import OptimizerName

_BATCH_SIZE = 200  # scikit-learn's "auto"


def check_settings(estimator: Any) -> None:
    """Raises TypeError or ValueError, one sentence, where a parameter is not such as it may be."""
    name = type(estimator).__name__
    hidden_layers(estimator)
    _one_of(name, "activation", estimator.activation, tuple(ACTIVATIONS))
    _one_of(name, "solver", estimator.solver, get_args(OptimizerName))
    if estimator.batch_size != "auto":
        _whole(name, "batch_size", estimator.batch_size, ' or "auto"')
    for each in ("max_iter", "n_iter_no_change", "n_seeds"):
        _whole(name, each, getattr(estimator, each))
    for each in ("early_stopping", "warm_start", "standardize"):
        value = getattr(estimator, each)
        if not isinstance(value, bool | np.bool_):
            raise TypeError(f"{name}: {each} must be True or False, got {value!r}.")
    for each in ("alpha", "tol"):
        value = getattr(estimator, each)
        _number(name, each, value, "finite and at least 0", lambda x: x >= 0)
    _number(
        *(name, "learning_rate_init", estimator.learning_rate_init),
        *("finite and above 0", lambda x: x > 0),
    )
    for each in ("momentum", "dropout"):
        _number(
            *(name, each, getattr(estimator, each)),
            *("at least 0 and below 1", lambda x: 0 <= x < 1),
        )
    _number(
        *(name, "validation_fraction", estimator.validation_fraction),
        *("above 0 and below 1", lambda x: 0 < x < 1),
    )


def hidden_layers(estimator: Any) -> tuple[int, ...]:
    """The sizes of the hidden layers, also where one number or none is given."""
    given = estimator.hidden_layer_sizes
    sizes = [given] if isinstance(given, Integral) else given
    if not (
        isinstance(sizes, list | tuple | np.ndarray)
        and np.ndim(sizes) == 1
        and all(isinstance(each, Integral) and int(each) >= 1 for each in sizes)
    ):
        raise ValueError(
            f"{type(estimator).__name__}: hidden_layer_sizes must be whole numbers of at least 1, "
            f"such as (100,) or (64, 32), or () for none, got {given!r}."
        )
    return tuple(map(int, sizes))


def largest_step(estimator: Any) -> int:
    """Rows that a step has at most."""
    auto = estimator.batch_size == "auto"
    return _BATCH_SIZE if auto else int(estimator.batch_size)


def config_of(
    estimator: Any, layer_sizes: tuple[int, ...], likelihood: Likelihood, size: Size
) -> Config:
    """The static part; estimators that have the same one share a compiled program.

    The number of epochs is that of a segment, whatever `max_iter` is.
    """
    if size.steps * int(estimator.max_iter) > MOST_STEPS:
        raise ValueError(
            f"{type(estimator).__name__}: max_iter {estimator.max_iter} of {size.steps:,} steps "
            f"each are more than the {MOST_STEPS:,} steps that can be counted; take fewer."
        )
    monitor = None
    if estimator.early_stopping:
        monitor = "accuracy" if likelihood.has_classes else "loss"
    return Config(
        layer_sizes,
        likelihood,
        estimator.solver,
        momentum=float(estimator.momentum) if estimator.solver == "sgd" else 0.0,
        batch_size=size.batch_size,
        dropout=bool(estimator.dropout > 0),
        epochs=SEGMENT,
        monitor=monitor,
        patience=int(estimator.n_iter_no_change) if monitor else None,
        activation=estimator.activation,
    )


def seeds_of(estimator: Any) -> np.ndarray:
    """The seeds [S] uint32 of the members: `random_state` and those that follow, or drawn ones."""
    state, count = estimator.random_state, int(estimator.n_seeds)
    if isinstance(state, Integral) and not isinstance(state, bool):
        check_random_state(int(state))  # raises where it is out of range
        return ((int(state) + np.arange(count)) % 2**32).astype(np.uint32)
    drawn = check_random_state(state).randint(2**32, size=count, dtype=np.uint32)
    return np.asarray(drawn, np.uint32)


def class_factors(
    estimator: Any, classes: np.ndarray, places: np.ndarray, weights: np.ndarray
) -> np.ndarray:
    """The factor [K] of each class's losses, as `class_weight` says.

    "balanced" counts examples by their weights, so that one of weight 2 is the same as two.

    Args:
        estimator: with a `class_weight`.
        classes: [K] the labels.
        places: [N] each example's place in `classes`.
        weights: [N] of the examples.

    Raises:
        ValueError: it is no such setting.
    """
    given = estimator.class_weight
    if given is None:
        return np.ones(len(classes))
    if isinstance(given, str) and given == "balanced":
        sums = np.bincount(places, weights, len(classes))
        shares = np.where(sums > 0, sums, 1)
        return np.where(sums > 0, weights.sum() / (np.sum(sums > 0) * shares), 1.0)
    if not isinstance(given, dict):
        raise ValueError(
            f'{type(estimator).__name__}: class_weight must be None, "balanced" or a dict of a '
            f"number for each class, got {given!r}."
        )
    labels = classes.tolist()
    unknown = [label for label in given if label not in labels]
    if unknown:
        raise ValueError(
            f"{type(estimator).__name__}: class_weight names the class {unknown[0]!r}, and y has "
            f"{', '.join(map(repr, labels))}; name these."
        )
    factors = [given.get(label, 1.0) for label in labels]
    if not all(_is_real(each) and math.isfinite(each) and each > 0 for each in factors):
        raise ValueError(
            f"{type(estimator).__name__}: class_weight must hold finite numbers above 0, got "
            f"{given!r}; leave a class out by sample_weight."
        )
    return np.asarray(factors, np.float64)


def _is_real(value: Any) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _one_of(owner: str, name: str, value: Any, choices: tuple[str, ...]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(
            f"{owner}: {name} must be one of {', '.join(choices)}, got {value!r}."
        )


def _whole(owner: str, name: str, value: Any, or_else: str = "") -> None:
    is_whole = isinstance(value, Integral) and not isinstance(value, bool)
    if not (is_whole and 1 <= int(value) <= MOST_STEPS):
        raise ValueError(
            f"{owner}: {name} must be a whole number of at least 1{or_else}, got {value!r}."
        )


def _number(owner: str, name: str, value: Any, wanted: str, is_good: Any) -> None:
    with np.errstate(over="ignore", under="ignore"):
        number = np.float32(value) if _is_real(value) else np.float32(np.nan)
    if not (np.isfinite(number) and is_good(number)):
        raise ValueError(f"{owner}: {name} must be a number {wanted}, got {value!r}.")
