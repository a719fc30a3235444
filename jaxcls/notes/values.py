"""jaxcls's own value of each figure, by its id; those without a network are in `by_hand.py`."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxcls import losses, mlp
from jaxcls.likelihoods import categorical
from jaxcls.metrics import labels_of
from jaxcls.notes.by_hand import BY_HAND
from jaxcls.notes.runs import Repeated, Runs
from jaxcls.training import evaluate

_ENDS = np.array([0, 1, 2, -3, -2, -1])  # the rows that PyTorch prints of a long tensor
_TWO_OUTPUTS = (784, 32, 2)
# Where the notes' six rows of M.outputs stand in class order; they list files otherwise.
_ROWS_OF_M = np.array([9, 4123, 2395, 13372, 17266, 12860])


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
    is_here = jnp.asarray(moved.loss_sum).devices() == {here} != {there}
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
    logits = _outputs_before_the_last_update(runs, "5B")
    # The notes hand it probabilities, where nll_loss wants their logarithms.
    column = jnp.exp(jax.nn.log_sigmoid(logits))
    try:
        losses.nll(column, runs.trained("5B").train.targets)
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
    of_larger_class = np.bincount(run.train.targets).max() / len(run.train.targets)
    return accuracy > of_larger_class, f"{accuracy:.4f}"


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
    **BY_HAND,
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
