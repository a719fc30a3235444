"""The flags of the training scripts, their defaults and the notes' recipes."""

import dataclasses
from pathlib import Path
from typing import Annotated, ClassVar, Literal, TypeVar, cast

import tyro

from jaxcls.config import Config, Hyperparams, MonitorName
from jaxcls.mlp import ActivationName
from jaxcls.optimizers import OptimizerName
from jaxcls.schedules import ScheduleName

# The defaults of `Config`, which may be functions, too.
_OPTIMIZER = cast(OptimizerName, Config.optimizer)
_ACTIVATION = cast(ActivationName, Config.activation)
# Flags that say nothing of the run itself, which its folder does not keep.
NOT_KEPT = {
    "output_dir",
    "overwrite",
    "resume",
    "coordinator",
    "num_processes",
    "process_id",
}


@dataclasses.dataclass(frozen=True)
class TrainFlags:
    """Flags that every training script has."""

    SCRIPT: ClassVar[str]
    """The name by which `config.json` knows who trained the run."""

    dataset: str | None = None
    """mnist, fashion_mnist, kmnist, digits, the path of an .npz file with x_train, y_train,
    x_test and y_test, or of a table, .csv or .parquet, with --target. By default mnist where it
    is at hand or can be fetched, else digits."""
    data_dir: Path | None = None
    """Folder with the four .gz files of the dataset; JAXCLS_DATA_DIR by default, else
    tensorflow-datasets' cache, into which they are fetched."""
    target: str | None = None
    """Of a table: the column of classes."""
    test_dataset: Path | None = None
    """Of a table: a file of the same columns to be judged by. By default a fifth of each class,
    drawn from --split-seed, is the test set."""
    categorical: tuple[str, ...] = ()
    """Of a table: columns that are categories, whatever they look like."""
    numeric: tuple[str, ...] = ()
    """Of a table: columns that are numbers."""
    drop: tuple[str, ...] = ()
    """Of a table: columns that are not looked at."""
    standardize: bool = False
    """Take off each column's mean and divide by its standard deviation, both learned of the
    training rows alone; a table's numbers always are."""
    classes: tuple[int | str, ...] | None = None
    """Labels to tell apart, in this order; of a table or an .npz file as it writes them. By default
    0 1 (binary) or 0 1 2 (multiclass) of a named dataset, and every class of an .npz file or a table."""
    hidden: tuple[int, ...] = (32,)
    """Units of each hidden layer; no number for none."""
    dropout: float = 0.0
    """Share of hidden units dropped in training, before the activation."""
    optimizer: OptimizerName = _OPTIMIZER
    """How gradients become updates."""
    activation: ActivationName = _ACTIVATION
    """Of the hidden layers."""
    momentum: float = Config.momentum
    """Momentum of sgd."""
    learning_rate: float = float(Hyperparams().learning_rate)
    """Step size."""
    weight_decay: float | None = None
    """Decoupled decay of the kernels. By default 0.01 for adamw and none for the others."""
    init: Literal["key", "torch"] = "key"
    """Starting weights: from JAX's key, or those that PyTorch draws after manual_seed."""
    schedule: ScheduleName = Config.schedule
    """How the learning rate goes over all epochs: constant; falling to 0 along a cosine; the same
    after a rise over the first tenth; or a tenth of it from half of the epochs on and a
    hundredth from three quarters on."""
    clip_norm: float | None = None
    """Largest norm of a step's gradient, to which a larger one is scaled down."""
    ema_decay: float | None = None
    """Keep an average of the parameters after each step, in which each weighs this share of the
    next, and judge, choose and score it in their place; such as 0.999."""
    label_smoothing: float = 0.0
    """Share of each training label that is spread evenly over all classes."""
    class_weights: Literal["balanced"] | tuple[float, ...] | None = None
    """Weight of each class in the training loss, in the order of the classes; balanced gives
    every class the same total."""
    batch_size: int | Literal["full"] = "full"
    """Examples a step."""
    epochs: int = 100
    """Passes over the training set."""
    validation_fraction: float | None = None
    """Share of the training set (of each class, where there are some) that is held out to choose
    the best epoch by, drawn from the seed; 0.1 with --patience, else none."""
    monitor: MonitorName = "loss"
    """What of the validation set chooses the best epoch."""
    patience: int | None = None
    """Epochs without a better validation score after which training stops."""
    shuffle: bool = True
    """A new order of the examples each epoch; otherwise always the same, of classes one class
    after another, as the notes have it."""
    seed: int = 0
    """Of the starting weights, the order and the dropout masks."""
    seeds: int = 1
    """Independent runs, with the seeds from --seed on, as one program on every core: their mean,
    its interval, and their ensemble."""
    split_seed: int | None = None
    """Of the examples held out for validation, in folds and resplits; --seed by default."""
    folds: int | None = None
    """Cross-validate: hold out each of so many parts of the training set in turn, drawn from
    --split-seed (of each class, where there are some); of each, --seeds runs. The test set stays
    untouched."""
    repeats: int = 1
    """Times that --folds are drawn, each time others."""
    resplit: int | None = None
    """Hold out a fifth of the training set so many times, each drawn by itself; else as
    --folds."""
    calibrate: bool = False
    """Fit one number, a temperature, that makes probabilities as sure as they are right, on the
    validation set or on the rows that --folds hold out; labels stay as they are."""
    threshold: Literal["accuracy", "f1", "balanced"] | float | None = None
    """Of two classes: the probability of the second from which on it is the answer; or what the
    one that is chosen on the validation set is best for. By default the likelier class is."""
    costs: tuple[float, float] | None = None
    """In place of --threshold: what it costs to take the first class for the second, and the second
    for the first; chosen is what costs least on the validation set."""
    conformal: float | None = None
    """Have predict.py tell sets of classes of which this share, such as 0.1, may lack the right one;
    the validation set says how large they must be."""
    report_every: int | None = None
    """Epochs between two reports; a tenth of the epochs by default."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to train; auto is a GPU if jax sees one, else the CPU."""
    output_dir: Path | None = None
    """The run's folder; runs/<time>-<name> by default."""
    overwrite: bool = False
    """Take the place of a run that --output-dir holds."""
    checkpoint_every: int | None = None
    """Epochs between two checkpoints; a tenth of the epochs by default."""
    keep_checkpoints: int = 2
    """Newest checkpoints to keep; each holds the best parameters so far, too."""
    resume: Path | None = None
    """Go on with the run in this folder, with its own flags; --epochs may be more, and what
    would change its past is refused."""
    plots: bool = True
    """Draw pictures into the run's folder, once the result is shown."""


