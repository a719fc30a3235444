"""Training as pure functions: a state, a step, and a score.

`train_step` turns a state and a batch into the next state; `epochs.train_epochs` runs it over batches
and epochs. `evaluate` scores parameters.
"""

import math
from collections.abc import Callable
from typing import Any, NamedTuple, cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxcls import mlp
from jaxcls.batches import (
    Batch,
    beside,
    weights_of,
)
from jaxcls.checks import (
    check_average,
    check_batch,
    check_data,
    check_label_settings,
    check_params,
)
from jaxcls.choosing import (
    Progress,
    after_step,
    start_progress,
)
from jaxcls.config import Config, Hyperparams, Keys
from jaxcls.jitting import jitted
from jaxcls.metrics import Errors, Metrics, labels_of
from jaxcls.mlp import Masks, Params
from jaxcls.optimizers import check_updates, make_optimizer

OptimizerOf = Callable[[Config, Hyperparams], optax.GradientTransformation]


class TrainState(NamedTuple):
    """All that changes while training; arrays only.

    Attributes:
        step: [] int32, steps taken.
        params: the network's.
        opt_state: the optimizer's.
        progress: what the run has met.
        epoch: [] int32, epochs that `train_epochs` has done, whatever the size of their data.
        average: of the params after each step, or None without `Config.ema_decay`.
    """

    step: Array
    params: Params
    opt_state: optax.OptState
    progress: Progress
    epoch: Array
    average: Params | None = None


def init_state(
    keys: Keys,
    config: Config,
    params: Params | None = None,
    hyperparams: Hyperparams | None = None,
) -> TrainState:
    """Draws the starting state, or starts from the given params.

    The hyperparams are for an optimizer of one's own, whose state may hang on them.

    >>> from jaxcls import bernoulli
    >>> int(init_state(Keys.from_seed(0), Config((784, 32, 1), bernoulli)).step)
    0
    """
    if params is None:
        params = mlp.init(keys.init, config.layer_sizes)
    return first_state(params, hyperparams or Hyperparams(), config)


@jitted("config")
def first_state(params: Params, hyperparams: Hyperparams, config: Config) -> TrainState:
    """The state of params that no step has been taken from."""
    return TrainState(
        step=jnp.zeros((), jnp.int32),
        params=params,
        opt_state=make_optimizer(config, hyperparams).init(params),
        progress=start_progress(params, config),
        epoch=jnp.zeros((), jnp.int32),
        average=None if config.ema_decay is None else params,
    )


def chosen_params(state: TrainState) -> Params:
    """The parameters of the best epoch where a validation set judges, else the last.

    With `Config.ema_decay` they are averages.

    >>> from jaxcls import bernoulli
    >>> state = init_state(Keys.from_seed(0), Config((784, 32, 1), bernoulli))
    >>> chosen_params(state) is state.params
    True
    """
    best = state.progress.best
    return judged_params(state) if best is None else best.params


def judged_params(state: TrainState) -> Params:
    """What is scored after an epoch: the average where one is kept, else the params."""
    return state.params if state.average is None else state.average


@jitted("config")
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
    check_average("train_step", state.average, config)
    check_label_settings("train_step", hyperparams, config)
    mlp.check_masks("train_step", masks, batch.features.shape[:1], state.params)
    hyperparams = in_dtype_of(state.params, hyperparams)
    return checked_step(state, batch, masks, hyperparams, config)


