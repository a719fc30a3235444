"""`--seeds N`: one job with N seeds as one program, its error bars and its ensemble."""

import time
from pathlib import Path

import jax
import numpy as np

from jaxcls.batches import Batch, steps_per_epoch
from jaxcls.cli.compile_clock import CompileClock
from jaxcls.cli.device import choose_devices, describe
from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.free_memory import memory_for_runs
from jaxcls.cli.job import Job, about, load_data, prepare, run_name
from jaxcls.cli.keeping import Keeper
from jaxcls.cli.parsing import read_flags, resolved
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
from jaxcls.cli.study_result import result_lines, rows, write_result
from jaxcls.data import to_batch
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
from jaxcls.study.engine import Members, Runs, joined, train_members
from jaxcls.study.many import per_member
from jaxcls.study.memory import memory_needed
from jaxcls.study.planning import plan_width
from jaxcls.study.sets import place
from jaxcls.study.sweep import Done


def run(flags: TrainFlags) -> None:
    """Loads, trains every seed, scores and saves; or resumes from what its folder has.

    Args:
        flags: of the script.

    Raises:
        ValueError, TypeError, OSError, FloatingPointError: one sentence for the user.
        KeyboardInterrupt: Ctrl-C or SIGTERM; the runs that were finished are in the folder.
    """
    start = time.perf_counter()
    _check(flags)
    devices = choose_devices(flags.device)[: flags.seeds]
    with CompileClock() as clock, jax.default_device(devices[0]):
        before = None if flags.resume is None else _past(flags.resume, flags)
        full = resolved(flags)
        job = prepare(full, load_data(full))
        batches = {name: to_batch(part) for name, part in job.data.parts().items()}
        sets = (batches["train"], batches.get("validation"), batches["test"])
        seeds = range(flags.seed, flags.seed + flags.seeds)
        config = about(flags, job, describe(devices[0]))
        environment = {name: config[name] for name in ("device", "versions")}
        if before is None:
            config["width"] = plan_width(
                job.config,
                *sets,
                num_runs=len(seeds),
                devices=devices,
                memory=memory_for_runs(devices),
            )
        else:
            check_data(before, config)
            config["width"] = before["width"]
        path = flags.resume or flags.output_dir or new_run_path(run_name(flags, job))
        with opened(path) as folder:
            if before is None:
                folder.clear(overwrite=flags.overwrite)
            else:
                metrics = whole_metrics(folder, before, "trained again")
                if metrics is not None:
                    show(
                        f"{path} is finished, {len(metrics['chosen']['seeds'])} seeds."
                    )
                    remove_blocks(folder.here())
                    return
                folder.reopen()
                config = with_its_past(before, config)
            folder.write_config(config)
            counts = {name: len(batch.targets) for name, batch in batches.items()}
            show(header(config, counts))
            show(_plan_line(job, sets, seeds, config["width"], devices))
            training = time.perf_counter()
            members = _members(flags, job, seeds)
            runs = _train(job, members, sets, config["width"], devices, folder)
            seconds = {
                "train": time.perf_counter() - training,
                "compile": clock.seconds(),
                "total": time.perf_counter() - start,
            }
            num_steps = steps_per_epoch(batches["train"], job.config)
            folder.write_table("seeds.csv", rows(seeds, runs, num_steps))
            metrics = write_result(
                folder, config, environment, job.data, seeds, runs, seconds
            )
            remove_blocks(folder.here())
            show(*result_lines(metrics))
            show(f"run folder      {folder.path}")


def _members(flags: TrainFlags, job: Job, seeds: range) -> Members:
    return Members(
        np.array(seeds, np.uint32),
        per_member(job.hyperparams, len(seeds)),
        _starts(flags, job, seeds),
    )


def check_seeds(seed: int, seeds: int) -> None:
    """Raises ValueError unless there are seeds, none of them too large."""
    if seeds < 1:
        raise ValueError(f"seeds must be at least 1, got {seeds}.")
    if seed + seeds > 2**32:
        raise ValueError(
            f"seeds {seeds:,} from seed {seed:,} on go beyond 2**32-1; take a smaller seed."
        )


def _check(flags: TrainFlags) -> None:
    check_seeds(flags.seed, flags.seeds)
    for name in ("report_every", "checkpoint_every"):
        if getattr(flags, name) is not None:
            raise ValueError(
                f"{name} is for a single run; leave it out, or take one seed at a time."
            )
    check_new_run_flags(flags)


def _past(path: Path, flags: TrainFlags) -> dict:
    """What the folder tells of its runs, none of which the flags would have changed."""
    before, _ = read_config(path)
    check_same_flags(read_flags(type(flags), before), flags)
    if type(before.get("width")) is not int:
        raise ValueError(f"{path}: its config does not say how its runs were planned.")
    return before


def _plan_line(
    job: Job, sets: tuple, seeds: range | list[int], width: int, devices: list
) -> str:
    needed = memory_needed(job.config, *sets, width=width, devices=devices)
    return (
        f"{len(seeds):,} runs, seeds {seeds[0]} to {seeds[-1]}: {width} side by side on each of "
        f"{len(devices)} devices, in about {needed / 1e6:,.0f} MB"
    )


def _train(
    job: Job,
    members: Members,
    sets: tuple[Batch, Batch | None, Batch],
    width: int,
    devices: list[jax.Device],
    folder: RunFolder,
) -> Runs:
    """What came of every seed, those that the folder has among them."""
    done = _known(job, sets, len(members.seeds), width, folder)
    request, known = StopRequest(), sum(len(runs.epochs) for runs in done.values())
    with (
        request.listening(),
        Keeper(folder, request, len(members.seeds), known) as keeper,
    ):
        mesh = member_mesh(devices)
        trained = train_members(
            members,
            width,
            place(mesh, *sets),
            job.config.epochs,
            config=job.config,
            mesh=mesh,
            done={chunk: runs for (_, _, chunk), runs in done.items()},
            on_chunks=lambda new: keeper.keep(
                {(0, 0, chunk): runs for chunk, runs in new.items()}
            ),
        )
    return joined(trained)


def _known(job: Job, sets: tuple, num_runs: int, width: int, folder: RunFolder) -> Done:
    """The chunks that the folder has, as far as they are whole and fit."""
    scored = [name for name, data in zip(SETS, sets, strict=True) if data]

    def shape(key: tuple[int, int, int]) -> Shape | None:
        rung, group, chunk = key
        rows = min(width, num_runs - chunk * width)
        if rung or group or chunk < 0 or rows < 1:
            return None
        return Shape(job.config, rows, rows, scored, keep=True)

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
