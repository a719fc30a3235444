"""What one network says of features [N, D], as jitted functions; several: `jaxcls.ensembles`."""

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import ensembles, likelihoods, mlp
from jaxcls.jitting import jitted
from jaxcls.likelihoods import (
    Likelihood,
    class_log_probabilities,
    class_probabilities,
)
from jaxcls.mlp import Activation, Params

_of_network = jitted("likelihood", "activation")


@_of_network
def probabilities(
    params: Params, features: np.ndarray, likelihood: Likelihood, activation: Activation
) -> jax.Array:
    """Probabilities [N, K] of the classes."""
    logits = mlp.apply(params, features, activation=activation)
    return class_probabilities(logits, likelihood)


@_of_network
def log_probabilities(
    params: Params, features: np.ndarray, likelihood: Likelihood, activation: Activation
) -> jax.Array:
    """Their logarithms [N, K]."""
    logits = mlp.apply(params, features, activation=activation)
    return class_log_probabilities(logits, likelihood)


@_of_network
def log_odds(
    params: Params, features: np.ndarray, likelihood: Likelihood, activation: Activation
) -> jax.Array:
    """log(P(1) / P(0)) [N] of two classes."""
    del likelihood
    return likelihoods.log_odds(mlp.apply(params, features, activation=activation))


def log_odds_of_mean(
    params: Params, features: np.ndarray, likelihood: Likelihood, activation: Activation
) -> jax.Array:
    """The same of S networks' mean probabilities, params [S, ...]."""
    del likelihood
    return ensembles.log_odds(params, features, activation)


@_of_network
def predictions(
    params: Params, features: np.ndarray, likelihood: Likelihood, activation: Activation
) -> jax.Array:
    """The place [N] of the most likely class, or -1 where a logit is not finite."""
    logits = mlp.apply(params, features, activation=activation)
    is_finite = jnp.isfinite(logits).reshape(len(logits), -1).all(axis=1)
    return jnp.where(is_finite, likelihood.predict(logits), -1)
