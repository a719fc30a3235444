"""From flags to a job: data loaded, settings checked, starting weights drawn."""

import dataclasses
import os
import re
from typing import Literal, NamedTuple

import numpy as np

from jaxcls import mlp
from jaxcls.batches import Batch
from jaxcls.checks import check_hyperparams
from jaxcls.cli.calibrating import check_calibration_flags, check_threshold_classes
from jaxcls.cli.data import Data, data_digest, data_of_flags, is_npz
from jaxcls.cli.device import machine, versions
from jaxcls.cli.flags import (
    NOT_KEPT,
    BinaryFlags,
    RegressionFlags,
    SweepFlags,
    TrainFlags,
)
from jaxcls.cli.free_memory import check_memory
from jaxcls.cli.screen import note
from jaxcls.cli.splits import num_splits
from jaxcls.cli.table_data import classes_kept
from jaxcls.config import Config, Hyperparams, Keys
from jaxcls.data import Dataset
from jaxcls.data.images import learned
from jaxcls.interop import pytorch
from jaxcls.likelihoods import LIKELIHOODS, Likelihood
from jaxcls.mlp import Params
from jaxcls.runs.configs import settings_record
from jaxcls.runs.records import as_json
from jaxcls.scale import problem_of_scale

# Variables of jax's that change no number: the device is told by itself.
_HARMLESS = ("JAX_PLATFORMS", "JAX_COMPILATION_CACHE_DIR")


class Job(NamedTuple):
    """A run that is ready to start: its data and its settings, checked."""

    data: Data
    config: Config
    hyperparams: Hyperparams
    keys: Keys
    params: Params


def load_data(flags: TrainFlags) -> Data:
    """Loads the dataset and the classes that the flags ask for, and splits for validation.

    Flags that are wrong whatever the data are refused before these are looked for.
    """
    _check_flags(flags)
    return data_of_flags(flags)


def prepare(flags: TrainFlags, data: Data) -> Job:
    """Checks the settings against the data and draws the starting weights."""
    likelihood, num_train = _likelihood(flags), len(data.train.targets)
    batch_size = None if flags.batch_size == "full" else flags.batch_size
    if batch_size is not None and batch_size > num_train:
        note(
            f"batch_size {batch_size:,} is more than the {num_train:,} training examples; the "
            "full batch is used.",
        )
        batch_size = None
    for each in _notes(flags, data):
        note(each)
    check_threshold_classes(flags, data.train.class_names)
    layer_sizes = (
        data.train.features.shape[1],
        *flags.hidden,
        likelihood.num_outputs(len(data.train.labels)),
    )
    config = _config(
        flags, layer_sizes, batch_size, validates=bool(flags.validation_fraction)
    )
    hyperparams = _hyperparams(flags, class_weights(flags.class_weights, data.train))
    check_hyperparams("Hyperparams", hyperparams, config)
    check_memory(
        config,
        Batch(data.train.features, data.train.targets),
        None
        if data.validation is None
        else Batch(data.validation.features, data.validation.targets),
        Batch(data.test.features, data.test.targets),
    )
    keys = Keys.from_seed(flags.seed)
    params = (
        pytorch.init(flags.seed, config.layer_sizes)
        if flags.init == "torch"
        else mlp.init(keys.init, config.layer_sizes)
    )
    return Job(data, config, hyperparams, keys, params)


def _check_flags(flags: TrainFlags) -> None:
    """Raises ValueError for a flag that is wrong whatever the data are."""
    for name in ("report_every", "checkpoint_every", "keep_checkpoints"):
        value = getattr(flags, name)
        if value is not None and value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    if flags.patience is not None and flags.validation_fraction == 0:
        raise ValueError(
            f"patience {flags.patience} needs a validation set; give a validation_fraction above 0."
        )
    check_calibration_flags(flags)
    # Of one input and of two classes; what hangs on the data is checked beside them.
    batch_size = None if flags.batch_size == "full" else flags.batch_size
    layer_sizes = (1, *(1 for _ in flags.hidden), _likelihood(flags).num_outputs(2))
    validates = bool(flags.validation_fraction) or flags.patience is not None
    config = _config(flags, layer_sizes, batch_size, validates=validates)
    check_hyperparams("Hyperparams", _hyperparams(flags, None), config)


def _likelihood(flags: TrainFlags) -> Likelihood:
    named = "categorical"
    if isinstance(flags, BinaryFlags | RegressionFlags):
        named = flags.likelihood
    return LIKELIHOODS[named]


