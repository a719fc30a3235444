"""What a run has met so far, and by it the choice of parameters and of an end.

All of it is arrays that the training programs carry along, judged after each epoch: so it
depends neither on how often a run is looked at nor on where it was cut off.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from jaxcls.config import Config
from jaxcls.metrics import Metrics
from jaxcls.mlp import Params


class Best(NamedTuple):
    """The best so far by `Config.monitor`; the earlier of two that are equal.

    Attributes:
        params: the network's, after that epoch.
        value: [] its mean loss or its accuracy on the validation set; the worst number that
            there is if none has been judged.
        epoch: [] int32, epochs done then; 0 if none has been judged.
    """

    params: Params
    value: Array
    epoch: Array


class Progress(NamedTuple):
    """What a run has met so far, carried in the state so that it outlives a segment.

    Attributes:
        first_nonfinite_step: [] int32, the first step whose loss was not finite, or -1.
        last_finite_loss: [] mean loss of the last step before it, 0 if there was none.
        best: what validation chose so far, or None without `Config.monitor`.
    """

    first_nonfinite_step: Array
    last_finite_loss: Array
    best: Best | None


def start_progress(params: Params, config: Config) -> Progress:
    """The progress of a run that has done nothing yet.

    >>> from jaxcls import bernoulli
    >>> params = {"Dense_0": {"kernel": jnp.zeros((2, 1)), "bias": jnp.zeros(1)}}
    >>> start_progress(params, Config((2, 1), bernoulli, monitor="loss")).best.value
    Array(3.4028235e+38, dtype=float32)
    """
    # All numbers are finite, so that jax_debug_nans and jax_debug_infs find those of a run.
    dtype = jnp.result_type(*jax.tree.leaves(params))
    best = None
    if config.monitor is not None:
        limits = jnp.finfo(dtype)
        worst = limits.max if config.monitor == "loss" else limits.min
        best = Best(params, jnp.full((), worst, dtype), jnp.zeros((), jnp.int32))
    return Progress(
        first_nonfinite_step=jnp.full((), -1, jnp.int32),
        last_finite_loss=jnp.zeros((), dtype),
        best=best,
    )


def after_step(progress: Progress, step: Array, loss: Array) -> Progress:
    """The progress once step [] has met the mean loss []."""
    first, last, _ = progress
    good = (first < 0) & jnp.isfinite(loss)
    return progress._replace(
        first_nonfinite_step=jnp.where((first < 0) & ~good, step, first),
        last_finite_loss=jnp.where(good, loss.astype(last.dtype), last),
    )


def after_epoch(
    progress: Progress, epoch: Array, params: Params, scores: Metrics, config: Config
) -> Progress:
    """The progress once the validation set gave `scores` to `params`, after `epoch` epochs."""
    best = progress.best
    if best is None:
        return progress
    value = scores.loss if config.monitor == "loss" else scores.accuracy
    value = jnp.asarray(value).astype(best.value.dtype)
    better = value < best.value if config.monitor == "loss" else value > best.value
    # Outputs that are NaN are never better, though they may be right by chance.
    better &= jnp.isfinite(scores.loss_sum)
    now = Best(params, value, epoch)
    best = jax.tree.map(lambda new, old: jnp.where(better, new, old), now, best)
    return progress._replace(best=best)


def out_of_patience(
    progress: Progress, epoch: Array | int, config: Config
) -> Array | bool:
    """Whether early stopping ends a run that has done `epoch` epochs."""
    if progress.best is None or config.patience is None:
        return False
    # The epochs waited are counted from the best one, so that nothing else need be carried.
    return epoch - progress.best.epoch >= config.patience
