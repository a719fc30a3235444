"""How a CPU multiplies fastest: examples and the first kernel, laid out for its products.

Nearly all the time of training goes into two products of the first layer, `features @ kernel`
and its gradient `features.T @ cotangent`. A layout says how a training program holds both
factors. It changes no result beyond the order in which sums are rounded, and `layout_of` and
`arranged` are the one place where it is chosen.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls.batches import (
    Batch,
    Block,
    Narrowed,
    Packed,
    aligned_empty,
    beside,
    device_of,
    step_size,
    steps_per_epoch,
)
from jaxcls.checks import check_batch
from jaxcls.config import Config
from jaxcls.mlp import Params, dot

Tree = TypeVar("Tree")

# Fewer numbers than this are multiplied so fast that packing them does not pay; of more, both
# layouts might not fit into the memory.
_LEAST_TO_PACK, _MOST_TO_PACK = 2**20, 2**29
# Shares of the examples at which blocks end: a third each, but for the twentieth that needs
# most columns. More and smaller blocks skip few zeros more, and multiply slower.
_CUTS = (0.32, 0.64, 0.95)
# Widths are multiples of this, so that they, and the compiled program, seldom depend on
# which of the examples are held out for validation.
_WIDTH = 32
# Rows at a time while packing, which then stay in the cache, and need little memory.
_CHUNK = 512
# Units, and examples of a step times units, up to which the transposed kernel is the faster.
_FEW_UNITS = 32
_TINY = 1024


def pack(data: Batch) -> Packed:
    """Packs a full batch, on the host.

    Of what is packed, derivatives are taken by the kernel alone, and in reverse mode.

    Args:
        data: N examples of D features.

    Returns:
        The same, in arrays of its own: two numbers for each that is not left out.

    Raises:
        TypeError, ValueError: it is no batch, or its shapes don't fit each other.

    >>> rng = np.random.default_rng(0)
    >>> features = rng.random((2048, 64)) * (np.arange(64) < rng.integers(0, 64, (2048, 1)))
    >>> [block.features.shape for block in pack(Batch(features, np.zeros(2048))).blocks]
    [(655, 32), (655, 64), (635, 64), (103, 64)]
    """
    check_batch("layouts.pack", "data", data)
    features = np.asarray(data.features)
    num_examples, width = features.shape
    starts = range(0, num_examples, _CHUNK)
    chunks = [features[start : start + _CHUNK] for start in starts]
    # Threads, since NumPy leaves the interpreter free while it computes and copies.
    with ThreadPoolExecutor(4) as pool:
        lit = sum(pool.map(lambda chunk: np.count_nonzero(chunk, axis=0), chunks))
        order = np.argsort(-lit, kind="stable").astype(np.int32)
        place = np.empty(width, np.min_scalar_type(width))
        place[order] = np.arange(1, width + 1)
        needs = pool.map(lambda chunk: (place * (chunk != 0)).max(axis=1), chunks)
        needed = np.concatenate(list(needs))
        rows = np.argsort(needed, kind="stable").astype(np.int32)
        cuts = [int(share * num_examples) for share in _CUTS]
        parts = [part for part in np.split(rows, cuts) if part.size]
        # A block needs as many columns as its last example.
        widths = [
            -(-max(1, int(needed[part[-1]])) // _WIDTH) * _WIDTH for part in parts
        ]
        blocks = pool.map(
            lambda part, columns: _block(features, part, order[:columns]), parts, widths
        )
    targets, weights = jax.tree.map(
        lambda leaf: np.asarray(leaf)[rows], (data.targets, data.weights)
    )
    return Packed(order, rows, tuple(blocks), targets, weights)


def narrow(data: Batch) -> Batch | Narrowed:
    """Leaves columns out that are 0 in all examples, on the host, for mini-batches on a CPU.

    What is multiplied, and what a step changes, is as much less. The kernel's rows of these
    columns get no gradient, but may decay.

    Args:
        data: N examples of D features.

    Returns:
        The same examples with W columns, a multiple of 32; or `data` if that leaves out none.

    Raises:
        TypeError, ValueError: it is no batch, or its shapes don't fit each other.

    >>> data = Batch(np.eye(20, 784, dtype=np.float32), np.zeros(20))
    >>> narrow(data).batch.features.shape
    (20, 32)
    """
    check_batch("layouts.narrow", "data", data)
    features = np.asarray(data.features)
    starts = range(0, len(features), _CHUNK)
    chunks = [features[start : start + _CHUNK] for start in starts]
    with ThreadPoolExecutor(4) as pool:
        lit = sum(pool.map(lambda chunk: (chunk != 0).any(axis=0), chunks))
    order = np.argsort(lit == 0, kind="stable").astype(np.int32)
    width = -(-max(1, int(np.count_nonzero(lit))) // _WIDTH) * _WIDTH
    if width >= features.shape[1]:
        return data
    kept, dropped = np.sort(order[:width]), np.sort(order[width:])
    few = aligned_empty((len(features), width), features.dtype)
    np.take(features, kept, axis=1, out=few, mode="clip")
    return Narrowed(kept, dropped, data._replace(features=few))


def _block(features: np.ndarray, rows: np.ndarray, columns: np.ndarray) -> Block:
    """Both layouts of features[rows][:, columns]."""
    narrow = aligned_empty((len(rows), len(columns)), features.dtype)
    transposed = aligned_empty((len(columns), len(rows)), features.dtype)
    for start in range(0, len(rows), _CHUNK):
        chunk = slice(start, start + _CHUNK)
        some = features[rows[chunk]]
        np.take(some, columns, axis=1, out=narrow[chunk], mode="clip")
        transposed[:, chunk] = narrow[chunk].T
    return Block(narrow, transposed)


class Layout(NamedTuple):
    """How a program holds the first kernel, and multiplies by it.

    Attributes:
        arrange: kernel [D, H] -> as the program holds it.
        restore: the same back.
        product: (examples, the held kernel) -> features @ kernel, [N, H].
    """

    arrange: Callable[[Array], Any]
    restore: Callable[[Any], Array]
    product: Callable[..., Array]


def arranged(params: Params, data: Batch, config: Config) -> Batch | Packed:
    """The training set beside `params`, packed where that makes full batches faster.

    It depends on nothing that may change when a run goes on, such as how many epochs it has.
    """
    devices = jax.tree.leaves(params)[0].devices()
    on_one_cpu = [device.platform for device in devices] == ["cpu"]
    placed = isinstance(data.features, Array) and data.features.devices() != devices
    is_full = steps_per_epoch(data, config) == 1
    if on_one_cpu and not placed and is_full and pays_to_pack(data):
        return jax.device_put(pack(data), device_of(params))
    return beside(params, data)


def pays_to_pack(data: Batch) -> bool:
    """Whether a CPU multiplies it so much faster packed that packing it pays."""
    return _LEAST_TO_PACK <= np.size(data.features) <= _MOST_TO_PACK


def layout_of(data: Batch | Packed | Narrowed, config: Config) -> Layout:
    """The layout of a training program that sees these data."""
    if isinstance(data, Narrowed):
        return _narrow_layout(data, layout_of(data.batch, config))
    if isinstance(data, Packed):
        inverse = jnp.argsort(data.order)
        return Layout(
            lambda kernel: kernel[data.order],
            lambda kernel: kernel[inverse],
            _packed_product,
        )
    units = config.layer_sizes[1]
    is_tiny = units <= _FEW_UNITS and step_size(data, config) * units <= _TINY
    if is_tiny and steps_per_epoch(data, config) > 1:
        return _TRANSPOSED
    return PLAIN


class _Held(NamedTuple):
    """A kernel in two parts, of which examples multiply the first alone."""

    kept: Array
    dropped: Array


def _narrow_layout(data: Narrowed, of_kept: Layout) -> Layout:
    """With the kept rows in a layout, and the dropped ones beside them."""
    inverse = jnp.argsort(jnp.concatenate([data.kept, data.dropped]))

    def arrange(kernel):
        return _Held(of_kept.arrange(kernel[data.kept]), kernel[data.dropped])

    def restore(held):
        return jnp.concatenate([of_kept.restore(held.kept), held.dropped])[inverse]

    return Layout(
        arrange, restore, lambda batch, held: of_kept.product(batch, held.kept)
    )


def map_first_kernel(change: Callable[..., Any], tree: Tree) -> Tree:
    """Changes the first layer's kernel, and whatever is kept of each of its numbers.

    Args:
        change: of an array, or of what a layout has made of one.
        tree: params, or a state with an optimizer's moments and the best params.
    """

    def at(path, leaf):
        names = [getattr(entry, "key", None) for entry in path[-2:]]
        return change(leaf) if names == ["Dense_0", "kernel"] else leaf

    return jax.tree_util.tree_map_with_path(
        at, tree, is_leaf=lambda node: isinstance(node, _Held)
    )


@jax.custom_vjp
def _packed_product(packed: Packed, kernel: Array) -> Array:
    products = [
        dot(block.features, kernel[: block.features.shape[1]])
        for block in packed.blocks
    ]
    return jnp.concatenate(products)


def _packed_forward(
    packed: Packed, kernel: Array
) -> tuple[Array, tuple[Packed, Array]]:
    return _packed_product(packed, kernel), (packed, kernel)


def _packed_backward(
    inputs: tuple[Packed, Array], cotangent: Array
) -> tuple[None, Array]:
    packed, kernel = inputs
    gradient, start = jnp.zeros(kernel.shape, cotangent.dtype), 0
    for block in packed.blocks:
        size, columns = block.features.shape
        some = dot(block.transposed, cotangent[start : start + size])
        gradient, start = gradient.at[:columns].add(some), start + size
    return None, gradient.astype(kernel.dtype)


_packed_product.defvjp(_packed_forward, _packed_backward)


def _identity(kernel: Array) -> Array:
    return kernel


def _product(batch: Batch, kernel: Array) -> Array:
    return dot(batch.features, kernel)


def _product_of_transposed(batch: Batch, kernel: Array) -> Array:
    return dot(batch.features, kernel.T)


PLAIN = Layout(_identity, _identity, _product)
# XLA on CPU takes the gradient of a kernel [D, H] for few examples twice as long as that of
# its transpose; elsewhere either will do.
_TRANSPOSED = Layout(jnp.transpose, jnp.transpose, _product_of_transposed)
