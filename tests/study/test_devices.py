"""devices: copies of the data, members spread over devices, and both fetched again."""

import jax
import numpy as np
import pytest

from jaxcls import Keys
from jaxcls.batches import aligned_empty
from jaxcls.study.devices import member_mesh, on_any_process, replicate, spread, to_host

KEYS = Keys.from_seed(0)
# Looked for at once: scripts/reproduce.py, which other tests run, asks for two if it may.
DEVICES = jax.devices()


def assert_on_every_device(tree, count):
    for leaf in jax.tree.leaves(tree):
        assert leaf.is_fully_replicated and len(leaf.devices()) == count


def test_copies_share_aligned_memory():
    aligned = aligned_empty((1000, 3), np.dtype(np.float32))
    aligned[...] = 1
    on_jax = jax.device_put(np.arange(5000), DEVICES[1])
    mesh = member_mesh(DEVICES[:4])
    assert mesh.axis_names == ("members",) and mesh.size == 4
    tree = {"aligned": aligned, "on_jax": on_jax, "number": 3, "keys": KEYS}
    got = replicate(tree, mesh)
    assert_on_every_device(got, 4)
    for name, start in [
        ("aligned", aligned.ctypes.data),
        ("on_jax", on_jax.unsafe_buffer_pointer()),
    ]:
        np.testing.assert_array_equal(got[name], tree[name])
        for shard in got[name].addressable_shards:
            assert shard.data.unsafe_buffer_pointer() == start
    assert got["number"] == 3
    np.testing.assert_array_equal(
        jax.random.key_data(got["keys"].init), jax.random.key_data(KEYS.init)
    )


@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_members_are_spread_and_fetched_in_their_order(count):
    tree = {"seeds": np.arange(8, dtype=np.uint32), "rates": np.ones((8, 3))}
    got = spread(tree, member_mesh(DEVICES[:count]))
    for number, shard in enumerate(got["seeds"].addressable_shards):
        size = 8 // count
        want = range(number * size, (number + 1) * size)
        np.testing.assert_array_equal(shard.data, want)
    jax.tree.map(np.testing.assert_array_equal, to_host(got), tree)


def test_one_process_agrees_with_itself():
    assert on_any_process(7) == 7


def test_no_device_and_one_twice_are_refused():
    for devices in ((), (DEVICES[0], DEVICES[0])):
        with pytest.raises(
            ValueError, match="devices must name at least one, and none"
        ):
            member_mesh(devices)
