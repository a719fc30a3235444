"""jaxcls's own value of each figure, by its id."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxcls import losses, mlp
from jaxcls.cli.reproduce.runs import Repeated, Runs
from jaxcls.likelihoods import bernoulli, categorical, class_probabilities
from jaxcls.metrics import labels_of
from jaxcls.training import evaluate

_ENDS = np.array([0, 1, 2, -3, -2, -1])  # the rows that PyTorch prints of a long tensor
_TWO_OUTPUTS = (784, 32, 2)
# Where the notes' six rows of M.outputs stand in class order; they list files otherwise.
_ROWS_OF_M = np.array([9, 4123, 2395, 13372, 17266, 12860])

_Z = np.array([[-2, -2, 0], [3.14, 3.14, 3.14], [0, 0, 2], [2, 2, 4], [0, 0, 0]])
_LABELS = np.array([2, 1, 2, 2, 0])
_BINARY_Z, _BINARY_LABELS = np.array([-1, 0, 1]), np.array([0, 0, 1])
_TWO_CLASS_Z = np.array([[3, 2], [2, 2], [5, 6]])


# Sections A to D: training.


def _train_trace(name: str) -> Callable[[Runs], np.ndarray]:
    def value(runs: Runs) -> np.ndarray:
        reports = runs.trained(name).reports
        return np.array([report.train.accuracy for report in reports.values()])

    return value


def _train_accuracy(name: str) -> Callable[[Runs], ArrayLike]:
    return lambda runs: runs.trained(name).last.train.accuracy


def _test_accuracy(name: str) -> Callable[[Runs], ArrayLike]:
    def value(runs: Runs) -> ArrayLike:
        run = runs.trained(name)
        score = evaluate(run.last.state.params, run.test, config=run.config)
        return jax.device_get(score).accuracy

    return value


def _trace(repeated: Repeated) -> np.ndarray:
    return repeated.trace


def _train(repeated: Repeated) -> np.ndarray:
    return repeated.trace[:, -1]


def _test(repeated: Repeated) -> np.ndarray:
    return repeated.test


def _device_mix(runs: Runs) -> tuple[bool, str]:
    """Section C's error: a network on one device, data on another."""
    run = runs.trained("A")
    here, there = _two_devices()
    params = jax.device_put(run.last.state.params, here)
    moved = evaluate(params, jax.device_put(run.test, there), config=run.config)
    beside = evaluate(params, jax.device_put(run.test, here), config=run.config)
    is_here = jnp.asarray(moved.loss_sum).devices() == {here}
    met = is_here and int(moved.correct) == int(beside.correct)
    return met, f"{jax.device_get(moved).accuracy:.4f} ({here}, {there})"


def _two_devices() -> tuple[jax.Device, jax.Device]:
    """A GPU and the CPU, or two devices of the CPU."""
    first, *others = jax.devices()
    return (first, others[0]) if others else (first, jax.devices("cpu")[0])


# Section 5: binary classification.


def _outputs_before_the_last_update(runs: Runs, name: str) -> Array:
    run = runs.trained(name)
    return mlp.apply(run.reports[99].state.params, run.train.features)


def _probabilities(runs: Runs) -> Array:
    logits = _outputs_before_the_last_update(runs, "5B")
    return jnp.exp(jax.nn.log_sigmoid(logits))[_ENDS, 0]


def _nll_of_one_column(runs: Runs) -> tuple[bool, str]:
    log_probabilities = jnp.exp(
        jax.nn.log_sigmoid(_outputs_before_the_last_update(runs, "5B"))
    )
    try:
        losses.nll(log_probabilities, runs.trained("5B").train.targets)
    except ValueError as error:
        return True, f"ValueError: {error}"
    return False, "no error"


def _untrained(runs: Runs, skip: int = 0) -> Array:
    """Outputs of the network that was made after `skip` others of seed 0."""
    train, _ = runs.data(0, 1)
    return mlp.apply(runs.network(0, _TWO_OUTPUTS, skip), train.features)


def _mean_of_two_bce(runs: Runs) -> Array:
    p, labels = categorical.activation(_untrained(runs, 14)), runs.data(0, 1)[0].targets
    first, second = losses.bce(p[:, 0], labels), losses.bce(p[:, 1], 1 - labels)
    return (first.mean() + second.mean()) / 2


