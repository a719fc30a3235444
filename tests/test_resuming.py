"""Resuming: a run that goes on from a checkpoint goes on to the bits of one that never stopped."""

import itertools
from typing import get_args

import jax
import numpy as np
import pytest

from jaxcls import Batch, Config, Hyperparams, Keys, bernoulli, fit, init_state, mlp
from jaxcls.schedules import ScheduleName

SCHEDULES = get_args(ScheduleName)

KEYS = Keys.from_seed(0)
OPTIMIZERS = (("sgd", 0.0), ("sgd", 0.9), ("adam", 0.0), ("adamw", 0.0))
# With patience a run ends after epoch 3 at the earliest.
MONITORS = ((None, None), ("loss", None), ("loss", 2), ("accuracy", 2))
SAFEGUARDS = {
    "clip_norm": 0.2,
    "label_smoothing": 0.1,
    "class_weights": (0.5, 2.0),
    "weight_decay": 0.1,
}
# Products in the field of four elements, whose sum is ^.
TWICE, THRICE = (0, 2, 3, 1), (0, 3, 1, 2)


def grid():
    """Sixteen settings among which each pair of values of any two columns is met."""
    for i, j in itertools.product(range(4), range(4)):
        batches, monitor, extras = i ^ j, i ^ TWICE[j], i ^ THRICE[j]
        yield {
            "optimizer": OPTIMIZERS[i],
            "schedule": SCHEDULES[j],
            "batch_size": (None, 8)[batches % 2],
            "shuffle": bool(batches // 2),
            "monitor": MONITORS[monitor],
            "dropout": bool(extras % 2),
            "safeguards": bool(extras // 2),
        }


GRID = [tuple(row.values()) for row in grid()]
# Adam and AdamW, which the tests of segments elsewhere leave out.
STRAIGHT = [GRID[4 * i + TWICE[i]] for i in (2, 3)]
# Without patience, but with much else: sgd, step, shuffled batches, loss, safeguards.
ONE = GRID[3]
name_of = lambda row: "-".join(map(str, row))  # noqa: E731


def examples(num_examples=20, seed=0):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_examples, 4)).astype(np.float32)
    wrong = rng.uniform(size=num_examples) < 0.2
    return Batch(x, ((x[:, 0] > 0) ^ wrong).astype(int))


def configured(
    optimizer, schedule, batch_size, shuffle, monitor, dropout, safeguards, epochs=6
):
    config = Config(
        (4, 3, 1) if dropout else (4, 1),
        bernoulli,
        optimizer[0],
        momentum=optimizer[1],
        batch_size=batch_size,
        shuffle=shuffle,
        dropout=dropout,
        epochs=epochs,
        schedule=schedule,
        monitor=monitor[0],
        patience=monitor[1],
    )
    values = SAFEGUARDS if safeguards else {}
    return config, Hyperparams(0.1, 0.3 if dropout else 0.0, **values)


def start(config):
    # A state that starts from given parameters compiles next to nothing.
    params = mlp.init(jax.random.clone(KEYS.init), config.layer_sizes)
    return init_state(KEYS, config, params)


def run(config, hyperparams, state=None, **kwargs):
    state = start(config) if state is None else state
    validation = None if config.monitor is None else examples(13, 1)
    return fit(KEYS, config, hyperparams, examples(), validation, state=state, **kwargs)


def run_with_checkpoints(config, hyperparams, every, **kwargs):
    """The run, and the state on the host after each checkpoint."""
    kept = {}

    def keep(epoch, state):
        kept[epoch] = jax.device_get(state)

    result = run(
        config, hyperparams, checkpoint_every=every, on_checkpoint=keep, **kwargs
    )
    return result, kept


def joined(first, num_epochs, second):
    """The history of the first's first epochs and all of the second's."""
    return jax.tree.map(lambda a, b: np.concatenate([a[:num_epochs], b]), first, second)


def assert_trees_equal(got, want):
    jax.tree.map(np.testing.assert_array_equal, got, want)


