"""The notes' training runs as settings: seed, classes, network, loss, optimizer, epochs."""

import dataclasses
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls import losses
from jaxcls.config import Config
from jaxcls.likelihoods import Likelihood, bernoulli, categorical


class Recipe(NamedTuple):
    """A run of the notes, at PyTorch's learning rate of 1e-3.

    Attributes:
        seed: of `torch.manual_seed`, for the starting weights.
        classes: digits to tell apart.
        config: the rest of its settings.
        report_every: epochs between two looks at the network.
        one_hot: whether targets are one-hot rows; otherwise they are integers.
    """

    seed: int
    classes: tuple[int, ...]
    config: Config
    report_every: int
    one_hot: bool = False


class Repetition(NamedTuple):
    """A run that is repeated with the dropout keys of seeds 0 to `num_keys` - 1."""

    recipe: Recipe
    num_keys: int


def _one(num_classes: int) -> int:
    del num_classes
    return 1


def _sigmoid(logits: Array) -> Array:
    return (jnp.exp(logits) / (1 + jnp.exp(logits)))[:, 0]


def _bce(logits: Array, labels: Array | np.ndarray) -> Array:
    return losses.bce(_sigmoid(logits), labels)


# Section 5 A of the notes: the sigmoid written out, then BCELoss.
_BY_HAND = Likelihood("sigmoid by hand", _one, _sigmoid, _bce, bernoulli.predict)

_ONE, _TWO, _THREE = (784, 32, 1), (784, 32, 2), (784, 32, 3)

TRAININGS = {
    "A": Recipe(1, (0, 1), Config(_ONE, bernoulli, "sgd", epochs=500), 50),
    # The notes look at the outputs before the 100th update, hence after 99.
    "5A": Recipe(0, (0, 1), Config(_ONE, _BY_HAND), 99),
    "5B": Recipe(0, (0, 1), Config(_ONE, bernoulli), 99),
    "OV": Recipe(0, (0, 1), Config(_TWO, categorical), 100),
    "M, one-hot": Recipe(43052, (0, 1, 2), Config(_THREE, categorical), 99, True),
    "M": Recipe(43052, (0, 1, 2), Config(_THREE, categorical), 99),
    "E": Recipe(43052, (0, 1), Config(_TWO, categorical, epochs=70), 70),
}

# Runs with dropout, whose masks only PyTorch draws. The notes' section C is B on a GPU.
_DROPOUT = Config(_ONE, bernoulli, "sgd", dropout=True, epochs=500)
_BATCHES = dataclasses.replace(_DROPOUT, batch_size=16, shuffle=False, epochs=2)

REPEATED = {
    "B": Repetition(Recipe(1, (0, 1), _DROPOUT, 50), num_keys=16),
    "D": Repetition(Recipe(1, (0, 1), _BATCHES, 1), num_keys=64),
}
