"""A study's numbers as tables have them: one run, and means over several."""

import jax
import numpy as np

from jaxcls.cli.number_result import (
    in_unit_scores,
    number_json,
    number_table,
    summary_json,
)
from jaxcls.comparisons import SplitSummary, honest_interval
from jaxcls.metrics import Metrics
from jaxcls.regression import Target
from jaxcls.scores import Summary, summary
from jaxcls.study.engine import Runs


def status(runs: Runs, row: int, num_steps: int) -> str:
    """How a run ended: ok, or where it diverged."""
    if runs.finite[row]:
        return "ok"
    first = int(runs.first_nonfinite_step[row])
    if first < 0:
        return "diverged after the last step"
    epoch, step = divmod(first, num_steps)
    return f"diverged at step {step + 1} of epoch {epoch + 1}"


def scores_of(runs: Runs, part: str, rows: int | np.ndarray) -> Metrics:
    """The scores that some runs have of one set."""
    return jax.tree.map(lambda leaf: np.asarray(leaf)[rows], runs.scores[part])


def numbers(part: str, scores: Metrics, target: Target | None = None) -> dict:
    """A run's scores of one set, as a table has them; what is not finite is empty."""
    found = {"loss": float(scores.loss)}
    if target is None:
        found |= {"accuracy": float(scores.accuracy), "correct": int(scores.correct)}
    else:
        found |= {
            name: float(each) for name, each in in_unit_scores(scores, target).items()
        }
    return {
        f"{part}_{name}": value if np.isfinite(value) else ""
        for name, value in found.items()
    }


def summaries(scores: Metrics, target: Target | None = None) -> dict[str, dict]:
    """Mean, spread, interval and range of some runs' losses, and of their accuracies or errors."""
    loss = {"loss": summary_json(summary(scores.loss))}
    if target is not None:
        return loss | {
            name: number_json(name, values, summary)
            for name, values in in_unit_scores(scores, target).items()
        }
    return loss | {
        "accuracy": accuracy_json(
            summary(scores.accuracy), int(np.min(np.asarray(scores.count)))
        ),
    }


def accuracy_json(values: Summary | SplitSummary, count: int) -> dict:
    """`summary_json` of accuracies, each over so many examples, with an interval that they allow.

    It lies within 0 and 1, and is not narrower than an example's share: runs that agree to the
    digit don't tell more.
    """
    if not np.isnan(values.low):
        low, high = honest_interval(values.low, values.high, values.mean, count)
        values = values._replace(low=low, high=high)
    return summary_json(values)


def table(parts: dict[str, dict]) -> list[str]:
    """A line for each set's accuracies, of their `summaries`; of numbers one for each score.

    >>> scores = Metrics(np.ones(2), np.array([5, 7]), np.array([10, 10]))
    >>> print(*table({"test": summaries(scores)}), sep="\\n")
                           mean     std  95% interval      range
    test accuracy        0.6000  0.1414  0.0000 to 1.0000  0.5000 to 0.7000
    """
    if not all("accuracy" in scores for scores in parts.values()):
        return number_table(parts)
    lines = [f"{'':20} {'mean':>6} {'std':>7}  {'95% interval':16}  range"]
    for part, scores in parts.items():
        each = scores["accuracy"]
        spread = "  none  of one alone      "
        if each["std"] is not None and each["low"] is None:
            spread = f"{each['std']:.4f}  of shared rows  "
        elif each["std"] is not None:
            spread = f"{each['std']:.4f}  {each['low']:.4f} to {each['high']:.4f}"
        lines.append(
            f"{part + ' accuracy':20} {each['mean']:.4f}  {spread}  "
            f"{each['least']:.4f} to {each['greatest']:.4f}"
        )
    return lines
