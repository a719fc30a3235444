"""sharding: rows over several devices give what one device gives."""

import socket
import subprocess
import sys

import jax
import numpy as np
import pytest

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    bernoulli,
    categorical,
    evaluate,
    fit,
    init_state,
    layouts,
    mlp,
    train_epochs,
    train_step,
)
from jaxcls.batches import aligned_empty
from jaxcls.sharding import member_mesh, mesh_of, replicate, shard_rows

KEYS = Keys.from_seed(0)
COUNTS = [1, 2, 4, 8]
# Looked for at once: scripts/reproduce.py, which other tests run, asks for two if it may.
DEVICES = jax.devices()


def examples(num_examples=101, num_classes=2):
    rng = np.random.default_rng(num_examples)
    x = rng.uniform(0, 1, (num_examples, 16)).astype(np.float32)
    return Batch(x, x[:, :num_classes].argmax(axis=1))


def over(count, data):
    return shard_rows(data, DEVICES[:count])


def assert_trees_close(got, want, tolerance=1e-6):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance), got, want
    )


def assert_on_every_device(tree, count):
    for leaf in jax.tree.leaves(tree):
        assert leaf.is_fully_replicated and len(leaf.devices()) == count


@pytest.mark.parametrize("num_examples", [1, 5, 8, 16, 17])
@pytest.mark.parametrize("count", COUNTS)
def test_rows_keep_their_order_and_are_filled_up(count, num_examples):
    data = examples(num_examples)
    rows = over(count, data)
    num_rows = len(rows.targets)
    assert num_rows % count == 0 and 0 <= num_rows - num_examples < count
    for leaf in jax.tree.leaves(rows):
        sizes = [len(shard.data) for shard in leaf.addressable_shards]
        assert sizes == [num_rows // count] * count
    np.testing.assert_array_equal(rows.features[:num_examples], data.features)
    np.testing.assert_array_equal(rows.targets[:num_examples], data.targets)
    np.testing.assert_array_equal(rows.features[num_examples:], 0)
    np.testing.assert_array_equal(rows.targets[num_examples:], data.targets[-1])
    if num_rows == num_examples:
        assert rows.weights is None
    else:
        np.testing.assert_array_equal(rows.weights, np.arange(num_rows) < num_examples)


def test_weights_and_dtypes_stay():
    data = examples(5)
    data = Batch(
        data.features.astype(np.float16),
        np.eye(2, dtype=np.float32)[data.targets],
        np.arange(5, dtype=np.float32),
    )
    rows = over(4, jax.tree.map(jax.numpy.asarray, data))
    assert [leaf.dtype for leaf in rows] == [leaf.dtype for leaf in data]
    np.testing.assert_array_equal(rows.weights, [0, 1, 2, 3, 4, 0, 0, 0])
    np.testing.assert_array_equal(rows.targets[5:], np.repeat(data.targets[-1:], 3, 0))


@pytest.mark.parametrize("count", COUNTS)
def test_parts_that_are_aligned_are_not_copied(count):
    features = aligned_empty((8 * 16, 16), np.dtype(np.float32))
    features[...] = 1
    rows = over(count, Batch(features, np.zeros(len(features))))
    for shard in rows.features.addressable_shards:
        start = shard.index[0].start or 0
        part = features[start : start + len(shard.data)]
        assert shard.data.unsafe_buffer_pointer() == part.ctypes.data


SETTINGS = {
    "sgd": (bernoulli, {"optimizer": "sgd"}, {}),
    "adam, dropout, class weights": (
        categorical,
        {"dropout": True},
        {"dropout_rate": 0.4, "class_weights": (1.0, 2.0, 3.0)},
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["sgd", "adam, dropout, class weights"])
def test_training_on_rows_is_training_on_one_device(name):
    likelihood, of_config, of_hyperparams = SETTINGS[name]
    data = examples(num_classes=2 if likelihood is bernoulli else 3)
    config = Config((16, 8, likelihood.num_outputs(3)), likelihood, **of_config)
    state, hyperparams = init_state(KEYS, config), Hyperparams(0.01, **of_hyperparams)

    def trained(data):
        return train_epochs(state, data, KEYS, hyperparams, config=config, num_epochs=9)

    want, history = trained(data)
    score = evaluate(want.params, data, config=config)
    for count in COUNTS:
        rows = over(count, data)
        got, got_history = trained(rows)
        assert_trees_close((got, got_history), (want, history))
        assert_on_every_device(got, count)
        got_score = evaluate(got.params, rows, config=config)
        assert_trees_close(got_score, score)
        assert int(got_score.correct) == int(score.correct)
        assert int(got_score.count) == 101


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 2, 4, 8])
def test_a_step_on_rows_is_a_step_on_one_device(count):
    # Masks are drawn at the size of the batch, which filling up has changed.
    data, config = examples(), Config((16, 8, 4, 1), bernoulli, dropout=True)
    rows, state = over(count, data), init_state(KEYS, config)

    def stepped(data):
        masks = mlp.draw_masks(
            jax.random.key(1), 0.5, (len(data.targets),), state.params
        )
        return train_step(state, data, masks, Hyperparams(0.01, 0.5), config=config)

    assert_trees_close(stepped(rows), stepped(data))


def test_masks_of_more_rows_begin_with_those_of_fewer():
    params = mlp.init(jax.random.key(0), (16, 33, 1))
    few, more = (
        mlp.draw_masks(
            jax.random.key(1), 0.5, (1, size), params
        )  # as train_epochs does
        for size in (101, 104)
    )
    for mask, longer in zip(few, more, strict=True):
        np.testing.assert_array_equal(longer[:, :101], mask)


