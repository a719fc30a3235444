"""Many runs at once: each is `fit` alone, on however many devices, side by side as you like."""

import dataclasses
import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    bernoulli,
    categorical,
    chosen_params,
    data,
    ensembles,
    evaluate,
    fit,
    init_state,
    mlp,
)
from jaxcls.study.many import fit_many

SEEDS = (0, 7, 2**32 - 1, 3, 12, 5, 100)


def examples(num_examples=44, seed=0, num_classes=2):
    """In mini-batches of 16, the last one has fewer."""
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(num_examples, 4)).astype(np.float32)
    noisy = x + rng.normal(size=x.shape)
    return Batch(x, noisy[:, :num_classes].argmax(axis=1))


TRAIN, VALIDATION, TEST = examples(), examples(30, 1), examples(50, 2)
# Its runs, of which patience ends some earlier than others, are of one program throughout.
PATIENT = Config(
    (4, 5, 1), bernoulli, batch_size=16, epochs=9, monitor="loss", patience=2
)
RATES = np.array([0.02, 0.3, 0.05, 0.3, 1.0, 0.01, 0.1])
CASES = {
    "sgd, full batch": ({"optimizer": "sgd"}, {}),
    "momentum, in order": (
        {"optimizer": "sgd", "momentum": 0.9, "batch_size": 16, "shuffle": False},
        {"clip_norm": [0.1, 0.2, 0.3]},
    ),
    "adam, shuffled": ({"batch_size": 16}, {}),
    "adamw, a schedule": (
        {"optimizer": "adamw", "batch_size": 16, "schedule": "cosine"},
        {"weight_decay": [0.0, 0.1, 0.3]},
    ),
    "dropout": (
        # Adam would make much of the rounding of gradients that are nearly 0.
        {
            "optimizer": "sgd",
            "batch_size": 16,
            "dropout": True,
            "layer_sizes": (4, 6, 5, 1),
        },
        {"dropout_rate": [0.0, 0.3, 0.6]},
    ),
    "dropout, full batch, accuracy": ({"dropout": True, "monitor": "accuracy"}, {}),
    "class weights and smoothing": (
        {"layer_sizes": (4, 5, 3), "likelihood": categorical},
        {
            "class_weights": [[1.0, 2.0, 3.0], [1.0, 1.0, 0.1], [5.0, 0.5, 1.0]],
            "label_smoothing": [0.0, 0.1, 0.3],
        },
    ),
}
IN_FLOAT64 = {"sgd, full batch", "momentum, in order", "adamw, a schedule"}


def case(name):
    of_config, of_hyperparams = CASES[name]
    given = {"layer_sizes": (4, 5, 1), "likelihood": bernoulli, "epochs": 6}
    config = Config(**given | of_config)
    sets = [
        examples(size, seed, max(2, config.layer_sizes[-1]))
        for seed, size in enumerate((44, 30, 50))
    ]
    return config, Hyperparams([0.01, 0.05, 0.02], **of_hyperparams), sets


def row_of(hyperparams, row):
    """Those of one run; those that are one for all stay as they are."""
    return Hyperparams(
        **{
            name: np.asarray(value)[row] if isinstance(value, list) else value
            for name, value in hyperparams._asdict().items()
        }
    )


def taken(tree, row):
    return jax.tree.map(lambda leaf: leaf[row], tree)


def alone(seed, config, hyperparams, sets, params=None):
    """What `fit` makes of one run, as `fit_many` tells it."""
    train, validation, test = sets
    keys = Keys.from_seed(seed)
    state = init_state(keys, config, params)
    state, history = fit(keys, config, hyperparams, train, validation, state=state)
    named = {"train": train, "validation": validation, "test": test}
    params = chosen_params(state)
    scores = {
        name: evaluate(params, each, config=config)
        for name, each in named.items()
        if each is not None
    }
    best = state.progress.best
    chosen = len(history.loss) if best is None else int(best.epoch)
    return len(history.loss), chosen, history, scores, params


def assert_close(got, want, tolerance):
    """Whole numbers, such as counts of correct examples, are equal."""

    def close(one, other):
        one, other = np.asarray(one), np.asarray(other)
        assert one.shape == other.shape
        whole = other.dtype.kind in "iub"
        np.testing.assert_allclose(one, other, rtol=0, atol=0 if whole else tolerance)

    jax.tree.map(close, got, want)


def mean(score):
    return score.loss, score.correct, score.count


def means(history):
    judged = history.validation
    return history.loss, None if judged is None else mean(judged)


