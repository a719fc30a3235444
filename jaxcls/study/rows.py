"""Rows as data: members of a study that train on, and are judged by, rows of one shared set.

What rows a member has is a number like its seed, so members of other splits share a program. It
takes the rows of a mini-batch out of the shared features, and copies what comes at once: a full
batch, and what is scored.
"""

from collections.abc import Sequence
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from jax import Array

from jaxcls.batches import Batch, steps_of, steps_per_epoch
from jaxcls.config import Config
from jaxcls.packing import chosen
from jaxcls.study.sets import Sets

# [S, M], or S lists of rows.
RowsGiven = np.ndarray | Array | Sequence


class Which(NamedTuple):
    """Rows of a set, for each of S members.

    Attributes:
        rows: [S, M] int32; members with fewer have any rows behind their own.
        counts: [S] int32, how many are their own; None where all are.
    """

    rows: Array | np.ndarray
    counts: Array | np.ndarray | None = None


class Rows(NamedTuple):
    """What sets of its own each of S members has, out of one set that they share.

    Attributes:
        train: what it trains on.
        validation: what judges each epoch, or None.
        test: what its chosen params are scored on, or None.
    """

    train: Which
    validation: Which | None = None
    test: Which | None = None


class SplitRows(NamedTuple):
    """Rows of a study over splits of one set: split by split, seed by seed, what each member has.

    Attributes:
        rows: S arrays each of "train", and of "validation" or "test".
        num_seeds: members of each split.
        ratio: rows that judge for each row trained on.
    """

    rows: dict[str, list[np.ndarray]]
    num_seeds: int
    ratio: float


def groups_of(
    rows: dict[str, list[np.ndarray]], config: Config
) -> list[tuple[np.ndarray, Rows]]:
    """The members that can share a program, and their rows, filled up to one size.

    Sets that differ in size share one as long as they have as many steps; a full batch with
    dropout must have the very size, since its masks are drawn for it. So folds, whose sizes
    differ by one, need two programs at most.

    Args:
        rows: S arrays each of "train", and of "validation" and "test" where there are such.
        config: of all.

    Returns:
        For each program the numbers of its members, and their rows.
    """
    keys = [_program(len(each), config) for each in rows["train"]]
    found = []
    for key in dict.fromkeys(keys):
        members = np.flatnonzero([each == key for each in keys])
        own = {
            name: filled([of_all[member] for member in members])
            for name, of_all in rows.items()
        }
        found.append((members, Rows(**own)))
    return found


def sets_of(own: Rows, pool: Sets, config: Config) -> Sets:
    """One member's sets, out of those that all share; inside a jitted function.

    Args:
        own: with leaves of this member alone.
        pool: as of `sets.place_pool`.
        config: static.
    """
    whole = pool.scored["train"]
    scored = {
        name: _gathered(whole, which)
        for name, which in own._asdict().items()
        if which is not None
    }
    train = scored["train"]
    if steps_per_epoch(train, config) > 1:
        train = chosen(pool.train, train, own.train.rows, own.train.counts, pool.steps)
    return Sets(train, scored.get("validation"), scored)


def checked_rows(
    caller: str, given: dict[str, RowsGiven], num_members: int, num_rows: int
) -> dict[str, list[np.ndarray]]:
    """Rows as given, as S arrays of int32 each.

    Raises:
        TypeError, ValueError: they are not one list of rows for each member, a row is out of
            range, or one is both trained on and judged by.
    """
    rows = {name: _lists(caller, name, each) for name, each in given.items()}
    for name, of_all in rows.items():
        if len(of_all) != num_members:
            raise ValueError(
                f"{caller}: {name}_rows must hold rows for each of the {num_members} seeds, got "
                f"{len(of_all)}."
            )
        for member, each in enumerate(of_all):
            if not len(each) or each.min() < 0 or each.max() >= num_rows:
                got = f"{each.min()} to {each.max()}" if len(each) else "none"
                raise ValueError(
                    f"{caller}: {name}_rows of run {member} must be some of the rows 0 to "
                    f"{num_rows - 1} of train, got {got}."
                )
    for name in set(rows) - {"train"}:
        for member, (train, judged) in enumerate(
            zip(rows["train"], rows[name], strict=True)
        ):
            both = np.intersect1d(train, judged)
            if len(both):
                raise ValueError(
                    f"{caller}: {name}_rows of run {member} hold {len(both)} rows that it trains "
                    f"on, such as {both[0]}; what judges must be apart."
                )
    return rows


def num_copied(rows: Rows) -> int:
    """Examples that a member copies out of the shared set, those of mini-batches left out."""
    return sum(which.rows.shape[1] for which in rows if which is not None)


def _lists(caller: str, name: str, given: RowsGiven) -> list[np.ndarray]:
    found = []
    if not hasattr(given, "__len__") or isinstance(given, str):
        raise TypeError(
            f"{caller}: {name}_rows must be [S, M] or S lists, got {type(given).__name__}."
        )
    for each in given:
        each = np.asarray(each)
        if each.ndim != 1 or (len(each) and each.dtype.kind not in "iu"):
            raise TypeError(
                f"{caller}: {name}_rows must be whole numbers, [S, M] or S lists of them, got "
                f"{each.dtype} {list(each.shape)} for a run."
            )
        # Out of range for 32 bits stays out of range.
        found.append(np.clip(each, -1, 2**31 - 1).astype(np.int32))
    return found


def _program(count: int, config: Config) -> tuple:
    num_steps = steps_of(count, config)
    return num_steps, count if num_steps == 1 and config.dropout else None


def filled(of_all: Sequence[np.ndarray], size: int | None = None) -> Which:
    """Rows of each of S members, filled up to so many, by default to the most that one has.

    With a size the counts are always there, so that lists of any length share a program.
    """
    counts = np.array([len(each) for each in of_all], np.int32)
    most = int(counts.max()) if size is None else size
    rows = np.stack(
        [np.pad(each, (0, most - len(each)), mode="edge") for each in of_all]
    )
    return Which(rows, None if size is None and counts.min() == most else counts)


def _gathered(pool: Batch, which: Which) -> Batch:
    """A copy of one member's rows, of which those that only fill up weigh nothing."""
    features, targets = (
        jnp.asarray(each)[which.rows] for each in (pool.features, pool.targets)
    )
    weights = None if pool.weights is None else jnp.asarray(pool.weights)[which.rows]
    if which.counts is not None:
        own = jnp.arange(len(which.rows)) < which.counts
        weights = own.astype(jnp.int32) if weights is None else weights * own
    return Batch(features, targets, weights)
