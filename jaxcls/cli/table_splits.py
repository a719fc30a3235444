"""Splits of a table, or of arrays that are standardised: each is prepared by what its own training
rows taught.

All have the features of the whole training set, so that one program serves them. In a split whose
training rows lack a category, a missing value, or any difference, that feature is 0 throughout, as
if it were not there. What a split's preparation does beyond the whole training set's is linear, and
its networks' first layer takes it over in the end: a run's folder keeps one preparation.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, cast

import numpy as np

from jaxcls.batches import Batch
from jaxcls.cli.data import Data
from jaxcls.cli.table_data import Origin
from jaxcls.data import Dataset
from jaxcls.data.preparation import Numeric, Preparation, apply, learn
from jaxcls.data.standardization import as_columns
from jaxcls.data.table_columns import Column
from jaxcls.mlp import Params

_LARGEST = 2**31  # bytes of all copies: 2 GiB


class Own(NamedTuple):
    """How a split prepares: its numbers, and the features that it has.

    Attributes:
        numeric: a column each; divided by infinity where a split's rows are all alike.
        mask: [D], 0 for features that its training rows do not have.
    """

    numeric: tuple[Numeric, ...]
    mask: np.ndarray


class Pool(NamedTuple):
    """A copy of the training set for each split, as that prepares it.

    Attributes:
        batch: features [J * N, D] and targets.
        rows: by set, those of each member in it.
        own: of each split.
        whole: the preparation of the whole training set.
        numbers: [N] of the rows in their file, from 1; of arrays from 0.
    """

    batch: Batch
    rows: dict[str, list[np.ndarray]]
    own: tuple[Own, ...]
    whole: Preparation
    numbers: np.ndarray

    def features(self, split: int, rows: np.ndarray) -> np.ndarray:
        """Rows of the training set as a split prepares them."""
        return np.asarray(self.batch.features)[split * len(self.numbers) + rows]


def pool_of_splits(
    data: Data, rows: dict[str, list[np.ndarray]], num_seeds: int
) -> Pool | None:
    """The training set, prepared for each split, where it is one that is prepared; else None.

    Args:
        data: of the study.
        rows: by set, those of each of the J x S members, split by split.
        num_seeds: S, members of each split.

    Raises:
        ValueError: the copies would be too large.
    """
    origin, train = data.origin, data.train
    if data.standardization is not None:
        named = {
            str(place): Column(each)
            for place, each in enumerate(as_columns(train.features))
        }
        whole = data.standardization.as_preparation()
        origin = Origin(whole, named, np.arange(len(train.targets)), None, False)
    return None if origin is None else pool_of(origin, rows, num_seeds, train)


def pool_of(
    origin: Origin, rows: dict[str, list[np.ndarray]], num_seeds: int, train: Dataset
) -> Pool:
    """The training set, prepared for each split.

    Args:
        origin: of the training set.
        rows: by set, those of each of the J x S members, split by split.
        num_seeds: S, members of each split.
        train: the training set.

    Raises:
        ValueError: the copies would be too large.
    """
    whole, columns = origin.preparation, origin.columns
    of_splits = rows["train"][::num_seeds]
    num_splits, num_rows = len(of_splits), len(train.targets)
    size = 4 * num_splits * train.features.size
    if size > _LARGEST:
        raise ValueError(
            f"{num_splits} splits of these data take {size / 1e9:.1f} GB, since each is prepared "
            "by its own training rows, and at most 2 GiB are taken; take fewer."
        )
    own = tuple(_own(whole, columns, each) for each in of_splits)
    features = np.concatenate(
        [
            apply(whole._replace(numeric=each.numeric), columns) * each.mask
            for each in own
        ]
    )
    in_pool = {
        name: [
            (each + member // num_seeds * num_rows).astype(np.int32)
            for member, each in enumerate(of_all)
        ]
        for name, of_all in rows.items()
    }
    batch = Batch(features, np.tile(train.targets, num_splits))
    return Pool(batch, in_pool, own, whole, origin.numbers)


def _own(whole: Preparation, columns: Mapping[str, Column], rows: np.ndarray) -> Own:
    """What a split's training rows teach, in the layout of the whole training set's."""
    part = {name: column.rows(rows) for name, column in columns.items()}
    learned, _ = learn(part, whole.kinds, whole.target, whole.as_words)
    numbers = {each.name: each for each in learned.numeric}
    words = {each.name: each for each in learned.categorical}
    numeric = tuple(
        each._replace(mean=numbers[each.name].mean, scale=numbers[each.name].scale)
        if each.name in numbers
        else each._replace(scale=np.inf)
        for each in whole.numeric
    )
    mask = [each.name in numbers for each in whole.numeric]
    mask += [
        each.name in numbers and numbers[each.name].indicator
        for each in whole.numeric
        if each.indicator
    ]
    for each in whole.categorical:
        mine = words.get(each.name)
        mask += [
            mine is not None and name in mine.categories for name in each.categories
        ]
        mask += [mine is not None and mine.missing] * each.missing
    return Own(numeric, np.array(mask, np.float32))


def with_one_preparation(params: Params, pool: Pool, splits: Sequence[int]) -> Params:
    """Networks that take features of the whole training set's preparation, to the same effect.

    Args:
        params: leaves [M, ...] of networks that take those of their splits.
        pool: of the splits.
        splits: the number of each network's split.
    """
    first = params["Dense_0"]
    kernels = np.array(first["kernel"], np.float64)
    biases = np.array(first["bias"], np.float64)
    for kernel, bias, split in zip(kernels, biases, splits, strict=True):
        _take_over(kernel, bias, pool.whole, pool.own[split])
    taken = {"kernel": kernels.astype(np.float32), "bias": biases.astype(np.float32)}
    return cast(Params, {**params, "Dense_0": taken})


def _take_over(
    kernel: np.ndarray, bias: np.ndarray, whole: Preparation, own: Own
) -> None:
    """Rewrites a first layer, [D, H] and [H], in place.

    A split's number is ratio * (that of the whole) + shift, and 0 where the value is missing.
    """
    kernel *= own.mask[:, None]
    indicator = len(whole.numeric)
    for place, (each, mine) in enumerate(zip(whole.numeric, own.numeric, strict=True)):
        shift = (each.mean - mine.mean) / mine.scale * kernel[place]
        kernel[place] *= each.scale / mine.scale
        bias += shift
        if each.indicator:
            kernel[indicator] -= shift
            indicator += 1
