"""Many runs of one config as one program, side by side on every device.

A run is a pure function, so `vmap` repeats it over seeds and hyperparams. The runs are cut into
chunks of a fixed width, and each device trains one chunk at a time: what comes of a run hangs
on its chunk alone, never on how many devices there are.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.sharding import Mesh, PartitionSpec
from jax.typing import ArrayLike

from jaxcls.batches import Batch, steps_per_epoch
from jaxcls.checks import check_data
from jaxcls.config import Config, Hyperparams, Keys, check_seed, split_seed
from jaxcls.hyperparam_checks import check_hyperparams
from jaxcls.layouts import narrow, pack, pays_to_pack, score, train_epochs
from jaxcls.metrics import Metrics
from jaxcls.mlp import Params
from jaxcls.planning import plan_width, usual_memory
from jaxcls.sharding import member_mesh, replicate, spread, to_host
from jaxcls.training import History, chosen_params, init_state


class Members(NamedTuple):
    """What sets S runs of one config apart.

    Attributes:
        seeds: [S] uint32, each as `Keys.from_seed` takes it.
        hyperparams: leaves [S, ...].
        params: starting params with leaves [S, ...]; None draws them from the seeds.
    """

    seeds: np.ndarray
    hyperparams: Hyperparams
    params: Params | None = None


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


class Sets(NamedTuple):
    """The data of many runs, held whole by each device.

    Attributes:
        train: what mini-batches are taken from, on a CPU without columns of zeros.
        validation: what judges each epoch.
        scored: what is scored at the end, by name; `train` in the form that full batches train
            fastest on.
    """

    train: Batch
    validation: Batch | None
    scored: dict[str, Batch]


def fit_many(
    seeds: Iterable[int],
    config: Config,
    hyperparams: Hyperparams,
    train: Batch,
    validation: Batch | None = None,
    test: Batch | None = None,
    *,
    params: Params | None = None,
    width: int | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Runs:
    """Trains S runs, each as `fit` would alone, and scores them.

    Each differs from `fit` by the order of float32 sums: losses agree within 3e-6, with the same
    counts, for full batches; with mini-batches training amplifies the last bit, up to 1.1e-4 and
    3 of 10,000 images in 5 epochs of ten classes of MNIST (README, "Error bars").

    They share the data and the config, and thereby one compiled program. A run whose loss or
    params are no longer finite goes on beside the others, whom it does not touch, and says so.

    Args:
        seeds: S, of the runs' keys.
        config: static, of all.
        hyperparams: each a scalar for all runs, or [S]; class weights [K] or [S, K].
        train: the training set, on the host.
        validation: scored after each epoch; with `config.monitor` it chooses each run's params.
        test: scored once, with the chosen params.
        params: what the runs start from, leaves [S, ...]; drawn from the seeds by default.
        width: runs that a device trains side by side, as `planning.plan_width` by default.
        devices: jax's by default.

    Returns:
        What came of each, on the host.

    Raises:
        TypeError, ValueError: a shape, dtype, label or setting is wrong; the message names it.

    >>> from jaxcls import bernoulli
    >>> train = Batch(np.eye(2, dtype=np.float32), np.array([0, 1]))
    >>> config = Config((2, 8, 1), bernoulli, epochs=200)
    >>> fit_many(range(3), config, Hyperparams(0.1), train).scores["train"].correct
    array([2, 2, 2], dtype=int32)
    """
    for name, value, kind in (
        ("config", config, Config),
        ("hyperparams", hyperparams, Hyperparams),
    ):
        if not isinstance(value, kind):
            raise TypeError(
                f"fit_many: {name} must be a jaxcls.{kind.__name__}, got {type(value).__name__}."
            )
    if width is not None and width < 1:
        raise ValueError(f"fit_many: width must be at least 1, got {width}.")
    check_sets("fit_many", config, train, validation, test)
    members = _members(seeds, config, hyperparams, params)
    devices = jax.devices() if devices is None else devices
    mesh = member_mesh(devices)
    if width is None:
        width = plan_width(
            config,
            train,
            validation,
            test,
            num_runs=len(members.seeds),
            devices=devices,
            memory=usual_memory(devices),
        )
    sets = place(mesh, train, validation, test)
    which = range(num_chunks(len(members.seeds), width))
    parts = run_chunks(
        members, width, which, sets, config.epochs, config=config, mesh=mesh
    )
    runs = [runs for _, some in parts for runs in some]
    return jax.tree.map(lambda *leaves: np.concatenate(leaves), *runs)


def check_sets(
    caller: str,
    config: Config,
    train: Batch,
    validation: Batch | None,
    test: Batch | None,
) -> None:
    """Raises unless the sets fit the config."""
    for name, data in (("train", train), ("validation", validation), ("test", test)):
        if data is not None:
            check_data(caller, name, data, config)
    if validation is None and config.monitor is not None:
        raise ValueError(
            f"{caller}: Config.monitor is {config.monitor!r}, which needs a validation set to "
            "judge by."
        )


def place(
    mesh: Mesh, train: Batch, validation: Batch | None, test: Batch | None = None
) -> Sets:
    """Lays the sets on every device; on a CPU the training set packed and narrowed, if it pays."""
    on_cpu = mesh.devices.flat[0].platform == "cpu"
    plain = {"train": train, "validation": validation, "test": test}
    on_devices = {
        name: replicate(data, mesh) for name, data in plain.items() if data is not None
    }
    scored, batches = dict(on_devices), on_devices["train"]
    if on_cpu and pays_to_pack(train):
        scored["train"] = replicate(pack(train), mesh)
        batches = replicate(narrow(train), mesh)
    return Sets(batches, on_devices.get("validation"), scored)


def num_chunks(num_runs: int, width: int) -> int:
    """Chunks that so many runs are cut into.

    >>> num_chunks(5, 2)
    3
    """
    return -(-num_runs // width)


def run_chunks(
    members: Members,
    width: int,
    which: Sequence[int],
    sets: Sets,
    epochs: int,
    *,
    config: Config,
    mesh: Mesh,
    keep: bool = True,
) -> Iterator[tuple[list[int], list[Runs]]]:
    """Trains some chunks, as many at once as there are devices.

    Args:
        members: all S of them.
        width: runs of a chunk; the last one may have fewer.
        which: numbers of the chunks to train.
        sets: as of `place`.
        epochs: to do, at most `config.epochs`.
        config: static.
        mesh: of the devices.
        keep: whether to fetch histories and params, too.

    Yields:
        Numbers of chunks, and what came of each one's runs, leaves [width, ...], on the host.
    """
    count = len(members.seeds)

    def fetched(chunks, runs):
        runs = _with_nan_for_epochs_not_done(to_host(runs))
        sizes = [min(width, count - chunk * width) for chunk in chunks]
        return chunks, [
            jax.tree.map(lambda leaf, row=row, size=size: leaf[row, :size], runs)
            for row, size in enumerate(sizes)
        ]

    before = None
    for start in range(0, len(which), mesh.size):
        chunks = list(which[start : start + mesh.size])
        # The last round is filled up with its last chunk, and the last chunk with its last
        # run; the copies are thrown away.
        filled = np.array(chunks + chunks[-1:] * (mesh.size - len(chunks)))
        places = filled[:, None] * width + np.arange(width)
        rows = np.minimum(places, count - 1)
        runs = _run_round(
            spread(jax.tree.map(lambda leaf, rows=rows: leaf[rows], members), mesh),
            sets,
            epochs,
            config=config,
            mesh=mesh,
        )
        if not keep:
            runs = runs._replace(history=None, params=None)
        # A round is under way while the host looks at the one before.
        if before is not None:
            yield fetched(*before)
        before = chunks, runs
    if before is not None:
        yield fetched(*before)


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
    num_steps = steps_per_epoch(sets.train, config)
    # Made in here, so that step and epoch, which all runs share, are no arrays of many.
    state = init_state(keys, config, member.params)
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


def _members(
    seeds: Iterable[int],
    config: Config,
    hyperparams: Hyperparams,
    params: Params | None,
) -> Members:
    seeds = list(seeds)  # also of a generator
    for seed in seeds:
        check_seed("fit_many", seed)
    count = len(seeds)
    if count == 0:
        raise ValueError("fit_many: seeds must name at least one run, got none.")
    hyperparams = each(hyperparams, count)
    for row in range(count):
        check_hyperparams(
            "fit_many",
            jax.tree.map(lambda leaf, row=row: leaf[row], hyperparams),
            config,
        )
    if params is not None:
        params = jax.tree.map(np.asarray, params)
        sizes = {leaf.shape[:1] for leaf in jax.tree.leaves(params)}
        if sizes != {(count,)}:
            raise ValueError(
                f"fit_many: params must have leaves [{count}, ...], one for each seed."
            )
    return Members(np.asarray(seeds, np.uint32), hyperparams, params)


def each(hyperparams: Hyperparams, count: int) -> Hyperparams:
    """Each hyperparam for each of so many runs, [S, ...], in the type that jax has for floats.

    Raises:
        ValueError: one is neither for all runs nor for so many.

    >>> each(Hyperparams(0.1), 3).learning_rate
    array([0.1, 0.1, 0.1], dtype=float32)
    """
    dtype = jax.dtypes.canonicalize_dtype(float)

    def spread_out(name: str, value: ArrayLike) -> np.ndarray:
        if np.asarray(value).dtype.kind not in "fiu":
            raise TypeError(f"fit_many: {name} must be a number, got {value!r}.")
        numbers, ndim = np.asarray(value, dtype), int(name == "class_weights")
        if numbers.ndim == ndim:
            return np.broadcast_to(numbers, (count, *numbers.shape))
        if numbers.ndim != ndim + 1 or len(numbers) != count:
            raise ValueError(
                f"fit_many: {name} must be one for all runs or {count} for as many seeds, got "
                f"{list(numbers.shape)}."
            )
        return numbers

    changed: dict[str, Any] = {
        name: spread_out(name, value)
        for name, value in hyperparams._asdict().items()
        if value is not None
    }
    return hyperparams._replace(**changed)
