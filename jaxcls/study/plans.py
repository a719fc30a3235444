"""A sweep before it starts: which settings share a program, how many runs side by side, how long.

With successive halving all settings are trained for a few epochs, the better third of them for
three times as many, and so on (K. Jamieson and A. Talwalkar, 2016).
"""

import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import jax

from jaxcls.batches import Batch
from jaxcls.config import check_seed
from jaxcls.study.planning import plan_width, usual_memory
from jaxcls.study.ranking import FACTOR
from jaxcls.study.rows import SplitRows, groups_of, num_copied
from jaxcls.study.sets import check_sets
from jaxcls.study.settings import Setting


class Group(NamedTuple):
    """Settings that share a program.

    Attributes:
        settings: their numbers.
        width: runs that a device trains side by side.
        members: places of those of the plan's seeds that the program trains; None for all.
    """

    settings: tuple[int, ...]
    width: int
    members: tuple[int, ...] | None = None


class Plan(NamedTuple):
    """A sweep, before it starts.

    Attributes:
        settings: all of them.
        seeds: with each of which every setting is trained.
        groups: of the settings.
        rungs: epochs after which the settings are ranked; the last are the config's.
        splits: of the training set, where what each leaves out ranks; then there is a seed for each
            split and seed.
    """

    settings: tuple[Setting, ...]
    seeds: tuple[int, ...]
    groups: tuple[Group, ...]
    rungs: tuple[int, ...]
    splits: SplitRows | None = None

    def members_of(self, group: Group) -> tuple[int, ...]:
        """The places of a group's seeds."""
        every = tuple(range(len(self.seeds)))
        return every if group.members is None else group.members


def plan(
    settings: Iterable[Setting],
    seeds: Iterable[int],
    train: Batch,
    validation: Batch | None,
    *,
    splits: SplitRows | None = None,
    halving: bool = False,
    memory: float | None = None,
    devices: Sequence[jax.Device] | None = None,
) -> Plan:
    """Plans a sweep: which settings share a program, how many side by side, for how long.

    Args:
        settings: all of them, with the same epochs and the same monitor.
        seeds: with each of which every setting is trained.
        train: the training set.
        validation: the set that ranks; None with splits.
        splits: of the training set, with "train" and "validation" rows for each of the seeds.
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
        judged = train if splits is not None else validation
        check_sets("sweep.plan", config, train, judged, None)
        programs: list[tuple[tuple[int, ...] | None, int]] = [(None, 0)]
        if splits is not None:
            programs = [
                (tuple(members.tolist()), num_copied(rows))
                for members, rows in groups_of(splits.rows, config)
            ]
        for members, copied in programs:
            width = plan_width(
                config,
                train,
                validation,
                None,
                num_runs=len(numbers) * len(seeds if members is None else members),
                devices=devices,
                memory=usual_memory(devices) if memory is None else memory,
                copied=copied,
            )
            groups.append(Group(tuple(numbers), width, members))
    epochs = settings[0].config.epochs
    rungs = _rungs(epochs, len(settings)) if halving else (epochs,)
    return Plan(settings, seeds, tuple(groups), rungs, splits)


def _rungs(epochs: int, num_settings: int) -> tuple[int, ...]:
    """Epochs of each rung: a power of 3 fewer than all, as long as both numbers allow it."""
    count = int(math.log(min(epochs, num_settings), FACTOR) + 1e-9)
    return tuple(math.ceil(epochs / FACTOR**left) for left in range(count, -1, -1))
