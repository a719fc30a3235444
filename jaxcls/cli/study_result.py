"""What comes of several seeds: a table, a history, their ensemble, and `metrics.json`."""

import dataclasses
from collections.abc import Sequence
from typing import cast

import jax
import numpy as np

from jaxcls.cli.calibrating import (
    as_kept,
    calibrated,
    calibration_lines,
    calibration_of_validation,
)
from jaxcls.cli.data import Data
from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.number_result import ensemble_lines as number_ensemble_lines
from jaxcls.cli.numbers import numbers, scores_of, status, summaries, table
from jaxcls.cli.screen import ensemble_lines
from jaxcls.epochs import History
from jaxcls.regression import Target
from jaxcls.runs import (
    Run,
    RunFolder,
    described,
    ensemble_scores,
)
from jaxcls.runs.records import SETS, history_columns, metrics_record
from jaxcls.study.engine import Runs

_MOST_LINES = 2000  # of history.jsonl


def rows(
    seeds: range | list[int],
    runs: Runs,
    num_steps: Sequence[int],
    target: Target | None = None,
) -> list[dict]:
    """A line of `seeds.csv` for each run, of so many steps an epoch."""
    return [
        {
            "seed": seed,
            "status": status(runs, row, num_steps[row]),
            "epochs_done": int(runs.epochs[row]),
            "chosen_epoch": int(runs.chosen_epoch[row]),
        }
        | {
            name: value
            for part in SETS
            if part in runs.scores
            for name, value in numbers(part, scores_of(runs, part, row), target).items()
        }
        for row, seed in enumerate(seeds)
    ]


def write_result(
    folder: RunFolder,
    config: dict,
    environment: dict,
    data: Data,
    seeds: range | list[int],
    runs: Runs,
    seconds: dict[str, float],
    *,
    flags: TrainFlags | None = None,
) -> dict:
    """Writes the history, the ensemble of the runs that did not diverge, and `metrics.json`.

    Args:
        folder: to write to.
        config: the content of its `config.json`.
        environment: device and versions.
        data: all of them.
        seeds: S of them.
        runs: leaves [S, ...], with histories and params.
        seconds: how long the parts took.
        flags: by which the ensemble's probabilities are calibrated; None of a sweep.

    Returns:
        The content of `metrics.json`.

    Raises:
        FloatingPointError: every run diverged.
        OSError: a file can't be written.
    """
    model, finite = model_of(config, seeds, runs)
    scores = {
        name: summaries(scores_of(runs, name, finite), model.target)
        for name in runs.scores
    }
    if config["flags"].get("folds") or config["flags"].get("resplit"):
        without_intervals(scores)
    record = None
    if flags is not None:
        record = calibration_of_validation(flags, model, data.validation)
        model = calibrated(model, record)
    test = data.test
    together = ensemble_scores(model, test.features, test.targets)
    more = {"ensemble": {"test": together}} | as_kept(record)
    return write_all(
        *(folder, config, environment, data, seeds, runs, seconds),
        model=model,
        scores=scores,
        more=more,
    )


def write_all(
    folder: RunFolder,
    config: dict,
    environment: dict,
    data: Data,
    seeds: Sequence[int],
    runs: Runs,
    seconds: dict[str, float],
    *,
    model: Run,
    scores: dict[str, dict],
    more: dict,
) -> dict:
    """Writes the history, the ensemble and `metrics.json`, whose content it returns.

    Args:
        folder, config, environment, data, seeds, runs, seconds: as of `write_result`.
        model: the ensemble, of `model_of`.
        scores: of each set, by its name.
        more: what `metrics.json` holds besides.
    """
    folder.write_history(_history(runs))
    chosen = how_chosen(model, runs, finite_runs(runs, seeds))
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
            **more,
        },
    )
    folder.write_result(metrics, chosen["epoch"], model.params, None)
    return metrics


def model_of(config: dict, seeds: Sequence[int], runs: Runs) -> tuple[Run, np.ndarray]:
    """The ensemble of the runs that did not diverge, and their places.

    Raises:
        FloatingPointError: every run diverged.
    """
    finite = finite_runs(runs, seeds)
    model = dataclasses.replace(
        described(config),
        params=jax.tree.map(lambda leaf: leaf[finite], runs.params),
        seeds=tuple(seeds[row] for row in finite.tolist()),
    )
    return model, finite


def without_intervals(scores: dict[str, dict]) -> None:
    """Takes Student's intervals off summaries: they don't allow for rows that runs share."""
    for each in scores.values():
        for of_all in each.values():
            of_all |= {"low": None, "high": None}


def finite_runs(runs: Runs, seeds: Sequence[int]) -> np.ndarray:
    """The places of runs that did not diverge; FloatingPointError if all did."""
    finite = np.flatnonzero(runs.finite)
    if len(finite) == 0:
        raise FloatingPointError(
            f"each of the {len(seeds)} runs diverged; try a smaller learning_rate, a clip_norm, "
            "or features that are scaled."
        )
    return finite


def how_chosen(model: Run, runs: Runs, finite: np.ndarray) -> dict:
    """Which params are scored, and how they were chosen, as `metrics.json` has it."""
    monitor = model.config.monitor
    return {
        "params": "last" if monitor is None else "best",
        "epoch": int(runs.chosen_epoch[finite].max()),
        "by": None if monitor is None else f"validation {monitor}",
        "epochs_done": int(runs.epochs.max()),
        "stopped_by": stopped_by(np.asarray(runs.epochs), model.config.epochs),
        "seeds": model.seeds,
    }


def stopped_by(epochs_done: np.ndarray, epochs: int) -> str:
    """What ended the runs, where some may have ended otherwise than others.

    >>> stopped_by(np.array([3, 7]), 7)
    'patience or epochs'
    """
    early = epochs_done < epochs
    if early.all():
        return "patience"
    return "patience or epochs" if early.any() else "epochs"


def result_lines(metrics: dict) -> list[str]:
    """A table of accuracies, the ensemble's, and which seeds diverged."""
    lines = table({part: metrics[part] for part in SETS if metrics[part]})
    if len(metrics["chosen"]["seeds"]) > 1:
        together = metrics["ensemble"]["test"]
        of_classes = "accuracy" in together
        lines += (ensemble_lines if of_classes else number_ensemble_lines)(together)
    lines += calibration_lines(metrics.get("calibration"), metrics["classes"])
    return lines + diverged_lines(metrics)


def diverged_lines(metrics: dict) -> list[str]:
    """Which seeds diverged, if any did."""
    if not metrics["diverged"]:
        return []
    seeds = " ".join(map(str, metrics["diverged"]))
    return [f"{'diverged':15} seeds {seeds}, which are left out"]


def _history(runs: Runs) -> list[dict]:
    """A line per epoch, with a number per run; null where it had stopped or diverged.

    Of more than `_MOST_LINES` epochs it has so many, evenly spaced, and the last.
    """
    history = cast(History, runs.history)
    columns = history_columns(history)
    last = int(runs.epochs.max())
    every = -(-last // _MOST_LINES)
    epochs = sorted({*range(every, last + 1, every), last}) if last else []
    return [
        {"epoch": epoch}
        | {
            name: [
                float(value) if np.isfinite(value) else None
                for value in column[:, epoch - 1]
            ]
            for name, column in columns.items()
        }
        for epoch in epochs
    ]
