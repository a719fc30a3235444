"""`--folds` and `--resplit`: each run is `fit` on its rows alone, and what is told of those held out."""

import contextlib
import io
import json
import shutil
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from many_runs import handlers_kept, metrics, stop_after, table

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    bernoulli,
    categorical,
    chosen_params,
    evaluate,
    fit,
    load_run,
)
from jaxcls.cli import main, seeds
from jaxcls.comparisons import honest_interval, split_summary
from jaxcls.data import load, to_batch
from jaxcls.data.dataset import held_out
from jaxcls.data.splits import folds, resplits
from jaxcls.files import read_json, write_json
from jaxcls.runs import read_blocks
from jaxcls.scores import accuracy_interval

SCRIPT = ("--dataset", "digits", "--hidden", "6", "--epochs", "3", "--no-plots")
MANY = (*SCRIPT, "--batch-size", "32")
CONFIG = Config((784, 6, 1), bernoulli, batch_size=32, epochs=3)
# Folds of 97, 96 and 96 rows, which with dropout on full batches need two programs.
TWO_PROGRAMS = (*SCRIPT, "--dropout", "0.3", "--folds", "3", "--seeds", "3")
FILES = ("seeds.csv", "predictions.csv", "model.safetensors", "history.jsonl")


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with handlers_kept():
        yield


class Crossed(NamedTuple):
    """What two draws of three folds left, with two seeds each."""

    folder: Path
    printed: str


@pytest.fixture(scope="module")
def crossed(tmp_path_factory):
    folder, printed = tmp_path_factory.mktemp("crossed") / "many", io.StringIO()
    argv = (*MANY, "--folds", "3", "--repeats", "2", "--seeds", "2")
    argv += ("--seed", "7", "--split-seed", "5", "--output-dir", str(folder))
    with handlers_kept(), contextlib.redirect_stdout(printed):
        assert main.train_binary(argv) == 0
    return Crossed(folder, printed.getvalue())


def binary(*argv):
    return main.train_binary(argv)


def digits(*classes):
    """The training set and the test set."""
    return load("digits", classes=classes or (0, 1))


def some(data, rows):
    """A batch of these rows alone."""
    return Batch(data.features[rows], data.targets[rows])


def assert_is_fit_alone(line, seed, train, tested, validation=None, config=CONFIG):
    """A line of `seeds.csv` is what `fit` gives on batches that know of no other row."""
    assert int(line["seed"]) == seed and line["status"] == "ok"
    state, history = fit(Keys.from_seed(seed), config, Hyperparams(), train, validation)
    assert int(line["epochs_done"]) == len(history.loss)
    params = chosen_params(state)
    parts = {"train": train, "validation": validation, "held_out": tested}
    for name, part in parts.items():
        if part is None:
            assert f"{name}_loss" not in line
            continue
        wanted = evaluate(params, part, config=config)
        assert int(line[f"{name}_correct"]) == wanted.correct
        accuracy, loss = float(wanted.accuracy), float(wanted.loss)
        assert float(line[f"{name}_accuracy"]) == pytest.approx(accuracy)
        assert float(line[f"{name}_loss"]) == pytest.approx(loss, abs=1e-6)


