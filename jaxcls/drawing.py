"""What a seed draws, in NumPy: the bits that jaxcls draws in compiled programs, and none to compile.

XLA takes a tenth of a second and more to compile each draw of threefry, which is a few lines (J. K.
Salmon et al., 2011, "Parallel random numbers: as easy as 1, 2, 3").
"""

import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax import Array

_ROTATIONS = (13, 15, 26, 6), (17, 29, 16, 24)
_PARITY = np.uint32(0x1BD11BDA)
IMPL = "threefry2x32"


class KeyData(NamedTuple):
    """The bits [2] uint32 of each of `jaxcls.Keys`."""

    init: np.ndarray
    shuffle: np.ndarray
    dropout: np.ndarray


def keys_of(seed: int | np.integer) -> KeyData:
    """The bits of `Keys.from_seed(seed)`.

    >>> keys_of(0).init
    array([1797259609, 2579123966], dtype=uint32)
    """
    key = np.array([0, seed], np.uint32)
    return KeyData(*np.stack(_threefry(key, np.arange(3, dtype=np.uint32)), axis=1))


def draws_alike() -> bool:
    """Whether jax draws as is done here: not where a user asks for its older threefry.

    >>> draws_alike()
    True
    """
    return getattr(jax.config, "jax_threefry_partitionable", False)


def bits_of(key: Array) -> np.ndarray | None:
    """The bits [2] uint32 of a typed key from which NumPy draws what jax would, or None.

    None while a function is traced, and of a key that is bound to a device, of another generator
    than threefry, or where `draws_alike` is false.

    >>> bits_of(jax.random.key(7, impl="threefry2x32"))
    array([0, 7], dtype=uint32)
    """
    if isinstance(key, jax.core.Tracer) or key.committed or key.shape != ():
        return None
    if not draws_alike() or jax.random.key_impl(key) != IMPL:
        return None
    bits = jax.random.key_data(key)
    return None if isinstance(bits, jax.core.Tracer) else jax.device_get(bits)


def symmetric(key: np.ndarray, count: int) -> np.ndarray:
    """`count` float32 uniform in [-1, 1), as `mlp.init` draws them from a key of these bits.

    >>> symmetric(np.array([0, 7], np.uint32), 3).shape
    (3,)
    """
    bits = _bits(_folded(key, 0), count)
    # A float32 in [1, 2) of the first 23 bits, as jax.random.uniform makes one.
    ones = (bits >> np.uint32(9) | np.uint32(0x3F800000)).view(np.float32)
    return 2 * (ones - np.float32(1)) - np.float32(1)


def params_of(
    draw: Callable[[int], Any], layer_sizes: Sequence[int]
) -> dict[str, dict[str, Any]]:
    """Params uniform in +-1/sqrt(fan_in), out of as many numbers in [-1, 1) as `draw` is asked for.

    They are `mlp.init`'s, in jax's or NumPy's arrays, as the numbers are.

    >>> params_of(np.ones, (4, 1))["Dense_0"]["bias"]
    array([0.5])
    """
    # All in one draw: each of its own takes XLA a tenth of a second to compile.
    draws = draw(num_params(layer_sizes))
    params, start = {}, 0
    for index, (fan_in, fan_out) in enumerate(itertools.pairwise(layer_sizes)):
        bound, middle = np.float32(1 / math.sqrt(fan_in)), start + fan_out
        end = middle + fan_in * fan_out
        params[f"Dense_{index}"] = {
            "bias": draws[start:middle] * bound,
            "kernel": draws[middle:end].reshape(fan_in, fan_out) * bound,
        }
        start = end
    return params


def num_params(layer_sizes: Sequence[int]) -> int:
    """Numbers of a network.

    >>> num_params((784, 32, 1))
    25153
    """
    return sum(
        (fan_in + 1) * fan_out for fan_in, fan_out in itertools.pairwise(layer_sizes)
    )


def order_of(key: np.ndarray, epoch: int, count: int, size: int) -> np.ndarray:
    """The order [size] int32 of `count` examples in an epoch, and behind them the others.

    It is that in which `jaxcls.fit` takes its mini-batches.

    Args:
        key: for shuffling.
        epoch: its number.
        count: of the examples.
        size: to which they are filled up.

    >>> int(order_of(keys_of(0).shuffle, 5, 3, 4)[3])
    3
    """
    high, low = _bits(_folded(key, epoch), 2 * count).reshape(2, count)
    order = np.arange(size, dtype=np.int32)
    order[:count] = np.argsort(high.astype(np.uint64) << np.uint64(32) | low)
    return order


def _folded(key: np.ndarray, data: int) -> np.ndarray:
    """`jax.random.fold_in`."""
    return np.concatenate(_threefry(key, np.array([data], np.uint32)))


def _bits(key: np.ndarray, count: int) -> np.ndarray:
    """`jax.random.bits` [count] uint32."""
    first, second = _threefry(key, np.arange(count, dtype=np.uint32))
    return first ^ second


def _threefry(key: np.ndarray, low: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Threefry-2x32 of 20 rounds, of counters whose upper half is 0."""
    keys: Any = (key[0], key[1], key[0] ^ key[1] ^ _PARITY)
    with np.errstate(over="ignore"):  # they are counted modulo 2**32
        first, second = np.full(low.shape, keys[0]), low + keys[1]
        for group in range(5):
            for rotation in _ROTATIONS[group % 2]:
                first += second
                second = second << np.uint32(rotation) | second >> np.uint32(
                    32 - rotation
                )
                second ^= first
            first += keys[(group + 1) % 3]
            second += keys[(group + 2) % 3] + np.uint32(group + 1)
    return first, second
