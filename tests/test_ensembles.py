"""ensembles: NumPy in float64, what must hold of any members, and refusals."""

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest

from jaxcls import (
    bernoulli,
    categorical,
    class_probabilities,
    ensembles,
    gaussian,
    mlp,
    normal,
)

SIZES = {bernoulli: (6, 5, 1), categorical: (6, 5, 3)}
both = pytest.mark.parametrize(
    "likelihood",
    [bernoulli, pytest.param(categorical, marks=pytest.mark.slow)],
    ids=["bernoulli", "categorical"],
)


def members(likelihood, num_members=5, scale=4.0):
    """Networks whose kernels are large enough that they disagree."""
    keys = jax.random.split(jax.random.key(0), num_members)
    drawn = [mlp.init(key, SIZES[likelihood]) for key in keys]
    return jax.tree.map(lambda leaf: scale * leaf, drawn)


def inputs(num_examples=40):
    return np.random.default_rng(0).normal(size=(num_examples, 6)).astype(np.float32)


def member_probabilities(params, x, likelihood):
    z, _, _ = oracle.forward(oracle.to_float64(params), x)
    if likelihood is categorical:
        return np.exp(oracle.log_softmax(z))
    return np.hstack([oracle.sigmoid(-z), oracle.sigmoid(z)])


def entropies(p):
    return -(p * np.log(p, out=np.zeros_like(p), where=p > 0)).sum(axis=-1)


def want(params, x, likelihood):
    """Probabilities, total and members, the last as divergences from the mean."""
    p = np.stack([member_probabilities(each, x, likelihood) for each in params])
    mean = p.mean(axis=0)
    ratio = np.log(np.divide(p, mean, out=np.ones_like(p), where=p > 0))
    return mean, entropies(mean), (p * ratio).sum(axis=-1).mean(axis=0)


def both_of(params, x, likelihood):
    p = ensembles.probabilities(params, x, likelihood)
    return p, *ensembles.uncertainty(params, x, likelihood)


@both
@pytest.mark.parametrize(
    "num_members", [1, 5, *(pytest.param(n, marks=pytest.mark.slow) for n in (2, 30))]
)
@pytest.mark.parametrize("scale", [0.1, 4.0, 100.0])
def test_agrees_with_float64(likelihood, num_members, scale):
    params, x = members(likelihood, num_members, scale), inputs()
    got = both_of(ensembles.stack(params), x, likelihood)
    num_classes = max(2, SIZES[likelihood][-1])
    assert [leaf.shape for leaf in got] == [(40, num_classes), (40,), (40,)]
    assert all(leaf.dtype == jnp.float32 for leaf in got)
    for got_one, want_one in zip(got, want(params, x, likelihood), strict=True):
        # The larger the logits, the larger their rounding.
        np.testing.assert_allclose(got_one, want_one, atol=1e-6 * max(1, scale))


@pytest.mark.slow
@both
def test_agrees_in_float64(likelihood, x64):
    params = jax.tree.map(lambda leaf: leaf.astype(jnp.float64), members(likelihood))
    x = inputs().astype(np.float64)
    got = both_of(ensembles.stack(params), x, likelihood)
    for got_one, want_one in zip(got, want(params, x, likelihood), strict=True):
        assert got_one.dtype == jnp.float64
        np.testing.assert_allclose(got_one, want_one, rtol=1e-13, atol=1e-15)


def test_two_members_by_hand():
    # Alone, of x = 1: 1/4 and 3/4 for the label 1, then 3/4 and 3/4.
    logit = np.log(3).astype(np.float32)
    bias = np.array([[0.0], [0.0]], np.float32)
    kernel = np.array([[[-logit], [logit]], [[logit], [logit]]])
    params = {"Dense_0": {"kernel": kernel, "bias": bias}}
    p, total, between = both_of(params, np.eye(2, dtype=np.float32), bernoulli)
    np.testing.assert_allclose(p, [[0.5, 0.5], [0.25, 0.75]], rtol=1e-6)
    own = np.log(4) - 0.75 * np.log(3)
    np.testing.assert_allclose(total, [np.log(2), own], rtol=1e-6)
    np.testing.assert_allclose(between, [np.log(2) - own, 0], rtol=1e-6, atol=1e-7)


@both
@pytest.mark.parametrize("num_examples", [1, 40])
def test_one_member_is_the_model_itself(likelihood, num_examples):
    (params,), x = members(likelihood, 1), inputs(num_examples)
    p, total, between = both_of(ensembles.stack([params]), x, likelihood)
    alone = jax.jit(lambda x: class_probabilities(mlp.apply(params, x), likelihood))(x)
    np.testing.assert_array_equal(p, alone)
    np.testing.assert_allclose(total, entropies(np.float64(alone)), atol=1e-6)
    np.testing.assert_array_equal(between, 0)


