"""How a device multiplies fastest: examples and the first kernel, laid out for its products.

Nearly all the time of training goes into two products of the first layer, `features @ kernel`
and its gradient `features.T @ cotangent`. A layout says how a training program holds both
factors: `train_epochs` here arranges the state, has `epochs.run_epochs` run with its own
product, and puts the state back. It changes no result beyond the order in which sums are rounded,
and `layout_of` and `arranged` are the one place where it is chosen.

A batch in a layout has `Packed`, `Narrowed` or `Padded` in the place of its features.
"""

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, NamedTuple, TypeVar, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxcls import mlp, training
from jaxcls.batches import (
    Batch,
    beside,
    device_of,
    num_examples,
    step_size,
    steps_per_epoch,
)
from jaxcls.checks import check_batch
from jaxcls.config import Config, Hyperparams, Keys
from jaxcls.epochs import History, check_for_epochs, run_epochs
from jaxcls.jitting import jitted
from jaxcls.metrics import Metrics
from jaxcls.mlp import Params, dot
from jaxcls.optimizers import make_optimizer
from jaxcls.packing import (
    Chosen,
    Narrowed,
    Packed,
    Padded,
    packed_product,
    padded_product,
    pays_to_pack,
)
from jaxcls.packing import narrow as narrow
from jaxcls.packing import pack as pack
from jaxcls.packing import pad as pad
from jaxcls.training import TrainState, metrics_of

Tree = TypeVar("Tree")

# Units, and examples of a step times units, up to which the transposed kernel is the faster.
_FEW_UNITS = 32
_TINY = 1024


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
    """The training set beside `params`, in the form that makes full batches faster.

    It depends on nothing that may change when a run goes on, such as how many epochs it has.
    """
    devices = jax.tree.leaves(params)[0].devices()
    placed = isinstance(data.features, Array) and data.features.devices() != devices
    is_full = steps_per_epoch(data, config) == 1
    if len(devices) == 1 and not placed and is_full and pays_to_pack(data):
        laid = pack if on_cpu(devices) else pad
        return jax.device_put(laid(data), device_of(params))
    return beside(params, data)


def on_cpu(devices: Iterable[jax.Device]) -> bool:
    """Whether the layouts of a CPU are those of these devices, which are of one kind."""
    return next(iter(devices)).platform == "cpu"


@jitted("config", "num_epochs")
def train_epochs(
    state: TrainState,
    data: Batch,
    keys: Keys,
    hyperparams: Hyperparams,
    validation: Batch | None = None,
    until: Array | np.integer | int | None = None,
    *,
    config: Config,
    num_epochs: int,
) -> tuple[TrainState, History]:
    """`jaxcls.train_epochs` as fast as a device multiplies, also of data in a layout.

    Args, returns and raises as of `jaxcls.train_epochs`.

    >>> from jaxcls import Keys, bernoulli, init_state
    >>> config, keys = Config((2, 1), bernoulli), Keys.from_seed(0)
    >>> data = pack(Batch(jnp.eye(2), jnp.array([0, 1])))
    >>> state = init_state(keys, config)
    >>> _, history = train_epochs(state, data, keys, Hyperparams(), config=config, num_epochs=3)
    >>> history.loss.shape
    (3,)
    """
    _check_laid("train_epochs", data, config)
    check_for_epochs(state, hyperparams, validation, config, num_epochs)
    if isinstance(data.features, Padded) and steps_per_epoch(data, config) > 1:
        data = data._replace(features=data.features.features)
    layout, count, steps, orders = layout_of(data, config), None, None, None
    if isinstance(data.features, Chosen):
        # A step takes numbers of rows, by which the layout takes the features.
        _, _, count, steps, orders = data.features
        data = data._replace(features=data.features.rows)
    elif isinstance(data.features, Narrowed):
        data = data._replace(features=data.features.features)

    def apply(params, features, *, masks, rate, activation):
        if masks is not None and isinstance(features, Packed):
            masks = tuple(mask[features.rows] for mask in masks)
        product = layout.product(features, params["Dense_0"]["kernel"])
        return mlp.after_product(
            params, product, masks=masks, rate=rate, activation=activation
        )

    def judge(params):
        plain = map_first_kernel(layout.restore, params)
        return training.score(plain, cast(Batch, validation), config)

    own = callable(config.optimizer)
    state, history = run_epochs(
        _state_in(layout.arrange, state, own),
        data,
        keys,
        hyperparams,
        until,
        config=config,
        num_epochs=num_epochs,
        judge=None if validation is None else judge,
        count=count,
        steps=steps,
        orders=orders,
        apply=apply,
        optimizer_of=partial(_laid, layout) if own else make_optimizer,
    )
    return _state_in(layout.restore, state, own), history


