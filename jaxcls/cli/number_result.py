"""Scores of predicted numbers, as tables and lines have them."""

from collections.abc import Callable

import numpy as np

from jaxcls.cli.screen import bounded
from jaxcls.comparisons import SplitSummary
from jaxcls.metrics import Metrics
from jaxcls.regression import Target
from jaxcls.runs.number_scoring import SCORES
from jaxcls.scores import Summary

_NAMES = dict(zip(SCORES, ("R squared", "RMSE", "MAE"), strict=True))


def in_unit_scores(scores: Metrics, target: Target) -> dict[str, np.ndarray]:
    """R squared, RMSE and MAE of metrics of standardised targets; arrays of their shape.

    R squared of targets that are all alike is NaN.

    >>> from jaxcls.metrics import Errors
    >>> metrics = Metrics(1.0, None, 4, Errors(squared=1.0, absolute=2.0, variation=4.0))
    >>> {name: float(each) for name, each in in_unit_scores(metrics, Target("y", 7, 10)).items()}
    {'r_squared': 0.75, 'rmse': 5.0, 'mae': 5.0}
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        squared = np.asarray(scores.mean_squared_error, np.float64)
        absolute = np.asarray(scores.mean_absolute_error, np.float64)
        r_squared = np.asarray(scores.r_squared, np.float64)
    r_squared = np.where(np.isfinite(r_squared), r_squared, np.nan)
    found = (r_squared, target.scale * np.sqrt(squared), target.scale * absolute)
    return dict(zip(SCORES, found, strict=True))


def number_line(part: str, scores: dict) -> str:
    """The scores of one set, with intervals where there are some.

    >>> number_line("train", {"r_squared": 0.5, "rmse": 55.123, "mae": 40.0})
    'train           R squared 0.5000, RMSE 55.12, MAE 40.00'
    """
    shown = []
    for name, title in _NAMES.items():
        ends = scores.get(f"{name}_interval")
        interval = "" if ends is None else f" ({_shown(ends[0])} to {_shown(ends[1])})"
        shown.append(f"{title} {_shown(scores[name])}{interval}")
    return f"{part:15} {', '.join(shown)}"


def band_lines(scores: dict) -> list[str]:
    """How wide the 95% bands are, of what they are made, and how many targets they hold.

    >>> spread = {"std": 2.5, "within": 2.0, "between": 1.5}
    >>> inside = {"inside": 19, "count": 20, "share": 0.95, "interval": [0.76, 0.99]}
    >>> print(*band_lines({"spread": spread, "coverage": inside}), sep="\\n")
    spread          std 2.500, of which within members 2.000, between them 1.500
    95% bands       hold 0.9500 of the targets (19 of 20; 95% interval 0.7600 to 0.9900)
    """
    if scores["spread"] is None:
        return []
    spread, held = scores["spread"], scores["coverage"]
    low, high = held["interval"]
    told = ""
    if not spread["within"]:
        told = "; of disagreement alone, --likelihood normal learns the noise, too"
    return [
        f"{'spread':15} std {_shown(spread['std'])}, of which within members "
        f"{_shown(spread['within'])}, between them {_shown(spread['between'])}",
        f"{'95% bands':15} hold {held['share']:.4f} of the targets ({held['inside']:,} of "
        f"{held['count']:,}; 95% interval {low:.4f} to {high:.4f}){told}",
    ]


def ensemble_lines(scores: dict) -> list[str]:
    """An ensemble's scores, those of its networks on average, and its bands."""
    name = f"ensemble of {scores['num_networks']}"
    return [
        number_line(name, scores),
        number_line("alone, on mean", scores["alone"]),
        *band_lines(scores),
    ]


def number_table(parts: dict[str, dict]) -> list[str]:
    """A line for each set's R squared, RMSE and MAE, of their summaries over several runs."""
    lines = [f"{'':20} {'mean':>9}  {'std':>9}  {'95% interval':22}  range"]
    for part, scores in parts.items():
        for name, title in _NAMES.items():
            each = scores[name]
            interval = "none"
            if each["std"] is not None and each["low"] is None:
                interval = "of shared rows"
            elif each["low"] is not None:
                interval = f"{_shown(each['low'])} to {_shown(each['high'])}"
            lines.append(
                f"{part + ' ' + title:20} {_shown(each['mean']):>9}  "
                f"{_shown(each['std']):>9}  {interval:22}  "
                f"{_shown(each['least'])} to {_shown(each['greatest'])}"
            )
    return lines


def number_json(
    name: str,
    scores: np.ndarray,
    summarise: Callable[[np.ndarray], Summary | SplitSummary],
) -> dict[str, float | None]:
    """A summary of one of the scores by name, whose interval lies where the score can.

    Where a run has no such score, as R squared of targets that are all alike, all are None.
    """
    if not np.isfinite(scores).all():
        return summary_json(Summary(*[float("nan")] * len(Summary._fields)))
    values = summarise(scores)
    least, most = (-np.inf, 1.0) if name == "r_squared" else (0.0, np.inf)
    values = values._replace(
        low=max(values.low, least) if not np.isnan(values.low) else values.low,
        high=min(values.high, most) if not np.isnan(values.high) else values.high,
    )
    return summary_json(values)


def summary_json(values: Summary | SplitSummary) -> dict[str, float | None]:
    """By name; what one run alone does not tell is None."""
    return {
        name: None if np.isnan(value) else value
        for name, value in values._asdict().items()
    }


def finite_or_none(value: float) -> float | None:
    """As JSON can hold it."""
    return value if np.isfinite(value) else None


def _shown(value: float | None) -> str:
    return "none" if value is None else bounded(value)
