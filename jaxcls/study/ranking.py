"""How settings compare: means over their seeds on the validation set, best first."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcls.scores import Summary, accuracy_interval, summary
from jaxcls.study.engine import Runs

FACTOR = 3  # of epochs from rung to rung, and of settings the other way


class Outcome(NamedTuple):
    """What came of one setting.

    Attributes:
        setting: its number.
        rung: the last rung that it was trained in.
        runs: leaves [seeds].
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


def outcome_of(setting: int, rung: int, runs: Runs) -> Outcome:
    """What came of a setting, whose runs [seeds] were trained in this rung."""
    finite = np.asarray(runs.finite)
    scores = runs.scores["validation"]
    none = Summary(*[math.nan] * len(Summary._fields))
    if not finite.any():
        return Outcome(setting, rung, runs, none, none)
    loss = summary(np.asarray(scores.loss)[finite])
    if scores.correct is None:
        return Outcome(setting, rung, runs, loss, none)
    accuracy = summary(np.asarray(scores.accuracy)[finite])
    if len(finite) == 1:
        correct, count = np.ravel(scores.correct)[0], np.ravel(scores.count)[0]
        low, high = accuracy_interval(correct, count)
        accuracy = accuracy._replace(low=low, high=high)
    return Outcome(setting, rung, runs, loss, accuracy)


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
