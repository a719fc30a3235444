"""Training as pure functions: a step, a run of epochs as one program, and a score.

`train_step` turns a state and a batch into the next state. `train_epochs` runs it over the
batches of an epoch and the epochs of a segment, so that a segment is one XLA program with
the data on the device. `evaluate` scores parameters.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxcls import mlp
from jaxcls.batches import (
    Batch,
    beside,
    epoch_rows,
    features_dtype,
    num_examples,
    step_size,
    steps_per_epoch,
    take,
    weights_of,
)
from jaxcls.checks import check_batch, check_data, check_params
from jaxcls.choosing import (
    Progress,
    after_epoch,
    after_step,
    out_of_patience,
    start_progress,
)
from jaxcls.config import Config, Hyperparams, Keys
from jaxcls.hyperparam_checks import check_label_settings
from jaxcls.metrics import Metrics, labels_of
from jaxcls.mlp import Masks, Params
from jaxcls.optimizers import make_optimizer
from jaxcls.schedules import unit_schedule


class TrainState(NamedTuple):
    """All that changes while training; arrays only.

    Attributes:
        step: [] int32, steps taken.
        params: the network's.
        opt_state: the optimizer's.
        progress: what the run has met.
        epoch: [] int32, epochs that `train_epochs` has done, whatever the size of their data.
    """

    step: Array
    params: Params
    opt_state: optax.OptState
    progress: Progress
    epoch: Array


class History(NamedTuple):
    """What each epoch gave.

    Attributes:
        loss: [E] mean over the epoch's examples of the loss that is trained on, each before its
            own step's update.
        validation: `Metrics` with leaves [E], after each epoch, or None without a set.
    """

    loss: Array
    validation: Metrics | None = None


@partial(jax.jit, static_argnames="config")
def init_state(keys: Keys, config: Config, params: Params | None = None) -> TrainState:
    """Draws the starting state, or starts from the given params.

    >>> from jaxcls import bernoulli
    >>> int(init_state(Keys.from_seed(0), Config((784, 32, 1), bernoulli)).step)
    0
    """
    if params is None:
        params = mlp.init(keys.init, config.layer_sizes)
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=make_optimizer(config, Hyperparams()).init(params),
        progress=start_progress(params, config),
        epoch=jnp.zeros((), jnp.int32),
    )


def chosen_params(state: TrainState) -> Params:
    """The parameters of the best epoch where a validation set judges, else the last.

    >>> from jaxcls import bernoulli
    >>> state = init_state(Keys.from_seed(0), Config((784, 32, 1), bernoulli))
    >>> chosen_params(state) is state.params
    True
    """
    best = state.progress.best
    return state.params if best is None else best.params


@partial(jax.jit, static_argnames="config")
def train_step(
    state: TrainState,
    batch: Batch,
    masks: Masks | None,
    hyperparams: Hyperparams,
    *,
    config: Config,
) -> tuple[TrainState, Array]:
    """Takes one step down the batch's mean loss.

    The learning rate is taken as it is given: it is `train_epochs` that follows a schedule. The
    mean is over the batch's own weights, where `train_epochs`, which knows them all, divides by
    the mean weight of the whole set.

    Args:
        state: before the step.
        batch: B examples.
        masks: per hidden layer a bool mask [B, H_l], or None for no dropout.
        hyperparams: traced.
        config: static.

    Returns:
        The state after the step, and the sum [] of the batch's weighted losses before it.

    Raises:
        TypeError, ValueError: a shape or dtype does not fit; labels are not looked at.

    >>> from jaxcls import bernoulli
    >>> config = Config((2, 1), bernoulli)
    >>> state = init_state(Keys.from_seed(0), config)
    >>> batch = Batch(jnp.ones((4, 2)), jnp.ones(4))
    >>> state, loss_sum = train_step(state, batch, None, Hyperparams(), config=config)
    >>> int(state.step), loss_sum.shape
    (1, ())
    """
    check_batch("train_step", "batch", batch, config)
    check_params("train_step", state.params, config)
    check_label_settings("train_step", hyperparams, config)
    mlp.check_masks("train_step", masks, batch.features.shape[:1], state.params)
    hyperparams = _in_dtype_of(state.params, hyperparams)
    return _step(state, batch, masks, hyperparams, config)


def _step(
    state: TrainState,
    batch: Batch,
    masks: Masks | None,
    hyperparams: Hyperparams,
    config: Config,
    apply: Callable[..., Array] = mlp.apply,
    divisor: Array | None = None,
) -> tuple[TrainState, Array]:
    """`train_step` of checked arguments.

    The loss is the sum of the weighted losses, divided by `divisor` [], by default the sum of
    the batch's weights.
    """

    def mean_loss(params):
        rate = hyperparams.dropout_rate
        logits = apply(params, batch.features, masks=masks, rate=rate)
        targets, share = batch.targets, hyperparams.label_smoothing
        if share is not None and config.likelihood.smooth is not None:
            targets = config.likelihood.smooth(targets, config.layer_sizes[-1], share)
        weights = _loss_weights(batch, hyperparams)
        loss_sum = jnp.sum(config.likelihood.loss(logits, targets) * weights)
        total = jnp.sum(weights) if divisor is None else divisor
        # A batch whose every weight is 0 has the mean loss 0 and not 0/0.
        return loss_sum / jnp.where(total > 0, total, 1), loss_sum

    (loss, loss_sum), grads = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    optimizer = make_optimizer(config, hyperparams)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    state = state._replace(
        step=state.step + 1,
        params=cast(Params, optax.apply_updates(state.params, updates)),
        opt_state=opt_state,
        progress=after_step(state.progress, state.step, loss),
    )
    return state, loss_sum


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

    >>> from jaxcls import bernoulli
    >>> config, keys = Config((2, 1), bernoulli), Keys.from_seed(0)
    >>> data = Batch(jnp.eye(2), jnp.array([0, 1]))
    >>> state = init_state(keys, config)
    >>> _, history = train_epochs(state, data, keys, Hyperparams(), config=config, num_epochs=3)
    >>> history.loss.shape
    (3,)
    """
    check_batch("train_epochs", "data", data, config)
    check_for_epochs(state, hyperparams, validation, config, num_epochs)

    def judge(params):
        return score(params, validation, config)

    return run_epochs(
        state,
        data,
        keys,
        hyperparams,
        until,
        config=config,
        num_epochs=num_epochs,
        judge=None if validation is None else judge,
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
    check_label_settings("train_epochs", hyperparams, config)
    if validation is not None:
        check_batch("train_epochs", "validation", validation, config)
    if num_epochs < 1:
        raise ValueError(
            f"train_epochs: num_epochs must be at least 1, got {num_epochs}."
        )
    if validation is None and config.monitor is not None:
        raise ValueError(
            f"train_epochs: Config.monitor is {config.monitor!r}, but there is no validation set."
        )


def run_epochs(
    state: TrainState,
    data: Batch,
    keys: Keys,
    hyperparams: Hyperparams,
    until: Array | int | None,
    *,
    config: Config,
    num_epochs: int,
    judge: Callable[[Params], Metrics] | None,
    apply: Callable[..., Array] = mlp.apply,
) -> tuple[TrainState, History]:
    """`train_epochs` of checked arguments, inside a jitted function.

    Args:
        state, data, keys, hyperparams, until, config, num_epochs: as of `train_epochs`.
        judge: scores params on the validation set, or None without one.
        apply: the network, as `mlp.apply`.
    """
    hyperparams = _in_dtype_of(state.params, hyperparams)
    first = state.epoch
    last = (
        first + num_epochs if until is None else jnp.minimum(first + num_epochs, until)
    )
    weight_sum = jnp.sum(_loss_weights(data, hyperparams))
    mean_weight = None
    if data.weights is not None or hyperparams.class_weights is not None:
        mean_weight = weight_sum / num_examples(data)

    def one(state, epoch):
        state, loss_sum = _train_epoch(
            state, epoch, data, keys, hyperparams, config, apply, mean_weight
        )
        state = state._replace(epoch=epoch + 1)
        scores = None
        if judge is not None:
            scores = judge(state.params)
            progress = after_epoch(
                state.progress, epoch + 1, state.params, scores, config
            )
            state = state._replace(progress=progress)
        return state, History(loss_sum / weight_sum, scores)

    def goes_on(carry):
        epoch, state, _ = carry
        return (epoch < last) & jnp.logical_not(
            out_of_patience(state.progress, epoch, config)
        )

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


def evaluate(params: Params, data: Batch, *, config: Config) -> Metrics:
    """Scores every example once, with no dropout and no randomness.

    Data on another device than the parameters is moved to theirs (the notes meet an error
    there).

    Args:
        params: the network's.
        data: N examples.
        config: static.

    >>> from jaxcls import bernoulli
    >>> params = {"Dense_0": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}}
    >>> data = Batch(jnp.array([[1.0], [-1.0]]), jnp.array([1, 1]))
    >>> float(evaluate(params, data, config=Config((1, 1), bernoulli)).accuracy)
    0.5
    """
    check_data("evaluate", "data", data, config)
    check_params("evaluate", params, config)
    return score(params, beside(params, data), config)


@partial(jax.jit, static_argnames="config")
def score(params: Params, data: Batch, config: Config) -> Metrics:
    """`evaluate` of data that have been checked and lie beside the parameters."""
    return metrics_of(mlp.apply(params, data.features), data, config)


def metrics_of(logits: Array, data: Batch, config: Config) -> Metrics:
    """Sums over the examples of `data` of what their logits [N, K] are worth."""
    losses = config.likelihood.loss(logits, data.targets)
    hits = config.likelihood.predict(logits) == labels_of(data.targets)
    weights = weights_of(data)
    return Metrics(jnp.sum(losses * weights), jnp.sum(hits * weights), jnp.sum(weights))


def _train_epoch(
    state: TrainState,
    epoch: Array,
    data: Batch,
    keys: Keys,
    hyperparams: Hyperparams,
    config: Config,
    apply: Callable[..., Array],
    mean_weight: Array | None,
) -> tuple[TrainState, Array]:
    """One epoch: the state after it, and the sum of its losses.

    The mean weight is that of the whole set, or None where nothing is weighed.
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
        return _step(state, data, masks, hyperparams, config, apply)

    def step(carry, inputs):
        state, loss_sum = carry
        (rows, real), masks = inputs
        divisor = None if mean_weight is None else jnp.sum(real) * mean_weight
        state, batch_loss_sum = _step(
            state,
            take(data, rows, real, config),
            masks,
            _scheduled(hyperparams, state.step + ahead, config, num_steps),
            config,
            apply,
            divisor,
        )
        # Summed in the carry: XLA on CPU rewrites small stacked outputs whole at each step.
        return (state, loss_sum + batch_loss_sum), None

    batches = epoch_rows(jax.random.fold_in(keys.shuffle, epoch), data, config)
    zero = jnp.zeros((), _loss_dtype(state, data, hyperparams))
    carry, _ = jax.lax.scan(step, (state, zero), (batches, masks))
    return carry


def _in_dtype_of(params: Params, hyperparams: Hyperparams) -> Hyperparams:
    """In the params' type, so that no hyperparam decides the type of what is trained."""
    dtype = jnp.result_type(*jax.tree.leaves(params))
    return jax.tree.map(lambda value: jnp.asarray(value, dtype), hyperparams)


def _scheduled(
    hyperparams: Hyperparams, step: Array, config: Config, num_steps: int
) -> Hyperparams:
    """With the learning rate of this step, in epochs of `num_steps`."""
    if config.schedule == "constant":
        return hyperparams
    share = unit_schedule(config.schedule, config.epochs * num_steps)(step)
    rate = jnp.asarray(hyperparams.learning_rate) * share
    return hyperparams._replace(learning_rate=rate)


def _loss_weights(batch: Batch, hyperparams: Hyperparams) -> Array | np.ndarray:
    """Weights [N] of the losses trained on: the examples' own times their class's."""
    weights = weights_of(batch)
    if hyperparams.class_weights is None:
        return weights
    labels = labels_of(batch.targets).astype(jnp.int32)
    dtype = features_dtype(batch)
    return weights * jnp.asarray(hyperparams.class_weights, dtype)[labels]


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
    weights = _loss_weights(data, hyperparams)
    leaves = jax.tree.leaves(state.params)
    return jnp.result_type(features_dtype(data), weights, *leaves)
