"""Optimizers: a table by name, out of optax, or a user's own, with all hyperparams traced."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

if TYPE_CHECKING:  # `config` takes the names from here
    from jaxcls.config import Config, Hyperparams

# Adam's defaults, in PyTorch and optax alike.
_B1, _B2, _EPSILON = 0.9, 0.999, 1e-8
# torch.optim.AdamW's default; optax's own is 1e-4.
_OWN_DECAY = {"adamw": 0.01}

OptimizerName = Literal["sgd", "adam", "adamw", "nadam", "rmsprop", "adagrad", "lion"]
OwnOptimizer = Callable[["Hyperparams"], optax.GradientTransformation]


def make_optimizer(
    config: "Config", hyperparams: "Hyperparams"
) -> optax.GradientTransformation:
    """Builds the optimizer of a config; one for any hyperparams has the same state.

    One out of the table clips the gradient, turns it into a direction, adds the decay of the
    kernels, and takes a step of the learning rate. A user's own does what it does.

    Raises:
        TypeError: a user's own gives no optax transformation.

    >>> from jaxcls import Config, Hyperparams, bernoulli
    >>> sgd = make_optimizer(Config((1, 1), bernoulli, "sgd"), Hyperparams(0.1))
    >>> params = {"Dense_0": {"kernel": jnp.ones((1, 1)), "bias": jnp.zeros(1)}}
    >>> updates, _ = sgd.update(params, sgd.init(params), params)
    >>> updates["Dense_0"]["kernel"]
    Array([[-0.1]], dtype=float32)
    """
    if callable(config.optimizer):
        return _own(config.optimizer, hyperparams)
    decay, norm = hyperparams.weight_decay, hyperparams.clip_norm
    if decay is None:
        decay = _OWN_DECAY.get(config.optimizer)
    return optax.chain(
        optax.identity() if norm is None else _clip_by_global_norm(norm),
        OPTIMIZERS[config.optimizer](config),
        optax.identity() if decay is None else _decay_kernels(decay),
        optax.scale_by_learning_rate(hyperparams.learning_rate),
    )


def _own(
    optimizer: OwnOptimizer, hyperparams: "Hyperparams"
) -> optax.GradientTransformation:
    made = optimizer(hyperparams)
    if not isinstance(made, optax.GradientTransformation):
        raise TypeError(
            f"Config: optimizer {optimizer!r} must take the Hyperparams and return an optax "
            f"transformation, got {type(made).__name__}."
        )
    return made


def check_updates(updates: optax.Updates, params: optax.Params) -> None:
    """Raises TypeError unless an optimizer gave an update of the same shape for each of the params."""
    given, wanted = (
        jax.tree.map(lambda leaf: (jnp.shape(leaf), jnp.result_type(leaf)), each)
        for each in (updates, params)
    )
    if given != wanted:
        raise TypeError(
            f"Config: optimizer must give updates of the params' shapes and types, {wanted}, got "
            f"{given}."
        )


def _sgd(config: "Config") -> optax.GradientTransformation:
    return optax.trace(config.momentum) if config.momentum else optax.identity()


def _scale_by_adam(nesterov: bool = False) -> optax.GradientTransformation:
    """Adam's direction (D. P. Kingma and J. Ba, 2015, algorithm 1) on optax's own state.

    With `nesterov` the gradient counts once more (T. Dozat, 2016), at a constant momentum, as in
    optax and Keras; that of PyTorch's NAdam grows from step to step.
    """

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
        if nesterov:
            mu_hat = jax.tree.map(
                lambda m, g: (
                    _B1 * correct(m, _B1, count + 1)
                    + (1 - _B1) * correct(g, _B1, count)
                ),
                *(mu, updates),
            )
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


# How each turns gradients into a direction, with PyTorch's defaults where PyTorch has it.
OPTIMIZERS: dict[OptimizerName, Callable[["Config"], optax.GradientTransformation]] = {
    "sgd": _sgd,
    "adam": lambda config: _scale_by_adam(),
    "adamw": lambda config: _scale_by_adam(),
    "nadam": lambda config: _scale_by_adam(nesterov=True),
    "rmsprop": lambda config: optax.scale_by_rms(0.99, 1e-8, eps_in_sqrt=False),
    # Its epsilon is added to the square, PyTorch's 1e-10 to the root.
    "adagrad": lambda config: optax.scale_by_rss(0.0, 1e-20),
    "lion": lambda config: optax.scale_by_lion(),
}


@dataclasses.dataclass(frozen=True)
class NotAtHand:
    """Stands for a user's own optimizer in a run that is read without it, and can't be called."""

    name: str

    def __call__(self, hyperparams: "Hyperparams") -> optax.GradientTransformation:
        """Raises ValueError, which says what to pass."""
        raise ValueError(
            f"the run was trained with an optimizer of one's own, {self.name!r}; pass it to "
            "load_run as optimizer."
        )