def checked_step(
    state: TrainState,
    batch: Batch,
    masks: Masks | None,
    hyperparams: Hyperparams,
    config: Config,
    apply: Callable[..., Array] = mlp.apply,
    optimizer_of: OptimizerOf = make_optimizer,
    divisor: Array | None = None,
) -> tuple[TrainState, Array]:
    """`train_step` of checked arguments, inside a jitted function.

    The loss is the sum of the weighted losses, divided by `divisor` [], by default the sum of
    the batch's weights.
    """

    def mean_loss(params):
        rate = hyperparams.dropout_rate
        logits = apply(
            params,
            batch.features,
            masks=masks,
            rate=rate,
            activation=config.activation,
        )
        targets, share = batch.targets, hyperparams.label_smoothing
        if share is not None and config.likelihood.smooth is not None:
            targets = config.likelihood.smooth(targets, config.layer_sizes[-1], share)
        weights = loss_weights(batch, hyperparams)
        loss_sum = jnp.sum(config.likelihood.loss(logits, targets) * weights)
        total = jnp.sum(weights) if divisor is None else divisor
        # A batch whose every weight is 0 has the mean loss 0 and not 0/0.
        return loss_sum / jnp.where(total > 0, total, 1), loss_sum

    (loss, loss_sum), grads = jax.value_and_grad(mean_loss, has_aux=True)(state.params)
    optimizer = optimizer_of(config, hyperparams)
    updates, opt_state = optimizer.update(grads, state.opt_state, state.params)
    check_updates(updates, state.params)
    params = cast(Params, optax.apply_updates(state.params, updates))
    state = state._replace(
        step=state.step + 1,
        params=params,
        opt_state=opt_state,
        progress=after_step(state.progress, state.step, loss),
        average=_next_average(state, params, config.ema_decay),
    )
    return state, loss_sum


def _next_average(
    state: TrainState, params: Params, decay: float | None
) -> Params | None:
    """The average with the params after one more step, in which all weights sum to 1."""
    if decay is None or state.average is None:
        return None
    dtype = jnp.result_type(*jax.tree.leaves(params))
    # 1 - decay**t, of which float32 would keep few digits; the first step's weight is 1.
    total = -jnp.expm1((state.step + 1) * jnp.asarray(math.log(decay), dtype))
    share = (1 - decay) / total
    return cast(Params, optax.incremental_update(params, state.average, share))


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


@jitted("config")
def score(params: Params, data: Batch, config: Config) -> Metrics:
    """`evaluate` of data that have been checked and lie beside the parameters."""
    logits = mlp.apply(params, data.features, activation=config.activation)
    return metrics_of(logits, data, config)


def metrics_of(logits: Array, data: Batch, config: Config) -> Metrics:
    """Sums over the examples of `data` of what their logits [N, K] are worth."""
    losses = config.likelihood.loss(logits, data.targets)
    predictions, weights = config.likelihood.predict(logits), weights_of(data)
    loss_sum, count = jnp.sum(losses * weights), jnp.sum(weights)
    if config.likelihood.has_classes:
        hits = predictions == labels_of(data.targets)
        return Metrics(loss_sum, jnp.sum(hits * weights), count)
    targets = jnp.reshape(jnp.asarray(data.targets), predictions.shape)
    wrong, mean = predictions - targets, jnp.sum(targets * weights) / count
    errors = Errors(
        squared=jnp.sum(wrong**2 * weights),
        absolute=jnp.sum(jnp.abs(wrong) * weights),
        variation=jnp.sum((targets - mean) ** 2 * weights),
    )
    return Metrics(loss_sum, cast(Any, None), count, errors)


def in_dtype_of(params: Params, hyperparams: Hyperparams) -> Hyperparams:
    """In the params' type, so that no hyperparam decides the type of what is trained."""
    dtype = jnp.result_type(*jax.tree.leaves(params))
    return jax.tree.map(lambda value: jnp.asarray(value, dtype), hyperparams)


def loss_weights(batch: Batch, hyperparams: Hyperparams) -> Array | np.ndarray:
    """Weights [N] of the losses trained on: the examples' own times their class's."""
    weights = weights_of(batch)
    if hyperparams.class_weights is None:
        return weights
    labels = labels_of(batch.targets).astype(jnp.int32)
    return weights * jnp.asarray(hyperparams.class_weights)[labels]
