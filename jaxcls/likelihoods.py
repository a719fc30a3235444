"""The notes' closing table as code: what the targets are decides outputs, activation, loss.

| likelihood    | targets       | distribution              | outputs | activation | loss          |
| ------------- | ------------- | ------------------------- | ------- | ---------- | ------------- |
| `gaussian`    | 3.45, 4.43    | normal                    | 1       | identity   | MSE           |
| `normal`      | 3.45, 4.43    | normal of its own spread  | 2       | softplus   | -log density  |
| `bernoulli`   | 0 or 1        | Bernoulli                 | 1       | sigmoid    | BCE           |
| `categorical` | one of K      | multinomial with n = 1    | K       | softmax    | cross entropy |

This is the one place where outputs meet an activation, and where an output [N, 1] becomes
[N]. A user's own likelihood is one more `Likelihood`, made of module-level functions.
"""

import dataclasses
import warnings
from collections.abc import Callable
from typing import cast

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxcls import losses


@dataclasses.dataclass(frozen=True)
class Likelihood:
    """A distribution of the targets given the network's outputs.

    Hashable, so that it can be static under jit: pass named functions, as with fresh lambdas each
    new likelihood is compiled again.

    Attributes:
        name: its name in tables and files.
        num_outputs: number of classes -> number of network outputs.
        activation: logits [N, outputs] -> the distribution's parameters: means [N], means and
            standard deviations [N, 2], probabilities of the label 1 [N], or probabilities [N, K].
        loss: (logits [N, outputs], targets [N] or [N, K]) -> [N], differentiable.
        predict: logits [N, outputs] -> [N], the most likely target.
        smooth: (targets, number of outputs, share) -> targets with that share spread evenly
            over the classes, for label smoothing; None has none.
        has_classes: whether targets are labels of classes, which may be weighed and counted as
            right or wrong; by default whether `predict` gives integers or booleans.

    >>> bernoulli.predict(jnp.array([[-0.3], [0.2]]))
    Array([0, 1], dtype=int32)
    """

    name: str
    num_outputs: Callable[[int], int]
    activation: Callable[[Array], Array]
    loss: Callable[[Array, Array | np.ndarray], Array]
    predict: Callable[[Array], Array]
    smooth: Callable[[Array | np.ndarray, int, Array | float], Array] | None = None
    has_classes: bool | None = None

    def __post_init__(self):
        if not isinstance(self.name, str):
            raise TypeError(f"Likelihood: name must be a text, got {self.name!r}.")
        for name in ("num_outputs", "activation", "loss", "predict", "smooth"):
            value = getattr(self, name)
            if not callable(value) and not (name == "smooth" and value is None):
                raise TypeError(
                    f"Likelihood: {name} of {self.name!r} must be a function, got {value!r}."
                )
        if self.has_classes not in (None, True, False):
            raise TypeError(
                f"Likelihood: has_classes must be True or False, got {self.has_classes!r}."
            )
        if self.has_classes is None:
            object.__setattr__(self, "has_classes", self._predicts_classes())

    def _predicts_classes(self) -> bool:
        if self.smooth is not None:
            return True
        logits = jax.ShapeDtypeStruct((1, self.num_outputs(2)), jnp.float32)
        found = jax.eval_shape(self.predict, logits)
        return not jnp.issubdtype(getattr(found, "dtype", jnp.float32), jnp.inexact)

    def __repr__(self) -> str:
        return f"Likelihood({self.name!r})"


def class_probabilities(logits: Array, likelihood: Likelihood) -> Array:
    """Probabilities [N, K] of every class, also where the network has one output.

    Args:
        logits: [N, outputs].
        likelihood: one whose activation gives probabilities.

    The order of 0.1.0, the likelihood first, is taken with a FutureWarning.

    Raises:
        TypeError, ValueError: it is no likelihood, or has no classes.

    >>> class_probabilities(jnp.array([[0.0]]), bernoulli)
    Array([[0.5, 0.5]], dtype=float32)
    """
    if isinstance(logits, Likelihood):
        warnings.warn(
            "class_probabilities: arrays come first and the likelihood last since 0.2.0; the order "
            "of before will be refused.",
            FutureWarning,
            stacklevel=2,
        )
        logits, likelihood = cast(Array, likelihood), logits
    check_likelihood("class_probabilities", likelihood)
    p = likelihood.activation(logits)
    return jnp.stack([1 - p, p], axis=-1) if p.ndim == 1 else p


