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
        weights: [N] numbers that multiply the losses, of which only their ratios matter; 0
            leaves an example out. None weighs all alike.
    """

    features: Array | np.ndarray
    targets: Array | np.ndarray
    weights: Array | np.ndarray | None = None


def scaled(features: np.ndarray) -> np.ndarray:
    """Features as a network takes them: bytes divided by 255, all in float32.

    The division is NumPy's, on the host: XLA would multiply by the reciprocal, which
    differs in the last bit for 126 of the 256 byte values. jax on CPU takes the result over
    without a copy: don't write to it once jax has it.

    >>> scaled(np.array([[255, 0]], np.uint8))
    array([[1., 0.]], dtype=float32)
    """
    if features.dtype == np.uint8:
        out = aligned_empty(features.shape, np.dtype(np.float32))
        return np.divide(features, np.float32(255), out=out)
    return features.astype(np.float32, copy=False)


def aligned_empty(shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
    """An array to be filled, whose memory jax on CPU takes as it is instead of copying it.

    >>> aligned_empty((3, 2), np.dtype(np.float32)).ctypes.data % 64
    0
    """
    size = math.prod(shape) * dtype.itemsize
    memory = np.empty(size + 64, np.uint8)
    start = -memory.ctypes.data % 64
    return memory[start : start + size].view(dtype).reshape(shape)


def num_examples(data: Batch) -> int:
    """How many there are."""
    return len(data.targets)


def features_dtype(data: Batch) -> jnp.dtype:
    """The type of the numbers that are multiplied."""
    return jnp.result_type(*jax.tree.leaves(data.features))


def step_size(data: Batch, config: Config) -> int:
    """Examples a step, of which the last may have fewer; at most all there are."""
    return min(config.batch_size or num_examples(data), num_examples(data))


def steps_per_epoch(data: Batch, config: Config) -> int:
    """Steps in which every example is seen once.

    >>> from jaxcls import bernoulli
    >>> config = Config((2, 1), bernoulli, batch_size=16)
    >>> steps_per_epoch(Batch(jnp.zeros((25, 2)), jnp.zeros(25)), config)
    2
    """
    return steps_of(num_examples(data), config)


def steps_of(count: int, config: Config) -> int:
    """`steps_per_epoch` of so many examples."""
    return math.ceil(count / min(config.batch_size or count, count))


def epoch_rows(
    key: Array,
    data: Batch,
    config: Config,
    count: Array | np.ndarray | None = None,
    order: Array | None = None,
) -> tuple[Array, Array]:
    """Rows [T, B] of each step's examples, and which [T, B] count.

    Every example counts in exactly one place, in a new order drawn from `key` if
    `config.shuffle`, else in the order of `data`. The last step is filled up, at its
    beginning, with examples that have counted already.

    Of the first `count` examples alone, traced and at least a step's, they are as of data that
    have no others. An `order` [N] that was drawn already is taken as it is.
    """
    size = step_size(data, config)
    real = num_examples(data) if count is None else count
    starts = jnp.arange(steps_per_epoch(data, config), dtype=jnp.int32)[:, None] * size
    places = jnp.minimum(starts, real - size) + jnp.arange(size, dtype=jnp.int32)
    rows = places
    if config.shuffle:
        if order is None:
            order = _new_order(key, num_examples(data), count)
        rows = order[places]
    return rows, places >= starts


def _new_order(key: Array, most: int, count: Array | np.ndarray | None = None) -> Array:
    """The numbers 0 to `most` - 1 [N] int32, each order as likely as any other.

    With a count it orders the first so many, as it would without the others, and leaves those
    behind them.
    """
    # Sorted by 64 random bits each. jax.random.permutation takes twice the time: it sorts twice.
    # That any two of a million have the same bits has a probability of 3e-8.
    bits = jax.random.bits(key, (2 * most,), jnp.uint32)
    numbers = jnp.arange(most, dtype=jnp.int32)
    if count is None:
        high, low = bits.reshape(2, most)
    else:
        # Those that a draw of 2 x count has: a number's bits hang on its place alone.
        high, low = bits[:most], jax.lax.dynamic_slice_in_dim(bits, count, most)
        high, low = (
            jnp.where(numbers < count, each, np.uint32(2**32 - 1))
            for each in (high, low)
        )
    return jax.lax.sort((high, low, numbers), num_keys=2)[-1]


def take(data: Batch, rows: Array, real: Array, config: Config) -> Batch:
    """The batch of a step's rows [B], of which those that are not real weigh nothing."""

    def some(leaf):
        if config.shuffle:
            return jnp.asarray(leaf)[rows]
        return jax.lax.dynamic_slice_in_dim(leaf, rows[0], len(rows))  # twice as fast

    features, targets, weights = jax.tree.map(some, data)
    return Batch(
        features, targets, real.astype(jnp.int32) if weights is None else weights * real
    )


def weights_of(batch: Batch) -> Array | np.ndarray:
    """The weights [N] of a batch, 1 for each example where none are given."""
    if batch.weights is not None:
        return batch.weights
    return jnp.ones(num_examples(batch), jnp.int32)


def beside(params: Params, data: Batch) -> Batch:
    """Moves `data` to the device that holds `params`, if one device does."""
    if isinstance(jax.tree.leaves(params)[0], jax.core.Tracer):
        return data
    device = device_of(params)

    def put(leaf):
        # An array of which other processes hold parts may not be put, not even where it is.
        stays = device is None and isinstance(leaf, Array)
        return leaf if stays else jax.device_put(leaf, device)

    return jax.tree.map(put, data)


def device_of(params: Params) -> jax.Device | None:
    """The device that `params` are bound to, or None.

    Data is bound to a device only if the parameters are: a program is compiled again for
    arguments that are bound, and would be so for the second segment of a run.
    """
    leaf = jax.tree.leaves(params)[0]
    bound = isinstance(leaf, Array) and leaf.committed and len(leaf.devices()) == 1
    return leaf.device if bound else None