def assert_is_alone(got, want, tolerance):
    """One run of `fit_many` is what came of it `alone`."""
    epochs, chosen, history, scores, params = want
    assert (int(got.epochs), int(got.chosen_epoch)) == (epochs, chosen)
    assert got.finite and got.first_nonfinite_step == -1
    assert_close(*map(means, (taken(got.history, slice(epochs)), history)), tolerance)
    left = taken(got.history, slice(epochs, None))
    assert np.isnan(left.loss).all()
    if left.validation is not None:
        assert np.isnan(left.validation.loss_sum).all()
        assert not left.validation.correct.any() and not left.validation.count.any()
    assert got.scores.keys() == scores.keys()
    for name, want_score in scores.items():
        assert_close(*map(mean, (got.scores[name], want_score)), tolerance)
    assert_close(got.params, params, tolerance)


@pytest.mark.slow  # the fast one is the first of devices and widths
@pytest.mark.parametrize("name", [name for name in CASES if name not in IN_FLOAT64])
def test_one_of_many_is_fit_alone(name):
    config, hyperparams, sets = case(name)
    runs = fit_many(
        SEEDS[:3], config, hyperparams, *sets, width=2, devices=jax.devices()[:2]
    )
    for row, seed in enumerate(SEEDS[:3]):
        want = alone(seed, config, row_of(hyperparams, row), sets)
        assert_is_alone(taken(runs, row), want, 1e-6)


@pytest.mark.parametrize("name", sorted(IN_FLOAT64))
@pytest.mark.slow
def test_one_of_many_is_fit_alone_in_float64(name, x64):
    config, hyperparams, sets = case(name)
    sets = [each._replace(features=each.features.astype(np.float64)) for each in sets]
    params = wide_params(config)
    runs = fit_many(SEEDS[:3], config, hyperparams, *sets, params=params, width=2)
    assert runs.history.loss.dtype == np.float64
    for row, seed in enumerate(SEEDS[:3]):
        want = alone(seed, config, row_of(hyperparams, row), sets, taken(params, row))
        assert_is_alone(taken(runs, row), want, 1e-11)


def wide_params(config):
    """Of three runs, in float64, and not those of their seeds."""
    drawn = [mlp.init(jax.random.key(each), config.layer_sizes) for each in range(3)]
    return jax.tree.map(lambda *leaves: np.stack(leaves).astype(np.float64), *drawn)


def patient(count, width, num_devices, rates=RATES):
    return fit_many(
        SEEDS[:count],
        PATIENT,
        Hyperparams(rates[:count]),
        TRAIN,
        VALIDATION,
        TEST,
        width=width,
        devices=jax.devices()[:num_devices],
    )


@pytest.fixture(scope="module")
def one_by_one():
    sets = TRAIN, VALIDATION, TEST
    wants = [
        alone(seed, PATIENT, Hyperparams(rate), sets)
        for seed, rate in zip(SEEDS, RATES, strict=True)
    ]
    done = [epochs for epochs, *_ in wants]
    assert min(done) < 9 and len(set(done)) > 2
    return wants


@pytest.mark.slow
@pytest.mark.parametrize("num_devices, width", [(2, 2), (8, 1), (1, 4), (4, 1)])
def test_devices_and_widths_change_nothing(num_devices, width, one_by_one):
    # Neither 5 nor 7 runs fill the chunks, nor the chunks the devices.
    for count in (5, 7):
        runs = patient(count, width, num_devices)
        assert all(len(leaf) == count for leaf in jax.tree.leaves(runs))
        for row in range(count):
            assert_is_alone(taken(runs, row), one_by_one[row], 1e-6)


@pytest.mark.slow
def test_one_that_diverges_says_so_and_touches_no_other():
    good = patient(5, 2, 2)
    assert good.finite.all()
    for bad in range(5):
        rates = RATES.copy()
        rates[bad] = 1e30
        runs = patient(5, 2, 2, rates)
        others = np.arange(5) != bad
        np.testing.assert_array_equal(runs.finite, others)
        jax.tree.map(
            np.testing.assert_array_equal, taken(runs, others), taken(good, others)
        )
        first = int(runs.first_nonfinite_step[bad])
        epoch, step = divmod(first, 3)
        said = f"from step {step + 1} of epoch {epoch + 1} on"
        with pytest.raises(FloatingPointError, match=said):
            alone(SEEDS[bad], PATIENT, Hyperparams(1e30), (TRAIN, VALIDATION, None))


@pytest.mark.slow
def test_a_last_update_that_breaks_the_params_is_seen():
    # The loss before the only step is finite; what the step leaves behind is not.
    config = Config((4, 5, 1), bernoulli, "sgd", epochs=1)
    large = TRAIN._replace(features=TRAIN.features * 1e4)
    runs = fit_many(range(2), config, Hyperparams(np.array([1e38, 1e-3])), large)
    np.testing.assert_array_equal(runs.finite, [False, True])
    np.testing.assert_array_equal(runs.first_nonfinite_step, [-1, -1])


