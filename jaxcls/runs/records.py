"""What `config.json` and `metrics.json` hold, and whether two records are of one run.

Whatever lies in a run's folder may have been brought there from elsewhere: a record is checked
whole before it is used, and state is compared with the config of the run that would use it.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jaxcls.config import MOST_STEPS
from jaxcls.epochs import History
from jaxcls.metrics import Metrics

SETS = ("train", "validation", "test")
# What results depend on besides the flags and the data.
ENVIRONMENT = ("device", "machine", "versions", "xla_flags", "jax_variables")
# Flags that may be others than the run's, since no epoch that is done depends on them.
# Where the data lies is among them: it is known by its digest.
FREE_FLAGS = {
    "data_dir",
    "dataset",
    "test_dataset",
    "device",
    "report_every",
    "checkpoint_every",
    "keep_checkpoints",
    "memory",
    "plots",
}

# Far beyond what can be compiled, and no more than `planning.plan_width` gives.
_MOST_LAYERS, _WIDEST = 1000, 4096
_LARGEST_LABEL = 2**63
_EACH_EPOCH = 2000


def metrics_record(
    config: dict,
    classes: Sequence[str],
    counts: Mapping[str, int],
    chosen: dict,
    scores: Mapping[str, dict],
    seconds: Mapping[str, float],
    environment: dict,
    more: dict | None = None,
) -> dict:
    """The content of `metrics.json`.

    Args:
        config: the content of `config.json`.
        classes: their names.
        counts: of the examples of each set, by its name.
        chosen: which parameters are scored, and how they were chosen.
        scores: of each set, by its name.
        seconds: how long the parts took.
        environment: the device and the versions of the process that ended the run.
        more: what runs of several seeds tell besides.

    Raises:
        FloatingPointError: a score is not finite.
    """
    for name, each in scores.items():
        try:
            json.dumps(each, allow_nan=False)
        except ValueError:
            raise FloatingPointError(
                f"the scores of the {name} set are not finite, though training was: its features "
                "are too large for what was learned; correct them, or train with a smaller "
                "learning_rate."
            ) from None
    return {
        "dataset": config["dataset"],
        "classes": classes,
        **{f"num_{name}": counts.get(name, 0) for name in SETS},
        "config": config,
        "chosen": chosen,
        **{name: scores.get(name) for name in SETS},
        **(more or {}),
        "seconds": seconds,
        **environment,
    }


def history_columns(history: History) -> dict[str, np.ndarray]:
    """What the lines of `history.jsonl` tell of epochs, by name: leaves of the history's shape."""
    columns = {"loss": np.asarray(history.loss)}
    if history.validation is not None:
        with np.errstate(invalid="ignore"):  # 0/0 of epochs that were not done
            columns["validation_loss"] = np.asarray(history.validation.loss)
            name, score = main_score(history.validation)
            columns[f"validation_{name}"] = np.asarray(score)
    return columns


def main_score(metrics: Metrics) -> tuple[str, Any]:
    """The score by which people know how good a model is: its name, and its value.

    >>> main_score(Metrics(loss_sum=1.0, correct=3, count=4))
    ('accuracy', 0.75)
    """
    if metrics.errors is None:
        return "accuracy", metrics.accuracy
    with np.errstate(
        divide="ignore", invalid="ignore"
    ):  # of targets that are all alike
        return "r_squared", metrics.r_squared


def is_recorded(epoch: int) -> bool:
    """Whether `history.jsonl` has a line of an epoch though no report scored it.

    Of each of the first 2,000, of every tenth up to 20,000, and so on: so it stays small, and does
    not hang on how long the run is to be.

    >>> [is_recorded(epoch) for epoch in (1, 2000, 2001, 2010, 20_010, 20_100)]
    [True, True, False, True, False, True]
    """
    every = 1
    while epoch > _EACH_EPOCH * every:
        every *= 10
    return epoch % every == 0


def as_json(value: dict) -> dict:
    """With lists for tuples, as a file has them."""
    return json.loads(json.dumps(value))


def check_same_run(config: dict, other: Any, source: Any) -> None:
    """Raises ValueError unless state that was written with one config belongs to another's run.

    What may change when a run is resumed may differ: where it runs, where its data lies, how
    often it reports, and the epochs and the patience of a single run. A name that only one of
    them has came with a later version.

    Args:
        config: the content of the folder's `config.json`.
        other: the config that was kept with the state.
        source: what the message calls the state.

    >>> check_same_run({"flags": {"seed": 5}}, {"flags": {"seed": 0}}, "epoch-1.json")
    Traceback (most recent call last):
    ValueError: epoch-1.json belongs to another run: its seed is 0, here it is 5; move it \
away, or resume the run that it is of.
    """
    if not isinstance(other, dict):
        raise ValueError(f"{source} does not say which run it belongs to.")
    for name, here, there in _differences(config, other):
        raise ValueError(
            f"{source} belongs to another run: its {name} is {shown(there)}, here it is "
            f"{shown(here)}; move it away, or resume the run that it is of."
        )


def check_config(config: dict) -> None:
    """Raises ValueError for a value that a `config.json` can't have; names may be missing.

    >>> check_config({"width": 0})
    Traceback (most recent call last):
    ValueError: width must be 1 to 4,096, got 0.
    """
    for name, (is_right, wanted) in _CONFIG.items():
        if name in config and not is_right(config[name]):
            raise ValueError(f"{name} must be {wanted}, got {shown(config[name])}.")
    if config.get("script") == "sweep.py" and "plan" not in config:
        raise ValueError("plan is missing, which a sweep has.")
    labels, names = config.get("labels"), config.get("class_names")
    if labels is not None and names is not None and len(labels) != len(names):
        raise ValueError(
            f"class_names must be as many as labels, got {len(names)} and {len(labels)}."
        )


