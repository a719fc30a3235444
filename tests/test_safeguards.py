"""Clipping, label smoothing, class weights, decay: by hand, in float64, and the laws they obey."""

import dataclasses
import operator

import jax
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
    evaluate,
    fit,
    gaussian,
    init_state,
    mlp,
    train_epochs,
    train_step,
)
from jaxcls.checks import check_hyperparams
from jaxcls.optimizers import make_optimizer

KEYS = Keys.from_seed(0)
SETTINGS = {"momentum": 0.5, "batch_size": 8, "shuffle": False, "epochs": 2}
TWO = Config((6, 5, 1), bernoulli, "sgd", **SETTINGS)
THREE = Config((6, 3), categorical, "sgd", **SETTINGS)
WEIGHTS = {TWO: (0.5, 2.0), THREE: (0.5, 2.0, 1.25)}
both = pytest.mark.parametrize(
    "config",
    [pytest.param(TWO, marks=pytest.mark.slow), THREE],
    ids=["bernoulli", "categorical"],
)


def num_classes(config):
    return len(WEIGHTS[config])


def examples(config):
    rng = np.random.default_rng(0)
    x = rng.uniform(0, 1, (25, 6)).astype(np.float32)
    return Batch(x, rng.integers(0, num_classes(config), 25), np.ones(25, int))


def one_hot(data, config):
    return data._replace(targets=np.eye(num_classes(config))[data.targets])


def neutral(config, **changes):
    """All set, to what changes nothing: every run below is of one program for each config."""
    values = {
        "learning_rate": 0.5,
        "weight_decay": 0.0,
        "clip_norm": 1e30,
        "label_smoothing": 0.0,
        "class_weights": (1.0,) * num_classes(config),
    }
    return Hyperparams(**values | changes)


def all_at_work(config):
    # The gradient of the first step has a norm of about 0.5.
    return neutral(
        config,
        weight_decay=0.1,
        clip_norm=0.3,
        label_smoothing=0.2,
        class_weights=WEIGHTS[config],
    )


def start(config, dtype=np.float32):
    params = mlp.init(jax.random.clone(KEYS.init), config.layer_sizes)
    wide = jax.tree.map(lambda leaf: np.asarray(leaf, dtype), params)
    return init_state(KEYS, config, wide)


def run(config, hyperparams, data=None, **kwargs):
    data = examples(config) if data is None else data
    state = start(config)
    return fit(KEYS, config, hyperparams, data, data, state=state, **kwargs)


def stepped(config, hyperparams, data=None):
    """The state and loss sum of one step over all of `data`."""
    data = examples(config) if data is None else data
    return train_step(start(config), data, None, hyperparams, config=config)


def losses_of(params, data, config, share=0.0):
    """Losses [N] by PyTorch's formula: (1 - share) ce + share mean over the classes."""
    z, _, _ = oracle.forward(oracle.to_float64(params), data.features)
    if config is TWO:
        z = np.hstack([0 * z, z])  # the same two probabilities
    costs = -oracle.log_softmax(z)
    ce = costs[np.arange(len(costs)), data.targets]
    return (1 - share) * ce + share * costs.mean(axis=1)


def assert_trees_equal(got, want):
    jax.tree.map(np.testing.assert_array_equal, got, want)


def assert_trees_close(got, want, tolerance=1e-6):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance), got, want
    )


@pytest.mark.parametrize(
    "scale, norm, want",
    [
        (1, 1.0, 0.5),
        (1, 0.1, 0.05),
        (1, 1e-20, 5e-21),
        (1, 3.0, 26**0.5 / 4),
        (1e20, 1.0, 0.5),  # the squares overflow, the gradient does not
    ],
)
def test_a_clipped_step_by_hand(scale, norm, want):
    # At zero the probability is 1/2: the gradient is (3, 4, 1 / scale) * -scale / 2.
    config = Config((2, 1), bernoulli, "sgd")
    data = Batch(scale * np.array([[3, 4]], np.float32), np.array([1]))
    zero = {"Dense_0": {"kernel": np.zeros((2, 1)), "bias": np.zeros(1)}}
    state = init_state(KEYS, config, jax.tree.map(np.float32, zero))
    hyperparams = Hyperparams(0.5, clip_norm=norm)
    state, _ = train_step(state, data, None, hyperparams, config=config)
    moved = np.append(*(state.params["Dense_0"][name] for name in ("kernel", "bias")))
    direction = np.array([3, 4, 1 / scale])
    direction /= np.linalg.norm(direction)
    np.testing.assert_allclose(moved, want * direction, rtol=1e-6)


