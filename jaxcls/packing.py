"""Features in the form that a device multiplies fastest: on a CPU without most of their zeros.

These are `layouts`' kinds of data; nothing else asks what kind a batch's features are.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls.batches import (
    Batch,
    aligned_empty,
)
from jaxcls.checks import check_batch
from jaxcls.mlp import dot

# Fewer numbers than this are multiplied so fast that packing them does not pay; of more, both
# layouts might not fit into the memory.
_LEAST_TO_PACK, _MOST_TO_PACK = 2**20, 2**29
# Shares of the examples at which blocks end: a third each, but for the twentieth that needs
# most columns. More and smaller blocks skip few zeros more, and multiply slower.
_CUTS = (0.32, 0.64, 0.95)
# Widths are multiples of this, so that they, and the compiled program, seldom depend on
# which of the examples are held out for validation.
_WIDTH = 32
# On a GPU XLA sums over examples in parts of so many at most, and would fill up the last part
# by a copy of the features in each step.
_PART = 256
# Rows at a time while packing, which then stay in the cache, and need little memory.
_CHUNK = 512


class Block(NamedTuple):
    """Features of some examples, which are 0 from column W on, in both layouts.

    XLA on CPU multiplies fast only what lies row by row in the order of the product, and the
    gradient's product asks for the transpose.

    Attributes:
        features: [N, W].
        transposed: [W, N], the same numbers.
    """

    features: Array | np.ndarray
    transposed: Array | np.ndarray


class Packed(NamedTuple):
    """The features of a full batch without most of its zeros.

    Columns are ordered by how many examples they are not 0 in, and examples by how many of
    these columns they need: then few examples need more than a part of the columns, and those
    that are 0 everywhere, such as the corners of MNIST's images, are needed by none. The
    targets and weights of such a batch stand in the same order of examples.

    Attributes:
        order: [D] the column at each place.
        rows: [N] the example at each place.
        blocks: the features, examples after examples.
    """

    order: Array | np.ndarray
    rows: Array | np.ndarray
    blocks: tuple[Block, ...]


class Narrowed(NamedTuple):
    """Features for mini-batches, without columns that are 0 in all examples.

    Attributes:
        kept: [W] the columns that are left.
        dropped: [D - W] the others.
        features: [N, W].
    """

    kept: Array | np.ndarray
    dropped: Array | np.ndarray
    features: Array | np.ndarray


class Padded(NamedTuple):
    """Features with rows of zeros after them, for full batches on a GPU.

    Attributes:
        features: [P, D], of which the first N rows are the examples.
    """

    features: Array | np.ndarray


class Chosen(NamedTuple):
    """Rows of features that others share, for mini-batches.

    Attributes:
        features: [N, D], or `Narrowed` ones.
        rows: [M] int32, those that are meant; the batch's targets and weights are theirs.
        count: [] int32, how many count, before others that only fill up; None if all do.
        steps: [] int32, how many steps those that count make; None if as many as all.
        orders: [E, M] int32, the order of M of each epoch of a segment, where it was drawn before;
            None has each epoch draw its own.
    """

    features: Array | np.ndarray | Narrowed
    rows: Array | np.ndarray
    count: Array | np.ndarray | None
    steps: Array | np.ndarray | None = None
    orders: Array | np.ndarray | None = None

    def plain(self) -> Array | np.ndarray:
        """The numbers [N, D] of which a step takes rows."""
        shared = self.features
        return shared.features if isinstance(shared, Narrowed) else shared


def chosen(pool: Batch, own: Batch, rows: Any, count: Any, steps: Any = None) -> Batch:
    """A batch of M rows of a pool, whose targets and weights are `own`'s."""
    features = Chosen(cast(Any, pool.features), rows, count, steps)
    return own._replace(features=cast(Any, features))


def pad(data: Batch) -> Batch:
    """Fills the features up with rows of zeros to a multiple of 256, on the host.

    Targets and weights stay as they are: what the new rows give is cut off, and mini-batches take
    none of them.

    Args:
        data: N examples of D features.

    Returns:
        The same examples with `Padded` features.

    Raises:
        TypeError, ValueError: it is no batch, or its shapes don't fit each other.

    >>> pad(Batch(np.ones((300, 4)), np.zeros(300))).features.features.shape
    (512, 4)
    """
    check_batch("layouts.pad", "data", data)
    more = -len(data.targets) % _PART
    features = np.pad(np.asarray(data.features), ((0, more), (0, 0)))
    return data._replace(features=cast(Any, Padded(features)))


def pack(data: Batch) -> Batch:
    """Packs a full batch, on the host.

    Of what is packed, derivatives are taken by the kernel alone, and in reverse mode.

    Args:
        data: N examples of D features.

    Returns:
        The same with `Packed` features, in arrays of its own: two numbers for each that is not
        left out.

    Raises:
        TypeError, ValueError: it is no batch, or its shapes don't fit each other.

    >>> rng = np.random.default_rng(0)
    >>> features = rng.random((2048, 64)) * (np.arange(64) < rng.integers(0, 64, (2048, 1)))
    >>> [block.features.shape for block in pack(Batch(features, np.zeros(2048))).features.blocks]
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
    return Batch(cast(Any, Packed(order, rows, tuple(blocks))), targets, weights)


def narrow(data: Batch) -> Batch:
    """Leaves columns out that are 0 in all examples, on the host, for mini-batches on a CPU.

    What is multiplied, and what a step changes, is as much less. The kernel's rows of these
    columns get no gradient, but may decay.

    Args:
        data: N examples of D features.

    Returns:
        The same examples with `Narrowed` features of W columns, a multiple of 32; or `data` if
        that leaves out none.

    Raises:
        TypeError, ValueError: it is no batch, or its shapes don't fit each other.

    >>> data = Batch(np.eye(20, 784, dtype=np.float32), np.zeros(20))
    >>> narrow(data).features.features.shape
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
    return data._replace(features=cast(Any, Narrowed(kept, dropped, few)))


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


def pays_to_pack(data: Batch) -> bool:
    """Whether a CPU multiplies it so much faster packed that packing it pays."""
    return _LEAST_TO_PACK <= np.size(data.features) <= _MOST_TO_PACK


def padded_product(padded: Padded, kernel: Array, count: int) -> Array:
    """The product [N, H] of the first N of the rows and a kernel."""
    return dot(padded.features, kernel)[:count]


@jax.custom_vjp
def packed_product(packed: Packed, kernel: Array) -> Array:
    """The product [N, H] of packed features and a kernel whose rows stand in their order."""
    products = [
        dot(block.features, kernel[: block.features.shape[1]])
        for block in packed.blocks
    ]
    return jnp.concatenate(products)


def _packed_forward(
    packed: Packed, kernel: Array
) -> tuple[Array, tuple[Packed, Array]]:
    return packed_product(packed, kernel), (packed, kernel)


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


packed_product.defvjp(_packed_forward, _packed_backward)
