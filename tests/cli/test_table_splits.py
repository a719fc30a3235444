"""Splits of a table: each prepared by its own training rows, in the end by one preparation."""

import csv
import json
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest

import jaxcls
from jaxcls.cli import main
from jaxcls.cli.table_data import Origin
from jaxcls.cli.table_splits import pool_of, with_one_preparation
from jaxcls.data import folds
from jaxcls.data.preparation import apply, learn
from jaxcls.data.tables import load_table

FLAGS = ("--dataset", "own.csv", "--target", "sort", "--hidden", "8", "--no-plots")
FLAGS += ("--epochs", "5", "--batch-size", "16", "--learning-rate", "0.05")


@pytest.fixture(autouse=True)
def own_table(tmp_path, monkeypatch):
    """Of 60 rows: numbers, some missing, one nearly always alike, a rare category."""
    monkeypatch.chdir(tmp_path)
    rng = np.random.default_rng(0)
    lines = ["size,gap,flat,kind,hole,sort"]
    for row in range(60):
        gap = "" if row == 7 else f"{rng.normal(300, 50):.3f}"
        kind = "rare" if row in (5, 20) else "xyz"[rng.integers(3)]
        hole = "" if row == 11 else "uv"[rng.integers(2)]
        flat, size = int(row == 30), rng.normal(10 * (row % 2), 3)
        lines.append(f"{size:.3f},{gap},{flat},{kind},{hole},{'ab'[row % 2]}")
    Path("own.csv").write_text("\n".join(lines))


@pytest.fixture
def origin():
    found = load_table("own.csv", "sort")
    return found, Origin(found.preparation, found.columns, found.numbers, None, True)


def splits_of(found, num_seeds=1):
    """Rows of two splits: one without what is rare or missing, and one with all of it."""
    columns = found.columns
    is_odd = columns["gap"].is_missing | columns["hole"].is_missing
    is_odd |= columns["flat"].values == 1
    is_odd |= columns["kind"].values == columns["kind"].words.index("rare")
    plain, odd = np.flatnonzero(~is_odd), np.flatnonzero(is_odd)
    assert len(odd) >= 3
    ways = {"train": [plain, np.concatenate([odd, plain[:10]])]}
    ways["test"] = [odd, plain[10:]]
    return {
        name: [each for each in of for _ in range(num_seeds)]
        for name, of in ways.items()
    }


def test_a_split_is_prepared_by_its_own_training_rows(origin):
    found, whole = origin
    rows = splits_of(found)
    pool = pool_of(whole, rows, 1, found.train)
    names = names_of(found.preparation)
    for split, trained in enumerate(rows["train"]):
        part = {name: column.rows(trained) for name, column in found.columns.items()}
        alone, _ = learn(part, found.preparation.kinds, "sort", {"kind", "hole"})
        want = dict(zip(names_of(alone), apply(alone, found.columns).T, strict=True))
        got = pool.features(split, np.arange(len(found.train.targets)))
        for name, column in zip(names, got.T, strict=True):
            np.testing.assert_array_equal(
                column, want.get(name, 0 * column), err_msg=name
            )
        assert (len(want) < len(names)) == (split == 0)  # "rare" and more are not there
    size = len(found.train.targets)
    for name, given in rows.items():
        for split, own in enumerate(given):
            np.testing.assert_array_equal(pool.rows[name][split], own + split * size)


def names_of(preparation):
    names = [each.name for each in preparation.numeric]
    names += [f"{each.name}?" for each in preparation.numeric if each.indicator]
    for each in preparation.categorical:
        names += [f"{each.name}={word}" for word in each.categories]
        names += [f"{each.name}?"] * each.missing
    return names


def test_the_first_layer_takes_over_what_a_split_does(origin):
    found, whole = origin
    pool = pool_of(whole, splits_of(found), 1, found.train)
    sizes = (found.train.features.shape[1], 6, 1)
    params = [jaxcls.mlp.init(jax.random.key(each), sizes) for each in range(3)]
    stacked = jax.tree.map(lambda *leaves: np.stack(leaves), *params)
    taken = with_one_preparation(stacked, pool, [0, 1, 1])
    every = np.arange(len(found.train.targets))
    for member, split in enumerate([0, 1, 1]):
        want = jaxcls.mlp.apply(params[member], pool.features(split, every))
        one = jax.tree.map(lambda leaf, at=member: leaf[at], taken)
        got = jaxcls.mlp.apply(one, found.train.features)
        np.testing.assert_allclose(got, want, atol=1e-5)
        kept = jaxcls.mlp.apply(params[member], found.train.features)
        assert (
            np.abs(kept - want).max() > 0.01
        )  # or there would be nothing to take over


