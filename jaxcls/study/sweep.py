"""A sweep: settings, each trained with several seeds, ranked by a validation set.

Settings that one program can train, since they differ in traced numbers alone, form a group.
With successive halving all settings are trained for a few epochs, the better third of them for
three times as many, and so on (K. Jamieson and A. Talwalkar, 2016). A rung starts again, so that
a sweep goes on from scores alone, wherever it was cut off.
"""

import math
from collections.abc import Callable, Collection, Iterable, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcls.batches import Batch
from jaxcls.config import check_seed
from jaxcls.study.devices import member_mesh
from jaxcls.study.engine import Members, Runs, picked, train_members
from jaxcls.study.planning import plan_width, usual_memory
from jaxcls.study.ranking import FACTOR, Outcome, outcome_of, ranked, survivors
from jaxcls.study.sets import Sets, check_sets, place
from jaxcls.study.settings import Setting
from jaxcls.study.settings import settle as settle
from jaxcls.study.space import Choice as Choice
from jaxcls.study.space import LogUniform as LogUniform
from jaxcls.study.space import Uniform as Uniform
from jaxcls.study.space import draw as draw
from jaxcls.study.space import grid as grid


class Group(NamedTuple):
    """Settings that share a program.

    Attributes:
        settings: their numbers.
        width: runs that a device trains side by side.
    """

    settings: tuple[int, ...]
    width: int


class Plan(NamedTuple):
    """A sweep, before it starts.

    Attributes:
        settings: all of them.
        seeds: with each of which every setting is trained.
        groups: of the settings.
        rungs: epochs after which the settings are ranked; the last are the config's.
    """

    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    groups: tuple[Group, ...]
    rungs: tuple[int, ...]


# What came of chunks that were trained already, by rung, group and number of the chunk.
Done = dict[tuple[int, int, int], Runs]


