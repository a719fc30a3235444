"""A sweep: settings, each trained with several seeds, ranked by a validation set.

Settings that one program can train, since they differ in traced numbers alone, form a group.
With successive halving all settings are trained for a few epochs, the better third of them for
three times as many, and so on (K. Jamieson and A. Talwalkar, 2016). A rung starts anew, so that
a sweep goes on from scores alone, wherever it was cut off.
"""

import dataclasses
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh

from jaxcls.batches import Batch
from jaxcls.config import Config, Hyperparams, check_seed
from jaxcls.hyperparam_checks import check_hyperparams
from jaxcls.many import Members, Runs, Sets, check_sets, num_chunks, place, run_chunks
from jaxcls.planning import plan_width, usual_memory
from jaxcls.scores import Summary, accuracy_interval, summary
from jaxcls.search_space import Choice as Choice
from jaxcls.search_space import LogUniform as LogUniform
from jaxcls.search_space import Uniform as Uniform
from jaxcls.search_space import draw as draw
from jaxcls.search_space import grid as grid
from jaxcls.sharding import member_mesh

NAMES = (
    "learning_rate",
    "dropout_rate",
    "weight_decay",
    "hidden",
    "batch_size",
    "optimizer",
    "momentum",
)
FACTOR = 3  # of epochs from rung to rung, and of settings the other way


class Setting(NamedTuple):
    """What one setting's runs are told.

    Attributes:
        config: static; its `monitor` ranks.
        hyperparams: scalars.
    """

    config: Config
    hyperparams: Hyperparams


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


class Outcome(NamedTuple):
    """What came of one setting.

    Attributes:
        setting: its number.
        rung: the last rung that it was trained in.
        runs: leaves [seeds].
        loss: of the chosen params on the validation set, over the seeds that did not diverge.
        accuracy: likewise; the interval of a single seed is that of its counts (Wilson's).
    """

    setting: int
    rung: int
    runs: Runs
    loss: Summary
    accuracy: Summary

    @property
    def num_diverged(self) -> int:
        """Seeds whose loss or params were no longer finite."""
        return int(np.sum(~np.asarray(self.runs.finite)))


# What came of chunks that were trained already, by rung, group and number of the chunk.
Done = dict[tuple[int, int, int], Runs]


