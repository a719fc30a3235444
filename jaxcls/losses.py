"""Losses, one value per example: thin over optax, loud about shapes, dtypes and labels.

Shapes and dtypes are checked while tracing and cost nothing afterwards. Labels that are
concrete (not traced) are checked for range too: under jit a wrong label would be a NaN at
best, and the last class without a word at worst.
"""

import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array
from jax.typing import ArrayLike

# PyTorch's BCELoss takes log p no lower than this, so that p = 0 costs 100, not infinity.
_LOWEST_LOG = -100.0
LEAST_STD = 1e-6  # in the targets' unit, which are best standardised


def sigmoid_bce(logits: ArrayLike, labels: ArrayLike) -> Array:
    """Binary cross-entropy of `labels` under sigmoid(`logits`), the notes' BCEWithLogitsLoss.

    Args:
        logits: [...] floats, before the sigmoid.
        labels: [...] values in [0, 1], of the same shape.

    Returns:
        [...] losses in nats.

    Raises:
        ValueError: the shapes differ, or a concrete label lies outside [0, 1].
        TypeError: the logits are not floats.

    >>> round(float(sigmoid_bce(jnp.array([-1.0, 0, 1]), jnp.array([0, 0, 1])).mean()), 4)
    0.4399
    """
    logits = _floats("sigmoid_bce", "logits", logits)
    _check_same_shape("sigmoid_bce", "logits", logits, "labels", labels)
    _check_unit_interval("sigmoid_bce", "labels", labels)
    return optax.sigmoid_binary_cross_entropy(logits, jnp.asarray(labels, logits.dtype))


def bce(probabilities: ArrayLike, labels: ArrayLike) -> Array:
    """Binary cross-entropy of `labels` under `probabilities`, the notes' BCELoss.

    As in PyTorch, log p is taken no lower than -100; where that bites, the gradient is 0.
    XLA on CPU takes a probability below 1.2e-38 as 0.
    For probabilities that come from a sigmoid, `sigmoid_bce` of the logits is more exact.

    Args:
        probabilities: [...] floats in [0, 1], of the label 1.
        labels: [...] values in [0, 1], of the same shape.

    Returns:
        [...] losses in nats, at most 100.

    Raises:
        ValueError: the shapes differ, or a concrete value lies outside [0, 1].
        TypeError: the probabilities are not floats.

    >>> bce(jnp.array([0.5, 1.0, 0.0]), jnp.array([1, 1, 1])).round(4)
    Array([  0.6931,   0.    , 100.    ], dtype=float32)
    """
    _check_same_shape("bce", "probabilities", probabilities, "labels", labels)
    _check_unit_interval("bce", "probabilities", probabilities)
    _check_unit_interval("bce", "labels", labels)
    probabilities = _floats("bce", "probabilities", probabilities)
    labels = jnp.asarray(labels, probabilities.dtype)
    log_p = _clamped(jnp.log, probabilities, harmless=1.0)
    log_not_p = _clamped(jnp.log1p, -probabilities, harmless=0.0)
    return -labels * log_p - (1 - labels) * log_not_p


def softmax_ce(logits: ArrayLike, labels: ArrayLike) -> Array:
    """Cross-entropy of `labels` under softmax(`logits`), the notes' CrossEntropyLoss.

    Args:
        logits: [..., K] floats, before the softmax.
        labels: [...] integers in 0..K-1, or [..., K] one-hot rows (or probabilities that
            sum to 1).

    Returns:
        [...] losses in nats.

    Raises:
        ValueError: a shape does not fit, or a concrete label lies outside 0..K-1, or a
            concrete row does not sum to 1.
        TypeError: the logits are not floats, or integer labels are not integers.

    >>> logits = jnp.array([[3.0, 2.0], [2.0, 2.0], [5.0, 6.0]])
    >>> round(float(softmax_ce(logits, jnp.array([0, 0, 1])).mean()), 4)
    0.4399
    """
    logits = _floats("softmax_ce", "logits", logits)
    if np.shape(labels) == logits.shape and logits.ndim > 0:
        _check_rows("softmax_ce", labels)
        return optax.softmax_cross_entropy(logits, jnp.asarray(labels, logits.dtype))
    _check_integer_labels("softmax_ce", "logits", logits, labels)
    # Not optax's own with integer labels: it takes the label's logit off a logsumexp of
    # unshifted logits, which at logits of 1e4 leaves an error of 4e-4.
    return _pick(-jax.nn.log_softmax(logits), labels)


