"""What came of runs over folds or resplits: predictions of rows held out, scores, spread."""

import dataclasses
from collections.abc import Iterator, Sequence
from functools import partial
from typing import cast

import jax
import numpy as np
from jax.typing import ArrayLike

from jaxcls.cli.calibrating import (
    HeldOut,
    as_kept,
    asks_for_examples,
    calibration_lines,
    calibration_record,
)
from jaxcls.cli.data import Data
from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.number_result import (
    finite_or_none,
    in_unit_scores,
    number_json,
    number_line,
    number_table,
    summary_json,
)
from jaxcls.cli.numbers import accuracy_json, scores_of, summaries
from jaxcls.cli.splits import Plan, split_columns
from jaxcls.cli.study_result import (
    diverged_lines,
    model_of,
    without_intervals,
    write_all,
)
from jaxcls.cli.table_splits import Pool, with_one_preparation
from jaxcls.comparisons import split_summary
from jaxcls.data import Dataset
from jaxcls.data.splits import Splits
from jaxcls.metrics import confusion
from jaxcls.regression import Target, values_alone
from jaxcls.runs import Run, RunFolder
from jaxcls.runs.number_scoring import SCORES, in_unit
from jaxcls.scores import accuracy_interval
from jaxcls.study.engine import Runs

_OF_INTERVALS = f"{'interval':20} by Nadeau and Bengio, for trainings that share rows"
_BY_OTHERS = "each predicted by runs that did not train on it"


def write_split_result(
    folder: RunFolder,
    config: dict,
    environment: dict,
    data: Data,
    plan: Plan,
    flags: TrainFlags,
    seeds: Sequence[int],
    runs: Runs,
    seconds: dict[str, float],
    *,
    pool: Pool | None,
) -> dict:
    """Writes the history, predictions of rows held out, the ensemble of all, and `metrics.json`.

    Args:
        folder: to write to.
        config: the content of its `config.json`.
        environment: device and versions.
        data: all of them; the test set is not looked at.
        plan: of the splits.
        flags: of the script.
        seeds: of the members.
        runs: leaves [members, ...], with histories and params.
        seconds: how long the parts took.
        pool: the training set as each split prepares it, or None where none does.

    Returns:
        The content of `metrics.json`.

    Raises:
        FloatingPointError: every run of a split diverged.
        OSError: a file can't be written.
    """
    model, finite = model_of(config, seeds, runs)
    guesses, record = _predictions(flags, model, data.train, plan, finite, pool)
    if pool is not None:
        splits = [plan.split_of(row) for row in finite.tolist()]
        one = with_one_preparation(model.params, pool, splits)
        model = dataclasses.replace(model, params=one)
    folder.write_table(
        "predictions.csv", _lines(guesses, data.train, plan, flags, pool)
    )
    held_out = _held_out if model.target is None else _held_out_numbers
    scores = {
        name: summaries(scores_of(runs, name, finite), model.target)
        for name in ("train", "validation")
        if name in runs.scores
    }
    without_intervals(scores)
    return write_all(
        *(folder, config, environment, data, seeds, runs, seconds),
        model=model,
        scores=scores,
        more={"held_out": held_out(guesses, data.train, plan, runs)} | as_kept(record),
    )


def _of_splits(
    model: Run, data: Dataset, plan: Plan, finite: np.ndarray, pool: Pool | None
) -> Iterator[tuple[Run, np.ndarray]]:
    """For each split its members, as one model, and the features of the rows that it held out."""
    if pool is not None:  # whose features are prepared already
        model = dataclasses.replace(model, standardization=None, takes_bytes=False)
    for split, rows in enumerate(plan.splits.test):
        places = [i for i, row in enumerate(finite) if plan.split_of(row) == split]
        if not places:
            raise FloatingPointError(
                f"each run of split {split + 1} diverged; try a smaller learning_rate, or a "
                "clip_norm."
            )
        own = dataclasses.replace(
            model,
            params=jax.tree.map(lambda leaf, at=places: leaf[at], model.params),
            seeds=tuple((model.seeds or ())[place] for place in places),
        )
        yield own, data.features[rows] if pool is None else pool.features(split, rows)


