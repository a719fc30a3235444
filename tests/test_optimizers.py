"""optimizers: each against its algorithm in float64."""

import dataclasses
from typing import get_args

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest
from own import by_position

from jaxcls import Batch, Config, Hyperparams, Keys, bernoulli, fit, fit_many, mlp
from jaxcls.optimizers import OPTIMIZERS, OptimizerName, make_optimizer

CASES = {
    "sgd": ({"optimizer": "sgd"}, {}, oracle.Sgd(0.1)),
    "sgd with momentum": (
        {"optimizer": "sgd", "momentum": 0.9},
        {},
        oracle.Sgd(0.1, 0.9),
    ),
    "sgd with decay": (
        {"optimizer": "sgd"},
        {"weight_decay": 0.3},
        oracle.Sgd(0.1, decay=0.3),
    ),
    "adam": ({"optimizer": "adam"}, {}, oracle.Adam(0.1)),
    "adam with decay": (
        {"optimizer": "adam"},
        {"weight_decay": 0.3},
        oracle.Adam(0.1, 0.3),
    ),
    "adamw": ({"optimizer": "adamw"}, {}, oracle.Adam(0.1, 0.01)),
    "adamw with decay": (
        {"optimizer": "adamw"},
        {"weight_decay": 0.3},
        oracle.Adam(0.1, 0.3),
    ),
    "nadam": (
        {"optimizer": "nadam"},
        {},
        oracle.Elementwise(0.1, (0, 0), oracle.nadam),
    ),
    "rmsprop": (
        {"optimizer": "rmsprop"},
        {},
        oracle.Elementwise(0.1, 0, oracle.rmsprop),
    ),
    "adagrad": (
        {"optimizer": "adagrad"},
        {},
        oracle.Elementwise(0.1, 0, oracle.adagrad),
    ),
    "lion": ({"optimizer": "lion"}, {}, oracle.Elementwise(0.1, 0, oracle.lion)),
}


def test_every_optimizer_has_its_name_and_its_case():
    assert set(OPTIMIZERS) == set(get_args(OptimizerName)) <= set(CASES)


@pytest.mark.parametrize("config, hyperparams, want", CASES.values(), ids=CASES)
def test_five_steps_agree_with_float64(config, hyperparams, want):
    params = mlp.init(jax.random.key(0), (4, 3, 1))
    optimizer = make_optimizer(
        Config((4, 3, 1), bernoulli, **config), Hyperparams(0.1, **hyperparams)
    )
    state, layers = optimizer.init(params), oracle.to_float64(params)
    for seed in range(5):
        grads = mlp.init(
            jax.random.key(10 + seed), (4, 3, 1)
        )  # any numbers of that shape
        updates, state = optimizer.update(grads, state, params)
        params = optax.apply_updates(params, updates)
        layers = want.step(layers, oracle.to_float64(grads))
    for got, expected in zip(oracle.to_float64(params), layers, strict=True):
        for leaf, wanted in zip(got, expected, strict=True):
            np.testing.assert_allclose(leaf, wanted, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_the_state_has_one_structure_for_all_hyperparams(optimizer):
    config = Config((2, 1), bernoulli, optimizer)
    params = mlp.init(jax.random.key(0), (2, 1))
    structures = {
        jax.tree.structure(make_optimizer(config, hyperparams).init(params))
        for hyperparams in (
            Hyperparams(),
            Hyperparams(0.1, 0.5, 0.1),
            Hyperparams(jnp.ones(())),
        )
    }
    assert len(structures) == 1


RNG = np.random.default_rng(0)
TRAIN = Batch(
    RNG.normal(size=(50, 6)).astype(np.float32), (np.arange(50) % 3 == 0).astype(int)
)
CONFIG = Config((6, 5, 1), bernoulli, batch_size=8, epochs=3, dropout=True)
RATES = Hyperparams(0.05, 0.3)


def like_adam(hyperparams):
    """The table's Adam as a user writes it, of optax's own parts."""
    return optax.chain(
        OPTIMIZERS["adam"](CONFIG),
        optax.scale_by_learning_rate(hyperparams.learning_rate),
    )


def test_an_optimizer_of_ones_own_trains_as_one_of_the_table():
    for config, hyperparams in (
        (CONFIG, RATES),
        (dataclasses.replace(CONFIG, schedule="cosine"), RATES),
    ):
        own = dataclasses.replace(config, optimizer=like_adam)
        want, losses = fit(Keys.from_seed(0), config, hyperparams, TRAIN)
        got, own_losses = fit(Keys.from_seed(0), own, hyperparams, TRAIN)
        jax.tree.map(np.testing.assert_array_equal, got.params, want.params)
        np.testing.assert_array_equal(own_losses.loss, losses.loss)


@pytest.mark.parametrize("optimizer", [like_adam, by_position])
@pytest.mark.slow
def test_traced_hyperparams_reach_it_in_many_runs(optimizer):
    config = dataclasses.replace(CONFIG, optimizer=optimizer)
    rates = np.float32([0.01, 0.1])
    runs = fit_many([3, 4], config, Hyperparams(rates, 0.3), TRAIN)
    for row, (seed, rate) in enumerate(zip((3, 4), rates, strict=True)):
        state, _ = fit(Keys.from_seed(seed), config, Hyperparams(rate, 0.3), TRAIN)
        many = jax.tree.map(lambda leaf, row=row: leaf[row], runs.params)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=0, atol=1e-5),
            *(many, state.params),
        )


