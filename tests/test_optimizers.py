"""optimizers: each against its algorithm in float64."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import oracle
import pytest

from jaxcls import Config, Hyperparams, bernoulli, mlp
from jaxcls.optimizers import make_optimizer

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
}


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


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
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
