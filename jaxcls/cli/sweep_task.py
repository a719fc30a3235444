"""From a sweep's flags to a task: data loaded, settings made, and planned."""

import dataclasses
import hashlib
import json
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

import jax

from jaxcls.batches import Batch
from jaxcls.cli.data import Data
from jaxcls.cli.device import describe
from jaxcls.cli.flags import BinaryFlags, MulticlassFlags, SweepFlags, TrainFlags
from jaxcls.cli.free_memory import memory_for_runs
from jaxcls.cli.job import Job, load_data, prepare, surroundings
from jaxcls.cli.parsing import read_flags, resolved
from jaxcls.cli.processes import (
    check_agreed,
)
from jaxcls.cli.resume import (
    check_data,
    check_same_flags,
)
from jaxcls.cli.screen import note
from jaxcls.cli.space import base_flags, settings_of
from jaxcls.cli.splits import (
    check_same_rows,
    digest_of_rows,
    num_splits,
    plan_splits,
)
from jaxcls.cli.table_splits import Pool, pool_of_splits
from jaxcls.runs import (
    read_config,
)
from jaxcls.runs.records import as_json
from jaxcls.study import sweep
from jaxcls.study.rows import SplitRows
from jaxcls.study.sweep import Group, Plan


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
        batches: the data, by part; for training as each split prepares them.
        pool: the training set as each split prepares it, None where none does, or of no splits.
    """

    flags: SweepFlags
    base: TrainFlags
    job: Job
    values: list[dict[str, Any]]
    plan: Plan
    config: dict
    devices: list[jax.Device]
    batches: dict[str, Batch]
    pool: Pool | None


def prepare_sweep(flags: SweepFlags, devices: list[jax.Device]) -> Task:
    """Loads, checks and plans; the processes that share the sweep agree on what they found.

    Raises:
        ValueError, TypeError: one sentence for the user.
    """
    data = load_data(base_flags(flags, MulticlassFlags))
    two = len(data.train.labels) == 2
    base = resolved(base_flags(flags, BinaryFlags if two else MulticlassFlags))
    job = prepare(base, data)
    values, settings = settings_of(flags, job)
    if "sgd" not in flags.optimizer and any(float(each) for each in flags.momentum):
        note(
            f"without effect: --momentum {' '.join(flags.momentum)}, which is sgd's alone."
        )
    batches = data.batches()
    if jax.process_count() == 1:
        devices = devices[
            : len(settings) * num_members(flags)
        ]  # no more than have work
    splits = _splits(base, data)
    pool, planned = _pooled(data, splits)
    if pool is not None:
        batches["train"] = pool.batch
    plan = sweep.plan(
        settings,
        range(flags.seed, flags.seed + num_members(flags)),
        batches["train"],
        batches.get("validation"),
        splits=planned,
        halving=flags.halving,
        memory=memory_for_runs(devices) if flags.memory is None else flags.memory * 1e9,
        devices=devices,
    )
    config = surroundings(flags, data, describe(devices[0]))
    # By which a sweep, and every process of it, knows that it draws the same settings.
    tried: dict[str, str | float] = {
        "sha256_of_settings": hashlib.sha256(json.dumps(values).encode()).hexdigest()
    }
    if splits is not None:
        tried |= {"sha256_of_rows": digest_of_rows(splits.rows), "ratio": splits.ratio}
        config["versions"]["scikit-learn"] = version("scikit-learn")
    if flags.resume is not None:
        before, _ = read_config(flags.resume)
        check_same_flags(read_flags(SweepFlags, before), flags)
        check_data(before, config)
        if before["plan"].get("sha256_of_settings") != tried["sha256_of_settings"]:
            raise ValueError(
                f"{flags.resume}: its settings were drawn otherwise, by another version or on "
                "another machine; resume there, or start again."
            )
        check_same_rows(before["plan"], tried)
        plan = plan._replace(groups=_planned_groups(flags.resume, before, plan))
    # Without splits as the first versions kept them, so that their sweeps can be resumed.
    groups = [
        {name: value for name, value in group._asdict().items() if value is not None}
        for group in plan.groups
    ]
    config["plan"] = as_json({"rungs": plan.rungs, "groups": groups}) | tried
    agreed = {
        name: config[name] for name in ("flags", "data_sha256", "plan", "versions")
    }
    agreed["flags"] = {**agreed["flags"], "data_dir": None}
    digest = hashlib.sha256(json.dumps(agreed, sort_keys=True).encode()).hexdigest()
    check_agreed("flags, data and versions", digest)
    return Task(flags, base, job, values, plan, config, devices, batches, pool)


def num_members(flags: SweepFlags) -> int:
    """Runs of each setting."""
    splits = num_splits(flags)
    return flags.seeds * (1 if splits is None else splits)


def _splits(base: TrainFlags, data: Data) -> SplitRows | None:
    """What the flags split the training set into; what is held out ranks."""
    plan = plan_splits(dataclasses.replace(base, validation_fraction=0.0), data.train)
    if plan is None:
        return None
    rows = {"train": plan.rows["train"], "validation": plan.rows["test"]}
    return SplitRows(rows, plan.num_seeds, plan.splits.ratio)


def _pooled(
    data: Data, splits: SplitRows | None
) -> tuple[Pool | None, SplitRows | None]:
    """The training set as each split prepares it, if any does, and the splits' rows of that."""
    if splits is None:
        return None, None
    pool = pool_of_splits(data, splits.rows, splits.num_seeds)
    return pool, splits if pool is None else splits._replace(rows=pool.rows)


def _planned_groups(path: Path, before: dict, plan: Plan) -> tuple[Group, ...]:
    """The groups as the sweep began with them, so that the same digits come again."""
    kept = before["plan"]["groups"]
    groups = tuple(
        Group(
            tuple(each["settings"]),
            each["width"],
            None if each.get("members") is None else tuple(each["members"]),
        )
        for each in kept
    )
    begun, now = (
        [(each.settings, each.members) for each in some]
        for some in (groups, plan.groups)
    )
    if begun != now:
        raise ValueError(
            f"{path}: was planned by another version of jaxcls; resume with that, or start again."
        )
    return groups
