"""What a run is told: static `Config`, traced `Hyperparams`, random `Keys`."""

import dataclasses
import math
from numbers import Integral, Real
from typing import NamedTuple, Self

import jax
import numpy as np
from jax import Array

from jaxcls import mlp
from jaxcls.likelihoods import Likelihood
from jaxcls.schedules import SCHEDULES

OPTIMIZERS = ("sgd", "adam", "adamw")
MONITORS = ("loss", "accuracy")
MOST_STEPS = 2**31 - 1  # they are counted in int32


@dataclasses.dataclass(frozen=True)
class Config:
    """The static part of a run: one compiled program for each.

    Attributes:
        layer_sizes: inputs, hidden layers, outputs.
        likelihood: `jaxcls.bernoulli`, `jaxcls.categorical`, `jaxcls.gaussian` or one's own.
        optimizer: "sgd", "adam" or "adamw".
        momentum: of sgd, in [0, 1).
        batch_size: examples a step; None, or more than there are, is the full batch.
        shuffle: a new order of the examples each epoch; otherwise they run as given.
        dropout: whether masks are drawn at all. Drawing at rate 0 would cost as much as at
            any other rate, hence a switch beside `Hyperparams.dropout_rate`.
        epochs: passes over the training set; at most so many with patience.
        schedule: of the learning rate over all epochs, one of `schedules.SCHEDULES`.
        monitor: "loss" or "accuracy" of the validation set, by which the best parameters are
            chosen after each epoch; None keeps the last.
        patience: epochs without a better value after which training stops; None trains all.

    Raises:
        TypeError, ValueError: a field is out of its range; the message names it.

    >>> from jaxcls import bernoulli
    >>> Config(layer_sizes=(784, 32, 1), likelihood=bernoulli, batch_size=16).optimizer
    'adam'
    """

    layer_sizes: tuple[int, ...]
    likelihood: Likelihood
    optimizer: str = "adam"
    momentum: float = 0.0
    batch_size: int | None = None
    shuffle: bool = True
    dropout: bool = False
    epochs: int = 100
    schedule: str = "constant"
    monitor: str | None = None
    patience: int | None = None

    def __post_init__(self):
        mlp.check_layer_sizes("Config", self.layer_sizes)
        object.__setattr__(self, "layer_sizes", tuple(self.layer_sizes))  # hashable
        if not isinstance(self.likelihood, Likelihood):
            raise TypeError(
                "Config: likelihood must be a jaxcls.Likelihood such as jaxcls.bernoulli, "
                f"got {self.likelihood!r}."
            )
        num_outputs = self.layer_sizes[-1]
        wanted = self.likelihood.num_outputs(max(2, num_outputs))
        if num_outputs != wanted:
            raise ValueError(
                f"Config: layer_sizes must end in {wanted} for the likelihood "
                f"{self.likelihood.name!r}, got {self.layer_sizes}."
            )
        _check_choice("optimizer", self.optimizer, OPTIMIZERS)
        _check_choice("schedule", self.schedule, SCHEDULES)
        if self.monitor is not None:
            _check_choice("monitor", self.monitor, MONITORS)
        if not isinstance(self.momentum, Real):
            raise TypeError(
                f"Config: momentum must be a number, got {self.momentum!r}."
            )
        if not 0 <= self.momentum < 1:
            raise ValueError(
                f"Config: momentum must lie in [0, 1), got {self.momentum}."
            )
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"Config: momentum belongs to sgd, got {self.momentum} with {self.optimizer}."
            )
        for name in ("shuffle", "dropout"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(
                    f"Config: {name} must be True or False, got {getattr(self, name)!r}."
                )
        if self.batch_size is not None:
            _check_count("batch_size", self.batch_size, " or None for the full batch")
        _check_count("epochs", self.epochs)
        if self.patience is not None:
            _check_count("patience", self.patience, " or None for no early stopping")
            if self.monitor is None:
                raise ValueError(
                    f"Config: patience {self.patience} needs a monitor, loss or accuracy, by "
                    "which epochs are judged."
                )


class Hyperparams(NamedTuple):
    """The traced part of a run: scalars, or [S] under vmap; a new value compiles nothing.

    Attributes:
        learning_rate: [] step size, PyTorch's default for Adam and SGD.
        dropout_rate: [] share of hidden units dropped, used where `Config.dropout` is on.
        weight_decay: [] decoupled decay of the kernels (not the biases), for every
            optimizer: each step takes off learning_rate * weight_decay of a kernel. None
            is the optimizer's own: 0.01 for adamw, as in PyTorch, and none for the others.
        clip_norm: [] largest norm of a step's whole gradient, to which a larger one is scaled
            down. None scales nothing.
        label_smoothing: [] share of each label spread evenly over all classes in the loss that
            is trained on (C. Szegedy et al., 2016), as in PyTorch. None is none.
        class_weights: [K] factors of the examples' weights in the loss that is trained on, whose
            mean divides by the sum of weights. None weighs all classes alike.
    """

    learning_rate: Array | float = 1e-3
    dropout_rate: Array | float = 0.0
    weight_decay: Array | float | None = None
    clip_norm: Array | float | None = None
    label_smoothing: Array | float | None = None
    class_weights: Array | np.ndarray | tuple[float, ...] | None = None


class Keys(NamedTuple):
    """The random keys of a run, one for each use; programs only fold numbers into them."""

    init: Array
    shuffle: Array
    dropout: Array

    @classmethod
    def from_seed(cls, seed: int) -> Self:
        """Splits the keys of a seed in 0..2**32-1.

        >>> sorted(Keys.from_seed(0)._asdict())
        ['dropout', 'init', 'shuffle']
        """
        if not isinstance(seed, Integral):
            raise TypeError(f"Keys.from_seed: seed must be an integer, got {seed!r}.")
        if not 0 <= seed < 2**32:
            raise ValueError(
                f"Keys.from_seed: seed must lie in 0..2**32-1, got {seed}."
            )
        return cls(*_split(np.uint32(seed)))


def check_hyperparams(caller: str, hyperparams: Hyperparams, config: Config) -> None:
    """Raises unless each value is in its range, and dropout is switched on where it is used.

    >>> from jaxcls import bernoulli
    >>> check_hyperparams("fit", Hyperparams(-1.0), Config((2, 1), bernoulli))
    Traceback (most recent call last):
    ValueError: fit: learning_rate must be positive and finite in float32, got -1.0.
    """
    dropout_rate, weight_decay = hyperparams.dropout_rate, hyperparams.weight_decay
    _check_positive(caller, "learning_rate", hyperparams.learning_rate)
    if hyperparams.clip_norm is not None:
        _check_positive(caller, "clip_norm", hyperparams.clip_norm)
    rate = _float32(caller, "dropout_rate", dropout_rate)
    if not 0 <= rate < 1:
        raise ValueError(
            f"{caller}: dropout_rate must lie in [0, 1), got {dropout_rate}."
        )
    if rate and not config.dropout:
        raise ValueError(
            f"{caller}: dropout_rate is {dropout_rate}, but Config.dropout is False; set it to "
            "True."
        )
    if weight_decay is not None:
        decay = _float32(caller, "weight_decay", weight_decay)
        if not (math.isfinite(decay) and decay >= 0):
            raise ValueError(
                f"{caller}: weight_decay must be finite in float32 and at least 0, "
                f"got {weight_decay}."
            )
    _check_labels_settings(caller, hyperparams, config)


def _check_count(name: str, value: int, or_else: str = "") -> None:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"Config: {name} must be an integer{or_else}, got {value!r}.")
    if value < 1:
        raise ValueError(f"Config: {name} must be at least 1{or_else}, got {value}.")
    if value > MOST_STEPS:
        raise ValueError(
            f"Config: {name} must be at most {MOST_STEPS:,}, got {value:,}."
        )


