"""--standardize: arrays whose columns are of any scale, from the command line to predictions."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import load_file

import jaxcls
from jaxcls.cli import main
from jaxcls.data import Standardization
from jaxcls.data.npz import load_npz
from jaxcls.files import read_json, write_json

SHORT = ("--dataset", "trees.npz", "--hidden", "8", "--learning-rate", "0.03")
SHORT += ("--no-plots", "--epochs", "6")
NAMES = ("ash", "fir", "oak")


@pytest.fixture(scope="module")
def arrays():
    """Of three classes: a tiny column, one around 1e9, and one that is always the same."""
    rng = np.random.default_rng(0)
    places = np.arange(80) % 3
    rows = rng.normal(0, 0.3, (80, 3)) + places[:, None]
    rows = np.insert(rows * [1e-4, 1, 40] + [0, 1.7e9, 0], 1, 7, axis=1)
    words = np.array(NAMES)[places]
    return {
        **{"x_train": rows[:60], "y_train": words[:60]},
        **{"x_test": rows[60:], "y_test": words[60:]},
    }


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch, arrays):
    monkeypatch.chdir(tmp_path)
    np.savez("trees.npz", **arrays)


def train(*argv, code=0):
    assert main.train_multiclass([*SHORT, *argv]) == code


def test_a_run_of_it_predicts_arrays_as_they_are(arrays, capsys):
    flags = ("--validation-fraction", "0.2", "--epochs", "30", "--standardize")
    train(*flags, "--output-dir", "run")
    assert "--standardize" not in capsys.readouterr().err
    metrics = json.loads(Path("run/metrics.json").read_text())
    assert metrics["classes"] == [*NAMES] and metrics["test"]["accuracy"] > 0.9
    whole, test = load_npz("trees.npz", exact=True)
    of_train, _ = jaxcls.data.split(whole, 0.2, 0)
    learned, run = Standardization.of(of_train.features), jaxcls.load_run("run")
    assert metrics["config"]["standardization"] == learned.record()
    batch = jaxcls.data.to_batch(test, learned)
    logits = jaxcls.mlp.apply(run.params, batch.features)
    want = np.asarray(jaxcls.categorical.predict(logits))
    np.testing.assert_array_equal(run.predict(arrays["x_test"]), want)
    np.save("new.npy", arrays["x_test"])
    for command in (["run", "new.npy", "--json"], ["run", "--json"]):
        capsys.readouterr()
        script = main.predict if "new.npy" in command else main.evaluate
        assert script(command) == 0
        found = json.loads(capsys.readouterr().out)
        if script is main.predict:
            assert [each["class"] for each in found] == [NAMES[each] for each in want]
        else:
            assert found["test"]["correct"] == metrics["test"]["correct"]
            assert found["validation"]["count"] == 12


def test_it_is_named_where_it_would_help(arrays, capsys):
    train("--output-dir", "run")
    told = capsys.readouterr().err
    assert "column 2 of the training features has numbers from 1.7e+09" in told
    assert "or give --standardize." in told and len(told.splitlines()) == 1
    for change, message in (
        (lambda x: x > 0, None),
        (lambda x: (x > x.mean(axis=0)).astype(np.uint8), "bytes from 0 to 1"),
        (lambda x: (x - x.min(axis=0)) / np.maximum(np.ptp(x, axis=0), 1e-9), None),
        (lambda x: np.arange(x.size).reshape(x.shape) % 256, "save them as uint8 if"),
        (lambda x: x * [1, 1, 1e-9, 0.1], "differ in their scale: numbers of column 0"),
    ):
        changed = {
            name: change(each) if name[0] == "x" else each
            for name, each in arrays.items()
        }
        np.savez("trees.npz", **changed)
        train("--epochs", "1", "--output-dir", "run", "--overwrite")
        told = capsys.readouterr().err
        if message is None:
            assert told == ""
        else:
            assert message in told and "--standardize" in told


def test_it_resumes_to_the_same_bits(capsys):
    train("--standardize", "--output-dir", "whole")
    train("--standardize", "--epochs", "3", "--output-dir", "part")
    assert main.train_multiclass(["--resume", "part", "--epochs", "6"]) == 0
    one, two = (load_file(f"{name}/model.safetensors") for name in ("whole", "part"))
    for name, leaf in one.items():
        np.testing.assert_array_equal(leaf, two[name])
    argv = ["--resume", "part", "--no-standardize", "--epochs", "7"]
    assert main.train_multiclass(argv) == 2
    assert "--no-standardize: the run began with True" in capsys.readouterr().err


@pytest.mark.slow
def test_a_picture_is_standardised_as_the_images_were(capsys):
    argv = ("--dataset", "digits", "--classes", "0", "1", "--standardize")
    train(*argv, "--epochs", "8", "--output-dir", "run")
    run, (_, test) = jaxcls.load_run("run"), jaxcls.data.load("digits", classes=(0, 1))
    Image.fromarray(test.features[0].reshape(run.image_shape)).save("digit.png")
    picture = jaxcls.data.read_image(
        "digit.png",
        run.image_shape,
        centre=run.centred,
        light_ground=run.light_ground,
        plain_ground=run.plain_ground,
    )[0]
    mean, scale = run.standardization
    row = (picture.reshape(1, -1) / np.float32(255) - mean) / scale
    logits = jaxcls.mlp.apply(run.params, row.astype(np.float32))
    capsys.readouterr()
    assert main.predict(["run", "digit.png", "--json"]) == 0
    (entry,) = json.loads(capsys.readouterr().out)
    assert entry["class"] == "0" and entry["label"] == int(np.argmax(logits))
    odds = np.log(entry["probabilities"]["1"] / entry["probabilities"]["0"])
    np.testing.assert_allclose(odds, np.ptp(logits) * -1, rtol=1e-3)


@pytest.mark.slow
def test_each_fold_is_standardised_by_its_own_rows(arrays):
    train("--standardize", "--folds", "3", "--seeds", "2", "--output-dir", "run")
    with open("run/predictions.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert sorted(int(line["row"]) for line in table) == [*range(60)]
    run = jaxcls.load_run("run")
    members, (whole, _) = run.members(), jaxcls.data.load("trees.npz", exact=True)
    for line in table:
        fold, row = int(line["fold"]) - 1, int(line["row"])
        assert line["label"] == NAMES[whole.targets[row]]
        both = [
            each.predict_proba(whole.features[row : row + 1])[0]
            for each in members[2 * fold : 2 * fold + 2]
        ]
        want = [float(line[f"probability_of_{name}"]) for name in NAMES]
        np.testing.assert_allclose(np.mean(both, axis=0), want, atol=1e-5)
    learned = Standardization.of(whole.features)
    np.testing.assert_array_equal(run.standardization.mean, learned.mean)
    assert main.train_multiclass(["--resume", "run"]) == main.evaluate(["run"]) == 0


def test_what_cannot_be_standardised_is_said(arrays, capsys):
    Path("own.csv").write_text("size,sort\n1,a\n2,b\n")
    table = ("--dataset", "own.csv", "--target", "sort")
    np.savez("alike.npz", **arrays | {"x_train": np.ones((60, 4))})
    for argv, message in (
        (table, "the numbers of a table are always standardised; leave it out."),
        (("--dataset", "alike.npz"), "all training rows are alike, and nothing can be"),
    ):
        train(*argv, "--standardize", "--output-dir", "run", code=2)
        told = capsys.readouterr().err
        assert message in told and len(told.splitlines()) == 1


def test_a_test_set_that_is_beyond_the_network_is_said(arrays, capsys):
    np.savez("trees.npz", **arrays | {"x_test": arrays["x_test"] * 1e29})
    train("--standardize", "--output-dir", "run", code=2)
    told = capsys.readouterr().err
    assert "the scores of the test set are not finite, though training was" in told


def test_a_damaged_standardization_is_refused(capsys):
    train("--standardize", "--epochs", "1", "--output-dir", "run")
    np.save("new.npy", np.ones((1, 4)))
    record = read_json("run/config.json")
    whole = record["standardization"].copy()
    for change, message in (
        (
            {"mean": whole["mean"][:2], "scale": whole["scale"][:2]},
            "not fit layer_size",
        ),
        ({"scale": [0.0] * 4}, "must hold the mean and the scale"),
    ):
        record["standardization"] = whole | change
        write_json("run/config.json", record)
        assert main.predict(["run", "new.npy"]) == 2
        told = capsys.readouterr().err
        assert message in told and "its config can't be used" in told
