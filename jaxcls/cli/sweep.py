"""`scripts/sweep.py`: many settings with several seeds each, ranked, and the best one scored."""

import contextlib
import dataclasses
import hashlib
import json
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcls.batches import Batch, steps_per_epoch
from jaxcls.cli.compile_clock import CompileClock
from jaxcls.cli.device import choose_devices, describe
from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, SweepFlags, TrainFlags
from jaxcls.cli.job import Job, about, load_data, prepare, surroundings
from jaxcls.cli.keeping import Keeper
from jaxcls.cli.memory import memory_for_runs
from jaxcls.cli.parsing import read_flags, resolved
from jaxcls.cli.processes import (
    check_agreed,
    clear_if_alone,
    from_first,
    is_first,
    join,
)
from jaxcls.cli.resume import (
    check_data,
    check_new_run_flags,
    check_same_flags,
    opened,
    whole_metrics,
    with_its_past,
)
from jaxcls.cli.screen import ensemble_lines, note, show, sweep_header
from jaxcls.cli.seeds import check_seeds, result_lines, write_result
from jaxcls.cli.signals import StopRequest
from jaxcls.cli.space import base_flags, flags_of, settings_of
from jaxcls.cli.tables import member_rows, ranked_lines, setting_rows
from jaxcls.data import to_batch
from jaxcls.runs import (
    ENSEMBLE,
    WINNER,
    RunFolder,
    Shape,
    blocks_from_bytes,
    blocks_to_bytes,
    fitting,
    new_run_path,
    read_blocks,
    read_config,
    remove_blocks,
)
from jaxcls.runs.records import as_json
from jaxcls.study import sweep
from jaxcls.study.engine import Runs
from jaxcls.study.planning import memory_needed
from jaxcls.study.ranking import FACTOR, Outcome
from jaxcls.study.sweep import Done, Group, Plan
from jaxcls.training import evaluate

_ENSEMBLE = 5  # runs


class Task(NamedTuple):
    """A sweep that is ready to start.

    Attributes:
        flags: of the script.
        base: flags of a training script that all settings share.
        job: their data and settings, but for what is swept.
        values: of each setting, by name.
        plan: of the sweep.
        config: the content of `config.json`.
        devices: of all processes.
        batches: the data, by part.
    """

    flags: SweepFlags
    base: TrainFlags
    job: Job
    values: list[dict[str, Any]]
    plan: Plan
    config: dict
    devices: list[jax.Device]
    batches: dict[str, Batch]


def run(flags: SweepFlags) -> None:
    """Trains, ranks, scores and saves; or goes on with what the sweep's folder has.

    Args:
        flags: of the script.

    Raises:
        ValueError, TypeError, OSError, FloatingPointError: one sentence for the user.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the runs that were finished are in the folder.
    """
    start = time.perf_counter()
    _check(flags)
    join(flags)
    devices = choose_devices(flags.device)
    own = next(each for each in devices if each.process_index == jax.process_index())
    with CompileClock() as clock, jax.default_device(own), clear_if_alone():
        task = _prepare(flags, devices)
        with _opened(task) as (folder, done):
            if done is None:
                return
            training = time.perf_counter()
            outcomes = _train(task, folder, done)
            kept = _train_again(task, outcomes)
            if folder is None:
                return
            seconds = {
                "train": time.perf_counter() - training,
                "compile": clock.seconds(),
                "total": time.perf_counter() - start,
            }
            _write(task, folder, outcomes, kept, seconds)


def _check(flags: SweepFlags) -> None:
    check_new_run_flags(flags)
    check_seeds(flags.seed, flags.seeds)
    if not 0 < flags.validation_fraction < 1:
        raise ValueError(
            "validation_fraction must lie in (0, 1), since settings are ranked on what it holds "
            f"out, got {flags.validation_fraction}."
        )
    if flags.draws is not None and flags.draws < 1:
        raise ValueError(f"draws must be at least 1, got {flags.draws}.")
    if flags.memory is not None and not 0 < flags.memory < math.inf:
        raise ValueError(f"memory must be a positive number of GB, got {flags.memory}.")