def nll(log_probabilities: ArrayLike, labels: ArrayLike) -> Array:
    """Negative log-likelihood of integer `labels`, the notes' nll_loss.

    Args:
        log_probabilities: [..., K] floats, such as `jax.nn.log_softmax(logits)`.
        labels: [...] integers in 0..K-1.

    Returns:
        [...] losses in nats.

    Raises:
        ValueError: a shape does not fit, or a concrete label lies outside 0..K-1, as in
            the notes, where an [N, 1] output meets the target 1.
        TypeError: the log-probabilities are not floats, or the labels are not integers.

    >>> nll(jnp.log(jnp.array([[0.25, 0.75]])), jnp.array([1])).round(4)
    Array([0.2877], dtype=float32)
    """
    log_probabilities = _floats("nll", "log_probabilities", log_probabilities)
    _check_integer_labels("nll", "log_probabilities", log_probabilities, labels)
    return _pick(-log_probabilities, labels)


def squared_error(predictions: ArrayLike, targets: ArrayLike) -> Array:
    """Squared difference of `predictions` and `targets`; its mean is the notes' MSE.

    Args:
        predictions: [...] floats.
        targets: [...] numbers, of the same shape.

    Returns:
        [...] squared errors, in the targets' unit squared.

    Raises:
        ValueError: the shapes differ.
        TypeError: the predictions are not floats.

    >>> squared_error(jnp.array([3.45, 4.0]), jnp.array([3.45, 6.0]))
    Array([0., 4.], dtype=float32)
    """
    predictions = _floats("squared_error", "predictions", predictions)
    _check_same_shape("squared_error", "predictions", predictions, "targets", targets)
    return optax.squared_error(predictions, jnp.asarray(targets, predictions.dtype))


def normal_nll(outputs: ArrayLike, targets: ArrayLike) -> Array:
    """Negative log density of `targets` under a normal distribution whose spread is learned, too.

    The standard deviation is softplus of the second output, plus 1e-6 (B. Lakshminarayanan et al.,
    2017, section 2.2.1), so that no target that is met exactly makes the loss fall without end.

    Args:
        outputs: [..., 2] floats: mean, and standard deviation before the softplus.
        targets: [...] numbers.

    Returns:
        [...] losses in nats; they may be negative, as a density may exceed 1.

    Raises:
        ValueError: the outputs are not pairs, or the targets not as many.
        TypeError: the outputs are not floats.

    >>> round(float(normal_nll(jnp.array([3.45, 0.5413249]), jnp.array(3.45))), 4)
    0.9189
    """
    outputs = _floats("normal_nll", "outputs", outputs)
    if outputs.shape[-1:] != (2,):
        raise ValueError(
            "normal_nll: outputs must be [..., 2], mean and raw spread, got "
            f"{list(outputs.shape)}."
        )
    mean, std = mean_and_std(outputs)
    _check_same_shape("normal_nll", "means", mean, "targets", targets)
    distance = (jnp.asarray(targets, mean.dtype) - mean) / std
    return 0.5 * math.log(2 * math.pi) + jnp.log(std) + 0.5 * distance**2


def mean_and_std(outputs: Array) -> tuple[Array, Array]:
    """Mean [...] and standard deviation [...], above 0, that outputs [..., 2] stand for.

    >>> mean, std = mean_and_std(jnp.array([3.45, 0.5413249]))
    >>> round(float(std), 4)
    1.0
    """
    return outputs[..., 0], jax.nn.softplus(outputs[..., 1]) + LEAST_STD


