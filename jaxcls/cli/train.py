"""A job, done: trained, scored, saved, and then drawn; begun, or resumed."""

import dataclasses
import threading
import time

import jax

from jaxcls.batches import Batch
from jaxcls.cli import seeds
from jaxcls.cli.calibrating import calibration_lines, calibration_of_validation
from jaxcls.cli.compile_clock import CompileClock
from jaxcls.cli.device import choose_device, describe
from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.job import Job, about, load_data, prepare, run_name
from jaxcls.cli.parsing import resolved
from jaxcls.cli.pictures import draw_run, show_drawn
from jaxcls.cli.progress import ProgressBar
from jaxcls.cli.recorder import Recorder, Training
from jaxcls.cli.result import (
    chosen_epoch,
    metrics_of,
    score_lines,
    scores_of,
)
from jaxcls.cli.resume import (
    check_data,
    check_new_run_flags,
    is_result_of,
    kept_history,
    opened,
    read_past,
    whole_metrics,
    with_its_past,
)
from jaxcls.cli.screen import (
    chosen_line,
    finished_line,
    header,
    show,
)
from jaxcls.cli.signals import StopRequest
from jaxcls.cli.splits import num_splits
from jaxcls.config import Keys
from jaxcls.fitting import fit, is_over
from jaxcls.runs import (
    RunFolder,
    described,
    new_run_path,
    prune_checkpoints,
    remove_checkpoints_after,
)
from jaxcls.training import chosen_params, init_state


def run(flags: TrainFlags) -> None:
    """Loads, trains, scores, saves, and then draws; or resumes a run in its folder.

    Args:
        flags: of the script.

    Raises:
        ValueError, TypeError, OSError, FloatingPointError: one sentence for the user.
        KeyboardInterrupt: Ctrl-C or SIGTERM; what was finished is in the run's folder.
    """
    if flags.seeds != 1 or num_splits(flags) is not None:
        seeds.run(flags)
        return
    start = time.perf_counter()
    check_new_run_flags(flags)
    flags = resolved(flags)
    device = choose_device(flags.device)
    with CompileClock() as clock, jax.default_device(device):
        if flags.resume is None:
            job, config, seconds = _prepare(flags, device)
            path = flags.output_dir or new_run_path(run_name(flags, job))
            with opened(path) as folder:
                folder.clear(overwrite=flags.overwrite)
                folder.write_config(config)
                state = init_state(job.keys, job.config, job.params)
                this = Training(
                    job, config, _ends_in(config), folder, 0, state, [], seconds
                )
                _train_and_score(this, flags, clock, start)
            return
        with opened(flags.resume) as folder:
            this = _reopened(flags, folder, device)
            if this is not None:
                _train_and_score(this, flags, clock, start)


def _prepare(
    flags: TrainFlags, device: jax.Device
) -> tuple[Job, dict, dict[str, float]]:
    """The job, what `config.json` keeps of it, and how long the data took."""
    start = time.perf_counter()
    # Unpacking files leaves the interpreter free, so that jax can start in the meantime.
    starting = threading.Thread(target=_start_jax, args=(device,))
    starting.start()
    data = load_data(flags)
    starting.join()
    seconds = {"load": time.perf_counter() - start}
    job = prepare(flags, data)
    return job, about(flags, job, describe(device)), seconds


def _start_jax(device: jax.Device) -> None:
    with jax.default_device(device):
        Keys.from_seed(0)


