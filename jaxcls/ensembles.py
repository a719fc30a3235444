"""Several networks of one shape as one model: their mean prediction, and how far they agree.

The S members, such as the runs of S seeds, are one tree of parameters whose every leaf has a
leading axis S, as `jax.vmap` over runs gives it.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.scipy.special import entr, logsumexp
from jax.typing import ArrayLike

from jaxcls import likelihoods, mlp
from jaxcls.jitting import jitted
from jaxcls.likelihoods import (
    Likelihood,
    check_likelihood,
    class_log_probabilities,
    class_probabilities,
    gaussian,
    normal,
)
from jaxcls.mlp import Activation, Params

Tree = TypeVar("Tree")


class Uncertainty(NamedTuple):
    """How unsure the prediction of each example is, in nats.

    Attributes:
        total: [N] entropy of the mean probabilities, at most log K.
        members: [N] the part of it that comes from the members' disagreement: the mutual
            information of label and member, from 0, where all agree, to the total. The rest
            is the mean of their own entropies.
    """

    total: Array
    members: Array


class Moments(NamedTuple):
    """What an ensemble says of targets that are no classes, each [N] in the targets' unit.

    Attributes:
        mean: of the members' means.
        std: of the mixture of their normal distributions: its square is that of the next two,
            summed.
        within: the root of the members' mean variance; 0 of a likelihood that has no spread.
        between: standard deviation of the members' means, which divides by S.
    """

    mean: Array | np.ndarray
    std: Array | np.ndarray
    within: Array | np.ndarray
    between: Array | np.ndarray


def stack(members: Sequence[Params]) -> Params:
    """Stacks the parameters of S networks, each leaf along a new leading axis.

    Args:
        members: S params of the same shapes, as `mlp.init` returns them.

    Raises:
        ValueError: there is no member, or the shapes of one differ from those of the first.

    >>> params = [mlp.init(jax.random.key(seed), (4, 3)) for seed in range(5)]
    >>> jax.tree.map(jnp.shape, stack(params))["Dense_0"]
    {'bias': (5, 3), 'kernel': (5, 4, 3)}
    """
    if not members:
        raise ValueError("ensembles.stack: members must hold at least one, got none.")
    wanted, *others = (jax.tree.map(np.shape, member) for member in members)
    for place, got in enumerate(others, start=1):
        if got != wanted:
            raise ValueError(
                "ensembles.stack: members must have the same shapes, got "
                f"{wanted} in member 0 and {got} in member {place}."
            )
    return jax.tree.map(lambda *leaves: jnp.stack(leaves), *members)


@jitted("likelihood", "activation")
def probabilities(
    params: Params,
    x: ArrayLike,
    likelihood: Likelihood,
    activation: Activation = "relu",
) -> Array:
    """Averages the members' class probabilities (B. Lakshminarayanan et al., 2017).

    Args:
        params: of S members, every leaf [S, ...].
        x: [N, D] floats, scaled as in training.
        likelihood: of class labels; static.
        activation: of the hidden layers, as of `mlp.apply`; static.

    Returns:
        [N, K], of `class_probabilities`.

    Raises:
        TypeError: `x` holds integers.
        ValueError: a shape does not fit, or the likelihood has no class labels.

    >>> from jaxcls import bernoulli
    >>> params = {"Dense_0": {"kernel": jnp.zeros((5, 2, 1)), "bias": jnp.zeros((5, 1))}}
    >>> probabilities(params, jnp.ones((1, 2)), bernoulli)
    Array([[0.5, 0.5]], dtype=float32)
    """
    _check("ensembles.probabilities", params, x, likelihood)
    return _mean(
        lambda member: _probabilities(member, x, likelihood, activation), params
    )


@jitted("likelihood", "activation")
def log_probabilities(
    params: Params,
    x: ArrayLike,
    likelihood: Likelihood,
    activation: Activation = "relu",
) -> Array:
    """Logarithms [N, K] of `probabilities`, which tell apart what rounds there to 0 or 1.

    Args:
        params: of S members, every leaf [S, ...].
        x: [N, D] floats, scaled as in training.
        likelihood: of class labels; static.
        activation: of the hidden layers, as of `mlp.apply`; static.

    Raises:
        TypeError, ValueError: as of `probabilities`.

    >>> from jaxcls import bernoulli
    >>> bias = jnp.array([[-300.0], [-400.0]])  # probabilities that both are 0 in float32
    >>> params = {"Dense_0": {"kernel": jnp.zeros((2, 3, 1)), "bias": bias}}
    >>> log_probabilities(params, jnp.ones((1, 3)), bernoulli).round(2)
    Array([[   0.  , -300.69]], dtype=float32)
    """
    _check("ensembles.log_probabilities", params, x, likelihood)
    of_members = _of_each(
        lambda logits: class_log_probabilities(logits, likelihood),
        params,
        x,
        activation,
    )
    return logsumexp(of_members, axis=0) - jnp.log(len(params["Dense_0"]["bias"]))


@jitted("activation")
def log_odds(params: Params, x: ArrayLike, activation: Activation = "relu") -> Array:
    """log(P(1) / P(0)) [N] of the mean probabilities of two classes, as of `likelihoods.log_odds`.

    Args:
        params: of S members, every leaf [S, ...], of `bernoulli` or of `categorical`.
        x: [N, D] floats, scaled as in training.
        activation: of the hidden layers, as of `mlp.apply`; static.

    >>> bias = jnp.array([[300.0], [400.0]])  # probabilities that both are 1 in float32
    >>> params = {"Dense_0": {"kernel": jnp.zeros((2, 3, 1)), "bias": bias}}
    >>> log_odds(params, jnp.ones((1, 3))).round(2)
    Array([300.69], dtype=float32)
    """
    check_stacked("ensembles.log_odds", params)
    one = _of_each(likelihoods.log_odds, params, x, activation)
    above, below = jax.nn.log_sigmoid(one), jax.nn.log_sigmoid(-one)
    return logsumexp(above, axis=0) - logsumexp(below, axis=0)


@jitted("likelihood", "activation")
def uncertainty(
    params: Params,
    x: ArrayLike,
    likelihood: Likelihood,
    activation: Activation = "relu",
) -> Uncertainty:
    """Splits each prediction's entropy (N. Houlsby et al., 2011, "BALD").

    Args:
        params: of S members, every leaf [S, ...].
        x: [N, D] floats, scaled as in training.
        likelihood: of class labels; static.
        activation: of the hidden layers, as of `mlp.apply`; static.

    Raises:
        TypeError, ValueError: as of `probabilities`.

    >>> from jaxcls import bernoulli
    >>> bias = jnp.array([[-99.0], [99.0]])  # two members, each sure of another label
    >>> params = {"Dense_0": {"kernel": jnp.zeros((2, 3, 1)), "bias": bias}}
    >>> uncertainty(params, jnp.ones((1, 3)), bernoulli).members.round(3)
    Array([0.693], dtype=float32)
    """
    _check("ensembles.uncertainty", params, x, likelihood)

    def of_member(member):
        p = _probabilities(member, x, likelihood, activation)
        return p, _entropy(p)

    p, own = _mean(of_member, params)
    total = _entropy(p)
    # It is never negative, but for the rounding of members that agree.
    return Uncertainty(total, jnp.maximum(total - own, 0))


@jitted("likelihood", "activation")
def moments(
    params: Params,
    x: ArrayLike,
    likelihood: Likelihood,
    activation: Activation = "relu",
) -> Moments:
    """Mean and spread of the members' mixture (B. Lakshminarayanan et al., 2017, section 2.4).

    Args:
        params: of S members, every leaf [S, ...].
        x: [N, D] floats, scaled as in training.
        likelihood: `gaussian`, whose members tell a mean alone, or `normal`; static.
        activation: of the hidden layers, as of `mlp.apply`; static.

    Raises:
        TypeError: `x` holds integers.
        ValueError: a shape does not fit, or the likelihood has class labels.

    >>> from jaxcls import gaussian
    >>> bias = jnp.array([[2.0], [4.0]])
    >>> params = {"Dense_0": {"kernel": jnp.zeros((2, 3, 1)), "bias": bias}}
    >>> got = moments(params, jnp.ones((1, 3)), gaussian)
    >>> got.mean, got.between
    (Array([3.], dtype=float32), Array([1.], dtype=float32))
    """
    caller = "ensembles.moments"
    check_stacked(caller, params)
    if likelihood not in (gaussian, normal):
        raise ValueError(
            f"{caller}: likelihood must be gaussian or normal, got {likelihood!r}; of classes take "
            "ensembles.probabilities."
        )
    _check_rows(caller, x)

    def mean_and_variance(logits):
        told = likelihood.activation(logits)
        if told.ndim == 1:
            return told, jnp.zeros_like(told)
        return told[:, 0], told[:, 1] ** 2

    # All at once and not summed: mean squares less a squared mean would lose the digits.
    means, variances = _of_each(mean_and_variance, params, x, activation)
    between = jnp.std(means, axis=0)
    within = jnp.mean(variances, axis=0)
    return Moments(
        jnp.mean(means, axis=0),
        jnp.sqrt(within + between**2),
        jnp.sqrt(within),
        between,
    )


def check_stacked(caller: str, params: Params) -> None:
    """Raises unless kernels are [S, D, H] and biases [S, H], of one S of at least 1."""
    shapes = {
        (layer, name): np.shape(leaf)
        for layer, leaves in params.items()
        for name, leaf in leaves.items()
    }
    ranks_fit = all(
        len(shape) == (3 if name == "kernel" else 2)
        for (_, name), shape in shapes.items()
    )
    sizes = {shape[:1] for shape in shapes.values()}
    if not ranks_fit or len(sizes) != 1 or sizes == {(0,)}:
        got = ", ".join(f"{'.'.join(path)} {[*size]}" for path, size in shapes.items())
        raise ValueError(
            f"{caller}: params must be of S members stacked, kernels [S, D, H] and biases "
            f"[S, H] with S at least 1, got {got}."
        )


def _probabilities(
    params: Params, x: ArrayLike, likelihood: Likelihood, activation: Activation
) -> Array:
    """Class probabilities [N, K] of one member."""
    return class_probabilities(mlp.apply(params, x, activation=activation), likelihood)


def _of_each(
    function: Callable[[Array], Tree],
    params: Params,
    x: ArrayLike,
    activation: Activation,
) -> Tree:
    """What a function makes of each member's logits [N, outputs], leaves [S, ...]."""
    return jax.lax.map(
        lambda member: function(mlp.apply(member, x, activation=activation)), params
    )


def _entropy(p: Array) -> Array:
    """Entropies [N] of the rows of p [N, K]; a probability of 0 adds 0."""
    return jnp.sum(entr(p), axis=-1)


def _mean(of_member: Callable[[Params], Tree], params: Params) -> Tree:
    """The mean over members of arrays that are computed of each."""

    # Summed in the carry, so that one member's arrays are held at a time and not S.
    def add(sums, member):
        return jax.tree.map(jnp.add, sums, of_member(member)), None

    first = jax.tree.map(lambda leaf: leaf[0], params)
    zeros = jax.tree.map(jnp.zeros_like, jax.eval_shape(of_member, first))
    sums, _ = jax.lax.scan(add, zeros, params)
    num_members = len(params["Dense_0"]["bias"])
    return jax.tree.map(lambda leaf: leaf / num_members, sums)


def _check(caller: str, params: Params, x: ArrayLike, likelihood: Likelihood) -> None:
    check_stacked(caller, params)
    check_likelihood(caller, likelihood)
    _check_rows(caller, x)


def _check_rows(caller: str, x: ArrayLike) -> None:
    if jnp.ndim(x) != 2:
        raise ValueError(f"{caller}: x must be [N, D], got {list(jnp.shape(x))}.")
