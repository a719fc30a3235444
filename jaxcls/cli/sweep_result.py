"""What comes of a sweep: tables, the winner, and an ensemble of the best runs."""

import dataclasses
from pathlib import Path

import jax
import numpy as np

from jaxcls.cli.job import about
from jaxcls.cli.screen import ensemble_lines, show
from jaxcls.cli.seeds import result_lines, write_result
from jaxcls.cli.space import flags_of
from jaxcls.cli.sweep_tables import member_rows, ranked_lines, setting_rows
from jaxcls.cli.sweep_task import Task
from jaxcls.cli.table_splits import with_one_preparation
from jaxcls.runs import (
    ENSEMBLE,
    WINNER,
    RunFolder,
    remove_blocks,
)
from jaxcls.runs.records import as_json
from jaxcls.study import sweep
from jaxcls.study.engine import Runs
from jaxcls.study.ranking import FACTOR, Outcome
from jaxcls.study.sweep import Plan
from jaxcls.training import evaluate

_ENSEMBLE = 5  # runs


def train_again(task: Task, outcomes: list[Outcome]) -> dict[int, Runs]:
    """The runs of the winner, and of those settings that share the best runs, with their params."""
    if outcomes[0].num_diverged:
        return {}
    wanted = {outcomes[0].setting} | {
        setting for setting, _ in _best_runs(task, outcomes)
    }
    return sweep.run_again(
        task.plan,
        outcomes,
        sorted(wanted),
        task.batches["train"],
        task.batches.get("validation"),
        devices=task.devices,
    )


def _best_runs(task: Task, outcomes: list[Outcome]) -> list[tuple[int, int]]:
    """Setting and row of the best runs of the last rung whose networks are of one shape."""
    plan, best = task.plan, outcomes[0]
    shape = plan.settings[best.setting].config.layer_sizes
    if plan.splits is not None:
        return []  # whose losses are of other rows each: one might win by an easy fold
    by_loss, found = task.flags.monitor == "loss", []
    for outcome in outcomes:
        config = plan.settings[outcome.setting].config
        if outcome.rung == best.rung and config.layer_sizes == shape:
            scores = outcome.runs.scores["validation"]
            merits = np.asarray(
                scores.loss if by_loss else -np.asarray(scores.accuracy)
            )
            found += [
                (merits[row], outcome.setting, row)
                for row in np.flatnonzero(outcome.runs.finite).tolist()
            ]
    return [(setting, row) for _, setting, row in sorted(found)[:_ENSEMBLE]]


def write_sweep(
    task: Task,
    folder: RunFolder,
    outcomes: list[Outcome],
    kept: dict[int, Runs],
    seconds: dict[str, float],
) -> None:
    """Writes the tables, and then the winner and the ensemble as run folders of their own."""
    plan = task.plan
    counts = [len(task.batches["train"].targets)] * len(plan.seeds)
    if plan.splits is not None:
        counts = [len(rows) for rows in plan.splits.rows["train"]]
    table = setting_rows(plan, task.values, outcomes)
    folder.write_table("sweep.csv", table)
    folder.write_table("members.csv", member_rows(plan, outcomes, counts))
    show(*ranked_lines(task.values, outcomes, task.flags.monitor))
    if not kept:
        raise FloatingPointError(
            f"in each of the {len(table)} settings a run diverged, as sweep.csv tells; try smaller "
            "learning rates, or features that are scaled."
        )
    best = outcomes[0].setting
    seeds = list(plan.seeds)
    won = _write_runs(task, folder.here() / WINNER, best, seeds, kept[best], seconds)
    count = f"{len(seeds)} runs" if len(seeds) > 1 else "one run"
    show(f"winner          setting {best}, {count}:")
    show(*result_lines(won))
    if picks := _best_runs(task, outcomes):
        _write_best(task, folder, best, picks, kept, seconds)
    folder.write_sweep_result(
        {
            "winner": {"setting": best, "values": as_json(task.values[best])},
            "num_settings": len(task.values),
            "num_runs": num_runs(plan),
            "config": task.config,
            "seconds": seconds,
        }
    )
    remove_blocks(folder.here())
    show(f"sweep folder    {folder.path}")


def _write_best(
    task: Task,
    folder: RunFolder,
    best: int,
    picks: list[tuple[int, int]],
    kept: dict[int, Runs],
    seconds: dict[str, float],
) -> None:
    """Writes the best runs as one ensemble, and shows it."""
    runs = jax.tree.map(
        lambda *leaves: np.stack(leaves),
        *(
            jax.tree.map(lambda leaf, row=row: leaf[row], kept[each])
            for each, row in picks
        ),
    )
    together = _write_runs(
        task,
        folder.here() / ENSEMBLE,
        best,
        [task.plan.seeds[row] for _, row in picks],
        runs,
        seconds,
        {"settings": [setting for setting, _ in picks]},
    )
    if len(picks) > 1:
        show(f"the best {len(picks)} runs of that shape, whatever their settings:")
        show(*ensemble_lines(together["ensemble"]["test"]))


def _write_runs(
    task: Task,
    path: Path,
    setting: int,
    seeds: list[int],
    runs: Runs,
    seconds: dict[str, float],
    also: dict | None = None,
) -> dict:
    """Scores runs on the test set, and writes them as a run folder; gives its metrics."""
    flags = flags_of(task.values[setting], task.base)
    flags = dataclasses.replace(flags, report_every=None, checkpoint_every=None)
    config, hyperparams = task.plan.settings[setting]
    job = task.job._replace(config=config, hyperparams=hyperparams)
    told = about(flags, job, task.config["device"]) | (also or {})
    if len(task.plan.seeds) > 1:
        told["width"] = next(
            each.width for each in task.plan.groups if setting in each.settings
        )
    splits = task.plan.splits
    if task.pool is not None and splits is not None and runs.params is not None:
        of_splits = [row // splits.num_seeds for row in range(len(seeds))]
        params = with_one_preparation(runs.params, task.pool, of_splits)
        runs = runs._replace(params=params)
    tests = [
        jax.device_get(evaluate(params, task.batches["test"], config=config))
        for params in (
            jax.tree.map(lambda leaf, row=row: leaf[row], runs.params)
            for row in range(len(seeds))
        )
    ]
    scores = runs.scores | {
        "test": jax.tree.map(lambda *leaves: np.stack(leaves), *tests)
    }
    runs = runs._replace(scores=scores)
    environment = {name: told[name] for name in ("device", "versions")}
    with RunFolder(path) as folder:
        folder.clear(overwrite=True)
        folder.write_config(told)
        return write_result(
            folder, told, environment, task.job.data, seeds, runs, seconds
        )


def num_runs(plan: Plan) -> int:
    """Runs of all rungs, if none diverges."""
    counts = [len(plan.settings)]
    for _ in plan.rungs[1:]:
        counts.append(-(-counts[-1] // FACTOR))
    return sum(counts) * len(plan.seeds)
