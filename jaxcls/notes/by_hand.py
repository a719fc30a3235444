"""The notes' worked numbers on softmax and cross entropy, which take no data and no network."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls import losses
from jaxcls.likelihoods import bernoulli, categorical, class_probabilities
from jaxcls.notes.runs import Runs

# The notes' outputs and labels: of three classes, of one output, of two outputs.
_Z = np.array([[-2, -2, 0], [3.14, 3.14, 3.14], [0, 0, 2], [2, 2, 4], [0, 0, 0]])
_LABELS = np.array([2, 1, 2, 2, 0])
_BINARY_Z, _BINARY_LABELS = np.array([-1, 0, 1]), np.array([0, 0, 1])
_TWO_CLASS_Z = np.array([[3, 2], [2, 2], [5, 6]])


def _row(runs: Runs, index: int, decimals: int | None = None) -> Array:
    e = jnp.exp(runs.array(_Z[index]))
    e = e if decimals is None else e.round(decimals)
    return e / e.sum()


def _bce_formula(runs: Runs) -> Array:
    p, y = jax.nn.sigmoid(runs.array(_BINARY_Z)), _BINARY_LABELS
    return -jnp.sum(jnp.log(p) * y + jnp.log(1 - p) * (1 - y)) / len(y)


def _ce_formula(logits: Array, labels: np.ndarray) -> Array:
    one_hot = jax.nn.one_hot(labels, logits.shape[1])
    return -jnp.sum(jnp.log(categorical.activation(logits)) * one_hot) / len(labels)


def _ce(z: np.ndarray, labels: np.ndarray, one_hot: bool) -> Callable[[Runs], Array]:
    targets = np.eye(z.shape[1])[labels] if one_hot else labels
    return lambda runs: losses.softmax_ce(runs.array(z), targets).mean()


def _softmax(z: np.ndarray, axis: int = 1) -> Callable[[Runs], Array]:
    def value(runs: Runs) -> Array:
        logits = runs.array(z)
        if axis == 0:
            return categorical.activation(logits.T).T
        return categorical.activation(logits)

    return value


BY_HAND: dict[str, Callable[[Runs], Array]] = {
    "SM.axis0": _softmax(_Z, axis=0),
    "SM.axis1": _softmax(_Z),
    "SM.default": _softmax(_Z),
    "SM.exp": lambda runs: jnp.exp(runs.array(_Z)),
    "SM.by_hand_first": lambda runs: _row(runs, 0, decimals=4),
    "SM.by_hand_second": lambda runs: _row(runs, 1),
    "CE.binary_formula": _bce_formula,
    "CE.binary_bce": lambda runs: losses.bce(
        jax.nn.sigmoid(runs.array(_BINARY_Z)), _BINARY_LABELS
    ).mean(),
    "CE.binary_bce_with_logits": lambda runs: losses.sigmoid_bce(
        runs.array(_BINARY_Z), _BINARY_LABELS
    ).mean(),
    "CE.two_columns": lambda runs: class_probabilities(
        runs.array(_BINARY_Z)[:, None], bernoulli
    )[:, ::-1],
    "CE.two_class_softmax": _softmax(_TWO_CLASS_Z),
    "CE.two_class_formula": lambda runs: _ce_formula(
        runs.array(_TWO_CLASS_Z), _BINARY_LABELS
    ),
    "CE.two_class_onehot": _ce(_TWO_CLASS_Z, _BINARY_LABELS, one_hot=True),
    "CE.two_class_integer": _ce(_TWO_CLASS_Z, _BINARY_LABELS, one_hot=False),
    "CE.three_class_onehot": _ce(_Z, _LABELS, one_hot=True),
    "CE.three_class_integer": _ce(_Z, _LABELS, one_hot=False),
    "CE.three_class_formula": lambda runs: _ce_formula(runs.array(_Z), _LABELS),
}
