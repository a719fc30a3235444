"""mlp: initialisation, forward pass and dropout."""

from typing import get_args

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
import scipy.stats
from own import leaky

from jaxcls import Config, categorical, mlp

SIZES = (6, 5, 4, 3)


@pytest.fixture
def params():
    return mlp.init(jax.random.key(0), SIZES)


@pytest.fixture
def x():
    return np.random.default_rng(0).uniform(-1, 1, (7, 6)).astype(np.float32)


def test_init_is_uniform_within_one_over_root_fan_in():
    params = mlp.init(jax.random.key(3), (400, 300, 2))
    for layer, fan_in in ((params["Dense_0"], 400), (params["Dense_1"], 300)):
        bound = fan_in**-0.5
        assert layer["kernel"].dtype == layer["bias"].dtype == jnp.float32
        for values in layer.values():
            assert np.abs(values).max() <= bound
    kernel = np.asarray(params["Dense_0"]["kernel"]) * 20  # in +-1
    # 120,000 draws: mean 0 +- 1/sqrt(3n), mean square 1/3 +- sqrt(4/45/n), five deviations.
    assert abs(kernel.mean()) < 5 * (3 * kernel.size) ** -0.5
    assert abs((kernel**2).mean() - 1 / 3) < 5 * (4 / 45 / kernel.size) ** 0.5
    shares, _ = np.histogram(kernel, bins=10, range=(-1, 1))
    np.testing.assert_allclose(
        shares / kernel.size, 0.1, atol=5 * (0.09 / kernel.size) ** 0.5
    )


@pytest.mark.parametrize(
    "name, variance, uniform",
    [
        ("he_normal", 2 / 300, False),
        ("he_uniform", 2 / 300, True),
        ("glorot_normal", 2 / 500, False),
        ("glorot_uniform", 2 / 500, True),
    ],
)
def test_he_and_glorot_have_their_variances(name, variance, uniform):
    params = mlp.init(jax.random.key(1), (300, 200, 1), name)
    kernel = np.float64(params["Dense_0"]["kernel"])
    # 60,000 draws; five deviations of the mean, and of the mean square (kurtosis at most 3).
    assert abs(kernel.mean()) < 5 * (variance / kernel.size) ** 0.5
    assert abs((kernel**2).mean() / variance - 1) < 5 * (2 / kernel.size) ** 0.5
    assert (np.abs(kernel).max() <= (3 * variance) ** 0.5 * (1 + 1e-6)) == uniform
    assert not params["Dense_0"]["bias"].any()
    got = mlp.apply(params, np.ones((2, 300), np.float32))
    assert got.shape == (2, 1) and got.dtype == jnp.float32


def test_no_such_starting_weights_are_said():
    with pytest.raises(
        ValueError, match=r"mlp\.init: kernel_init must be one of torch, he"
    ):
        mlp.init(jax.random.key(0), (2, 1), "xavier")


def test_no_two_layers_or_seeds_share_a_number():
    params = mlp.init(jax.random.key(0), (4, 4, 4))
    other = mlp.init(jax.random.key(1), (4, 4, 4))
    leaves = [np.ravel(leaf) for leaf in jax.tree.leaves((params, other))]
    assert np.unique(np.concatenate(leaves)).size == 2 * 2 * (4 + 1) * 4


@pytest.mark.slow
def test_init_does_not_depend_on_x64(params):
    with jax.enable_x64(True):
        wide = mlp.init(jax.random.key(0), SIZES)
    jax.tree.map(np.testing.assert_array_equal, params, wide)


@pytest.mark.parametrize("sizes", [(6, 1), (6, 5, 2), SIZES, (6, *(3,) * 11, 2)])
def test_apply_agrees_with_float64(sizes, x):
    # The last has 12 layers, whose names sorted as text would be in another order.
    params = mlp.init(jax.random.key(0), sizes)
    want, _, _ = oracle.forward(oracle.to_float64(params), x)
    np.testing.assert_allclose(mlp.apply(params, x), want, rtol=2e-6, atol=2e-6)


def test_apply_in_float64_is_exact(x, x64, params):
    wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
    want, _, _ = oracle.forward(oracle.to_float64(params), x)
    got = mlp.apply(wide, jnp.asarray(x, jnp.float64))
    assert got.dtype == jnp.float64
    np.testing.assert_allclose(got, want, rtol=1e-14, atol=1e-14)


