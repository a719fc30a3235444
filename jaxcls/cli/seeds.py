"""`--seeds`, `--folds`, `--resplit`: one job many times as one program, and its error bars."""

import time
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcls.batches import Batch, steps_of
from jaxcls.cli.compile_clock import CompileClock
from jaxcls.cli.device import choose_devices, describe
from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.free_memory import memory_for_runs
from jaxcls.cli.job import Job, about, load_data, prepare, run_name
from jaxcls.cli.keeping import Keeper
from jaxcls.cli.parsing import read_flags, resolved
from jaxcls.cli.pictures import draw_run, show_drawn
from jaxcls.cli.resume import (
    check_data,
    check_new_run_flags,
    check_same_flags,
    opened,
    whole_metrics,
    with_its_past,
)
from jaxcls.cli.screen import header, note, show
from jaxcls.cli.signals import StopRequest
from jaxcls.cli.split_result import split_lines, write_split_result
from jaxcls.cli.splits import (
    Plan,
    check_same_rows,
    digest_of_rows,
    num_splits,
    plan_splits,
    split_columns,
)
from jaxcls.cli.splits import describe as in_words
from jaxcls.cli.study_result import result_lines, rows, write_result
from jaxcls.cli.table_splits import Pool, pool_of_splits
from jaxcls.interop import pytorch
from jaxcls.mlp import Params
from jaxcls.runs import (
    RunFolder,
    Shape,
    fitting,
    new_run_path,
    read_blocks,
    read_config,
    remove_blocks,
)
from jaxcls.runs.records import SETS
from jaxcls.study.devices import member_mesh
from jaxcls.study.engine import Groups, Members, Runs, train_groups
from jaxcls.study.many import per_member
from jaxcls.study.memory import memory_needed
from jaxcls.study.planning import plan_width
from jaxcls.study.rows import groups_of, num_copied
from jaxcls.study.sets import Sets, place, place_pool
from jaxcls.study.sweep import Done


class Study(NamedTuple):
    """What is trained: one job with many seeds, on one set or on many splits of it.

    Attributes:
        job: its data and settings.
        seeds: of the members.
        plan: of splits, or None.
        groups: members that share a program.
        sets: what all share: train, validation, test.
        width: members that a device trains side by side.
        pool: the training set as each split prepares it; None where none does, or of no splits.
    """

    job: Job
    seeds: range
    plan: Plan | None
    groups: Groups
    sets: tuple[Batch, Batch | None, Batch | None]
    width: int
    pool: Pool | None


def run(flags: TrainFlags) -> None:
    """Loads, trains every member, scores and saves; or resumes from what its folder has.

    Args:
        flags: of the script.

    Raises:
        ValueError, TypeError, OSError, FloatingPointError: one sentence for the user.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the runs that were finished are in the folder.
    """
    start = time.perf_counter()
    num_members = _check(flags)
    devices = choose_devices(flags.device)[:num_members]
    with CompileClock() as clock, jax.default_device(devices[0]):
        before = None if flags.resume is None else _past(flags.resume, flags)
        full = resolved(flags)
        job = prepare(full, load_data(full))
        config = about(flags, job, describe(devices[0]))
        environment = {name: config[name] for name in ("device", "versions")}
        if before is not None:
            check_data(before, config)
        study = _study(full, job, num_members, devices, before)
        config["width"] = study.width
        if study.plan is not None:
            config["sha256_of_rows"] = digest_of_rows(study.plan.rows)
            config["versions"]["scikit-learn"] = version("scikit-learn")
        if before is not None:
            check_same_rows(before, config)
        path = flags.resume or flags.output_dir or new_run_path(run_name(flags, job))
        with opened(path) as folder:
            if before is None:
                folder.clear(overwrite=flags.overwrite)
            else:
                metrics = whole_metrics(folder, before, "trained again")
                if metrics is not None:
                    done = len(metrics["chosen"]["seeds"])
                    show(f"{path} is finished, {done} runs.")
                    show_drawn(path, draw_run(folder, job.data, full))
                    remove_blocks(folder.here())
                    return
                folder.reopen()
                config = with_its_past(before, config)
            folder.write_config(config)
            counts = {
                name: len(part.targets) for name, part in job.data.parts().items()
            }
            show(header(config, counts), *_plan_lines(study, full, devices))
            training = time.perf_counter()
            runs = _train(study, _members(full, study), devices, folder)
            seconds = {
                "train": time.perf_counter() - training,
                "compile": clock.seconds(),
                "total": time.perf_counter() - start,
            }
            _write(folder, config, environment, study, full, runs, seconds)


