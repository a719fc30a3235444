"""Optimizers by name, out of optax's parts, with the learning rate and decay traced."""

import math

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from jaxcls.config import Config, Hyperparams

# torch.optim.AdamW's default; optax's own is 1e-4.
_ADAMW_DECAY = 0.01
# Adam's defaults, in PyTorch and optax alike.
_B1, _B2, _EPSILON = 0.9, 0.999, 1e-8


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
        direction = _scale_by_adam()
    elif config.momentum:
        direction = optax.trace(config.momentum)
    else:
        direction = optax.identity()
    decay, norm = hyperparams.weight_decay, hyperparams.clip_norm
    if decay is None and config.optimizer == "adamw":
        decay = _ADAMW_DECAY
    return optax.chain(
        optax.identity() if norm is None else _clip_by_global_norm(norm),
        direction,
        optax.identity() if decay is None else _decay_kernels(decay),
        optax.scale_by_learning_rate(hyperparams.learning_rate),
    )


def _scale_by_adam() -> optax.GradientTransformation:
    """Adam's direction (D. P. Kingma and J. Ba, 2015, algorithm 1) on optax's own state."""

    # Not optax.scale_by_adam alone: its 1 - b2**t in float32 keeps four digits of seven
    # at t = 1, which moves the losses of a run away from PyTorch's by up to 8e-6.
    def correct(moment, decay, count):
        bias = -jnp.expm1(count * jnp.asarray(math.log(decay), moment.dtype))
        return moment / bias

    def update(updates, state, params=None):
        del params
        count = state.count + 1
        mu = optax.tree.update_moment(updates, state.mu, _B1, 1)
        nu = optax.tree.update_moment(updates, state.nu, _B2, 2)
        mu_hat = jax.tree.map(lambda m: correct(m, _B1, count), mu)
        nu_hat = jax.tree.map(lambda v: correct(v, _B2, count), nu)
        directions = jax.tree.map(
            lambda m, v: m / (jnp.sqrt(v) + _EPSILON), mu_hat, nu_hat
        )
        return directions, optax.ScaleByAdamState(count, mu, nu)

    return optax.GradientTransformation(optax.scale_by_adam().init, update)


def _clip_by_global_norm(norm: ArrayLike) -> optax.GradientTransformation:
    """Scales a gradient whose norm is larger down to it (R. Pascanu et al., 2013)."""

    # Not optax.clip_by_global_norm: it squares the gradient as it is, so that one of 1e20,
    # against which clipping is asked for, has an infinite norm and gives no update at all.
    def clip(updates, params):
        del params
        largest = optax.tree.norm(updates, ord=jnp.inf)
        unit = jnp.where(largest > 0, largest, 1)
        whole = unit * optax.tree.norm(jax.tree.map(lambda leaf: leaf / unit, updates))
        factor = jnp.where(whole > norm, norm / whole, 1).astype(whole.dtype)
        return jax.tree.map(lambda leaf: leaf * factor, updates)

    return optax.stateless(clip)


def _decay_kernels(decay: ArrayLike) -> optax.GradientTransformation:
    # Not optax.add_decayed_weights: masked to the kernels, it has a state of its own, and
    # the state's structure would depend on a traced setting.
    def add_decay(updates, params):
        def add(path, update, param):
            # Not the last entry alone: a layout may hold a kernel in parts.
            names = [getattr(entry, "key", None) for entry in path]
            return update + decay * param if "kernel" in names else update

        return jax.tree_util.tree_map_with_path(add, updates, params)

    return optax.stateless(add_decay)
