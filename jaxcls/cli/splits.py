"""Folds and resplits on the command line: which rows each run has, and what came of them."""

import dataclasses
import hashlib
import math
from collections.abc import Sequence
from typing import NamedTuple

import jax
import numpy as np

from jaxcls.cli.flags import SweepFlags, TrainFlags
from jaxcls.cli.job import Data
from jaxcls.cli.numbers import accuracy_json, scores_of, summaries, summary_json
from jaxcls.cli.study_result import (
    how_chosen,
    model_of,
    without_intervals,
    write_histories,
)
from jaxcls.cli.table_splits import Pool, with_one_preparation
from jaxcls.comparisons import split_summary
from jaxcls.data import Dataset
from jaxcls.data.dataset import held_out
from jaxcls.data.splits import Splits, folds, resplits
from jaxcls.metrics import confusion
from jaxcls.runs import Run, RunFolder
from jaxcls.runs.records import metrics_record
from jaxcls.scores import accuracy_interval
from jaxcls.study.engine import Runs

HELD_OUT = 0.2  # of the training set, by --resplit
_MOST_BYTES = 2**31  # of the lists of rows


class Plan(NamedTuple):
    """The splits of a study, and its members: split by split, seed by seed.

    Attributes:
        splits: J of them.
        rows: by set, those of each of the J x S members.
        num_seeds: S, with each split.
    """

    splits: Splits
    rows: dict[str, list[np.ndarray]]
    num_seeds: int

    def split_of(self, member: int) -> int:
        """The number of a member's split."""
        return member // self.num_seeds


def num_splits(flags: TrainFlags | SweepFlags) -> int | None:
    """How many ways to split the flags ask for, or None where one set is trained on.

    Raises:
        ValueError: flags that do not go together, or a number that can't be.
    """
    if flags.folds is not None and flags.resplit is not None:
        raise ValueError("--folds and --resplit are two ways to split; give one.")
    if flags.repeats != 1 and flags.folds is None:
        raise ValueError(
            f"--repeats {flags.repeats} draws folds so many times; give --folds, or take --resplit."
        )
    for name, least in (("folds", 2), ("repeats", 1), ("resplit", 1)):
        value = getattr(flags, name)
        if value is not None and value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}.")
    if flags.folds is not None:
        return flags.folds * flags.repeats
    return flags.resplit


def plan_splits(flags: TrainFlags, data: Dataset) -> Plan | None:
    """The splits that the flags ask for, of the training set.

    Raises:
        ValueError: a class has too few examples.
    """
    if num_splits(flags) is None:
        return None
    _check_enough(flags, data)
    seed = flags.seed if flags.split_seed is None else flags.split_seed
    if flags.folds is not None:
        splits = folds(data.targets, flags.folds, seed, repeats=flags.repeats)
    else:
        splits = resplits(data.targets, flags.resplit or 0, HELD_OUT, seed)
    rows: dict[str, list[np.ndarray]] = {"train": [], "test": []}
    for train, test in zip(splits.train, splits.test, strict=True):
        parts = {"train": train, "test": test}
        if flags.validation_fraction:
            held = held_out(
                data.targets[train], data.labels, flags.validation_fraction, seed
            )
            parts |= {"train": train[~held], "validation": train[held]}
        for name, part in parts.items():
            rows.setdefault(name, []).extend([part] * flags.seeds)
    return Plan(splits, rows, flags.seeds)


def _check_enough(flags: TrainFlags, data: Dataset) -> None:
    """Raises ValueError where a part would lack a class, or there are too many parts."""
    size = 4 * (num_splits(flags) or 0) * len(data.targets)
    if size > _MOST_BYTES:
        raise ValueError(
            f"{num_splits(flags):,} splits of {len(data.targets):,} rows take {size / 1e9:,.1f} GB "
            "as lists of rows, and at most 2 GiB are taken; ask for fewer."
        )
    counts = np.bincount(data.targets, minlength=len(data.labels))
    name, fewest = data.class_names[counts.argmin()], counts.min()
    needed = 2 if flags.folds is None else flags.folds
    if fewest < needed:
        raise ValueError(
            f"class {name} has {fewest} training examples, and these splits need {needed} or more "
            "of each; ask for fewer folds, or leave the class out with --classes."
        )
    held = math.ceil(HELD_OUT * len(data.targets))
    if flags.folds is None and held < len(counts):
        raise ValueError(
            f"--resplit holds out a fifth of {len(data.targets)} examples, {held}, which can't hold "
            f"one of each of {len(counts)} classes; take --folds, or more examples."
        )


def digest_of_rows(rows: dict[str, list[np.ndarray]]) -> str:
    """SHA-256 of the rows of all members, by which a study knows its splits again."""
    sha256 = hashlib.sha256()
    for name, of_all in sorted(rows.items()):
        for each in of_all:
            sha256.update(f"{name}{len(each)}".encode() + each.astype("<i4").tobytes())
    return sha256.hexdigest()


def check_same_rows(before: dict, now: dict) -> None:
    """Raises ValueError where a study began with other splits than are drawn now.

    Both hold "sha256_of_rows" where there are splits.
    """
    if before.get("sha256_of_rows") != now.get("sha256_of_rows"):
        raise ValueError(
            "its splits were drawn otherwise, by another version of scikit-learn or NumPy; resume "
            "with that one, or start again."
        )


def describe(flags: TrainFlags | SweepFlags) -> str:
    """The splits in words."""
    if flags.folds is None:
        return f"{flags.resplit} times a fifth of the training set held out"
    times = f"{flags.repeats} times " if flags.repeats > 1 else ""
    return f"{times}{flags.folds} folds of the training set"


def split_columns(plan: Plan, flags: TrainFlags, member: int) -> dict[str, int]:
    """What tells a member's split in `seeds.csv`, counted from 1."""
    split = plan.split_of(member)
    if flags.folds is None:
        return {"split": split + 1}
    return {"repeat": split // flags.folds + 1, "fold": split % flags.folds + 1}


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
        pool: a table's training set as each split prepares it, or None.

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
    write_histories(folder, runs)
    scores = {
        name: summaries(scores_of(runs, name, finite))
        for name in ("train", "validation")
        if name in runs.scores
    }
    without_intervals(scores)
    chosen = how_chosen(model, runs, finite)
    metrics = metrics_record(
        config,
        data.train.class_names,
        {name: len(part.targets) for name, part in data.parts().items()},
        chosen,
        scores,
        seconds,
        environment,
        {
            "diverged": [seeds[row] for row in np.flatnonzero(~runs.finite).tolist()],
            "held_out": _held_out(guesses, data.train, plan, runs),
        },
    )
    folder.write_result(metrics, chosen["epoch"], model.params, None)
    return metrics


def _predictions(
    model: Run, data: Dataset, plan: Plan, finite: np.ndarray, pool: Pool | None
) -> list[np.ndarray]:
    """For each split the class probabilities [N, K] of its rows, by the mean of its members."""
    found = []
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
