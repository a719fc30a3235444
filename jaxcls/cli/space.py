"""From a sweep's flags to its settings, and back to the flags that train one of them."""

import dataclasses
import math
from typing import Any

from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, SweepFlags, TrainFlags
from jaxcls.cli.job import Job
from jaxcls.study.sweep import (
    Choice,
    LogUniform,
    Setting,
    Uniform,
    draw,
    grid,
    settle,
)

# Names of settings, and the flags of theirs.
FLAGS = {
    "learning_rate": "learning_rate",
    "dropout_rate": "dropout",
    "weight_decay": "weight_decay",
    "hidden": "hidden",
    "batch_size": "batch_size",
    "optimizer": "optimizer",
    "momentum": "momentum",
}
_RANGES = {"uniform": Uniform, "log-uniform": LogUniform}
_IN_RANGES = ("learning_rate", "dropout_rate", "weight_decay")


def base_flags(
    flags: SweepFlags, kind: type[BinaryFlags] | type[MulticlassFlags]
) -> TrainFlags:
    """The flags of a training script that every setting shares."""
    return kind(
        dataset=flags.dataset,
        data_dir=flags.data_dir,
        classes=flags.classes,
        epochs=flags.epochs,
        validation_fraction=flags.validation_fraction,
        monitor=flags.monitor,
        shuffle=flags.shuffle,
        seed=flags.seed,
        seeds=flags.seeds,
        split_seed=flags.seed,
        plots=False,
    )


def settings_of(
    flags: SweepFlags, job: Job
) -> tuple[list[dict[str, Any]], list[Setting]]:
    """The values of every setting, and the settings, each once.

    Raises:
        ValueError: a flag's words name no values.
    """
    space = {name: _values(name, getattr(flags, flag)) for name, flag in FLAGS.items()}
    space = {name: values for name, values in space.items() if values is not None}
    ranges = [name for name, values in space.items() if not isinstance(values, Choice)]
    if flags.draws is None:
        for name in ranges:
            raise ValueError(
                f"{_flag(name)} {' '.join(getattr(flags, FLAGS[name]))}: a range needs --draws, "
                "which says how many settings are drawn; or list the values to try."
            )
        found = grid(space)
    else:
        found = draw(space, flags.draws, flags.seed)
    num_train = len(job.data.train.targets)
    unique: dict[Setting, dict[str, Any]] = {}
    for values in found:
        # More than there are is the full batch.
        size = values["batch_size"]
        values["batch_size"] = None if size is None or size >= num_train else size
        setting = settle(values, job.config, job.hyperparams)
        values["momentum"] = setting.config.momentum
        unique.setdefault(setting, values)
    return list(unique.values()), list(unique)


def flags_of(values: dict[str, Any], base: TrainFlags) -> TrainFlags:
    """The flags with which a training script trains this setting."""
    changes = {FLAGS[name]: value for name, value in values.items()}
    if changes["batch_size"] is None:
        changes["batch_size"] = "full"
    return dataclasses.replace(base, **changes)


def shown(name: str, value: Any) -> str:
    """A setting's value, as a flag of a sweep takes it."""
    if name == "hidden":
        return "-".join(map(str, value)) or "none"
    if value is None:
        return "full" if name == "batch_size" else ""
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _values(name: str, words: tuple[str, ...]) -> Choice | Uniform | LogUniform | None:
    """What a flag's words say; None where there is none and the flag may be left out."""
    if not words:
        if name == "weight_decay":
            return None
        raise ValueError(f"{_flag(name)} needs at least one value.")
    kind, *bounds = words[0].split(":")
    if len(words) == 1 and kind in _RANGES and name in _IN_RANGES:
        if len(bounds) != 2:
            raise ValueError(
                f"{_flag(name)} {words[0]}: a range is {kind}:LOW:HIGH, such as {kind}:1e-4:1e-1."
            )
        low, high = (_number(name, word) for word in bounds)
        return _RANGES[kind](low, high)
    values = [_value(name, word) for word in words]
    return Choice(*dict.fromkeys(values))


def _value(name: str, word: str) -> Any:
    if name == "optimizer":
        return word
    if name == "hidden":
        return (
            ()
            if word == "none"
            else tuple(_count(name, each) for each in word.split("-"))
        )
    if name == "batch_size":
        return None if word == "full" else _count(name, word)
    return _number(name, word)


def _number(name: str, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        ranges = ", or a range such as uniform:0:0.5" if name in _IN_RANGES else ""
        raise ValueError(f"{_flag(name)} must be numbers{ranges}, got {word!r}.")
    return number


def _count(name: str, word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        wanted = (
            "units such as 32 or 128-64" if name == "hidden" else "a number or full"
        )
        raise ValueError(f"{_flag(name)} must be {wanted}, got {word!r}.")
    return int(word)


def _flag(name: str) -> str:
    return f"--{FLAGS[name].replace('_', '-')}"
