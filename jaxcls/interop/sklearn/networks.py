"""A trained network, or several, in NumPy: so that predicting compiles nothing, whatever the shape."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np
from scipy.special import expit, log_expit, log_softmax, logsumexp, ndtr

from jaxcls.mlp import Params

_ACTIVATIONS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "logistic": expit,
    "gelu": lambda x: x * ndtr(x),
    "silu": lambda x: x * expit(x),
    "identity": lambda x: x,
}


def to_layers(params: Params) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Kernels [S, in, out] and biases [S, out] of stacked params, layer by layer, as copies.

    >>> params = {"Dense_0": {"kernel": np.ones((1, 2, 3)), "bias": np.ones((1, 3))}}
    >>> [kernel.shape for kernel in to_layers(params)[0]]
    [(1, 2, 3)]
    """
    layers = [params[f"Dense_{index}"] for index in range(len(params))]
    kernels = [np.array(layer["kernel"]) for layer in layers]
    return kernels, [np.array(layer["bias"]) for layer in layers]


def to_params(kernels: Sequence[np.ndarray], biases: Sequence[np.ndarray]) -> Params:
    """The params of kernels and biases, layer by layer."""
    pairs = zip(kernels, biases, strict=True)
    return {
        f"Dense_{index}": {"kernel": cast(Any, kernel), "bias": cast(Any, bias)}
        for index, (kernel, bias) in enumerate(pairs)
    }


def outputs(
    kernels: Sequence[np.ndarray],
    biases: Sequence[np.ndarray],
    x: np.ndarray,
    activation: str,
) -> Iterator[np.ndarray]:
    """The logits [N, K] of each member in turn, in the type of `x`.

    Args:
        kernels: for each layer [S, in, out].
        biases: for each layer [S, out].
        x: [N, D] floats.
        activation: of the hidden layers.

    >>> kernels, biases = [np.ones((1, 2, 1))], [np.zeros((1, 1))]
    >>> next(outputs(kernels, biases, np.array([[1.0, 2.0]]), "relu"))
    array([[3.]])
    """
    for member in range(len(kernels[0])):
        z = x
        for layer, (kernel, bias) in enumerate(zip(kernels, biases, strict=True)):
            if layer:
                z = _ACTIVATIONS[activation](z)
            # A product in float64 is the same for a row alone and among others.
            z = z @ kernel[member].astype(x.dtype) + bias[member].astype(x.dtype)
        yield z


def log_probabilities(logits: Iterator[np.ndarray]) -> np.ndarray:
    """Logarithms [N, K] of the members' mean probabilities, finite where these round to 0.

    Args:
        logits: of each member, [N, 1] of two classes or [N, K].

    >>> log_probabilities(iter([np.array([[0.0]])])).round(3)
    array([[-0.693, -0.693]])
    """
    of_members = [_log_probabilities(each) for each in logits]
    if len(of_members) == 1:
        return of_members[0]
    return logsumexp(np.stack(of_members), axis=0) - np.log(len(of_members))


def _log_probabilities(logits: np.ndarray) -> np.ndarray:
    if logits.shape[1] == 1:
        return log_expit(np.hstack([-logits, logits]))
    return log_softmax(logits, axis=1)