@pytest.mark.slow
def test_adams_moments_are_of_the_clipped_gradient():
    config = dataclasses.replace(THREE, optimizer="adam", momentum=0.0)
    want = stepped(config, Hyperparams(0.1), examples(THREE))
    below, above = (
        stepped(config, Hyperparams(0.1, clip_norm=norm), examples(THREE))
        for norm in (1e3, 0.01)
    )
    assert_trees_equal(below, want)
    moments = next(leaf for leaf in above[0].opt_state if hasattr(leaf, "mu")).mu
    leaves = jax.device_get(jax.tree.leaves(moments))
    norm = np.sqrt(sum((leaf**2).sum() for leaf in leaves))
    np.testing.assert_allclose(norm, (1 - 0.9) * 0.01, rtol=1e-5)


@both
def test_smoothed_losses_are_pytorchs_formula(config):
    data, params = examples(config), start(config).params
    kinds = [data] if config is TWO else [data, one_hot(data, config)]
    for share in (0.0, 0.3):
        want = losses_of(params, data, config, share).sum()
        for each in kinds:
            _, got = stepped(config, neutral(config, label_smoothing=share), each)
            np.testing.assert_allclose(got, want, rtol=1e-6)
    assert abs(want - losses_of(params, data, config).sum()) > 0.05


@pytest.mark.parametrize(
    "likelihood, num_outputs, targets, want",
    [
        (bernoulli, 1, [0, 1], [0.1, 0.9]),
        (bernoulli, 1, [[0], [1]], [[0.1], [0.9]]),
        (categorical, 4, [1], [[0.05, 0.85, 0.05, 0.05]]),
        (categorical, 4, [[0, 0.5, 0.5, 0]], [[0.05, 0.45, 0.45, 0.05]]),
    ],
)
def test_smoothed_targets_by_hand(likelihood, num_outputs, targets, want):
    got = likelihood.smooth(np.array(targets), num_outputs, 0.2)
    np.testing.assert_allclose(got, want, rtol=1e-6)


@both
def test_scores_are_plain_whatever_the_training_loss(config):
    data, reports = examples(config), []
    state, history = run(config, all_at_work(config), data, on_report=reports.append)
    plain = losses_of(state.params, data, config).sum()
    score = evaluate(state.params, data, config=config)
    last = jax.tree.map(operator.itemgetter(-1), history.validation)
    for each in (score, last, reports[-1].train, reports[-1].validation):
        np.testing.assert_allclose(each.loss_sum, plain, rtol=1e-5)
        assert each.count == 25 and each.correct == score.correct
        assert each.count.dtype == each.correct.dtype == np.int32


@both
def test_class_weights_are_weights_of_examples(config):
    data, own = examples(config), np.arange(25) % 3
    weights = np.arange(2, 2 + num_classes(config))
    got, history = run(
        config,
        neutral(config, class_weights=tuple(weights.astype(float).tolist())),
        data._replace(weights=own),
    )
    each = own * weights[data.targets]
    want, other = run(config, neutral(config), data._replace(weights=each))
    assert_trees_close((got, history.loss), (want, other.loss))


@both
def test_class_weights_that_are_equal_change_nothing(config):
    want = run(config, neutral(config))
    for weight in (3.0, 1e-3):
        equal = (weight,) * num_classes(config)
        assert_trees_close(run(config, neutral(config, class_weights=equal)), want)