def _guesses(own: Run, features: np.ndarray) -> np.ndarray:
    """Class probabilities [N, K]; or, of numbers, mean and standard deviation [N, 2]."""
    if own.target is None:
        return own.predict_proba(features)
    moments = own.moments(features)
    return np.stack([moments.mean, moments.std], axis=1)


def _predictions(
    flags: TrainFlags,
    model: Run,
    data: Dataset,
    plan: Plan,
    finite: np.ndarray,
    pool: Pool | None,
) -> tuple[list[np.ndarray], dict | None]:
    """`_guesses` of each split, and what is learned of all of them, where the flags ask for it."""
    guesses, log_p = [], []
    for own, features in _of_splits(model, data, plan, finite, pool):
        guesses.append(_guesses(own, features))
        if asks_for_examples(flags):
            log_p.append(own.predict_log_proba(features))
    held = None
    if log_p:
        labels = data.targets[np.concatenate(plan.splits.test)]
        held = HeldOut(
            "rows held out", np.concatenate(guesses), np.concatenate(log_p), labels
        )
    return guesses, calibration_record(flags, held, data.class_names)


def _lines(
    guesses: list[np.ndarray],
    data: Dataset,
    plan: Plan,
    flags: TrainFlags,
    pool: Pool | None,
) -> list[dict]:
    """The lines of `predictions.csv`: each row of the training set that was held out.

    Rows of a table are numbered as in their file.
    """
    numbers = np.arange(len(data.targets)) if pool is None else pool.numbers
    return [
        {
            **split_columns(plan, flags, split * plan.num_seeds),
            "row": int(numbers[row]),
            **_line(data, data.targets[row], each),
        }
        for split, rows in enumerate(plan.splits.test)
        for row, each in zip(rows.tolist(), guesses[split], strict=True)
    ]


def _line(data: Dataset, target: np.ndarray, guess: np.ndarray) -> dict:
    """What a row is and what was predicted, with its probabilities or its spread."""
    if data.target is not None:
        mean, std = guess.tolist()
        # In float32 as it was learned, so that it is written as in the file.
        value = float(np.float32(in_unit(target, data.target)))
        return {"value": value, "prediction": mean, "std": std}
    return {
        "label": data.class_names[target],
        "prediction": data.class_names[int(guess.argmax())],
    } | {
        f"probability_of_{name}": share
        for name, share in zip(data.class_names, guess.tolist(), strict=True)
    }


def _by_split(scores: ArrayLike, plan: Plan, runs: Runs) -> np.ndarray:
    """Scores [J, S] of the members of each split; [J, 1], their mean, where some diverged."""
    shape = (len(plan.splits.test), plan.num_seeds)
    values = np.asarray(scores, np.float64).reshape(shape)
    finite = np.asarray(runs.finite).reshape(shape)
    if finite.all():
        return values
    rows = zip(values, finite, strict=True)
    return np.array([[row[ok].mean()] for row, ok in rows])


def _ratio(plan: Plan) -> float:
    # Those that are trained on are fewer by what validation takes.
    return Splits(tuple(plan.rows["train"]), tuple(plan.rows["test"])).ratio


def _held_out_numbers(
    guesses: list[np.ndarray], data: Dataset, plan: Plan, runs: Runs
) -> dict:
    """Loss, R squared, RMSE and MAE over splits, with intervals, and over all rows."""
    target, ratio = cast(Target, data.target), _ratio(plan)
    values = in_unit_scores(runs.scores["test"], target)
    losses = _by_split(runs.scores["test"].loss, plan, runs)
    over_splits = partial(split_summary, ratio=ratio)
    wanted = in_unit(data.targets[np.concatenate(plan.splits.test)], target)
    pooled = values_alone(np.concatenate(guesses)[:, 0], wanted)
    return {
        "ratio": ratio,
        "loss": summary_json(over_splits(losses)),
        **{
            name: number_json(name, _by_split(each, plan, runs), over_splits)
            for name, each in values.items()
        },
        "predictions": {
            "count": len(wanted),
            **dict(zip(SCORES, map(finite_or_none, pooled), strict=True)),
        },
    }