@dataclasses.dataclass(frozen=True)
class BinaryFlags(TrainFlags):
    """Train and score a classifier of two classes, by default MNIST's 0 and 1, 784-32-1."""

    SCRIPT: ClassVar[str] = "train_binary.py"

    likelihood: Literal["bernoulli", "categorical"] = "bernoulli"
    """One output and sigmoid BCE, or two outputs and softmax cross entropy."""
    recipe: Literal["a", "b", "c", "d"] | None = None
    """A section of the course notes: a (500 epochs of SGD, full batch), b (with dropout 0.5),
    c (on the GPU if there is one), d (2 epochs of mini-batches of 16 in order); each from
    PyTorch's weights of seed 1. A flag beside it overrides its value."""


@dataclasses.dataclass(frozen=True)
class MulticlassFlags(TrainFlags):
    """Train and score a classifier of K classes, by default MNIST's 0, 1 and 2, 784-32-3."""

    SCRIPT: ClassVar[str] = "train_multiclass.py"


# What is of classes alone; it stays as it is, and is no flag.
_T = TypeVar("_T")
_Left = Annotated[_T, tyro.conf.Suppress, tyro.conf.Fixed]


@dataclasses.dataclass(frozen=True)
class RegressionFlags(TrainFlags):
    """Train and score a network that predicts numbers, by default how scikit-learn's diabetes
    patients fare."""

    SCRIPT: ClassVar[str] = "train_regression.py"

    dataset: str | None = None
    """diabetes, by default; or the path of a table, .csv or .parquet, with --target, or of an .npz
    file with x_train, y_train, x_test and y_test."""
    target: str | None = None
    """Of a table: the column of numbers to predict. They are standardised by the training rows,
    and scores are told in their unit."""
    test_dataset: Path | None = None
    """Of a table: a file of the same columns to be judged by. By default a fifth of the rows,
    drawn from --split-seed, is the test set."""
    likelihood: Literal["gaussian", "normal"] = "gaussian"
    """One output, the mean, and squared error; or two, the mean and a standard deviation, and
    negative log likelihood."""
    batch_size: int | Literal["full"] = 32
    """Examples a step."""
    patience: int | None = 20
    """Epochs without a better validation score after which training stops; None for none."""
    data_dir: _Left[Path | None] = None
    classes: _Left[tuple[int | str, ...] | None] = None
    class_weights: _Left[Literal["balanced"] | tuple[float, ...] | None] = None
    label_smoothing: _Left[float] = 0.0
    monitor: _Left[MonitorName] = "loss"
    calibrate: _Left[bool] = False
    threshold: _Left[Literal["accuracy", "f1", "balanced"] | float | None] = None
    costs: _Left[tuple[float, float] | None] = None
    conformal: _Left[float | None] = None


