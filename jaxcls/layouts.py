"""How a CPU multiplies fastest: examples and the first kernel, laid out for its products.

Nearly all the time of training goes into two products of the first layer, `features @ kernel`
and its gradient `features.T @ cotangent`. A layout says how a training program holds both
factors: `train_epochs` here arranges the state, has the epochs of `training` run with its own
product, and puts the state back. It changes no result beyond the order in which sums are rounded,
and `layout_of` and `arranged` are the one place where it is chosen.

A batch in a layout has `Packed` or `Narrowed` in the place of its features.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls import mlp, training
from jaxcls.batches import (
    Batch,
    aligned_empty,
    beside,
    device_of,
    num_examples,
    step_size,
    steps_per_epoch,
)
from jaxcls.checks import check_batch
from jaxcls.config import Config, Hyperparams, Keys
from jaxcls.metrics import Metrics
from jaxcls.mlp import Params, dot
from jaxcls.training import (
    History,
    TrainState,
    check_for_epochs,
    metrics_of,
    run_epochs,
)

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


class Layout(NamedTuple):
    """How a program holds the first kernel, and multiplies by it.

    Attributes:
        arrange: kernel [D, H] -> as the program holds it.
        restore: the same back.
        product: (features, the held kernel) -> features @ kernel, [N, H].
    """

    arrange: Callable[[Array], Any]
    restore: Callable[[Any], Array]
    product: Callable[..., Array]


def arranged(params: Params, data: Batch, config: Config) -> Batch:
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


@partial(jax.jit, static_argnames=("config", "num_epochs"))
def train_epochs(
    state: TrainState,
    data: Batch,
    keys: Keys,
    hyperparams: Hyperparams,
    validation: Batch | None = None,
    until: Array | int | None = None,
    *,
    config: Config,
    num_epochs: int,
) -> tuple[TrainState, History]:
    """`jaxcls.train_epochs` as fast as a CPU multiplies, also of `pack(data)` and `narrow(data)`.

    Args, returns and raises as of `jaxcls.train_epochs`.

    >>> from jaxcls import Keys, bernoulli, init_state
    >>> config, keys = Config((2, 1), bernoulli), Keys.from_seed(0)
    >>> data = pack(Batch(np.eye(2, dtype=np.float32), np.array([0, 1])))
    >>> state = init_state(keys, config)
    >>> _, history = train_epochs(state, data, keys, Hyperparams(), config=config, num_epochs=3)
    >>> history.loss.shape
    (3,)
    """
    _check_laid("train_epochs", data, config)
    check_for_epochs(state, hyperparams, validation, config, num_epochs)
    layout = layout_of(data, config)
    if isinstance(data.features, Narrowed):
        data = data._replace(features=data.features.features)

    def apply(params, features, *, masks, rate):
        if masks is not None and isinstance(features, Packed):
            masks = tuple(mask[features.rows] for mask in masks)
        product = layout.product(features, params["Dense_0"]["kernel"])
        return mlp.after_product(params, product, masks=masks, rate=rate)

    def judge(params):
        return training.score(
            map_first_kernel(layout.restore, params), validation, config
        )

    state, history = run_epochs(
        map_first_kernel(layout.arrange, state),
        data,
        keys,
        hyperparams,
        until,
        config=config,
        num_epochs=num_epochs,
        judge=None if validation is None else judge,
        apply=apply,
    )
    return map_first_kernel(layout.restore, state), history


@partial(jax.jit, static_argnames="config")
def score(params: Params, data: Batch, config: Config) -> Metrics:
    """`training.score`, also of `pack(data)`."""
    # All examples come at once, whatever the layout of training: others are plain.
    if not isinstance(data.features, Packed):
        return training.score(params, data, config)
    layout = layout_of(data, config)
    params = map_first_kernel(layout.arrange, params)
    product = layout.product(data.features, params["Dense_0"]["kernel"])
    return metrics_of(mlp.after_product(params, product), data, config)


def layout_of(data: Batch, config: Config) -> Layout:
    """The layout of a training program that sees these data."""
    features = data.features
    if isinstance(features, Narrowed):
        of_kept = layout_of(data._replace(features=features.features), config)
        return _narrow_layout(features, of_kept)
    if isinstance(features, Packed):
        order, inverse = features.order, jnp.argsort(features.order)
        return Layout(
            lambda kernel: kernel[order],
            lambda kernel: kernel[inverse],
            _packed_product,
        )
    units = config.layer_sizes[1]
    is_tiny = units <= _FEW_UNITS and step_size(data, config) * units <= _TINY
    if is_tiny and steps_per_epoch(data, config) > 1:
        return _TRANSPOSED
    return PLAIN


def _check_laid(caller: str, data: Batch, config: Config) -> None:
    """Raises unless a batch, also a packed or narrowed one, is for `config`."""
    features = data.features if isinstance(data, Batch) else None
    width = config.layer_sizes[0]
    if isinstance(features, Packed):
        if features.order.shape != (width,):
            raise ValueError(
                f"{caller}: data was packed of {len(features.order)} features, and "
                f"Config.layer_sizes {config.layer_sizes} take {width}."
            )
        if config.batch_size is not None and config.batch_size < num_examples(data):
            raise ValueError(
                f"{caller}: data was packed as a full batch of {num_examples(data)}, got "
                f"Config.batch_size {config.batch_size}; pass the jaxcls.Batch itself."
            )
    elif isinstance(features, Narrowed):
        num_features = len(features.kept) + len(features.dropped)
        if num_features != width:
            raise ValueError(
                f"{caller}: data was narrowed of {num_features} features, and "
                f"Config.layer_sizes {config.layer_sizes} take {width}."
            )
        check_batch(caller, "data", data._replace(features=features.features))
    else:
        check_batch(caller, "data", data, config)


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

    return Layout(arrange, restore, lambda some, held: of_kept.product(some, held.kept))


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


def _product_of_transposed(features: Array, kernel: Array) -> Array:
    return dot(features, kernel.T)


PLAIN = Layout(_identity, _identity, dot)
# XLA on CPU takes the gradient of a kernel [D, H] for few examples twice as long as that of
# its transpose; elsewhere either will do.
_TRANSPOSED = Layout(jnp.transpose, jnp.transpose, _product_of_transposed)