def test_each_run_is_fit_on_its_rows_alone(crossed):
    train, lines = digits()[0], table(crossed.folder)
    data, splits = to_batch(train), folds(train.targets, 3, 5, repeats=2)
    assert [(line["repeat"], line["fold"]) for line in lines] == [
        (repeat, fold) for repeat in "12" for fold in "123" for _ in range(2)
    ]
    for member in (2, 5, 10):  # in folds of one size, of which `fit` makes one program
        parts = (rows[member // 2] for rows in (splits.train, splits.test))
        assert_is_fit_alone(
            lines[member], 7 + member, *(some(data, rows) for rows in parts)
        )


@pytest.mark.slow
@pytest.mark.parametrize(
    "given",
    [
        {"activation": "tanh"},
        {"optimizer": "sgd", "momentum": 0.9},
        {"schedule": "cosine"},
        {"ema_decay": 0.9},
        {"shuffle": False},
        {"batch_size": None},
    ],
)
def test_each_run_of_three_classes_is_fit_on_its_rows_alone(given):
    flags = [*SCRIPT, "--batch-size", "32", "--folds", "4", "--output-dir", "many"]
    for name, value in given.items():
        flags += [f"--{name.replace('_', '-')}", "full" if value is None else value]
    argv = [str(each) for each in flags]
    if given == {"shuffle": False}:
        argv[-2:] = ["--no-shuffle"]
    assert main.train_multiclass(argv) == 0
    base = {"layer_sizes": (784, 6, 3), "likelihood": categorical, "epochs": 3}
    config = Config(**{**base, "batch_size": 32, **given})
    train = digits(0, 1, 2)[0]
    data, splits = to_batch(train), folds(train.targets, 4, 0)
    for member, line in enumerate(table("many")):
        parts = (some(data, rows[member]) for rows in (splits.train, splits.test))
        assert_is_fit_alone(line, member, *parts, config=config)


def test_each_row_is_predicted_by_the_mean_of_runs_that_did_not_see_it(crossed):
    train, lines = digits()[0], table(crossed.folder, "predictions.csv")
    splits = folds(train.targets, 3, 5, repeats=2)
    for repeat in "12":
        rows = [int(line["row"]) for line in lines if line["repeat"] == repeat]
        assert sorted(rows) == [*range(len(train.targets))]
    members = load_run(crossed.folder).members()
    found = iter(lines)
    for split, rows in enumerate(splits.test):
        own = members[2 * split : 2 * split + 2]
        wanted = np.mean(
            [each.predict_proba(train.features[rows]) for each in own], axis=0
        )
        for row, shares in zip(rows, wanted, strict=True):
            line = next(found)
            where = (int(line["repeat"]), int(line["fold"]), int(line["row"]))
            assert where == (split // 3 + 1, split % 3 + 1, row)
            got = [float(line[f"probability_of_{name}"]) for name in train.class_names]
            np.testing.assert_allclose(got, shares, atol=1e-6)
            assert line["label"] == train.class_names[train.targets[row]]
            assert line["prediction"] == train.class_names[int(np.argmax(got))]
    assert next(found, None) is None


def test_the_metrics_are_those_of_the_tables(crossed):
    found, lines = metrics(crossed.folder), table(crossed.folder)
    accuracies = np.array([float(line["held_out_accuracy"]) for line in lines])
    train = digits()[0]
    splits = folds(train.targets, 3, 5, repeats=2)
    wanted = split_summary(accuracies.reshape(6, 2), splits.ratio)
    got = found["held_out"]["accuracy"]
    for name in wanted._fields:
        if name not in ("low", "high"):
            assert got[name] == pytest.approx(getattr(wanted, name))
    ends = honest_interval(wanted.low, wanted.high, wanted.mean, 96)
    assert (got["low"], got["high"]) == pytest.approx(ends)
    assert found["held_out"]["ratio"] == splits.ratio
    losses = np.array([float(line["held_out_loss"]) for line in lines])
    of_losses = split_summary(losses.reshape(6, 2), splits.ratio)._asdict()
    assert found["held_out"]["loss"] == pytest.approx(of_losses)
    # Runs that share rows they were trained on have no interval that is known.
    assert found["train"]["accuracy"]["low"] is found["train"]["loss"]["high"] is None

    rows = table(crossed.folder, "predictions.csv")
    pooled = found["held_out"]["predictions"]
    correct = sum(row["label"] == row["prediction"] for row in rows)
    assert (pooled["count"], pooled["correct"]) == (2 * len(train.targets), correct)
    assert pooled["accuracy"] == correct / len(rows)
    # Each row was predicted twice, and is one example.
    wanted = accuracy_interval(round(correct / 2), len(train.targets))
    assert pooled["accuracy_interval"] == [*wanted]
    pairs = [(row["label"], row["prediction"]) for row in rows]
    assert pooled["confusion"] == [
        [pairs.count((label, name)) for name in train.class_names]
        for label in train.class_names
    ]

    assert found["test"] is None and "ensemble" not in found
    assert not any("test" in name for name in lines[0])
    assert found["chosen"]["seeds"] == [*range(7, 19)]


def test_what_is_shown(crossed):
    got = metrics(crossed.folder)["held_out"]["accuracy"]
    for told in (
        "2 times 3 folds of the training set, 2 seeds each; the test set is left untouched",
        "12 runs, seeds 7 to 18: ",
        f"held-out accuracy    {got['mean']:.4f}  {got['std']:.4f}  {got['low']:.4f} to ",
        f"std {got['std_of_splits']:.4f} of splits, {got['std_of_seeds']:.4f} of seeds",
        "share rows; of folds of the digits it was wider than it need be",
        "rows held out        ",
        f"run folder      {crossed.folder}",
    ):
        assert told in crossed.printed


@pytest.mark.slow
def test_the_test_set_has_no_part_in_it():
    train, test = digits()
    of_train = {"x_train": train.features, "y_train": train.targets}
    of_train["x_train"] = of_train["x_train"].reshape(-1, 28, 28)
    for name in ("one", "other"):
        x_test = test.features.reshape(-1, 28, 28)
        x_test = 255 - x_test if name == "other" else x_test
        np.savez(f"{name}.npz", **of_train, x_test=x_test, y_test=test.targets)
        argv = (*MANY, "--folds", "3", "--dataset", f"{name}.npz")
        assert binary(*argv, "--output-dir", name) == 0
    for name in FILES:
        assert Path("one", name).read_bytes() == Path("other", name).read_bytes()
    for part in ("train", "held_out"):
        assert metrics("one")[part] == metrics("other")[part]
    assert (
        metrics("one")["config"]["data_sha256"]
        != (metrics("other")["config"]["data_sha256"])
    )


def test_the_folder_is_read_by_the_other_scripts(crossed, capsys):
    folder, (_, test) = str(crossed.folder), digits()
    ensemble = load_run(folder)
    assert len(ensemble.members()) == 12
    shares = ensemble.predict_proba(test.features)
    assert main.evaluate([folder, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["seeds"] == [*range(7, 19)]
    assert told["test"]["count"] == len(test.targets)
    assert told["test"]["correct"] == (shares.argmax(axis=1) == test.targets).sum()
    assert told["ensemble"]["test"]["accuracy"] == told["test"]["accuracy"]
    np.save("some.npy", test.features[:4])
    assert main.predict([folder, "some.npy", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    got = [[*entry["probabilities"].values()] for entry in entries]
    np.testing.assert_allclose(got, shares[:4], atol=1e-6)


@pytest.mark.slow
def test_folds_that_were_stopped_go_on_to_the_same_files(monkeypatch, capsys):
    assert binary(*TWO_PROGRAMS, "--output-dir", "straight") == 0
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert binary(*TWO_PROGRAMS, "--output-dir", "cut") == 143
    assert "train_binary.py --resume cut" in capsys.readouterr().err
    done, problems = read_blocks(Path("cut"))
    assert not problems and 0 < sum(len(runs.epochs) for runs in done.values()) < 9
    assert not Path("cut/seeds.csv").exists()
    for argv, named in (
        (("--folds", "4"), "--folds 4: the run began with 3"),
        (("--repeats", "2"), "--repeats 2: the run began with 1"),
        (("--split-seed", "1"), "--split-seed 1: the run began with none"),
        (("--seeds", "2"), "--seeds 2: the run began with 3"),
    ):
        assert binary("--resume", "cut", *argv) == 2
        assert named in capsys.readouterr().err
    assert binary("--resume", "cut", "--resplit", "3") == 2
    assert "two ways to split" in capsys.readouterr().err

    assert binary("--resume", "cut") == 0
    for name in FILES:
        assert Path("cut", name).read_bytes() == Path("straight", name).read_bytes()
    assert not Path("cut/members").exists()
    for part in ("train", "held_out", "chosen"):
        assert metrics("cut")[part] == metrics("straight")[part]
    capsys.readouterr()
    assert binary("--resume", "cut") == 0
    assert capsys.readouterr().out == "cut is finished, 9 runs.\n"


@pytest.mark.slow
@pytest.mark.parametrize("calls", [1, 2])
@pytest.mark.parametrize(
    "more",
    [
        ("--folds", "3", "--repeats", "4", "--seeds", "3"),
        ("--resplit", "12", "--seeds", "3"),
        ("--folds", "3", "--seeds", "12", "--patience", "1"),
    ],
)
def test_splits_stopped_anywhere_go_on_to_the_same_files(more, calls, monkeypatch):
    argv = (*SCRIPT, "--dropout", "0.3", *more)
    assert binary(*argv, "--output-dir", "straight") == 0
    with monkeypatch.context() as patched:
        stop_after(patched, calls)
        # With many cores it may be done by the second round.
        assert binary(*argv, "--output-dir", "cut") in (
            (143,) if calls == 1 else (143, 0)
        )
    assert binary("--resume", "cut") == 0
    for name in FILES:
        assert Path("cut", name).read_bytes() == Path("straight", name).read_bytes()


@pytest.mark.slow
def test_a_damaged_block_of_splits_is_trained_again(monkeypatch, capsys):
    assert binary(*TWO_PROGRAMS, "--output-dir", "straight") == 0
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert binary(*TWO_PROGRAMS, "--output-dir", "cut") == 143
    block = Path("cut/members/block-000000.safetensors")
    block.write_bytes(block.read_bytes()[:-1] + b"\xff")
    assert binary("--resume", "cut") == 0
    assert "trained again" in capsys.readouterr().err
    for name in FILES:
        assert Path("cut", name).read_bytes() == Path("straight", name).read_bytes()


@pytest.mark.slow
def test_resplits_hold_out_a_fifth_each_time(capsys):
    assert binary(*MANY, "--resplit", "3", "--output-dir", "many") == 0
    train, lines = digits()[0], table("many")
    splits = resplits(train.targets, 3, 0.2, 0)
    data, predicted = to_batch(train), table("many", "predictions.csv")
    assert [line["split"] for line in lines] == ["1", "2", "3"]
    for place, line in enumerate(lines):
        parts = (some(data, rows[place]) for rows in (splits.train, splits.test))
        assert_is_fit_alone(line, place, *parts)
        rows = [
            int(each["row"]) for each in predicted if each["split"] == line["split"]
        ]
        assert rows == splits.test[place].tolist()
    assert splits.ratio == metrics("many")["held_out"]["ratio"] == 58 / 231
    pooled = metrics("many")["held_out"]["predictions"]
    distinct = len(np.unique(np.concatenate(splits.test)))
    wanted = accuracy_interval(round(pooled["accuracy"] * distinct), distinct)
    assert pooled["count"] == 3 * 58 and pooled["accuracy_interval"] == [*wanted]
    printed = capsys.readouterr().out
    assert "3 times a fifth of the training set held out, a seed each" in printed
    assert "held-out accuracy" in printed
    assert "of seeds" not in printed  # which one seed does not tell


@pytest.mark.slow
def test_one_resplit_alone_has_no_interval(capsys):
    argv = (*MANY, "--epochs", "1", "--resplit", "1", "--output-dir", "many")
    assert binary(*argv) == 0
    got = metrics("many")["held_out"]["accuracy"]
    assert got["std"] is got["low"] is got["high"] is got["std_of_splits"] is None
    assert "  none  " in capsys.readouterr().out


def validated(targets, train, seed):
    """Rows trained on and rows that judge each epoch, of those not held out."""
    judges = held_out(targets[train], (0, 1), 0.1, seed)
    return train[~judges], train[judges]


@pytest.mark.slow
def test_patience_has_rows_of_its_own_to_judge_by():
    argv = ("--patience", "1", "--folds", "3", "--split-seed", "4", "--seeds", "2")
    assert binary(*MANY, *argv, "--epochs", "5", "--output-dir", "many") == 0
    train = digits()[0]
    data, splits = to_batch(train), folds(train.targets, 3, 4)
    config = Config(
        *(CONFIG.layer_sizes, bernoulli),
        **{"batch_size": 32, "epochs": 5, "monitor": "loss", "patience": 1},
    )
    lines = table("many")
    for member in (2, 5):  # likewise
        line, tested = lines[member], splits.test[member // 2]
        rows, judges = validated(train.targets, splits.train[member // 2], 4)
        together = np.concatenate([rows, judges, tested])
        assert sorted(together) == [*range(len(train.targets))]  # each in one alone
        assert_is_fit_alone(
            *(line, member, some(data, rows), some(data, tested), some(data, judges)),
            config=config,
        )
    found = metrics("many")
    assert found["chosen"]["by"] == "validation loss"
    assert found["validation"]["accuracy"]["mean"] > 0.5
    sizes = [
        [len(validated(train.targets, rows, 4)[0]) for rows in splits.train],
        [len(rows) for rows in splits.test],
    ]
    ratio = np.mean(np.divide(sizes[1], sizes[0]))
    assert found["held_out"]["ratio"] == pytest.approx(ratio) and ratio > 0.55


@pytest.mark.slow
def test_rows_held_out_reach_no_run():
    train, test = digits()
    tested = folds(train.targets, 3, 0).test[0]
    # Other pictures of the same labels, so that the folds stay as they are.
    zero, one = (tested[train.targets[tested] == label][0] for label in (0, 1))
    x = train.features.copy()
    x[[zero, one]] = 255 - x[[one, zero]]
    of_test = {"x_test": test.features.reshape(-1, 28, 28), "y_test": test.targets}
    for name, features in (("one", train.features), ("other", x)):
        features = features.reshape(-1, 28, 28)
        np.savez(f"{name}.npz", x_train=features, y_train=train.targets, **of_test)
        argv = (*MANY, "--folds", "3", "--patience", "2", "--dataset", f"{name}.npz")
        assert binary(*argv, "--output-dir", name) == 0
    same, changed = table("one"), table("other")
    for column in same[0]:
        if not column.startswith("held_out"):
            assert same[0][column] == changed[0][column]
    assert same[0]["held_out_loss"] != changed[0]["held_out_loss"]
    assert same[1]["train_loss"] != changed[1]["train_loss"]


@pytest.mark.slow
def test_runs_that_diverged_are_left_out_of_their_split(monkeypatch, capsys):
    train_all = seeds._train

    def with_one_diverged(*args):
        runs = train_all(*args)
        finite = np.array(runs.finite)
        finite[2] = False
        steps = np.where(finite, runs.first_nonfinite_step, 8)
        return runs._replace(finite=finite, first_nonfinite_step=steps)

    monkeypatch.setattr(seeds, "_train", with_one_diverged)
    argv = (*MANY, "--folds", "3", "--seeds", "2", "--output-dir", "many")
    assert binary(*argv) == 0
    found, lines = metrics("many"), table("many")
    assert found["diverged"] == [2]
    # Its 193 rows are 7 steps, where those of the first fold are 6.
    assert lines[2]["status"] == "diverged at step 2 of epoch 2"
    own = [float(line["held_out_accuracy"]) for line in lines]
    means = np.array([(own[0] + own[1]) / 2, own[3], (own[4] + own[5]) / 2])
    got = found["held_out"]["accuracy"]
    assert got["mean"] == pytest.approx(means.mean())
    assert got["std"] == pytest.approx(means.std(ddof=1))
    assert "diverged        seeds 2, which are left out" in capsys.readouterr().out
    model = load_run("many")
    assert model.seeds == (0, 1, 3, 4, 5)
    predicted = table("many", "predictions.csv")
    rows = [int(each["row"]) for each in predicted if each["fold"] == "2"]
    wanted = model.members()[2].predict_proba(digits()[0].features[rows])
    got = [float(each["probability_of_1"]) for each in predicted if each["fold"] == "2"]
    np.testing.assert_allclose(got, wanted[:, 1], atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("which", [(0,), (0, 1, 2)])
def test_a_split_without_a_run_says_so(which, monkeypatch, capsys):
    train_all = seeds._train

    def diverged(*args):
        runs = train_all(*args)
        finite = ~np.isin(np.arange(len(runs.finite)), which)
        return runs._replace(finite=finite)

    monkeypatch.setattr(seeds, "_train", diverged)
    assert binary(*MANY, "--folds", "3", "--output-dir", "many") == 2
    told = capsys.readouterr().err.splitlines()[-1]
    some_of_all = (
        "each of the 3 runs diverged; try"
        if len(which) == 3
        else (
            "each run of split 1 diverged; try a smaller learning_rate, or a clip_norm."
        )
    )
    assert some_of_all in told
    assert not Path("many/metrics.json").exists()


def test_flags_of_a_finished_folder_are_its_past(crossed, capsys):
    shutil.copytree(crossed.folder, "many")
    before = {path.name: path.read_bytes() for path in Path("many").iterdir()}
    assert binary("--resume", "many", "--folds", "2") == 2
    assert capsys.readouterr().err.startswith(
        "train_binary.py: --folds 2: the run began with 3, and its past would be another; "
    )
    assert before == {path.name: path.read_bytes() for path in Path("many").iterdir()}
    assert read_json(Path("many/config.json"))["flags"]["repeats"] == 2


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("--folds", "1"), "folds must be at least 2, got 1."),
        (("--folds", "0"), "folds must be at least 2, got 0."),
        (("--folds", "-3"), "folds must be at least 2, got -3."),
        (("--folds", "3", "--repeats", "0"), "repeats must be at least 1, got 0."),
        (
            ("--repeats", "2"),
            "--repeats 2 draws folds so many times; give --folds, or take --resplit.",
        ),
        (
            ("--resplit", "4", "--repeats", "2"),
            "--repeats 2 draws folds so many times; give --folds, or take --resplit.",
        ),
        (
            ("--folds", "3", "--resplit", "4"),
            "--folds and --resplit are two ways to split; give one.",
        ),
        (("--resplit", "0"), "resplit must be at least 1, got 0."),
        (("--folds", "3", "--seeds", "0"), "seeds must be at least 1, got 0."),
        (
            ("--folds", "2", "--seeds", "2", "--seed", "4294967294"),
            "seeds 2 for each of 2 splits from seed 4,294,967,294 on go beyond 2**32-1; take a smaller "
            "seed, or fewer.",
        ),
        (
            ("--folds", "3", "--report-every", "1"),
            "report_every is for a single run; leave it out, or take one seed at a time.",
        ),
        (
            ("--resplit", "3", "--checkpoint-every", "1"),
            "checkpoint_every is for a single run; leave it out, or take one seed at a time.",
        ),
    ],
)
def test_a_wrong_flag_is_one_sentence(argv, sentence, capsys):
    assert binary("--dataset", "digits", *argv, "--output-dir", "many") == 2
    assert capsys.readouterr().err == f"train_binary.py: {sentence}\n"
    assert not any(Path.cwd().iterdir())


@pytest.mark.parametrize(
    ("argv", "told"),
    [
        (
            ("--folds", "200"),
            "class 0 has 143 training examples, and these splits need 200 or more",
        ),
        (
            ("--folds", "500"),
            "class 0 has 143 training examples, and these splits need 500 or more",
        ),
        (("--folds", "3", "--split-seed", "-1"), "seed"),
        (("--resplit", "99999999"), "99,999,999 splits of 289 rows take 115.6 GB "),
        (("--folds", "3", "--validation-fraction", "2"), "validation_fraction must "),
        (("--folds", "3", "--patience", "1", "--validation-fraction", "0"), "patience"),
        (("--folds", "two"), "--folds"),
    ],
)
def test_what_the_data_do_not_allow_is_one_sentence(argv, told, capsys):
    try:
        assert binary(*MANY, *argv, "--output-dir", "many") == 2
    except SystemExit as end:
        assert end.code == 2
    err = capsys.readouterr().err
    assert err.startswith("train_binary.py: ") and err.count("\n") == 1
    assert told in err and err.endswith(".\n")
    assert not any(Path.cwd().iterdir())


@pytest.mark.slow
def test_other_splits_than_it_began_with_are_refused(monkeypatch, capsys):
    # As another version of scikit-learn might draw them.
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert (
            binary(*MANY, "--folds", "5", "--seeds", "2", "--output-dir", "cut") == 143
        )
    config = read_json(Path("cut/config.json"))
    config["sha256_of_rows"] = "0" * 64
    write_json(Path("cut/config.json"), config)
    capsys.readouterr()
    assert binary("--resume", "cut") == 2
    assert (
        "its splits were drawn otherwise, by another version" in capsys.readouterr().err
    )