def _held_out(guesses: list[np.ndarray], data: Dataset, plan: Plan, runs: Runs) -> dict:
    """Loss and accuracy over splits, with intervals and parts of the spread, and over all rows."""
    held, ratio = runs.scores["test"], _ratio(plan)
    losses, accuracies = (
        _by_split(leaf, plan, runs) for leaf in (held.loss, held.accuracy)
    )
    spread = split_summary(accuracies, ratio)
    predicted = np.concatenate([each.argmax(axis=1) for each in guesses])
    labels = data.targets[np.concatenate(plan.splits.test)]
    counts = confusion(predicted, labels, len(data.labels))
    correct, count = int(np.trace(counts)), int(counts.sum())
    # A row that is predicted again and again is one example.
    distinct = len(np.unique(np.concatenate(plan.splits.test)))
    return {
        "ratio": ratio,
        "loss": summary_json(split_summary(losses, ratio)),
        "accuracy": accuracy_json(spread, min(map(len, plan.splits.test))),
        "predictions": {
            "count": count,
            "correct": correct,
            "accuracy": correct / count,
            "accuracy_interval": accuracy_interval(
                round(correct * distinct / count), distinct
            ),
            "confusion": counts.tolist(),
        },
    }


def split_lines(metrics: dict) -> list[str]:
    """A table of accuracies, the parts of the spread, and what was predicted of rows held out."""
    if "accuracy" not in metrics["held_out"]:
        return _number_lines(metrics)
    train, held = metrics["train"]["accuracy"], metrics["held_out"]["accuracy"]
    lines = [f"{'':20} {'mean':>6} {'std':>7}  {'95% interval':16}  range"]
    for name, each in (("train", train), ("held-out", held)):
        std = "none  " if each["std"] is None else f"{each['std']:.4f}"
        # There is none of the training rows, which the runs share, and none of one split.
        interval = "" if name == "train" else "none"
        if each["low"] is not None:
            interval = f"{each['low']:.4f} to {each['high']:.4f}"
        lines.append(
            f"{name + ' accuracy':20} {each['mean']:.4f}  {std}  {interval:16}  "
            f"{each['least']:.4f} to {each['greatest']:.4f}"
        )
    # Of accuracies alone: no other score was measured.
    lines.append(
        f"{_OF_INTERVALS}; of folds of the digits it was wider than it need be "
        "(scripts/coverage.py)"
    )
    if held["std_of_seeds"] is not None:
        lines.append(
            f"{'spread':20} std {held['std_of_splits']:.4f} of splits, "
            f"{held['std_of_seeds']:.4f} of seeds"
        )
    pooled = metrics["held_out"]["predictions"]
    lines.append(
        f"{'rows held out':20} {pooled['accuracy']:.4f} ({pooled['correct']:,} of "
        f"{pooled['count']:,}), {_BY_OTHERS}"
    )
    lines += calibration_lines(metrics.get("calibration"), metrics["classes"])
    return lines + diverged_lines(metrics)


def _number_lines(metrics: dict) -> list[str]:
    held, train = metrics["held_out"], metrics["train"]
    pooled = held["predictions"]
    together = number_line("", pooled).strip()
    return [
        *number_table({"train": train, "held-out": held}),
        _OF_INTERVALS,
        f"{'rows held out':20} {together} ({pooled['count']:,} rows), {_BY_OTHERS}",
        *diverged_lines(metrics),
    ]