@pytest.mark.slow
def test_a_last_update_after_which_validation_is_not_finite_is_seen():
    # The params that are chosen are those before it, whose scores are finite.
    config = Config((4, 5, 1), bernoulli, "sgd", epochs=1, monitor="loss")
    rates = np.array([1e30, 0.1])
    runs = fit_many(range(2), config, Hyperparams(rates), TRAIN, VALIDATION)
    np.testing.assert_array_equal(
        np.isfinite(runs.history.validation.loss_sum[:, -1]), [False, True]
    )
    np.testing.assert_array_equal(runs.finite, [False, True])


def test_a_hyperparam_is_one_for_all_or_one_for_each():
    each = patient(5, 2, 2, np.full(5, 0.05))
    for rate in (0.05, np.float32(0.05), jnp.float32(0.05), [0.05] * 5):
        one = fit_many(
            SEEDS[:5],
            PATIENT,
            Hyperparams(rate),
            TRAIN,
            VALIDATION,
            TEST,
            width=2,
            devices=jax.devices()[:2],
        )
        jax.tree.map(np.testing.assert_array_equal, one, each)


@pytest.mark.slow
def test_class_weights_are_those_of_all_or_of_each():
    config, hyperparams, sets = case("class weights and smoothing")
    all_of = hyperparams._replace(class_weights=(1.0, 2.0, 3.0))
    each_of = hyperparams._replace(class_weights=np.tile([1.0, 2.0, 3.0], (3, 1)))
    runs = [fit_many(SEEDS[:3], config, some, *sets) for some in (all_of, each_of)]
    jax.tree.map(np.testing.assert_array_equal, *runs)


@pytest.mark.slow
def test_runs_start_from_the_params_given():
    config, hyperparams, (train, *_) = case("momentum, in order")
    drawn = [mlp.init(jax.random.key(each), (4, 5, 1)) for each in range(3)]
    runs = fit_many(
        [4, 4, 4], config, hyperparams, train, params=ensembles.stack(drawn), width=2
    )
    assert runs.history.validation is None and runs.scores.keys() == {"train"}
    for row, params in enumerate(drawn):
        want = alone(4, config, row_of(hyperparams, row), (train, None, None), params)
        assert_is_alone(taken(runs, row), want, 1e-6)


@pytest.mark.slow
def test_examples_have_weights():
    config, hyperparams, sets = case("adam, shuffled")
    rng = np.random.default_rng(0)
    sets = [
        each._replace(weights=rng.integers(0, 3, len(each.targets)).astype(np.float32))
        for each in sets
    ]
    runs = fit_many(SEEDS[:3], config, hyperparams, *sets)
    for row, seed in enumerate(SEEDS[:3]):
        want = alone(seed, config, row_of(hyperparams, row), sets)
        assert_is_alone(taken(runs, row), want, 1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 128])
def test_packed_runs_are_fit_alone(batch_size):
    train, test = map(data.to_batch, data.load("digits"))
    assert train.features.size >= 2**20  # so that they are packed
    config = Config((784, 8, 10), categorical, batch_size=batch_size, epochs=5)
    rates = [0.001, 0.01, 0.003]
    runs = fit_many(
        SEEDS[:3],
        config,
        Hyperparams(rates),
        train,
        test=test,
        width=2,
        devices=jax.devices()[:2],
    )
    for row, seed in enumerate(SEEDS[:3]):
        want = alone(seed, config, Hyperparams(rates[row]), (train, None, test))
        assert_is_alone(taken(runs, row), want, 1e-6)


def test_the_width_is_planned_and_its_runs_are_compiled_once():
    from jaxcls.study.engine import _run_round

    before = _run_round._cache_size()
    config = Config((4, 1), bernoulli, "sgd", epochs=2)
    for seeds, rate in (((1, 2, 3), 0.1), ((5, 6, 7, 8), 0.2)):
        fit_many(seeds, config, Hyperparams(rate), TRAIN, devices=jax.devices()[:2])
    assert _run_round._cache_size() == before + 1


