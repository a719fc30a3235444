"""A setting of a sweep: values by name, made into a config and hyperparams."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from jaxcls.checks import check_hyperparams
from jaxcls.config import Config, Hyperparams

NAMES = (
    "learning_rate",
    "dropout_rate",
    "weight_decay",
    "hidden",
    "batch_size",
    "optimizer",
    "momentum",
    "activation",
    "schedule",
    "clip_norm",
    "label_smoothing",
    "class_weights",
    "patience",
    "ema_decay",
)


class Setting(NamedTuple):
    """What one setting's runs are told.

    Attributes:
        config: static; its `monitor` ranks.
        hyperparams: scalars.
    """

    config: Config
    hyperparams: Hyperparams


def settle(
    values: Mapping[str, Any], config: Config, hyperparams: Hyperparams
) -> Setting:
    """The setting that has these values, and all else as the config and hyperparams have it.

    Args:
        values: by name, each of `NAMES`; `hidden` are the units of each hidden layer, and a
            `dropout_rate`, `momentum` or `label_smoothing` of 0 leaves it out of the program.

    Raises:
        TypeError, ValueError: a name or a value is wrong; the message names it.

    >>> from jaxcls import bernoulli
    >>> values = {"hidden": (64, 32), "dropout_rate": 0.5}
    >>> setting = settle(values, Config((784, 32, 1), bernoulli), Hyperparams())
    >>> setting.config.layer_sizes, setting.config.dropout
    ((784, 64, 32, 1), True)
    """
    for name in values:
        if name not in NAMES:
            raise ValueError(
                f"sweep.settle: {name!r} can't be swept; take one of {', '.join(NAMES)}."
            )
    changes = dict(values)
    if "hidden" in changes:
        sizes = config.layer_sizes
        if not isinstance(changes["hidden"], Sequence):
            raise TypeError(
                f"sweep.settle: hidden must be several integers, got {changes['hidden']!r}."
            )
        changes["layer_sizes"] = (sizes[0], *changes.pop("hidden"), sizes[-1])
    traced = {
        name: changes.pop(name) for name in Hyperparams._fields if name in changes
    }
    hyperparams = hyperparams._replace(**traced)
    if not np.any(hyperparams.label_smoothing):
        hyperparams = hyperparams._replace(label_smoothing=None)
    changes["dropout"] = bool(hyperparams.dropout_rate)
    if changes.get("optimizer", config.optimizer) != "sgd":
        changes["momentum"] = 0.0  # it is sgd's alone
    config = dataclasses.replace(config, **changes)
    check_hyperparams("sweep.settle", hyperparams, config)
    return Setting(config, hyperparams)
