"""`save_run`: a model that was trained from Python, in a folder as the scripts' own."""

import os
from collections.abc import Sequence

import jax
import numpy as np

import jaxcls
from jaxcls.config import Config, check_seed
from jaxcls.data.dataset import Dataset
from jaxcls.data.images import learned
from jaxcls.data.preparation import Preparation
from jaxcls.data.standardization import Standardization
from jaxcls.files import named_arrays
from jaxcls.likelihoods import gaussian, normal
from jaxcls.mlp import Params
from jaxcls.runs.configs import check_names, settings_record
from jaxcls.runs.folder import RunFolder
from jaxcls.runs.loading import whole_params
from jaxcls.runs.records import as_json, metrics_record

SCRIPT = "save_run"


def save_run(
    path: str | os.PathLike,
    params: Params,
    config: Config,
    *,
    train: Dataset | None = None,
    preparation: Preparation | Standardization | None = None,
    class_names: Sequence[str] | None = None,
    seeds: Sequence[int] | None = None,
    dataset: str | os.PathLike | None = None,
    overwrite: bool = False,
) -> None:
    """Writes a run folder that `load_run`, `predict.py` and `evaluate.py` read.

    Functions of one's own are kept by their names alone; `load_run` wants them again.

    Args:
        path: of the folder, made if need be.
        params: that were chosen, as `chosen_params` gives them; of S networks as `Runs.params`,
            every leaf [S, ...].
        config: they were trained with.
        train: the training set as it was loaded, for its labels or its target, the shape of its
            images and what they look like; None stands for rows of floats.
        preparation: what made features of a table's rows, as `data.load_table` gives it, so that
            tables can be predicted; or the standardization of arrays that `data.to_batch` took.
        class_names: K names; by default those of `train`, else 0 to K - 1.
        seeds: of the S networks of an ensemble; None for one network.
        dataset: name or .npz file by which `evaluate.py` finds the data.
        overwrite: take the place of a run that the folder holds.

    Raises:
        TypeError, ValueError: params, names or the set don't fit the config, or the folder holds
            a run already; the message says which.
        OSError: the folder can't be written.

    >>> import tempfile
    >>> config = Config((2, 1), jaxcls.bernoulli)
    >>> params = jaxcls.mlp.init(jax.random.key(0), (2, 1))
    >>> with tempfile.TemporaryDirectory() as path:
    ...     save_run(path, params, config, class_names=["no", "yes"])
    ...     jaxcls.load_run(path).class_names
    ('no', 'yes')
    """
    _check_kinds(config, train, class_names, seeds)
    _check_preparation(preparation, config)
    _check_target(config, train)
    check_names("save_run", config)
    arrays = named_arrays({"params": params})
    params = whole_params(arrays, config, seeds, "save_run")
    name = None if dataset is None else os.fspath(dataset)
    record = _record(config, train, class_names, seeds, name)
    if preparation is not None:
        is_table = isinstance(preparation, Preparation)
        key = "preparation" if is_table else "standardization"
        record[key] = as_json(preparation.record())
    chosen = {"by": None, "epoch": config.epochs, "epochs_done": config.epochs}
    chosen |= {"stopped_by": SCRIPT}
    if seeds is not None:
        chosen |= {"seeds": [int(seed) for seed in seeds]}
    metrics = metrics_record(
        record,
        record["class_names"],
        {},
        chosen,
        {},
        {},
        {"versions": record["versions"]},
    )
    with RunFolder(path) as folder:
        folder.clear(overwrite=overwrite)
        folder.write_config(record)
        folder.write_history([])
        folder.write_result(metrics, config.epochs, params, None)


