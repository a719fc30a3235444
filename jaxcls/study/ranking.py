"""How settings compare: means over their seeds on the validation set, best first."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jax.typing import ArrayLike

from jaxcls.comparisons import honest_interval, split_summary
from jaxcls.scores import Summary, accuracy_interval, summary
from jaxcls.study.engine import Runs
from jaxcls.study.rows import SplitRows

FACTOR = 3  # of epochs from rung to rung, and of settings the other way


class Outcome(NamedTuple):
    """What came of one setting.

    Attributes:
        setting: its number.
        rung: the last rung that it was trained in.
        runs: leaves [seeds], or of splits [splits x seeds].
        loss: of the chosen params on the validation set, over the seeds that did not diverge.
        accuracy: likewise; the interval of a single seed is that of its counts (Wilson's). NaN of
            a likelihood without classes.
    """

    setting: int
    rung: int
    runs: Runs
    loss: Summary
    accuracy: Summary

    @property
    def num_diverged(self) -> int:
        """Seeds whose loss or params were no longer finite."""
        return int(np.sum(~np.asarray(self.runs.finite)))


def outcome_of(
    setting: int, rung: int, runs: Runs, splits: SplitRows | None = None
) -> Outcome:
    """What came of a setting, whose runs [seeds] were trained in this rung.

    Where they have splits, intervals allow for the rows that these share.
    """
    finite = np.asarray(runs.finite)
    scores = runs.scores["validation"]
    none = Summary(*[math.nan] * len(Summary._fields))
    if not finite.any():
        return Outcome(setting, rung, runs, none, none)
    if splits is not None:
        of_all = (
            _over_splits(np.asarray(values), finite, splits)
            for values in (scores.loss, scores.accuracy)
        )
        loss, accuracy = of_all
        return Outcome(setting, rung, runs, loss, _honest(accuracy, scores.count))
    loss = summary(np.asarray(scores.loss)[finite])
    if scores.correct is None:
        return Outcome(setting, rung, runs, loss, none)
    accuracy = summary(np.asarray(scores.accuracy)[finite])
    if len(finite) == 1:
        correct, count = np.ravel(scores.correct)[0], np.ravel(scores.count)[0]
        low, high = accuracy_interval(correct, count)
        accuracy = accuracy._replace(low=low, high=high)
    return Outcome(setting, rung, runs, loss, _honest(accuracy, scores.count))


def _honest(accuracy: Summary, counts: ArrayLike) -> Summary:
    """With an interval within 0 and 1, and no narrower than an example's share."""
    if math.isnan(accuracy.low):
        return accuracy
    fewest = max(1, int(np.min(np.asarray(counts))))  # weights may sum to less
    low, high = honest_interval(accuracy.low, accuracy.high, accuracy.mean, fewest)
    return accuracy._replace(low=low, high=high)


def _over_splits(values: np.ndarray, finite: np.ndarray, splits: SplitRows) -> Summary:
    """A summary of values of each split and seed, by the means of the splits that have one."""
    shape = (-1, splits.num_seeds)
    means = [
        [row[ok].mean(dtype=np.float64)]
        for row, ok in zip(values.reshape(shape), finite.reshape(shape), strict=True)
        if ok.any()
    ]
    found = split_summary(np.array(means), splits.ratio)._asdict()
    return Summary(**{name: found[name] for name in Summary._fields})


def ranked(outcomes: Sequence[Outcome], monitor: str) -> list[Outcome]:
    """From best to worst, by the validation set's "loss" or "accuracy"."""

    def merit(outcome: Outcome) -> tuple:
        loss, accuracy = outcome.loss.mean, -outcome.accuracy.mean
        values = (loss, accuracy) if monitor == "loss" else (accuracy, loss)
        values = np.nan_to_num(values, nan=np.inf).tolist()
        return outcome.num_diverged, values, outcome.setting

    return sorted(outcomes, key=merit)


def survivors(outcomes: Sequence[Outcome]) -> tuple[int, ...]:
    """The settings that go on to the next rung: the better third, and none that diverged."""
    most = math.ceil(len(outcomes) / FACTOR)
    sound = [each.setting for each in outcomes if not each.num_diverged]
    return tuple(sorted(sound[:most]))
