"""From flags to a trained, scored and saved run: what both training scripts do."""

import dataclasses
import os
import time
from typing import NamedTuple

import jax
import numpy as np

from jaxcls import mlp
from jaxcls.batches import Batch
from jaxcls.cli.compile_clock import CompileClock
from jaxcls.cli.device import choose_device, describe, versions
from jaxcls.cli.flags import BinaryFlags, TrainFlags
from jaxcls.cli.screen import Progress, header, note, result_line
from jaxcls.config import Config, Hyperparams, Keys, check_hyperparams
from jaxcls.data import Dataset, load, load_mnist_or_digits, to_batch
from jaxcls.fitting import Report, fit
from jaxcls.interop import pytorch
from jaxcls.likelihoods import LIKELIHOODS, class_probabilities
from jaxcls.metrics import Metrics, confusion
from jaxcls.mlp import Params
from jaxcls.runs import RunFolder, new_run_path
from jaxcls.training import evaluate, init_state


class Job(NamedTuple):
    """What a run is about, ready to start."""

    dataset: str
    train: Dataset
    test: Dataset
    config: Config
    hyperparams: Hyperparams


def run(flags: TrainFlags, script: str) -> None:
    """Loads, trains, scores, saves, and then draws.

    Args:
        flags: of the script.
        script: its name, for messages.

    Raises:
        ValueError, TypeError, OSError, FloatingPointError: one sentence for the user.
        KeyboardInterrupt: Ctrl-C; what was finished is in the run's folder.
    """
    start, clock = time.perf_counter(), CompileClock()
    device = choose_device(flags.device)
    with jax.default_device(device):
        job = _prepare(flags, script)
        train, test = to_batch(job.train), to_batch(job.test)
        seconds = {"load": time.perf_counter() - start}
        about = _about(flags, job, script, describe(device))
        folder = RunFolder(
            flags.output_dir or new_run_path(_name(flags, job)),
            overwrite=flags.overwrite,
        )
        folder.write_config(about)
        print(header(about, len(job.train.targets), len(job.test.targets)), flush=True)

        params, history, train_metrics = _fit(flags, job, train, folder, clock, seconds)
        test_metrics = jax.device_get(evaluate(params, test, config=job.config))
        seconds |= {"compile": clock.seconds(), "total": time.perf_counter() - start}
        folder.write_metrics(_metrics(about, job, train_metrics, test_metrics, seconds))

        print(result_line("train", train_metrics))
        print(result_line("test", test_metrics))
        print(f"run folder      {folder.path}", flush=True)
        if flags.plots:
            _draw(folder, history, params, job, test)


def _prepare(flags: TrainFlags, script: str) -> Job:
    """The data and settings that the flags ask for, checked."""
    if flags.report_every is not None and flags.report_every < 1:
        raise ValueError(f"report_every must be at least 1, got {flags.report_every}.")
    binary = isinstance(flags, BinaryFlags)
    classes = flags.classes
    if classes is None and not (flags.dataset or "").endswith(".npz"):
        classes = (0, 1) if binary else (0, 1, 2)
    dataset, train, test = _load(flags, classes, script)
    num_classes = len(train.labels)
    if binary and num_classes != 2:
        raise ValueError(
            f"classes must be two here, got {num_classes}: {' '.join(map(str, train.labels))}; "
            "name two with --classes, or use train_multiclass.py."
        )
    likelihood = LIKELIHOODS[flags.likelihood if binary else "categorical"]
    num_train = len(train.targets)
    batch_size = None if flags.batch_size == "full" else flags.batch_size
    if batch_size is not None and batch_size > num_train:
        note(
            script,
            f"batch_size {batch_size:,} is more than the {num_train:,} training examples; the "
            "full batch is used.",
        )
        batch_size = None
    config = Config(
        layer_sizes=(
            train.features.shape[1],
            *flags.hidden,
            likelihood.num_outputs(num_classes),
        ),
        likelihood=likelihood,
        optimizer=flags.optimizer,
        momentum=flags.momentum,
        batch_size=batch_size,
        shuffle=flags.shuffle,
        dropout=flags.dropout > 0,
        epochs=flags.epochs,
    )
    hyperparams = Hyperparams(flags.learning_rate, flags.dropout, flags.weight_decay)
    check_hyperparams(script, hyperparams, config)
    return Job(dataset, train, test, config, hyperparams)


def _load(
    flags: TrainFlags, classes: tuple[int, ...] | None, script: str
) -> tuple[str, Dataset, Dataset]:
    if flags.dataset is not None:
        return (
            flags.dataset,
            *load(flags.dataset, data_dir=flags.data_dir, classes=classes),
        )
    name, train, test, notice = load_mnist_or_digits(
        data_dir=flags.data_dir, classes=classes
    )
    if notice is not None:
        note(script, notice)
    return name, train, test