def _check_labels_settings(
    caller: str, hyperparams: Hyperparams, config: Config
) -> None:
    smoothing, weights = hyperparams.label_smoothing, hyperparams.class_weights
    for name, value in (("label_smoothing", smoothing), ("class_weights", weights)):
        if value is not None and config.likelihood.smooth is None:
            raise ValueError(
                f"{caller}: {name} needs class labels, which the likelihood "
                f"{config.likelihood.name!r} has not."
            )
    share = 0 if smoothing is None else _float32(caller, "label_smoothing", smoothing)
    if not 0 <= share < 1:
        raise ValueError(
            f"{caller}: label_smoothing must lie in [0, 1), got {smoothing}."
        )
    if weights is not None:
        _check_class_weights(caller, weights, max(2, config.layer_sizes[-1]))


def _check_class_weights(
    caller: str, weights: Array | np.ndarray | tuple[float, ...], num_classes: int
) -> None:
    numbers = np.asarray(weights)
    if numbers.shape != (num_classes,) or numbers.dtype.kind not in "fiu":
        raise ValueError(
            f"{caller}: class_weights must be {num_classes} numbers, one per class, got "
            f"{list(numbers.shape)} of {numbers.dtype}."
        )
    with np.errstate(over="ignore", under="ignore"):
        numbers = numbers.astype(np.float32)
    if not (np.isfinite(numbers).all() and numbers.min() > 0):
        raise ValueError(
            f"{caller}: class_weights must be positive and finite in float32, got "
            f"{' '.join(map(str, np.asarray(weights).tolist()))}."
        )


def _check_positive(caller: str, name: str, value: Array | float) -> None:
    number = _float32(caller, name, value)
    if not (math.isfinite(number) and number > 0):
        raise ValueError(
            f"{caller}: {name} must be positive and finite in float32, got {value}."
        )


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            f"Config: {name} must be one of {', '.join(choices)}, got {value!r}."
        )


def _float32(caller: str, name: str, value: Array | float) -> float:
    """The number as a run in float32 has it: 0 or infinite where that cannot hold it."""
    number = np.asarray(value)
    if number.shape != () or number.dtype.kind not in "fiu":
        raise TypeError(f"{caller}: {name} must be a number, got {value!r}.")
    with np.errstate(over="ignore", under="ignore"):
        return float(number.astype(np.float32))


@jax.jit
def _split(seed: Array) -> tuple[Array, ...]:
    return tuple(jax.random.split(jax.random.key(seed), 3))
