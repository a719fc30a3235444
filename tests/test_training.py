"""training: against float64, and the laws that a run obeys."""

import operator

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
    evaluate,
    init_state,
    mlp,
    train_epochs,
    train_step,
)
from jaxcls.batches import epoch_rows, steps_per_epoch, take

KEYS = Keys.from_seed(0)
RATE = Hyperparams(0.1)
LIKELIHOODS = {
    "bernoulli": (bernoulli, oracle.bernoulli),
    "categorical": (categorical, oracle.categorical),
}
OPTIMIZERS = {
    "sgd": ({"optimizer": "sgd", "momentum": 0.5}, lambda: oracle.Sgd(0.1, 0.5)),
    "adam": ({"optimizer": "adam"}, lambda: oracle.Adam(0.1)),
    "adamw": ({"optimizer": "adamw"}, lambda: oracle.Adam(0.1, 0.01)),
}


# Either loss, full batches and mini-batches, with dropout and without: each once.
FAST = {("bernoulli", "sgd", 8, True)}
SLOW = pytest.mark.slow


def examples(num_examples=25, num_classes=2):
    rng = np.random.default_rng(num_examples)
    x = rng.uniform(0, 1, (num_examples, 6)).astype(np.float32)
    return Batch(x, rng.integers(0, num_classes, num_examples))


def trained(config, data, hyperparams=RATE, keys=KEYS, num_epochs=3, **kwargs):
    state = init_state(keys, config)
    return train_epochs(
        state, data, keys, hyperparams, config=config, num_epochs=num_epochs, **kwargs
    )


def assert_trees_equal(got, want):
    jax.tree.map(np.testing.assert_array_equal, got, want)


def assert_trees_close(got, want, tolerance=1e-6):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance), got, want
    )


def batches_of(config, data, epoch):
    """The rows of each step's real examples."""
    rows, real = epoch_rows(
        jax.random.fold_in(jax.random.clone(KEYS.shuffle), epoch), data, config
    )
    return [np.asarray(r)[np.asarray(m)] for r, m in zip(rows, real, strict=True)]


@pytest.mark.slow
def test_each_order_is_as_likely_as_any_other():
    data, config = Batch(np.zeros((4, 1)), np.zeros(4)), Config((1, 1), bernoulli)
    keys = jax.random.split(jax.random.key(0), 24_000)
    rows, _ = jax.vmap(lambda key: epoch_rows(key, data, config))(keys)
    orders, counts = np.unique(rows[:, 0], axis=0, return_counts=True)
    assert orders.shape == (24, 4) and (np.sort(orders) == np.arange(4)).all()
    # Chi-squared of 23 degrees of freedom exceeds 60 with a probability of 4e-5.
    assert ((counts - 1000) ** 2 / 1000).sum() < 60


@pytest.mark.parametrize(
    "name, optimizer, batch_size, dropout",
    [
        pytest.param(*each, *more, marks=() if (*each, *more) in FAST else SLOW)
        for each in (
            ("bernoulli", "sgd"),
            ("categorical", "adam"),
            ("bernoulli", "adamw"),
        )
        for more in ((None, False), (None, True), (8, True), (40, False))
    ],
)
def test_epochs_agree_with_float64(optimizer, name, batch_size, dropout):
    # 25 examples in batches of 8: the last has one example and counts as one.
    likelihood, in_float64 = LIKELIHOODS[name]
    settings, new_optimizer = OPTIMIZERS[optimizer]
    data = examples(num_classes=2 if name == "bernoulli" else 3)
    config = Config(
        (6, 5, 4, likelihood.num_outputs(3)),
        likelihood,
        batch_size=batch_size,
        dropout=dropout,
        **settings,
    )
    rate = 0.4 if dropout else 0.0
    state, history = trained(config, data, Hyperparams(0.1, rate), num_epochs=2)

    params = init_state(KEYS, config).params
    layers, reference = oracle.to_float64(params), new_optimizer()
    num_steps = steps_per_epoch(data, config)
    for epoch in range(2):
        batches = [np.arange(25)] if num_steps == 1 else batches_of(config, data, epoch)
        masks = None
        if dropout:
            key = jax.random.fold_in(jax.random.clone(KEYS.dropout), epoch)
            size = 25 if num_steps == 1 else batch_size
            masks = mlp.draw_masks(key, rate, (num_steps, size), params)
        layers, loss = oracle.train(
            layers,
            data.features,
            data.targets,
            in_float64,
            reference,
            batches,
            masks,
            rate,
        )
        np.testing.assert_allclose(history.loss[epoch], loss, rtol=1e-4)
    for got, want in zip(oracle.to_float64(state.params), layers, strict=True):
        for leaf, wanted in zip(got, want, strict=True):
            np.testing.assert_allclose(leaf, wanted, rtol=2e-3, atol=2e-4)
    assert int(state.step) == 2 * num_steps


