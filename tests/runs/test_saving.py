"""save_run: what is trained from Python is read by load_run and by the scripts."""

import dataclasses
import functools
import json
import re
import warnings

import jax
import numpy as np
import pytest
from own import by_position, focal, leaky
from PIL import Image

import jaxcls
from jaxcls import Config, Hyperparams, Keys, bernoulli, fit, gaussian, mlp
from jaxcls.cli import main
from jaxcls.data.diabetes import TARGET, diabetes_table

CONFIG = Config((784, 8, 3), jaxcls.categorical, epochs=20, activation="gelu")


@pytest.fixture(scope="module")
def digits():
    return jaxcls.data.load("digits", classes=(8, 3, 5))


@pytest.fixture(scope="module")
def params(digits):
    train = jaxcls.data.to_batch(digits[0])
    return fit(Keys.from_seed(0), CONFIG, Hyperparams(1e-2), train)[0].params


@pytest.fixture
def path(digits, params, tmp_path):
    jaxcls.save_run(tmp_path / "run", params, CONFIG, train=digits[0], dataset="digits")
    return tmp_path / "run"


def test_it_predicts_as_it_was_trained(path, params, digits):
    run, test = jaxcls.load_run(path), digits[1]
    assert (run.config, run.labels, run.epoch) == (CONFIG, (8, 3, 5), 20)
    jax.tree.map(np.testing.assert_array_equal, run.params, params)
    want = jaxcls.evaluate(params, jaxcls.data.to_batch(test), config=CONFIG)
    right = run.predict(test.features) == np.array(run.labels)[test.targets]
    assert right.sum() == int(want.correct) > 90


