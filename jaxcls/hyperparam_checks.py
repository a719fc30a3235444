"""Checks of `Hyperparams` against a config: values on the host, shapes also while tracing."""

import math
from numbers import Real

import numpy as np
from jax import Array

from jaxcls.config import Config, Hyperparams


def check_hyperparams(caller: str, hyperparams: Hyperparams, config: Config) -> None:
    """Raises unless each value is in its range, and dropout is switched on where it is used.

    >>> from jaxcls import bernoulli
    >>> check_hyperparams("fit", Hyperparams(-1.0), Config((2, 1), bernoulli))
    Traceback (most recent call last):
    ValueError: fit: learning_rate must be positive and finite in float32, got -1.0.
    """
    dropout_rate, weight_decay = hyperparams.dropout_rate, hyperparams.weight_decay
    _check_positive(caller, "learning_rate", hyperparams.learning_rate)
    if hyperparams.clip_norm is not None:
        _check_positive(caller, "clip_norm", hyperparams.clip_norm)
    rate = _float32(caller, "dropout_rate", dropout_rate)
    if not 0 <= rate < 1:
        raise ValueError(
            f"{caller}: dropout_rate must lie in [0, 1), got {dropout_rate}."
        )
    if rate and not config.dropout:
        raise ValueError(
            f"{caller}: dropout_rate is {dropout_rate}, but Config.dropout is False; set it to "
            "True."
        )
    if weight_decay is not None:
        decay = _float32(caller, "weight_decay", weight_decay)
        if not (math.isfinite(decay) and decay >= 0):
            raise ValueError(
                f"{caller}: weight_decay must be finite in float32 and at least 0, "
                f"got {weight_decay}."
            )
    check_label_settings(caller, hyperparams, config)
    smoothing, weights = hyperparams.label_smoothing, hyperparams.class_weights
    share = 0 if smoothing is None else _float32(caller, "label_smoothing", smoothing)
    if not 0 <= share < 1:
        raise ValueError(
            f"{caller}: label_smoothing must lie in [0, 1), got {smoothing}."
        )
    if weights is not None:
        with np.errstate(over="ignore", under="ignore"):
            numbers = np.asarray(weights).astype(np.float32)
        if not (np.isfinite(numbers).all() and numbers.min() > 0):
            raise ValueError(
                f"{caller}: class_weights must be positive and finite in float32, got "
                f"{' '.join(map(str, np.asarray(weights).tolist()))}."
            )


def check_label_settings(caller: str, hyperparams: Hyperparams, config: Config) -> None:
    """Raises unless what concerns the labels fits the likelihood; costs nothing under jit."""
    smoothing, weights = hyperparams.label_smoothing, hyperparams.class_weights
    for name, value in (("label_smoothing", smoothing), ("class_weights", weights)):
        if value is not None and config.likelihood.smooth is None:
            raise ValueError(
                f"{caller}: {name} needs class labels, which the likelihood "
                f"{config.likelihood.name!r} has not."
            )
    if weights is None:
        return
    num_classes = max(2, config.layer_sizes[-1])
    wanted = (
        f"{caller}: class_weights must be {num_classes} numbers, one per class, got"
    )
    if isinstance(weights, (np.ndarray, Array)):
        if weights.shape != (num_classes,) or weights.dtype.kind not in "fiu":
            raise ValueError(f"{wanted} {list(weights.shape)} of {weights.dtype}.")
    elif not (
        isinstance(weights, (tuple, list))
        and len(weights) == num_classes
        and all(map(_is_number, weights))
    ):
        raise ValueError(f"{wanted} {weights}.")


def _is_number(value: Array | float) -> bool:
    is_bool = isinstance(value, bool)
    return not is_bool and isinstance(value, (Real, Array)) and np.ndim(value) == 0


def _check_positive(caller: str, name: str, value: Array | float) -> None:
    number = _float32(caller, name, value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(
            f"{caller}: {name} must be positive and finite in float32, got {value}."
        )


def _float32(caller: str, name: str, value: Array | float) -> float:
    """The number as a run in float32 has it: 0 or infinite where that cannot hold it."""
    number = np.asarray(value)
    if number.shape != () or number.dtype.kind not in "fiu":
        raise TypeError(f"{caller}: {name} must be a number, got {value!r}.")
    with np.errstate(over="ignore", under="ignore"):
        return float(number.astype(np.float32))