@pytest.mark.slow
def test_folds_of_a_table_end_to_end(capsys):
    argv = (*FLAGS, "--folds", "3", "--seeds", "2", "--validation-fraction", "0.2")
    assert main.train_multiclass([*argv, "--output-dir", "run"]) == 0
    assert "3 folds of the training set, 2 seeds each" in capsys.readouterr().out
    with open("run/predictions.csv", newline="") as file:
        table = list(csv.DictReader(file))
    source = list(csv.DictReader(Path("own.csv").read_text().splitlines()))
    run, found = jaxcls.load_run("run"), load_table("own.csv", "sort")
    assert sorted(int(line["row"]) for line in table) == sorted(found.numbers)
    place = {number: row for row, number in enumerate(found.numbers.tolist())}
    members = run.members()
    for line in table:
        assert line["label"] == source[int(line["row"]) - 1]["sort"]
        row, fold = place[int(line["row"])], int(line["fold"]) - 1
        both = [
            each.predict_proba(found.train.features[row : row + 1])[0]
            for each in members[2 * fold : 2 * fold + 2]
        ]
        want = [float(line["probability_of_a"]), float(line["probability_of_b"])]
        np.testing.assert_allclose(np.mean(both, axis=0), want, atol=1e-5)
    held = json.loads(Path("run/metrics.json").read_text())["held_out"]
    assert held["predictions"]["count"] == len(table) == 48
    for command in (["--resume", "run"], [*argv, "--output-dir", "again"]):
        assert main.train_multiclass(command) == 0
    assert "run is finished, 6 runs." in capsys.readouterr().out
    assert (
        Path("again/predictions.csv").read_text()
        == Path("run/predictions.csv").read_text()
    )
    assert main.evaluate(["run"]) == main.predict(["run", "own.csv"]) == 0


def test_copies_that_would_be_too_large_are_refused(origin, monkeypatch):
    found, whole = origin
    monkeypatch.setattr("jaxcls.cli.table_splits._LARGEST", 1_000)
    with pytest.raises(
        ValueError, match=r"^2 splits of these data take .* take fewer\.$"
    ):
        pool_of(whole, splits_of(found), 1, found.train)


@pytest.mark.slow
def test_a_sweep_over_folds_of_a_table(capsys):
    """What is held out ranks, and the winner's networks do on it as the sweep's table tells."""
    argv = ("--dataset", "own.csv", "--target", "sort", "--seeds", "2", "--epochs", "5")
    argv += ("--batch-size", "16", "--dropout", "0", "--hidden", "8", "--folds", "3")
    argv = (*argv, "--no-plots", "--learning-rate", "1e-3", "0.05")
    assert main.sweep([*argv, "--output-dir", "sweep"]) == 0
    with open("sweep/members.csv", newline="") as file:
        told = [row for row in csv.DictReader(file) if row["setting"] == "1"]
    found, winner = load_table("own.csv", "sort"), jaxcls.load_run("sweep/winner")
    assert winner.preparation == found.preparation
    splits = folds(found.train.targets, 3, 0)
    for place, (member, row) in enumerate(zip(winner.members(), told, strict=True)):
        rows = splits.test[place // 2]
        right = member.predict(found.train.features[rows]) == found.train.targets[rows]
        assert right.mean() == pytest.approx(float(row["validation_accuracy"]))
    assert np.mean([float(row["validation_accuracy"]) for row in told]) > 0.7
    assert winner.predict("own.csv").shape == (60,)
    capsys.readouterr()
    assert main.compare(["sweep", "--settings", "0", "1"]) == 0
    assert "A setting 0, B setting 1: accuracy" in capsys.readouterr().out
    assert main.sweep(["--resume", "sweep"]) == 0
    assert "sweep is finished, 2 settings." in capsys.readouterr().out
    shutil.copytree("sweep", "cut")
    for name in ("metrics.json", "sweep.csv"):
        Path("cut", name).unlink()
    assert main.sweep(["--resume", "cut"]) == 0
    for name in ("sweep.csv", "members.csv", "winner/model.safetensors"):
        assert Path("cut", name).read_bytes() == Path("sweep", name).read_bytes()
    assert main.evaluate(["sweep/winner"]) == 0


@pytest.mark.slow
def test_a_sweep_of_a_table_ranks_by_a_validation_set():
    argv = ("--dataset", "own.csv", "--target", "sort", "--seeds", "1", "--epochs", "2")
    argv += ("--dropout", "0", "--learning-rate", "1e-3", "1e-2", "--hidden", "8")
    argv += ("--no-plots",)
    assert main.sweep([*argv, "--output-dir", "sweep"]) == 0
    assert jaxcls.load_run("sweep/winner").predict("own.csv").shape == (60,)
    assert main.evaluate(["sweep/winner"]) == 0
