"""`partial_fit`: one epoch on the rows at hand, and the optimizer's state from call to call."""

from functools import partial
from typing import Any

import jax
import numpy as np

from jaxcls import layouts
from jaxcls.batches import Batch
from jaxcls.config import Config, Hyperparams, Keys
from jaxcls.interop.sklearn import networks, settings, training
from jaxcls.interop.sklearn.training import Prepared, Problem
from jaxcls.mlp import Params
from jaxcls.packing import chosen
from jaxcls.training import TrainState, init_state


def step(
    estimator: Any,
    X: Any,
    y: Any,
    sample_weight: Any,
    classes: np.ndarray | None = None,
) -> None:
    """Trains each member of an estimator one epoch, and sets its attributes.

    Args:
        estimator: `MLPClassifier` or `MLPRegressor`.
        X, y, sample_weight: as of its `partial_fit`.
        classes: all labels, where there are such and they are not known.
    """
    settings.check_settings(estimator)
    owner, is_first = type(estimator).__name__, not hasattr(estimator, "coefs_")
    if estimator.early_stopping:
        raise ValueError(
            f"{owner}: partial_fit holds nothing out, so early_stopping must be False."
        )
    if classes is not None and is_first:
        estimator.classes_ = classes
    problem = estimator._problem(X, y, sample_weight, reset=is_first, learn=False)
    scalings = None if is_first else estimator._scalings()
    prepared = training.prepare(estimator, problem, scalings)
    config = training.config_of(estimator, problem, prepared)
    numbers = training.hyperparams_of([estimator], [estimator._factors(problem)])
    numbers = jax.tree.map(lambda leaf: leaf[0], numbers)
    seeds = settings.seeds_of(estimator) if is_first else estimator.seeds_
    states, losses = [], []
    for place, seed in enumerate(seeds):
        keys = Keys.from_seed(int(seed))
        state = _state(estimator, place, keys, config, numbers)
        state, history = layouts.train_epochs(
            state, _batch(prepared), keys, numbers, config=config, num_epochs=1
        )
        states.append(jax.tree.map(np.array, jax.device_get(state)))
        losses.append(float(history.loss[0]))
    _take(estimator, states, float(np.mean(losses)), seeds, prepared, problem)
    solver = config.optimizer, config.momentum
    estimator._moments = solver, [jax.tree.leaves(state) for state in states]


def _state(
    estimator: Any, place: int, keys: Keys, config: Config, hyperparams: Hyperparams
) -> TrainState:
    """Where a member stands: as the last call left it, as `fit` did, or at its beginning."""
    start = partial(init_state, keys, config, None, hyperparams)
    if not hasattr(estimator, "coefs_"):
        return start()
    kernels, biases = estimator._stacked()
    params = networks.to_params(
        [each[place] for each in kernels], [each[place] for each in biases]
    )
    shapes = jax.eval_shape(start)
    _check_shapes(estimator, params, shapes)
    solver, kept = getattr(estimator, "_moments", (None, []))
    if solver != (config.optimizer, config.momentum):
        return init_state(keys, config, params, hyperparams)
    return jax.tree.unflatten(jax.tree.structure(shapes), kept[place])


def _check_shapes(estimator: Any, params: Params, shapes: TrainState) -> None:
    had, wanted = jax.tree.map(np.shape, (params, shapes.params))
    if had != wanted:
        raise ValueError(
            f"{type(estimator).__name__}: partial_fit goes on with the network that it has, and "
            "hidden_layer_sizes asks for another; keep it, or call fit."
        )


def _batch(prepared: Prepared) -> Batch:
    """The examples, of which steps of mini-batches take those that are real."""
    if prepared.size.batch_size is None:
        return prepared.pool
    rows = np.minimum(np.arange(prepared.size.rows), prepared.count - 1)
    count, steps = np.int32(prepared.count), np.int32(prepared.size.steps)
    return chosen(prepared.pool, prepared.pool, rows.astype(np.int32), count, steps)


def _take(
    estimator: Any,
    states: list[TrainState],
    loss: float,
    seeds: np.ndarray,
    prepared: Prepared,
    problem: Problem,
) -> None:
    """Sets the attributes."""
    params = jax.tree.map(lambda *leaves: np.stack(leaves), *(s.params for s in states))
    losses = [*getattr(estimator, "loss_curve_", []), loss]
    num_epochs = getattr(estimator, "n_iter_", 0) + 1
    estimator._set_networks(*networks.to_layers(params), problem)
    estimator._set_scaling(prepared.scaling, prepared.target_scaling)
    estimator._set_course(losses, num_epochs, seeds, np.full(len(seeds), num_epochs))
