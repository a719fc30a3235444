"""How a CPU multiplies fastest: examples and the first kernel, laid out for its products.

Nearly all the time of training goes into two products of the first layer, `features @ kernel`
and its gradient `features.T @ cotangent`. A layout says how a training program holds both
factors. It changes no result beyond the order in which sums are rounded, and `layout_of` and
`arranged` are the one place where it is chosen.
"""

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls.batches import (
    Batch,
    Block,
    Packed,
    aligned_empty,
    beside,
    device_of,
    step_size,
    steps_per_epoch,
)
from jaxcls.config import Config
from jaxcls.mlp import Params, dot

Tree = TypeVar("Tree")

# Fewer numbers than this are multiplied so fast that packing them does not pay.
_LEAST_TO_PACK = 2**20
# More blocks skip few zeros more, and each is code to compile.
_MOST_BLOCKS = 8
_LEAST_ROWS = 1024
# Widths are multiples of this, so that they, and the compiled program, seldom depend on
# which of the examples are held out for validation.
_WIDTH = 32
_CHUNK = 128
# Examples times units of a step up to which the transposed kernel is the faster one.
_TINY = 1024


def pack(data: Batch) -> Packed:
    """Packs a full batch, on the host.

    Args:
        data: N examples of D features.

    >>> rng = np.random.default_rng(0)
    >>> features = rng.random((2048, 64)) * (np.arange(64) < rng.integers(0, 64, (2048, 1)))
    >>> [block.features.shape for block in pack(Batch(features, np.zeros(2048))).blocks]
    [(1024, 32), (1024, 64)]
    """
    features = np.asarray(data.features)
    num_examples, width = features.shape
    lit = features != 0
    order = np.argsort(-np.count_nonzero(lit, axis=0), kind="stable")
    place = np.empty(width, np.min_scalar_type(width))
    place[order] = np.arange(1, width + 1)
    needed = (place * lit).max(axis=1)
    by_need = np.argsort(needed, kind="stable")
    num_blocks = min(_MOST_BLOCKS, max(1, num_examples // _LEAST_ROWS))

    def block(rows: np.ndarray) -> Block:
        columns = -(-int(needed[rows[-1]]) // _WIDTH) * _WIDTH
        columns = min(width, max(columns, 1))
        narrow = aligned_empty((len(rows), columns), features.dtype)
        transposed = aligned_empty((columns, len(rows)), features.dtype)
        for start in range(0, len(rows), _CHUNK):  # copies that stay in the cache
            chunk = slice(start, start + _CHUNK)
            some = features[rows[chunk]]
            np.take(some, order[:columns], axis=1, out=narrow[chunk], mode="clip")
            transposed[:, chunk] = narrow[chunk].T
        targets, weights = jax.tree.map(
            lambda leaf: np.asarray(leaf)[rows], (data.targets, data.weights)
        )
        return Block(narrow, transposed, targets, weights)

    rows = np.array_split(by_need.astype(np.int32), num_blocks)
    with ThreadPoolExecutor(
        os.cpu_count()
    ) as pool:  # copying in NumPy leaves the interpreter free
        blocks = tuple(pool.map(block, rows))
    return Packed(order.astype(np.int32), tuple(rows), blocks)


class Layout(NamedTuple):
    """How a program holds the first kernel, and multiplies by it.

    Attributes:
        arrange: kernel [D, H] -> as the program holds it.
        restore: the same back.
        product: (examples, the held kernel) -> features @ kernel, [N, H].
    """

    arrange: Callable[[Array], Array]
    restore: Callable[[Array], Array]
    product: Callable[[Batch | Block, Array], Array]


def arranged(params: Params, data: Batch, config: Config) -> Batch | Packed:
    """The training set beside `params`, packed where that makes full batches faster."""
    leaf = jax.tree.leaves(params)[0]
    on_cpu = isinstance(leaf, Array) and [d.platform for d in leaf.devices()] == ["cpu"]
    is_full = steps_per_epoch(data, config) == 1
    if not (on_cpu and is_full and np.size(data.features) >= _LEAST_TO_PACK):
        return beside(params, data)
    return jax.device_put(pack(data), device_of(params))


def layout_of(data: Batch | Packed, config: Config) -> Layout:
    """The layout of a training program that sees these data."""
    if isinstance(data, Packed):
        inverse = jnp.argsort(data.order)
        return Layout(
            lambda kernel: kernel[data.order],
            lambda kernel: kernel[inverse],
            _packed_product,
        )
    is_full = steps_per_epoch(data, config) == 1
    if not is_full and step_size(data, config) * config.layer_sizes[1] <= _TINY:
        return _TRANSPOSED
    return PLAIN


def map_first_kernel(change: Callable[[Array], Array], tree: Tree) -> Tree:
    """Changes the first layer's kernel, and whatever is kept of each of its numbers.

    Args:
        change: of an array.
        tree: params, or a state with an optimizer's moments and the best params.
    """

    def at(path, leaf):
        names = [getattr(entry, "key", None) for entry in path[-2:]]
        return change(leaf) if names == ["Dense_0", "kernel"] else leaf

    return jax.tree_util.tree_map_with_path(at, tree)


@jax.custom_vjp
def _both_ways(block: Block, kernel: Array) -> Array:
    return dot(block.features, kernel)


def _both_ways_forward(block: Block, kernel: Array) -> tuple[Array, Block]:
    return dot(block.features, kernel), block


def _both_ways_backward(block: Block, cotangent: Array) -> tuple[None, Array]:
    return None, dot(block.transposed, cotangent)


_both_ways.defvjp(_both_ways_forward, _both_ways_backward)


def _packed_product(block: Batch | Block, kernel: Array) -> Array:
    return _both_ways(block, kernel[: block.features.shape[1]])


PLAIN = Layout(
    lambda kernel: kernel,
    lambda kernel: kernel,
    lambda batch, kernel: dot(batch.features, kernel),
)
# XLA on CPU takes the gradient of a kernel [D, H] for few examples twice as long as that of
# its transpose.
_TRANSPOSED = Layout(
    jnp.transpose,
    jnp.transpose,
    lambda batch, kernel: dot(batch.features, kernel.T),
)
