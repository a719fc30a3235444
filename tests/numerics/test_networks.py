"""A whole network against float64: logits, mean loss and gradient, on images of both kinds.

An error is counted as in `test_functions.py`, of 1 or of the sizes of all terms added up
("its terms"), which is how far rounding can go in sums of products.
"""

import operator
from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    bernoulli,
    categorical,
    data,
    evaluate,
    init_state,
    mlp,
    train_step,
)
from jaxcls.data.dataset import Dataset

RATE = 0.4
NETWORKS = [
    (num_rows, num_outputs, images)
    for num_rows in (1, 100, 40_000)
    for num_outputs in (1, 3)
    for images in ("bytes", "floats")
]


class Network(NamedTuple):
    """A network with two hidden layers and dropout, its batch, and the same in float64."""

    config: Config
    params: mlp.Params
    batch: Batch
    masks: mlp.Masks
    layers: list
    likelihood: Callable


def network(num_rows, num_outputs, images, seed=0):
    """A network on 60 pixels, bytes divided by 255 or floats of any sign.

    Examples that stand at a kink of ReLU, where float32 may take the other side, weigh 0.
    """
    rng = np.random.default_rng(seed)
    pixels = rng.integers(0, 256, (num_rows, 60)).astype(np.uint8)
    if images == "floats":
        pixels = rng.normal(size=pixels.shape).astype(np.float32)
    labels = rng.integers(0, max(2, num_outputs), num_rows)
    batch = data.to_batch(Dataset(pixels, labels, (), (), None))
    likelihood = bernoulli if num_outputs == 1 else categorical
    config = Config((60, 16, 8, num_outputs), likelihood, "sgd", dropout=True)
    params = mlp.init(jax.random.key(seed), config.layer_sizes)
    masks = mlp.draw_masks(jax.random.key(1000 + seed), RATE, (num_rows,), params)
    layers = oracle.to_float64(params)
    _, inputs, _ = oracle.forward(layers, batch.features, masks, RATE)
    weights = np.ones(num_rows, np.float32)
    for (kernel, bias), x in zip(layers[:-1], inputs, strict=False):
        weights[(np.abs(x @ kernel + bias) < 1e-5).any(axis=1)] = 0
    assert weights.mean() > 0.9
    exact = oracle.bernoulli if num_outputs == 1 else oracle.categorical
    batch = batch._replace(weights=weights)
    return Network(config, params, batch, masks, layers, exact)


def sizes_of_terms(net):
    """Layers and inputs without their signs: in this network no sum cancels."""
    layers = [(np.abs(kernel), np.abs(bias)) for kernel, bias in net.layers]
    return layers, np.abs(np.float64(net.batch.features))


def logit_error(shape):
    net = network(*shape)
    got = mlp.apply(net.params, net.batch.features, masks=net.masks, rate=RATE)
    want, _, _ = oracle.forward(net.layers, net.batch.features, net.masks, RATE)
    layers, x = sizes_of_terms(net)
    scale, _, _ = oracle.forward(layers, x, net.masks, RATE)
    kept = net.batch.weights > 0
    return oracle.error(got[kept], want[kept], scale[kept])


def loss_error(shape):
    """Of the mean loss, without dropout."""
    net = network(*shape)
    got = evaluate(net.params, net.batch, config=net.config)
    logits, _, _ = oracle.forward(net.layers, net.batch.features)
    exact, _ = net.likelihood(logits, net.batch.targets)
    want = np.average(exact, weights=net.batch.weights)
    return oracle.error(got.loss, want, max(want, 1))


def gradient_error(shape):
    """Of the parameters after a step of SGD at rate 1, for two networks under vmap.

    jaxlib 0.10 has summed some vmapped products over more than 32,768 rows wrongly.
    """
    nets = [network(*shape), network(*shape, seed=1)]
    batch, config = nets[0].batch, nets[0].config
    nets[1] = nets[1]._replace(batch=batch)

    def step(params, masks):
        state = init_state(Keys.from_seed(0), config, params)
        hyperparams = Hyperparams(1.0, RATE)
        return train_step(state, batch, masks, hyperparams, config=config)[0].params

    stacked = jax.tree.map(
        lambda *leaves: jnp.stack(leaves),
        *[(net.params, net.masks) for net in nets],
    )
    many = jax.jit(jax.vmap(step))(*stacked)
    worst = 0.0
    for index, net in enumerate(nets):
        share = (batch.weights / batch.weights.sum())[:, None]
        logits, _, _ = oracle.forward(net.layers, batch.features, net.masks, RATE)
        _, slope = net.likelihood(logits, batch.targets)
        grads = oracle.gradients(
            net.layers, batch.features, slope * share, net.masks, RATE
        )
        layers, x = sizes_of_terms(net)
        terms = oracle.gradients(
            layers, x, np.ones_like(slope) * share, net.masks, RATE
        )
        got = oracle.to_float64(jax.tree.map(operator.itemgetter(index), many))
        for after, before, grad, sizes in zip(
            got, net.layers, grads, terms, strict=True
        ):
            for i in range(2):  # kernel and bias
                scale = np.abs(before[i]) + sizes[i]
                worst = max(worst, oracle.error(after[i], before[i] - grad[i], scale))
    return worst


MEASURES = {
    "mlp.apply": (logit_error, 1, "its terms"),
    "evaluate, mean loss": (loss_error, 4, "1"),
    "train_step, parameters after": (gradient_error, 2, "its terms"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MEASURES)
def test_measured_errors_of_networks(name):
    measure, bound, scale = MEASURES[name]
    worst = max(measure(shape) for shape in NETWORKS)
    print(f"\n| {name:28} | {worst:4.1f} | {bound} | {scale} |", end="")
    assert worst <= bound


@pytest.mark.parametrize("num_outputs", [pytest.param(1, marks=pytest.mark.slow), 3])
@pytest.mark.parametrize("images", ["bytes", "floats"])
def test_a_step_goes_down_the_finite_differences_of_float64(num_outputs, images):
    net = network(100, num_outputs, images)
    state = init_state(Keys.from_seed(0), net.config, net.params)
    hyperparams = Hyperparams(1.0, RATE)
    after, _ = train_step(state, net.batch, net.masks, hyperparams, config=net.config)

    def mean_loss(layers):
        logits, _, _ = oracle.forward(layers, net.batch.features, net.masks, RATE)
        losses, _ = net.likelihood(logits, net.batch.targets)
        return np.average(losses, weights=net.batch.weights)

    rng, step = np.random.default_rng(0), 1e-7
    gradient = [
        tuple(old - new for old, new in zip(*pair, strict=True))
        for pair in zip(net.layers, oracle.to_float64(after.params), strict=True)
    ]
    for _ in range(10):
        towards = [tuple(rng.normal(size=a.shape) for a in pair) for pair in gradient]
        up, down = (
            [
                tuple(a + sign * step * t for a, t in zip(*pair, strict=True))
                for pair in zip(net.layers, towards, strict=True)
            ]
            for sign in (1, -1)
        )
        want = (mean_loss(up) - mean_loss(down)) / (2 * step)
        got = sum(
            np.sum(g * t)
            for pair in zip(gradient, towards, strict=True)
            for g, t in zip(*pair, strict=True)
        )
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
