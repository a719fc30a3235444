"""A job, done: trained, scored, saved, and then drawn."""

import contextlib
import signal
import threading
import time
from collections.abc import Callable, Iterator

import jax
import numpy as np

from jaxcls import mlp
from jaxcls.batches import Batch
from jaxcls.cli.compile_clock import CompileClock
from jaxcls.cli.device import choose_device, describe
from jaxcls.cli.flags import TrainFlags
from jaxcls.cli.job import Job, about, load_data, prepare, report_every, run_name
from jaxcls.cli.screen import Progress, header, result_line
from jaxcls.data import to_batch
from jaxcls.fitting import Report, fit
from jaxcls.likelihoods import class_probabilities
from jaxcls.metrics import Metrics, confusion
from jaxcls.mlp import Params
from jaxcls.runs import RunFolder, new_run_path
from jaxcls.training import evaluate, init_state


def run(flags: TrainFlags, script: str) -> None:
    """Loads, trains, scores, saves, and then draws.

    Args:
        flags: of the script.
        script: its name, for messages.

    Raises:
        ValueError, TypeError, OSError, FloatingPointError: one sentence for the user.
        KeyboardInterrupt: Ctrl-C; what was finished is in the run's folder.
    """
    start = time.perf_counter()
    device = choose_device(flags.device)
    with CompileClock() as clock, jax.default_device(device):
        data = load_data(flags, script)
        train, test = to_batch(data.train), to_batch(data.test)
        seconds = {"load": time.perf_counter() - start}
        job = prepare(flags, data, script)
        record = about(flags, job, script, describe(device))
        folder = RunFolder(
            flags.output_dir or new_run_path(run_name(flags, job)),
            overwrite=flags.overwrite,
        )
        folder.write_config(record)
        print(header(record, len(train.targets), len(test.targets)), flush=True)

        params, history, train_metrics = _fit(flags, job, train, folder, clock, seconds)
        test_metrics = jax.device_get(evaluate(params, test, config=job.config))
        seconds |= {"compile": clock.seconds(), "total": time.perf_counter() - start}
        folder.write_metrics(
            _metrics(record, job, train_metrics, test_metrics, seconds)
        )

        print(result_line("train", train_metrics))
        print(result_line("test", test_metrics))
        print(f"run folder      {folder.path}", flush=True)
        if flags.plots:
            _draw(folder, history, params, job, test)


class _Recorder:
    """Writes each report to the history and the screen, and keeps the last.

    A first Ctrl-C waits for the report of the epochs in hand, lest they be lost; a second
    does not.
    """

    def __init__(self, folder: RunFolder, progress: Progress):
        self.folder, self.progress = folder, progress
        self.history: list[dict] = []
        self.last: Report | None = None
        self.interrupted = False

    def interrupt(self) -> None:
        """Asks for a stop after the next report."""
        self.interrupted = True

    def __call__(self, report: Report) -> None:
        record = {
            "epoch": report.epoch,
            "loss": report.loss,
            "train_accuracy": float(report.train.accuracy),
        }
        self.folder.add_to_history(record)
        self.history.append(record)
        self.last = report
        self.progress.show(report)
        if self.interrupted:
            raise KeyboardInterrupt


def _fit(
    flags: TrainFlags,
    job: Job,
    train: Batch,
    folder: RunFolder,
    clock: CompileClock,
    seconds: dict[str, float],
) -> tuple[Params, list[dict], Metrics]:
    """Trains, keeping history and model; adds the seconds of training itself."""
    start, compiled = time.perf_counter(), clock.seconds()
    with Progress(flags.epochs) as progress:
        recorder = _Recorder(folder, progress)
        try:
            with _first_ctrl_c(recorder.interrupt):
                state, _ = fit(
                    job.keys,
                    job.config,
                    job.hyperparams,
                    train,
                    state=init_state(job.keys, job.config, job.params),
                    report_every=report_every(flags),
                    on_report=recorder,
                )
        except (KeyboardInterrupt, FloatingPointError) as stop:
            stopped = str(stop).rstrip(".") or "interrupted"
            raise type(stop)(f"{stopped}{_keep(recorder, flags.epochs)}") from None
    seconds["train"] = time.perf_counter() - start - (clock.seconds() - compiled)
    folder.write_model(state.params, flags.epochs)
    assert recorder.last is not None  # the last epoch is always reported
    return state.params, recorder.history, recorder.last.train


@contextlib.contextmanager
def _first_ctrl_c(handler: Callable[..., None]) -> Iterator[None]:
    """Gives the first SIGINT to `handler`, and later ones to Python.

    Where SIGINT is ignored, as in a shell's background, or in a thread, which has no say in
    signals, all stays as it is.
    """
    python = signal.default_int_handler
    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGINT) is not python:
        yield
        return

    def once(*_) -> None:
        signal.signal(signal.SIGINT, python)
        handler()

    signal.signal(signal.SIGINT, once)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, python)


def _keep(recorder: _Recorder, epochs: int) -> str:
    """Saves the model of the last report of a run that stops early, and says so."""
    if recorder.last is None:
        return ", before the first report; no model was kept."
    epoch = recorder.last.epoch
    recorder.folder.write_model(recorder.last.state.params, epoch)
    return f". Kept in {recorder.folder.path}: history and model of {epoch} of {epochs} epochs."


def _metrics(
    record: dict, job: Job, train: Metrics, test: Metrics, seconds: dict[str, float]
) -> dict:
    def numbers(metrics: Metrics) -> dict:
        return {
            "loss": float(metrics.loss),
            "accuracy": float(metrics.accuracy),
            "correct": int(metrics.correct),
            "count": int(metrics.count),
        }

    return {
        "dataset": job.data.name,
        "classes": job.data.train.class_names,
        "num_train": len(job.data.train.targets),
        "num_test": len(job.data.test.targets),
        "config": record,
        "train": numbers(train),
        "test": numbers(test),
        "seconds": seconds,
        "device": record["device"],
        "versions": record["versions"],
    }


def _draw(
    folder: RunFolder, history: list[dict], params: Params, job: Job, test: Batch
) -> None:
    # Here and not above: matplotlib takes as long to import as a short run takes to train.
    from jaxcls.runs import plots

    logits = jax.jit(mlp.apply)(params, test.features)
    likelihood, names = job.config.likelihood, job.data.test.class_names
    counts = confusion(likelihood.predict(logits), job.data.test.targets, len(names))
    folder.write_picture("curves.png", plots.curves(history))
    folder.write_picture("confusion.png", plots.confusion(counts, names))
    if job.data.test.image_shape is None:
        print("mistakes.png is left out: the examples are rows of numbers, not images")
        return
    images = job.data.test.features.reshape(-1, *job.data.test.image_shape)
    probabilities = np.asarray(class_probabilities(likelihood, logits))
    picture = plots.mistakes(images, job.data.test.targets, probabilities, names)
    folder.write_picture("mistakes.png", picture)