def check_metrics(metrics: dict) -> None:
    """Raises ValueError for a `metrics.json` that does not tell what a result is needed for."""
    config = metrics.get("config")
    if not isinstance(config, dict):
        raise ValueError("config is missing.")
    check_config(config)
    flags = config.get("flags")
    if flags is None:
        raise ValueError("config: flags are missing.")
    if "plan" in config:
        return
    chosen = metrics.get("chosen")
    if not isinstance(chosen, dict):
        raise ValueError("does not say which epoch was chosen.")
    for name in ("epoch", "epochs_done"):
        if not _is_count(chosen.get(name), least=0):
            raise ValueError(
                f"chosen: {name} must be a number of epochs, got {shown(chosen.get(name))}."
            )
    if not isinstance(chosen.get("stopped_by"), str):
        raise ValueError("chosen: stopped_by must say what ended the training.")
    seeds, many = chosen.get("seeds"), flags.get("seeds", 1) != 1
    if (many or seeds is not None) and not (_is_list_of(_is_seed)(seeds) and seeds):
        raise ValueError(f"chosen: seeds must be a list of seeds, got {shown(seeds)}.")


def _differences(config: dict, other: dict) -> Iterator[tuple[str, Any, Any]]:
    """Each name on which results depend and that has two values, and both."""
    flags, other_flags = (
        each["flags"] if isinstance(each.get("flags"), dict) else {}
        for each in (config, other)
    )
    # Only of a single run may they grow, which alone has a schedule and one seed.
    single = flags.get("seeds", 1) == 1 and "schedule" in config
    single = single and not flags.get("folds") and not flags.get("resplit")
    free = {"patience"} if single else set()
    if single and config["schedule"] == "constant":
        free |= {"epochs"}
    left_out = {*ENVIRONMENT, "elsewhere", "dataset", "flags", "pictures", *free}
    for here, there, without in (
        (flags, other_flags, FREE_FLAGS | free),
        (config, other, left_out),
    ):
        for name in here:
            if name in there and name not in without and here[name] != there[name]:
                yield name, here[name], there[name]


def shown(value: Any) -> str:
    """A value of a record, as a message has it."""
    text = json.dumps(value)
    return text if len(text) <= 60 else f"{text[:50]} and so on"


def _is_count(value: Any, least: int = 1, most: int = MOST_STEPS) -> bool:
    return type(value) is int and least <= value <= most


def _is_seed(value: Any) -> bool:
    return _is_count(value, 0, 2**32 - 1)


def _is_label(value: Any) -> bool:
    return _is_count(value, -_LARGEST_LABEL, _LARGEST_LABEL - 1)


def _is_width(value: Any) -> bool:
    return _is_count(value, most=_WIDEST)


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_target(value: Any) -> bool:
    if value is None:
        return True
    return (
        isinstance(value, dict)
        and value.keys() == {"name", "mean", "scale"}
        and isinstance(value["name"], str)
        and all(
            type(value[name]) in (int, float) and math.isfinite(value[name])
            for name in ("mean", "scale")
        )
        and value["scale"] > 0
    )


def _is_list_of(is_right):
    return lambda value: isinstance(value, list) and all(map(is_right, value))


def _differ(value: list) -> bool:
    return len(set(value)) == len(value)


def _is_plan(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    rungs, groups = value.get("rungs", []), value.get("groups", [])
    if not (_is_list_of(_is_count)(rungs) and _is_list_of(_is_group)(groups)):
        return False
    settings = [
        (number, str(group.get("members")))
        for group in groups
        for number in group["settings"]
    ]
    rise = all(one < other for one, other in itertools.pairwise(rungs))
    return bool(rungs and groups) and rise and _differ(settings)


def _is_group(value: Any) -> bool:
    if not isinstance(value, dict) or not _is_width(value.get("width")):
        return False
    settings = value.get("settings")
    return _is_list_of(lambda each: _is_count(each, 0))(settings) and bool(settings)


# By name: whether a value may stand there, and what may.
_CONFIG = {
    "script": (_is_text, "a script's name"),
    "flags": (_is_dict, "flags by name"),
    "data_sha256": (_is_text, "a digest"),
    "labels": (
        lambda value: _is_list_of(_is_label)(value) and _differ(value),
        "integers of 64 bits that differ from each other",
    ),
    "class_names": (
        lambda value: _is_list_of(_is_text)(value) and _differ(value),
        "names that differ from each other",
    ),
    "image_shape": (
        lambda value: (
            value is None or (_is_list_of(_is_count)(value) and len(value) == 2)
        ),
        "height and width, or null",
    ),
    "features": (lambda value: value in ("uint8", "float32"), "uint8 or float32"),
    "layer_sizes": (
        lambda value: (
            isinstance(value, list)
            and 2 <= len(value) <= _MOST_LAYERS + 1
            and all(map(_is_count, value))
        ),
        f"the sizes of at most {_MOST_LAYERS:,} layers, each at least 1",
    ),
    "width": (_is_width, f"1 to {_WIDEST:,}"),
    "target": (_is_target, "the name, mean and scale of what is predicted, or null"),
    "elsewhere": (_is_list_of(_is_dict), "a list of environments"),
    "plan": (_is_plan, "rungs that rise, and groups of settings with a width"),
}
