"""Devices: the rows of a large batch over several of them, or a copy of a tree on each.

Nothing else knows of it: jax runs a program where its arguments lie, each device on its own rows,
and adds up what sums over all of them. Arrays are laid out by each process for its own devices
alone, so that several processes that hold the same data need not talk to each other for it.
"""

from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jax import Array
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from jaxcls.batches import Batch, aligned_empty, num_examples
from jaxcls.checks import check_batch

Tree = TypeVar("Tree")


def shard_rows(data: Batch, devices: Sequence[jax.Device] | None = None) -> Batch:
    """Lays the rows of a batch over devices, as many on each.

    `train_step`, `train_epochs`, `evaluate` and `fit` take the result as they take `data`, and
    give the same up to the rounding of sums. It is meant for full batches, and for large batches
    given to `train_step`: `train_epochs` would take each mini-batch together from all devices,
    and draw the rows that were added as well.

    Args:
        data: N examples, on the host; where there are several processes, the same in each.
        devices: n of them, jax's by default.

    Returns:
        The examples, and after them, where n does not divide N, up to n - 1 of weight 0. On a
        CPU a part that lies in `data` as jax wants it is not copied: don't write to `data` then.

    Raises:
        TypeError, ValueError: it is no batch, its shapes don't fit each other, or no device or
            one twice is named; labels are not looked at.

    >>> targets = shard_rows(Batch(np.ones((5, 2)), np.ones(5))).targets
    >>> len(targets) % jax.device_count(), targets.sharding.spec[0]
    (0, 'rows')
    """
    check_batch("shard_rows", "data", data)
    mesh = _mesh("shard_rows", jax.devices() if devices is None else devices, "rows")
    features, targets, weights = jax.tree.map(np.asarray, data)
    num_rows = -(-num_examples(data) // mesh.size) * mesh.size
    if weights is None and num_rows > num_examples(data):
        weights = np.ones(num_examples(data), np.int32)
    fillers = Batch(
        np.zeros_like(features[-1]),
        targets[-1],  # a valid one, so that its loss times 0 is 0
        None if weights is None else np.zeros_like(weights[-1]),
    )
    return jax.tree.map(
        lambda leaf, filler: _over_rows(leaf, filler, num_rows, mesh),
        Batch(features, targets, weights),
        fillers,
    )


def member_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """The devices in a row, over whose one axis "members" many runs can lie.

    >>> member_mesh(jax.devices()).axis_names
    ('members',)
    """
    return _mesh("member_mesh", devices, "members")


def mesh_of(data: Batch) -> Mesh | None:
    """The mesh that rows lie over, or None if they lie over none.

    >>> mesh_of(Batch(np.ones((5, 2)), np.ones(5))) is None
    True
    """
    sharding = getattr(data.features, "sharding", None)
    if isinstance(sharding, NamedSharding) and isinstance(sharding.mesh, Mesh):
        return sharding.mesh
    return None


def replicate(tree: Tree, mesh: Mesh) -> Tree:
    """Lays arrays of NumPy or JAX whole on each device of a mesh.

    On a CPU all devices share the memory of an array that starts at a multiple of 64 bytes, as
    `batches.aligned_empty` and jax make them: nothing is copied, and nobody may write to it.

    >>> replicate(np.ones(3), member_mesh(jax.devices())).is_fully_replicated
    True
    """
    sharding = NamedSharding(mesh, PartitionSpec())

    def whole(leaf):
        is_key = jax.dtypes.issubdtype(
            getattr(leaf, "dtype", None), jax.dtypes.prng_key
        )
        # NumPy sees the memory of a jax array, which jax would copy for each other device.
        leaf = leaf if is_key else np.asarray(leaf)
        return jax.make_array_from_callback(
            leaf.shape, sharding, lambda index: leaf[index]
        )

    return jax.tree.map(whole, tree)


def spread(tree: Tree, mesh: Mesh) -> Tree:
    """Lays the leading axis of NumPy arrays, of a size that the devices share evenly, over them.

    >>> spread(np.ones((8, 3)), member_mesh(jax.devices()[:2])).sharding.spec[0]
    'members'
    """
    sharding = NamedSharding(mesh, PartitionSpec(mesh.axis_names[0]))
    return jax.tree.map(
        lambda leaf: jax.make_array_from_callback(
            leaf.shape, sharding, lambda index: leaf[index]
        ),
        tree,
    )


def to_host(tree: Tree) -> Tree:
    """Fetches arrays whole, also those parts that other processes hold.

    >>> to_host(spread(np.ones((2, 3)), member_mesh(jax.devices()[:2]))).shape
    (2, 3)
    """
    if jax.process_count() > 1:
        tree = jax.jit(_identity, out_shardings=_everywhere(tree))(tree)
        tree = jax.tree.map(lambda leaf: leaf.addressable_data(0), tree)
    return jax.device_get(jax.block_until_ready(tree))


def on_any_process(number: int) -> int:
    """The largest of the numbers that the processes have; all wait for the last of them.

    >>> on_any_process(3)
    3
    """
    if jax.process_count() == 1:
        return number
    return int(multihost_utils.process_allgather(np.int32(number)).max())


def _identity(tree: Tree) -> Tree:
    return tree


def _everywhere(tree: Tree) -> NamedSharding:
    mesh = jax.tree.leaves(tree)[0].sharding.mesh
    return NamedSharding(mesh, PartitionSpec())


def _mesh(caller: str, devices: Sequence[jax.Device], axis: str) -> Mesh:
    if not devices or len(set(devices)) < len(devices):
        raise ValueError(
            f"{caller}: devices must name at least one, and none twice, got {list(devices)}."
        )
    # Not jax.make_mesh: its axes ask for shardings to be spelled out in the program.
    return Mesh(np.array(devices), (axis,))


def _over_rows(
    leaf: np.ndarray, filler: np.ndarray, num_rows: int, mesh: Mesh
) -> Array:
    """`leaf` [N, ...] over the mesh, filled up to `num_rows`."""

    def part(index):
        (rows, *_) = index
        there = leaf[rows]  # stops at N
        size = len(range(num_rows)[rows])
        if len(there) == size:
            return there
        whole = aligned_empty((size, *leaf.shape[1:]), leaf.dtype)
        whole[: len(there)], whole[len(there) :] = there, filler
        return whole

    return jax.make_array_from_callback(
        (num_rows, *leaf.shape[1:]), NamedSharding(mesh, PartitionSpec("rows")), part
    )