def test_training_in_float64_is_exact(x64):
    data = examples()
    data = Batch(np.float64(data.features), data.targets)
    config = Config((6, 5, 1), bernoulli, "sgd", batch_size=8, shuffle=False)
    params = mlp.init(jax.random.clone(KEYS.init), config.layer_sizes)
    wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), params)
    state = init_state(KEYS, config, wide)
    state, history = train_epochs(
        state, data, KEYS, Hyperparams(0.1), config=config, num_epochs=1
    )
    layers, loss = oracle.train(
        oracle.to_float64(params),
        data.features,
        data.targets,
        oracle.bernoulli,
        oracle.Sgd(0.1),
        np.split(np.arange(25), [8, 16, 24]),
    )
    assert history.loss.dtype == state.params["Dense_0"]["kernel"].dtype == jnp.float64
    np.testing.assert_allclose(history.loss[0], loss, rtol=1e-13)
    np.testing.assert_allclose(
        state.params["Dense_0"]["kernel"], layers[0][0], rtol=1e-12
    )


@pytest.mark.parametrize("shuffle", [False, True])
def test_every_example_is_seen_once_an_epoch(shuffle):
    config = Config((6, 1), bernoulli, batch_size=8, shuffle=shuffle)
    epochs = [
        np.concatenate(batches_of(config, examples(), epoch)) for epoch in range(3)
    ]
    for rows in epochs:
        np.testing.assert_array_equal(np.sort(rows), np.arange(25))
    in_order = [np.array_equal(rows, np.arange(25)) for rows in epochs]
    assert in_order == [not shuffle] * 3
    assert np.array_equal(epochs[0], epochs[1]) == (not shuffle)


@pytest.mark.slow
def test_batches_in_order_are_the_notes_dataloader():
    config = Config((6, 1), bernoulli, batch_size=8, shuffle=False)
    sizes = [len(rows) for rows in batches_of(config, examples(), 0)]
    assert sizes == [8, 8, 8, 1]
    data = examples(12_665)  # the notes' two classes: 792 batches of 16, the last of 9
    rows = batches_of(Config((6, 1), bernoulli, batch_size=16, shuffle=False), data, 0)
    assert len(rows) == 792 and len(rows[-1]) == 9


@pytest.mark.parametrize("batch_size", [pytest.param(None, marks=pytest.mark.slow), 8])
def test_a_scan_of_epochs_is_a_loop_of_steps(batch_size):
    data = examples()
    config = Config((6, 5, 1), bernoulli, batch_size=batch_size, dropout=True)
    hyperparams = Hyperparams(0.1, 0.5)
    got, history = trained(config, data, hyperparams, num_epochs=2)
    state = init_state(KEYS, config)
    for epoch in range(2):
        key = jax.random.fold_in(jax.random.clone(KEYS.dropout), epoch)
        num_steps = steps_per_epoch(data, config)
        masks = mlp.draw_masks(key, 0.5, (num_steps, batch_size or 25), state.params)
        if batch_size is None:
            batches = [data]
        else:
            key = jax.random.fold_in(jax.random.clone(KEYS.shuffle), epoch)
            rows, real = epoch_rows(key, data, config)
            batches = [
                take(data, *each, config) for each in zip(rows, real, strict=True)
            ]
        loss = 0.0
        for step, batch in enumerate(batches):
            step_masks = tuple(mask[step] for mask in masks)
            state, loss_sum = train_step(
                state, batch, step_masks, hyperparams, config=config
            )
            loss += float(loss_sum)
        np.testing.assert_allclose(history.loss[epoch], loss / 25, rtol=1e-6)
    assert_trees_close(got.params, state.params)


@pytest.mark.slow
def test_jit_is_eager():
    config = Config((6, 5, 1), bernoulli)
    state, data = init_state(KEYS, config), examples(9)
    masks = mlp.draw_masks(jax.random.key(1), 0.5, (9,), state.params)
    arguments = state, data, masks, Hyperparams(0.1, 0.5)
    want = train_step(*arguments, config=config)
    with jax.disable_jit():
        got = train_step(*arguments, config=config)
    assert_trees_close(got, want)