GOOD = {
    "seeds": (0, 1, 2),
    "config": Config((4, 5, 1), bernoulli),
    "hyperparams": Hyperparams(),
    "train": TRAIN,
}
THREE = jax.tree.map(
    lambda leaf: np.stack([leaf] * 3),
    {"Dense_0": {"kernel": np.zeros((4, 1)), "bias": np.zeros(1)}},
)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"seeds": ()}, ValueError, "seeds must name at least one run, got none."),
        ({"seeds": 3}, TypeError, "got 3; of one seed take fit, of the first so many"),
        ({"seeds": (0, 1.5)}, TypeError, "seed must be an integer, got 1.5."),
        ({"seeds": (0, -1)}, ValueError, "seed must lie in 0..2**32-1, got -1."),
        ({"seeds": (2**32,)}, ValueError, "seed must lie in 0..2**32-1, got 4294967"),
        (
            {"hyperparams": Hyperparams(np.ones(2))},
            ValueError,
            "learning_rate must be one for all runs or 3 for as many seeds, got [2].",
        ),
        (
            {"hyperparams": Hyperparams(np.ones((3, 1)))},
            ValueError,
            "learning_rate must be one for all runs or 3 for as many seeds, got [3, 1].",
        ),
        (
            {"hyperparams": Hyperparams(class_weights=np.ones((2, 2)))},
            ValueError,
            "class_weights must be one for all runs or 3 for as many seeds, got [2, 2].",
        ),
        (
            {"hyperparams": Hyperparams(class_weights=(1.0, 2.0, 3.0))},
            ValueError,
            "class_weights must be 2 numbers, one per class, got [3]",
        ),
        (
            {"hyperparams": Hyperparams(np.array([0.1, 0.2, -0.5]))},
            ValueError,
            "learning_rate must be positive and finite in float32, got -0.5.",
        ),
        (
            {"hyperparams": Hyperparams(0.1, np.array([0.0, 0.0, 0.5]))},
            ValueError,
            "dropout_rate is 0.5, but Config.dropout is False; set it to True.",
        ),
        (
            {"hyperparams": Hyperparams("0.1")},
            TypeError,
            "learning_rate must be a number, got '0.1'.",
        ),
        (
            {"params": taken(THREE, slice(2))},
            ValueError,
            "params must have leaves [3, ...], one for each seed.",
        ),
        (
            {"params": {"Dense_0": THREE["Dense_0"] | {"bias": np.zeros(())}}},
            ValueError,
            "params must have leaves [3, ...], one for each seed.",
        ),
        ({"train": (1, 2)}, TypeError, "train must be a jaxcls.Batch, got tuple."),
        (
            {"train": Batch(np.zeros((3, 5), np.float32), np.zeros(3))},
            ValueError,
            "train.features must be [N, 4] with N at least 1",
        ),
        (
            {"validation": TRAIN._replace(targets=TRAIN.targets + 1)},
            ValueError,
            "got 2",
        ),
        (
            {"test": Batch(np.zeros((3, 4), int), np.zeros(3))},
            TypeError,
            "test.features must be floats, got int32; divide bytes by 255 first.",
        ),
        (
            {"config": dataclasses.replace(PATIENT)},
            ValueError,
            "Config.monitor is 'loss', which needs a validation set to judge by.",
        ),
        ({"devices": []}, ValueError, "devices must name at least one, and none twice"),
        (
            {"devices": jax.devices()[:1] * 2},
            ValueError,
            "devices must name at least one, and none twice",
        ),
        ({"width": 0}, ValueError, "width must be at least 1, got 0."),
        ({"config": None}, TypeError, "config must be a jaxcls.Config, got NoneType."),
        (
            {"hyperparams": 0.1},
            TypeError,
            "hyperparams must be a jaxcls.Hyperparams, got float.",
        ),
    ],
)
def test_bad_arguments_are_named(change, error, message):
    with pytest.raises(error, match=re.escape(message)):
        fit_many(**GOOD | change)


def test_seeds_may_come_from_a_generator_or_be_numpys():
    def runs(seeds):
        two = {"width": 2, "devices": jax.devices()[:2]}
        return fit_many(seeds, PATIENT, Hyperparams(), TRAIN, VALIDATION, TEST, **two)

    want = runs((1, 200))
    for seeds in ((seed for seed in (1, 200)), np.array([1, 200], np.uint8)):
        jax.tree.map(np.testing.assert_array_equal, runs(seeds), want)


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer, batch_size, rate, loss_bound, count_bound",
    [
        ("adam", None, 1e-3, 3e-6, 0),
        ("sgd", None, 0.1, 3e-6, 0),
        ("adam", 128, 1e-3, 1e-3, 30),
        ("sgd", 128, 0.1, 1e-3, 30),
    ],
)
def test_how_far_ten_classes_of_many_are_from_each_alone(
    optimizer, batch_size, rate, loss_bound, count_bound, mnist
):
    # The bounds of full batches are promised; those of mini-batches are ten times what was seen.
    train, test = mnist(*range(10))
    config = Config(
        (784, 32, 10), categorical, optimizer, batch_size=batch_size, epochs=5
    )
    runs = fit_many(range(2), config, Hyperparams(rate), train, None, test)
    for row in range(2):
        state, history = fit(Keys.from_seed(row), config, Hyperparams(rate), train)
        assert np.abs(history.loss - runs.history.loss[row]).max() <= loss_bound
        score = evaluate(state.params, test, config=config)
        correct = int(runs.scores["test"].correct[row])
        assert abs(int(score.correct) - correct) <= count_bound