def test_values_that_change_nothing_are_none():
    assert_trees_close(run(THREE, neutral(THREE)), run(THREE, Hyperparams(0.5)))


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_decay_is_on_kernels_alone(optimizer):
    config = Config((2, 2), categorical, optimizer)
    params = {"Dense_0": {"kernel": np.eye(2, dtype="f") + 1, "bias": np.ones(2, "f")}}
    zeros = jax.tree.map(np.zeros_like, params)  # decay acts alone
    own = 0.01 if optimizer == "adamw" else 0.0
    for decay, want in ((None, own), (0.5, 0.5)):
        transform = make_optimizer(config, Hyperparams(0.1, weight_decay=decay))
        updates, _ = transform.update(zeros, transform.init(params), params)
        kernel, bias = (updates["Dense_0"][name] for name in ("kernel", "bias"))
        np.testing.assert_array_equal(bias, 0)
        np.testing.assert_allclose(kernel, -0.1 * want * (np.eye(2) + 1), rtol=1e-6)


@both
@pytest.mark.parametrize(
    "wide",
    [pytest.param(False, marks=pytest.mark.slow), True],
    ids=["float32", "float64"],
)
def test_a_run_agrees_with_float64(config, wide):
    # 25 examples in batches of 8: the last has one example, whose mean is its own loss.
    data, hyperparams = examples(config), all_at_work(config)
    dtype, tolerance = (np.float64, 1e-11) if wide else (np.float32, 1e-5)
    with jax.enable_x64(wide):
        typed = jax.tree.map(lambda a: a if a.dtype == int else dtype(a), data)
        state, history = fit(
            KEYS, config, hyperparams, typed, typed, state=start(config, dtype)
        )
    targets = oracle.smoothed(one_hot(data, config).targets, 0.2)
    layers, optimizer = (
        oracle.to_float64(start(config).params),
        oracle.Sgd(0.5, 0.5, 0.1),
    )
    for epoch in range(config.epochs):
        layers, loss = oracle.train(
            layers,
            data.features,
            targets[:, 1] if config is TWO else targets,
            oracle.bernoulli if config is TWO else oracle.categorical,
            optimizer,
            np.split(np.arange(25), [8, 16, 24]),
            weights=np.array(WEIGHTS[config])[data.targets],
            clip_norm=hyperparams.clip_norm,
        )
        np.testing.assert_allclose(history.loss[epoch], loss, rtol=tolerance)
    for got, want in zip(oracle.to_float64(state.params), layers, strict=True):
        for leaf, wanted in zip(got, want, strict=True):
            np.testing.assert_allclose(leaf, wanted, tolerance, tolerance)
    assert state.params["Dense_0"]["kernel"].dtype == history.loss.dtype == dtype


@pytest.mark.slow
def test_a_run_in_float32_stays_one_under_x64(x64):
    # Any one that is wider would make the others' results so, too.
    wide = {"clip_norm": np.float64(0.3), "label_smoothing": np.float64(0.2)}
    for weights in (WEIGHTS[THREE], np.array(WEIGHTS[THREE])):
        hyperparams = Hyperparams(np.float64(0.5), class_weights=weights, **wide)
        state, history = run(THREE, hyperparams)
        kernel = state.params["Dense_0"]["kernel"]
        assert kernel.dtype == history.loss.dtype == np.float32


@pytest.mark.slow
def test_jit_is_eager():
    arguments = start(THREE), examples(THREE), None, all_at_work(THREE)
    want = train_step(*arguments, config=THREE)
    with jax.disable_jit():
        got = train_step(*arguments, config=THREE)
    assert_trees_close(got, want)


def test_vmap_is_a_loop_over_settings_and_a_new_value_compiles_nothing():
    settings = neutral(
        THREE,
        learning_rate=np.float32([0.1, 0.3]),
        clip_norm=np.float32([0.2, 1e3]),
        label_smoothing=np.float32([0.4, 0.0]),
        class_weights=np.float32([[0.5, 2.0, 1.0], [1.0, 1.0, 3.0]]),
    )
    axes = Hyperparams(0, None, None, 0, 0, 0)
    data, state = examples(THREE), start(THREE)

    def trained(hyperparams):
        return train_epochs(
            state, data, KEYS, hyperparams, data, config=THREE, num_epochs=2
        )

    many = jax.device_get(jax.vmap(trained, in_axes=(axes,))(settings))
    run(THREE, neutral(THREE))
    num_programs = train_epochs._cache_size()
    for index in range(2):
        rate, norm, share = (
            float(values[index]) for values in (settings[0], settings[3], settings[4])
        )
        weights = tuple(settings.class_weights[index].tolist())
        one = run(THREE, Hyperparams(rate, 0.0, 0.0, norm, share, weights))
        assert_trees_close(jax.tree.map(operator.itemgetter(index), many), one)
    assert train_epochs._cache_size() == num_programs


