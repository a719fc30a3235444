"""schedules: by hand, in float64, and inside a run."""

from typing import get_args

import jax
import numpy as np
import oracle
import pytest

from jaxcls import Batch, Config, Hyperparams, Keys, bernoulli, fit, init_state
from jaxcls.epochs import train_epochs
from jaxcls.schedules import ScheduleName, unit_schedule

SCHEDULES = get_args(ScheduleName)

KEYS = Keys.from_seed(0)
TOTALS = [1, 2, 3, 10, 100]


def examples():
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (25, 6)).astype(np.float32)
    return Batch(x, (x[:, 0] > x[:, 1]).astype(int))


def start():
    return init_state(KEYS, Config((6, 1), bernoulli, "sgd"))  # for every schedule


def run(schedule, rate=0.5, **kwargs):
    # 3 epochs of 4 steps, the last with one example
    settings = {"batch_size": 8, "shuffle": False, "epochs": 3}
    config = Config((6, 1), bernoulli, "sgd", schedule=schedule, **settings)
    return fit(KEYS, config, Hyperparams(rate), examples(), state=start(), **kwargs)


def shares(name, num_steps, steps=None):
    steps = np.arange(num_steps) if steps is None else np.array(steps)
    filled = np.resize(steps, 200)  # one shape, compiled once
    return np.array(jax.vmap(unit_schedule(name, num_steps))(filled))[: len(steps)]


@pytest.mark.parametrize(
    "name, num_steps, want",
    [
        ("constant", 3, {0: 1, 1: 1, 2: 1}),
        ("cosine", 1, {0: 1}),
        ("cosine", 2, {0: 1, 1: 1 / 2}),
        ("cosine", 3, {0: 1, 1: 3 / 4, 2: 1 / 4}),
        ("cosine", 10, {0: 1, 5: 1 / 2, 9: (1 - np.cos(np.pi / 10)) / 2}),
        ("cosine", 100, {0: 1, 25: (2 + 2**0.5) / 4, 50: 1 / 2, 75: (2 - 2**0.5) / 4}),
        ("warmup_cosine", 1, {0: 1}),
        ("warmup_cosine", 2, {0: 0, 1: 1}),
        ("warmup_cosine", 3, {0: 0, 1: 1, 2: 1 / 2}),
        ("warmup_cosine", 10, {0: 0, 1: 1, 4: 3 / 4, 7: 1 / 4}),
        ("warmup_cosine", 100, {0: 0, 1: 0.1, 9: 0.9, 10: 1, 40: 3 / 4, 55: 1 / 2}),
        ("step", 1, {0: 1}),
        ("step", 2, {0: 1, 1: 0.1}),
        ("step", 3, {0: 1, 1: 1, 2: 0.1}),
        ("step", 10, {0: 1, 4: 1, 5: 0.1, 7: 0.1, 8: 0.01, 9: 0.01}),
        ("step", 100, {0: 1, 49: 1, 50: 0.1, 74: 0.1, 75: 0.01, 99: 0.01}),
    ],
)
def test_shares_by_hand(name, num_steps, want):
    got = shares(name, num_steps, list(want))
    np.testing.assert_allclose(got, list(want.values()), rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize(
    "num_steps",
    [1, 10, 100, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 3, 101, 200))],
)
def test_shares_agree_with_float64_and_have_unit_height(name, num_steps):
    got = shares(name, num_steps)
    np.testing.assert_allclose(got, oracle.shares(name, num_steps), rtol=0, atol=5e-7)
    assert got.max() == 1 and got.min() >= 0


@pytest.mark.parametrize("name", SCHEDULES)
def test_shares_after_the_end_and_of_the_longest_run_are_in_range(name):
    # A state may be trained past Config.epochs, and steps are counted in int32.
    for num_steps in (*TOTALS, 2**31 - 1):
        steps = [num_steps - 1, min(num_steps + 5, 2**31 - 1), 2**31 - 1]
        after = shares(name, num_steps, steps)
        assert (after >= 0).all() and (after <= 1).all() and np.diff(after).max() <= 0


@pytest.mark.parametrize(
    "name",
    [SCHEDULES[-1], *(pytest.param(n, marks=pytest.mark.slow) for n in SCHEDULES[:-1])],
)
def test_a_run_agrees_with_float64_and_a_new_rate_compiles_nothing(name):
    data = examples()
    state, history = run(name)
    num_programs = train_epochs._cache_size()
    layers = oracle.to_float64(start().params)
    rates = 0.5 * oracle.shares(name, 12).reshape(3, 4)
    for epoch in range(3):
        layers, loss = oracle.train(
            layers,
            data.features,
            data.targets,
            oracle.bernoulli,
            oracle.Sgd(0.5),
            np.split(np.arange(25), [8, 16, 24]),
            rates=rates[epoch],
        )
        np.testing.assert_allclose(history.loss[epoch], loss, rtol=1e-6)
    for got, want in zip(oracle.to_float64(state.params), layers, strict=True):
        for leaf, wanted in zip(got, want, strict=True):
            np.testing.assert_allclose(leaf, wanted, rtol=1e-5, atol=1e-6)
    _, other = run(name, 0.25)
    assert train_epochs._cache_size() == num_programs
    assert other.loss[-1] != history.loss[-1]


@pytest.mark.parametrize(
    "name", ["warmup_cosine", pytest.param("step", marks=pytest.mark.slow)]
)
def test_segments_change_no_bit(name):
    # The schedule is that of the whole run, also where a segment ends between epochs.
    in_segments = run(name, report_every=2)
    jax.tree.map(np.testing.assert_array_equal, in_segments, run(name))


def test_a_schedule_that_is_not_there_is_named():
    with pytest.raises(ValueError, match="schedule must be one of constant, cosine, "):
        Config((6, 1), bernoulli, schedule="linear")