def class_log_probabilities(logits: Array, likelihood: Likelihood) -> Array:
    """Logarithms [N, K] of `class_probabilities`, which tell apart what rounds there to 0 or 1.

    Of a likelihood with an activation of one's own they are the logarithms of its rounded numbers.

    Args:
        logits: [N, outputs].
        likelihood: one whose activation gives probabilities.

    Raises:
        TypeError, ValueError: as of `class_probabilities`.

    >>> class_log_probabilities(jnp.array([[-379.0, 0.0]]), categorical)
    Array([[-379.,    0.]], dtype=float32)
    """
    if likelihood.activation is jax.nn.softmax:
        check_likelihood("class_log_probabilities", likelihood)
        return jax.nn.log_softmax(logits)
    if likelihood.activation is _bernoulli_activation:
        z = _column(logits)
        return jnp.stack([jax.nn.log_sigmoid(-z), jax.nn.log_sigmoid(z)], axis=-1)
    return jnp.log(class_probabilities(logits, likelihood))


def check_likelihood(caller: str, likelihood: Likelihood) -> None:
    """Raises unless it is a likelihood of classes, which stands behind the arrays."""
    if not isinstance(likelihood, Likelihood):
        raise TypeError(
            f"{caller}: likelihood must be a jaxcls.Likelihood, and the last of the arguments, got "
            f"{type(likelihood).__name__}; arrays come first."
        )
    if not likelihood.has_classes:
        raise ValueError(
            f"{caller}: likelihood must be of class labels, which {likelihood.name!r} has not."
        )


def log_odds(logits: Array) -> Array:
    """log(P(1) / P(0)) [N] of two classes, whose order stays where probabilities round to 1.

    Args:
        logits: [N, 1] of `bernoulli` or [N, 2] of `categorical`.

    >>> log_odds(jnp.array([[1.0, 500.0]]))
    Array([499.], dtype=float32)
    """
    return logits[:, 0] if logits.shape[1] == 1 else logits[:, 1] - logits[:, 0]


def _one(num_classes: int) -> int:
    del num_classes
    return 1


def _one_per_class(num_classes: int) -> int:
    return num_classes


def _column(logits: Array) -> Array:
    """[N, 1] to [N]."""
    if logits.shape[-1:] != (1,):
        raise ValueError(
            f"gaussian and bernoulli take logits [N, 1], got {list(logits.shape)}."
        )
    return logits[..., 0]


def _flat(targets: Array | np.ndarray) -> Array | np.ndarray:
    """[N, 1], as the notes have them, to [N]; the loss refuses any other shape than that."""
    return targets[:, 0] if targets.shape[1:] == (1,) else targets


def _gaussian_loss(logits: Array, targets: Array | np.ndarray) -> Array:
    return losses.squared_error(_column(logits), _flat(targets))


def _two(num_classes: int) -> int:
    del num_classes
    return 2


def _normal_activation(logits: Array) -> Array:
    return jnp.stack(losses.mean_and_std(_pairs(logits)), axis=-1)


def _normal_loss(logits: Array, targets: Array | np.ndarray) -> Array:
    return losses.normal_nll(_pairs(logits), _flat(targets))


def _normal_predict(logits: Array) -> Array:
    return _pairs(logits)[..., 0]


def _pairs(logits: Array) -> Array:
    if logits.shape[-1:] != (2,):
        raise ValueError(
            f"normal takes logits [N, 2], mean and raw spread, got {list(logits.shape)}."
        )
    return logits


def _bernoulli_activation(logits: Array) -> Array:
    return jax.nn.sigmoid(_column(logits))


def _bernoulli_loss(logits: Array, targets: Array | np.ndarray) -> Array:
    return losses.sigmoid_bce(_column(logits), _flat(targets))


def _bernoulli_predict(logits: Array) -> Array:
    return (_column(logits) > 0).astype(jnp.int32)


def _bernoulli_smooth(
    targets: Array | np.ndarray, num_outputs: int, share: Array | float
) -> Array:
    del num_outputs  # one, for two classes
    return jnp.asarray((1 - share) * targets + share / 2)


def _categorical_smooth(
    targets: Array | np.ndarray, num_outputs: int, share: Array | float
) -> Array:
    rows = targets if jnp.ndim(targets) == 2 else jax.nn.one_hot(targets, num_outputs)
    return optax.smooth_labels(jnp.asarray(rows, float), share)


def _categorical_predict(logits: Array) -> Array:
    return jnp.argmax(logits, axis=-1).astype(jnp.int32)


gaussian = Likelihood(
    "gaussian", _one, _column, _gaussian_loss, _column, has_classes=False
)
normal = Likelihood(
    "normal", _two, _normal_activation, _normal_loss, _normal_predict, has_classes=False
)
bernoulli = Likelihood(
    "bernoulli",
    _one,
    _bernoulli_activation,
    _bernoulli_loss,
    _bernoulli_predict,
    _bernoulli_smooth,
)
categorical = Likelihood(
    "categorical",
    _one_per_class,
    jax.nn.softmax,
    losses.softmax_ce,
    _categorical_predict,
    _categorical_smooth,
)

LIKELIHOODS = {each.name: each for each in (gaussian, normal, bernoulli, categorical)}
