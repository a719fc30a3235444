"""interop.flax: Linen and NNX give the same logits, bit for bit, and the params come back."""

import jax
import numpy as np
import pytest
from flax import nnx
from own import leaky

from jaxcls import mlp
from jaxcls.interop import flax

X = np.random.default_rng(0).normal(size=(9, 7)).astype(np.float32)
SIZES = [(7, 1), (7, 5, 4, 3), (7, *(3,) * 11, 2)]


@pytest.mark.parametrize("sizes", SIZES)
@pytest.mark.parametrize("activation", ["relu", "gelu", leaky])
def test_logits_are_the_same_bits(sizes, activation):
    params = mlp.init(jax.random.key(0), sizes)
    want = jax.jit(lambda x: mlp.apply(params, x, activation=activation))(X)
    linen = flax.linen_module(sizes, activation)
    got = jax.jit(lambda x: linen.apply({"params": params}, x))(X)
    np.testing.assert_array_equal(got, want)
    module = flax.to_nnx(params, activation)
    np.testing.assert_array_equal(nnx.jit(module)(X), want)
    jax.tree.map(np.testing.assert_array_equal, flax.from_nnx(module), params)


def test_linen_starts_with_params_of_the_same_shapes():
    linen = flax.linen_module((7, 5, 3))
    shapes = jax.eval_shape(linen.init, jax.random.key(0), X)["params"]
    want = jax.eval_shape(lambda key: mlp.init(key, (7, 5, 3)), jax.random.key(0))
    assert jax.tree.map(lambda leaf: leaf.shape, shapes) == jax.tree.map(
        lambda leaf: leaf.shape, want
    )


def linear(fan_in, fan_out, **kwargs):
    return nnx.Linear(fan_in, fan_out, rngs=nnx.Rngs(0), **kwargs)


def test_a_sequential_and_a_list_come_over():
    layers = [linear(7, 4), linear(4, 2)]
    module = nnx.Sequential(layers[0], nnx.relu, layers[1])
    for each in (module, layers):
        got = mlp.apply(flax.from_nnx(each), X)
        np.testing.assert_allclose(got, module(X), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize(
    "layers, message",
    [
        ([nnx.relu], "got 0 of them"),
        ([linear(7, 4, use_bias=False)], "each have a bias, got 1"),
        ([linear(4, 2), linear(7, 4)], "2 outputs stands before one of 7 inputs"),
    ],
)
def test_what_is_no_such_network_is_said(layers, message):
    with pytest.raises(ValueError, match=f"from_nnx: .*{message}"):
        flax.from_nnx(layers)


def test_other_layers_are_not_left_out_in_silence():
    norm = nnx.LayerNorm(4, rngs=nnx.Rngs(0))
    with pytest.raises(ValueError, match="functions alone, got a LayerNorm"):
        flax.from_nnx(nnx.Sequential(linear(7, 4), norm, linear(4, 2)))
    with pytest.raises(TypeError, match="wants a module with a list of layers"):
        flax.from_nnx(linear(7, 4))