def settle(
    values: Mapping[str, Any], config: Config, hyperparams: Hyperparams
) -> Setting:
    """The setting that has these values, and all else as the config and hyperparams have it.

    Args:
        values: by name, each of `NAMES`; `hidden` are the units of each hidden layer, and a
            `dropout_rate` or `momentum` of 0 leaves dropout or momentum out of the program.

    Raises:
        TypeError, ValueError: a name or a value is wrong; the message names it.

    >>> from jaxcls import bernoulli
    >>> values = {"hidden": (64, 32), "dropout_rate": 0.5}
    >>> setting = settle(values, Config((784, 32, 1), bernoulli), Hyperparams())
    >>> setting.config.layer_sizes, setting.config.dropout
    ((784, 64, 32, 1), True)
    """
    for name in values:
        if name not in NAMES:
            raise ValueError(
                f"sweep.settle: {name!r} can't be swept; take one of {', '.join(NAMES)}."
            )
    changes = dict(values)
    if "hidden" in changes:
        sizes = config.layer_sizes
        if not isinstance(changes["hidden"], Sequence):
            raise TypeError(
                f"sweep.settle: hidden must be several integers, got {changes['hidden']!r}."
            )
        changes["layer_sizes"] = (sizes[0], *changes.pop("hidden"), sizes[-1])
    traced = {
        name: changes.pop(name) for name in Hyperparams._fields if name in changes
    }
    hyperparams = hyperparams._replace(**traced)
    changes["dropout"] = bool(hyperparams.dropout_rate)
    if changes.get("optimizer", config.optimizer) != "sgd":
        changes["momentum"] = 0.0  # it is sgd's alone
    config = dataclasses.replace(config, **changes)
    check_hyperparams("sweep.settle", hyperparams, config)
    return Setting(config, hyperparams)


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

    >>> from jaxcls import bernoulli
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
    tried, ranked = tuple(range(len(plan.settings))), []
    for rung in range(len(plan.rungs)):
        _train_rung(plan, rung, tried, sets, mesh, done, on_chunks)
        outcomes = ranking(plan, rung, tried, done)
        ranked = outcomes + ranked[len(outcomes) :]
        tried = survivors(outcomes)
        if not tried:
            break
    # If all diverged in a later rung, the best is one that an earlier rung dropped.
    return sorted(ranked, key=lambda each: each.num_diverged > 0)


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
    for group in plan.groups:
        numbers = [each for each in group.settings if each in tried]
        wanted = [each for each in settings if each in numbers]
        if not wanted:
            continue
        places = {each: _places(plan, numbers.index(each)) for each in wanted}
        chunks = sorted({i // group.width for each in wanted for i in places[each]})
        trained: dict[int, Runs] = {}
        for some, runs in run_chunks(
            _members(plan, numbers),
            group.width,
            chunks,
            sets,
            plan.rungs[rung],
            config=plan.settings[numbers[0]].config,
            mesh=mesh,
        ):
            trained |= zip(some, runs, strict=True)
        for each in wanted:
            found[each] = _picked(trained, places[each], group.width)
    return found


def ranking(plan: Plan, rung: int, tried: Sequence[int], done: Done) -> list[Outcome]:
    """The settings of a rung that is done, from best to worst."""
    outcomes = []
    among = frozenset(tried)
    for index, group in enumerate(plan.groups):
        numbers = [each for each in group.settings if each in among]
        trained = {
            chunk: runs
            for (r, g, chunk), runs in done.items()
            if (r, g) == (rung, index)
        }
        for row, each in enumerate(numbers):
            runs = _picked(trained, _places(plan, row), group.width)
            outcomes.append(_outcome(each, rung, runs))
    by_loss = plan.settings[0].config.monitor == "loss"

    def merit(outcome: Outcome) -> tuple:
        diverged = outcome.num_diverged
        loss, accuracy = outcome.loss.mean, -outcome.accuracy.mean
        values = (loss, accuracy) if by_loss else (accuracy, loss)
        return diverged, np.nan_to_num(values, nan=np.inf).tolist(), outcome.setting

    return sorted(outcomes, key=merit)


def survivors(outcomes: Sequence[Outcome]) -> tuple[int, ...]:
    """The settings that go on to the next rung: the better third, and none that diverged."""
    most = math.ceil(len(outcomes) / FACTOR)
    sound = [each.setting for each in outcomes if not each.num_diverged]
    return tuple(sorted(sound[:most]))


def _train_rung(
    plan: Plan,
    rung: int,
    tried: Sequence[int],
    sets: Sets,
    mesh: Mesh,
    done: Done,
    on_chunks: Callable[[Done], None] | None,
) -> None:
    among = frozenset(tried)
    for index, group in enumerate(plan.groups):
        numbers = [each for each in group.settings if each in among]
        if not numbers:
            continue
        members = _members(plan, numbers)
        left = [
            each
            for each in range(num_chunks(len(members.seeds), group.width))
            if (rung, index, each) not in done
        ]
        for chunks, runs in run_chunks(
            members,
            group.width,
            left,
            sets,
            plan.rungs[rung],
            config=plan.settings[numbers[0]].config,
            mesh=mesh,
            keep=False,
        ):
            new = {
                (rung, index, chunk): each
                for chunk, each in zip(chunks, runs, strict=True)
            }
            done |= new
            if on_chunks is not None:
                on_chunks(new)


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


def _picked(trained: Mapping[int, Runs], places: Iterable[int], width: int) -> Runs:
    """The runs at these places, out of chunks."""
    rows = [
        jax.tree.map(lambda leaf, i=i: leaf[i % width], trained[i // width])
        for i in places
    ]
    return jax.tree.map(lambda *leaves: np.stack(leaves), *rows)


def _outcome(setting: int, rung: int, runs: Runs) -> Outcome:
    finite = np.asarray(runs.finite)
    scores = runs.scores["validation"]
    losses, accuracies = (
        np.asarray(scores.loss)[finite],
        np.asarray(scores.accuracy)[finite],
    )
    if not finite.any():
        none = Summary(*[math.nan] * len(Summary._fields))
        return Outcome(setting, rung, runs, none, none)
    accuracy = summary(accuracies)
    if len(finite) == 1:
        correct, count = np.ravel(scores.correct)[0], np.ravel(scores.count)[0]
        low, high = accuracy_interval(correct, count)
        accuracy = accuracy._replace(low=low, high=high)
    return Outcome(setting, rung, runs, summary(losses), accuracy)


def _rungs(epochs: int, num_settings: int) -> tuple[int, ...]:
    """Epochs of each rung: a power of 3 fewer than all, as long as both numbers allow it."""
    count = int(math.log(min(epochs, num_settings), FACTOR) + 1e-9)
    return tuple(math.ceil(epochs / FACTOR**left) for left in range(count, -1, -1))