def test_the_last_finite_loss_is_kept():
    data, state = examples(TWO), start(TWO)
    first = losses_of(state.params, data, TWO)[:8].mean()
    data.features[9] = np.inf  # in the second batch of eight
    hyperparams, until = neutral(TWO), np.int32(2)
    state, _ = train_epochs(
        state, data, KEYS, hyperparams, data, until, config=TWO, num_epochs=2
    )
    assert int(state.progress.first_nonfinite_step) == 1
    np.testing.assert_allclose(state.progress.last_finite_loss, first, rtol=1e-6)
    assert start(TWO).progress.last_finite_loss == 0


@pytest.mark.parametrize(
    "values, error, message",
    [
        ({"clip_norm": 0.0}, ValueError, "clip_norm must be positive .* got 0"),
        ({"clip_norm": -1.0}, ValueError, "clip_norm must be positive .* got -1"),
        ({"clip_norm": float("nan")}, ValueError, "clip_norm must be .* got nan"),
        ({"clip_norm": float("inf")}, ValueError, "clip_norm must be .* got inf"),
        ({"clip_norm": 1e39}, ValueError, r"clip_norm .* in float32, got 1e\+39"),
        ({"clip_norm": 1e-46}, ValueError, "clip_norm .* in float32, got 1e-46"),
        ({"clip_norm": "1"}, TypeError, "clip_norm must be a number, got '1'"),
        ({"clip_norm": np.ones(2)}, TypeError, "clip_norm must be a number"),
        ({"label_smoothing": -0.1}, ValueError, r"label_smoothing .* \[0, 1\), got -"),
        ({"label_smoothing": 1.0}, ValueError, r"label_smoothing .* \[0, 1\), got 1"),
        ({"label_smoothing": 1 - 1e-9}, ValueError, r"label_smoothing .* \[0, 1\)"),
        ({"label_smoothing": float("nan")}, ValueError, "label_smoothing .* got nan"),
        ({"label_smoothing": (0.1,)}, TypeError, "label_smoothing must be a number"),
        (
            {"class_weights": (1.0,)},
            ValueError,
            r"class_weights must be 2 .* got \(1.0,\)",
        ),
        (
            {"class_weights": (1, 2, 3)},
            ValueError,
            r"class_weights .* 2 .* got \(1, 2, 3\)",
        ),
        ({"class_weights": np.ones(3)}, ValueError, r"class_weights .* 2 .* got \[3\]"),
        ({"class_weights": ((1, 2),)}, ValueError, r"class_weights .* got \(\(1, 2\),"),
        ({"class_weights": 2.0}, ValueError, r"class_weights must be 2 .* got 2.0"),
        ({"class_weights": (1, "a")}, ValueError, "class_weights must be 2 numbers"),
        (
            {"class_weights": (True, True)},
            ValueError,
            "class_weights must be 2 numbers",
        ),
        ({"class_weights": ((1,), (1, 2))}, ValueError, "class_weights must be 2"),
        (
            {"class_weights": (1.0, 0.0)},
            ValueError,
            "class_weights .* positive .* 1.0 0.0",
        ),
        ({"class_weights": (1.0, -1.0)}, ValueError, "class_weights .* positive"),
        ({"class_weights": (1.0, np.nan)}, ValueError, "class_weights .* finite"),
        ({"class_weights": (1.0, 1e39)}, ValueError, r"class_weights .* 1e\+39"),
        ({"class_weights": (1.0, 1e-46)}, ValueError, "class_weights .* 1e-46"),
    ],
)
def test_bad_values_are_named(values, error, message):
    with pytest.raises(error, match=f"fit: {message}"):
        check_hyperparams("fit", Hyperparams(**values), TWO)


