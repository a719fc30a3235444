"""What a run is told: static `Config`, traced `Hyperparams`, random `Keys`."""

import dataclasses
from collections.abc import Iterable
from functools import partial
from numbers import Integral, Real
from typing import Any, Literal, NamedTuple, Self, cast, get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jax import Array

from jaxcls import drawing, mlp
from jaxcls.likelihoods import Likelihood
from jaxcls.mlp import Activation
from jaxcls.optimizers import OPTIMIZERS, OptimizerName, OwnOptimizer
from jaxcls.schedules import ScheduleName

MonitorName = Literal["loss", "accuracy"]
MOST_STEPS = 2**31 - 1  # they are counted in int32


@dataclasses.dataclass(frozen=True)
class Config:
    """The static part of a run: one compiled program for each.

    Attributes:
        layer_sizes: inputs, hidden layers, outputs.
        likelihood: `jaxcls.bernoulli`, `jaxcls.categorical`, `jaxcls.gaussian` or one's own.
        optimizer: one of `optimizers.OPTIMIZERS`, or a function of one's own that takes the
            `Hyperparams`, which are traced, and returns an optax transformation. It does all that
            is done with a gradient: it clips and decays, or does not, and steps down by the
            learning rate.
        momentum: of sgd, in [0, 1).
        batch_size: examples a step; None, or more than there are, is the full batch.
        shuffle: a new order of the examples each epoch; otherwise they run as given.
        dropout: whether masks are drawn at all. Drawing at rate 0 would cost as much as at
            any other rate, hence a switch beside `Hyperparams.dropout_rate`.
        epochs: passes over the training set; at most so many with patience.
        schedule: of the learning rate over all epochs, one of `schedules.ScheduleName`.
        monitor: "loss" or "accuracy" of the validation set, by which the best parameters are
            chosen after each epoch; None keeps the last.
        patience: epochs without a better value after which training stops; None trains all.
        activation: of the hidden layers, one of `mlp.ACTIVATIONS` or a function of one's own.
        ema_decay: in (0, 1), keeps an average of the params after each step, in which each weighs
            so much less than the next; it is judged, chosen and scored in their place. None
            keeps none.

    Raises:
        TypeError, ValueError: a field is out of its range; the message names it.

    >>> from jaxcls import bernoulli
    >>> Config(layer_sizes=(784, 32, 1), likelihood=bernoulli, batch_size=16).optimizer
    'adam'
    """

    layer_sizes: tuple[int, ...]
    likelihood: Likelihood
    optimizer: OptimizerName | OwnOptimizer = "adam"
    momentum: float = 0.0
    batch_size: int | None = None
    shuffle: bool = True
    dropout: bool = False
    epochs: int = 100
    schedule: ScheduleName = "constant"
    monitor: MonitorName | None = None
    patience: int | None = None
    activation: Activation = "relu"
    ema_decay: float | None = None

    def __post_init__(self):
        mlp.check_layer_sizes("Config", self.layer_sizes)
        # Hashable, and of Python's integers: NumPy's small ones overflow when multiplied.
        self._set("layer_sizes", tuple(map(int, self.layer_sizes)))
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
        _check_optimizer(self.optimizer)
        _check_hashable("activation", self.activation)
        for units in {*self.layer_sizes[1:-1]} or {1}:
            mlp.check_activation("Config", self.activation, units)
        _check_choice("schedule", self.schedule, get_args(ScheduleName))
        if self.monitor is not None:
            _check_choice("monitor", self.monitor, get_args(MonitorName))
        _check_real("momentum", self.momentum)
        if not 0 <= self.momentum < 1:
            raise ValueError(
                f"Config: momentum must lie in [0, 1), got {self.momentum}."
            )
        self._set("momentum", float(self.momentum))
        if self.momentum and self.optimizer != "sgd":
            raise ValueError(
                f"Config: momentum belongs to sgd, got {self.momentum} with {self.optimizer}."
            )
        if self.ema_decay is not None:
            _check_decay(self.ema_decay)
            self._set("ema_decay", float(self.ema_decay))
        for name in ("shuffle", "dropout"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(
                    f"Config: {name} must be True or False, got {getattr(self, name)!r}."
                )
        if self.batch_size is not None:
            _check_count("batch_size", self.batch_size, " or None for the full batch")
            self._set("batch_size", int(self.batch_size))
        _check_count("epochs", self.epochs)
        self._set("epochs", int(self.epochs))
        if self.patience is not None:
            _check_count("patience", self.patience, " or None for no early stopping")
            self._set("patience", int(self.patience))
            if self.monitor is None:
                raise ValueError(
                    f"Config: patience {self.patience} needs a monitor, loss or accuracy, by "
                    "which epochs are judged."
                )
        if self.monitor == "accuracy" and not self.likelihood.has_classes:
            raise ValueError(
                "Config: monitor accuracy needs class labels, which the likelihood "
                f"{self.likelihood.name!r} has not; use loss."
            )

    def __repr__(self) -> str:
        """Only what is not as by default."""
        changed = [
            f"{field.name}={getattr(self, field.name)!r}"
            for field in dataclasses.fields(self)[2:]
            if getattr(self, field.name) != field.default
        ]
        return f"Config({', '.join([repr(self.layer_sizes), self.likelihood.name, *changed])})"

    def _set(self, name: str, value: tuple[int, ...] | float) -> None:
        object.__setattr__(self, name, value)  # frozen for users


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
            is trained on (C. Szegedy et al., 2016). None is none.
        class_weights: [K] factors of the examples' weights, by their label, in the loss that is
            trained on. A weight means the same at any batch size: a step divides by the number
            of its examples times the mean weight of the training set. None weighs all alike.
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
        check_seed("Keys.from_seed", seed)
        if not drawing.draws_alike():
            return cls(*split_seed(np.uint32(seed)))
        bits = drawing.keys_of(seed)._asdict()
        wrap = partial(jax.random.wrap_key_data, impl=drawing.IMPL)
        return cls(**{name: wrap(jnp.asarray(each)) for name, each in bits.items()})

    @classmethod
    def from_seeds(cls, seeds: Iterable[int] | Array) -> Self:
        """The keys of S seeds, leaves [S], over which a run is repeated by `jax.vmap`.

        Args:
            seeds: integers in 0..2**32-1, or an array of them, which may be traced.

        >>> Keys.from_seeds(range(3)).init.shape
        (3,)
        """
        if isinstance(seeds, jax.core.Tracer) and seeds.ndim == 1:
            return cls(*jax.vmap(split_seed)(seeds.astype(jnp.uint32)))
        if not isinstance(seeds, Iterable) or np.ndim(cast(Any, seeds)) != 1:
            raise TypeError(
                f"Keys.from_seeds: seeds must be several integers [S], got {seeds!r}; of one "
                "seed take Keys.from_seed."
            )
        seeds = np.asarray(list(seeds)).tolist()
        for seed in seeds:
            check_seed("Keys.from_seeds", seed)
        return cls(*jax.vmap(split_seed)(np.array(seeds, np.uint32)))


def check_seed(caller: str, seed: int) -> None:
    """Raises unless `seed` is an integer in 0..2**32-1."""
    if isinstance(seed, jax.core.Tracer):
        raise TypeError(
            f"{caller}: seed must be an integer, got a traced array; make the keys of many seeds "
            "with Keys.from_seeds, and map over them."
        )
    if not isinstance(seed, Integral) or isinstance(seed, bool):
        raise TypeError(f"{caller}: seed must be an integer, got {seed!r}.")
    if not 0 <= seed < 2**32:
        raise ValueError(f"{caller}: seed must lie in 0..2**32-1, got {seed}.")


@jax.jit
def split_seed(seed: Array) -> tuple[Array, ...]:
    """The three keys of `Keys` from a seed [] uint32, also inside programs."""
    # Named, whatever jax_default_prng_impl is: a seed means one run, and of rbg keys vmap uses
    # only the first.
    return tuple(jax.random.split(jax.random.key(seed, impl=drawing.IMPL), 3))


def _check_count(name: str, value: int, or_else: str = "") -> None:
    if not isinstance(value, Integral) or isinstance(value, bool):
        raise TypeError(f"Config: {name} must be an integer{or_else}, got {value!r}.")
    if value < 1:
        raise ValueError(f"Config: {name} must be at least 1{or_else}, got {value}.")
    if value > MOST_STEPS:
        raise ValueError(
            f"Config: {name} must be at most {MOST_STEPS:,}, got {value:,}."
        )


def _check_optimizer(optimizer: OptimizerName | OwnOptimizer) -> None:
    of_optax = str(getattr(optimizer, "__module__", None)).startswith("optax.")
    if of_optax or isinstance(optimizer, optax.GradientTransformation):
        raise TypeError(
            "Config: optimizer must be a function of yours, got optax's as it is; wrap it, so that the learning rate can be traced: def optimizer(hyperparams): return "
            "optax.adam(hyperparams.learning_rate)."
        )
    if not callable(optimizer):
        _check_choice("optimizer", optimizer, tuple(OPTIMIZERS))
    _check_hashable("optimizer", optimizer)


def _check_real(name: str, value: Any) -> None:
    if not isinstance(value, Real):
        raise TypeError(f"Config: {name} must be a number, got {value!r}.")


def _check_decay(value: Any) -> None:
    _check_real("ema_decay", value)
    if not 0 < value < 1:
        raise ValueError(f"Config: ema_decay must lie in (0, 1), got {value}.")


def _check_hashable(name: str, value: Any) -> None:
    try:
        hash(value)
    except TypeError:
        raise TypeError(
            f"Config: {name} must be hashable, as a function is, got {value!r}."
        ) from None


def _check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise ValueError(
            f"Config: {name} must be one of {', '.join(choices)}, got {value!r}."
        )