def _study(
    flags: TrainFlags,
    job: Job,
    num_members: int,
    devices: list[jax.Device],
    before: dict | None,
) -> Study:
    """What the flags ask for; as wide as before, where it is resumed."""
    batches = job.data.batches()
    plan = plan_splits(flags, job.data.train)
    groups: Groups = [(np.arange(num_members), None)]
    sets = (batches["train"], batches.get("validation"), batches["test"])
    pool = None
    if plan is not None:
        pool = pool_of_splits(job.data, plan.rows, plan.num_seeds)
        groups = groups_of(plan.rows if pool is None else pool.rows, job.config)
        sets = (batches["train"] if pool is None else pool.batch, None, None)
    if before is not None:
        width = before["width"]
    else:
        width = min(
            plan_width(
                job.config,
                *sets,
                num_runs=len(members),
                devices=devices,
                memory=memory_for_runs(devices),
                copied=0 if rows is None else num_copied(rows),
            )
            for members, rows in groups
        )
    seeds = range(flags.seed, flags.seed + num_members)
    return Study(job, seeds, plan, groups, sets, width, pool)


def _write(
    folder: RunFolder,
    config: dict,
    environment: dict,
    study: Study,
    flags: TrainFlags,
    runs: Runs,
    seconds: dict[str, float],
) -> None:
    """Writes what came of all members, and shows it."""
    plan, data, seeds = study.plan, study.job.data, study.seeds
    lines = rows(seeds, runs, _num_steps(study), data.train.target)
    if plan is None:
        folder.write_table("seeds.csv", lines)
        metrics = write_result(
            *(folder, config, environment, data, seeds, runs, seconds), flags=flags
        )
        told = result_lines(metrics)
    else:
        table = [
            split_columns(plan, flags, member)
            | {
                name.replace("test_", "held_out_"): value
                for name, value in line.items()
            }
            for member, line in enumerate(lines)
        ]
        folder.write_table("seeds.csv", table)
        metrics = write_split_result(
            *(folder, config, environment, data, plan, flags, seeds, runs, seconds),
            pool=study.pool,
        )
        told = split_lines(metrics)
    remove_blocks(folder.here())
    show(*told, f"run folder      {folder.path}")
    draw_run(folder, data, flags)


def _num_steps(study: Study) -> list[int]:
    """Steps of an epoch of each member, by which one that diverged says where."""
    if study.plan is None:
        counts = [len(study.sets[0].targets)] * len(study.seeds)
    else:
        counts = [len(rows) for rows in study.plan.rows["train"]]
    return [steps_of(count, study.job.config) for count in counts]


def _members(flags: TrainFlags, study: Study) -> Members:
    return Members(
        np.array(study.seeds, np.uint32),
        per_member(study.job.hyperparams, len(study.seeds)),
        _starts(flags, study.job, study.seeds),
    )


def check_seeds(seed: int, seeds: int, splits: int | None) -> None:
    """Raises ValueError unless there are seeds, none of them too large."""
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}.")
    if seed + seeds * (splits or 1) > 2**32:
        of_splits = "" if splits is None else f" for each of {splits:,} splits"
        raise ValueError(
            f"seeds {seeds:,}{of_splits} from seed {seed:,} on go beyond 2**32-1; take a smaller "
            "seed, or fewer."
        )


