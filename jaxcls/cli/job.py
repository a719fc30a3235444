"""From flags to a job: data loaded, settings checked, starting weights drawn."""

import dataclasses
import os
from typing import NamedTuple

from jaxcls import mlp
from jaxcls.cli.device import versions
from jaxcls.cli.flags import BinaryFlags, TrainFlags
from jaxcls.cli.screen import note
from jaxcls.config import Config, Hyperparams, Keys, check_hyperparams
from jaxcls.data import Dataset, load, load_mnist_or_digits
from jaxcls.interop import pytorch
from jaxcls.likelihoods import LIKELIHOODS
from jaxcls.mlp import Params


class Data(NamedTuple):
    """A dataset's name and its two parts."""

    name: str
    train: Dataset
    test: Dataset


class Job(NamedTuple):
    """A run that is ready to start: its data and its settings, checked."""

    data: Data
    config: Config
    hyperparams: Hyperparams
    keys: Keys
    params: Params


def load_data(flags: TrainFlags, script: str) -> Data:
    """Loads the dataset and the classes that the flags ask for."""
    binary = isinstance(flags, BinaryFlags)
    classes = flags.classes
    if classes is None and not (flags.dataset or "").endswith(".npz"):
        classes = (0, 1) if binary else (0, 1, 2)
    if flags.dataset is not None:
        train, test = load(flags.dataset, data_dir=flags.data_dir, classes=classes)
        data = Data(flags.dataset, train, test)
    else:
        name, train, test, notice = load_mnist_or_digits(
            data_dir=flags.data_dir, classes=classes
        )
        data = Data(name, train, test)
        if notice is not None:
            note(script, notice)
    labels = data.train.labels
    if binary and len(labels) != 2:
        raise ValueError(
            f"classes must be two here, got {len(labels)}: {' '.join(map(str, labels))}; name "
            "two with --classes, or use train_multiclass.py."
        )
    return data


def prepare(flags: TrainFlags, data: Data, script: str) -> Job:
    """Checks the settings against the data and draws the starting weights."""
    if flags.report_every is not None and flags.report_every < 1:
        raise ValueError(f"report_every must be at least 1, got {flags.report_every}.")
    named = flags.likelihood if isinstance(flags, BinaryFlags) else "categorical"
    likelihood, num_train = LIKELIHOODS[named], len(data.train.targets)
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
            data.train.features.shape[1],
            *flags.hidden,
            likelihood.num_outputs(len(data.train.labels)),
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
    check_hyperparams("Hyperparams", hyperparams, config)
    keys = Keys.from_seed(flags.seed)
    params = (
        pytorch.init(flags.seed, config.layer_sizes)
        if flags.init == "torch"
        else mlp.init(keys.init, config.layer_sizes)
    )
    return Job(data, config, hyperparams, keys, params)


def about(flags: TrainFlags, job: Job, script: str, device: str) -> dict:
    """Everything needed to repeat the run, as `config.json` keeps it."""
    named = job.data.name
    resolved = dataclasses.asdict(flags) | {
        "dataset": os.path.abspath(named) if named.endswith(".npz") else named,
        "classes": job.data.train.labels,
    }
    paths = {
        name: None if path is None else os.path.abspath(path)
        for name, path in (
            ("data_dir", flags.data_dir),
            ("output_dir", flags.output_dir),
        )
    }
    return {
        "script": script,
        "flags": resolved | paths,
        "dataset": job.data.name,
        "class_names": job.data.train.class_names,
        "layer_sizes": job.config.layer_sizes,
        "likelihood": job.config.likelihood.name,
        "device": device,
        "precision": "float32",
        "versions": versions(),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
    }


def run_name(flags: TrainFlags, job: Job) -> str:
    """What a run's folder is called, after the time."""
    recipe = flags.recipe if isinstance(flags, BinaryFlags) else None
    dataset = os.path.basename(job.data.name).removesuffix(".npz")
    labels = job.data.train.labels
    classes = (
        "-".join(map(str, labels)) if len(labels) < 5 else f"{len(labels)}-classes"
    )
    return f"{dataset}-recipe-{recipe}" if recipe else f"{dataset}-{classes}"


def report_every(flags: TrainFlags) -> int:
    """Epochs between two reports: a tenth of all if the flags do not say."""
    return flags.report_every or max(1, flags.epochs // 10)
