"""losses: the notes' numbers, a float64 oracle, saturation, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from jaxcls import losses

Z5 = np.array(
    [[-2, -2, 0], [3.14, 3.14, 3.14], [0, 0, 2], [2, 2, 4], [0, 0, 0]], np.float32
)
Y5 = np.array([2, 1, 2, 2, 0])
FIRST, EVEN = [0.1065, 0.1065, 0.7870], [0.3333] * 3  # softmax of its rows
EXTREME = np.array([-1e4, -100, -20, -1, -1e-6, 0, 1e-6, 1, 20, 100, 1e4], np.float32)


def mean(values):
    return round(float(jnp.mean(values)), 4)


def test_the_notes_two_classes_by_hand():
    logits, labels = jnp.array([-1.0, 0, 1]), jnp.array([0.0, 0, 1])
    p = jax.nn.sigmoid(logits)
    assert mean(-(jnp.log(p) * labels + jnp.log(1 - p) * (1 - labels))) == 0.4399
    assert mean(losses.bce(p, labels)) == 0.4399
    assert mean(losses.sigmoid_bce(logits, labels)) == 0.4399
    two = jnp.array([[3.0, 2], [2, 2], [5, 6]])
    assert mean(losses.softmax_ce(two, jnp.array([[1, 0], [1, 0], [0, 1]]))) == 0.4399
    assert mean(losses.softmax_ce(two, jnp.array([0, 0, 1]))) == 0.4399
    assert mean(losses.nll(jax.nn.log_softmax(two), jnp.array([0, 0, 1]))) == 0.4399
    p2 = np.stack([p, 1 - p], axis=1).round(4)
    np.testing.assert_allclose(
        p2, [[0.2689, 0.7311], [0.5, 0.5], [0.7311, 0.2689]], atol=5e-5
    )
    np.testing.assert_allclose(
        jax.nn.softmax(two), [[0.7311, 0.2689], [0.5, 0.5], [0.2689, 0.7311]], atol=5e-5
    )


def test_the_notes_three_classes_by_hand():
    one_hot = np.eye(3)[Y5]
    assert mean(losses.softmax_ce(Z5, one_hot)) == 0.5832
    assert mean(losses.softmax_ce(Z5, Y5)) == 0.5832
    assert mean(-(np.log(jax.nn.softmax(Z5)) * one_hot).sum(axis=1)) == 0.5832
    np.testing.assert_allclose(
        jax.nn.softmax(Z5),
        np.array([FIRST, EVEN, FIRST, FIRST, EVEN]),
        atol=5e-5,
    )
    np.testing.assert_allclose(
        jax.nn.softmax(Z5, axis=0)[:2],
        [[0.0041, 0.0041, 0.0115], [0.7081, 0.7081, 0.2653]],
        atol=5e-5,
    )


def test_gradient_of_many_rows_under_vmap_agrees_with_float64():
    # jaxlib 0.10 has summed some vmapped products over more than 32,768 rows wrongly.
    rng = np.random.default_rng(0)
    x = rng.normal(size=(40_000, 3)).astype(np.float32)
    y = rng.integers(0, 2, 40_000)
    w = rng.normal(size=(2, 3)).astype(np.float32)
    grads = jax.vmap(jax.grad(lambda w: losses.sigmoid_bce(x @ w, y).mean()))(w)
    for row, grad in zip(w, grads, strict=True):
        error = oracle.sigmoid(np.float64(x) @ np.float64(row)) - y
        np.testing.assert_allclose(grad, x.T @ error / len(x), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("label", [0, 1])
def test_sigmoid_bce_is_right_at_saturation(label):
    labels = np.full(EXTREME.shape, label)
    want = oracle.sigmoid_bce(EXTREME, labels)
    # XLA on CPU flushes values below 1.2e-38 to 0.
    np.testing.assert_allclose(
        losses.sigmoid_bce(EXTREME, labels), want, rtol=1e-6, atol=2e-38
    )
    grads = jax.grad(lambda z: losses.sigmoid_bce(z, labels).sum())(EXTREME)
    np.testing.assert_allclose(
        grads, oracle.sigmoid(EXTREME) - label, rtol=1e-6, atol=1e-30
    )


@pytest.mark.parametrize("one_hot", [False, True])
@pytest.mark.parametrize("label", [0, 1])
def test_softmax_ce_is_right_at_saturation(label, one_hot):
    z = np.stack([EXTREME, np.zeros_like(EXTREME)], axis=1)
    labels = np.full(len(z), label)
    want, dlogits = oracle.categorical(z, labels)
    given = np.eye(2)[labels] if one_hot else labels
    np.testing.assert_allclose(losses.softmax_ce(z, given), want, rtol=1e-5, atol=1e-7)
    grads = jax.grad(lambda z: losses.softmax_ce(z, given).sum())(z)
    np.testing.assert_allclose(grads, dlogits, rtol=1e-4, atol=1e-7)


def test_bce_at_the_ends_has_a_finite_loss_and_gradient():
    tiny, near = np.finfo(np.float32).tiny, np.nextafter(np.float32(1), np.float32(0))
    p = np.array([0, tiny, 0.5, near, 1], np.float32)
    wide = p.astype(np.float64)
    with np.errstate(divide="ignore"):
        log_p, log_not_p = (
            np.maximum(np.log(wide), -100),
            np.maximum(np.log1p(-wide), -100),
        )
    np.testing.assert_allclose(losses.bce(p, np.ones(5)), -log_p, rtol=1e-6)
    np.testing.assert_allclose(
        losses.bce(p, np.zeros(5)), -log_not_p, rtol=1e-6, atol=1e-37
    )
    grads = jax.grad(lambda p: losses.bce(p, np.ones(5)).sum())(p)
    np.testing.assert_allclose(grads, [0, -1 / tiny, -2, -1 / near, -1], rtol=1e-6)
    grads = jax.grad(lambda p: losses.bce(p, np.zeros(5)).sum())(p)
    np.testing.assert_allclose(grads, [1, 1, 2, 1 / (1 - wide[3]), 0], rtol=1e-6)


LOSSES = {
    "sigmoid_bce": (losses.sigmoid_bce, EXTREME, np.tile([0, 1], 6)[:11]),
    "bce": (
        losses.bce,
        np.linspace(0, 1, 11, dtype=np.float32),
        np.tile([0, 1], 6)[:11],
    ),
    "softmax_ce": (losses.softmax_ce, Z5, Y5),
    "softmax_ce one-hot": (losses.softmax_ce, Z5, np.eye(3, dtype=np.float32)[Y5]),
    "nll": (losses.nll, Z5, Y5),
    "squared_error": (losses.squared_error, EXTREME, np.arange(11)),
    "normal_nll": (losses.normal_nll, np.stack([EXTREME, EXTREME[::-1]], 1), EXTREME),
}


@pytest.mark.parametrize("loss, scores, labels", LOSSES.values(), ids=LOSSES)
def test_jit_and_vmap_are_the_loss_itself(loss, scores, labels):
    want = loss(scores, labels)
    np.testing.assert_allclose(
        jax.jit(loss)(scores, labels), want, rtol=1e-6, atol=1e-6
    )
    np.testing.assert_allclose(
        jax.vmap(loss)(scores, labels), want, rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("loss, scores, labels", LOSSES.values(), ids=LOSSES)
def test_float64_comes_out_as_float64(loss, scores, labels, x64):
    assert loss(np.float64(scores), labels).dtype == jnp.float64


REFUSED = [
    (losses.sigmoid_bce, np.zeros((3, 1)), np.zeros(3), ValueError, r"\[3, 1\].*\[3\]"),
    (losses.sigmoid_bce, np.zeros(2), np.array([0, 3]), ValueError, r"\[0, 1\], got 3"),
    (losses.sigmoid_bce, np.zeros(2), np.array([0, np.nan]), ValueError, "got nan"),
    (
        losses.sigmoid_bce,
        np.zeros(2, int),
        np.zeros(2),
        TypeError,
        "logits must be floats",
    ),
    (losses.bce, np.array([0.5, 1.5]), np.zeros(2), ValueError, "probabilities.*1.5"),
    (losses.bce, np.zeros((3, 1)), np.zeros(3), ValueError, r"\[3, 1\].*\[3\]"),
    (
        losses.softmax_ce,
        np.zeros((2, 3)),
        np.array([0, 3]),
        ValueError,
        r"0\.\.2.*got 3",
    ),
    (
        losses.softmax_ce,
        np.zeros((2, 3)),
        np.array([0, -1]),
        ValueError,
        r"0\.\.2.*got -1",
    ),
    (losses.softmax_ce, np.zeros((2, 3)), np.zeros(2), TypeError, "must be integers"),
    (losses.softmax_ce, np.zeros((2, 3)), np.zeros((2, 2)), ValueError, "do not fit"),
    (losses.softmax_ce, np.zeros((2, 3)), np.zeros((2, 3)), ValueError, "sum to 1"),
    (losses.softmax_ce, np.zeros((2, 3)), np.full((2, 3), 2), ValueError, "one-hot"),
    (losses.normal_nll, np.zeros(3), np.zeros(3), ValueError, r"\[\.\.\., 2\].*\[3\]"),
    (
        losses.normal_nll,
        np.zeros((3, 2)),
        np.zeros((3, 1)),
        ValueError,
        r"\[3\] and targets \[3, 1\]",
    ),
    (
        losses.normal_nll,
        np.zeros((3, 2), int),
        np.zeros(3),
        TypeError,
        "must be floats",
    ),
    (losses.nll, np.zeros((3, 1)), np.array([0, 0, 1]), ValueError, r"0\.\.0.*got 1"),
    (losses.nll, np.zeros((3, 2)), np.zeros((3, 2)), ValueError, "do not fit"),
    (
        losses.squared_error,
        np.zeros((3, 1)),
        np.zeros(3),
        ValueError,
        r"\[3, 1\].*\[3\]",
    ),
]


@pytest.mark.parametrize("loss, scores, labels, error, message", REFUSED)
def test_bad_arguments_are_named(loss, scores, labels, error, message):
    with pytest.raises(error, match=rf"(?s){loss.__name__}: .*{message}"):
        loss(scores, labels)


def test_shapes_are_checked_while_tracing():
    with pytest.raises(ValueError, match=r"\[3, 1\]"):
        jax.jit(losses.sigmoid_bce)(jnp.zeros((3, 1)), jnp.zeros(3))


def exact_normal(outputs, targets):
    """Losses, their slopes by both outputs, and the sizes of the terms of each, in float64."""
    mean, raw = np.float64(outputs).T
    std, share = np.logaddexp(raw, 0) + 1e-6, oracle.sigmoid(raw)
    distance = (np.float64(targets) - mean) / std
    terms = [np.full(len(mean), np.log(2 * np.pi) / 2), np.log(std), distance**2 / 2]
    by_raw = [share / std, -(distance**2) * share / std]
    by_mean = [-distance / std]
    return [(sum(some), sum(map(np.abs, some))) for some in (terms, by_mean, by_raw)]


def test_a_normal_density_is_that_of_float64_in_value_and_gradient():
    rng = np.random.default_rng(0)
    sizes = [0, 1e-6, 1, 16, 17, 88, 104, 1e4]
    numbers = [
        np.float32(rng.choice([-1, 1], 9_000) * rng.choice(sizes, 9_000))
        + np.float32(rng.normal(size=9_000) * rng.integers(0, 2, 9_000))
        for _ in range(3)
    ]
    outputs, targets = np.stack(numbers[:2], axis=1), numbers[2]
    got = losses.normal_nll(outputs, targets)
    grads = jax.grad(lambda each: losses.normal_nll(each, targets).sum())(
        jnp.asarray(outputs)
    )
    # The slope of softplus below -87 is smaller than 1.2e-38, which a CPU takes as 0.
    steep = outputs[:, 1] > -87
    value, by_mean, by_raw = exact_normal(outputs, targets)
    for values, (want, size), rows in (
        (got, value, slice(None)),
        (grads[:, 0], by_mean, slice(None)),
        (grads[:, 1], by_raw, steep),
    ):
        assert np.isfinite(values).all()
        off = np.abs(values - want)[rows]
        assert (off <= 16 * 2**-23 * size[rows] + 1e-30).all()


def test_a_normal_density_is_scipys():
    from scipy.stats import norm

    outputs, targets = jnp.array([[1.0, 0.3], [-2.0, -1.5]]), np.array([0.5, 1.0])
    std = np.log1p(np.exp([0.3, -1.5]))
    want = -norm.logpdf(targets, [1.0, -2.0], std)
    np.testing.assert_allclose(losses.normal_nll(outputs, targets), want, rtol=1e-4)
