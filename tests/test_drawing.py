"""What NumPy draws is what compiled programs draw, to the bit, and where it leaves the drawing to them."""

from functools import partial

import jax
import numpy as np
import pytest

from jaxcls import Batch, Config, Keys, drawing, gaussian, mlp
from jaxcls.batches import epoch_rows
from jaxcls.config import split_seed

SIZES = (13, 8, 3)
in_xla = jax.jit(partial(mlp.init, layer_sizes=SIZES))


def equal(found, wanted):
    jax.tree.map(np.testing.assert_array_equal, found, wanted)


@pytest.fixture
def compiled(monkeypatch):
    """The keys that XLA draws params from."""
    keys, real = [], mlp._compiled_init

    def heard(key, layer_sizes):
        keys.append(key)
        return real(key, layer_sizes)

    monkeypatch.setattr(mlp, "_compiled_init", heard)
    return keys


@pytest.mark.parametrize("seed", [0, 7, 2**32 - 1])
def test_keys_and_params_of_a_seed(seed, compiled):
    keys, wanted = Keys.from_seed(seed), jax.jit(split_seed)(np.uint32(seed))
    for found, other, bits in zip(keys, wanted, drawing.keys_of(seed), strict=True):
        assert found.dtype == other.dtype
        equal(jax.random.key_data(found), jax.random.key_data(other))
        equal(bits, jax.random.key_data(other))
    params = mlp.init(keys.init, SIZES)
    assert compiled == []
    equal(params, in_xla(keys.init))


def test_an_order_of_fewer_examples_than_there_is_room_for():
    keys = Keys.from_seed(7)
    data = Batch(np.zeros((300, 1), np.float32), np.zeros(300))
    config = Config((1, 1), gaussian, batch_size=100)
    wanted, _ = epoch_rows(jax.random.fold_in(keys.shuffle, 3), data, config)
    order = drawing.order_of(drawing.keys_of(7).shuffle, 3, 300, 512)
    equal(order[:300], wanted.ravel())


def test_params_are_where_they_would_be_anyway():
    key = Keys.from_seed(1).init
    kernel = mlp.init(key, SIZES)["Dense_0"]["kernel"]
    assert isinstance(kernel, jax.Array) and not kernel.committed


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_another_generator_is_jaxs(impl, compiled):
    key = jax.random.key(3, impl=impl)
    assert drawing.bits_of(key) is None
    equal(mlp.init(key, SIZES), in_xla(key))
    assert compiled


def test_a_key_that_a_traced_function_knows(compiled):
    key = Keys.from_seed(3).init
    equal(jax.jit(lambda: mlp.init(key, SIZES))(), mlp.init(key, SIZES))
    assert len(compiled) == 1


def test_a_key_on_a_device_stays_there(compiled):
    key = jax.device_put(Keys.from_seed(3).init, jax.devices()[0])
    assert mlp.init(key, SIZES)["Dense_0"]["kernel"].committed
    assert len(compiled) == 1


def test_a_user_of_the_older_threefry_gets_the_older_numbers(compiled):
    key = Keys.from_seed(3).init
    with jax.threefry_partitionable(False):
        older = mlp.init(key, SIZES)
        equal(older, jax.jit(partial(mlp.init, layer_sizes=SIZES))(key))
        alone, of_many = Keys.from_seed(7), Keys.from_seeds([7])
        for one, many in zip(alone, of_many, strict=True):
            equal(jax.random.key_data(one), jax.random.key_data(many)[0])
    assert compiled
    assert (older["Dense_0"]["kernel"] != in_xla(key)["Dense_0"]["kernel"]).any()


def test_large_networks_are_xlas(compiled, monkeypatch):
    key = Keys.from_seed(3).init
    few = mlp.init(key, SIZES)
    monkeypatch.setattr(mlp, "_LARGE", 14 * 8 + 9 * 3 - 1)
    equal(mlp.init(key, SIZES), few)
    assert len(compiled) == 1


def test_sizes_of_few_bits():
    key, sizes = Keys.from_seed(3).init, (100, 100, 1)
    few_bits = tuple(map(np.int8, sizes))
    equal(mlp.init(key, few_bits), mlp.init(key, sizes))
