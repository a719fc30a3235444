"""Losses and probabilities against float64, within bounds that are stated and printed.

An error is counted in eps = 2**-23, float32's spacing at 1, of a scale: the exact number
("its size"), or 1 where that is larger ("1": for probabilities, and for losses whose large
terms cancel). The README's table is what this folder prints:

    pytest tests/numerics -m slow -s
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from jaxcls import bernoulli, categorical, class_probabilities, losses

ITS_SIZE, ONE = 1e-30, 1.0  # the least that a scale may be
TINY = float(np.finfo(np.float32).tiny)  # XLA on CPU takes anything smaller as 0
BELOW_ONE = float(np.nextafter(np.float32(1), np.float32(0)))
# exp(-z) meets eps at about 17, exp(z) overflows at 89, exp(-z) vanishes at 104.
SIZES = (0.0, 1e-30, 1e-6, 1.0, 16.0, 17.0, 88.0, 89.0, 104.0, 1e4)
CORNERS = {
    "logits": np.float32([sign * z for z in SIZES for sign in (1, -1)]),
    "numbers": np.float32([sign * z for z in SIZES for sign in (1, -1)]),
    "log-probabilities": -np.float32(SIZES),
    "probabilities": np.float32([0, TINY, 1e-30, 1e-7, 0.5, BELOW_ONE, 1]),
    "shares": np.float32([0, 1]),
}


class Function(NamedTuple):
    """A public function, row by row, beside the same in float64.

    Attributes:
        function: (scores [N] or [N, K], labels) -> [N] or [N, K].
        exact: the same in float64, and for a loss its slopes by the scores.
        scores, labels: kinds of numbers.
        least: that the scale of an error may be, for the value and for the slopes.
        bound: on the error of the value and of the slopes, in eps of its scale.
    """

    function: Callable
    exact: Callable
    scores: str
    labels: str
    least: tuple[float, ...]
    bound: tuple[float, ...]


def exact_sigmoid_bce(z, y):
    z, y = np.float64(z), np.float64(y)
    slopes = (1 - y) * oracle.sigmoid(z) - y * oracle.sigmoid(-z)
    return oracle.sigmoid_bce(z, y), slopes


def exact_nll(log_p, y):
    chosen = oracle.one_hot(y, log_p.shape[1])
    return -(log_p * chosen).sum(axis=1), -chosen


def exact_squared_error(z, y):
    difference = np.float64(z) - np.float64(y)
    return difference**2, 2 * difference


def one_hot_softmax_ce(z, y):
    return losses.softmax_ce(z, jax.nn.one_hot(y, z.shape[1]))


def exact_two_columns(z, _):
    return (np.stack([oracle.sigmoid(-np.float64(z)), oracle.sigmoid(z)], axis=1),)


FUNCTIONS = {
    "losses.sigmoid_bce": Function(
        losses.sigmoid_bce,
        exact_sigmoid_bce,
        *("logits", "shares"),
        *((ITS_SIZE, ONE), (4, 6)),
    ),
    "losses.bce": Function(
        losses.bce,
        oracle.bce,
        *("probabilities", "shares"),
        *((ITS_SIZE, ONE), (4, 4)),
    ),
    "losses.softmax_ce": Function(
        losses.softmax_ce,
        oracle.categorical,
        *("logits", "integers"),
        *((ONE, ONE), (4, 4)),
    ),
    "losses.softmax_ce, one-hot": Function(
        one_hot_softmax_ce,
        oracle.categorical,
        *("logits", "integers"),
        *((ONE, ONE), (4, 4)),
    ),
    "losses.nll": Function(
        losses.nll,
        exact_nll,
        *("log-probabilities", "integers"),
        *((ITS_SIZE, ITS_SIZE), (0, 0)),
    ),
    "losses.squared_error": Function(
        losses.squared_error,
        exact_squared_error,
        *("numbers", "numbers"),
        *((ITS_SIZE, ITS_SIZE), (3, 1)),
    ),
    "bernoulli.activation": Function(
        lambda z, _: bernoulli.activation(z[:, None]),
        lambda z, _: (oracle.sigmoid(z),),
        *("logits", "shares"),
        *((ITS_SIZE,), (4,)),
    ),
    "categorical.activation": Function(
        lambda z, _: categorical.activation(z),
        lambda z, _: (np.exp(oracle.log_softmax(z)),),
        *("logits", "integers"),
        *((ONE,), (4,)),
    ),
    "class_probabilities": Function(
        lambda z, _: class_probabilities(z[:, None], bernoulli),
        exact_two_columns,
        *("logits", "shares"),
        *((ONE,), (2,)),
    ),
}


def many(case, rng, num_rows, num_classes):
    """Inputs of all sizes: ordinary ones, extreme ones and corners."""
    shape = (num_rows, num_classes) if case.labels == "integers" else (num_rows,)

    def numbers(kind):
        corners = rng.choice(CORNERS[kind], shape)
        if kind == "shares":
            kinds = [corners, rng.random(shape)]
        elif kind == "probabilities":
            small = 10 ** rng.uniform(-30, 0, shape)
            kinds = [corners, rng.random(shape), small, 1 - small]
        else:
            sign = -1 if kind == "log-probabilities" else rng.choice([-1, 1], shape)
            ordinary, size = rng.exponential(5, shape), 10 ** rng.uniform(-6, 4, shape)
            kinds = [corners, sign * ordinary, sign * size]
        return np.choose(rng.integers(0, len(kinds), shape), kinds).astype(np.float32)

    if case.labels == "integers":
        return numbers(case.scores), rng.integers(0, num_classes, num_rows)
    return numbers(case.scores), numbers(case.labels)


def inputs(case):
    """The same for hypothesis, 12 rows."""

    def numbers(kind, shape):
        corners = CORNERS[kind].tolist()
        elements = st.sampled_from(corners) | st.floats(
            min(corners), max(corners), width=32, allow_subnormal=False
        )
        return arrays(np.float32, shape, elements=elements)

    if case.labels == "integers":
        return st.sampled_from([1, 2, 3, 10]).flatmap(
            lambda num_classes: st.tuples(
                numbers(case.scores, (12, num_classes)),
                arrays(np.int32, 12, elements=st.integers(0, num_classes - 1)),
            )
        )
    return st.tuples(numbers(case.scores, (12,)), numbers(case.labels, (12,)))


def slopes(function, scores, labels):
    return jax.grad(lambda scores: function(scores, labels).sum())(scores)


@partial(jax.jit, static_argnums=0)
def results(case, scores, labels):
    """What the function gives: values and, for a loss, slopes."""
    values = case.function(scores, labels)
    if len(case.bound) == 1:
        return (values,)
    return values, slopes(case.function, scores, labels)


def errors(case, scores, labels):
    """Of values and slopes."""
    return [
        oracle.error(got, want, np.maximum(np.abs(want), least))
        for got, want, least in zip(
            results(case, scores, labels),
            case.exact(scores, labels),
            case.least,
            strict=True,
        )
    ]


few = settings(max_examples=60, deadline=None, derandomize=True, database=None)
fewer = settings(few, max_examples=10)  # each compiles
functions = pytest.mark.parametrize("case", FUNCTIONS.values(), ids=FUNCTIONS)


@pytest.mark.slow
@functions
def test_measured_errors_of_functions(case, request):
    worst = np.zeros(len(case.bound))
    rng = np.random.default_rng(0)
    for num_rows in (1, 40_000):
        for num_classes in (1, 2, 3, 10):
            got = errors(case, *many(case, rng, num_rows, num_classes))
            worst = np.maximum(worst, got)
    name = request.node.callspec.id
    scale = {ITS_SIZE: "its size", ONE: "1"}
    for what, most, least, bound in zip(
        (name, "    its gradient"), worst, case.least, case.bound, strict=False
    ):
        print(f"\n| {what:28} | {most:4.1f} | {bound} | {scale[least]} |", end="")
    assert (worst <= case.bound).all(), worst


@functions
@few
@given(st.data())
def test_functions_agree_with_float64_on_any_input(case, data):
    scores, labels = data.draw(inputs(case))
    assert (np.array(errors(case, scores, labels)) <= case.bound).all()


@pytest.mark.slow
@functions
@fewer
@given(st.data())
def test_functions_are_the_same_under_jit_vmap_and_scan(case, data):
    scores, labels = data.draw(inputs(case))

    def row(pair):
        return case.function(pair[0][None], pair[1][None])[0]

    want = np.asarray(case.function(scores, labels))
    pairs = jnp.asarray(scores), jnp.asarray(labels)
    for got in (
        jax.jit(case.function)(scores, labels),
        jax.vmap(lambda *pair: row(pair))(*pairs),
        jax.lax.map(row, pairs),
    ):
        np.testing.assert_allclose(got, want, rtol=1e-6, atol=1e-6)


LOSSES = {name: case for name, case in FUNCTIONS.items() if len(case.bound) == 2}


@pytest.mark.parametrize("case", LOSSES.values(), ids=LOSSES)
def test_gradients_are_the_finite_differences_of_float64(case):
    scores, labels = many(case, np.random.default_rng(1), 2_000, 3)
    if case.scores == "probabilities":  # at 0 and 1 there is no difference to take
        scores = np.clip(scores, 1e-25, BELOW_ONE)
    wide = np.float64(scores)
    size = (
        np.minimum(wide, 1 - wide) if case.scores == "probabilities" else np.abs(wide)
    )
    step = 1e-5 * (size if case.scores == "probabilities" else np.maximum(size, 1))
    got = np.asarray(slopes(case.function, scores, labels))
    for place in np.ndindex(wide.shape[1:]):
        moved = np.zeros_like(wide)
        moved[:, *place] = step[:, *place]
        (above, _), (below, _) = (
            case.exact(wide + sign * moved, labels) for sign in (1, -1)
        )
        want = (above - below) / (2 * step[:, *place])
        np.testing.assert_allclose(got[:, *place], want, rtol=1e-4, atol=1e-6)


@few
@given(arrays(np.float32, (12, 2), elements=st.floats(-5e3, 5e3, width=32)))
def test_two_column_softmax_is_the_sigmoid_of_the_difference(z):
    # The notes' overparametrisation, in value and gradient. The difference is exact here.
    z = np.round(z, 1).astype(np.float32)
    difference = np.float32(np.float64(z[:, 1]) - z[:, 0])
    y = np.arange(12) % 2
    one, one_slopes = results(FUNCTIONS["losses.sigmoid_bce"], difference, y)
    two, two_slopes = results(FUNCTIONS["losses.softmax_ce"], z, y)
    np.testing.assert_allclose(two, one, rtol=1e-6, atol=1e-6)
    want = np.stack([-one_slopes, one_slopes], axis=1)
    np.testing.assert_allclose(two_slopes, want, atol=1e-6)
