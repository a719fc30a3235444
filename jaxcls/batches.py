"""Examples and their batches: what a step sees, and in which order an epoch shows them."""

import math
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls.config import Config
from jaxcls.mlp import Params


class Batch(NamedTuple):
    """Examples: those of a step, or a whole training or test set.

    Attributes:
        features: [N, D] floats, scaled.
        targets: [N] integers or floats, or one-hot rows [N, K], as the likelihood takes them.
        weights: [N] numbers that multiply the losses, whose mean divides by their sum; 0
            leaves an example out. None weighs all alike.
    """

    features: Array | np.ndarray
    targets: Array | np.ndarray
    weights: Array | np.ndarray | None = None


def scaled(features: np.ndarray) -> np.ndarray:
    """Features as a network takes them: bytes divided by 255, all in float32.

    The division is NumPy's, on the host: XLA would multiply by the reciprocal, which
    differs in the last bit for 126 of the 256 byte values.

    >>> scaled(np.array([[255, 0]], np.uint8))
    array([[1., 0.]], dtype=float32)
    """
    if features.dtype == np.uint8:
        return np.divide(features, np.float32(255), dtype=np.float32)
    return features.astype(np.float32, copy=False)


def step_size(data: Batch, config: Config) -> int:
    """Examples a step, of which the last may have fewer; at most all there are."""
    num_examples = len(data.features)
    return min(config.batch_size or num_examples, num_examples)


def steps_per_epoch(data: Batch, config: Config) -> int:
    """Steps in which every example is seen once.

    >>> from jaxcls import bernoulli
    >>> config = Config((2, 1), bernoulli, batch_size=16)
    >>> steps_per_epoch(Batch(jnp.zeros((25, 2)), jnp.zeros(25)), config)
    2
    """
    return math.ceil(len(data.features) / step_size(data, config))


def epoch_rows(key: Array, data: Batch, config: Config) -> tuple[Array, Array]:
    """Rows [T, B] of each step's examples, and which [T, B] are real and not padding.

    Every example stands in exactly one place, in a new order drawn from `key` if
    `config.shuffle`, else in the order of `data`.
    """
    num_examples = len(data.features)
    shape = steps_per_epoch(data, config), step_size(data, config)
    rows = jnp.arange(num_examples, dtype=jnp.int32)
    if config.shuffle:
        rows = jax.random.permutation(key, rows)
    rows = jnp.pad(rows, (0, math.prod(shape) - num_examples))
    real = jnp.arange(math.prod(shape)) < num_examples
    return rows.reshape(shape), real.reshape(shape)


def take(data: Batch, rows: Array, real: Array) -> Batch:
    """The batch of these rows [B], whose padding weighs nothing."""
    features, targets, weights = jax.tree.map(
        lambda leaf: jnp.asarray(leaf)[rows], data
    )
    return Batch(
        features, targets, real.astype(jnp.int32) if weights is None else weights * real
    )


def weights_of(batch: Batch) -> Array | np.ndarray:
    """The weights [N] of a batch, 1 for each example where none are given."""
    if batch.weights is not None:
        return batch.weights
    return jnp.ones(len(batch.features), jnp.int32)


def beside(params: Params, data: Batch) -> Batch:
    """Moves `data` to the device that holds `params`, if one device does."""
    leaf = jax.tree.leaves(params)[0]
    if isinstance(leaf, jax.core.Tracer):
        return data
    # Data is bound to a device only if the parameters are: a program is compiled anew for
    # arguments that are bound, and would be so for the second segment of a run.
    bound = isinstance(leaf, Array) and leaf.committed and len(leaf.devices()) == 1
    return jax.device_put(data, leaf.device if bound else None)