@pytest.mark.slow
def test_vmap_is_a_loop_over_seeds_and_settings():
    data, rates = examples(), jnp.array([0.01, 0.1, 0.3])
    config = Config((6, 5, 1), bernoulli, batch_size=8, dropout=True)
    all_keys = [Keys.from_seed(seed) for seed in range(3)]
    stacked = jax.tree.map(lambda *keys: jnp.stack(keys), *all_keys)

    def run(keys, rate):
        return trained(config, data, Hyperparams(rate, 0.5), keys, num_epochs=2)

    many = jax.vmap(run)(stacked, rates)
    for index, keys in enumerate(all_keys):
        of_many = jax.tree.map(operator.itemgetter(index), many)
        assert_trees_close(of_many, run(keys, float(rates[index])))


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 8])
def test_segments_are_one_run_to_the_bit(batch_size):
    data = examples()
    config = Config((6, 5, 1), bernoulli, batch_size=batch_size, dropout=True)
    hyperparams = Hyperparams(0.1, 0.5)
    straight, history = trained(config, data, hyperparams, num_epochs=5)
    state, losses = init_state(KEYS, config), []
    for num_epochs in (2, 1, 2):
        state, part = train_epochs(
            state, data, KEYS, hyperparams, config=config, num_epochs=num_epochs
        )
        losses.append(part.loss)
    assert_trees_equal(state, straight)
    np.testing.assert_array_equal(np.concatenate(losses), history.loss)


@pytest.mark.slow
def test_validation_takes_no_part_in_training():
    data, other = examples(), examples(13)
    config = Config((6, 5, 1), bernoulli, batch_size=8, dropout=True)
    alone, history = trained(config, data, Hyperparams(0.1, 0.5))
    beside, with_scores = trained(config, data, Hyperparams(0.1, 0.5), validation=other)
    assert_trees_equal(beside, alone)
    assert history.validation is None
    assert with_scores.validation.correct.shape == (3,)
    last = evaluate(alone.params, other, config=config)
    np.testing.assert_allclose(
        with_scores.validation.loss_sum[-1], last.loss_sum, rtol=1e-6
    )
    assert int(with_scores.validation.correct[-1]) == int(last.correct)


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 8])
def test_weights_are_repetitions(batch_size):
    # An example of weight 2 counts as two, one of weight 0 as none.
    data = examples(8)
    weights = np.array([2, 0, 1, 1, 0, 3, 1, 1])
    repeated = Batch(*(np.repeat(leaf, weights, axis=0) for leaf in data[:2]))
    config = Config((6, 5, 1), bernoulli, batch_size=batch_size, shuffle=False)
    weighted, history = trained(config, data._replace(weights=weights))
    full = Config((6, 5, 1), bernoulli)
    want, want_history = trained(full, repeated)
    assert_trees_close(
        (weighted.params, history.loss), (want.params, want_history.loss), 1e-5
    )
    score = evaluate(want.params, data._replace(weights=weights), config=config)
    other = evaluate(want.params, repeated, config=full)
    assert int(score.count) == int(other.count) == 9
    assert int(score.correct) == int(other.correct)
    np.testing.assert_allclose(score.loss_sum, other.loss_sum, rtol=1e-5)


def test_a_batch_without_weight_is_harmless():
    data = examples(16)._replace(weights=np.repeat([1, 0], 8))
    config = Config((6, 1), bernoulli, "sgd", batch_size=8, shuffle=False)
    got, _ = trained(config, data)
    # The mean weight of the set is a half, by which a step divides.
    half = Hyperparams(2 * RATE.learning_rate)
    want, _ = trained(config, Batch(data.features[:8], data.targets[:8]), half)
    assert_trees_close(got.params, want.params)


def test_the_first_step_that_is_not_finite_is_kept():
    data = examples()
    data.features[17] = np.inf  # in the third batch of eight
    config = Config((6, 5, 1), bernoulli, batch_size=8, shuffle=False)
    state, _ = trained(config, data)
    assert int(state.progress.first_nonfinite_step) == 2
    state, _ = trained(config, examples())
    assert int(state.progress.first_nonfinite_step) == -1