def _pick(costs: Array, labels: ArrayLike) -> Array:
    """The cost [...] of each label, of costs [..., K]; NaN where a label is none of them."""
    # Not take_along_axis: its gradient is a scatter, which on a GPU needs atomics.
    labels, num_classes = jnp.asarray(labels), costs.shape[-1]
    ours = labels[..., None] == jnp.arange(num_classes)
    is_class = (labels >= 0) & (labels < num_classes)
    return jnp.where(ours, costs, 0).sum(axis=-1) + 0 / is_class.astype(costs.dtype)


def _clamped(log: Callable[[Array], Array], x: Array, harmless: float) -> Array:
    """log(x), or -100 with gradient 0 where it would be lower."""
    bites = log(jax.lax.stop_gradient(x)) < _LOWEST_LOG
    # The inner where keeps x = 0 out of the log that is differentiated: its infinite
    # gradient times the outer where's 0 would be NaN.
    return jnp.where(bites, _LOWEST_LOG, log(jnp.where(bites, harmless, x)))


def _concrete(values: ArrayLike) -> np.ndarray | None:
    """`values` on the host, or None while they are traced."""
    return None if isinstance(values, jax.core.Tracer) else np.asarray(values)


def _floats(caller: str, name: str, values: ArrayLike) -> Array:
    values = jnp.asarray(values)
    if not jnp.issubdtype(values.dtype, jnp.floating):
        raise TypeError(f"{caller}: {name} must be floats, got {values.dtype}.")
    return values


def _check_same_shape(
    caller: str, name: str, values: ArrayLike, other_name: str, other: ArrayLike
) -> None:
    if np.shape(values) != np.shape(other):
        raise ValueError(
            f"{caller}: {name} {list(np.shape(values))} and {other_name} {list(np.shape(other))} "
            "must have one shape; squeeze a [B, 1] output to [B]."
        )


def _check_unit_interval(caller: str, name: str, values: ArrayLike) -> None:
    numbers = _concrete(values)
    if numbers is None:
        return
    outside = ~((numbers >= 0) & (numbers <= 1))  # also where NaN
    if outside.any():
        raise ValueError(
            f"{caller}: {name} must lie in [0, 1], got {numbers[outside].flat[0]}."
        )


def _check_rows(caller: str, labels: ArrayLike) -> None:
    _check_unit_interval(caller, "one-hot labels", labels)
    rows = _concrete(labels)
    if rows is None:
        return
    sums = rows.sum(axis=-1)
    wrong = ~np.isclose(sums, 1, atol=1e-3)
    if wrong.any():
        raise ValueError(
            f"{caller}: each row of one-hot labels must sum to 1, got a sum of "
            f"{sums[wrong].flat[0]}."
        )


def _check_integer_labels(
    caller: str, name: str, scores: Array, labels: ArrayLike
) -> None:
    if scores.ndim == 0 or np.shape(labels) != scores.shape[:-1]:
        raise ValueError(
            f"{caller}: labels {list(np.shape(labels))} do not fit {name} {list(scores.shape)}; "
            "they must be integers [...] for [..., K]"
            + (", or one-hot rows [..., K]." if caller == "softmax_ce" else ".")
        )
    if not jnp.issubdtype(jnp.asarray(labels).dtype, jnp.integer):
        raise TypeError(
            f"{caller}: labels [...] must be integers, got {jnp.asarray(labels).dtype}."
        )
    numbers, num_classes = _concrete(labels), scores.shape[-1]
    if numbers is None:
        return
    outside = (numbers < 0) | (numbers >= num_classes)
    if outside.any():
        raise ValueError(
            f"{caller}: labels must lie in 0..{num_classes - 1} for {name} with "
            f"{num_classes} columns, got {numbers[outside].flat[0]}."
        )
