"""scripts/evaluate.py: every score equals scikit-learn's, from the folder alone."""

import dataclasses
import json
import os
import shutil

import jax
import numpy as np
import pytest
import sklearn.metrics

import jaxcls
from jaxcls.cli import evaluate as command
from jaxcls.cli import main
from jaxcls.files import read_json, write_json
from jaxcls.runs import score

DIGITS = ("--dataset", "digits", "--no-plots", "--epochs", "8")


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    path = tmp_path_factory.mktemp("runs")
    flags = (*DIGITS, "--validation-fraction", "0.2")
    assert main.train_binary([*flags, "--output-dir", str(path / "two")]) == 0
    classes = ("--classes", "9", "0", "4", "--batch-size", "16")
    assert (
        main.train_multiclass([*flags, *classes, "--output-dir", str(path / "three")])
        == 0
    )
    return path


def evaluated(path, capsys):
    assert main.evaluate([str(path), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("name, classes", [("two", (0, 1)), ("three", (9, 0, 4))])
def test_scores_are_those_of_scikit_learn(runs, name, classes, capsys):
    found = evaluated(runs / name, capsys)
    run, metrics = jaxcls.load_run(runs / name), read_json(runs / name / "metrics.json")
    for part in ("train", "validation", "test"):
        for key in ("correct", "count", "accuracy"):
            assert found[part][key] == metrics[part][key], (part, key)
    test = jaxcls.data.load("digits", classes=classes)[1]
    true, predicted = np.array(classes)[test.targets], run.predict(test.features)
    got = found["test"]
    want = sklearn.metrics.precision_recall_fscore_support(
        true, predicted, labels=list(classes), zero_division=0
    )
    for key, numbers in zip(
        ("precision", "recall", "f1", "support"), want, strict=True
    ):
        np.testing.assert_allclose(got[key], numbers, rtol=1e-12)
    np.testing.assert_array_equal(
        got["confusion"],
        sklearn.metrics.confusion_matrix(true, predicted, labels=list(classes)),
    )
    assert got["accuracy"] == sklearn.metrics.accuracy_score(true, predicted)
    low, high = got["accuracy_interval"]
    assert 0 < low < got["accuracy"] <= high <= 1
    if len(classes) == 2:
        probabilities = run.predict_proba(test.features)[:, 1]
        auc = sklearn.metrics.roc_auc_score(true == classes[1], probabilities)
        assert got["roc_auc"] == pytest.approx(auc, rel=1e-12)
        precision = sklearn.metrics.average_precision_score(
            true == classes[1], probabilities
        )
        assert got["average_precision"] == pytest.approx(precision, rel=1e-12)
        brier = sklearn.metrics.brier_score_loss(true == classes[1], probabilities)
        assert got["one_against_rest"] is None
    else:
        assert got["roc_auc"] is None and got["average_precision"] is None
        p = run.predict_proba(test.features).astype(np.float64)
        p /= p.sum(axis=1, keepdims=True)
        one_hot = np.eye(len(classes))[test.targets]
        for average in ("macro", "weighted"):
            for key, peer in (
                ("roc_auc", sklearn.metrics.roc_auc_score),
                ("average_precision", sklearn.metrics.average_precision_score),
            ):
                score_of = got["one_against_rest"][key][average]
                # Which ranks by log odds, and those here by rounded probabilities.
                want = peer(one_hot, p, average=average)
                assert score_of == pytest.approx(want, abs=1e-4)
        brier = sklearn.metrics.brier_score_loss(test.targets, p)
    assert got["brier"] == pytest.approx(brier, rel=1e-5)
    log_p = run.predict_log_proba(test.features)
    want = sklearn.metrics.log_loss(test.targets, np.exp(log_p))
    assert got["log_loss"] == pytest.approx(want, rel=1e-9)
    for key, peer in (
        ("balanced_accuracy", sklearn.metrics.balanced_accuracy_score),
        ("matthews", sklearn.metrics.matthews_corrcoef),
    ):
        assert got[key] == pytest.approx(peer(true, predicted), rel=1e-12)
    assert got["before"] is None and got["sets"] is None
    assert got["coverage"][0]["accuracy"] == got["accuracy"]
    assert sum(each["count"] for each in got["calibration_bins"]) == got["count"]
    assert found["class_names"] == [str(label) for label in classes]


def test_a_table_for_people(runs, capsys):
    assert main.evaluate([str(runs / "three")]) == 0
    shown = capsys.readouterr().out
    for part in ("train", "validation", "test"):
        count = read_json(runs / "three" / "metrics.json")[part]
        assert f"{part}: {count['correct']:,} of {count['count']:,} right" in shown
    assert "95% interval" in shown and "expected calibration error" in shown
    assert "\nROC AUC" not in shown
    assert "each class against the rest: ROC AUC 0." in shown
    assert "accuracy of the surest answers: 100% 0." in shown


def test_nothing_in_the_folder_changes(runs, capsys):
    before = {path: path.read_bytes() for path in (runs / "two").rglob("*.*")}
    evaluated(runs / "two", capsys)
    assert before == {path: path.read_bytes() for path in (runs / "two").rglob("*.*")}


def test_what_is_wrong_is_said_in_one_line(runs, tmp_path, capsys):
    damaged = tmp_path / "damaged"
    shutil.copytree(runs / "two", damaged)
    with open(damaged / "model.safetensors", "r+b") as file:
        file.seek(-1, os.SEEK_END)
        file.write(b"\xff")
    other = tmp_path / "other"
    shutil.copytree(runs / "two", other)
    config = read_json(other / "config.json") | {"data_sha256": "0" * 64}
    write_json(other / "config.json", config)
    result = read_json(other / "metrics.json")
    write_json(other / "metrics.json", result | {"config": config})
    for argv, message in (
        ([tmp_path / "none"], "none holds no run that can be read"),
        ([damaged], "model.safetensors: missing, changed or damaged"),
        ([other], "the data found (digits) are not those that the run was trained on"),
        ([runs / "two", "--data-dir", tmp_path], "digits has no use for it"),
    ):
        assert main.evaluate([str(each) for each in argv]) == 2
        told = capsys.readouterr().err
        assert told.startswith("evaluate.py: ") and told.count("\n") == 1
        assert message in told


def test_a_class_that_is_never_predicted_scores_0(runs):
    run = jaxcls.load_run(runs / "two")
    test = jaxcls.data.load("digits", classes=(0, 1))[1]
    zeros = test._replace(
        features=test.features[test.targets == 0],
        targets=test.targets[test.targets == 0],
    )
    ones = zeros._replace(targets=zeros.targets + 1)
    both = test._replace(
        features=np.concatenate([zeros.features] * 2),
        targets=np.concatenate([zeros.targets, ones.targets]),
    )
    got = score(run, both.features, both.targets)
    assert got["precision"] == [0.5, 0.0] and got["recall"] == [1.0, 0.0]
    # Not 0.5 exactly: the same image in two places may differ in the last bit.
    assert got["roc_auc"] == pytest.approx(0.5, abs=0.01)


@pytest.mark.slow
@pytest.mark.parametrize("seeds", ["1", "3"])
def test_the_auc_of_probabilities_that_round_to_1_is_that_of_the_logits(
    tmp_path, seeds, capsys
):
    rng = np.random.default_rng(2)
    y = np.arange(200) % 2
    x = np.c_[rng.normal(size=(200, 3)) + y[:, None], np.full(200, 5000.0)]
    x = x.astype(np.float32)
    np.savez(tmp_path / "own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    flags = ("--dataset", str(tmp_path / "own.npz"), "--epochs", "2", "--no-plots")
    flags += ("--likelihood", "bernoulli", "--output-dir", str(tmp_path / "run"))
    assert main.train_binary([*flags, "--seeds", seeds]) == 0
    capsys.readouterr()
    run = jaxcls.load_run(tmp_path / "run")
    odds = []
    for member in run.members():
        z = x.astype(float)
        for layer in ("Dense_0", "Dense_1"):
            kernel, bias = (
                np.float64(member.params[layer][k]) for k in ("kernel", "bias")
            )
            z = (np.maximum(z, 0) if layer == "Dense_1" else z) @ kernel + bias
        odds.append(z[:, 0])
    above, below = (
        np.logaddexp.reduce([-np.logaddexp(0, sign * z) for z in odds])
        for sign in (-1, 1)
    )
    want = sklearn.metrics.roc_auc_score(y, above - below)
    found = evaluated(tmp_path / "run", capsys)["test"]["roc_auc"]
    assert found == pytest.approx(want, abs=2e-3)


def test_a_row_that_is_not_finite_is_named(tmp_path, capsys):
    x = np.random.default_rng(0).normal(size=(20, 3)).astype(np.float32)
    y = np.arange(20) % 2
    arrays = {"x_train": x, "y_train": y, "x_test": x, "y_test": y}
    np.savez(tmp_path / "own.npz", **arrays)
    flags = ("--dataset", str(tmp_path / "own.npz"), "--epochs", "1", "--no-plots")
    assert main.train_binary([*flags, "--output-dir", str(tmp_path / "run")]) == 0
    wrong = x.copy()
    wrong[[7, 9], 2] = np.nan, np.inf
    np.savez(tmp_path / "own.npz", **arrays | {"x_test": wrong})
    capsys.readouterr()
    assert main.evaluate([str(tmp_path / "run")]) == 2
    told = capsys.readouterr()
    assert told.out == "" and told.err == (
        f"evaluate.py: {tmp_path / 'own.npz'}: x_test must be finite in float32, got nan in row 7, "
        "column 2 (2 of 20 rows have such a number); mend these rows or leave them out.\n"
    )


def test_probabilities_that_are_not_finite_are_not_counted(runs, capsys, monkeypatch):
    run = jaxcls.load_run(runs / "two")
    huge = jax.tree.map(
        lambda leaf: np.where(leaf < 0, -3e38, 3e38).astype(np.float32), run.params
    )
    run = dataclasses.replace(run, params=huge)
    monkeypatch.setattr(command, "load_run", lambda _: run)
    assert main.evaluate([str(runs / "two"), "--json"]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert "give numbers that are not finite; train it again" in told.err
    rows = np.ones((3, run.config.layer_sizes[0]), np.float32)
    with pytest.raises(ValueError, match="give numbers that are not finite"):
        run.predict(rows)


@pytest.mark.slow
def test_seeds_that_stopped_by_patience_are_scored_on_their_own_split(tmp_path, capsys):
    path = tmp_path / "seeds"
    argv = ("--dataset", "digits", "--epochs", "2", "--seeds", "2", "--patience", "1")
    assert main.train_binary([*argv, "--no-plots", "--output-dir", str(path)]) == 0
    capsys.readouterr()
    counts = evaluated(path, capsys)
    metrics = json.loads((path / "metrics.json").read_text())
    assert counts["validation"]["count"] == metrics["num_validation"] > 0