@both
def test_members_that_agree_add_nothing(likelihood):
    (params,), x = members(likelihood, 1), inputs()
    _, total, between = both_of(ensembles.stack([params] * 8), x, likelihood)
    assert total.max() > 0.5
    np.testing.assert_allclose(between, 0, atol=1e-6)
    assert between.min() >= 0


@both
@pytest.mark.parametrize(
    "wide",
    [False, pytest.param(True, marks=pytest.mark.slow)],
    ids=["float32", "float64"],
)
def test_the_order_of_the_members_does_not_matter(likelihood, wide):
    # In float32 sums of another order round by several times 2**-24.
    atol = 1e-14 if wide else 4e-7
    with jax.enable_x64(wide):
        params = jax.tree.map(lambda leaf: leaf.astype(float), members(likelihood))
        got = both_of(ensembles.stack(params), inputs(), likelihood)
        turned = both_of(ensembles.stack(params[::-1]), inputs(), likelihood)
    for got_one, turned_one in zip(got, turned, strict=True):
        np.testing.assert_allclose(got_one, turned_one, rtol=0, atol=atol)


@both
def test_bounds_hold(likelihood):
    log_k = np.log(max(2, SIZES[likelihood][-1]))
    for scale in (0.0, 0.01, 1.0, 30.0, 1e4):
        params = ensembles.stack(members(likelihood, 7, scale))
        total, between = ensembles.uncertainty(params, inputs(300), likelihood)
        assert (between >= 0).all() and (between <= total).all()
        assert total.max() <= log_k + 1e-6
    assert between.max() > 0.5 * log_k  # members that are sure of different labels


@both
def test_probabilities_of_0_add_no_nan(likelihood):
    outputs = SIZES[likelihood][-1]
    kernel = np.zeros((2, 6, outputs), np.float32)
    bias = np.float32([[1e4, *[-1e4] * (outputs - 1)], [-1e4] * (outputs - 1) + [1e4]])
    if likelihood is bernoulli:
        bias = np.float32([[-1e4], [1e4]])
    params = {"Dense_0": {"kernel": kernel, "bias": bias}}
    p, total, between = both_of(params, inputs(3), likelihood)
    assert set(np.ravel(p).tolist()) <= {0.0, 0.5}
    np.testing.assert_allclose(total, np.log(2), rtol=1e-6)
    np.testing.assert_allclose(between, np.log(2), rtol=1e-6)
    sure = jax.tree.map(lambda leaf: leaf[:1], params)
    for leaf in ensembles.uncertainty(sure, inputs(3), likelihood):
        np.testing.assert_array_equal(leaf, 0)


@pytest.mark.slow
@both
def test_jit_is_eager_and_a_member_is_one_of_a_batch(likelihood):
    params, x = ensembles.stack(members(likelihood)), inputs()
    got = both_of(params, x, likelihood)
    with jax.disable_jit():
        eager = both_of(params, x, likelihood)
    nested = jax.jit(both_of, static_argnums=2)(params, x, likelihood)
    alone = [leaf[0] for leaf in both_of(params, x[7:8], likelihood)]
    for got_one, *others, one in zip(got, eager, nested, alone, strict=True):
        for other in others:
            np.testing.assert_allclose(got_one, other, rtol=1e-6, atol=1e-6)
        np.testing.assert_allclose(got_one[7], one, rtol=1e-6, atol=1e-6)


def test_probabilities_are_traced_once_and_hold_one_member_at_a_time():
    params, x = ensembles.stack(members(categorical, 64)), inputs(1000)
    before = ensembles.probabilities._cache_size()
    for factor in (1.0, 2.0):
        ensembles.probabilities(params, factor * x, categorical)
    assert ensembles.probabilities._cache_size() == before + 1
    compiled = ensembles.probabilities.lower(params, x, categorical).compile()
    # All members' probabilities would be 64 * 1000 * 3 float32s.
    assert compiled.memory_analysis().temp_size_in_bytes < 64 * 1000 * 3 * 4 / 4


def test_stack_is_undone_by_taking_each():
    params = members(categorical, 3)
    stacked = ensembles.stack(tuple(params))
    ensembles.check_stacked("test", stacked)
    for place, member in enumerate(params):
        jax.tree.map(
            np.testing.assert_array_equal,
            jax.tree.map(lambda leaf: leaf[place], stacked),  # noqa: B023
            member,
        )