def _prepare(flags: SweepFlags, devices: list[jax.Device]) -> Task:
    data = load_data(base_flags(flags, MulticlassFlags))
    two = len(data.train.labels) == 2
    base = resolved(base_flags(flags, BinaryFlags if two else MulticlassFlags))
    job = prepare(base, data)
    values, settings = settings_of(flags, job)
    batches = {name: to_batch(part) for name, part in data.parts().items()}
    if jax.process_count() == 1:
        devices = devices[: len(settings) * flags.seeds]  # no more than have work
    plan = sweep.plan(
        settings,
        range(flags.seed, flags.seed + flags.seeds),
        batches["train"],
        batches["validation"],
        halving=flags.halving,
        memory=memory_for_runs(devices) if flags.memory is None else flags.memory * 1e9,
        devices=devices,
    )
    config = surroundings(flags, data, describe(devices[0]))
    # By which a sweep, and every process of it, knows that it draws the same settings.
    tried = {
        "sha256_of_settings": hashlib.sha256(json.dumps(values).encode()).hexdigest()
    }
    if flags.resume is not None:
        before, _ = read_config(flags.resume)
        check_same_flags(read_flags(SweepFlags, before), flags)
        check_data(before, config)
        if before["plan"].get("sha256_of_settings") != tried["sha256_of_settings"]:
            raise ValueError(
                f"{flags.resume}: its settings were drawn otherwise, by another version or on "
                "another machine; go on there, or start anew."
            )
        plan = plan._replace(groups=_planned_groups(flags.resume, before, plan))
    groups = [group._asdict() for group in plan.groups]
    config["plan"] = as_json({"rungs": plan.rungs, "groups": groups}) | tried
    agreed = {
        name: config[name] for name in ("flags", "data_sha256", "plan", "versions")
    }
    agreed["flags"] = {**agreed["flags"], "data_dir": None}
    digest = hashlib.sha256(json.dumps(agreed, sort_keys=True).encode()).hexdigest()
    check_agreed("flags, data and versions", digest)
    return Task(flags, base, job, values, plan, config, devices, batches)


def _planned_groups(path: Path, before: dict, plan: Plan) -> tuple[Group, ...]:
    """The groups as the sweep began with them, so that the same digits come again."""
    kept = before["plan"]["groups"]
    groups = tuple(Group(tuple(each["settings"]), each["width"]) for each in kept)
    if [each.settings for each in groups] != [each.settings for each in plan.groups]:
        raise ValueError(
            f"{path}: was planned by another version of jaxcls; go on with that, or start anew."
        )
    return groups


@contextlib.contextmanager
def _opened(task: Task) -> Iterator[tuple[RunFolder | None, Done | None]]:
    """The sweep's folder, None where another process writes; and the runs that it has.

    The latter are None if there is nothing left to do. What went wrong in the process that
    writes is raised in all.
    """
    with contextlib.ExitStack() as stack:
        folder, done, problem = None, {}, b""
        if is_first():
            try:
                folder, done = _open(task, stack)
            except (ValueError, OSError) as error:
                problem = str(error).encode()
        problem = from_first(problem)
        if problem:
            raise ValueError(problem.decode())
        if from_first(b"finished" if done is None else b""):
            yield folder, None
            return
        yield folder, blocks_from_bytes(from_first(blocks_to_bytes(done or {})))


def _open(task: Task, stack: contextlib.ExitStack) -> tuple[RunFolder, Done | None]:
    flags = task.flags
    path = flags.resume or flags.output_dir or new_run_path(f"sweep-{_data_name(task)}")
    folder = stack.enter_context(opened(path))
    config = task.config
    if flags.resume is None:
        folder.clear(overwrite=flags.overwrite)
    else:
        before = read_config(path)[0]
        if whole_metrics(folder, before, "trained anew") is not None:
            show(f"{path} is finished, {len(task.values)} settings.")
            remove_blocks(folder.here())
            return folder, None
        folder.reopen()
        config = with_its_past(before, config)
    folder.write_config(config)
    done, problems = read_blocks(path, config)
    done, misfits = fitting(done, partial(_shape, task.plan))
    for problem in (*problems, *misfits):
        note(f"trained anew: {problem}")
    show(*sweep_header(task.config, _counts(task), _sizes(task)))
    return folder, done


def _shape(plan: Plan, key: tuple[int, int, int]) -> Shape | None:
    """What is known of a chunk; in a later rung not how many runs are left."""
    rung, group, chunk = key
    if not (0 <= rung < len(plan.rungs) and 0 <= group < len(plan.groups)):
        return None
    width, settings = plan.groups[group].width, plan.groups[group].settings
    most = min(width, len(settings) * len(plan.seeds) - chunk * width)
    if chunk < 0 or most < 1:
        return None
    config, least = plan.settings[settings[0]].config, 1 if rung else most
    return Shape(config, least, most, ("train", "validation"), keep=False)