def _two_class_ce(runs: Runs) -> Array:
    return losses.softmax_ce(_untrained(runs, 14), runs.data(0, 1)[0].targets).mean()


def _two_class_run(runs: Runs) -> tuple[bool, str]:
    """The run that the notes could not start for a missing import."""
    run = runs.trained("E")
    accuracy = float(run.last.train.accuracy)
    share_of_larger_class = np.bincount(run.train.targets).max() / len(
        run.train.targets
    )
    return accuracy > share_of_larger_class, f"{accuracy:.4f}"


# Three classes.


def _accuracy_before_the_last_update(name: str) -> Callable[[Runs], float]:
    def value(runs: Runs) -> float:
        labels = labels_of(runs.trained(name).train.targets)
        logits = _outputs_before_the_last_update(runs, name)
        return float(np.mean(np.asarray(categorical.predict(logits) == labels)))

    return value


def _outputs_of_six_rows(runs: Runs) -> Array:
    run = runs.trained("M")
    return mlp.apply(run.last.state.params, run.train.features[_ROWS_OF_M])


# Softmax and cross entropy by hand.


def _by_hand(runs: Runs, row: int, decimals: int | None = None) -> Array:
    e = jnp.exp(runs.array(_Z[row]))
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


EXACT: dict[str, Callable[[Runs], ArrayLike]] = {
    "A.trace": _train_trace("A"),
    "A.train": _train_accuracy("A"),
    "A.test": _test_accuracy("A"),
    "5A.test": _test_accuracy("5A"),
    "5B.test": _test_accuracy("5B"),
    "5C.test": _test_accuracy("5B"),
    "5C.probabilities": _probabilities,
    "OV.sigmoid": lambda runs: jax.nn.sigmoid(_untrained(runs)[_ENDS]),
    "OV.softmax": lambda runs: categorical.activation(_untrained(runs)[_ENDS]),
    "OV.two_bce": _mean_of_two_bce,
    "OV.ce": _two_class_ce,
    "OV.one_hot": lambda runs: jax.nn.one_hot(runs.data(0, 1)[0].targets[_ENDS], 2),
    "OV.outputs": lambda runs: _untrained(runs, 5)[_ENDS],
    "OV.test": _test_accuracy("OV"),
    "M.train_onehot": _accuracy_before_the_last_update("M, one-hot"),
    "M.train_integer": _accuracy_before_the_last_update("M"),
    "M.outputs": _outputs_of_six_rows,
    "M.labels": lambda runs: runs.data(0, 1, 2)[0].targets[_ENDS],
    "SM.axis0": _softmax(_Z, axis=0),
    "SM.axis1": _softmax(_Z),
    "SM.default": _softmax(_Z),
    "SM.exp": lambda runs: jnp.exp(runs.array(_Z)),
    "SM.by_hand_first": lambda runs: _by_hand(runs, 0, decimals=4),
    "SM.by_hand_second": lambda runs: _by_hand(runs, 1),
    "CE.binary_formula": _bce_formula,
    "CE.binary_bce": lambda runs: losses.bce(
        jax.nn.sigmoid(runs.array(_BINARY_Z)), _BINARY_LABELS
    ).mean(),
    "CE.binary_bce_with_logits": lambda runs: losses.sigmoid_bce(
        runs.array(_BINARY_Z), _BINARY_LABELS
    ).mean(),
    "CE.two_columns": lambda runs: class_probabilities(
        bernoulli, runs.array(_BINARY_Z)[:, None]
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

# The run of `REPEATED` that serves a figure, and which of its accuracies [keys, ...] it is.
STATISTICAL: dict[str, tuple[str, Callable[[Repeated], np.ndarray]]] = {
    "B.trace": ("B", _trace),
    "B.train": ("B", _train),
    "B.test": ("B", _test),
    "C.trace": ("B", _trace),
    "C.train": ("B", _train),
    "C.test": ("B", _test),
    "D.trace": ("D", _trace),
    "D.train": ("D", _train),
    "D.test": ("D", _test),
}

# Whether the notes' error is met as it should be, and what is seen.
ERRORS: dict[str, Callable[[Runs], tuple[bool, str]]] = {
    "C.device_mix": _device_mix,
    "5C.nll": _nll_of_one_column,
    "E.binary_ce": _two_class_run,
}
