"""`fit`: the functions of `training`, strung together from checked data to a trained state.

It is the only one that knows of a host: it checks, moves data to the device, launches one
segment of epochs after another and reports between them.
"""

import time
from collections.abc import Callable
from functools import partial
from numbers import Integral
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls.batches import Batch, beside, steps_per_epoch
from jaxcls.checks import check_data, check_hyperparams, check_judge
from jaxcls.choosing import out_of_patience
from jaxcls.config import MOST_STEPS, Config, Hyperparams, Keys
from jaxcls.epochs import History
from jaxcls.layouts import arranged, score, train_epochs
from jaxcls.metrics import Metrics
from jaxcls.mlp import is_key
from jaxcls.training import TrainState, init_state, judged_params


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

    def __repr__(self) -> str:
        """Without the state, so that `on_report=print` prints a line."""
        text = f"Report(epoch {self.epoch}, loss {self.loss:.4g}"
        for name in ("train", "validation"):
            scores = getattr(self, name)
            if scores is not None and scores.errors is None:
                text += f", {name} accuracy {float(scores.accuracy):.4f}"
            elif scores is not None:
                text += f", {name} R squared {float(scores.r_squared):.4f}"
        return f"{text})"


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
    checkpoint_every: int | None = None,
    on_checkpoint: Callable[[int, TrainState], None] | None = None,
    on_segment: Callable[[int, History], bool] | None = None,
) -> tuple[TrainState, History]:
    """Trains until `config.epochs` epochs are done, or `config.patience` ends.

    Args:
        keys: `Keys.from_seed(seed)`.
        config: static.
        hyperparams: traced.
        train: the training set, arrays of NumPy or JAX.
        validation: scored after each epoch into the history; with `config.monitor` it chooses
            the parameters that `chosen_params(state)` gives.
        state: to start or resume from; `init_state(keys, config)` by default. Its epochs count,
            though they may have been of data of another size.
        report_every: epochs between two reports, all by default. It changes no parameter.
        on_report: called with a `Report` after each multiple of `report_every` and at the end.
        checkpoint_every: epochs between two checkpoints, all by default.
        on_checkpoint: called with epochs done and state after each multiple of
            `checkpoint_every` and at the end, after the report. A run that goes on from
            that state goes on to the same bits.
        on_segment: called with epochs done, and the history of those since it was called last,
            about once a second, or after each epoch where one takes longer, and after a report. It
            returns whether `on_checkpoint` is to be called now. It changes no parameter, whatever
            it returns.

    Returns:
        The last state, and the history [E] of the epochs done here.

    Raises:
        TypeError, ValueError: a shape, dtype, label or setting is wrong; the message names it.
        FloatingPointError: a loss or a parameter is no longer finite; reports and checkpoints
            stop before that. The loss after the last update is seen where one of them is due.

    >>> from jaxcls import bernoulli, evaluate
    >>> train = Batch(np.eye(2, dtype=np.float32), np.array([0, 1]))
    >>> config = Config((2, 8, 1), bernoulli, epochs=200)
    >>> state, history = fit(Keys.from_seed(0), config, Hyperparams(0.1), train)
    >>> int(evaluate(state.params, train, config=config).correct)
    2
    """
    _check_not_traced(keys, hyperparams, train, validation, state)
    _check_settings(keys, config, hyperparams)
    report_every = _check_every("report_every", report_every, config)
    checkpoint_every = _check_every("checkpoint_every", checkpoint_every, config)
    for name, data in (("train", train), ("validation", validation)):
        if data is not None:
            _check_on_one_device(name, data)
            check_data("fit", name, data, config)
    check_judge("fit", config, validation)
    state = _started(keys, config, hyperparams, state)
    num_steps = steps_per_epoch(train, config)
    _check_num_steps(state, config, num_steps)
    data = arranged(state.params, train, config)
    validation = None if validation is None else beside(state.params, validation)
    begun, done = state, int(state.epoch)
    # Segments end where something is due, and share one program whatever their length.
    longest = min(report_every, checkpoint_every, config.epochs)
    train_until = partial(train_epochs, config=config, num_epochs=longest)
    segments, pace = [], _Pace()
    while not is_over(state, done, config):
        until = min(_next(done, report_every), _next(done, checkpoint_every))
        if on_segment is not None:
            until = min(until, done + pace.epochs)
        until = np.int32(min(until, config.epochs))
        state, segment = jax.block_until_ready(
            train_until(state, data, keys, hyperparams, validation, until)
        )
        before, done = done, int(state.epoch)
        segments.append(_first_epochs(segment, done - before))
        _check_finite(state, begun, num_steps)
        over = is_over(state, done, config)
        pace.took_a_segment()
        reported = on_report is not None and (over or done % report_every == 0)
        if on_report is not None and reported:
            on_report(_report(done, state, segments[-1], data, config))
        is_wanted = on_segment is not None and on_segment(done, segments[-1])
        checkpoint_due = is_wanted or over or done % checkpoint_every == 0
        if on_checkpoint is not None and checkpoint_due:
            if not reported:  # a report shows what the last update did
                _report(done, state, segments[-1], data, config)
            on_checkpoint(done, state)
    if not segments:
        return state, _of_no_epochs(state, validation, config)
    return state, jax.tree.map(lambda *leaves: np.concatenate(leaves), *segments)


def _started(
    keys: Keys, config: Config, hyperparams: Hyperparams, state: TrainState | None
) -> TrainState:
    """The state to start or resume from, on the device."""
    start = partial(init_state, config=config, hyperparams=hyperparams)
    if state is None:
        return start(keys)
    if _shapes(state) != _shapes(jax.eval_shape(start, keys)):
        raise ValueError(
            "fit: state is not one of this config; its layers, optimizer, monitor and ema_decay "
            "must be those it was made with."
        )
    return jax.tree.map(jnp.asarray, state)  # also one that was kept with NumPy


