"""likelihoods: the notes' closing table, and one that a user writes."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import oracle
import pytest
from own import focal
from scipy.stats import norm

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    Likelihood,
    evaluate,
    fit,
    likelihoods,
    losses,
)
from jaxcls.checks import check_hyperparams


def _column_of_hits(logits):
    return logits > 0


def _column(logits):
    return logits[:, 0]


def _whole_numbers(logits, targets):
    return (logits[:, 0] > 0).astype(jnp.int32)


def _nothing(logits, targets):
    return None


Z = np.array([[-1.0], [0.5], [2.0]], np.float32)
Z3 = np.array([[-2, -2, 0], [3.14, 3.14, 3.14], [0, 0, 2]], np.float32)

# The notes' table: targets, distribution, activation of the last layer, loss.
TABLE = [
    (
        likelihoods.gaussian,
        (3.45, 4.43, 1.0),
        ("normal", 1, "identity", "MSE"),
        lambda z: z[:, 0],
        lambda z, y: (z[:, 0] - y) ** 2,
        lambda z: z[:, 0],
    ),
    (
        likelihoods.normal,
        (3.45, 4.43, 1.0),
        ("normal of its own spread", 2, "softplus", "-log density"),
        lambda z: np.stack([z[:, 0], np.logaddexp(z[:, 1], 0) + 1e-6], axis=1),
        lambda z, y: -norm.logpdf(y, z[:, 0], np.logaddexp(z[:, 1], 0) + 1e-6),
        lambda z: z[:, 0],
    ),
    (
        likelihoods.bernoulli,
        (0, 1, 1),
        ("Bernoulli", 1, "sigmoid", "BCE"),
        lambda z: oracle.sigmoid(z[:, 0]),
        lambda z, y: oracle.bernoulli(z, y)[0],
        lambda z: z[:, 0] > 0,
    ),
    (
        likelihoods.categorical,
        (2, 1, 0),
        ("multinomial with n = 1", "K", "softmax", "cross entropy"),
        lambda z: np.exp(oracle.log_softmax(z)),
        lambda z, y: oracle.categorical(z, y)[0],
        lambda z: z.argmax(axis=1),
    ),
]


def test_the_notes_table():
    print()
    for likelihood, targets, words, activation, loss, predict in TABLE:
        z = {"categorical": Z3, "normal": Z3[:, :2]}.get(likelihood.name, Z)
        print(f"{likelihood.name:12}", *(f"{word!s:24}" for word in (targets, *words)))
        distribution, outputs, activation_name, loss_name = words
        row = [likelihood.name, distribution, str(outputs), activation_name, loss_name]
        documented = [
            line
            for line in likelihoods.__doc__.splitlines()
            if all(word in line.replace("`", "") for word in row)
        ]
        assert len(documented) == 1, "the module's table says something else"
        assert likelihood.num_outputs(3) == z.shape[1]
        assert likelihoods.LIKELIHOODS[likelihood.name] is likelihood
        y = np.array(targets)
        np.testing.assert_allclose(likelihood.activation(z), activation(z), rtol=1e-6)
        np.testing.assert_allclose(
            likelihood.loss(z, y), loss(np.float64(z), y), rtol=1e-5
        )
        np.testing.assert_array_equal(likelihood.predict(z), predict(z))
    assert len(TABLE) == len(likelihoods.LIKELIHOODS)


@pytest.mark.parametrize(
    "name, targets", [("gaussian", [1.0, 2, 3]), ("bernoulli", [0, 1, 1])]
)
def test_one_output_is_squeezed_on_both_sides(name, targets):
    likelihood = likelihoods.LIKELIHOODS[name]
    flat = likelihood.loss(Z, np.array(targets))
    assert flat.shape == (3,)
    np.testing.assert_array_equal(likelihood.loss(Z, np.array(targets)[:, None]), flat)
    with pytest.raises(ValueError, match=r"take logits \[N, 1\], got \[3, 2\]"):
        likelihood.loss(np.zeros((3, 2), np.float32), np.array(targets))
    with pytest.raises(
        ValueError, match=r"\[3\] and targets \[3, 2\]|\[3\] and labels \[3, 2\]"
    ):
        likelihood.loss(Z, np.zeros((3, 2)))


def test_two_outputs_are_a_mean_and_a_spread():
    targets = np.array([1.0, 2, 3])
    flat = likelihoods.normal.loss(Z3[:, :2], targets)
    column = likelihoods.normal.loss(Z3[:, :2], targets[:, None])
    np.testing.assert_array_equal(column, flat)
    with pytest.raises(ValueError, match=r"normal takes logits \[N, 2\], .* \[3, 1\]"):
        likelihoods.normal.predict(Z)


def test_class_probabilities_have_a_column_for_each_class():
    p = likelihoods.class_probabilities(jnp.asarray(Z), likelihoods.bernoulli)
    np.testing.assert_allclose(
        p, np.stack([oracle.sigmoid(-Z), oracle.sigmoid(Z)], 1)[..., 0], rtol=1e-6
    )
    p = likelihoods.class_probabilities(jnp.asarray(Z3), likelihoods.categorical)
    np.testing.assert_allclose(p.sum(axis=1), 1, rtol=1e-6)


def test_the_wrong_order_and_a_likelihood_without_classes_are_said():
    right = likelihoods.class_probabilities(jnp.asarray(Z), likelihoods.bernoulli)
    with pytest.warns(FutureWarning, match="arrays come first and the likelihood last"):
        got = likelihoods.class_probabilities(likelihoods.bernoulli, jnp.asarray(Z))
    np.testing.assert_array_equal(got, right)
    with pytest.raises(
        TypeError, match=r"likelihood must be a jaxcls\.Likelihood, and the"
    ):
        likelihoods.class_probabilities(jnp.asarray(Z), 3)
    with pytest.raises(ValueError, match="of class labels, which 'gaussian' has not"):
        likelihoods.class_probabilities(jnp.asarray(Z), likelihoods.gaussian)


def test_labels_that_can_not_be_smoothed_are_still_classes():
    # It says so itself; by default a likelihood has classes if it predicts whole numbers.
    assert focal == dataclasses.replace(focal, has_classes=None)
    assert not dataclasses.replace(focal, has_classes=None, predict=_column).has_classes
    config = Config((4, 1), focal, monitor="accuracy")
    check_hyperparams("fit", Hyperparams(class_weights=(1.0, 2.0)), config)
    with pytest.raises(ValueError, match=r"needs Likelihood\.smooth, which .*'focal'"):
        check_hyperparams("fit", Hyperparams(label_smoothing=0.1), config)
    with pytest.raises(ValueError, match="monitor accuracy needs class labels"):
        Config((4, 1), likelihoods.gaussian, monitor="accuracy")


# The notes' section 5 A: the sigmoid made by hand, then BCELoss.
def _one_output(num_classes):
    return 1


def _hand_made_sigmoid(logits):
    return (jnp.exp(logits) / (1 + jnp.exp(logits)))[:, 0]


def _hand_made_bce(logits, labels):
    return losses.bce(_hand_made_sigmoid(logits), labels)


def _hand_made_predict(logits):
    return (_hand_made_sigmoid(logits) > 0.5).astype(jnp.int32)


@pytest.mark.slow
def test_a_user_trains_a_likelihood_of_their_own():
    own = Likelihood(
        "hand made", _one_output, _hand_made_sigmoid, _hand_made_bce, _hand_made_predict
    )
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 5)).astype(np.float32)
    train = Batch(x, (x[:, 0] + x[:, 1] > 0).astype(np.int32))

    def trained(likelihood):
        config = Config((5, 8, 1), likelihood, epochs=60)
        state, history = fit(Keys.from_seed(0), config, Hyperparams(0.01), train)
        return evaluate(state.params, train, config=config), history.loss

    (mine, my_loss), (theirs, their_loss) = trained(own), trained(likelihoods.bernoulli)
    np.testing.assert_allclose(my_loss, their_loss, rtol=1e-5, atol=1e-6)
    assert int(mine.correct) == int(theirs.correct) > 180
    with pytest.raises(ValueError, match=r"\[0, 1\], got 2"):
        fit(
            Keys.from_seed(0),
            Config((5, 1), own),
            Hyperparams(),
            Batch(x, np.full(200, 2)),
        )


def test_a_loss_of_another_shape_is_refused():
    def mean_loss(logits, labels):
        return losses.sigmoid_bce(logits[:, 0], labels).mean()

    own = Likelihood(
        "mean", _one_output, _hand_made_sigmoid, mean_loss, _hand_made_predict
    )
    with pytest.raises(
        ValueError, match=r"'mean' must give one value per example, \[4\], got \[\]"
    ):
        fit(
            Keys.from_seed(0),
            Config((5, 1), own),
            Hyperparams(),
            Batch(np.zeros((4, 5), np.float32), np.zeros(4)),
        )


@pytest.mark.parametrize(
    "change, error, message",
    [
        (
            {"predict": _column_of_hits},
            ValueError,
            r"predict .* one value per .*\[25, 1\]",
        ),
        ({"loss": _whole_numbers}, TypeError, "loss .* must give floats, .* got int32"),
        ({"loss": _nothing}, ValueError, "loss .* must give one value .* got NoneType"),
    ],
)
def test_a_likelihood_that_gives_something_else_is_said(change, error, message):
    likelihood = dataclasses.replace(focal, name="own", **change)
    config = Config((3, 1), likelihood, epochs=1)
    data = Batch(np.ones((25, 3), np.float32), np.arange(25) % 2)
    with pytest.raises(error, match=f"fit: {message}"):
        fit(Keys.from_seed(0), config, Hyperparams(), data)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"loss": 3}, "loss of 'focal' must be a function, got 3"),
        ({"has_classes": "no"}, "has_classes must be True or False, got 'no'"),
        ({"name": 3}, "name must be a text, got 3"),
    ],
)
def test_what_is_no_likelihood_is_said(change, message):
    with pytest.raises(TypeError, match=f"Likelihood: {message}"):
        dataclasses.replace(focal, **change)
