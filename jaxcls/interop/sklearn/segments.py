"""Members of a fit, some epochs at a time: the program, and the host that says how far it goes.

The one program is given what NumPy draws (`drawing`) and scores nothing that nobody asked for, so that
a first fit compiles little.
"""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls import drawing
from jaxcls.choosing import Best
from jaxcls.config import Config, Hyperparams, Keys, split_seed
from jaxcls.epochs import History
from jaxcls.jitting import jitted
from jaxcls.layouts import train_epochs
from jaxcls.mlp import Params
from jaxcls.study.engine import Runs
from jaxcls.study.rows import Rows, sets_of
from jaxcls.study.sets import Sets
from jaxcls.training import TrainState, chosen_params, init_state

SEGMENT = 32  # epochs that one call does at most, and `Config.epochs` of an estimator


class Member(NamedTuple):
    """What a member is told; of W side by side with leaves [W, ...].

    Attributes:
        key: [2] uint32, the bits of the key for masks.
        hyperparams: its own.
        rows: of the examples that all share.
        orders: [SEGMENT, M] int32, of its rows in the epochs of a call; None in full batches.
        until: [] int32, epochs after which the call ends.
    """

    key: np.ndarray
    hyperparams: Hyperparams
    rows: Rows
    orders: np.ndarray | None = None
    until: Any = None


@jitted("config")
def train_segment(
    states: TrainState, members: Member, sets: Sets, config: Config
) -> tuple[TrainState, History]:
    """Trains W members for up to `SEGMENT` epochs each; leaves [W, ...]."""
    one = partial(_train_one, sets=sets, config=config)
    if len(states.step) > 1:
        return jax.vmap(one)(states, members)
    # Side by side with none it would take twice as long to compile.
    first = jax.tree.map(lambda leaf: leaf[0], (states, members))
    return jax.tree.map(lambda leaf: leaf[None], one(*first))


def _train_one(
    state: TrainState, member: Member, *, sets: Sets, config: Config
) -> tuple[TrainState, History]:
    own = sets_of(member.rows, sets, config)
    data: Any = own.train
    if member.orders is not None:
        features = data.features._replace(orders=member.orders)
        data = data._replace(features=features)
    key = jax.random.wrap_key_data(jnp.asarray(member.key), impl="threefry2x32")
    return train_epochs(
        state,
        data,
        Keys(key, key, key),  # what the others would draw is drawn
        member.hyperparams,
        own.validation,
        member.until,
        config=config,
        num_epochs=SEGMENT,
    )


def first_states(params: Params, config: Config) -> TrainState:
    """`init_state` of params with leaves [W, ...], in NumPy: all but these begins at 0."""
    width = len(params["Dense_0"]["bias"])
    state = jax.tree.map(
        lambda leaf: np.zeros((width, *leaf.shape), leaf.dtype), _shapes(config)
    )
    none = np.full_like(state.progress.first_nonfinite_step, -1)
    best = state.progress.best
    if best is not None:
        limits = np.finfo(best.value.dtype)
        worst = limits.max if config.monitor == "loss" else limits.min
        best = Best(params, np.full_like(best.value, worst), best.epoch)
    progress = state.progress._replace(first_nonfinite_step=none, best=best)
    return state._replace(params=params, progress=progress)


@lru_cache
def _shapes(config: Config) -> TrainState:
    """The shapes of a state, for which a trace takes as long as ten epochs of a small set."""
    keys = jax.eval_shape(lambda: Keys(*split_seed(jnp.uint32(0))))
    return jax.eval_shape(partial(init_state, config=config), keys)


class Course:
    """How far a member is.

    Args:
        max_iter: epochs at most.
        tol: by how much an epoch's training loss must be below the least one before it.
        patience: epochs in a row that need not, or None where the training loss ends nothing.
    """

    def __init__(self, max_iter: int, tol: float, patience: int | None):
        self._max_iter, self._tol, self._patience = max_iter, tol, patience
        self._best, self._waited = np.inf, 0
        self.done, self.parts, self.is_over = 0, [], False

    def next_end(self) -> int:
        """Epochs after which it is looked at again, before which it can't be over."""
        if self.is_over:
            return self.done
        more = SEGMENT
        if self._patience is not None:
            more = min(more, self._patience + 1 - self._waited)
        return min(self.done + more, self._max_iter)

    def went_on(self, done: int, history: History) -> None:
        """Takes what a call gave, which was to end at `next_end`."""
        is_early = done < self.next_end()
        part = jax.tree.map(lambda leaf: leaf[: done - self.done], history)
        self.parts.append(part)
        self.done = done
        for loss in part.loss:
            # As scikit-learn counts; a loss that is NaN is not less than any.
            is_better = loss <= self._best - self._tol
            self._waited = 0 if is_better else self._waited + 1
            self._best = min(self._best, float(loss))
        waited = self._patience is not None and self._waited > self._patience
        self.is_over = is_early or waited or done >= self._max_iter


def train_side_by_side(
    courses: Sequence[Course],
    seeds: np.ndarray,
    members: Member,
    params: Params,
    sets: Sets,
    config: Config,
    order_of: Callable[[int, int], np.ndarray] | None,
) -> list[Runs]:
    """Trains members until all are over; returns what came of each, on the host.

    Args:
        courses: of the W members, at their beginnings.
        seeds: [W].
        members: leaves [W, ...], without orders and ends.
        params: what they start from, leaves [W, ...].
        sets: on the device.
        config: static.
        order_of: the order of a seed's rows in an epoch; None in full batches.
    """
    width, device = len(courses), sets.train.targets.device
    # Where the next ones will be, for which a program would be compiled again.
    states = jax.device_put(first_states(params, config), device)
    while not all(course.is_over for course in courses):
        ends = np.array([course.next_end() for course in courses], np.int32)
        orders = None
        if order_of is not None:
            size = members.rows.train.rows.shape[1]
            orders = np.zeros((width, SEGMENT, size), np.int32)
            for row, course in enumerate(courses):
                for place, epoch in enumerate(range(course.done, ends[row])):
                    orders[row, place] = order_of(int(seeds[row]), epoch)
        states, history = train_segment(
            states, members._replace(orders=orders, until=ends), sets, config=config
        )
        done, history = jax.device_get((states.epoch, history))
        for row, course in enumerate(courses):
            if not course.is_over:
                course.went_on(
                    int(done[row]), jax.tree.map(lambda leaf, i=row: leaf[i], history)
                )
    states = jax.device_get(states)
    return [
        _run_of(course, jax.tree.map(lambda leaf, i=row: leaf[i], states))
        for row, course in enumerate(courses)
    ]


def _run_of(course: Course, state: TrainState) -> Runs:
    history = jax.tree.map(lambda *parts: np.concatenate(parts), *course.parts)
    best, first = state.progress.best, state.progress.first_nonfinite_step
    done = np.array(course.done, np.int32)
    finite = all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(state.params))
    return Runs(
        epochs=done,
        chosen_epoch=done if best is None else best.epoch,
        finite=np.array(finite and first < 0),
        first_nonfinite_step=first,
        scores={},
        history=history,
        params=chosen_params(state),
    )


def drawn_params(seeds: np.ndarray, config: Config) -> Params:
    """What the seeds [S] draw to start from, NumPy's leaves [S, ...]."""
    drawn = [
        drawing.params_of(
            partial(drawing.symmetric, drawing.keys_of(seed).init), config.layer_sizes
        )
        for seed in seeds
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *drawn)
