"""Optimizers by name, out of optax's parts, with the learning rate and decay traced."""

import jax
import optax
from jax.typing import ArrayLike

from jaxcls.config import Config, Hyperparams

# torch.optim.AdamW's default; optax's own is 1e-4.
_ADAMW_DECAY = 0.01


def make_optimizer(
    config: Config, hyperparams: Hyperparams
) -> optax.GradientTransformation:
    """Builds sgd, adam or adamw; one for any hyperparams has the same state.

    >>> import jax.numpy as jnp
    >>> from jaxcls import bernoulli
    >>> sgd = make_optimizer(Config((1, 1), bernoulli, "sgd"), Hyperparams(0.1))
    >>> params = {"Dense_0": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}}
    >>> updates, _ = sgd.update(params, sgd.init(params), params)
    >>> updates["Dense_0"]["kernel"]
    Array([[-0.1]], dtype=float32)
    """
    if config.optimizer != "sgd":
        direction = optax.scale_by_adam()
    elif config.momentum:
        direction = optax.trace(config.momentum)
    else:
        direction = optax.identity()
    decay = hyperparams.weight_decay
    if decay is None and config.optimizer == "adamw":
        decay = _ADAMW_DECAY
    return optax.chain(
        direction,
        optax.identity() if decay is None else _decay_kernels(decay),
        optax.scale_by_learning_rate(hyperparams.learning_rate),
    )


def _decay_kernels(decay: ArrayLike) -> optax.GradientTransformation:
    # Not optax.add_decayed_weights: masked to the kernels, it has a state of its own, and
    # the state's structure would depend on a traced setting.
    def add_decay(updates, params):
        def add(path, update, param):
            return update + decay * param if path[-1].key == "kernel" else update

        return jax.tree_util.tree_map_with_path(add, updates, params)

    return optax.stateless(add_decay)