def _check(flags: TrainFlags) -> int:
    """How many members there are; raises ValueError for flags that can't be."""
    splits = num_splits(flags)
    num_members = flags.seeds * (1 if splits is None else splits)
    check_seeds(flags.seed, flags.seeds, splits)
    for name in ("report_every", "checkpoint_every"):
        if getattr(flags, name) is not None:
            raise ValueError(
                f"{name} is for a single run; leave it out, or take one seed at a time."
            )
    check_new_run_flags(flags)
    return num_members


def _past(path: Path, flags: TrainFlags) -> dict:
    """What the folder tells of its runs, none of which the flags would have changed."""
    before, _ = read_config(path)
    check_same_flags(read_flags(type(flags), before), flags)
    if type(before.get("width")) is not int:
        raise ValueError(f"{path}: its config does not say how its runs were planned.")
    return before


def _plan_lines(study: Study, flags: TrainFlags, devices: list) -> list[str]:
    most = max(0 if rows is None else num_copied(rows) for _, rows in study.groups)
    needed = memory_needed(
        *(study.job.config, *study.sets),
        width=study.width,
        devices=devices,
        copied=most,
    )
    line = (
        f"{len(study.seeds):,} runs, seeds {study.seeds[0]} to {study.seeds[-1]}: {study.width} "
        f"side by side on each of {len(devices)} devices, in about {needed / 1e6:,.0f} MB"
    )
    if study.plan is None:
        return [line]
    each = f"{flags.seeds} seeds each" if flags.seeds > 1 else "a seed each"
    return [f"{in_words(flags)}, {each}; the test set is left untouched", line]


def _train(
    study: Study, members: Members, devices: list[jax.Device], folder: RunFolder
) -> Runs:
    """What came of every member, those that the folder has among them."""
    done = _known(study, folder)
    request, known = StopRequest(), sum(len(runs.epochs) for runs in done.values())
    with (
        request.listening(),
        Keeper(folder, request, len(study.seeds), known) as keeper,
    ):
        mesh = member_mesh(devices)
        place_all = place if study.plan is None else _place_pool
        return train_groups(
            members,
            study.groups,
            [study.width] * len(study.groups),
            place_all(mesh, *study.sets),
            config=study.job.config,
            mesh=mesh,
            done={(group, chunk): runs for (_, group, chunk), runs in done.items()},
            on_chunks=lambda new: keeper.keep(
                {(0, *key): runs for key, runs in new.items()}
            ),
        )


def _place_pool(mesh: Mesh, pool: Batch, *_) -> Sets:
    return place_pool(mesh, pool)


def _known(study: Study, folder: RunFolder) -> Done:
    """The chunks that the folder has, as far as they are whole and fit."""
    scored = [name for name, data in zip(SETS, study.sets, strict=True) if data]
    if study.plan is not None:
        scored = [name for name in SETS if name in study.plan.rows]

    def shape(key: tuple[int, int, int]) -> Shape | None:
        rung, group, chunk = key
        if rung or not 0 <= group < len(study.groups):
            return None
        members, _ = study.groups[group]
        count = min(study.width, len(members) - chunk * study.width)
        if chunk < 0 or count < 1:
            return None
        return Shape(study.job.config, count, count, scored, keep=True)

    done, problems = read_blocks(folder.path, folder.config)
    done, misfits = fitting(done, shape)
    for problem in (*problems, *misfits):
        note(f"trained again: {problem}")
    return done


def _starts(flags: TrainFlags, job: Job, seeds: range | list[int]) -> Params | None:
    """PyTorch's starting weights of each seed, where the flags ask for them."""
    if flags.init != "torch":
        return None
    drawn = [pytorch.init(seed, job.config.layer_sizes) for seed in seeds]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *drawn)