def test_it_resumes_to_the_same_bits():
    config = dataclasses.replace(CONFIG, optimizer=by_position)
    kept = []
    want, _ = fit(
        *(Keys.from_seed(0), config, RATES, TRAIN),
        checkpoint_every=2,
        on_checkpoint=lambda epoch, state: kept.append(jax.device_get(state)),
    )
    got, _ = fit(Keys.from_seed(0), config, RATES, TRAIN, state=kept[0])
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.parametrize(
    "optimizer, error, message",
    [
        ("adagrd", ValueError, "optimizer must be one of sgd, adam"),
        (optax.adam(1e-3), TypeError, "got optax's as it is; wrap it"),
        (optax.adam, TypeError, "got optax's as it is; wrap it"),
        (["adam"], ValueError, "optimizer must be one of"),
    ],
)
def test_what_is_no_optimizer_is_said(optimizer, error, message):
    with pytest.raises(error, match=f"Config: .*{message}"):
        dataclasses.replace(CONFIG, optimizer=optimizer)


def test_a_function_that_gives_no_transformation_is_said():
    config = dataclasses.replace(CONFIG, optimizer=lambda hyperparams: 3)
    with pytest.raises(
        TypeError, match="must take the Hyperparams and return an optax"
    ):
        fit(Keys.from_seed(0), config, RATES, TRAIN)


def test_updates_of_other_shapes_are_said():
    def of_sums(hyperparams):
        return optax.stateless(
            lambda updates, params: jax.tree.map(lambda g: -0.1 * jnp.sum(g), updates)
        )

    config = dataclasses.replace(CONFIG, optimizer=of_sums)
    with pytest.raises(TypeError, match="must give updates of the params' shapes"):
        fit(Keys.from_seed(0), config, RATES, TRAIN)


@pytest.mark.slow
def test_one_that_counts_on_a_decay_trains_in_many_runs():
    def decayed(hyperparams):
        return optax.chain(
            optax.add_decayed_weights(hyperparams.weight_decay * 2),
            optax.sgd(hyperparams.learning_rate),
        )

    config = dataclasses.replace(CONFIG, optimizer=decayed)
    hyperparams = Hyperparams(0.1, 0.3, weight_decay=0.1)
    runs = fit_many([0, 1], config, hyperparams, TRAIN)
    state, _ = fit(Keys.from_seed(1), config, hyperparams, TRAIN)
    for got, want in zip(
        jax.tree.leaves(runs.params), jax.tree.leaves(state.params), strict=True
    ):
        np.testing.assert_allclose(got[1], want, rtol=0, atol=1e-5)


def test_a_function_of_no_module_is_as_good():
    space = {"optax": optax}
    exec("def own(h): return optax.sgd(h.learning_rate)", space)
    space["own"].__module__ = None  # as in an exec without a name
    assert dataclasses.replace(CONFIG, optimizer=space["own"]).optimizer is space["own"]
