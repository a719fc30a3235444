"""`scripts/sweep.py`: many settings with several seeds each, ranked, and the best one scored."""

import contextlib
import math
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import jax

from jaxcls.cli.compile_clock import CompileClock
from jaxcls.cli.device import choose_devices
from jaxcls.cli.flags import SweepFlags
from jaxcls.cli.keeping import Keeper
from jaxcls.cli.pictures import draw_sweep, show_drawn
from jaxcls.cli.processes import (
    clear_if_alone,
    from_first,
    is_first,
    join,
)
from jaxcls.cli.resume import (
    check_new_run_flags,
    opened,
    whole_metrics,
    with_its_past,
)
from jaxcls.cli.screen import note, show, sweep_header
from jaxcls.cli.seeds import check_seeds
from jaxcls.cli.signals import StopRequest
from jaxcls.cli.splits import describe, num_splits
from jaxcls.cli.sweep_result import num_runs, train_again, write_sweep
from jaxcls.cli.sweep_task import Task, prepare_sweep
from jaxcls.runs import (
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
from jaxcls.study import sweep
from jaxcls.study.memory import memory_needed
from jaxcls.study.ranking import Outcome
from jaxcls.study.sweep import Done, Plan


def run(flags: SweepFlags) -> None:
    """Trains, ranks, scores and saves; or resumes what the sweep's folder has.

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
        task = prepare_sweep(flags, devices)
        with _opened(task) as (folder, done):
            if done is None:
                return
            training = time.perf_counter()
            outcomes = _train(task, folder, done)
            kept = train_again(task, outcomes)
            if folder is None:
                return
            seconds = {
                "train": time.perf_counter() - training,
                "compile": clock.seconds(),
                "total": time.perf_counter() - start,
            }
            write_sweep(task, folder, outcomes, kept, seconds)
            draw_sweep(folder, flags)


def _check(flags: SweepFlags) -> None:
    check_new_run_flags(flags)
    check_seeds(flags.seed, flags.seeds, num_splits(flags))
    if not 0 < flags.validation_fraction < 1:
        raise ValueError(
            "validation_fraction must lie in (0, 1), since settings are ranked on what it holds "
            f"out, got {flags.validation_fraction}."
        )
    if flags.draws is not None and flags.draws < 1:
        raise ValueError(f"draws must be at least 1, got {flags.draws}.")
    if flags.memory is not None and not 0 < flags.memory < math.inf:
        raise ValueError(f"memory must be a positive number of GB, got {flags.memory}.")


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
        if whole_metrics(folder, before, "trained again") is not None:
            show(f"{path} is finished, {len(task.values)} settings.")
            show_drawn(path, draw_sweep(folder, flags))
            remove_blocks(folder.here())
            return folder, None
        folder.reopen()
        config = with_its_past(before, config)
    folder.write_config(config)
    done, problems = read_blocks(path, config)
    done, misfits = fitting(done, partial(_shape, task.plan))
    for problem in (*problems, *misfits):
        note(f"trained again: {problem}")
    show(*sweep_header(task.config, _counts(task), _sizes(task)))
    if num_splits(flags) is not None:
        show(f"{describe(flags)}, by whose parts held out settings are ranked")
    return folder, done


def _shape(plan: Plan, key: tuple[int, int, int]) -> Shape | None:
    """What is known of a chunk; in a later rung not how many runs are left."""
    rung, group, chunk = key
    if not (0 <= rung < len(plan.rungs) and 0 <= group < len(plan.groups)):
        return None
    width, settings = plan.groups[group].width, plan.groups[group].settings
    members = plan.members_of(plan.groups[group])
    most = min(width, len(settings) * len(members) - chunk * width)
    if chunk < 0 or most < 1:
        return None
    config, least = plan.settings[settings[0]].config, 1 if rung else most
    return Shape(config, least, most, ("train", "validation"), keep=False)


def _train(task: Task, folder: RunFolder | None, done: Done) -> list[Outcome]:
    request, known = StopRequest(), sum(len(runs.epochs) for runs in done.values())
    total = num_runs(task.plan)
    with (
        request.listening(),
        Keeper(folder, request, total, known) as keeper,
    ):
        return sweep.run(
            task.plan,
            task.batches["train"],
            task.batches.get("validation"),
            done=done,
            on_chunks=keeper.keep,
            devices=task.devices,
        )


def _counts(task: Task) -> dict[str, int]:
    return {name: len(part.targets) for name, part in task.job.data.parts().items()}


def _sizes(task: Task) -> dict[str, int]:
    """Numbers that a sweep's header tells."""
    sets = (task.batches["train"], task.batches.get("validation"), None)
    rows = {} if task.plan.splits is None else task.plan.splits.rows
    needed = [
        memory_needed(
            task.plan.settings[group.settings[0]].config,
            *sets,
            width=group.width,
            devices=task.devices,
            copied=sum(max(map(len, of_all)) for of_all in rows.values()),
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