def plan(
    settings: Iterable[Setting],
    seeds: Iterable[int],
    train: Batch,
    validation: Batch,
    *,
    halving: bool = False,
    memory: float | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Plan:
    """Plans a sweep: which settings share a program, how many side by side, for how long.

    Args:
        settings: all of them, with the same epochs and the same monitor.
        seeds: with each of which every setting is trained.
        train: the training set.
        validation: the set that ranks.
        halving: drop the weak early.
        memory: bytes on all devices together, `planning.usual_memory` by default.
        devices: jax's by default.

    Raises:
        TypeError, ValueError: a setting, seed or set is wrong; the message names it.
    """
    settings, seeds = tuple(settings), tuple(seeds)
    if not settings or not seeds:
        raise ValueError(
            f"sweep.plan: needs at least one setting and one seed, got {len(settings)} and "
            f"{len(seeds)}."
        )
    for seed in seeds:
        check_seed("sweep.plan", seed)
    for name in ("epochs", "monitor"):
        found = {getattr(setting.config, name) for setting in settings}
        if len(found) > 1 or None in found:
            raise ValueError(
                f"sweep.plan: all settings need the same {name}, by which they are compared, got "
                f"{', '.join(sorted(map(str, found)))}."
            )
    devices = jax.devices() if devices is None else devices
    alike: dict[Any, list[int]] = {}
    for number, (config, hyperparams) in enumerate(settings):
        shape = jax.tree.structure(hyperparams)
        alike.setdefault((config, shape), []).append(number)
    groups = []
    for (config, _), numbers in alike.items():
        check_sets("sweep.plan", config, train, validation, None)
        width = plan_width(
            config,
            train,
            validation,
            None,
            num_runs=len(numbers) * len(seeds),
            devices=devices,
            memory=usual_memory(devices) if memory is None else memory,
        )
        groups.append(Group(tuple(numbers), width))
    epochs = settings[0].config.epochs
    rungs = _rungs(epochs, len(settings)) if halving else (epochs,)
    return Plan(settings, seeds, tuple(groups), rungs)


def run(
    plan: Plan,
    train: Batch,
    validation: Batch,
    *,
    done: Done | None = None,
    on_chunks: Callable[[Done], None] | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> list[Outcome]:
    """Trains a sweep's settings, and ranks them by the validation set.

    Args:
        plan: of the sweep.
        train: the training set, on the host.
        validation: the set that ranks.
        done: what an earlier call with the same plan handed to `on_chunks`; these chunks are
            not trained again.
        on_chunks: called with chunks as they are trained, in whatever order.
        devices: jax's by default.

    Returns:
        The settings from best to worst: the later a rung dropped them the better, and behind
        them those with a seed that diverged. If the best one has such a seed, all have.

    >>> from jaxcls import Config, Hyperparams, bernoulli
    >>> data = Batch(np.eye(2, dtype=np.float32), np.array([0, 1]))
    >>> config = Config((2, 8, 1), bernoulli, epochs=20, monitor="loss")
    >>> space = {"learning_rate": Choice(1e-4, 1e-1)}
    >>> settings = [settle(values, config, Hyperparams()) for values in grid(space)]
    >>> [each.setting for each in run(plan(settings, range(2), data, data), data, data)]
    [1, 0]
    """
    done = dict(done or {})
    mesh = member_mesh(jax.devices() if devices is None else devices)
    sets = place(mesh, train, validation)
    tried, best_first = tuple(range(len(plan.settings))), []
    for rung in range(len(plan.rungs)):
        _train_rung(plan, rung, tried, sets, mesh, done, on_chunks)
        outcomes = ranking(plan, rung, tried, done)
        best_first = outcomes + best_first[len(outcomes) :]
        tried = survivors(outcomes)
        if not tried:
            break
    # If all diverged in a later rung, the best is one that an earlier rung dropped.
    return sorted(best_first, key=lambda outcome: outcome.num_diverged > 0)


def run_again(
    plan: Plan,
    outcomes: Sequence[Outcome],
    settings: Sequence[int],
    train: Batch,
    validation: Batch,
    *,
    devices: Sequence[jax.Device] | None = None,
) -> dict[int, Runs]:
    """Trains some settings of the last rung once more, for their histories and params.

    A sweep keeps scores alone, since the params of ten thousand networks are seldom wanted. In
    the same chunks and programs the same bits come again.

    Args:
        plan: of the sweep.
        outcomes: what came of it.
        settings: numbers of settings that were trained in the last rung.
        train, validation, devices: of the sweep.

    Returns:
        For each setting its runs, leaves [seeds, ...], with histories and params.
    """
    mesh = member_mesh(jax.devices() if devices is None else devices)
    sets = place(mesh, train, validation)
    rung = outcomes[0].rung
    tried = frozenset(each.setting for each in outcomes if each.rung == rung)
    found = {}
    for index, group in enumerate(plan.groups):
        numbers = _tried_of(plan, index, tried)
        wanted = [number for number in numbers if number in settings]
        if not wanted:
            continue
        places = {number: _places(plan, numbers.index(number)) for number in wanted}
        trained = _train_group(
            plan,
            group,
            numbers,
            rung,
            sets,
            mesh,
            chunks=sorted({i // group.width for some in places.values() for i in some}),
        )
        found |= {
            number: picked(trained, some, group.width)
            for number, some in places.items()
        }
    return found


def _train_rung(
    plan: Plan,
    rung: int,
    tried: Collection[int],
    sets: Sets,
    mesh: Mesh,
    done: Done,
    on_chunks: Callable[[Done], None] | None,
) -> None:
    for index, group in enumerate(plan.groups):
        numbers = _tried_of(plan, index, tried)
        if not numbers:
            continue

        def tell(new: dict[int, Runs], index: int = index) -> None:
            keyed = {(rung, index, chunk): runs for chunk, runs in new.items()}
            done.update(keyed)
            if on_chunks is not None:
                on_chunks(keyed)

        _train_group(
            plan,
            group,
            numbers,
            rung,
            sets,
            mesh,
            done=_chunks_of(done, rung, index),
            on_chunks=tell,
            keep=False,
        )


def _train_group(
    plan: Plan,
    group: Group,
    numbers: Sequence[int],
    rung: int,
    sets: Sets,
    mesh: Mesh,
    **how: Any,
) -> dict[int, Runs]:
    """Trains these settings of a group for a rung; `how` is as of `train_members`."""
    return train_members(
        _members(plan, numbers),
        group.width,
        sets,
        plan.rungs[rung],
        config=plan.settings[numbers[0]].config,
        mesh=mesh,
        **how,
    )


def ranking(plan: Plan, rung: int, tried: Collection[int], done: Done) -> list[Outcome]:
    """The settings of a rung that is done, from best to worst."""
    outcomes = []
    for index, group in enumerate(plan.groups):
        trained = _chunks_of(done, rung, index)
        for row, number in enumerate(_tried_of(plan, index, tried)):
            runs = picked(trained, _places(plan, row), group.width)
            outcomes.append(outcome_of(number, rung, runs))
    return ranked(outcomes, str(plan.settings[0].config.monitor))


def _chunks_of(done: Done, rung: int, group: int) -> dict[int, Runs]:
    return {
        chunk: runs for (r, g, chunk), runs in done.items() if (r, g) == (rung, group)
    }


def _tried_of(plan: Plan, group: int, tried: Collection[int]) -> list[int]:
    """The settings of a group that are tried, in its order."""
    among = frozenset(tried)
    return [number for number in plan.groups[group].settings if number in among]


def _members(plan: Plan, numbers: Sequence[int]) -> Members:
    """Of these settings of a group, seed by seed."""
    rows = [plan.settings[each].hyperparams for each in numbers]
    dtype = jax.dtypes.canonicalize_dtype(float)
    hyperparams = jax.tree.map(
        lambda *leaves: np.repeat(np.asarray(leaves, dtype), len(plan.seeds), axis=0),
        *rows,
    )
    return Members(np.tile(np.array(plan.seeds, np.uint32), len(numbers)), hyperparams)


def _places(plan: Plan, row: int) -> range:
    """Where the runs of a group's setting stand, which is one of those tried."""
    start = row * len(plan.seeds)
    return range(start, start + len(plan.seeds))


def _rungs(epochs: int, num_settings: int) -> tuple[int, ...]:
    """Epochs of each rung: a power of 3 fewer than all, as long as both numbers allow it."""
    count = int(math.log(min(epochs, num_settings), FACTOR) + 1e-9)
    return tuple(math.ceil(epochs / FACTOR**left) for left in range(count, -1, -1))