WANTED = {
    "relu": lambda x: np.maximum(x, 0),
    "tanh": np.tanh,
    "logistic": oracle.sigmoid,
    "gelu": lambda x: x * scipy.stats.norm.cdf(x),
    "silu": lambda x: x * oracle.sigmoid(x),
    "identity": lambda x: x,
}


def test_every_activation_has_its_name_and_its_case():
    assert set(mlp.ACTIVATIONS) == set(get_args(mlp.ActivationName)) == set(WANTED)


@pytest.mark.parametrize("name", WANTED)
def test_activations_agree_with_float64(name):
    sizes = (0, 1e-30, 1e-6, 0.1, 1, 3, 10, 88, 104, 1e4)
    x = np.float32([sign * size for size in sizes for sign in (1, -1)])
    one = {"kernel": np.ones((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    params = {"Dense_0": one, "Dense_1": one}
    got, slopes = jax.vmap(
        jax.value_and_grad(lambda x: mlp.apply(params, x[None], activation=name)[0])
    )(x)
    wide, step = np.float64(x), 1e-6 * np.maximum(np.abs(np.float64(x)), 1)
    np.testing.assert_allclose(got, WANTED[name](wide), rtol=1e-6, atol=1e-6)
    want = (WANTED[name](wide + step) - WANTED[name](wide - step)) / (2 * step)
    smooth = np.ones(len(x), bool) if name != "relu" else np.abs(x) > 1e-3
    np.testing.assert_allclose(slopes[smooth], want[smooth], rtol=1e-4, atol=2e-6)


def test_an_activation_of_ones_own_is_as_good_as_a_named_one(params, x):
    want = mlp.apply(params, x, activation="relu")
    got = mlp.apply(params, x, activation=lambda x: jnp.maximum(x, 0))
    np.testing.assert_array_equal(got, want)
    assert np.abs(mlp.apply(params, x, activation=leaky) - want).max() > 1e-3


@pytest.mark.parametrize(
    "activation, message",
    [
        ("rleu", "must be one of relu, tanh, .*or a function of one's own, got 'rleu'"),
        (lambda x: x.sum(), "must give a float for each that it takes"),
        (
            lambda x, y: x,
            "must be a function of jax of one array .* and raised TypeError",
        ),
        (np.tanh, "must be a function of jax of one array .* and raised Tracer"),
        (["relu"], r"must be one of relu, tanh, .*got \['relu'\]"),
        (lambda x: x > 0, "must give a float for each that it takes"),
    ],
)
def test_what_is_no_activation_is_said(activation, message, params, x):
    with pytest.raises(ValueError, match=rf"mlp\.apply: activation .*{message}"):
        mlp.apply(params, x, activation=activation)
    if callable(activation) or isinstance(activation, str):
        with pytest.raises(ValueError, match=f"Config: activation .*{message}"):
            Config(SIZES, categorical, activation=activation)


def test_apply_takes_any_leading_shape(params, x):
    want = mlp.apply(params, x)
    np.testing.assert_allclose(mlp.apply(params, x[0]), want[0], rtol=1e-6, atol=1e-7)
    np.testing.assert_allclose(
        mlp.apply(params, x[None, :, None])[0, :, 0], want, rtol=1e-6, atol=1e-7
    )


@pytest.mark.slow
def test_apply_under_jit_and_vmap_is_apply(params, x):
    want = mlp.apply(params, x)
    np.testing.assert_allclose(
        jax.jit(mlp.apply)(params, x), want, rtol=1e-6, atol=1e-7
    )
    by_row = jax.vmap(mlp.apply, in_axes=(None, 0))(params, x)
    np.testing.assert_allclose(by_row, want, rtol=1e-6, atol=1e-7)
    seeds = jnp.arange(3)
    many = jax.vmap(lambda seed: mlp.apply(mlp.init(jax.random.key(seed), SIZES), x))(
        seeds
    )
    one = mlp.apply(mlp.init(jax.random.key(1), SIZES), x)
    np.testing.assert_allclose(many[1], one, rtol=1e-6, atol=1e-7)


def test_linen_takes_the_params_as_they_are(params, x):
    class Stack(nn.Module):
        @nn.compact
        def __call__(self, x):
            for size in SIZES[1:-1]:
                x = nn.relu(nn.Dense(size)(x))
            return nn.Dense(SIZES[-1])(x)

    want = Stack().apply({"params": params}, x)
    np.testing.assert_array_equal(mlp.apply(params, x), want)


def test_dropout_stands_before_the_activation_and_scales_what_is_kept(params, x):
    masks = mlp.draw_masks(jax.random.key(5), 0.4, (len(x),), params)
    got = mlp.apply(params, x, masks=masks, rate=0.4)
    want, _, _ = oracle.forward(oracle.to_float64(params), x, masks, 0.4)
    np.testing.assert_allclose(got, want, rtol=2e-6, atol=2e-6)
    assert np.abs(got - mlp.apply(params, x)).max() > 0.01


def test_dropout_keeps_the_mean_of_a_linear_network():
    # With all pre-activations positive ReLU is the identity, so the mean over masks is exact.
    params = {
        "Dense_0": {"kernel": jnp.ones((2, 500)), "bias": jnp.ones(500)},
        "Dense_1": {"kernel": jnp.full((500, 1), 1 / 500), "bias": jnp.zeros(1)},
    }
    x = jnp.ones((400, 2))
    masks = mlp.draw_masks(jax.random.key(0), 0.5, (400,), params)
    got = mlp.apply(params, x, masks=masks, rate=0.5)
    # Each output is 3 on average with deviation 3/sqrt(500); 400 of them, five deviations.
    assert abs(float(got.mean()) - 3) < 5 * 3 / np.sqrt(500 * 400)


@pytest.mark.parametrize("rate", [0.0, 0.1, 0.5, 0.9])
def test_masks_drop_the_given_share(rate, params):
    masks = mlp.draw_masks(jax.random.key(1), rate, (50, 200), params)
    assert [mask.shape for mask in masks] == [(50, 200, 5), (50, 200, 4)]
    for mask in masks:
        deviation = (rate * (1 - rate) / mask.size) ** 0.5
        assert abs(float((~mask).mean()) - rate) <= 5 * deviation


def test_masks_differ_from_layer_to_layer_and_step_to_step():
    params = mlp.init(jax.random.key(0), (2, 64, 64, 1))
    first, second = mlp.draw_masks(jax.random.key(1), 0.5, (10, 8), params)
    flat = {
        np.packbits(step).tobytes()
        for mask in (first, second)
        for step in np.asarray(mask)
    }
    assert len(flat) == 20


@pytest.mark.slow
def test_masks_do_not_depend_on_x64(params):
    narrow = mlp.draw_masks(jax.random.key(1), 0.3, (40,), params)
    with jax.enable_x64(True):
        wide = mlp.draw_masks(jax.random.key(1), 0.3, (40,), params)
    jax.tree.map(np.testing.assert_array_equal, narrow, wide)


def test_bad_arguments_are_named(params, x):
    with pytest.raises(TypeError, match=r"mlp\.init: key must be a typed key"):
        mlp.init(jnp.zeros(2, jnp.uint32), SIZES)
    with pytest.raises(TypeError, match=r"mlp\.init: layer_sizes must be several"):
        mlp.init(jax.random.key(0), (784, 32.0, 1))
    with pytest.raises(TypeError, match=r"mlp\.init: layer_sizes must be several"):
        mlp.init(jax.random.key(0), 784)
    masks = mlp.draw_masks(jax.random.key(1), 0.5, (7,), params)
    for rate in (1.0, -0.1, float("nan"), np.array([0.1, 0.2])):
        with pytest.raises(ValueError, match=r"mlp\.draw_masks: rate must be a number"):
            mlp.draw_masks(jax.random.key(0), rate, (7,), params)
        with pytest.raises(ValueError, match=r"mlp\.apply: rate must be a number in"):
            mlp.apply(params, x, masks=masks, rate=rate)
    for sizes in ((784,), (784, 0, 1), ()):
        with pytest.raises(ValueError, match=r"mlp\.init: layer_sizes .* at least 1"):
            mlp.init(jax.random.key(0), sizes)
    with pytest.raises(
        ValueError, match=r"mlp\.apply: x must be \[\.\.\., 6\].* got \[7, 5\]"
    ):
        mlp.apply(params, x[:, :5])
    with pytest.raises(TypeError, match=r"mlp\.apply: x must hold floats, got uint8"):
        mlp.apply(params, np.zeros((1, 6), np.uint8))
    with pytest.raises(ValueError, match=r"mlp\.apply: masks must have shapes"):
        mlp.apply(params, x, masks=(jnp.ones((1, 5), bool), jnp.ones((1, 4), bool)))
    with pytest.raises(TypeError, match=r"mlp\.draw_masks: key must be a typed key"):
        mlp.draw_masks(jnp.zeros(2, jnp.uint32), 0.5, (1,), params)


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