def _about(flags: TrainFlags, job: Job, script: str, device: str) -> dict:
    """Everything needed to repeat the run, as `config.json` keeps it."""
    resolved = dataclasses.asdict(flags) | {
        "dataset": job.dataset,
        "classes": job.train.labels,
    }
    paths = {
        name: None if resolved[name] is None else str(resolved[name])
        for name in ("data_dir", "output_dir")
    }
    return {
        "script": script,
        "flags": resolved | paths,
        "dataset": job.dataset,
        "class_names": job.train.class_names,
        "layer_sizes": job.config.layer_sizes,
        "likelihood": job.config.likelihood.name,
        "device": device,
        "precision": "float32",
        "versions": versions(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def _name(flags: TrainFlags, job: Job) -> str:
    """What a run's folder is called, after the time."""
    recipe = flags.recipe if isinstance(flags, BinaryFlags) else None
    dataset = os.path.basename(job.dataset).removesuffix(".npz")
    labels = job.train.labels
    classes = (
        "-".join(map(str, labels)) if len(labels) < 5 else f"{len(labels)}-classes"
    )
    return f"{dataset}-recipe-{recipe}" if recipe else f"{dataset}-{classes}"


def _report_every(flags: TrainFlags) -> int:
    return flags.report_every or max(1, flags.epochs // 10)


class _Recorder:
    """Writes each report to the history and the screen, and keeps the last."""

    def __init__(self, folder: RunFolder, progress: Progress):
        self.folder, self.progress = folder, progress
        self.history: list[dict] = []
        self.last: Report | None = None

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
    keys = Keys.from_seed(flags.seed)
    params = (
        pytorch.init(flags.seed, job.config.layer_sizes)
        if flags.init == "torch"
        else mlp.init(keys.init, job.config.layer_sizes)
    )
    with Progress(flags.epochs) as progress:
        recorder = _Recorder(folder, progress)
        try:
            state, _ = fit(
                keys,
                job.config,
                job.hyperparams,
                train,
                state=init_state(keys, job.config, params),
                report_every=_report_every(flags),
                on_report=recorder,
            )
        except (KeyboardInterrupt, FloatingPointError) as stop:
            raise type(stop)(f"{stop}{_keep(recorder, flags.epochs)}") from None
    seconds["train"] = time.perf_counter() - start - (clock.seconds() - compiled)
    folder.write_model(state.params, flags.epochs)
    assert recorder.last is not None  # the last epoch is always reported
    return state.params, recorder.history, recorder.last.train


def _keep(recorder: _Recorder, epochs: int) -> str:
    """Saves the model of the last report of a run that stops early, and says so."""
    if recorder.last is None:
        return " before the first report; no model was kept."
    epoch = recorder.last.epoch
    recorder.folder.write_model(recorder.last.state.params, epoch)
    return f" Kept in {recorder.folder.path}: history and model of {epoch} of {epochs} epochs."


def _metrics(
    about: dict, job: Job, train: Metrics, test: Metrics, seconds: dict[str, float]
) -> dict:
    def numbers(metrics: Metrics) -> dict:
        return {
            "loss": float(metrics.loss),
            "accuracy": float(metrics.accuracy),
            "correct": int(metrics.correct),
            "count": int(metrics.count),
        }

    return {
        "dataset": job.dataset,
        "classes": job.train.class_names,
        "num_train": len(job.train.targets),
        "num_test": len(job.test.targets),
        "config": about,
        "train": numbers(train),
        "test": numbers(test),
        "seconds": seconds,
        "device": about["device"],
        "versions": about["versions"],
    }


def _draw(
    folder: RunFolder, history: list[dict], params: Params, job: Job, test: Batch
) -> None:
    # Here and not above: matplotlib takes as long to import as a short run takes to train.
    from jaxcls.runs import plots

    logits = jax.jit(mlp.apply)(params, test.features)
    likelihood, names = job.config.likelihood, job.test.class_names
    counts = confusion(likelihood.predict(logits), job.test.targets, len(names))
    folder.write_picture("curves.png", plots.curves(history))
    folder.write_picture("confusion.png", plots.confusion(counts, names))
    if job.test.image_shape is None:
        print("mistakes.png is left out: the examples are rows of numbers, not images")
        return
    images = job.test.features.reshape(-1, *job.test.image_shape)
    probabilities = np.asarray(class_probabilities(likelihood, logits))
    picture = plots.mistakes(images, job.test.targets, probabilities, names)
    folder.write_picture("mistakes.png", picture)
