"""A fit as a study of jaxcls: what is told to the engine, and what it gives back as NumPy arrays."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcls import layouts
from jaxcls.batches import Batch
from jaxcls.config import Config, Hyperparams
from jaxcls.interop.sklearn import rows as preparing
from jaxcls.interop.sklearn import settings
from jaxcls.interop.sklearn.rows import Examples, Scaling
from jaxcls.interop.sklearn.sizes import Size, held_out_size, size_of
from jaxcls.likelihoods import Likelihood
from jaxcls.mlp import Params
from jaxcls.study.devices import member_mesh, replicate
from jaxcls.study.engine import Members, Runs, joined, train_members
from jaxcls.study.many import per_member
from jaxcls.study.planning import plan_width, usual_memory
from jaxcls.study.rows import Rows, filled
from jaxcls.study.sets import Sets


class Problem(NamedTuple):
    """What a network is to learn.

    Attributes:
        examples: all of them, those of weight 0 left out.
        likelihood: of the targets.
        num_outputs: of the network.
    """

    examples: Examples
    likelihood: Likelihood
    num_outputs: int


class Prepared(NamedTuple):
    """Examples as the network takes them, filled up.

    Attributes:
        pool: [P] examples, of which those behind the first weigh nothing.
        count: how many are real.
        labels: [count] by which they are split, or None.
        scaling: of the features, or None.
        target_scaling: of the targets, or None.
        size: of what is trained on.
        held_out: rows to which those held out are filled up, or None.
    """

    pool: Batch
    count: int
    labels: np.ndarray | None
    scaling: Scaling | None
    target_scaling: Scaling | None
    size: Size
    held_out: int | None


Scalings = tuple[Scaling | None, Scaling | None]


def prepare(
    estimator: Any, problem: Problem, scalings: Scalings | None = None
) -> Prepared:
    """Merges, standardises and fills up the examples as the estimator's settings say.

    Args:
        estimator: with settings.
        problem: the examples.
        scalings: of features and targets, where they are known.
    """
    examples, has_classes = problem.examples, bool(problem.likelihood.has_classes)
    count, most = len(examples.targets), settings.largest_step(estimator)
    labels = held_out = None
    if estimator.early_stopping:
        labels = examples.targets if has_classes else None
        train, _ = preparing.split(estimator, count, labels, 0)
        size = size_of(len(train), most)
        held_out = held_out_size(size, float(estimator.validation_fraction))
    else:
        # Masks are drawn row by row: of equal examples each has its own.
        if count <= most and not estimator.dropout:
            examples = preparing.merged(examples)
            count = len(examples.targets)
        size = size_of(count, most)
    if scalings is None:
        scalings = _scalings(estimator, examples, has_classes)
    pool = _pool(
        type(estimator).__name__,
        examples,
        scalings,
        has_classes,
        size.rows + (held_out or 0),
    )
    return Prepared(pool, count, labels, *scalings, size, held_out)


def _scalings(estimator: Any, examples: Examples, has_classes: bool) -> Scalings:
    if not estimator.standardize:
        return None, None
    features, targets, weights = examples
    of_features = preparing.scaling_of(features, weights)
    return of_features, None if has_classes else preparing.scaling_of(targets, weights)


def _pool(
    owner: str, examples: Examples, scalings: Scalings, has_classes: bool, size: int
) -> Batch:
    """The examples as a batch, filled up with rows that weigh nothing."""
    features, targets, weights = examples
    of_features, of_targets = scalings
    if of_features is not None:
        features = of_features.apply(features.astype(np.float64))
    if of_targets is not None:
        targets = of_targets.apply(targets)
    if has_classes:
        targets = targets.astype(np.int32)
    else:
        targets = preparing.in_float32(owner, "y", targets)
    more = size - len(targets)
    return Batch(
        np.pad(preparing.in_float32(owner, "X", features), ((0, more), (0, 0))),
        np.pad(targets, (0, more)),
        # Of weights only their ratios matter.
        np.pad((weights / weights.mean()).astype(np.float32), (0, more)),
    )


def config_of(estimator: Any, problem: Problem, prepared: Prepared) -> Config:
    """The static part of the estimator's training."""
    sizes = (
        prepared.pool.features.shape[1],
        *settings.hidden_layers(estimator),
        problem.num_outputs,
    )
    return settings.config_of(estimator, sizes, problem.likelihood, prepared.size)


def hyperparams_of(
    estimators: Sequence[Any], factors: Sequence[np.ndarray | None]
) -> Hyperparams:
    """The traced part, leaves [S], of an estimator for each member and its class factors."""

    def numbers(name: str) -> Any:
        return np.array([float(getattr(each, name)) for each in estimators], np.float32)

    of_classes = None
    if factors[0] is not None:
        of_classes = np.stack([np.asarray(each, np.float32) for each in factors])
    return per_member(
        Hyperparams(
            learning_rate=numbers("learning_rate_init"),
            dropout_rate=numbers("dropout"),
            weight_decay=numbers("alpha"),
            class_weights=of_classes,
        ),
        len(estimators),
    )


def train(
    estimator: Any,
    prepared: Prepared,
    config: Config,
    seeds: np.ndarray,
    hyperparams: Hyperparams,
    params: Params | None = None,
) -> Runs:
    """Trains S members on the same examples, as one program.

    On a CPU members are trained one by one on each device, so that what comes of one does not hang
    on the others; on a GPU side by side.

    Args:
        estimator: whose `max_iter`, and whose split of the examples, hold for all.
        prepared: the examples.
        config: static.
        seeds: [S] of the members.
        hyperparams: leaves [S, ...].
        params: what they start from, leaves [S, ...]; drawn from the seeds by default.
    """
    devices = jax.devices()[: len(seeds)]
    mesh = member_mesh(devices)
    pool = replicate(prepared.pool, mesh)
    steps = np.array(prepared.size.steps, np.int32)
    sets = Sets(pool, None, {"train": pool}, replicate(steps, mesh))
    own = _rows(estimator, prepared, seeds)
    width = 1
    if not layouts.on_cpu(devices):
        width = plan_width(
            *(config, prepared.pool, None, None),
            num_runs=len(seeds),
            devices=devices,
            memory=usual_memory(devices),
            copied=len(prepared.pool.targets),
        )
    return joined(
        train_members(
            Members(seeds, hyperparams, params, own),
            width,
            sets,
            int(estimator.max_iter),
            config=config,
            mesh=mesh,
        )
    )


def _rows(estimator: Any, prepared: Prepared, seeds: np.ndarray) -> Rows:
    """What rows each member trains on, and which judge it."""
    if prepared.held_out is None:
        every = np.arange(prepared.count, dtype=np.int32)
        return Rows(filled([every] * len(seeds), prepared.size.rows))
    parts = [
        preparing.split(estimator, prepared.count, prepared.labels, seed)
        for seed in seeds
    ]
    return Rows(
        filled([train for train, _ in parts], prepared.size.rows),
        filled([held for _, held in parts], prepared.held_out),
    )