@dataclasses.dataclass(frozen=True)
class SweepFlags:
    """Train many settings with several seeds each, rank them on a validation set, and score the
    best on the test set."""

    SCRIPT: ClassVar[str] = "sweep.py"

    dataset: str | None = None
    """As of train_multiclass.py."""
    data_dir: Path | None = None
    """As of train_multiclass.py."""
    target: str | None = None
    """As of train_multiclass.py, and likewise the next four."""
    test_dataset: Path | None = None
    """Of a table: its test file."""
    categorical: tuple[str, ...] = ()
    """Of a table: columns of categories."""
    numeric: tuple[str, ...] = ()
    """Of a table: columns of numbers."""
    drop: tuple[str, ...] = ()
    """Of a table: columns not looked at."""
    standardize: bool = False
    """As of train_multiclass.py."""
    classes: tuple[int | str, ...] | None = None
    """As of train_multiclass.py; two classes are told apart by one output and sigmoid BCE."""
    learning_rate: tuple[str, ...] = ("3e-4", "1e-3", "3e-3", "1e-2")
    """Step sizes to try; with --draws also log-uniform:LOW:HIGH or uniform:LOW:HIGH."""
    dropout: tuple[str, ...] = ("0", "0.5")
    """Shares of hidden units dropped, to try; with --draws also a range, as of --learning-rate."""
    weight_decay: tuple[str, ...] = ()
    """Decays of the kernels to try, likewise. By default the optimizer's own."""
    hidden: tuple[str, ...] = ("32",)
    """Units of the hidden layers to try, such as 32 or 128-64, or none."""
    batch_size: tuple[str, ...] = ("128",)
    """Examples a step to try; full is the full batch."""
    optimizer: tuple[OptimizerName, ...] = (TrainFlags.optimizer,)
    """Optimizers to try."""
    momentum: tuple[str, ...] = ("0",)
    """Momenta of sgd to try."""
    activation: tuple[ActivationName, ...] = (TrainFlags.activation,)
    """Activations of the hidden layers to try."""
    schedule: tuple[ScheduleName, ...] = (TrainFlags.schedule,)
    """Schedules of the learning rate to try."""
    clip_norm: tuple[str, ...] = ("none",)
    """Largest norms of a gradient to try, or none; also a range, as of --learning-rate."""
    label_smoothing: tuple[str, ...] = ("0",)
    """Shares of each label that are spread over all classes, to try; also a range."""
    class_weights: tuple[str, ...] = ("none",)
    """Weights of the classes to try: balanced, none, or numbers such as 1,2.5."""
    patience: tuple[str, ...] = ("none",)
    """Epochs without a better validation score after which a run stops, to try, or none."""
    ema_decay: tuple[str, ...] = ("none",)
    """Decays of the parameters' average to try, or none."""
    draws: int | None = None
    """Try so many random settings, each flag's value drawn from its list or range; by default
    every combination is tried."""
    seeds: int = 3
    """Runs of each setting, with the seeds from --seed on."""
    seed: int = 0
    """The first of the seeds, of the validation set and of the draws."""
    folds: int | None = None
    """Rank by cross-validation: each of so many parts of the training set is held out in turn, and
    takes the place of the validation set; as of train_multiclass.py."""
    repeats: int = 1
    """Times that --folds are drawn."""
    resplit: int | None = None
    """Likewise, with a fifth held out so many times."""
    epochs: int = 10
    """Passes over the training set."""
    halving: bool = False
    """Drop the weak early: all settings are trained for a part of the epochs, the best third of
    them for three times as many, and so on."""
    validation_fraction: float = 0.1
    """Share of the training set that is held out to rank by, drawn class by class."""
    monitor: MonitorName = "loss"
    """What of the validation set ranks, and chooses each run's best epoch."""
    shuffle: bool = True
    """A new order of the examples each epoch."""
    memory: float | None = None
    """GB that data and runs may take on all devices together; by default 3 on a CPU, and half of
    the memory of all GPUs."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to train; auto is every GPU that jax sees, else the CPU with a device for each core."""
    coordinator: str | None = None
    """Host and port of process 0, where several processes share a sweep; under SLURM, Open MPI or
    Kubernetes they find each other."""
    num_processes: int | None = None
    """How many processes share the sweep; 1 alone is this one, whatever a launcher tells."""
    process_id: int | None = None
    """Which of them this is, from 0 on; process 0 writes."""
    output_dir: Path | None = None
    """The sweep's folder; runs/<time>-<name> by default."""
    overwrite: bool = False
    """Take the place of a run or sweep that --output-dir holds."""
    resume: Path | None = None
    """Resume the sweep in this folder, with its own flags."""
    plots: bool = True
    """Draw sweep.png and heat_map.png, once the result is shown."""


# The notes' sections: 500 epochs of SGD on the CPU, with dropout, on a GPU, in mini-batches.
_SECTION_A = BinaryFlags(
    recipe="a",
    optimizer="sgd",
    epochs=500,
    seed=1,
    init="torch",
    validation_fraction=0.0,
    shuffle=False,
    device="cpu",
)
_SECTION_B = dataclasses.replace(_SECTION_A, recipe="b", dropout=0.5)
_SECTION_C = dataclasses.replace(_SECTION_B, recipe="c", device="auto")
_SECTION_D = dataclasses.replace(_SECTION_C, recipe="d", batch_size=16, epochs=2)
RECIPES = {"a": _SECTION_A, "b": _SECTION_B, "c": _SECTION_C, "d": _SECTION_D}
