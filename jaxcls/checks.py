"""Checks of arrays, settings and sets: shapes while tracing, values on the host."""

import math
from numbers import Real

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import DTypeLike

from jaxcls.batches import Batch
from jaxcls.config import Config, Hyperparams
from jaxcls.mlp import Params

_ROWS = 1_000  # looked at together, where rows that are wrong are sought


def check_params(caller: str, params: Params, config: Config) -> None:
    """Raises unless the first kernel takes as many features as `config` says."""
    # It is multiplied in a layout of its own, where a wrong one might not be noticed.
    fan_in = np.shape(params["Dense_0"]["kernel"])[-2]
    if fan_in != config.layer_sizes[0]:
        raise ValueError(
            f"{caller}: params take {fan_in} features, and Config.layer_sizes "
            f"{config.layer_sizes} say {config.layer_sizes[0]}."
        )


def check_batch(
    caller: str, name: str, data: Batch, config: Config | None = None
) -> None:
    """Raises unless the shapes and dtypes of `data` fit each other, and `config` if there is one.

    It costs nothing under jit.
    """
    if not isinstance(data, Batch):
        got = "an array" if isinstance(data, jax.core.Tracer) else type(data).__name__
        raise TypeError(f"{caller}: {name} must be a jaxcls.Batch, got {got}.")
    for field, leaf in data._asdict().items():
        optional = field == "weights" and leaf is None
        if not optional and not isinstance(leaf, (np.ndarray, jax.Array)):
            raise TypeError(
                f"{caller}: {name}.{field} must be an array of NumPy or JAX, "
                f"got {type(leaf).__name__}."
            )
        if leaf is not None:
            _check_numbers(f"{caller}: {name}.{field}", leaf)
    shape = np.shape(data.features)
    width = shape[-1:] if config is None else config.layer_sizes[:1]
    if len(shape) != 2 or 0 in shape or shape[1:] != width:
        wanted, why = "D", ""
        if config is not None:
            wanted, why = width[0], f" for Config.layer_sizes {config.layer_sizes},"
        raise ValueError(
            f"{caller}: {name}.features must be [N, {wanted}] with N at least 1,{why} "
            f"got {list(shape)}."
        )
    if np.shape(data.targets)[:1] != shape[:1]:
        raise ValueError(
            f"{caller}: {name} has {shape[0]} features but targets {list(np.shape(data.targets))}."
        )
    if data.weights is not None and np.shape(data.weights) != shape[:1]:
        raise ValueError(
            f"{caller}: {name}.weights must be [{shape[0]}], got {list(np.shape(data.weights))}."
        )
    for field, leaf in data._asdict().items():
        if isinstance(leaf, np.ndarray) and not leaf.dtype.isnative:
            raise TypeError(
                f"{caller}: {name}.{field} must be in this machine's byte order, got "
                f"{leaf.dtype.str}; pass {field}.astype({leaf.dtype.newbyteorder('=').str!r})."
            )
    dtype = jnp.result_type(data.features)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"{caller}: {name}.features must be floats, got {dtype}; divide bytes by 255 first."
        )


def check_data(caller: str, name: str, data: Batch, config: Config) -> None:
    """Raises unless `data` fits `config`: shapes, dtypes and, where concrete, values."""
    check_batch(caller, name, data, config)
    targets = data.targets
    _check_weights(caller, name, data.weights)
    _check_values(f"{caller}: {name}.features", data.features)
    _check_values(f"{caller}: {name}.targets", targets)
    shape, dtype = np.shape(data.features), jnp.result_type(data.features)
    # Traced over logits alone, so that the loss sees concrete targets and checks their range.
    logits = jax.ShapeDtypeStruct((shape[0], config.layer_sizes[-1]), dtype)
    likelihood = config.likelihood
    for what, function in (
        ("loss", lambda logits: likelihood.loss(logits, data.targets)),
        ("predict", likelihood.predict),
    ):
        found = jax.eval_shape(function, logits)
        if getattr(found, "shape", None) != shape[:1]:
            raise ValueError(
                f"{caller}: {what} of the likelihood {likelihood.name!r} must give one value per "
                f"example, {list(shape[:1])}, got {_shape_of(found)}."
            )
        if what == "loss" and not jnp.issubdtype(found.dtype, jnp.floating):
            raise TypeError(
                f"{caller}: loss of the likelihood {likelihood.name!r} must give floats, which "
                f"have gradients, got {found.dtype}."
            )


