"""A sweep: settings, each trained with several seeds, ranked by a validation set.

Settings that one program can train, since they differ in traced numbers alone, form a group.
A rung of successive halving starts again, so that a sweep goes on from scores alone, wherever it
was cut off.
"""

from collections.abc import Callable, Collection, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcls.batches import Batch
from jaxcls.study.devices import member_mesh
from jaxcls.study.engine import Members, Runs, picked, train_members
from jaxcls.study.plans import Group as Group
from jaxcls.study.plans import Plan as Plan
from jaxcls.study.plans import plan as plan
from jaxcls.study.ranking import Outcome, outcome_of, ranked, survivors
from jaxcls.study.rows import groups_of
from jaxcls.study.sets import Sets, place, place_pool
from jaxcls.study.settings import Setting as Setting
from jaxcls.study.settings import settle as settle
from jaxcls.study.space import Choice as Choice
from jaxcls.study.space import LogUniform as LogUniform
from jaxcls.study.space import Uniform as Uniform
from jaxcls.study.space import draw as draw
from jaxcls.study.space import grid as grid

# What came of chunks that were trained already, by rung, group and number of the chunk.
Done = dict[tuple[int, int, int], Runs]


def run(
    plan: Plan,
    train: Batch,
    validation: Batch | None,
    *,
    done: Done | None = None,
    on_chunks: Callable[[Done], None] | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> list[Outcome]:
    """Trains a sweep's settings, and ranks them by the validation set.

    Args:
        plan: of the sweep.
        train: the training set, on the host.
        validation: the set that ranks; None with splits.
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
    sets = _placed(plan, mesh, train, validation)
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
    validation: Batch | None,
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
    sets = _placed(plan, mesh, train, validation)
    rung = outcomes[0].rung
    tried = frozenset(each.setting for each in outcomes if each.rung == rung)
    found: dict[int, list[Part]] = {}
    for index, group in enumerate(plan.groups):
        numbers = _tried_of(plan, index, tried)
        wanted = [number for number in numbers if number in settings]
        if not wanted:
            continue
        places = {
            number: _places(plan, group, numbers.index(number)) for number in wanted
        }
        trained = _train_group(
            plan,
            group,
            numbers,
            rung,
            sets,
            mesh,
            chunks=sorted({i // group.width for some in places.values() for i in some}),
        )
        for number, some in places.items():
            runs = picked(trained, some, group.width)
            found.setdefault(number, []).append((plan.members_of(group), runs))
    return {number: _in_order(parts) for number, parts in found.items()}


def _placed(plan: Plan, mesh: Mesh, train: Batch, validation: Batch | None) -> Sets:
    if plan.splits is not None:
        return place_pool(mesh, train)
    return place(mesh, train, validation)


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
        _members(plan, group, numbers),
        group.width,
        sets,
        plan.rungs[rung],
        config=plan.settings[numbers[0]].config,
        mesh=mesh,
        **how,
    )


def ranking(plan: Plan, rung: int, tried: Collection[int], done: Done) -> list[Outcome]:
    """The settings of a rung that is done, from best to worst."""
    found: dict[int, list[Part]] = {}
    for index, group in enumerate(plan.groups):
        trained = _chunks_of(done, rung, index)
        for row, number in enumerate(_tried_of(plan, index, tried)):
            runs = picked(trained, _places(plan, group, row), group.width)
            found.setdefault(number, []).append((plan.members_of(group), runs))
    outcomes = [
        outcome_of(number, rung, _in_order(parts), plan.splits)
        for number, parts in found.items()
    ]
    return ranked(outcomes, str(plan.settings[0].config.monitor))


# Places of seeds, and their runs, which one program trained.
Part = tuple[tuple[int, ...], Runs]


def _in_order(parts: list[Part]) -> Runs:
    """A setting's runs, those of all programs, in the order of the plan's seeds."""
    if len(parts) == 1:
        return parts[0][1]
    order = np.argsort(np.concatenate([members for members, _ in parts]))
    return jax.tree.map(
        lambda *leaves: np.concatenate(leaves)[order], *(runs for _, runs in parts)
    )


def _chunks_of(done: Done, rung: int, group: int) -> dict[int, Runs]:
    return {
        chunk: runs for (r, g, chunk), runs in done.items() if (r, g) == (rung, group)
    }


def _tried_of(plan: Plan, group: int, tried: Collection[int]) -> list[int]:
    """The settings of a group that are tried, in its order."""
    among = frozenset(tried)
    return [number for number in plan.groups[group].settings if number in among]


def _members(plan: Plan, group: Group, numbers: Sequence[int]) -> Members:
    """Of these settings of a group, seed by seed."""
    rows = [plan.settings[each].hyperparams for each in numbers]
    places = plan.members_of(group)
    dtype = jax.dtypes.canonicalize_dtype(float)
    hyperparams = jax.tree.map(
        lambda *leaves: np.repeat(np.asarray(leaves, dtype), len(places), axis=0),
        *rows,
    )
    seeds = np.array(plan.seeds, np.uint32)[list(places)]
    own = None
    if plan.splits is not None:
        rows_of = {
            name: [of_all[place] for place in places]
            for name, of_all in plan.splits.rows.items()
        }
        ((_, own),) = groups_of(rows_of, plan.settings[numbers[0]].config)
        again = np.tile(np.arange(len(places)), len(numbers))
        own = jax.tree.map(lambda leaf: leaf[again], own)
    return Members(np.tile(seeds, len(numbers)), hyperparams, None, own)


def _places(plan: Plan, group: Group, row: int) -> range:
    """Where the runs of a group's setting stand, which is one of those tried."""
    count = len(plan.members_of(group))
    return range(row * count, row * count + count)