def test_stack_refuses():
    with pytest.raises(ValueError, match=r"^ensembles\.stack: members .* got none\.$"):
        ensembles.stack([])
    first, other, deeper = (
        mlp.init(jax.random.key(0), sizes) for sizes in [(4, 1), (4, 2), (4, 1, 1)]
    )
    message = (
        r"^ensembles\.stack: members must have the same shapes, got \{'Dense_0': \{'bias': "
        r"\(1,\), 'kernel': \(4, 1\)\}\} in member 0 and \{.*\(4, 2\).*\} in member 2\.$"
    )
    with pytest.raises(ValueError, match=message):
        ensembles.stack([first, first, other])
    with pytest.raises(ValueError, match=r"'Dense_1': .* in member 1\.$"):
        ensembles.stack([first, deeper])


@pytest.mark.parametrize(
    "kernel, bias",
    [
        ((4, 4), (4,)),  # not stacked, though the leading sizes agree
        ((5, 4, 2), (3, 2)),
        ((5, 4, 2), (2,)),
        ((0, 4, 2), (0, 2)),
        ((), ()),
    ],
)
@pytest.mark.parametrize("name", ["probabilities", "uncertainty"])
def test_params_that_are_not_stacked_are_refused(name, kernel, bias):
    params = {"Dense_0": {"kernel": np.zeros(kernel), "bias": np.zeros(bias)}}
    message = (
        rf"^ensembles\.{name}: params must be of S members stacked, kernels \[S, D, H\] and "
        r"biases \[S, H\] with S at least 1, got Dense_0\.\w+ \[.*\], Dense_0\.\w+ \[.*\]\."
    )
    with pytest.raises(ValueError, match=message):
        getattr(ensembles, name)(params, np.zeros((3, 4), np.float32), categorical)


@pytest.mark.parametrize(
    "x, likelihood, error, message",
    [
        (inputs()[0], bernoulli, ValueError, r"x must be \[N, D\], got \[6\]"),
        (inputs()[None], bernoulli, ValueError, r"x must be .* \[1, 40, 6\]"),
        (
            inputs()[:, :5],
            bernoulli,
            ValueError,
            r"x must be \[\.\.\., 6\] .* \[40, 5\]",
        ),
        (
            np.ones((3, 6), int),
            bernoulli,
            TypeError,
            "x must hold floats, got int32; divide bytes by 255 first",
        ),
        (inputs(), gaussian, ValueError, "likelihood must be .* 'gaussian' has not"),
    ],
)
@pytest.mark.parametrize("name", ["probabilities", "uncertainty"])
def test_inputs_are_refused(name, x, likelihood, error, message):
    params = ensembles.stack(members(bernoulli))
    with pytest.raises(error, match=rf"^(ensembles\.{name}|mlp\.apply): {message}\."):
        getattr(ensembles, name)(params, x, likelihood)


@pytest.mark.parametrize("likelihood", [gaussian, normal])
def test_moments_are_those_of_the_mixture(likelihood):
    outputs = likelihood.num_outputs(2)
    keys = jax.random.split(jax.random.key(3), 7)
    members = [mlp.init(key, (4, 8, outputs)) for key in keys]
    x = jax.random.normal(jax.random.key(4), (50, 4))
    got = ensembles.moments(ensembles.stack(members), x, likelihood)
    raw = np.float64([mlp.apply(each, x) for each in members])
    means = raw[..., 0]
    variances = np.zeros_like(means)
    if likelihood is normal:
        variances = (np.logaddexp(raw[..., 1], 0) + 1e-6) ** 2
    # E[y^2] - E[y]^2 of the mixture, in float64.
    mean = means.mean(axis=0)
    of_mixture = (variances + means**2).mean(axis=0) - mean**2
    np.testing.assert_allclose(got.mean, mean, atol=1e-6)
    np.testing.assert_allclose(got.std, np.sqrt(of_mixture), rtol=1e-5)
    np.testing.assert_allclose(got.within, np.sqrt(variances.mean(axis=0)), rtol=1e-5)
    np.testing.assert_allclose(got.between, means.std(axis=0), rtol=1e-5)


def test_moments_are_of_numbers_alone():
    params = ensembles.stack([mlp.init(jax.random.key(0), (4, 1))])
    with pytest.raises(
        ValueError, match=r"gaussian or normal, got .*'bernoulli'.*of cl"
    ):
        ensembles.moments(params, jnp.zeros((2, 4)), bernoulli)
    with pytest.raises(ValueError, match=r"x must be \[N, D\], got \[4\]"):
        ensembles.moments(params, jnp.zeros(4), gaussian)