@pytest.mark.parametrize(
    "values",
    [{"label_smoothing": 0.1}, {"label_smoothing": 0.0}, {"class_weights": (1.0, 2.0)}],
)
def test_labels_settings_need_class_labels(values):
    config = Config((6, 1), gaussian)
    message = rf"{next(iter(values))} needs class labels, .* 'gaussian' has not"
    with pytest.raises(ValueError, match=message):
        check_hyperparams("fit", Hyperparams(**values), config)
    data = Batch(np.zeros((3, 6), np.float32), np.zeros(3))
    with pytest.raises(ValueError, match=f"fit: {message}"):
        fit(KEYS, config, Hyperparams(**values), data)


def test_what_does_not_fit_the_labels_is_refused_while_tracing():
    data = Batch(np.zeros((3, 6), np.float32), np.zeros(3, np.int32))
    for sizes, likelihood, hyperparams, message in [
        (
            (6, 3),
            categorical,
            Hyperparams(class_weights=(1.0, 2.0)),
            "must be 3 numbers",
        ),
        ((6, 1), gaussian, Hyperparams(class_weights=(1.0, 2.0)), "needs class labels"),
        ((6, 1), gaussian, Hyperparams(label_smoothing=0.1), "needs class labels"),
    ]:
        config = Config(sizes, likelihood)
        state = init_state(KEYS, config)
        with pytest.raises(ValueError, match=f"train_step: .*{message}"):
            train_step(state, data, None, hyperparams, config=config)
        with pytest.raises(ValueError, match=f"train_epochs: .*{message}"):
            train_epochs(state, data, KEYS, hyperparams, config=config, num_epochs=1)


def test_good_values_pass():
    for config, weights in WEIGHTS.items():
        for each in (weights, list(weights), np.float32(weights)):
            check_hyperparams("fit", Hyperparams(0.1, class_weights=each), config)
        check_hyperparams("fit", all_at_work(config), config)
    check_hyperparams("fit", Hyperparams(clip_norm=1), Config((6, 1), gaussian))


@pytest.mark.parametrize(
    "batch_size", [24, None, *(pytest.param(n, marks=pytest.mark.slow) for n in (1, 5))]
)
def test_a_weight_means_the_same_at_any_batch_size(batch_size):
    data = examples(TWO)
    weights = np.linspace(0.2, 3, 25).astype(np.float32)
    config = dataclasses.replace(TWO, batch_size=batch_size, epochs=1, momentum=0.0)
    got, history = fit(
        KEYS,
        config,
        Hyperparams(0.5),
        data._replace(weights=weights),
        state=start(config),
    )
    size = 25 if batch_size is None else batch_size
    layers, loss = oracle.train(
        oracle.to_float64(start(config).params),
        data.features,
        data.targets.astype(float),
        oracle.bernoulli,
        oracle.Sgd(0.5),
        np.split(np.arange(25), np.arange(size, 25, size)),
        weights=weights,
    )
    np.testing.assert_allclose(history.loss[0], loss, rtol=1e-5)
    for mine, want in zip(oracle.to_float64(got.params), layers, strict=True):
        for leaf, wanted in zip(mine, want, strict=True):
            np.testing.assert_allclose(leaf, wanted, 1e-5, 1e-5)


@pytest.mark.parametrize(
    "batch_size", [40, *(pytest.param(n, marks=pytest.mark.slow) for n in (4, None))]
)
def test_balanced_classes_count_alike_at_any_batch_size(batch_size):
    # Nothing to learn but the share: one of twenty examples is of class 1.
    y = (np.arange(400) % 20 == 0).astype(int)
    balanced = tuple((400 / (2 * np.bincount(y))).tolist())
    config = Config((1, 1), bernoulli, "sgd", batch_size=batch_size, epochs=200)
    rate = 0.002 * (batch_size or 400)
    state, _ = fit(
        KEYS,
        config,
        Hyperparams(rate, class_weights=balanced),
        Batch(np.zeros((400, 1), np.float32), y),
    )
    logit = float(state.params["Dense_0"]["bias"][0])
    assert abs(1 / (1 + np.exp(-logit)) - 0.5) < 0.05