def test_the_grid_covers_every_pair():
    for one, other in itertools.combinations(zip(*GRID, strict=True), 2):
        pairs = set(zip(one, other, strict=True))
        assert pairs == set(itertools.product(set(one), set(other)))


@pytest.mark.slow  # two quick cases are among the scripts' tests
@pytest.mark.parametrize("row", GRID, ids=name_of)
def test_a_run_goes_on_to_the_same_bits(row):
    config, hyperparams = configured(*row)
    (straight, history), kept = run_with_checkpoints(config, hyperparams, 2)
    assert 2 in kept and max(kept) == len(history.loss) > 2
    state, rest = run(config, hyperparams, kept[2], report_every=2)
    assert_trees_equal(state, straight)
    assert_trees_equal(joined(history, 2, rest), history)
    assert not np.array_equal(
        state.params["Dense_0"]["kernel"], kept[2].params["Dense_0"]["kernel"]
    )


@pytest.mark.parametrize(
    "row", [STRAIGHT[0], pytest.param(STRAIGHT[1], marks=pytest.mark.slow)], ids=name_of
)
def test_a_run_in_segments_has_the_bits_of_one_program(row):
    config, hyperparams = configured(*row)
    straight = run(config, hyperparams)
    segmented, _ = run_with_checkpoints(config, hyperparams, 2)
    assert_trees_equal(segmented, straight)


def test_a_run_goes_on_from_each_epoch():
    config, hyperparams = configured(*ONE)
    (straight, history), kept = run_with_checkpoints(config, hyperparams, 1)
    assert sorted(kept) == [1, 2, 3, 4, 5, 6]
    assert_trees_equal(kept[6], straight)
    for epoch in range(1, 6):
        state, rest = run(config, hyperparams, kept[epoch], checkpoint_every=1)
        assert_trees_equal(state, straight)
        assert_trees_equal(joined(history, epoch, rest), history)


def test_a_run_that_an_error_ends_goes_on():
    config, hyperparams = configured(*ONE)
    kept = []

    def stop(epoch, state):
        kept.append(jax.device_get(state))
        if epoch == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run(config, hyperparams, checkpoint_every=1, on_checkpoint=stop)
    state, rest = run(config, hyperparams, kept[-1], report_every=1)
    (straight, history), _ = run_with_checkpoints(config, hyperparams, 1)
    assert len(kept) == len(rest.loss) == 3
    assert_trees_equal(state, straight)
    assert_trees_equal(joined(history, 3, rest), history)


@pytest.mark.slow
def test_how_often_a_run_reports_and_checkpoints_changes_no_bit():
    config, hyperparams = configured(*ONE)
    want = run(config, hyperparams)
    for report_every, checkpoint_every, reports, checkpoints in [
        (None, None, [6], [6]),
        (1, None, [1, 2, 3, 4, 5, 6], [6]),
        (None, 1, [6], [1, 2, 3, 4, 5, 6]),
        (2, 4, [2, 4, 6], [4, 6]),
        (2, 3, [2, 4, 6], [3, 6]),
        (4, 4, [4, 6], [4, 6]),
        (7, 10, [6], [6]),
    ]:
        calls = []
        got = run(
            config,
            hyperparams,
            report_every=report_every,
            on_report=lambda report: calls.append(("report", report.epoch)),  # noqa: B023
            checkpoint_every=checkpoint_every,
            on_checkpoint=lambda epoch, state: calls.append(("saved", epoch)),  # noqa: B023
        )
        assert_trees_equal(got, want)
        expected = [("report", epoch) for epoch in reports]
        expected += [("saved", epoch) for epoch in checkpoints]
        assert calls == sorted(expected, key=lambda call: call[::-1])  # report first


@pytest.mark.parametrize("value, error", [(0, ValueError), (1.5, TypeError)])
def test_bad_checkpoint_intervals_are_named(value, error):
    config, hyperparams = configured(*GRID[0])
    with pytest.raises(error, match="fit: checkpoint_every must be"):
        run(config, hyperparams, checkpoint_every=value)
