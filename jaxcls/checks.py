"""Checks of arrays against a config, on the host, before anything is compiled."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls.batches import Batch
from jaxcls.config import Config


def check_data(caller: str, name: str, data: Batch, config: Config) -> None:
    """Raises unless `data` fits `config`: shapes, dtypes and, where concrete, labels."""
    shape = np.shape(data.features)
    if len(shape) != 2 or shape[0] == 0 or shape[1] != config.layer_sizes[0]:
        raise ValueError(
            f"{caller}: {name}.features must be [N, {config.layer_sizes[0]}] with N at least 1, "
            f"for Config.layer_sizes {config.layer_sizes}, got {list(shape)}."
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
