"""The devices of a study: members spread over them, a copy of the data on each.

Arrays are laid out by each process for its own devices alone, so that several processes that hold
the same data need not talk to each other for it.
"""

from collections.abc import Sequence
from typing import TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


def member_mesh(devices: Sequence[jax.Device]) -> Mesh:
    """The devices in a row, over whose one axis "members" many runs can lie.

    >>> member_mesh(jax.devices()).axis_names
    ('members',)
    """
    if not devices or len(set(devices)) < len(devices):
        raise ValueError(
            f"devices must name at least one, and none twice, got {list(devices)}."
        )
    # Not jax.make_mesh: its axes ask for shardings to be spelled out in the program.
    return Mesh(np.array(devices), ("members",))


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