def _check_numbers(what: str, values: Array | np.ndarray) -> None:
    if isinstance(values, np.ma.MaskedArray):
        raise TypeError(
            f"{what} must not be masked; leave out the rows that lack a number, or fill it in with "
            ".filled(...)."
        )
    if values.dtype.kind not in "fiubV":  # V: bfloat16 and its like
        todo = "turn them into float32"
        if what.endswith("targets"):
            todo = "np.unique(targets, return_inverse=True) numbers classes"
        raise TypeError(f"{what} must be numbers, got {values.dtype}; {todo}.")


def _shape_of(found: object) -> str:
    return str(list(found.shape)) if hasattr(found, "shape") else type(found).__name__


def check_average(caller: str, average: Params | None, config: Config) -> None:
    """Raises ValueError unless a state has an average where the config wants one, and only there."""
    if (average is None) != (config.ema_decay is None):
        has = "no average" if average is None else "an average"
        raise ValueError(
            f"{caller}: state has {has}, and Config.ema_decay is {config.ema_decay}; make the "
            "state with init_state and this config."
        )


def check_judge(caller: str, config: Config, validation: Batch | None) -> None:
    """Raises ValueError where epochs are to be judged and there is no set to judge by."""
    if validation is None and config.monitor is not None:
        raise ValueError(
            f"{caller}: Config.monitor is {config.monitor!r}, which needs a validation set to judge "
            "by."
        )


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
        if value is not None and not config.likelihood.has_classes:
            raise ValueError(
                f"{caller}: {name} needs class labels, which the likelihood "
                f"{config.likelihood.name!r} has not."
            )
    if smoothing is not None and config.likelihood.smooth is None:
        raise ValueError(
            f"{caller}: label_smoothing needs Likelihood.smooth, which the likelihood "
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


def _check_values(what: str, values: Array | np.ndarray) -> None:
    if isinstance(values, jax.core.Tracer) or values.dtype.kind not in "fV":
        return
    if isinstance(values, Array):
        if bool(jnp.isfinite(values).all()):
            return
        values = np.asarray(values)
    check_finite(what, values, jnp.result_type(values))


def check_finite(what: str, values: np.ndarray, dtype: DTypeLike) -> None:
    """Raises ValueError, which names the first row and counts them, unless all are finite.

    Beside the values it takes little memory, however many there are.

    Args:
        what: how the sentence begins.
        values: [N, ...] floats.
        dtype: in which they must be finite: a float64 may be beyond what float32 holds.

    >>> check_finite("x_train", np.array([[1, 2], [3, np.nan]]), "float32")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ValueError: x_train must be finite in float32, got nan in row 1, column 1 (1 of 2 rows have ...
    """
    with np.errstate(over="ignore", invalid="ignore"):
        ends = np.array([values.min(), values.max()]).astype(dtype)
        if np.isfinite(ends).all():  # NaN is the least and the largest of any numbers
            return
        place: tuple[int, ...] = ()
        count = 0
        for start in range(0, len(values), _ROWS):
            wrong = ~np.isfinite(values[start : start + _ROWS].astype(dtype))
            if not place and wrong.any():
                row, *within = np.argwhere(wrong)[0].tolist()
                place = start + row, *within
            count += int(wrong.reshape(len(wrong), -1).any(axis=1).sum())
    row, *within = place
    where = f"row {row}"
    if within:
        where += f", column {within[0]}" if len(within) == 1 else f" at {within}"
    raise ValueError(
        f"{what} must be finite in {np.dtype(dtype)}, got {values[place]} in {where} ({count:,} of "
        f"{len(values):,} rows have such a number); mend these rows or leave them out."
    )


def _check_weights(caller: str, name: str, weights: Array | np.ndarray | None) -> None:
    if weights is None or isinstance(weights, jax.core.Tracer):
        return
    numbers = np.asarray(weights)
    if not (np.isfinite(numbers).all() and numbers.min() >= 0 and numbers.max() > 0):
        raise ValueError(
            f"{caller}: {name}.weights must be finite and at least 0, and not all 0, got "
            f"{numbers.min()} to {numbers.max()}."
        )


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
