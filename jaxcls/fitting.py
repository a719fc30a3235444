"""`fit`: the functions of `training`, strung together from checked data to a trained state.

It is the only one that knows of a host: it checks, moves data to the device, launches one
segment of epochs after another and reports between them.
"""

from collections.abc import Callable
from numbers import Integral
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls.batches import Batch, beside, steps_per_epoch
from jaxcls.checks import check_data
from jaxcls.config import MOST_STEPS, Config, Hyperparams, Keys, check_hyperparams
from jaxcls.metrics import Metrics
from jaxcls.training import History, TrainState, evaluate, init_state, train_epochs


class Report(NamedTuple):
    """What `fit` hands to `on_report` after a segment.

    Attributes:
        epoch: epochs finished.
        state: after them.
        loss: mean training loss of the last epoch, each example before its step's update.
        train: score on the training set, after the last epoch, on the host.
        validation: score on the validation set, or None.
    """

    epoch: int
    state: TrainState
    loss: float
    train: Metrics
    validation: Metrics | None


def fit(
    keys: Keys,
    config: Config,
    hyperparams: Hyperparams,
    train: Batch,
    validation: Batch | None = None,
    *,
    state: TrainState | None = None,
    report_every: int | None = None,
    on_report: Callable[[Report], None] | None = None,
) -> tuple[TrainState, History]:
    """Trains until `config.epochs` epochs are done.

    Args:
        keys: `Keys.from_seed(seed)`.
        config: static.
        hyperparams: traced.
        train: the training set, arrays of NumPy or JAX.
        validation: scored after each epoch into the history.
        state: to start or go on from; `init_state(keys, config)` by default.
        report_every: epochs a segment, all by default. It changes no parameter.
        on_report: called with a `Report` after each segment.

    Returns:
        The last state, and the history [E] of the epochs done here.

    Raises:
        TypeError, ValueError: a shape, dtype, label or setting is wrong; the message names it.
        FloatingPointError: a loss or a parameter is no longer finite; reports stop before
            that segment. The loss after the last update is seen by a report alone.

    >>> from jaxcls import bernoulli
    >>> train = Batch(np.eye(2, dtype=np.float32), np.array([0, 1]))
    >>> config = Config((2, 8, 1), bernoulli, epochs=200)
    >>> state, history = fit(Keys.from_seed(0), config, Hyperparams(0.1), train)
    >>> int(evaluate(state.params, train, config=config).correct)
    2
    """
    _check_settings(keys, config, hyperparams, report_every)
    check_data("fit", "train", train, config)
    if validation is not None:
        check_data("fit", "validation", validation, config)
    state = init_state(keys, config) if state is None else state
    train = beside(state.params, train)
    validation = None if validation is None else beside(state.params, validation)

    num_steps = steps_per_epoch(train, config)
    _check_num_steps(config.epochs, num_steps)
    done = start = int(state.step) // num_steps
    segments = []
    while done < config.epochs:
        num_epochs = min(report_every or config.epochs, config.epochs - done)
        state, segment = jax.block_until_ready(
            train_epochs(
                state,
                train,
                keys,
                hyperparams,
                validation,
                config=config,
                num_epochs=num_epochs,
            )
        )
        segments.append(jax.device_get(segment))
        _check_finite(state, segments, start, num_steps)
        done += num_epochs
        _check_params(state, done)
        if on_report is not None:
            on_report(_report(done, state, segments[-1], train, config))
    if not segments:
        return state, History(jnp.zeros(0))
    return state, jax.tree.map(lambda *leaves: np.concatenate(leaves), *segments)


def _report(
    epoch: int, state: TrainState, segment: History, train: Batch, config: Config
) -> Report:
    scores = jax.device_get(evaluate(state.params, train, config=config))
    if not np.isfinite(scores.loss_sum):
        raise _diverged(
            f"the loss of the training set is not finite after epoch {epoch}"
        )
    last = jax.tree.map(lambda leaf: leaf[-1], segment)
    return Report(epoch, state, float(last.loss), scores, last.validation)


def _check_finite(
    state: TrainState, segments: list[History], start: int, num_steps: int
) -> None:
    first = int(state.progress.first_nonfinite_step)
    if first < 0:
        return
    epoch, step = divmod(first, num_steps)
    before = np.concatenate([segment.loss for segment in segments])[: epoch - start]
    sentence = f"the loss is not finite from step {step + 1} of epoch {epoch + 1} on"
    if len(before):
        sentence += f", after a mean loss of {before[-1]:.4g} in epoch {epoch}"
    raise _diverged(sentence)


def _check_params(state: TrainState, epoch: int) -> None:
    # The last update has no loss after it that would show what it did.
    leaves = jax.device_get(jax.tree.leaves(state.params))
    if not all(np.isfinite(leaf).all() for leaf in leaves):
        raise _diverged(f"the parameters are not finite after epoch {epoch}")


def _diverged(what: str) -> FloatingPointError:
    return FloatingPointError(
        f"fit: {what}; try a smaller learning_rate, or scale the features."
    )


def _check_num_steps(num_epochs: int, num_steps: int) -> None:
    if num_epochs * num_steps > MOST_STEPS:
        raise ValueError(
            f"fit: {num_epochs:,} epochs of {num_steps:,} steps are more than the "
            f"{MOST_STEPS:,} steps that a run can count; take fewer epochs or larger batches."
        )


def _check_settings(
    keys: Keys, config: Config, hyperparams: Hyperparams, report_every: int | None
) -> None:
    for name, value, kind in (
        ("keys", keys, Keys),
        ("config", config, Config),
        ("hyperparams", hyperparams, Hyperparams),
    ):
        if not isinstance(value, kind):
            raise TypeError(
                f"fit: {name} must be a jaxcls.{kind.__name__}, got {type(value).__name__}."
            )
    check_hyperparams("fit", hyperparams, config)
    if report_every is not None and not isinstance(report_every, Integral):
        raise TypeError(f"fit: report_every must be an integer, got {report_every!r}.")
    if report_every is not None and report_every < 1:
        raise ValueError(f"fit: report_every must be at least 1, got {report_every}.")