@pytest.mark.slow
@pytest.mark.parametrize("count", [1, 8])
def test_fit_on_rows_is_fit_on_one_device(count):
    data, validation = examples(), examples(30)
    config = Config((16, 8, 1), bernoulli, epochs=6, dropout=True, monitor="loss")

    def fitted(train, state=None):
        reports = []
        state, history = fit(
            KEYS,
            config,
            Hyperparams(0.01, 0.3),
            train,
            validation,
            state=state,
            report_every=2,
            on_report=lambda each: reports.append((each.loss, each.train)),
        )
        return state, history, reports

    want, rows = fitted(data), over(count, data)
    compiled = layouts.train_epochs._cache_size()
    got = fitted(rows)
    assert layouts.train_epochs._cache_size() == compiled + 1
    assert_trees_close(got, want)
    assert [int(score.correct) for _, score in got[2]] == [
        int(score.correct) for _, score in want[2]
    ]
    assert_on_every_device(got[0], count)
    # A state that is bound to some other device comes to the rows.
    elsewhere = jax.device_put(init_state(KEYS, config), DEVICES[1])
    jax.tree.map(np.testing.assert_array_equal, fitted(rows, elsewhere), got)


def test_evaluate_brings_rows_to_the_parameters_device():
    data, config = examples(), Config((16, 8, 1), bernoulli)
    device = DEVICES[1]
    params = jax.device_put(init_state(KEYS, config).params, device)
    got = evaluate(params, over(4, data), config=config)
    assert got.loss_sum.devices() == {device}
    assert_trees_close(got, evaluate(params, data, config=config))


@pytest.mark.slow
@pytest.mark.parametrize("shuffle", [False, True])
def test_mini_batches_of_rows_that_fill_the_devices_are_right(shuffle):
    data = examples(104)
    config = Config((16, 8, 1), bernoulli, batch_size=10, shuffle=shuffle, dropout=True)

    def trained(data):
        return train_epochs(
            init_state(KEYS, config),
            data,
            KEYS,
            Hyperparams(0.01, 0.5),
            config=config,
            num_epochs=2,
        )

    assert_trees_close(trained(over(8, data)), trained(data))


def test_fit_refuses_mini_batches_of_rows():
    data = examples()
    hyperparams = Hyperparams(0.01)
    for batch_size in (16, 101):  # of 101 examples, filled up to 104
        config = Config((16, 8, 1), bernoulli, batch_size=batch_size, epochs=1)
        with pytest.raises(
            ValueError,
            match=rf"fit: .*batch_size {batch_size} is less than its 104 rows",
        ):
            fit(KEYS, config, hyperparams, over(8, data))


@pytest.mark.slow
def test_fit_takes_mini_batches_of_what_is_whole_on_each_device():
    data, hyperparams = examples(), Hyperparams(0.01)
    config = Config((16, 8, 1), bernoulli, batch_size=16, epochs=1)
    want, _ = fit(KEYS, config, hyperparams, data)
    for whole in (over(1, data), replicate(data, member_mesh(DEVICES[:2]))):
        got, _ = fit(KEYS, config, hyperparams, whole)
        assert_trees_close(got, want)


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


def test_mesh_of_rows():
    data = examples()
    assert mesh_of(data) is mesh_of(jax.device_put(data)) is None
    assert list(mesh_of(over(4, data)).devices) == DEVICES[:4]


def test_wrong_arguments_are_refused():
    data, first = examples(), DEVICES[0]
    for devices in ([], [first, first]):
        with pytest.raises(ValueError, match="shard_rows: devices must name at least"):
            shard_rows(data, devices)
        with pytest.raises(ValueError, match="member_mesh: devices must name at least"):
            member_mesh(devices)
    with pytest.raises(ValueError, match=r"shard_rows: data has 101 features but"):
        shard_rows(data._replace(targets=np.zeros(3)))
    with pytest.raises(TypeError, match=r"shard_rows: data must be a jaxcls\.Batch"):
        shard_rows(data.features)


_PROCESS = """
import sys
import jax
jax.config.update("jax_num_cpu_devices", 2)
jax.distributed.initialize(f"localhost:{sys.argv[1]}", 2, int(sys.argv[2]))
import numpy as np
import test_sharding as here
from jaxcls.training import score

data, config = here.examples(), here.Config((16, 8, 1), here.bernoulli, dropout=True)
rows, state = here.shard_rows(data), here.init_state(here.KEYS, config)
assert len(jax.devices()) == 4 and not rows.features.is_fully_addressable

def trained(data):
    state, history = here.train_epochs(
        here.init_state(here.KEYS, config), data, here.KEYS, here.Hyperparams(0.01, 0.3),
        config=config, num_epochs=9,
    )
    return state, history, score(state.params, data, config)

got, want = trained(rows), trained(data)
here.assert_on_every_device(got, 4)
here.assert_trees_close(got, want)
here.assert_trees_close(here.replicate(want, here.mesh_of(rows)), want, 0)
"""


@pytest.mark.slow
def test_several_processes_hold_the_same_data():
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = str(free.getsockname()[1])
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _PROCESS, port, number],
            stderr=subprocess.PIPE,
            text=True,
            cwd=__file__.rpartition("/")[0],
        )
        for number in "01"
    ]
    try:
        for process in processes:
            _, errors = process.communicate(timeout=120)
            assert process.returncode == 0, errors
    finally:
        for process in processes:
            process.kill()