def _of_no_epochs(
    state: TrainState, validation: Batch | None, config: Config
) -> History:
    """A history of the right structure."""
    if validation is None:
        return History(jnp.zeros(0))
    scores = jax.eval_shape(partial(score, config=config), state.params, validation)
    none = jax.tree.map(lambda leaf: np.zeros(0, leaf.dtype), scores)
    return History(jnp.zeros(0), none)


class _Pace:
    """How many epochs take about a second; at first one."""

    def __init__(self):
        self.epochs = 1
        self._start = time.perf_counter()

    def took_a_segment(self) -> None:
        """Takes the time since the last one, in which a report may have been made, too."""
        now = time.perf_counter()
        if now - self._start < 0.5:
            self.epochs = min(2 * self.epochs, MOST_STEPS)
        elif now - self._start > 1:
            self.epochs = max(1, self.epochs // 2)
        self._start = now


def _first_epochs(history: History, num_epochs: int) -> History:
    return jax.tree.map(lambda leaf: leaf[:num_epochs], jax.device_get(history))


def _shapes(state: TrainState) -> tuple:
    leaves, structure = jax.tree.flatten(state)
    return structure, [np.shape(leaf) for leaf in leaves]


def is_over(state: TrainState, done: int, config: Config) -> bool:
    """Whether a run that has done `done` epochs has no more to do."""
    return done >= config.epochs or bool(out_of_patience(state.progress, done, config))


def _next(done: int, every: int) -> int:
    """The first multiple of `every` after `done`."""
    return (done // every + 1) * every


def _report(
    epoch: int,
    state: TrainState,
    segment: History,
    data: Batch,
    config: Config,
) -> Report:
    scores = jax.device_get(score(judged_params(state), data, config))
    if not np.isfinite(scores.loss_sum):
        raise _diverged(
            f"the loss of the training set is not finite after epoch {epoch}"
        )
    last = jax.tree.map(lambda leaf: leaf[-1], segment)
    if last.validation is not None and not np.isfinite(last.validation.loss_sum):
        raise _diverged(
            f"the loss of the validation set is not finite after epoch {epoch}"
        )
    return Report(epoch, state, float(last.loss), scores, last.validation)


def _check_finite(state: TrainState, begun: TrainState, num_steps: int) -> None:
    first = int(state.progress.first_nonfinite_step)
    if first >= 0:
        epoch, step = divmod(first - int(begun.step), num_steps)
        last = float(state.progress.last_finite_loss)
        before = f", after a last finite loss of {last:.4g}" if first else ""
        raise _diverged(
            f"the loss is not finite from step {step + 1} of epoch "
            f"{int(begun.epoch) + epoch + 1} on{before}"
        )
    # The last update has no loss after it that would show what it did.
    leaves = jax.device_get(jax.tree.leaves(state.params))
    if not all(np.isfinite(leaf).all() for leaf in leaves):
        raise _diverged(f"the parameters are not finite after epoch {int(state.epoch)}")


def _diverged(what: str) -> FloatingPointError:
    return FloatingPointError(
        f"fit: {what}; try a smaller learning_rate, a clip_norm, or features that are scaled."
    )


def _check_num_steps(state: TrainState, config: Config, num_steps: int) -> None:
    left = max(0, config.epochs - int(state.epoch))
    # Of a schedule all epochs are counted in steps of this size.
    most = max(int(state.step) + left * num_steps, config.epochs * num_steps)
    if most > MOST_STEPS:
        raise ValueError(
            f"fit: {config.epochs:,} epochs of {num_steps:,} steps are more than the "
            f"{MOST_STEPS:,} steps that a run can count; take fewer epochs or larger batches."
        )


def _check_on_one_device(name: str, data: Batch) -> None:
    for leaf in jax.tree.leaves(data):
        if isinstance(leaf, Array) and len(leaf.sharding.device_set) > 1:
            raise ValueError(
                f"fit: {name} lies over {len(leaf.sharding.device_set)} devices, and a run is trained "
                "on one; pass arrays of NumPy, or many runs to fit_many."
            )


def _check_not_traced(*given: Any) -> None:
    if any(isinstance(leaf, jax.core.Tracer) for leaf in jax.tree.leaves(given)):
        raise TypeError(
            "fit: it looks at losses on the host between epochs, and can't be traced; inside jit, "
            "vmap or grad call train_epochs, or fit_many for many runs."
        )


def _check_settings(keys: Keys, config: Config, hyperparams: Hyperparams) -> None:
    for name, value, kind in (
        ("keys", keys, Keys),
        ("config", config, Config),
        ("hyperparams", hyperparams, Hyperparams),
    ):
        if not isinstance(value, kind):
            raise TypeError(
                f"fit: {name} must be a jaxcls.{kind.__name__}, got {type(value).__name__}."
            )
    for name, key in keys._asdict().items():
        if not is_key(key) or key.shape != ():
            raise TypeError(
                f"fit: keys.{name} must be one typed key, as Keys.from_seed(seed) makes it; many "
                "seeds are trained by fit_many."
            )
    check_hyperparams("fit", hyperparams, config)


def _check_every(name: str, every: int | None, config: Config) -> int:
    if every is None:
        return config.epochs
    if not isinstance(every, Integral):
        raise TypeError(f"fit: {name} must be an integer, got {every!r}.")
    if every < 1:
        raise ValueError(f"fit: {name} must be at least 1, got {every}.")
    return int(every)