def _check_kinds(
    config: Config,
    train: Dataset | None,
    class_names: Sequence[str] | None,
    seeds: Sequence[int] | None,
) -> None:
    """Raises for what is of another kind than it should be."""
    if not isinstance(config, Config):
        raise TypeError(
            f"save_run: config must be a jaxcls.Config, got {type(config).__name__}."
        )
    if train is not None and not isinstance(train, Dataset):
        raise TypeError(
            "save_run: train must be a Dataset, as jaxcls.data.load gives it, got "
            f"{type(train).__name__}."
        )
    if class_names is not None and not (
        isinstance(class_names, Sequence)
        and all(isinstance(name, str) for name in class_names)
    ):
        raise TypeError(f"save_run: class_names must be texts, got {class_names!r}.")
    if seeds is None:
        return
    if not isinstance(seeds, Sequence):
        raise TypeError(f"save_run: seeds must be several integers, got {seeds!r}.")
    for seed in seeds:
        check_seed("save_run", seed)
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"save_run: seeds must differ, got {list(seeds)}.")


def _check_preparation(
    preparation: Preparation | Standardization | None, config: Config
) -> None:
    """Raises unless it is one, of as many features as the config has."""
    if preparation is None:
        return
    if isinstance(preparation, Preparation):
        count = preparation.num_features
    elif isinstance(preparation, Standardization):
        count = len(preparation.mean)
    else:
        raise TypeError(
            "save_run: preparation must be that of jaxcls.data.load_table, or a "
            f"jaxcls.data.Standardization, got {type(preparation).__name__}."
        )
    if count != config.layer_sizes[0]:
        raise ValueError(
            f"save_run: preparation makes {count} features, and Config.layer_sizes "
            f"{config.layer_sizes} take {config.layer_sizes[0]}."
        )


def _check_target(config: Config, train: Dataset | None) -> None:
    """Raises ValueError where a likelihood and a training set are not both of classes or numbers."""
    likelihood, target = config.likelihood, None if train is None else train.target
    if likelihood.has_classes and target is None:
        return
    if likelihood not in (gaussian, normal) or target is None:
        got = "none" if target is None else repr(target.name)
        raise ValueError(
            "save_run: numbers are predicted by the likelihoods gaussian and normal, with a train "
            "that has their target (data.load_table(..., regression=True)), got "
            f"{likelihood.name!r} and the target {got}."
        )


def _record(
    config: Config,
    train: Dataset | None,
    class_names: Sequence[str] | None,
    seeds: Sequence[int] | None,
    dataset: str | None,
) -> dict:
    """The content of `config.json`."""
    num_classes = max(2, config.layer_sizes[-1])
    if not config.likelihood.has_classes:
        num_classes = 0
    labels, shape, pictures, dtype = tuple(range(num_classes)), None, None, "float32"
    names = tuple(map(str, labels))
    if train is not None:
        labels, names, shape = train.labels, train.class_names, train.image_shape
        dtype = "uint8" if train.features.dtype == np.uint8 else "float32"
        pictures = learned(train.features, shape)
        if train.features.shape[1] != config.layer_sizes[0]:
            raise ValueError(
                f"save_run: train has {train.features.shape[1]} features, and "
                f"Config.layer_sizes {config.layer_sizes} take {config.layer_sizes[0]}."
            )
    names = names if class_names is None else tuple(class_names)
    if not len(labels) == len(names) == len(set(names)) == num_classes:
        raise ValueError(
            f"save_run: wants {num_classes} names of classes that differ, got {list(names)} for "
            f"labels {list(labels)}."
        )
    versions = {"jaxcls": jaxcls.__version__, "jax": jax.__version__}
    of_numbers = {}
    if train is not None and train.target is not None:
        of_numbers["target"] = train.target._asdict()
    return as_json(
        {
            "script": SCRIPT,
            "flags": {"seeds": 1 if seeds is None else len(seeds), "dataset": dataset},
            "dataset": dataset,
            "labels": labels,
            "class_names": names,
            "image_shape": shape,
            "features": dtype,
            "pictures": pictures,
            "versions": versions,
            "elsewhere": [],
        }
        | settings_record(config)
        | of_numbers
    )
