"""A fit: what the examples become, and the members of it, all by one program."""

import math
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Any, NamedTuple

import jax
import numpy as np

from jaxcls import drawing, layouts
from jaxcls.batches import Batch
from jaxcls.config import Config, Hyperparams
from jaxcls.interop.sklearn import rows as preparing
from jaxcls.interop.sklearn import segments, settings
from jaxcls.interop.sklearn.rows import Examples, Scaling
from jaxcls.interop.sklearn.segments import Course, Member
from jaxcls.interop.sklearn.sizes import Size, held_out_size, size_of
from jaxcls.likelihoods import Likelihood
from jaxcls.mlp import Params
from jaxcls.study.engine import Runs
from jaxcls.study.many import per_member
from jaxcls.study.planning import plan_width, usual_memory
from jaxcls.study.rows import Rows, filled
from jaxcls.study.sets import Sets

_MOST_ORDERED = 2**24  # numbers of rows kept in their orders, 64 MB


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
    estimators: Sequence[Any],
    prepared: Prepared,
    config: Config,
    seeds: np.ndarray,
    hyperparams: Hyperparams,
    params: Params | None = None,
) -> Runs:
    """Trains S members on the same examples, by one program; args as of `train_each`."""
    trained = dict(train_each(estimators, prepared, config, seeds, hyperparams, params))
    return stacked([trained[number] for number in range(len(seeds))])


def train_each(
    estimators: Sequence[Any],
    prepared: Prepared,
    config: Config,
    seeds: np.ndarray,
    hyperparams: Hyperparams,
    params: Params | None = None,
    is_compiled: bool = False,
) -> Iterator[tuple[int, Runs]]:
    """Trains S members by one program, and gives each with its number as it is done.

    On a CPU members are trained one by one, as many at a time as there are cores, so that what comes
    of one does not hang on the others; on a GPU side by side.

    Args:
        estimators: of each member, whose `validation_fraction` is the same.
        prepared: the examples.
        config: static.
        seeds: [S] of the members.
        hyperparams: leaves [S, ...].
        params: what they start from, leaves [S, ...]; drawn from the seeds by default.
        is_compiled: whether members were trained with this config and as many rows before.
    """
    if params is None:
        params = segments.drawn_params(seeds, config)
    members = Member(
        np.stack([drawing.keys_of(seed).dropout for seed in seeds]),
        hyperparams,
        _rows(estimators[0], prepared, seeds),
    )
    devices = jax.devices()
    devices = devices[:1] if layouts.on_cpu(devices) else devices
    places = [_sets_on(device, prepared) for device in devices]
    order_of = _orders(prepared.size, members)

    def train_some(chunk: int, numbers: np.ndarray) -> Iterator[tuple[int, Runs]]:
        own, begun = jax.tree.map(lambda leaf: leaf[numbers], (members, params))
        runs = segments.train_side_by_side(
            [_course(estimators[number]) for number in numbers],
            seeds[numbers],
            own,
            begun,
            places[chunk % len(places)],
            config,
            order_of,
        )
        return zip(numbers.tolist(), runs, strict=True)

    chunks = list(enumerate(_chunks(seeds, prepared, config, devices)))
    # The first one alone, which compiles the program for all.
    alone = 0 if is_compiled and len(chunks) > 1 else 1
    for chunk in chunks[:alone]:
        yield from train_some(*chunk)
    if len(chunks) > alone:
        with ThreadPoolExecutor(max(_num_cores(), len(devices))) as pool:
            for part in pool.map(lambda chunk: train_some(*chunk), chunks[alone:]):
                yield from part


def _orders(size: Size, members: Member) -> Callable[[int, int], np.ndarray] | None:
    """The order of a seed's rows in an epoch, kept for other members of it; None in full batches."""
    if size.batch_size is None:
        return None
    counts: Any = members.rows.train.counts
    count = int(counts[0])  # of all: they have the same share of the same examples

    @lru_cache(_MOST_ORDERED // size.rows)
    def order_of(seed: int, epoch: int) -> np.ndarray:
        key = drawing.keys_of(seed).shuffle
        return drawing.order_of(key, epoch, count, size.rows)

    return order_of


def _chunks(
    seeds: np.ndarray,
    prepared: Prepared,
    config: Config,
    devices: Sequence[jax.Device],
) -> list[np.ndarray]:
    """The numbers of the members that are trained side by side, those of a seed together."""
    width, order = 1, np.argsort(seeds, kind="stable")
    if not layouts.on_cpu(devices):
        width = plan_width(
            *(config, prepared.pool, None, None),
            num_runs=len(seeds),
            devices=devices,
            memory=usual_memory(devices),
            # With the orders of a segment, as if they were columns.
            copied=len(prepared.pool.targets)
            * math.ceil(1 + segments.SEGMENT / config.layer_sizes[0]),
        )
    return np.split(order, range(width, len(order), width))


def _course(estimator: Any) -> Course:
    patience = None if estimator.early_stopping else int(estimator.n_iter_no_change)
    return Course(int(estimator.max_iter), float(estimator.tol), patience)


def _sets_on(device: jax.Device, prepared: Prepared) -> Sets:
    pool, steps = jax.device_put(
        (prepared.pool, np.array(prepared.size.steps, np.int32)), device
    )
    return Sets(pool, None, {"train": pool}, steps)


def stacked(runs: Sequence[Runs]) -> Runs:
    """Of runs of any number of epochs, whose histories are filled up with NaN, or with 0."""
    longest = max(int(run.epochs) for run in runs)

    def filled_up(leaf: np.ndarray) -> np.ndarray:
        blank = np.nan if np.issubdtype(leaf.dtype, np.floating) else 0
        return np.pad(leaf, (0, longest - len(leaf)), constant_values=blank)

    runs = [run._replace(history=jax.tree.map(filled_up, run.history)) for run in runs]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *runs)


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


def _num_cores() -> int:
    """Those that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
