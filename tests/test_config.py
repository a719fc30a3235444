"""config: every setting that is out of its range is named."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import Config, Hyperparams, Keys, bernoulli, categorical, gaussian, mlp
from jaxcls.checks import check_hyperparams

GOOD = Config((784, 32, 1), bernoulli)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"layer_sizes": (784,)}, ValueError, "layer_sizes"),
        (
            {"layer_sizes": (784, 0, 1)},
            ValueError,
            r"layer_sizes .* at least 1.*\(784, 0, 1\)",
        ),
        ({"layer_sizes": (784, "32", 1)}, TypeError, "layer_sizes must be several"),
        (
            {"layer_sizes": (784, 32, 2)},
            ValueError,
            "end in 1 for the likelihood 'bernoulli'",
        ),
        (
            {"likelihood": categorical},
            ValueError,
            "end in 2 for the likelihood 'categorical'",
        ),
        (
            {"likelihood": "bernoulli"},
            TypeError,
            "likelihood must be a jaxcls.Likelihood",
        ),
        (
            {"optimizer": "adagrd"},
            ValueError,
            "optimizer must be one of sgd, adam, adamw",
        ),
        (
            {"optimizer": "sgd", "momentum": 1.0},
            ValueError,
            r"momentum must lie in \[0, 1\), got 1",
        ),
        ({"momentum": 0.9}, ValueError, "momentum belongs to sgd, got 0.9 with adam"),
        ({"batch_size": 0}, ValueError, "batch_size must be at least 1 or None"),
        ({"batch_size": 1.5}, TypeError, "batch_size must be an integer"),
        ({"epochs": 0}, ValueError, "epochs must be at least 1, got 0"),
        ({"epochs": True}, TypeError, "epochs must be an integer"),
        ({"epochs": 10**11}, ValueError, "epochs must be at most 2,147,483,647"),
        ({"layer_sizes": 784}, TypeError, "layer_sizes must be several integers"),
        ({"optimizer": "sgd", "momentum": "a"}, TypeError, "momentum must be a number"),
        ({"shuffle": []}, TypeError, r"shuffle must be True or False, got \[\]"),
        ({"dropout": 0.5}, TypeError, "dropout must be True or False, got 0.5"),
        (
            {"schedule": "linear"},
            ValueError,
            "schedule must be one of constant, cosine",
        ),
        ({"monitor": "f1"}, ValueError, "monitor must be one of loss, accuracy, got"),
        ({"patience": 3}, ValueError, "patience 3 needs a monitor, loss or accuracy"),
        (
            {"monitor": "loss", "patience": 0},
            ValueError,
            "patience must be at least 1 or None for no early stopping, got 0",
        ),
    ],
)
def test_config_names_what_is_wrong(change, error, message):
    with pytest.raises(error, match=f"Config: .*{message}"):
        dataclasses.replace(GOOD, **change)


@pytest.mark.parametrize(
    "values, message",
    [
        ({"learning_rate": 0.0}, "learning_rate must be positive and finite.*got 0"),
        ({"learning_rate": -1.0}, "learning_rate must be positive and finite.*got -1"),
        ({"learning_rate": 1e39}, "learning_rate .* in float32, got 1e\\+39"),
        ({"learning_rate": 1e-46}, "learning_rate .* in float32, got 1e-46"),
        ({"weight_decay": 1e300}, "weight_decay must be finite in float32"),
        ({"learning_rate": float("nan")}, "learning_rate .* got nan"),
        ({"learning_rate": float("inf")}, "learning_rate .* got inf"),
        ({"dropout_rate": 1.0}, r"dropout_rate must lie in \[0, 1\), got 1"),
        ({"dropout_rate": -0.1}, "dropout_rate"),
        ({"dropout_rate": float("nan")}, "dropout_rate"),
        ({"dropout_rate": 0.5}, "Config.dropout is False; set it to True"),
        ({"weight_decay": -1.0}, "weight_decay must be finite .* at least 0, got -1"),
    ],
)
def test_hyperparams_name_what_is_wrong(values, message):
    with pytest.raises(ValueError, match=f"fit: .*{message}"):
        check_hyperparams("fit", Hyperparams(**values), GOOD)


def test_hyperparams_that_are_no_numbers_are_named():
    for value in ("0.1", None, np.zeros(2)):
        with pytest.raises(TypeError, match="fit: learning_rate must be a number, got"):
            check_hyperparams("fit", Hyperparams(value), GOOD)
    check_hyperparams("fit", Hyperparams(jnp.float32(0.1)), GOOD)


def test_configs_with_a_list_and_a_tuple_of_sizes_are_one():
    as_list = Config([784, 32, 1], bernoulli)
    assert as_list == GOOD and hash(as_list) == hash(GOOD)
    assert Config((3, 1), gaussian).layer_sizes == (3, 1)


@pytest.mark.parametrize("seed", [0, 1, 2**31 - 1, 2**31, 2**32 - 1])
def test_keys_are_the_split_of_the_seeds_key_also_under_x64(seed):
    want = jax.random.key_data(jax.random.split(jax.random.key(seed), 3))
    for wide in (False, True):
        with jax.enable_x64(wide):
            keys = Keys.from_seed(seed)
            got = np.stack([jax.random.key_data(key) for key in keys])
        np.testing.assert_array_equal(got, want)


def test_bad_seeds_are_named():
    for seed in (-1, 2**32):
        with pytest.raises(ValueError, match=rf"Keys\.from_seed: seed .* got {seed}"):
            Keys.from_seed(seed)
    with pytest.raises(TypeError, match=r"Keys\.from_seed: seed must be an integer"):
        Keys.from_seed(0.5)


def test_numpys_small_integers_do_not_overflow():
    config = Config(
        tuple(np.uint8([200, 250, 1])),
        bernoulli,
        epochs=np.int8(100),
        batch_size=np.uint8(16),
        patience=np.int16(3),
        monitor="loss",
    )
    assert config == Config(
        (200, 250, 1), bernoulli, epochs=100, batch_size=16, patience=3, monitor="loss"
    )
    assert all(type(size) is int for size in config.layer_sizes)
    assert (
        type(config.epochs) is type(config.batch_size) is type(config.patience) is int
    )


@pytest.mark.parametrize("impl", ["rbg", "unsafe_rbg"])
def test_a_seed_gives_the_same_keys_whatever_jaxs_default_is(impl):
    want = Keys.from_seed(7)
    with jax.default_prng_impl(impl):
        jax.clear_caches()
        got = Keys.from_seed(7)
    for mine, other in zip(got, want, strict=True):
        np.testing.assert_array_equal(
            jax.random.key_data(mine), jax.random.key_data(other)
        )


def test_keys_of_many_seeds_are_those_of_each():
    for seeds in ([0, 7, 2**32 - 1], jnp.array([0, 7, 5])):
        many = Keys.from_seeds(seeds)
        for row, seed in enumerate(np.asarray(seeds).tolist()):
            one = Keys.from_seed(seed)
            for key, wanted in zip(many, one, strict=True):
                assert (
                    jax.random.key_data(key[row]) == jax.random.key_data(wanted)
                ).all()
    got = jax.jit(
        jax.vmap(lambda seed: mlp.init(Keys.from_seeds(seed[None]).init[0], (2, 1)))
    )
    want = mlp.init(Keys.from_seed(3).init, (2, 1))
    one = jax.tree.map(lambda leaf: leaf[0], got(jnp.array([3])))
    jax.tree.map(np.testing.assert_array_equal, one, want)


def test_a_traced_seed_is_told_where_to_go():
    with pytest.raises(
        TypeError, match=r"make the keys of many seeds with Keys\.from_seeds"
    ):
        jax.vmap(Keys.from_seed)(jnp.arange(3))
    with pytest.raises(ValueError, match=r"from_seeds: seed must lie in 0\.\.2"):
        Keys.from_seeds([-1])


@pytest.mark.parametrize("seeds", [3, None, jnp.array(3), np.ones((2, 2), int)])
def test_what_are_no_seeds_are_said(seeds):
    with pytest.raises(TypeError, match=r"from_seeds: seeds must be several integers"):
        Keys.from_seeds(seeds)


def test_a_negative_seed_in_an_array_is_said():
    with pytest.raises(ValueError, match=r"seed must lie in 0\.\."):
        Keys.from_seeds(jnp.array([3, -1]))