def score(params: Params, data: Batch, config: Config) -> Metrics:
    """`training.score`, also of `pack(data)` and `pad(data)`."""
    # All examples come at once, whatever the layout of training: others are plain, and share
    # the program of `evaluate`.
    if isinstance(data.features, Packed | Padded):
        return score_packed(params, data, config)
    return training.score(params, data, config)


@jitted("config")
def score_packed(params: Params, data: Batch, config: Config) -> Metrics:
    """`score` of `pack(data)` or `pad(data)`, which the product of their layout takes.

    Args, and what is raised: as of `training.score`.
    """
    layout = layout_of(data, config)
    params = map_first_kernel(layout.arrange, params)
    product = layout.product(data.features, params["Dense_0"]["kernel"])
    logits = mlp.after_product(
        params, product, masks=None, rate=0.0, activation=config.activation
    )
    return metrics_of(logits, data, config)


def layout_of(data: Batch, config: Config) -> Layout:
    """The layout of a training program that sees these data."""
    features = data.features
    if isinstance(features, Chosen):
        shared = layout_of(data._replace(features=cast(Any, features.features)), config)
        return shared._replace(
            product=lambda rows, held: shared.product(features.plain()[rows], held)
        )
    if isinstance(features, Narrowed):
        of_kept = layout_of(data._replace(features=features.features), config)
        return _narrow_layout(features, of_kept)
    if isinstance(features, Packed):
        order, inverse = features.order, jnp.argsort(features.order)
        return Layout(
            lambda kernel: kernel[order],
            lambda kernel: kernel[inverse],
            packed_product,
        )
    if isinstance(features, Padded):
        product = partial(padded_product, count=num_examples(data))
        return Layout(_identity, _identity, product)
    units = config.layer_sizes[1]
    is_tiny = units <= _FEW_UNITS and step_size(data, config) * units <= _TINY
    if is_tiny and steps_per_epoch(data, config) > 1:
        return _TRANSPOSED
    return PLAIN


def _check_laid(caller: str, data: Batch, config: Config) -> None:
    """Raises unless a batch, also a packed or narrowed one, is for `config`."""
    features = data.features if isinstance(data, Batch) else None
    if isinstance(features, Chosen):
        shared, own = features.features, features.plain()[features.rows]
        features = own
        if isinstance(shared, Narrowed):
            features = shared._replace(features=own)
        data = data._replace(features=cast(Any, features))
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
    elif isinstance(features, Padded):
        some = features.features[: num_examples(data)]
        check_batch(caller, "data", data._replace(features=some), config)
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


def _state_in(change: Callable[..., Any], state: TrainState, own: bool) -> TrainState:
    """A state whose kernels are changed; that of an optimizer of one's own stays as it is."""
    moved = map_first_kernel(change, state._replace(opt_state=()) if own else state)
    return moved._replace(opt_state=state.opt_state) if own else moved


def _laid(
    layout: Layout, config: Config, hyperparams: Hyperparams
) -> optax.GradientTransformation:
    """An optimizer of one's own, which meets the params and gradients as they are everywhere."""
    optimizer = make_optimizer(config, hyperparams)

    def update(updates, state, params=None):
        grads, params = map_first_kernel(layout.restore, (updates, params))
        updates, state = optimizer.update(grads, state, params)
        return map_first_kernel(layout.arrange, updates), state

    return optax.GradientTransformation(optimizer.init, update)


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


def _identity(kernel: Array) -> Array:
    return kernel


def _product_of_transposed(features: Array, kernel: Array) -> Array:
    return dot(features, kernel.T)


PLAIN = Layout(_identity, _identity, dot)
# XLA on CPU takes the gradient of a kernel [D, H] for few examples twice as long as that of
# its transpose; elsewhere either will do.
_TRANSPOSED = Layout(jnp.transpose, jnp.transpose, _product_of_transposed)
