"""The flags of the training scripts, their defaults and the notes' recipes."""

import argparse
import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Literal, TypeVar

Flags = TypeVar("Flags")


@dataclasses.dataclass(frozen=True)
class TrainFlags:
    """Flags that every training script has."""

    dataset: str | None = None
    """mnist, fashion_mnist, kmnist, digits, or the path of an .npz file with x_train, y_train,
    x_test and y_test. By default mnist where it is at hand or can be fetched, else digits."""
    data_dir: Path | None = None
    """Folder with the four .gz files of the dataset; JAXCLS_DATA_DIR by default, else
    tensorflow-datasets' cache, into which they are fetched."""
    classes: tuple[int, ...] | None = None
    """Labels to tell apart, in this order. By default 0 1 (binary) or 0 1 2 (multiclass) of a
    named dataset, and every class of an .npz file."""
    hidden: tuple[int, ...] = (32,)
    """Units of each hidden layer; no number for none."""
    dropout: float = 0.0
    """Share of hidden units dropped in training, before the activation."""
    optimizer: Literal["sgd", "adam", "adamw"] = "adam"
    """How gradients become updates."""
    momentum: float = 0.0
    """Momentum of sgd."""
    learning_rate: float = 1e-3
    """Step size."""
    weight_decay: float | None = None
    """Decoupled decay of the kernels. By default 0.01 for adamw and none for the others."""
    init: Literal["key", "torch"] = "key"
    """Starting weights: from JAX's key, or those that PyTorch draws after manual_seed."""
    batch_size: int | Literal["full"] = "full"
    """Examples a step."""
    epochs: int = 100
    """Passes over the training set."""
    shuffle: bool = True
    """A new order of the examples each epoch; otherwise class by class, as the notes have it."""
    seed: int = 0
    """Of the starting weights, the order and the dropout masks."""
    report_every: int | None = None
    """Epochs between two reports; a tenth of the epochs by default."""
    device: Literal["auto", "cpu", "gpu"] = "auto"
    """Where to train; auto is a GPU if jax sees one, else the CPU."""
    output_dir: Path | None = None
    """The run's folder; runs/<time>-<name> by default."""
    overwrite: bool = False
    """Take the place of a run that --output-dir holds."""
    plots: bool = True
    """Draw curves.png, confusion.png and mistakes.png."""


@dataclasses.dataclass(frozen=True)
class BinaryFlags(TrainFlags):
    """Train and score a classifier of two classes, by default MNIST's 0 and 1, 784-32-1."""

    likelihood: Literal["bernoulli", "categorical"] = "bernoulli"
    """One output and sigmoid BCE, or two outputs and softmax cross entropy."""
    recipe: Literal["a", "b", "c", "d"] | None = None
    """A section of the course notes: a (500 epochs of SGD, full batch), b (with dropout 0.5),
    c (on the GPU if there is one), d (2 epochs of mini-batches of 16 in order); each from
    PyTorch's weights of seed 1. A flag beside it overrides its value."""


@dataclasses.dataclass(frozen=True)
class MulticlassFlags(TrainFlags):
    """Train and score a classifier of K classes, by default MNIST's 0, 1 and 2, 784-32-3."""


# The notes' sections: 500 epochs of SGD on the CPU, with dropout, on a GPU, in mini-batches.
_SECTION_A = BinaryFlags(
    recipe="a",
    optimizer="sgd",
    epochs=500,
    seed=1,
    init="torch",
    shuffle=False,
    device="cpu",
)
_SECTION_B = dataclasses.replace(_SECTION_A, recipe="b", dropout=0.5)
_SECTION_C = dataclasses.replace(_SECTION_B, recipe="c", device="auto")
_SECTION_D = dataclasses.replace(_SECTION_C, recipe="d", batch_size=16, epochs=2)
RECIPES = {"a": _SECTION_A, "b": _SECTION_B, "c": _SECTION_C, "d": _SECTION_D}


def parse(kind: type[Flags], prog: str, argv: Sequence[str] | None) -> Flags:
    """Parses a script's arguments; a wrong one ends the program with exit code 2.

    The recipe is looked up first, so that its values are the other flags' defaults: what is
    given beside it wins, and `--recipe a --help` shows them.
    """
    import tyro

    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--recipe")
    recipe = first.parse_known_args(argv)[0].recipe
    default = RECIPES[recipe] if kind is BinaryFlags and recipe in RECIPES else kind()
    return tyro.cli(kind, prog=prog, args=argv, default=default)