def _train(task: Task, folder: RunFolder | None, done: Done) -> list[Outcome]:
    request = StopRequest()
    total = _num_runs(task.plan)
    with (
        request.listening(),
        Keeper(folder, request, total) as keeper,
    ):
        keeper.skip(sum(len(runs.epochs) for runs in done.values()))
        return sweep.run(
            task.plan,
            task.batches["train"],
            task.batches["validation"],
            done=done,
            on_chunks=keeper.keep,
            devices=task.devices,
        )


def _train_again(task: Task, outcomes: list[Outcome]) -> dict[int, Runs]:
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
        task.batches["validation"],
        devices=task.devices,
    )


def _best_runs(task: Task, outcomes: list[Outcome]) -> list[tuple[int, int]]:
    """Setting and row of the best runs of the last rung whose networks are of one shape."""
    plan, best = task.plan, outcomes[0]
    shape = plan.settings[best.setting].config.layer_sizes
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


def _write(
    task: Task,
    folder: RunFolder,
    outcomes: list[Outcome],
    kept: dict[int, Runs],
    seconds: dict[str, float],
) -> None:
    """Writes the tables, and then the winner and the ensemble as run folders of their own."""
    plan, num_train = task.plan, task.batches["train"]
    steps = [steps_per_epoch(num_train, each.config) for each in plan.settings]
    table = setting_rows(plan, task.values, outcomes)
    folder.write_table("sweep.csv", table)
    folder.write_table("members.csv", member_rows(plan, outcomes, steps))
    show(*ranked_lines(task.values, outcomes, task.flags.monitor))
    if not kept:
        raise FloatingPointError(
            f"in each of the {len(table)} settings a run diverged, as sweep.csv tells; try smaller "
            "learning rates, or features that are scaled."
        )
    best = outcomes[0].setting
    seeds = list(plan.seeds)
    won = _write_runs(task, folder.here() / WINNER, best, seeds, kept[best], seconds)
    show(f"winner          setting {best}, {len(seeds)} runs:")
    show(*result_lines(won))
    picks = _best_runs(task, outcomes)
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
        [plan.seeds[row] for _, row in picks],
        runs,
        seconds,
        {"settings": [setting for setting, _ in picks]},
    )
    if len(picks) > 1:
        show(f"the best {len(picks)} runs of that shape, whatever their settings:")
        show(*ensemble_lines(together["ensemble"]["test"]))
    folder.write_sweep_result(
        {
            "winner": {"setting": best, "values": as_json(task.values[best])},
            "num_settings": len(task.values),
            "num_runs": _num_runs(plan),
            "config": task.config,
            "seconds": seconds,
        }
    )
    remove_blocks(folder.here())
    show(f"sweep folder    {folder.path}")


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
    if flags.seeds > 1:
        told["width"] = next(
            each.width for each in task.plan.groups if setting in each.settings
        )
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


def _num_runs(plan: Plan) -> int:
    """Runs of all rungs, if none diverges."""
    counts = [len(plan.settings)]
    for _ in plan.rungs[1:]:
        counts.append(-(-counts[-1] // FACTOR))
    return sum(counts) * len(plan.seeds)


def _counts(task: Task) -> dict[str, int]:
    return {name: len(batch.targets) for name, batch in task.batches.items()}


def _sizes(task: Task) -> dict[str, int]:
    """Numbers that a sweep's header tells."""
    sets = (task.batches["train"], task.batches["validation"], None)
    needed = [
        memory_needed(
            task.plan.settings[group.settings[0]].config,
            *sets,
            width=group.width,
            devices=task.devices,
        )
        for group in task.plan.groups
    ]
    return {
        "settings": len(task.values),
        "seeds": len(task.plan.seeds),
        "programs": len(task.plan.groups),
        "devices": len(task.devices),
        "processes": jax.process_count(),
        "megabytes": round(max(needed) / 1e6),
    }


def _data_name(task: Task) -> str:
    data = task.job.data
    labels = "-".join(map(str, data.train.labels[:5]))
    return f"{Path(data.name).stem}-{labels}"
