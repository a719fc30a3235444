"""A sweep's tables: a row for each setting, the best first, and a row for each run."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from jaxcls.batches import steps_of
from jaxcls.cli.numbers import numbers, scores_of, status
from jaxcls.cli.space import FLAGS, shown
from jaxcls.scores import Summary
from jaxcls.study.ranking import Outcome
from jaxcls.study.rows import SplitRows
from jaxcls.study.sweep import Plan

_SHOWN = 10  # settings on the screen


def setting_rows(
    plan: Plan, values: Sequence[dict[str, Any]], outcomes: Sequence[Outcome]
) -> list[dict]:
    """The rows of `sweep.csv`; a mean or an end of its 95% interval that there is none of is empty."""
    return [
        {"rank": rank, "setting": outcome.setting}
        | _named(values[outcome.setting])
        | {
            "status": _status(plan, outcome),
            "epochs": plan.rungs[outcome.rung],
            "seeds": len(plan.seeds),
            "diverged": outcome.num_diverged,
        }
        | _interval("validation_loss", outcome.loss)
        | _interval("validation_accuracy", outcome.accuracy)
        for rank, outcome in enumerate(outcomes, 1)
    ]


def member_rows(
    plan: Plan, outcomes: Sequence[Outcome], counts: Sequence[int]
) -> list[dict]:
    """The rows of `members.csv`: every run, which trained on so many examples, as its last rung left it."""
    return [
        {
            "setting": outcome.setting,
            **({} if plan.splits is None else _split(plan.splits, row)),
            "seed": seed,
            "status": status(
                outcome.runs,
                row,
                steps_of(counts[row], plan.settings[outcome.setting].config),
            ),
            "epochs": int(outcome.runs.epochs[row]),
            "chosen_epoch": int(outcome.runs.chosen_epoch[row]),
        }
        | numbers("train", scores_of(outcome.runs, "train", row))
        | numbers("validation", scores_of(outcome.runs, "validation", row))
        for outcome in sorted(outcomes, key=lambda each: each.setting)
        for row, seed in enumerate(plan.seeds)
    ]


def _split(splits: SplitRows, row: int) -> dict[str, int]:
    return {"split": row // splits.num_seeds + 1}


def ranked_lines(
    values: Sequence[dict[str, Any]], outcomes: Sequence[Outcome], monitor: str
) -> list[str]:
    """The best settings on the screen: their numbers, and what varies between them."""
    rows = [_named(each) for each in values]
    names = [name for name in rows[0] if len({row[name] for row in rows}) > 1]
    texts = [["setting", *names, f"validation {monitor}, its 95% interval", ""]]
    for outcome in outcomes[:_SHOWN]:
        summary = outcome.loss if monitor == "loss" else outcome.accuracy
        row = rows[outcome.setting]
        diverged = f"{outcome.num_diverged} diverged" if outcome.num_diverged else ""
        varied = [row[name] for name in names]
        texts.append([str(outcome.setting), *varied, _text(summary), diverged])
    widths = [max(map(len, column)) for column in zip(*texts, strict=True)]
    lines = [
        "  ".join(text.ljust(width) for text, width in zip(row, widths, strict=True))
        for row in texts
    ]
    if len(outcomes) > _SHOWN:
        lines.append(f"... and {len(outcomes) - _SHOWN:,} more in sweep.csv")
    return [line.rstrip() for line in lines]


def _named(values: dict[str, Any]) -> dict[str, str]:
    """A setting's values by the names of their flags."""
    return {
        flag: shown(name, values[name]) if name in values else ""
        for name, flag in FLAGS.items()
    }


def _status(plan: Plan, outcome: Outcome) -> str:
    if outcome.num_diverged:
        return "diverged"
    last = outcome.rung == len(plan.rungs) - 1
    return "ok" if last else f"dropped after {plan.rungs[outcome.rung]} epochs"


def _interval(name: str, summary: Summary) -> dict[str, float | str]:
    ends = {"": summary.mean, "_low": summary.low, "_high": summary.high}
    return {name + end: "" if np.isnan(value) else value for end, value in ends.items()}


def _text(summary: Summary) -> str:
    if np.isnan(summary.mean):
        return "none"
    if np.isnan(summary.low):
        return f"{summary.mean:.5f}"
    return f"{summary.mean:.5f} ({summary.low:.5f} to {summary.high:.5f})"
