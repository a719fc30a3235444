"""From a sweep's flags to its settings, and back to the flags that train one of them."""

import dataclasses
import math
from typing import Any

from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, SweepFlags, TrainFlags
from jaxcls.cli.job import Job, class_weights
from jaxcls.study.settings import NAMES
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
FLAGS = {name: name for name in NAMES} | {"dropout_rate": "dropout"}
# Those of 0.1.0. The others take no part if they are left alone, so that an older sweep's settings
# are what they were.
_FIRST = NAMES[: NAMES.index("activation")]
_WORDS = ("optimizer", "activation", "schedule")  # choices, which are taken as they are
_MAY_BE_NONE = ("clip_norm", "class_weights", "patience", "ema_decay")
_RANGES = {"uniform": Uniform, "log-uniform": LogUniform}
_IN_RANGES = (
    "learning_rate",
    "dropout_rate",
    "weight_decay",
    "clip_norm",
    "label_smoothing",
)


def base_flags(
    flags: SweepFlags, kind: type[BinaryFlags] | type[MulticlassFlags]
) -> TrainFlags:
    """The flags of a training script that every setting shares."""
    return kind(
        dataset=flags.dataset,
        data_dir=flags.data_dir,
        target=flags.target,
        test_dataset=flags.test_dataset,
        categorical=flags.categorical,
        numeric=flags.numeric,
        drop=flags.drop,
        standardize=flags.standardize,
        classes=flags.classes,
        epochs=flags.epochs,
        validation_fraction=flags.validation_fraction,
        monitor=flags.monitor,
        shuffle=flags.shuffle,
        seed=flags.seed,
        seeds=flags.seeds,
        split_seed=flags.seed,
        folds=flags.folds,
        repeats=flags.repeats,
        resplit=flags.resplit,
        plots=False,
    )


def settings_of(
    flags: SweepFlags, job: Job
) -> tuple[list[dict[str, Any]], list[Setting]]:
    """The values of every setting, and the settings, each once.

    Raises:
        ValueError: a flag's words name no values.
    """
    words = {name: getattr(flags, flag) for name, flag in FLAGS.items()}
    for name in NAMES:
        if name not in _FIRST and words[name] == getattr(SweepFlags, FLAGS[name]):
            del words[name]
    space = {name: _values(name, some) for name, some in words.items()}
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
        weights = {}
        if "class_weights" in values:
            kind = values["class_weights"]
            weights["class_weights"] = class_weights(kind, job.data.train)
        setting = settle(values | weights, job.config, job.hyperparams)
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
    if isinstance(value, tuple):
        return ",".join(f"{number:.6g}" for number in value)
    if value is None and name in _MAY_BE_NONE:
        return "none"
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
    if name in _WORDS or (name == "class_weights" and word == "balanced"):
        return word
    if name in _MAY_BE_NONE and word == "none":
        return None
    if name == "class_weights":
        return tuple(_number(name, each) for each in word.split(","))
    if name == "hidden":
        return (
            ()
            if word == "none"
            else tuple(_count(name, each) for each in word.split("-"))
        )
    if name == "batch_size":
        return None if word == "full" else _count(name, word)
    if name == "patience":
        return _count(name, word)
    return _number(name, word)


def _number(name: str, word: str) -> float:
    try:
        number = float(word)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        more = ", or none" if name in _MAY_BE_NONE else ""
        more += ", or balanced" if name == "class_weights" else ""
        more += ", or a range such as uniform:0:0.5" if name in _IN_RANGES else ""
        raise ValueError(f"{_flag(name)} must be numbers{more}, got {word!r}.")
    return number


def _count(name: str, word: str) -> int:
    if not word.isdecimal() or int(word) < 1:
        wanted = {
            "hidden": "units such as 32 or 128-64",
            "batch_size": "a number or full",
            "patience": "a number of epochs or none",
        }[name]
        raise ValueError(f"{_flag(name)} must be {wanted}, got {word!r}.")
    return int(word)


def _flag(name: str) -> str:
    return f"--{FLAGS[name].replace('_', '-')}"