def test_the_scripts_read_it(path, digits, tmp_path, capsys):
    picture = tmp_path / "digit.png"
    Image.fromarray(digits[1].features[0].reshape(28, 28)).save(picture)
    assert main.predict([str(path), str(picture), "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["label"] == jaxcls.load_run(path).predict(picture)[0] == 8
    assert main.evaluate([str(path), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["test"]["count"] == len(digits[1].targets)
    assert scores["test"]["accuracy"] > 0.9
    assert main.train_multiclass(["--resume", str(path)]) == 2
    assert "was made by save_run" in capsys.readouterr().err


def test_an_ensemble_of_rows_of_floats(tmp_path):
    config = Config((4, 3, 1), bernoulli)
    keys = Keys.from_seeds(range(5))
    params = jax.vmap(lambda key: mlp.init(key, (4, 3, 1)))(keys.init)
    jaxcls.save_run(
        tmp_path / "run", params, config, seeds=range(5), class_names=("no", "yes")
    )
    run, x = jaxcls.load_run(tmp_path / "run"), np.eye(4, dtype=np.float32)
    assert run.seeds == (0, 1, 2, 3, 4) and run.class_names == ("no", "yes")
    want = jaxcls.ensembles.probabilities(params, x, bernoulli)
    np.testing.assert_array_equal(run.predict_proba(x), want)


def test_functions_of_ones_own_are_wanted_again(tmp_path):
    config = Config((4, 3, 1), focal, by_position, activation=leaky)
    params = mlp.init(jax.random.key(0), (4, 3, 1))
    jaxcls.save_run(tmp_path / "run", params, config)
    with pytest.raises(ValueError, match="'focal'; if it is one of your own, pass it"):
        jaxcls.load_run(tmp_path / "run")
    with pytest.raises(
        ValueError, match="'leaky', which no file keeps; pass it to load"
    ):
        jaxcls.load_run(tmp_path / "run", likelihood=focal)
    with pytest.raises(ValueError, match="got 'tanh'"):
        jaxcls.load_run(tmp_path / "run", likelihood=focal, activation=np.tanh)
    own = {"likelihood": focal, "activation": leaky}
    run, x = jaxcls.load_run(tmp_path / "run", **own), np.eye(4, dtype=np.float32)
    want = focal.activation(mlp.apply(params, x, activation=leaky))
    np.testing.assert_allclose(run.predict_proba(x)[:, 1], want, rtol=1e-6)
    assert run.config == dataclasses.replace(config, optimizer=run.config.optimizer)
    again = jaxcls.load_run(tmp_path / "run", **own, optimizer=by_position)
    assert again.config == config


def test_what_no_name_tells_from_others_is_not_saved(tmp_path):
    params = mlp.init(jax.random.key(0), (4, 3, 1))
    config = Config((4, 3, 1), bernoulli, activation=lambda x: x * 2)
    with pytest.raises(ValueError, match="save_run: activation is a lambda"):
        jaxcls.save_run(tmp_path / "run", params, config)
    likelihood = dataclasses.replace(focal, name="bernoulli")
    config = dataclasses.replace(config, activation="relu", likelihood=likelihood)
    with pytest.raises(ValueError, match="'bernoulli' has a name of jaxcls's own"):
        jaxcls.save_run(tmp_path / "run", params, config)
    assert not (tmp_path / "run").exists()


def test_a_partial_goes_by_the_name_of_its_function(tmp_path):
    gelu = functools.partial(jax.nn.gelu, approximate=True)
    params = mlp.init(jax.random.key(0), (4, 3, 1))
    config = Config((4, 3, 1), bernoulli, activation=gelu, ema_decay=np.float32(0.5))
    jaxcls.save_run(tmp_path / "run", params, config, dataset=tmp_path / "own.npz")
    record = json.loads((tmp_path / "run" / "config.json").read_text())
    assert record["activation"] == {"own": "gelu"}
    assert jaxcls.load_run(tmp_path / "run", activation=gelu).config == config


@pytest.mark.parametrize(
    "own, message",
    [
        ({"activation": leaky}, "activation 'gelu' is no function of one's own; leave"),
        ({"optimizer": by_position}, "optimizer 'adam' is no function of one's own"),
        ({"likelihood": focal}, "'categorical' is none of one's own; leave out"),
        (
            {"likelihood": "focal"},
            "likelihood must be a jaxcls.Likelihood, got 'focal'",
        ),
    ],
)
def test_functions_that_a_run_has_not_are_said(path, own, message):
    with pytest.raises(ValueError, match=message):
        jaxcls.load_run(path, **own)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"train": jaxcls.Batch(np.eye(2), np.ones(2))}, "train must be a Dataset, as"),
        ({"config": 3}, "config must be a jaxcls.Config, got int"),
        ({"class_names": [7, 8, 9]}, "class_names must be texts"),
        ({"seeds": 2}, "seeds must be several integers, got 2"),
        ({"seeds": [1.5, 2]}, "seed must be an integer, got 1.5"),
    ],
)
def test_what_is_of_another_kind_is_said(change, message, params, tmp_path):
    arguments = {"params": params, "config": CONFIG} | change
    with pytest.raises(TypeError, match=f"save_run: {message}"):
        jaxcls.save_run(tmp_path / "run", **arguments)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"seeds": [0, 0]}, "seeds must differ"),
        ({"seeds": [-1]}, "seed must lie in"),
        ({"seeds": (0, 1)}, r"save_run: params/Dense_0/bias must be float32 \[2, 8\]"),
        ({"class_names": ("a", "b")}, "wants 3 names of classes that differ, got"),
        ({"class_names": ("a", "b", "a")}, "wants 3 names of classes that differ, got"),
        ({"config": Config((9, 1), bernoulli)}, r"save_run: has no place for params/D"),
        ({"config": Config((784, 1), gaussian)}, "got 'gaussian' and the target none"),
        ({"train": 3}, "train has 64 features"),
    ],
)
def test_what_does_not_fit_is_said_and_nothing_is_written(
    change, message, params, digits, tmp_path
):
    arguments = {"params": params, "config": CONFIG} | change
    if "train" in change:
        small = digits[0]._replace(features=digits[0].features[:, :64])
        arguments["train"] = small._replace(image_shape=(8, 8))
    with pytest.raises(ValueError, match=message):
        jaxcls.save_run(tmp_path / "run", **arguments)
    assert not (tmp_path / "run").exists()


def test_a_run_that_is_there_is_not_written_over(path, params):
    with pytest.raises(ValueError, match=r"holds a run already"):
        jaxcls.save_run(path, params, CONFIG)
    jaxcls.save_run(path, params, CONFIG, overwrite=True)
    assert jaxcls.load_run(path).image_shape is None


def test_numbers_that_are_not_finite_are_not_saved(params, tmp_path):
    broken = jax.tree.map(lambda leaf: leaf * np.nan, params)
    with pytest.raises(ValueError, match="params are not finite"):
        jaxcls.save_run(tmp_path / "run", broken, CONFIG)


def test_any_mix_of_batches_needs_few_programs_and_gives_the_same(path, digits):
    run, x = jaxcls.load_run(path), digits[1].features
    whole = run.predict_proba(x)
    sizes = np.random.default_rng(0).integers(1, len(x), 30)
    compiled = []

    def listen(event, seconds, **about):
        compiled.append(about.get("fun_name"))

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        for size in sizes:
            np.testing.assert_allclose(
                run.predict_proba(x[:size]), whole[:size], rtol=0, atol=1e-6
            )
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)
    programs = [each for each in compiled if each and "_probabilities" in str(each)]
    assert len(programs) <= 3 * 8  # traced, lowered and compiled for each power of two


def test_reprs_are_short(path):
    run = jaxcls.load_run(path)
    assert re.fullmatch(
        r"Run\('.*', 784-8-3, categorical, classes 8 3 5, epoch 20\)", f"{run}"
    )
    assert repr(CONFIG) == (
        "Config((784, 8, 3), categorical, epochs=20, activation='gelu')"
    )
    assert repr(focal) == "Likelihood('focal')"
    with warnings.catch_warnings(action="error"):
        assert len(repr(jaxcls.sweep.settle({}, CONFIG, Hyperparams()))) < 300


