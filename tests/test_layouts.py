"""Every layout gives what the plain one gives, and nothing of the examples is lost."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from own import by_position

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
    layouts,
    packing,
    train_step,
)
from jaxcls.batches import aligned_empty
from jaxcls.layouts import score, train_epochs
from jaxcls.packing import Narrowed, Packed

KEYS = Keys.from_seed(0)


def digits_like(num_examples=4200, num_features=70, dtype=np.float64, num_classes=2):
    """Examples of which some features are always 0, and most are often 0."""
    rng = np.random.default_rng(num_examples)
    share = np.where(np.arange(num_features) % 5, rng.random(num_features), 0)
    lit = rng.random((num_examples, num_features)) < share
    features = np.where(lit, rng.uniform(-1, 1, lit.shape), 0).astype(dtype)
    return Batch(features, rng.integers(0, num_classes, num_examples))


def unpacked(packed, num_features):
    """The features that were packed, in their own order of rows and columns."""
    packed = packed.features
    features = np.full((len(packed.rows), num_features), np.nan)
    start = 0
    for block in packed.blocks:
        np.testing.assert_array_equal(block.features, block.transposed.T)
        size, columns = block.features.shape
        assert columns % 32 == 0 or columns in (num_features, 1)
        whole = np.zeros((size, num_features))
        whole[:, packed.order[:columns]] = block.features
        features[packed.rows[start : start + size]] = whole
        start += size
    assert start == len(packed.rows)
    np.testing.assert_array_equal(np.sort(packed.rows), np.arange(start))
    return features


SPARSE, FEW = digits_like(), digits_like(5)
PACKABLE = {
    "sparse": SPARSE,
    "few": FEW,
    "dense": Batch(np.ones((2100, 33)), np.zeros(2100)),
    "nothing but zeros": Batch(np.zeros((2100, 33)), np.zeros(2100)),
    "one feature": Batch(np.arange(3.0)[:, None], np.zeros(3)),
    "as many features as images have": digits_like(300, 784),
    "very many features": Batch(
        np.eye(3, 70_000) + np.eye(3, 70_000, 69_990), np.zeros(3)
    ),
    "one example": Batch(np.arange(40.0)[None], np.zeros(1)),
    "not finite": Batch(np.array([[0, np.nan], [np.inf, 0]]), np.zeros(2)),
    "on the device": Batch(jnp.asarray(SPARSE.features), jnp.asarray(SPARSE.targets)),
}


@pytest.mark.parametrize("name", PACKABLE)
def test_packing_loses_nothing(name):
    data = PACKABLE[name]
    num_examples, num_features = data.features.shape
    weights = np.arange(num_examples) + 1.0
    packed = layouts.pack(data._replace(weights=weights))
    np.testing.assert_array_equal(unpacked(packed, num_features), data.features)
    rows = packed.features.rows
    np.testing.assert_array_equal(packed.targets, np.asarray(data.targets)[rows])
    np.testing.assert_array_equal(packed.weights, weights[rows])


def test_packing_leaves_zeros_out():
    packed = layouts.pack(SPARSE)
    blocks = packed.features.blocks
    widths = [block.features.shape[1] for block in blocks]
    assert len(widths) == 4 and widths == sorted(widths)
    assert [len(block.features) for block in blocks] == [1344, 1344, 1302, 210]
    assert widths[-1] < 70  # 14 features are 0 in every example
    assert packed.weights is None


SETTINGS = {
    "sgd": ({"optimizer": "sgd"}, {}),
    "momentum, no hidden layer": (
        {"optimizer": "sgd", "momentum": 0.9, "layer_sizes": (70, 1)},
        {},
    ),
    "adam, two hidden layers": ({"layer_sizes": (70, 6, 5, 1)}, {}),
    "adamw": ({"optimizer": "adamw"}, {"weight_decay": 0.3}),
    "dropout": ({"dropout": True}, {"dropout_rate": 0.4}),
    "clipping and a schedule": (
        {"optimizer": "sgd", "schedule": "cosine"},
        {"clip_norm": 0.01},
    ),
    "weights and smoothing": (
        {"likelihood": categorical, "layer_sizes": (70, 8, 3)},
        {"class_weights": (1.0, 2.0, 3.0), "label_smoothing": 0.1},
    ),
    "gaussian": ({"likelihood": gaussian}, {}),
    "an optimizer of one's own": ({"optimizer": by_position, "ema_decay": 0.7}, {}),
    "gelu, and an average": (
        {"activation": "gelu", "ema_decay": 0.7},
        {},
    ),
}


def settings(name):
    of_config, of_hyperparams = SETTINGS[name]
    config = Config(
        **{"layer_sizes": (70, 8, 1), "likelihood": bernoulli, "epochs": 9, **of_config}
    )
    num_classes = 3 if config.likelihood is categorical else 2
    return (
        config,
        Hyperparams(0.05, **of_hyperparams),
        digits_like(num_classes=num_classes),
    )


def assert_trees_close(got, want, tolerance):
    jax.tree.map(
        lambda a, b: np.testing.assert_allclose(a, b, tolerance, tolerance), got, want
    )


def start(config):
    state = init_state(KEYS, config)
    wide = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), state.params)
    return init_state(KEYS, config, wide)


FAST = {"adam, two hidden layers"}


@pytest.mark.parametrize("laid", [layouts.pack, layouts.pad])
@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=() if name in FAST else pytest.mark.slow)
        for name in SETTINGS
    ],
)
def test_laid_out_training_is_plain_training(name, laid, x64):
    config, hyperparams, data = settings(name)

    def trained(data):
        return train_epochs(
            start(config), data, KEYS, hyperparams, config=config, num_epochs=9
        )

    state, history = trained(data)
    got, got_history = trained(laid(data))
    assert_trees_close((got, got_history), (state, history), 1e-11)
    assert_trees_close(
        score(state.params, laid(data), config),
        evaluate(state.params, data, config=config),
        1e-12,
    )


@pytest.mark.slow
def test_packed_training_is_plain_training_where_validation_chooses(x64):
    # The validation set has features that no training example has: they count.
    data, validation = digits_like(), digits_like(300)
    lit = np.random.default_rng(0).random(validation.features.shape)
    validation = Batch(np.where(lit < 0.5, lit, 0), validation.targets)
    config = Config((70, 8, 1), bernoulli, epochs=30, monitor="loss", patience=2)

    def trained(data):
        return train_epochs(
            start(config),
            data,
            KEYS,
            Hyperparams(0.3),
            validation,
            config=config,
            num_epochs=30,
        )

    state, history = trained(data)
    got, got_history = trained(layouts.pack(data))
    assert 0 < int(state.progress.best.epoch) < 28
    assert_trees_close((got, got_history), (state, history), 1e-11)


def test_padding_adds_zeros_alone():
    padded = layouts.pad(SPARSE).features.features
    assert padded.shape == (4352, 70)
    np.testing.assert_array_equal(padded[:4200], SPARSE.features)
    assert not padded[4200:].any()


@pytest.mark.slow
def test_what_is_never_lit_stays_or_decays(x64):
    dead = ~SPARSE.features.any(axis=0)
    assert dead.sum() == 14
    packed = layouts.pack(SPARSE)
    config = Config((70, 8, 1), bernoulli, epochs=4)
    before = start(config)
    for decay, factor in ((None, 1.0), (0.5, (1 - 0.05 * 0.5) ** 4)):
        state, _ = train_epochs(
            before,
            packed,
            KEYS,
            Hyperparams(0.05, weight_decay=decay),
            config=config,
            num_epochs=4,
        )
        kernel = state.params["Dense_0"]["kernel"]
        want = before.params["Dense_0"]["kernel"] * factor
        np.testing.assert_allclose(kernel[dead], want[dead], rtol=1e-13)
        assert (kernel[~dead] != want[~dead]).all()


def test_mini_batches_of_padded_data_are_those_of_plain_data():
    config = Config((70, 8, 1), bernoulli, batch_size=32, epochs=2, dropout=True)
    hyperparams = Hyperparams(0.1, 0.3)
    got, want = (
        train_epochs(
            *(init_state(KEYS, config), data, KEYS, hyperparams),
            config=config,
            num_epochs=2,
        )
        for data in (layouts.pad(SPARSE), SPARSE)
    )
    jax.tree.map(np.testing.assert_array_equal, got, want)


@pytest.mark.slow
def test_vmap_over_packed_data_is_a_loop():
    data = digits_like(dtype=np.float32)
    packed = layouts.pack(data)
    config = Config((70, 8, 1), bernoulli, "sgd", dropout=True)

    def run(rate):
        state = init_state(KEYS, config)
        hyperparams = Hyperparams(rate, 0.3)
        return train_epochs(
            state, packed, KEYS, hyperparams, config=config, num_epochs=3
        )[1]

    rates = jnp.array([0.01, 0.1])
    for got, rate in zip(jax.vmap(run)(rates).loss, rates, strict=True):
        np.testing.assert_allclose(got, run(rate).loss, rtol=1e-6)


def is_packed(data):
    return isinstance(data.features, Packed)


def images(dtype=np.float32):
    """Enough numbers for `fit` to pack them."""
    data = digits_like(4200, 250, dtype)
    return data._replace(features=data.features + (data.targets[:, None] == 1) * 0.1)


@pytest.mark.slow
def test_fit_packs_large_full_batches_alone(monkeypatch):
    params = init_state(KEYS, Config((250, 8, 1), bernoulli)).params
    full = Config((250, 8, 1), bernoulli, "sgd")
    few = Config((250, 8, 1), bernoulli, batch_size=16)
    assert is_packed(layouts.arranged(params, images(), full))
    assert not is_packed(layouts.arranged(params, images(), few))
    small = Batch(images().features[:100], images().targets[:100])
    assert not is_packed(layouts.arranged(params, small, full))

    def fitted():
        reports = []
        state, history = fit(
            KEYS,
            full,
            Hyperparams(0.01),
            images(),
            report_every=50,
            on_report=lambda each: reports.append((each.loss, each.train)),
        )
        return state, history, reports

    got = fitted()
    monkeypatch.setattr(packing, "_LEAST_TO_PACK", 2**62)
    assert_trees_close(got, fitted(), 2e-6)


@pytest.mark.slow
def test_packed_runs_go_on_to_the_same_bits():
    config = Config((250, 8, 1), bernoulli, epochs=6, dropout=True)
    hyperparams, kept = Hyperparams(0.01, 0.3), {}
    straight, _ = fit(KEYS, config, hyperparams, images())
    fit(
        KEYS,
        config,
        hyperparams,
        images(),
        checkpoint_every=3,  # all segments are of one program
        on_checkpoint=kept.__setitem__,
    )
    for state in (kept[3], jax.device_get(kept[3])):
        resumed, _ = fit(KEYS, config, hyperparams, images(), state=state)
        jax.tree.map(np.testing.assert_array_equal, resumed, straight)
    jax.tree.map(np.testing.assert_array_equal, kept[6], straight)


def test_packed_data_lie_beside_the_params():
    one, other = jax.devices("cpu")[:2]
    config = Config((250, 8, 1), bernoulli, epochs=2)
    params = jax.device_put(init_state(KEYS, config).params, other)
    packed = layouts.arranged(params, images(), config)
    assert {leaf.device for leaf in jax.tree.leaves(packed)} == {other}
    state, _ = fit(
        KEYS, config, Hyperparams(), images(), state=init_state(KEYS, config, params)
    )
    assert state.params["Dense_0"]["kernel"].device == other
    # Data that were put somewhere else by hand stay as they are.
    placed = jax.device_put(images(), one)
    assert not is_packed(layouts.arranged(params, placed, config))
    mesh = jax.make_mesh((2,), ("data",))
    everywhere = jax.sharding.NamedSharding(mesh, jax.sharding.PartitionSpec())
    replicated = jax.device_put(init_state(KEYS, config).params, everywhere)
    assert not is_packed(layouts.arranged(replicated, images(), config))


@pytest.mark.slow
@pytest.mark.parametrize("batch_size", [None, 16])
def test_features_may_be_wider_than_params(batch_size, x64):
    config = Config((250, 8, 1), bernoulli, epochs=2, batch_size=batch_size)
    data = images(np.float64)
    state, history = fit(KEYS, config, Hyperparams(), data)
    assert state.params["Dense_0"]["kernel"].dtype == jnp.float32
    assert history.loss.dtype == jnp.float64
    narrow = data._replace(features=data.features.astype(np.float32))
    weighted = narrow._replace(weights=np.ones(len(data.targets)))
    _, history = fit(KEYS, config, Hyperparams(), weighted)
    assert history.loss.dtype == jnp.float64


def test_params_of_another_width_are_refused():
    config = Config((250, 8, 1), bernoulli, "sgd", epochs=1)
    wrong = init_state(KEYS, Config((300, 8, 1), bernoulli, "sgd"))
    with pytest.raises(ValueError, match="state is not one of this config"):
        fit(KEYS, config, Hyperparams(), images(), state=wrong)
    with pytest.raises(ValueError, match=r"evaluate: params take 300 features"):
        evaluate(wrong.params, images(), config=config)
    for data in (images(), layouts.pack(images())):
        with pytest.raises(ValueError, match=r"train_epochs: params take 300 features"):
            train_epochs(wrong, data, KEYS, Hyperparams(), config=config, num_epochs=1)
    with pytest.raises(ValueError, match=r"train_step: params take 300 features"):
        train_step(wrong, images(), None, Hyperparams(), config=config)


def test_what_is_no_batch_is_not_packed():
    features = np.zeros((4, 5))
    for wrong, num_targets, message in (
        (
            np.zeros(4),
            4,
            r"data.features must be \[N, D\] with N at least 1, got \[4\]",
        ),
        (np.zeros((0, 5)), 0, r"with N at least 1, got \[0, 5\]"),
        (features, 3, r"data has 4 features but targets \[3\]"),
    ):
        with pytest.raises(ValueError, match=f"layouts.pack: .*{message}"):
            layouts.pack(Batch(wrong, np.zeros(num_targets)))
    with pytest.raises(TypeError, match="divide bytes by 255 first"):
        layouts.pack(Batch(features.astype(np.uint8), np.zeros(4)))
    with pytest.raises(TypeError, match=r"data must be a jaxcls\.Batch, got ndarray"):
        layouts.pack(features)


def test_packed_data_are_for_epochs_and_scores_alone():
    config, packed = Config((250, 8, 1), bernoulli), layouts.pack(images())
    state = init_state(KEYS, config)
    with pytest.raises(
        TypeError, match=r"fit: train.features must be an array .*, got Packed"
    ):
        fit(KEYS, config, Hyperparams(), packed)
    with pytest.raises(TypeError, match=r"train_step: batch.features must be an array"):
        train_step(state, packed, None, Hyperparams(), config=config)


@pytest.mark.slow
def test_tiny_batches_are_plain_in_another_layout(monkeypatch, x64):
    data = digits_like(100)
    config = Config((70, 8, 1), bernoulli, "adamw", batch_size=16, dropout=True)
    assert layouts.layout_of(data, config) is not layouts.PLAIN

    def trained():
        jax.clear_caches()
        return train_epochs(
            start(config),
            data,
            KEYS,
            Hyperparams(0.05, 0.3),
            config=config,
            num_epochs=2,
        )

    got = trained()
    monkeypatch.setattr(layouts, "_TINY", 0)
    assert layouts.layout_of(data, config) is layouts.PLAIN
    assert_trees_close(got, trained(), 1e-12)
    jax.clear_caches()


@pytest.mark.parametrize(
    "laid, wrong_width",
    [
        (layouts.pack, "packed of 70 features"),
        (layouts.pad, r"data\.features must be \[N, 69\] .* got \[4200, 70\]"),
    ],
)
def test_laid_out_data_of_another_config_are_refused(laid, wrong_width):
    config = Config((69, 1), bernoulli)
    state, data = init_state(KEYS, config), laid(SPARSE)
    with pytest.raises(ValueError, match=wrong_width):
        train_epochs(state, data, KEYS, Hyperparams(), config=config, num_epochs=1)
    with pytest.raises(TypeError, match=r"data\.features must be an array .* got Pa"):
        evaluate(state.params, data, config=config)


def test_packed_data_are_for_full_batches():
    packed = layouts.pack(SPARSE)
    config = Config((70, 1), bernoulli, batch_size=16)
    with pytest.raises(ValueError, match="packed as a full batch of 4200"):
        train_epochs(
            init_state(KEYS, config),
            packed,
            KEYS,
            Hyperparams(),
            config=config,
            num_epochs=1,
        )


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_aligned_memory_is_taken_without_a_copy(dtype, x64):
    cpu = jax.devices("cpu")[0]
    for size in (1, 7, 5000):
        array = aligned_empty((size, 3), np.dtype(dtype))
        array[...] = np.arange(3)
        assert array.shape == (size, 3) and array.flags.c_contiguous
        on_device = jax.device_put(array, cpu)
        assert on_device.unsafe_buffer_pointer() == array.ctypes.data
        np.testing.assert_array_equal(on_device, array)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_narrowed_training_is_plain_training(name, x64):
    config, hyperparams, data = settings(name)
    data = jax.tree.map(lambda leaf: leaf[:200], data)
    config = dataclasses.replace(config, batch_size=32, epochs=3)
    narrowed = layouts.narrow(data)
    assert narrowed.features.features.shape == (200, 64)

    def trained(data):
        return train_epochs(
            start(config), data, KEYS, hyperparams, config=config, num_epochs=3
        )

    assert_trees_close(trained(narrowed), trained(data), 1e-11)


@pytest.mark.slow
def test_narrowed_training_is_plain_training_where_validation_chooses(x64):
    # The validation set has features that no training example has: they count.
    data, validation = digits_like(200), digits_like(300)
    lit = np.random.default_rng(0).random(validation.features.shape)
    validation = Batch(np.where(lit < 0.5, lit, 0), validation.targets)
    config = Config((70, 40, 1), bernoulli, batch_size=64, epochs=6, monitor="loss")

    def trained(data):
        return train_epochs(
            start(config),
            data,
            KEYS,
            Hyperparams(0.3),
            validation,
            config=config,
            num_epochs=6,
        )

    assert_trees_close(trained(layouts.narrow(data)), trained(data), 1e-11)


def test_narrowing_loses_nothing_but_zeros():
    narrowed = layouts.narrow(SPARSE).features
    assert isinstance(narrowed, Narrowed)
    columns = np.concatenate([narrowed.kept, narrowed.dropped])
    np.testing.assert_array_equal(np.sort(columns), np.arange(70))
    np.testing.assert_array_equal(narrowed.features, SPARSE.features[:, narrowed.kept])
    assert not SPARSE.features[:, narrowed.dropped].any()
    assert (
        layouts.narrow(PACKABLE["not finite"]) is PACKABLE["not finite"]
    )  # 2 features, both lit


def test_what_was_narrowed_of_another_width_is_refused():
    config = Config((71, 8, 1), bernoulli, batch_size=32)
    with pytest.raises(ValueError, match="data was narrowed of 70 features"):
        train_epochs(
            init_state(KEYS, config),
            layouts.narrow(SPARSE),
            KEYS,
            Hyperparams(),
            config=config,
            num_epochs=1,
        )
