"""What came of runs over folds or resplits: predictions of rows held out, scores, spread."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.job import Data
from jaxcls.cli.numbers import accuracy_json, scores_of, summaries, summary_json
from jaxcls.cli.splits import Plan, split_columns
from jaxcls.cli.study_result import (
    model_of,
    without_intervals,
    write_all,
)
from jaxcls.cli.table_splits import Pool, with_one_preparation
from jaxcls.comparisons import split_summary
from jaxcls.data import Dataset
from jaxcls.data.splits import Splits
from jaxcls.metrics import confusion
from jaxcls.runs import Run, RunFolder
from jaxcls.scores import accuracy_interval
from jaxcls.study.engine import Runs


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
    guesses = _predictions(model, data.train, plan, finite, pool)
    if pool is not None:
        of_splits = [plan.split_of(row) for row in finite.tolist()]
        one = with_one_preparation(model.params, pool, of_splits)
        model = dataclasses.replace(model, params=one)
    folder.write_table(
        "predictions.csv", _lines(guesses, data.train, plan, flags, pool)
    )
    scores = {
        name: summaries(scores_of(runs, name, finite))
        for name in ("train", "validation")
        if name in runs.scores
    }
    without_intervals(scores)
    return write_all(
        *(folder, config, environment, data, seeds, runs, seconds),
        model=model,
        scores=scores,
        more={"held_out": _held_out(guesses, data.train, plan, runs)},
    )


def _predictions(
    model: Run, data: Dataset, plan: Plan, finite: np.ndarray, pool: Pool | None
) -> list[np.ndarray]:
    """For each split the class probabilities [N, K] of its rows, by the mean of its members."""
    found = []
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
        features = data.features[rows]
        if pool is not None:
            features = pool.features(split, rows)
        found.append(own.predict_proba(features))
    return found


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
            "label": data.class_names[data.targets[row]],
            "prediction": data.class_names[int(each.argmax())],
        }
        | {
            f"probability_of_{name}": float(share)
            for name, share in zip(data.class_names, each, strict=True)
        }
        for split, rows in enumerate(plan.splits.test)
        for row, each in zip(rows.tolist(), guesses[split], strict=True)
    ]


def _held_out(guesses: list[np.ndarray], data: Dataset, plan: Plan, runs: Runs) -> dict:
    """Loss and accuracy over splits, with intervals and parts of the spread, and over all rows."""
    shape = (len(plan.splits.test), plan.num_seeds)
    finite = np.asarray(runs.finite).reshape(shape)
    held = runs.scores["test"]
    losses, accuracies = (
        np.asarray(leaf, np.float64).reshape(shape)
        for leaf in (held.loss, held.accuracy)
    )
    if not finite.all():  # the mean of those of its split that did not diverge
        losses, accuracies = (
            np.array([[row[ok].mean()] for row, ok in zip(values, finite, strict=True)])
            for values in (losses, accuracies)
        )
    # Those that are trained on are fewer by what validation takes.
    ratio = Splits(tuple(plan.rows["train"]), tuple(plan.rows["test"])).ratio
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
    lines.append(
        f"{'interval':20} by Nadeau and Bengio, for trainings that share rows; of folds of the "
        "digits it was wider than it need be (scripts/coverage.py)"
    )
    if held["std_of_seeds"] is not None:
        lines.append(
            f"{'spread':20} std {held['std_of_splits']:.4f} of splits, "
            f"{held['std_of_seeds']:.4f} of seeds"
        )
    pooled = metrics["held_out"]["predictions"]
    lines.append(
        f"{'rows held out':20} {pooled['accuracy']:.4f} ({pooled['correct']:,} of "
        f"{pooled['count']:,}), each predicted by runs that did not train on it"
    )
    if metrics["diverged"]:
        lines.append(
            f"diverged        seeds {' '.join(map(str, metrics['diverged']))}, which are left out"
        )
    return lines