def test_one_trace_per_shape():
    traces = []

    def counted(logits, labels):
        traces.append(logits.shape)
        return bernoulli.loss(logits, labels)

    counting = type(bernoulli)(
        "counting",
        bernoulli.num_outputs,
        bernoulli.activation,
        counted,
        bernoulli.predict,
    )
    config = Config((6, 5, 1), counting)
    masks = None
    for num_examples in (25, 25, 13):
        data = examples(num_examples)
        state = init_state(KEYS, config)
        for rate in (0.1, 0.2, 0.3):
            state, _ = train_step(state, data, masks, Hyperparams(rate), config=config)
    assert traces == [(25, 1), (13, 1)]


def test_evaluate_agrees_with_float64():
    data = examples(40, 3)
    config = Config((6, 5, 3), categorical)
    params = init_state(KEYS, config).params
    z, _, _ = oracle.forward(oracle.to_float64(params), data.features)
    losses, _ = oracle.categorical(z, data.targets)
    for targets in (data.targets, np.eye(3)[data.targets]):
        score = evaluate(params, Batch(data.features, targets), config=config)
        np.testing.assert_allclose(score.loss, losses.mean(), rtol=1e-6)
        assert int(score.correct) == (z.argmax(axis=1) == data.targets).sum()
        assert int(score.count) == 40


def test_evaluate_moves_data_to_the_parameters_device():
    # The notes' section C: a network on one device, data on another.
    first, second = jax.devices("cpu")[:2]
    config = Config((6, 5, 1), bernoulli)
    params = init_state(KEYS, config).params
    here = jax.device_put(params, first)
    there = jax.device_put(params, second)
    data = jax.device_put(examples(), first)
    want, got = (evaluate(each, data, config=config) for each in (here, there))
    assert got.loss_sum.devices() == {second}
    assert_trees_equal(got, want)


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"targets": np.zeros(9)}, ValueError, r"25 features but targets \[9\]"),
        ({"weights": np.ones(3)}, ValueError, r"weights must be \[25\], got \[3\]"),
        ({"weights": np.ones((25, 1))}, ValueError, r"weights must be .*\[25, 1\]"),
        ({"features": np.zeros((25, 5))}, ValueError, r"must be \[N, 6\]"),
        ({"features": np.zeros((0, 6))}, ValueError, r"N at least 1.*\[0, 6\]"),
        ({"features": np.zeros((25, 6), int)}, TypeError, "features must be floats"),
    ],
)
@pytest.mark.parametrize("batch_size", [None, 8])
def test_steps_and_epochs_check_shapes_while_tracing(
    change, error, message, batch_size
):
    config = Config((6, 1), bernoulli, batch_size=batch_size)
    state, data = init_state(KEYS, config), examples()._replace(**change)
    with pytest.raises(error, match=rf"train_step: batch\b.*{message}"):
        train_step(state, data, None, RATE, config=config)
    with pytest.raises(error, match=rf"train_epochs: data\b.*{message}"):
        train_epochs(state, data, KEYS, RATE, config=config, num_epochs=1)
    with pytest.raises(error, match=rf"train_epochs: validation\b.*{message}"):
        trained(config, examples(), validation=data)


def test_no_epochs_are_refused():
    with pytest.raises(ValueError, match=r"train_epochs: num_epochs must be at least"):
        trained(Config((6, 1), bernoulli), examples(), num_epochs=0)


def test_evaluate_names_what_does_not_fit():
    config = Config((6, 1), bernoulli)
    params = init_state(KEYS, config).params
    x, y = examples()[:2]
    for data, error, message in [
        (
            Batch(x[:, :5], y),
            ValueError,
            r"data\.features must be \[N, 6\].*got \[25, 5\]",
        ),
        (Batch(x[:0], y[:0]), ValueError, r"with N at least 1.*got \[0, 6\]"),
        (Batch(x, y[:24]), ValueError, r"data has 25 features but targets \[24\]"),
        (Batch(np.uint8(x), y), TypeError, "floats, got uint8; divide bytes by 255"),
        (Batch(x, y + 1), ValueError, r"labels must lie in \[0, 1\], got 2"),
        (Batch(x, y, y[:3]), ValueError, r"data\.weights must be \[25\], got \[3\]"),
        (Batch(x, y, 0 * x[:, 0]), ValueError, r"data\.weights .* not all 0"),
        (Batch(x, y, np.arange(25) - 1), ValueError, r"data\.weights .*got -1 to 23"),
        (Batch(x.tolist(), y), TypeError, r"data\.features must be an array.*got list"),
        ((x, y), TypeError, r"data must be a jaxcls\.Batch, got tuple"),
    ]:
        with pytest.raises(error, match=f"(evaluate|sigmoid_bce): .*{message}"):
            evaluate(params, data, config=config)
