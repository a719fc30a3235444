"""How well a run that predicts numbers does: in the target's unit, with intervals and bands."""

from typing import cast

import numpy as np

from jaxcls.ensembles import Moments
from jaxcls.regression import (
    Estimate,
    Target,
    coverage,
    regression_scores,
    values_alone,
)
from jaxcls.runs.trained import Features, Run
from jaxcls.scores import accuracy_interval

SCORES = ("r_squared", "rmse", "mae")


def number_scores(run: Run, features: Features, targets: np.ndarray) -> dict:
    """Every score of a run that predicts numbers, as plain numbers.

    Args:
        run: as `load_run` gives it.
        features: [N, ...], as `Run.moments` takes them.
        targets: [N] float32, standardised as in training.

    Returns:
        `count`; `r_squared`, `rmse` and `mae`, the last two in the target's unit, each with a 95%
        `..._interval`; `spread`, the root mean squares of what `Run.moments` tells, or None of one
        network that tells none; and `coverage`, the share of targets within the 95% bands, with
        its counts and interval, or None.

    Raises:
        ValueError: as of `Run.moments`.
    """
    moments = run.moments(features)
    wanted = in_unit(targets, cast(Target, run.target))
    scores = regression_scores(moments.mean, wanted)
    found: dict = {"count": len(targets)}
    for name in SCORES:
        found |= _named(name, getattr(scores, name))
    told = bool(moments.std.any())
    return found | {
        "spread": _spread(moments) if told else None,
        "coverage": _coverage(moments, wanted) if told else None,
    }


def number_ensemble_scores(run: Run, features: Features, targets: np.ndarray) -> dict:
    """An ensemble's scores beside those of its networks, each alone; see `number_scores`.

    Returns:
        `number_scores` of all together, `num_networks`, and `alone`: means over the networks.
    """
    members = run.members()
    wanted = in_unit(targets, cast(Target, run.target))
    alone = [values_alone(each.moments(features).mean, wanted) for each in members]
    return number_scores(run, features, targets) | {
        "num_networks": len(members),
        "alone": {
            name: _mean([each for each in of_all if not np.isnan(each)])
            for name, of_all in zip(SCORES, zip(*alone, strict=True), strict=True)
        },
    }


def in_unit(targets: np.ndarray, target: Target) -> np.ndarray:
    """Standardised targets [N] as they were measured, float64."""
    return target.mean + target.scale * np.asarray(targets, np.float64)


def _named(name: str, each: Estimate) -> dict:
    value, low, high = (None if np.isnan(number) else number for number in each)
    return {
        name: value,
        f"{name}_interval": None if low is None or high is None else [low, high],
    }


def _mean(values: list[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _spread(moments: Moments) -> dict[str, float]:
    return {
        name: float(np.sqrt(np.mean(np.square(getattr(moments, name)))))
        for name in ("std", "within", "between")
    }


def _coverage(moments: Moments, targets: np.ndarray) -> dict:
    inside, count = coverage(moments.mean, moments.std, targets)
    return {
        "inside": inside,
        "count": count,
        "share": inside / count,
        "interval": list(accuracy_interval(inside, count)),
    }
