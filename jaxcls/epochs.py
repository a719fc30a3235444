"""Epochs as one program: batches in their order, masks, the schedule, and what judges between them.

`train_epochs` runs the step of `training` over the batches of an epoch and the epochs of a segment, so
that a segment is one XLA program with the data on the device.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls import mlp
from jaxcls.batches import (
    Batch,
    epoch_rows,
    features_dtype,
    num_examples,
    step_size,
    steps_per_epoch,
    take,
)
from jaxcls.checks import (
    check_average,
    check_batch,
    check_judge,
    check_label_settings,
    check_params,
)
from jaxcls.choosing import (
    after_epoch,
    out_of_patience,
)
from jaxcls.config import Config, Hyperparams, Keys
from jaxcls.jitting import jitted
from jaxcls.metrics import Metrics
from jaxcls.mlp import Params
from jaxcls.optimizers import make_optimizer
from jaxcls.schedules import unit_schedule
from jaxcls.training import (
    OptimizerOf,
    TrainState,
    checked_step,
    in_dtype_of,
    judged_params,
    loss_weights,
    score,
)


class History(NamedTuple):
    """What each epoch gave.

    Attributes:
        loss: [E] mean over the epoch's examples of the loss that is trained on, each before its
            own step's update.
        validation: `Metrics` with leaves [E], after each epoch, or None without a set.
    """

    loss: Array
    validation: Metrics | None = None


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
    """Trains for `num_epochs` epochs, or until patience ends, as one program.

    An epoch's order comes from `fold_in(keys.shuffle, epoch)` and its masks, all in one
    call, from `fold_in(keys.dropout, epoch)`, where the epoch is counted by the state. So
    what an epoch does depends on the seed and its number alone, and E epochs are the same in
    one call or in several. With `config.monitor` the validation set judges the
    parameters after each epoch, and once `config.patience` ends no further epoch is done.

    With weights, of the examples or of their classes, a step's loss is the sum of weight times
    loss, divided by the number of its examples times the mean weight of the training set: so a
    weight means the same at any batch size.

    Args:
        state: before; at a whole number of epochs.
        data: the training set, on the device.
        keys: the run's.
        hyperparams: traced.
        validation: scored after each epoch; it takes no part in training.
        until: [] epochs after which to stop even if fewer than `num_epochs` are done here, so
            that segments of several lengths share one program.
        config: static.
        num_epochs: E, static.

    Returns:
        The state after, and the history of these epochs; of epochs that were not done it holds
        0, also as the count of a validation set. `epoch` of the states tells how many were.

    Raises:
        TypeError, ValueError: a shape or dtype does not fit; labels are not looked at.

    >>> from jaxcls import bernoulli, init_state
    >>> config, keys = Config((2, 1), bernoulli), Keys.from_seed(0)
    >>> data = Batch(jnp.eye(2), jnp.array([0, 1]))
    >>> state = init_state(keys, config)
    >>> _, history = train_epochs(state, data, keys, Hyperparams(), config=config, num_epochs=3)
    >>> history.loss.shape
    (3,)
    """
    check_batch("train_epochs", "data", data, config)
    check_for_epochs(state, hyperparams, validation, config, num_epochs)

    judge = None
    if validation is not None:
        judge = partial(score, data=validation, config=config)
    return run_epochs(
        state,
        data,
        keys,
        hyperparams,
        until,
        config=config,
        num_epochs=num_epochs,
        judge=judge,
    )


def check_for_epochs(
    state: TrainState,
    hyperparams: Hyperparams,
    validation: Batch | None,
    config: Config,
    num_epochs: int,
) -> None:
    """Raises as `train_epochs` does for all that it takes but the training set."""
    check_params("train_epochs", state.params, config)
    check_average("train_epochs", state.average, config)
    check_label_settings("train_epochs", hyperparams, config)
    if validation is not None:
        check_batch("train_epochs", "validation", validation, config)
    if num_epochs < 1:
        raise ValueError(
            f"train_epochs: num_epochs must be at least 1, got {num_epochs}."
        )
    check_judge("train_epochs", config, validation)


def run_epochs(
    state: TrainState,
    data: Batch,
    keys: Keys,
    hyperparams: Hyperparams,
    until: Array | np.integer | int | None,
    *,
    config: Config,
    num_epochs: int,
    judge: Callable[[Params], Metrics] | None,
    count: Array | np.ndarray | None = None,
    steps: Array | np.ndarray | None = None,
    orders: Array | np.ndarray | None = None,
    apply: Callable[..., Array] = mlp.apply,
    optimizer_of: OptimizerOf = make_optimizer,
) -> tuple[TrainState, History]:
    """`train_epochs` of checked arguments, inside a jitted function.

    Args:
        state, data, keys, hyperparams, until, config, num_epochs: as of `train_epochs`.
        judge: scores params on the validation set, or None without one.
        count: [] how many examples count, where others behind them, whose weights are 0, only fill
            up mini-batches' data; None if all do.
        steps: [] how many steps those that count make, which are all that are done; None if as
            many as all. Only under a constant schedule, which asks for no total.
        orders: [E, N] the order of the examples in each of these epochs; None draws them.
        apply: the network, as `mlp.apply`.
        optimizer_of: as `make_optimizer`.
    """
    if steps is not None and config.schedule != "constant":
        raise ValueError(
            "train_epochs: a number of steps that is traced needs the schedule constant, got "
            f"{config.schedule!r}."
        )
    hyperparams = in_dtype_of(state.params, hyperparams)
    first = state.epoch
    last = (
        first + num_epochs if until is None else jnp.minimum(first + num_epochs, until)
    )
    weight_sum = jnp.sum(loss_weights(data, hyperparams))
    is_weighed = data.weights is not None or hyperparams.class_weights is not None
    num_real = num_examples(data) if count is None else count
    mean_weight = weight_sum / num_real if is_weighed else None
    take_step = partial(
        checked_step, config=config, apply=apply, optimizer_of=optimizer_of
    )

    def one(state, epoch):
        state, loss_sum = _train_epoch(
            state,
            epoch,
            data,
            keys,
            hyperparams,
            config,
            take_step,
            mean_weight,
            count,
            steps,
            None if orders is None else jnp.asarray(orders)[epoch - first],
        )
        state = state._replace(epoch=epoch + 1)
        scores = None
        if judge is not None:
            judged = judged_params(state)
            scores = judge(judged)
            progress = after_epoch(state.progress, epoch + 1, judged, scores, config)
            state = state._replace(progress=progress)
        return state, History(loss_sum / weight_sum, scores)

    def goes_on(carry):
        epoch, state, _ = carry
        is_over = out_of_patience(state.progress, epoch, config)
        return (epoch < last) & jnp.logical_not(is_over)

    def body(carry):
        epoch, state, history = carry
        state, entry = one(state, epoch)

        def record(leaf, value):
            return leaf.at[epoch - first].set(jnp.asarray(value, leaf.dtype))

        return epoch + 1, state, jax.tree.map(record, history, entry)

    dtype = _loss_dtype(state, data, hyperparams)
    history = _blank_history(state, judge, num_epochs, dtype)
    # Not a scan over a fixed number: XLA compiles a loop of one round otherwise than one of
    # many, and the bits of a run would depend on the length of its segments. Of this loop it
    # does not know how often it runs.
    _, state, history = jax.lax.while_loop(goes_on, body, (first, state, history))
    return state, history


def _train_epoch(
    state: TrainState,
    epoch: Array,
    data: Batch,
    keys: Keys,
    hyperparams: Hyperparams,
    config: Config,
    take_step: Callable[..., tuple[TrainState, Array]],
    mean_weight: Array | None,
    count: Array | np.ndarray | None,
    steps: Array | np.ndarray | None,
    order: Array | None,
) -> tuple[TrainState, Array]:
    """One epoch: the state after it, and the sum of its losses.

    The mean weight is that of the whole set, or None where nothing is weighed; the count, the steps
    and this epoch's order as of `run_epochs`.
    """
    num_steps = steps_per_epoch(data, config)
    # A schedule follows the epochs; their steps so far may have been of data of another size.
    ahead = epoch * num_steps - state.step
    masks = None
    if config.dropout:
        key = jax.random.fold_in(keys.dropout, epoch)
        masks = mlp.draw_masks(
            key,
            hyperparams.dropout_rate,
            (num_steps, step_size(data, config)),
            state.params,
        )
    if num_steps == 1:
        # The sum over a full batch does not ask for an order, so nothing is gathered.
        if masks is not None:
            masks = tuple(mask[0] for mask in masks)
        hyperparams = _scheduled(hyperparams, state.step + ahead, config, num_steps)
        return take_step(state, data, masks, hyperparams)

    def step(carry, inputs):
        state, loss_sum = carry
        (rows, real), masks = inputs
        divisor = None if mean_weight is None else jnp.sum(real) * mean_weight
        state, batch_loss_sum = take_step(
            state,
            take(data, rows, real, config),
            masks,
            _scheduled(hyperparams, state.step + ahead, config, num_steps),
            divisor=divisor,
        )
        # Summed in the carry: XLA on CPU rewrites small stacked outputs whole at each step.
        return (state, loss_sum + batch_loss_sum), None

    key = jax.random.fold_in(keys.shuffle, epoch)
    batches = epoch_rows(key, data, config, count, order)
    zero = jnp.zeros((), _loss_dtype(state, data, hyperparams))
    if steps is None:
        carry, _ = jax.lax.scan(step, (state, zero), (batches, masks))
        return carry

    def numbered(index, carry):
        inputs = jax.tree.map(lambda leaf: leaf[index], (batches, masks))
        return step(carry, inputs)[0]

    return jax.lax.fori_loop(0, steps, numbered, (state, zero))


def _scheduled(
    hyperparams: Hyperparams, step: Array, config: Config, num_steps: int
) -> Hyperparams:
    """With the learning rate of this step, in epochs of `num_steps`."""
    if config.schedule == "constant":
        return hyperparams
    share = unit_schedule(config.schedule, config.epochs * num_steps)(step)
    rate = jnp.asarray(hyperparams.learning_rate) * share
    return hyperparams._replace(learning_rate=rate)


def _blank_history(
    state: TrainState,
    judge: Callable[[Params], Metrics] | None,
    num_epochs: int,
    dtype: jnp.dtype,
) -> History:
    """With 0 for epochs that are not done: NaN would stop a healthy run under jax_debug_nans."""

    def blank(leaf):
        return jnp.zeros((num_epochs, *leaf.shape), leaf.dtype)

    scores = None
    if judge is not None:
        scores = jax.tree.map(blank, jax.eval_shape(judge, state.params))
    return History(jnp.zeros(num_epochs, dtype), scores)


def _loss_dtype(state: TrainState, data: Batch, hyperparams: Hyperparams) -> jnp.dtype:
    """The type of a sum of weighted losses."""
    weights = loss_weights(data, hyperparams)
    leaves = jax.tree.leaves(state.params)
    return jnp.result_type(features_dtype(data), weights, *leaves)
