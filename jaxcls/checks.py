"""Checks of arrays against a config: shapes while tracing, values on the host."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls.batches import Batch, Narrowed, Packed, num_examples
from jaxcls.config import Config
from jaxcls.mlp import Params


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
        raise TypeError(
            f"{caller}: {name} must be a jaxcls.Batch, got {type(data).__name__}."
        )
    for field, leaf in data._asdict().items():
        optional = field == "weights" and leaf is None
        if not optional and not isinstance(leaf, (np.ndarray, jax.Array)):
            raise TypeError(
                f"{caller}: {name}.{field} must be an array of NumPy or JAX, "
                f"got {type(leaf).__name__}."
            )
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
    dtype = jnp.result_type(data.features)
    if not jnp.issubdtype(dtype, jnp.floating):
        raise TypeError(
            f"{caller}: {name}.features must be floats, got {dtype}; divide bytes by 255 first."
        )


def check_data(caller: str, name: str, data: Batch, config: Config) -> None:
    """Raises unless `data` fits `config`: shapes, dtypes and, where concrete, values."""
    check_batch(caller, name, data, config)
    targets = data.targets
    traced = isinstance(targets, jax.core.Tracer)
    if isinstance(targets, Array) and not traced and not targets.is_fully_addressable:
        # No process sees every value: as of data that are traced, only shapes are checked.
        jax.eval_shape(partial(check_data, caller, name, config=config), data)
        return
    _check_weights(caller, name, data.weights)
    shape, dtype = np.shape(data.features), jnp.result_type(data.features)
    # Traced over logits alone, so that the loss sees concrete targets and checks their range.
    logits = jax.ShapeDtypeStruct((shape[0], config.layer_sizes[-1]), dtype)
    losses = jax.eval_shape(
        lambda logits: config.likelihood.loss(logits, data.targets), logits
    )
    if losses.shape != shape[:1]:
        raise ValueError(
            f"{caller}: the loss of likelihood {config.likelihood.name!r} must give one value per "
            f"example, {list(shape[:1])}, got {list(losses.shape)}."
        )


def check_packed(caller: str, name: str, data: Packed, config: Config) -> None:
    """Raises unless `data` was packed of a batch for `config`."""
    if data.order.shape != config.layer_sizes[:1]:
        raise ValueError(
            f"{caller}: {name} was packed of {len(data.order)} features, and Config.layer_sizes "
            f"{config.layer_sizes} take {config.layer_sizes[0]}."
        )
    if config.batch_size is not None and config.batch_size < num_examples(data):
        raise ValueError(
            f"{caller}: {name} was packed as a full batch of {num_examples(data)}, got "
            f"Config.batch_size {config.batch_size}; pass the jaxcls.Batch itself."
        )


def check_narrowed(caller: str, name: str, data: Narrowed, config: Config) -> None:
    """Raises unless `data` was narrowed of a batch for `config`."""
    width = len(data.kept) + len(data.dropped)
    if width != config.layer_sizes[0]:
        raise ValueError(
            f"{caller}: {name} was narrowed of {width} features, and Config.layer_sizes "
            f"{config.layer_sizes} take {config.layer_sizes[0]}."
        )
    check_batch(caller, f"{name}.batch", data.batch)


def _check_weights(caller: str, name: str, weights: Array | np.ndarray | None) -> None:
    if weights is None or isinstance(weights, jax.core.Tracer):
        return
    numbers = np.asarray(weights)
    if not (np.isfinite(numbers).all() and numbers.min() >= 0 and numbers.max() > 0):
        raise ValueError(
            f"{caller}: {name}.weights must be finite and at least 0, and not all 0, got "
            f"{numbers.min()} to {numbers.max()}."
        )
