"""load_run: the classifier of a folder, and predictions in its own labels."""

import dataclasses
import re
import shutil

import jax
import numpy as np
import pytest

import jaxcls
from jaxcls.cli import main
from jaxcls.files import load_arrays, read_json, save_arrays, write_json
from jaxcls.runs import RunFolder

FLAGS = (
    "--dataset",
    "digits",
    "--no-plots",
    "--epochs",
    "30",
    "--classes",
    "8",
    "3",
    "5",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("trained") / "run"
    # At this rate the last epoch is not the best.
    rate = ("--learning-rate", "0.03", "--seed", "1")
    flags = (*FLAGS, "--validation-fraction", "0.2", *rate)
    assert main.train_multiclass([*flags, "--output-dir", str(path)]) == 0
    return path


@pytest.fixture(scope="module")
def test_set():
    return jaxcls.data.load("digits", classes=(8, 3, 5))[1]


def test_a_run_predicts_as_it_was_scored(folder, test_set):
    run = jaxcls.load_run(folder)
    metrics = read_json(folder / "metrics.json")
    assert (run.labels, run.class_names) == ((8, 3, 5), ("8", "3", "5"))
    assert run.epoch == metrics["chosen"]["epoch"]
    assert run.config.layer_sizes == (784, 32, 3) and run.config.monitor == "loss"
    predicted = run.predict(test_set.features)
    true = np.asarray(run.labels)[test_set.targets]
    assert (predicted == true).sum() == metrics["test"]["correct"] > 90
    probabilities = run.predict_proba(test_set.features)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, rtol=1e-6)
    chosen = np.asarray(run.labels)[probabilities.argmax(axis=1)]
    np.testing.assert_array_equal(chosen, predicted)
    losses = -np.log(probabilities[np.arange(len(true)), test_set.targets])
    assert losses.mean() == pytest.approx(metrics["test"]["loss"], rel=1e-5)


def test_bytes_images_and_floats_are_one(folder, test_set):
    run = jaxcls.load_run(folder)
    want = run.predict_proba(test_set.features)
    for features in (
        test_set.features.reshape(-1, 28, 28),
        test_set.features.reshape(-1, 28, 28, 1),
        test_set.features.reshape(-1, 1, 28, 28),
        test_set.features / np.float32(255),
        test_set.features / 255.0,
    ):
        np.testing.assert_array_equal(run.predict_proba(features), want)


@pytest.mark.parametrize(
    "features, message",
    [
        (
            np.zeros((2, 5), np.uint8),
            r"must be \[N, 784\] or \[N, 28, 28\], got \[2, 5\]",
        ),
        (np.zeros((0, 784), np.uint8), "N at least 1"),
        (np.uint8(3), "got one number"),
        (np.zeros((1, 784), int), "must be uint8 or floats, got int64"),
        (np.full((1, 784), np.nan), "must be finite in float32, got nan in row 0, col"),
        (np.full((1, 784), 254.0), r"floats in \[0, 1\] as bytes divided by 255, got"),
        (np.array([["a"] * 784]), "must be uint8 or floats, got <U1"),
    ],
)
def test_features_of_another_kind_are_refused(folder, features, message):
    with pytest.raises(ValueError, match=message):
        jaxcls.load_run(folder).predict(features)


@pytest.mark.slow
def test_a_run_on_floats_takes_floats(tmp_path):
    x = np.random.default_rng(0).normal(size=(40, 3)).astype(np.float32)
    y = np.where(x[:, 0] > 0, -7, 20)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    flags = ["--dataset", str(tmp_path / "own.npz"), "--epochs", "300", "--no-plots"]
    flags += ["--learning-rate", "0.05", "--output-dir", str(tmp_path / "run")]
    assert main.train_binary(flags) == 0
    run = jaxcls.load_run(tmp_path / "run")
    assert (run.predict(x * 1) == y).mean() > 0.9
    with pytest.raises(ValueError, match="must be finite in float32"):
        run.predict(np.full((1, 3), 1e300))
    with pytest.raises(ValueError, match="must be floats, scaled as those"):
        run.predict(np.zeros((1, 3), np.uint8))


def test_numbers_beyond_float32_are_no_prediction(folder, test_set):
    run = jaxcls.load_run(folder)
    huge = jax.tree.map(lambda leaf: np.where(leaf < 0, -3e38, 3e38), run.params)
    huge = jax.tree.map(np.float32, huge)
    with pytest.raises(ValueError, match="give numbers that are not finite; tr"):
        dataclasses.replace(run, params=huge).predict_proba(test_set.features)


def test_a_run_without_a_result_is_its_newest_checkpoint(folder, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(folder, path)
    (path / "metrics.json").unlink()
    run, finished = jaxcls.load_run(path), jaxcls.load_run(folder)
    assert finished.epoch < 30
    assert run.source.parent == path / "checkpoints" and run.epoch == finished.epoch
    jax.tree.map(np.testing.assert_array_equal, run.params, finished.params)
    shutil.rmtree(path / "checkpoints")
    with pytest.raises(
        ValueError, match="no result and no checkpoint yet; resume it with"
    ):
        jaxcls.load_run(path)
    with pytest.raises(ValueError, match=f"{re.escape(str(tmp_path))} holds no run"):
        jaxcls.load_run(tmp_path)


def test_other_files_that_are_damaged_do_not_matter(folder, tmp_path):
    path = tmp_path / "run"
    shutil.copytree(folder, path)
    (path / "last.safetensors").unlink()
    (path / "history.jsonl").write_text("")
    assert jaxcls.load_run(path).epoch == jaxcls.load_run(folder).epoch
    (path / "model.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"model\.safetensors: missing, changed"):
        jaxcls.load_run(path)


CHANGES = {
    "layer_sizes": [784, 33, 3],
    "likelihood": "poisson",
    "labels": [8, 3],
    "class_names": [8, 3, 5],
    "image_shape": [28, 29],
    "features": "int8",
    "optimizer": "lion",
    "batch_size": "many",
}


@pytest.mark.parametrize("name", CHANGES)
def test_a_config_that_does_not_fit_is_refused(folder, tmp_path, name):
    path = tmp_path / "run"
    shutil.copytree(folder, path)
    config = read_json(path / "config.json")
    for changed in (config | {name: CHANGES[name]}, {**config, name: None}):
        if changed[name] is None and name in ("image_shape", "batch_size"):
            continue
        with RunFolder(path):
            write_json(path / "config.json", changed)
        with pytest.raises(ValueError, match=r"^[^\n]*\.$"):
            jaxcls.load_run(path)
    del config[name]
    write_json(path / "config.json", config)
    with pytest.raises(
        ValueError, match=f"its config can't be used: '{name}' is missing"
    ):
        jaxcls.load_run(path)


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("finished", [True, False])
def test_params_that_are_not_finite_are_refused(folder, tmp_path, value, finished):
    path = tmp_path / "run"
    shutil.copytree(folder, path)
    name = "model.safetensors"
    about = path / "metrics.json"
    if not finished:
        about.unlink()
        about = max((path / "checkpoints").glob("*.json"))
        name = f"checkpoints/{about.stem}.safetensors"
    arrays = load_arrays(path / name)
    for each, array in arrays.items():
        if each.endswith("bias"):
            arrays[each] = np.append(array[:-1], np.float32(value))
    sha256, record = save_arrays(path / name, arrays, {}), read_json(about)
    if finished:
        record["sha256_of"][name] = sha256
    else:
        record["sha256_of_arrays"] = sha256
    write_json(about, record)
    with pytest.raises(ValueError, match=f"{name}: the params are not finite"):
        jaxcls.load_run(path)