def test_a_table_is_predicted_with_what_was_learned_of_it(tmp_path, capsys):
    table = tmp_path / "own.csv"
    lines = [f"{i % 7},{'xyz'[i % 3]},{'ab'[i % 2]}" for i in range(40)]
    table.write_text("\n".join(["size,kind,sort", *lines]))
    found = jaxcls.data.load_table(table, "sort")
    config = Config((found.preparation.num_features, 3, 1), bernoulli)
    params = mlp.init(jax.random.key(0), config.layer_sizes)
    how = {"train": found.train, "preparation": found.preparation}
    jaxcls.save_run(tmp_path / "run", params, config, **how)
    run = jaxcls.load_run(tmp_path / "run")
    assert run.preparation == found.preparation and run.class_names == ("a", "b")
    rows = np.flatnonzero((run.predict_proba(table) > 0.5)[:, 1])
    assert main.predict([str(tmp_path / "run"), str(table), "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [place for place, each in enumerate(entries) if each["class"] == "b"] == [
        *rows
    ]
    for wrong, message in (
        (found, "must be that of jaxcls.data.load_table, or a jaxcls.data.Standardiz"),
        (found.preparation._replace(numeric=()), "preparation makes 3 features, and"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            jaxcls.save_run(
                tmp_path / "no", params, config, **how | {"preparation": wrong}
            )


def test_arrays_are_predicted_as_they_were_standardised(tmp_path, capsys):
    rows = np.random.default_rng(0).normal(1e9, 3, (20, 2))
    learned = jaxcls.data.Standardization.of(rows)
    config = Config((2, 3, 1), bernoulli)
    params = mlp.init(jax.random.key(0), (2, 3, 1))
    own = tmp_path / "own.npz"
    labels = (rows[:, 0] > rows[:, 1]).astype(int)
    np.savez(own, x_train=rows, y_train=labels, x_test=rows, y_test=labels)
    train, _ = jaxcls.data.load(own, exact=True)
    how = {"train": train, "preparation": learned, "dataset": own}
    jaxcls.save_run(tmp_path / "run", params, config, **how)
    logits = mlp.apply(params, jaxcls.data.to_batch(train, learned).features)
    got = jaxcls.load_run(tmp_path / "run").predict_proba(train.features)
    want = jaxcls.likelihoods.class_probabilities(logits, bernoulli)
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert main.evaluate([str(tmp_path / "run"), "--json"]) == 0
    right = (got.argmax(axis=1) == train.targets).sum()
    assert json.loads(capsys.readouterr().out)["train"]["correct"] == right


def test_an_array_of_words_is_evaluated(tmp_path, digits, params, capsys):
    named = np.array(["oak", "7", "fir"])
    arrays = {"x_train": digits[0].features, "y_train": named[digits[0].targets]}
    arrays |= {"x_test": digits[1].features, "y_test": named[digits[1].targets]}
    np.savez(tmp_path / "own.npz", **arrays)
    train, test = jaxcls.data.load(tmp_path / "own.npz", classes=named.tolist())
    assert train.labels == (2, 0, 1)
    how = {"train": train, "dataset": tmp_path / "own.npz"}
    jaxcls.save_run(tmp_path / "run", params, CONFIG, **how)
    assert main.evaluate([str(tmp_path / "run"), "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)
    assert scores["class_names"] == [*named]
    assert scores["test"]["accuracy"] > 0.9
    assert scores["test"]["count"] == len(test.targets)


def test_a_run_of_numbers_predicts_them_in_their_unit(tmp_path):
    found = jaxcls.data.load_table(diabetes_table(), TARGET, regression=True)
    train, test = map(jaxcls.data.to_batch, (found.train, found.test))
    config = Config((10, 4, 2), jaxcls.normal, batch_size=64, epochs=2)
    state, _ = fit(Keys.from_seed(0), config, Hyperparams(1e-2), train)
    jaxcls.save_run(
        tmp_path / "run",
        state.params,
        config,
        train=found.train,
        preparation=found.preparation,
    )
    run = jaxcls.load_run(tmp_path / "run")
    assert run.target == found.train.target
    logits = mlp.apply(state.params, test.features)
    want = run.target.mean + run.target.scale * np.asarray(logits[:, 0], np.float64)
    np.testing.assert_allclose(run.predict(test.features), want, rtol=1e-6)
    with pytest.raises(
        ValueError, match="got 'bernoulli' and the target 'progression'"
    ):
        jaxcls.save_run(
            tmp_path / "other", {}, Config((10, 1), bernoulli), train=found.train
        )