def _reopened(
    flags: TrainFlags, folder: RunFolder, device: jax.Device
) -> Training | None:
    """The run in this folder as its newest whole checkpoint left it; None if it is finished."""
    past = read_past(flags, folder.path)
    job, config, seconds = _prepare(flags, device)
    check_data(past.config, config)
    metrics = whole_metrics(folder, past.config, "written again")
    if metrics is not None and is_result_of(metrics, config):
        prune_checkpoints(folder.here(), flags.keep_checkpoints)
        if past.problem is not None:
            folder.write_config(metrics["config"])
        drawn = draw_run(folder, job.data, flags)
        if not drawn:
            show(finished_line(folder.path, metrics["chosen"], flags))
        show_drawn(folder.path, drawn)
        return None
    if metrics is not None and past.checkpoint is None:
        raise ValueError(
            f"{folder.path} is finished, but can't go on: all its checkpoints are missing or "
            "damaged; start a new run with these flags."
        )
    state = init_state(job.keys, job.config, job.params)
    if past.checkpoint is not None:
        # Onto the device as a state from `init_state` is, so that the program is not compiled again.
        state = jax.tree.map(jax.numpy.asarray, past.checkpoint.state(state))
    over = is_over(state, past.epoch, job.config)
    history = kept_history(past, over)
    environment = _ends_in(config)
    config = with_its_past(past.config, config)
    folder.reopen()
    remove_checkpoints_after(folder.here(), past.epoch)
    prune_checkpoints(folder.here(), flags.keep_checkpoints)
    folder.write_config(config)
    folder.write_history(history)
    show(f"{folder.path}: resumed from epoch {past.epoch}")
    return Training(
        job, config, environment, folder, past.epoch, state, history, seconds
    )


def _ends_in(config: dict) -> dict:
    return {name: config[name] for name in ("device", "versions")}


def _train_and_score(
    this: Training, flags: TrainFlags, clock: CompileClock, start: float
) -> None:
    loading = time.perf_counter()
    batches = this.job.data.batches()
    this.seconds["load"] += time.perf_counter() - loading
    counts = {name: len(batch.targets) for name, batch in batches.items()}
    show(header(this.config, counts))
    _train(this, flags, batches, clock)

    params = chosen_params(this.state)
    scores = scores_of(this, params, batches)
    this.seconds |= {"compile": clock.seconds(), "total": time.perf_counter() - start}
    chosen = chosen_epoch(this, flags)
    last = this.state.params if "validation" in batches else None
    data = this.job.data
    model = dataclasses.replace(described(this.config), params=params)
    calibration = calibration_of_validation(flags, model, data.validation)
    metrics = metrics_of(this, chosen, scores, calibration)
    this.folder.write_result(metrics, chosen["epoch"], params, last)
    if chosen["by"] is not None:
        show(chosen_line(chosen))
    show(*score_lines(scores))
    show(*calibration_lines(calibration, data.train.class_names))
    show(f"run folder      {this.folder.path}")
    draw_run(this.folder, this.job.data, flags)


def _train(
    this: Training,
    flags: TrainFlags,
    batches: dict[str, Batch],
    clock: CompileClock,
) -> None:
    """Trains to the end, keeping history and checkpoints; adds the seconds of training itself."""
    start, compiled = time.perf_counter(), clock.seconds()
    request = StopRequest()
    with (
        ProgressBar(flags.epochs, "epoch", done=this.epoch) as progress,
        request.listening(),
    ):
        recorder = Recorder(this, flags, request, progress)
        try:
            this.state, _ = fit(
                this.job.keys,
                this.job.config,
                this.job.hyperparams,
                batches["train"],
                batches.get("validation"),
                state=this.state,
                report_every=flags.report_every,
                on_report=recorder.report,
                checkpoint_every=flags.checkpoint_every,
                on_checkpoint=recorder.checkpoint,
                on_segment=recorder.segment,
            )
        except FloatingPointError as error:
            recorder.save()
            kept = (
                f"Kept in {this.folder.path}: history and checkpoint of {this.epoch} of "
                f"{flags.epochs} epochs."
                if this.epoch
                else "It was before the first report; no checkpoint was kept."
            )
            raise FloatingPointError(f"{error} {kept}") from None
        recorder.stop_if_asked()
    spent = time.perf_counter() - start
    this.seconds["train"] = spent - (clock.seconds() - compiled)
