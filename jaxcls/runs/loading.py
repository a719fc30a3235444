"""`load_run`: the classifier of a run's folder, from its config and its params or a checkpoint."""

import dataclasses
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import jax
import numpy as np

from jaxcls import mlp
from jaxcls.config import Config, Keys
from jaxcls.data.preparation import Preparation
from jaxcls.data.standardization import Standardization
from jaxcls.files import load_arrays, restore
from jaxcls.likelihoods import Likelihood
from jaxcls.mlp import Params
from jaxcls.optimizers import OwnOptimizer
from jaxcls.regression import Target
from jaxcls.runs.calibrations import calibration_of
from jaxcls.runs.checkpoints import newest_checkpoint, read_config
from jaxcls.runs.configs import NO_OWN, Own, config_of
from jaxcls.runs.folder import read_metrics
from jaxcls.runs.names import METRICS, MODEL, WINNER
from jaxcls.runs.records import check_config, check_same_run
from jaxcls.runs.trained import Run
from jaxcls.training import TrainState, chosen_params, init_state


def load_run(
    path: str | os.PathLike,
    *,
    likelihood: Likelihood | None = None,
    activation: Callable[[jax.Array], jax.Array] | None = None,
    optimizer: OwnOptimizer | None = None,
) -> Run:
    """Rebuilds a classifier from the folder of its run; of several seeds, their ensemble.

    Of a run that is not finished it is that of the newest whole checkpoint, with the best
    parameters so far where a validation set chooses.

    Args:
        path: of the folder.
        likelihood, activation, optimizer: the functions of one's own that it was trained with,
            which no file keeps. The optimizer is wanted for a checkpoint alone.

    Raises:
        ValueError: there is no run, or none that is whole enough; the message names the file.
    """
    path, own = Path(path), Own(likelihood, activation, optimizer)
    record, _ = read_config(path)
    if "plan" in record:
        raise ValueError(
            f"{path} holds a sweep; its winner, once it is finished, is {path / WINNER}."
        )
    try:
        run = described(record, own)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        reason = f"{error} is missing" if isinstance(error, KeyError) else str(error)
        raise ValueError(
            f"{path}: its config can't be used: {reason.rstrip('.')}."
        ) from None
    metrics = read_metrics(path, model_only=True)
    if metrics is None:
        return _from_checkpoint(path, run)
    check_same_run(record, metrics["config"], path / METRICS)
    chosen = metrics["chosen"]
    arrays = load_arrays(path / MODEL, metrics["sha256_of"][MODEL])
    seeds = chosen.get("seeds")
    if seeds is not None:
        seeds = tuple(seeds)
    params = whole_params(arrays, run.config, seeds, path / MODEL)
    return dataclasses.replace(
        run,
        params=params,
        seeds=seeds,
        epoch=chosen["epoch"],
        source=path / MODEL,
        **calibration_of(metrics, path / METRICS, len(run.labels)),
    )


def _from_checkpoint(path: Path, run: Run) -> Run:
    checkpoint, problems = newest_checkpoint(path)
    if checkpoint is None:
        raise ValueError(
            f"{path}: the run has no result and no checkpoint yet; resume it with --resume {path}."
            + (f" Passed over: {' '.join(problems)}" if problems else "")
        )
    check_same_run(run.record, checkpoint.config, checkpoint.source)
    state = checkpoint.state(jax.eval_shape(partial(_start, run.config)))
    best, params = state.progress.best, chosen_params(state)
    _check_finite(params, checkpoint.source)
    return dataclasses.replace(
        run,
        params=params,
        epoch=checkpoint.epoch if best is None else int(best.epoch),
        source=checkpoint.source,
    )


def whole_params(
    arrays: Mapping[str, np.ndarray],
    config: Config,
    seeds: Sequence[int] | None,
    source: Path | str,
) -> Params:
    """The params of these names, of S networks every leaf [S, ...].

    Raises:
        ValueError: they are not the config's, or not finite.
    """
    leading = () if seeds is None else (len(seeds),)
    wanted = jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct((*leading, *leaf.shape), leaf.dtype),
        jax.eval_shape(
            lambda key: mlp.init(key, config.layer_sizes), jax.random.key(0)
        ),
    )
    params = restore({"params": wanted}, arrays, source)["params"]
    _check_finite(params, source)
    return params


def _check_finite(params: Params, source: Path | str) -> None:
    if not all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(params)):
        raise ValueError(
            f"{source}: the params are not finite, and nothing can be predicted with them."
        )


def described(record: dict, own: Own = NO_OWN) -> Run:
    """The run that a `config.json` describes, without its parameters.

    Args:
        record: the file's content.
        own: functions of a user's own that it names.

    Raises:
        ValueError, TypeError, KeyError, AttributeError: it describes none.
    """
    check_config(record)
    config = config_of(record, own)
    labels, names = tuple(record["labels"]), tuple(record["class_names"])
    shape = None if record["image_shape"] is None else tuple(record["image_shape"])
    target = target_of_record(record)
    num_classes = 0 if target is not None else max(2, config.layer_sizes[-1])
    if config.likelihood.has_classes == (target is not None):
        raise ValueError("target does not fit the likelihood.")
    if not (
        len(labels) == len(names) == num_classes
        and (shape is None or np.prod(shape, dtype=float) == config.layer_sizes[0])
    ):
        raise ValueError("labels, class_names or image_shape do not fit layer_sizes.")
    preparation = None
    if record.get("preparation") is not None:
        preparation = Preparation.of_record(record["preparation"])
        if preparation.num_features != config.layer_sizes[0]:
            raise ValueError("preparation does not fit layer_sizes.")
    standardization = None
    if record.get("standardization") is not None:
        standardization = Standardization.of_record(record["standardization"])
        if len(standardization.mean) != config.layer_sizes[0]:
            raise ValueError("standardization does not fit layer_sizes.")
    takes_bytes = record["features"] == "uint8"
    # A run of 0.1.0 keeps no such field: light on dark, and only MNIST's were centred.
    old = {"light_ground": False, "centred": record.get("dataset") == "mnist"}
    pictures = record.get("pictures") or old
    # The first runs that keep `pictures` keep no `plain_ground`.
    light_ground, centred = pictures["light_ground"], pictures["centred"]
    plain_ground = pictures.get("plain_ground", False)
    if any(type(each) is not bool for each in (light_ground, centred, plain_ground)):
        raise ValueError(
            "pictures: light_ground, plain_ground and centred must be true or false."
        )
    return Run(
        config=config,
        params={},
        seeds=None,
        labels=labels,
        class_names=names,
        image_shape=shape,
        takes_bytes=takes_bytes,
        light_ground=light_ground,
        plain_ground=plain_ground,
        centred=centred,
        epoch=0,
        source=Path(),
        record=record,
        preparation=preparation,
        standardization=standardization,
        target=target,
    )


def target_of_record(record: dict) -> Target | None:
    """The target that a `config.json` keeps, or None of classes.

    >>> target_of_record({"target": {"name": "y", "mean": 1, "scale": 2}})
    Target(name='y', mean=1, scale=2)
    """
    kept = record.get("target")
    return None if kept is None else Target(**kept)


def _start(config: Config) -> TrainState:
    return init_state(Keys.from_seed(0), config)
