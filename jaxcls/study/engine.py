"""The engine of a study: many runs of one config as one program, side by side on every device.

A run is a pure function, so `vmap` repeats it over seeds and hyperparams. The members are cut into
chunks of a fixed width, and each device trains one chunk at a time: what comes of a member hangs
on its chunk alone, never on how many devices there are.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec

from jaxcls.batches import steps_per_epoch
from jaxcls.config import Config, Hyperparams, Keys, split_seed
from jaxcls.epochs import History
from jaxcls.layouts import score, train_epochs
from jaxcls.metrics import Metrics
from jaxcls.mlp import Params
from jaxcls.study.devices import spread, to_host
from jaxcls.study.rows import Rows, sets_of
from jaxcls.study.sets import Sets
from jaxcls.training import chosen_params, init_state


class Members(NamedTuple):
    """What sets S runs of one config apart.

    Attributes:
        seeds: [S] uint32, each as `Keys.from_seed` takes it.
        hyperparams: leaves [S, ...].
        params: starting params with leaves [S, ...]; None draws them from the seeds.
        rows: of the set that all share, where each has sets of its own.
    """

    seeds: np.ndarray
    hyperparams: Hyperparams
    params: Params | None = None
    rows: Rows | None = None


class Runs(NamedTuple):
    """What came of S runs.

    Attributes:
        epochs: [S] int32, epochs done; fewer than the config's if patience ended.
        chosen_epoch: [S] int32, epochs after which the chosen params stood, as `chosen_params`
            tells: those of the best epoch where a validation set judges, else the last.
        finite: [S] bool, whether the loss of each step, the last params, the validation loss after
            them and the scores are.
        first_nonfinite_step: [S] int32, the first step whose loss was not, or -1.
        scores: of the chosen params, by the name of the set; leaves [S].
        history: leaves [S, E], with NaN for epochs that were not done.
        params: the chosen ones, leaves [S, ...].
    """

    epochs: Array | np.ndarray
    chosen_epoch: Array | np.ndarray
    finite: Array | np.ndarray
    first_nonfinite_step: Array | np.ndarray
    scores: dict[str, Metrics]
    history: History | None
    params: Params | None


def num_chunks(num_runs: int, width: int) -> int:
    """Chunks that so many runs are cut into.

    >>> num_chunks(5, 2)
    3
    """
    return -(-num_runs // width)


def train_members(
    members: Members,
    width: int,
    sets: Sets,
    epochs: int,
    *,
    config: Config,
    mesh: Mesh,
    chunks: Sequence[int] | None = None,
    done: Mapping[int, Runs] | None = None,
    on_chunks: Callable[[dict[int, Runs]], None] | None = None,
    keep: bool = True,
) -> dict[int, Runs]:
    """Trains members chunk by chunk, as many chunks at once as there are devices.

    Args:
        members: all S of them.
        width: members of a chunk; the last one may have fewer.
        sets: as of `place`, or of `place_pool` where members have rows of their own.
        epochs: to do, at most `config.epochs`.
        config: static.
        mesh: of the devices.
        chunks: numbers of the chunks wanted; all by default.
        done: what came of chunks before, by their numbers; they are not trained again.
        on_chunks: called with chunks as they are trained; what it raises ends the training.
        keep: whether to fetch histories and params, too.

    Returns:
        What came of each chunk wanted, those of `done` among them: leaves [width, ...], on the host.
    """
    found = dict(done or {})
    if chunks is None:
        chunks = range(num_chunks(len(members.seeds), width))
    left = [chunk for chunk in chunks if chunk not in found]
    before = None
    # A round is under way while the host looks at the one before.
    for start in range(0, len(left) + mesh.size, mesh.size):
        now = None
        if which := left[start : start + mesh.size]:
            now = which, _start_round(members, width, which, sets, epochs, config, mesh)
        if before is not None:
            new = _fetched(*before, width, len(members.seeds), keep)
            found |= new
            if on_chunks is not None:
                on_chunks(new)
        before = now
    return found


# The members of each program by their numbers, and the rows that they have of their own.
Groups = Sequence[tuple[np.ndarray, Rows | None]]


def train_groups(
    members: Members,
    groups: Groups,
    widths: Sequence[int],
    sets: Sets,
    *,
    config: Config,
    mesh: Mesh,
    done: Mapping[tuple[int, int], Runs] | None = None,
    on_chunks: Callable[[dict[tuple[int, int], Runs]], None] | None = None,
) -> Runs:
    """Trains members of several programs, group by group; returns all in their order.

    Args:
        members: all S of them, whose own rows the groups have.
        groups: as of `rows.groups_of`, or one group of all.
        widths: for each group, as of `train_members`, as are the others.
        sets, config, mesh: likewise.
        done: what came of chunks already, by group and number of the chunk.
        on_chunks: called with chunks as they are trained, likewise.
    """
    parts = []
    for group, (numbers, rows) in enumerate(groups):
        own = jax.tree.map(lambda leaf, numbers=numbers: leaf[numbers], members)

        def tell(new: dict[int, Runs], group: int = group) -> None:
            if on_chunks is not None:
                on_chunks({(group, chunk): runs for chunk, runs in new.items()})

        trained = train_members(
            own._replace(rows=rows),
            widths[group],
            sets,
            config.epochs,
            config=config,
            mesh=mesh,
            done={
                chunk: runs
                for (of_group, chunk), runs in (done or {}).items()
                if of_group == group
            },
            on_chunks=tell,
        )
        parts.append(joined(trained))
    runs = jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)
    order = np.argsort(np.concatenate([numbers for numbers, _ in groups]))
    return jax.tree.map(lambda leaf: leaf[order], runs)


def joined(trained: Mapping[int, Runs]) -> Runs:
    """All chunks of members as one, leaves [S, ...]."""
    parts = [trained[chunk] for chunk in sorted(trained)]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *parts)


def picked(trained: Mapping[int, Runs], places: Sequence[int], width: int) -> Runs:
    """The members that stand at these places, out of chunks: leaves [P, ...]."""
    rows = [
        jax.tree.map(lambda leaf, i=i: leaf[i % width], trained[i // width])
        for i in places
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def _start_round(
    members: Members,
    width: int,
    chunks: Sequence[int],
    sets: Sets,
    epochs: int,
    config: Config,
    mesh: Mesh,
) -> Runs:
    """Has each device begin with one of these chunks."""
    # A round is filled up with its last chunk, and the last chunk with its last member; the
    # copies are thrown away.
    filled = np.pad(chunks, (0, mesh.size - len(chunks)), mode="edge")
    places = filled[:, None] * width + np.arange(width)
    rows = np.minimum(places, len(members.seeds) - 1)
    some = jax.tree.map(lambda leaf: leaf[rows], members)
    return _run_round(spread(some, mesh), sets, epochs, config=config, mesh=mesh)


def _fetched(
    chunks: Sequence[int], runs: Runs, width: int, count: int, keep: bool
) -> dict[int, Runs]:
    """What came of each chunk of a round, on the host, without copies."""
    if not keep:
        runs = runs._replace(history=None, params=None)
    runs = _with_nan_for_epochs_not_done(to_host(runs))
    sizes = [min(width, count - chunk * width) for chunk in chunks]
    return {
        chunk: jax.tree.map(lambda leaf, row=row, size=size: leaf[row, :size], runs)
        for row, (chunk, size) in enumerate(zip(chunks, sizes, strict=True))
    }


def _with_nan_for_epochs_not_done(runs: Runs) -> Runs:
    """Histories [..., E] on the host, whose program fills up with 0."""
    if runs.history is None:
        return runs

    def fill(leaf):
        leaf = np.asarray(leaf)
        if not np.issubdtype(leaf.dtype, np.floating):
            return leaf
        done = np.arange(leaf.shape[-1]) < np.asarray(runs.epochs)[..., None]
        return np.where(done, leaf, leaf.dtype.type(np.nan))

    return runs._replace(history=jax.tree.map(fill, runs.history))


@partial(jax.jit, static_argnames=("config", "mesh"))
def _run_round(
    members: Members, sets: Sets, epochs: int, *, config: Config, mesh: Mesh
) -> Runs:
    """One chunk [1, width, ...] on each device."""
    each, whole = PartitionSpec(mesh.axis_names), PartitionSpec()

    def chunk(members, sets, epochs):
        side_by_side = jax.vmap(partial(_run, config=config), in_axes=(0, None, None))
        runs = side_by_side(jax.tree.map(lambda leaf: leaf[0], members), sets, epochs)
        return jax.tree.map(lambda leaf: leaf[None], runs)

    return jax.shard_map(
        chunk,
        mesh=mesh,
        in_specs=(each, whole, whole),
        out_specs=each,
        check_vma=False,  # nothing passes between devices
    )(members, sets, epochs)


def _run(member: Members, sets: Sets, epochs: Array, *, config: Config) -> Runs:
    """One run, from its seed to its scores."""
    keys, hyperparams = Keys(*split_seed(member.seeds)), member.hyperparams
    if member.rows is not None:
        sets = sets_of(member.rows, sets, config)
    num_steps = steps_per_epoch(sets.train, config)
    # Made in here, so that step and epoch, which all runs share, are no arrays of many.
    state = init_state(keys, config, member.params, hyperparams)
    state, history = train_epochs(
        state,
        sets.scored["train"] if num_steps == 1 else sets.train,
        keys,
        hyperparams,
        sets.validation,
        epochs,
        config=config,
        num_epochs=config.epochs,
    )
    params, best = chosen_params(state), state.progress.best
    scores: dict[str, Metrics] = {
        name: score(params, data, config) for name, data in sets.scored.items()
    }
    done, first = state.epoch, state.progress.first_nonfinite_step
    # Also what the last update made of the validation set, though an earlier epoch is chosen.
    judged = None
    if history.validation is not None:
        judged = jnp.asarray(history.validation.loss_sum)[done - 1]
    sums = [each.loss_sum for each in scores.values()]
    numbers = jax.tree.leaves((state.params, judged, sums))
    return Runs(
        epochs=done,
        chosen_epoch=done if best is None else best.epoch,
        finite=jnp.stack([jnp.isfinite(each).all() for each in numbers]).all()
        & (first < 0),
        first_nonfinite_step=first,
        scores=scores,
        history=history,
        params=params,
    )