def _config(
    flags: TrainFlags,
    layer_sizes: tuple[int, ...],
    batch_size: int | None,
    *,
    validates: bool,
) -> Config:
    return Config(
        layer_sizes=layer_sizes,
        likelihood=_likelihood(flags),
        optimizer=flags.optimizer,
        momentum=flags.momentum,
        batch_size=batch_size,
        shuffle=flags.shuffle,
        dropout=flags.dropout > 0,
        epochs=flags.epochs,
        schedule=flags.schedule,
        monitor=flags.monitor if validates else None,
        patience=flags.patience,
        activation=flags.activation,
        ema_decay=flags.ema_decay,
    )


def _hyperparams(flags: TrainFlags, weights: tuple[float, ...] | None) -> Hyperparams:
    return Hyperparams(
        learning_rate=flags.learning_rate,
        dropout_rate=flags.dropout,
        weight_decay=flags.weight_decay,
        clip_norm=flags.clip_norm,
        label_smoothing=flags.label_smoothing or None,
        class_weights=weights,
    )


def about(flags: TrainFlags, job: Job, device: str) -> dict:
    """Everything needed to repeat the run, as `config.json` keeps it."""
    return surroundings(flags, job.data, device) | settings_record(job.config)


def surroundings(flags: TrainFlags | SweepFlags, data: Data, device: str) -> dict:
    """What `config.json` keeps of flags and data, and of where they are used."""
    named = data.name
    kept = {
        name: value
        for name, value in dataclasses.asdict(flags).items()
        if name not in NOT_KEPT
    }
    found: dict[str, object] = {"dataset": named, "data_dir": data.folder}
    if data.train.target is None:
        found["classes"] = classes_kept(data.train, by_words=data.by_words)
    if data.origin is not None:
        found["test_dataset"] = data.origin.test_file
    config = {
        "script": flags.SCRIPT,
        "flags": kept | found,
        "dataset": named,
        "data_sha256": data_digest(data),
        "labels": data.train.labels,
        "class_names": data.train.class_names,
        "image_shape": data.train.image_shape,
        "features": "uint8" if data.train.features.dtype == np.uint8 else "float32",
        "pictures": learned(data.train.features, data.train.image_shape),
        "device": device,
        "machine": machine(),
        "precision": "float32",
        "versions": versions(device),
        "xla_flags": os.environ.get("XLA_FLAGS", ""),
        "jax_variables": {
            name: value
            for name, value in sorted(os.environ.items())
            if name.startswith("JAX_") and name not in _HARMLESS
        },
        "elsewhere": [],
    }
    if data.origin is not None:
        config["preparation"] = data.origin.preparation.record()
    if data.standardization is not None:
        config["standardization"] = data.standardization.record()
    if data.train.target is not None:
        config["target"] = data.train.target._asdict()
    return as_json(config)


def run_name(flags: TrainFlags, job: Job) -> str:
    """What a run's folder is called, after the time."""
    recipe = flags.recipe if isinstance(flags, BinaryFlags) else None
    dataset = os.path.basename(job.data.name)
    if is_npz(dataset) or job.data.origin is not None:
        dataset = os.path.splitext(dataset)[0]
    if job.data.origin is not None:
        target = re.sub(r"[^\w.-]+", "_", job.data.origin.preparation.target)
        return f"{dataset}-{target[:40]}"
    labels = job.data.train.labels
    is_short = len(labels) < 5 and not job.data.by_words
    classes = "-".join(map(str, labels)) if is_short else f"{len(labels)}-classes"
    return f"{dataset}-recipe-{recipe}" if recipe else f"{dataset}-{classes}"


def _notes(flags: TrainFlags, data: Data) -> list[str]:
    """What makes a run of little use, or is asked for without effect, a sentence each."""
    problem = None
    if data.standardization is None and data.origin is None:
        problem = problem_of_scale(data.train.features)
    without_validation = not flags.validation_fraction
    splits = num_splits(flags) is not None
    idle = {
        f"--dropout {flags.dropout}, as there is no hidden layer to drop units of": (
            flags.dropout > 0 and not flags.hidden
        ),
        f"--monitor {flags.monitor}, as there is no validation set; give a validation_fraction": (
            flags.monitor != "loss" and without_validation
        ),
        f"--split-seed {flags.split_seed}, as no validation set is split off": (
            flags.split_seed is not None
            and without_validation
            and not splits
            and (data.origin is None or data.origin.test_file is not None)
        ),
    }
    notes = [] if problem is None else [f"{problem[:-1]}, or give --standardize."]
    return notes + [
        f"without effect: {what}." for what, is_idle in idle.items() if is_idle
    ]


def class_weights(
    wanted: Literal["balanced"] | tuple[float, ...] | None, train: Dataset
) -> tuple[float, ...] | None:
    """The weight of each class; balanced gives every class the same total."""
    if wanted != "balanced":
        return wanted
    counts = np.bincount(train.targets, minlength=len(train.labels))
    return tuple((len(train.targets) / (len(counts) * counts)).tolist())
