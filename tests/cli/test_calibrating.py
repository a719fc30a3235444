"""--calibrate, --threshold, --costs, --conformal, --abstain: what is learned, kept and told."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from many_runs import handlers_kept, metrics, stop_after

from jaxcls import fit, load_run
from jaxcls.calibration import fit_temperature, tempered
from jaxcls.cli import main, train
from jaxcls.cli.calibrating import HeldOut, calibration_lines, calibration_record
from jaxcls.cli.evaluate import data_of
from jaxcls.cli.flags import MulticlassFlags
from jaxcls.conformal import least_probability
from jaxcls.files import read_json, write_json
from jaxcls.thresholds import choose_threshold

SMALL = ("--hidden", "4", "--epochs", "4", "--batch-size", "32", "--no-plots")
RUNS = {
    "one": ("three", "--calibrate", "--conformal", "0.1"),
    "costs": ("two", "--calibrate", "--costs", "1", "5", "--conformal", "0.3"),
    "aim": ("two", "--calibrate", "--threshold", "balanced", "--seeds", "3"),
    "folds": ("two", "--calibrate", "--threshold", "f1", "--folds", "3"),
    "number": ("two", "--threshold", "0.25"),
}


@pytest.fixture(scope="module")
def own(tmp_path_factory):
    """Arrays of two and of three classes that overlap."""
    folder = tmp_path_factory.mktemp("own")
    rng = np.random.default_rng(0)
    for name, classes in (("two", 2), ("three", 3)):
        y = np.arange(700) % classes
        x = rng.normal(size=(700, 3)) + 1.5 * np.eye(3)[y]
        arrays = {"x_train": x[:500], "y_train": y[:500]}
        arrays |= {"x_test": x[500:], "y_test": y[500:]}
        np.savez(
            folder / f"{name}.npz",
            **{
                k: v.astype(np.float32 if k[0] == "x" else int)
                for k, v in arrays.items()
            },
        )
    return folder


@pytest.fixture(scope="module")
def run_of(own):
    """Folders of runs by their names, each trained once."""

    def folder(name):
        if not (own / name).exists():
            assert trained(own, name, own / name) == 0
        return own / name

    return folder


def argv_of(own, name):
    data, *flags = RUNS[name]
    if not {"--folds", "number"} & {*flags, name}:
        flags += ["--validation-fraction", "0.3"]
    return [*SMALL, "--dataset", str(own / f"{data}.npz"), *flags]


def trained(own, name, path):
    script = main.train_binary if RUNS[name][0] == "two" else main.train_multiclass
    return script([*argv_of(own, name), "--output-dir", str(path)])


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with handlers_kept():
        yield


@pytest.mark.parametrize("name", ["one", "costs", "aim"])
@pytest.mark.slow
def test_what_is_kept_is_what_the_validation_set_says(run_of, name):
    path = run_of(name)
    run, kept = load_run(path), read_json(path / "metrics.json")["calibration"]
    validation = data_of(run).validation
    x, labels = validation.features, validation.targets
    plain = run.as_trained()
    log_p = plain.predict_log_proba(x)
    assert kept["of"] == "validation examples" and kept["count"] == len(labels) == 150
    assert kept["temperature"] == run.temperature == fit_temperature(log_p, labels)
    loss = kept["log_loss"]
    assert loss["after"] < loss["before"] and run.temperature != 1
    assert loss["after"] == pytest.approx(
        -np.log(run.predict_proba(x)[np.arange(150), labels]).mean(), rel=1e-5
    )
    if name in ("one", "costs"):
        error = 0.1 if name == "one" else 0.3
        least = least_probability(plain.predict_proba(x), labels, error)
        assert kept["conformal"] == {"error": error, "least": least}
        assert run.conformal == (error, least)
        held = run.predict_sets(x)[np.arange(150), labels]
        assert 1 - error <= held.mean() <= 1 - error + 0.03
    if name in ("costs", "aim"):
        aim = (1.0, 5.0) if name == "costs" else "balanced"
        second = run.predict_proba(x)[:, 1]
        assert run.threshold == choose_threshold(second, labels, aim)
        np.testing.assert_array_equal(run.predict_places(x), second >= run.threshold)
    else:
        assert run.threshold is None
        np.testing.assert_array_equal(run.predict(x), plain.predict(x))


@pytest.mark.slow
def test_folds_teach_by_the_rows_that_they_hold_out(run_of):
    path = run_of("folds")
    run, kept = load_run(path), read_json(path / "metrics.json")["calibration"]
    with open(path / "predictions.csv") as file:
        rows = list(csv.DictReader(file))
    p = np.array([[float(row[f"probability_of_{k}"]) for k in "01"] for row in rows])
    labels = np.array([int(row["label"]) for row in rows])
    assert (kept["of"], kept["count"]) == ("rows held out", 500)
    temperature = fit_temperature(np.log(p), labels)
    assert run.temperature == pytest.approx(temperature, rel=1e-4)
    second = np.exp(tempered(np.log(p), temperature))[:, 1]
    threshold = choose_threshold(second, labels, "f1")
    assert run.threshold == pytest.approx(threshold, abs=1e-4)


def test_evaluate_tells_before_and_after(run_of, capsys):
    path = run_of("aim")
    capsys.readouterr()
    assert main.evaluate([str(path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    run = load_run(path)
    test = data_of(run).test
    for part, which in (
        (found["test"], run),
        (found["test"]["before"], run.as_trained()),
    ):
        right = which.predict_places(test.features) == test.targets
        assert part["accuracy"] == right.mean()
        log_p = which.predict_log_proba(test.features)
        losses = -log_p[np.arange(200), test.targets]
        assert part["log_loss"] == pytest.approx(losses.mean(), rel=1e-12)
    ensemble = found["ensemble"]["test"]
    assert ensemble["calibration_error"] == found["test"]["calibration_error"]
    before = found["test"]["before"]["calibration_error"]
    assert ensemble["before"]["calibration_error"] == before
    assert ensemble == metrics(path)["ensemble"]["test"]
    assert main.evaluate([str(path)]) == 0
    shown = capsys.readouterr().out
    assert f"before the temperature of {run.temperature:.4f}: log loss" in shown
    assert f"before the threshold, which takes 1 from {run.threshold:.4f} on" in shown
    assert f"({before:.4f} uncalibrated)" in shown
    assert main.evaluate([str(run_of("one"))]) == 0
    shown = capsys.readouterr().out
    assert "sets of classes: 0." in shown and "hold the right one (" in shown


def test_a_number_needs_no_validation_set(run_of):
    run = load_run(run_of("number"))
    assert (run.temperature, run.threshold, run.conformal) == (1, 0.25, None)
    assert metrics(run_of("number"))["calibration"] == {"threshold": 0.25}


@pytest.mark.parametrize(
    "name", ["costs", "aim", pytest.param("folds", marks=pytest.mark.slow)]
)
def test_a_run_cut_off_learns_the_same_bits(own, run_of, name, monkeypatch, capsys):
    with monkeypatch.context() as patched:
        if name == "costs":

            def fit_until(*arguments, on_checkpoint, **settings):
                def checkpoint(epoch, state):
                    on_checkpoint(epoch, state)
                    raise OSError(5, "the power is off")

                return fit(*arguments, on_checkpoint=checkpoint, **settings)

            patched.setattr(train, "fit", fit_until)
            assert trained(own, name, "run") == 2
        else:
            stop_after(patched, 1)
            assert trained(own, name, "run") == 143
    assert not Path("run/metrics.json").exists()
    capsys.readouterr()
    assert main.train_binary(["--resume", "run"]) == 0
    told, kept = capsys.readouterr().out, metrics("run")["calibration"]
    for line in calibration_lines(kept, "01"):
        assert line in told
    assert kept == metrics(run_of(name))["calibration"]
    # A finished run keeps it, and its flags are its own.
    before = Path("run/metrics.json").read_bytes()
    assert main.train_binary(["--resume", "run"]) == 0
    assert main.train_binary(["--resume", "run", "--no-calibrate"]) == 2
    assert Path("run/metrics.json").read_bytes() == before


def test_predict_is_unsure_and_tells_sets(own, run_of, capsys):
    path = run_of("one")
    x = np.load(own / "three.npz")["x_test"][:60]
    np.save("x.npy", x)
    capsys.readouterr()
    least = float(np.median(load_run(path).predict_proba(x).max(axis=1)))
    argv = [str(path), "x.npy", "--abstain", str(least)]
    assert main.predict([*argv, "--json", "--output", "table.csv"]) == 0
    entries, run = json.loads(capsys.readouterr().out), load_run(path)
    p, sets = run.predict_proba(x), run.predict_sets(x)
    unsure = p.max(axis=1).astype(float) < least
    assert unsure.sum() == 30
    for row, entry in enumerate(entries):
        label = None if unsure[row] else int(p[row].argmax())
        assert entry["label"] == label
        assert entry["class"] == ("unsure" if label is None else str(label))
        assert [*entry["probabilities"].values()] == p[row].tolist()
        assert entry["set"] == [str(k) for k in np.flatnonzero(sets[row])]
    with open("table.csv") as file:
        rows = list(csv.DictReader(file))
    assert [row["prediction"] for row in rows] == [entry["class"] for entry in entries]
    assert [row["set"] for row in rows] == [";".join(entry["set"]) for entry in entries]
    assert main.predict(argv) == 0
    lines = capsys.readouterr().out.splitlines()
    assert ["  unsure  0." in line for line in lines] == unsure.tolist()
    assert all("  one of " in line or "  none of the" in line for line in lines)


def test_a_run_that_is_not_finished_says_that_it_is_not_calibrated(run_of, capsys):
    shutil.copytree(run_of("costs"), "run")
    Path("run/metrics.json").unlink()
    np.save("x.npy", np.zeros((1, 3), np.float32))
    capsys.readouterr()
    assert main.predict(["run", "x.npy"]) == 0
    told = capsys.readouterr()
    assert "the run is not finished; it is taken as of run/checkpoints" in told.err
    assert "without the calibration that ends it." in told.err
    run = load_run("run")
    assert (run.temperature, run.threshold, run.conformal) == (1, None, None)
    with pytest.raises(ValueError, match="the run keeps no sets; train it with --conf"):
        run.predict_sets(np.zeros((1, 3), np.float32))


@pytest.mark.parametrize(
    "script, flags, message",
    [
        ("two", "--calibrate", "--calibrate needs a validation set; give --validation"),
        ("two", "--threshold f1", "--threshold f1 needs a validation set; give --val"),
        ("two", "--costs 1 2", "--costs needs a validation set; give --validation-fr"),
        ("two", "--conformal 0.1", "--conformal needs a validation set; give --valid"),
        ("two", "--conformal 0", "--conformal must lie above 0 and below 1, got 0.0"),
        ("two", "--conformal 1.5", "--conformal must lie above 0 and below 1, got 1."),
        ("two", "--conformal 0.1 --folds 3", "--conformal needs examples that no netw"),
        ("two", "--threshold 1.5", "--threshold must lie in [0, 1], got 1.5"),
        ("two", "--threshold 0.5 --costs 1 2", "--threshold and --costs are two ways"),
        ("two", "--costs 0 0", "--costs must be two numbers of at least 0, not both 0"),
        ("two", "--costs 1 -1", "--costs must be two numbers of at least 0, not both "),
        ("three", "--threshold 0.5", "--threshold is for two classes, got 3: 0 1 2; l"),
        ("three", "--costs 1 2 --folds 3", "--costs is for two classes, got 3: 0 1 2"),
    ],
)
def test_flags_that_cannot_be_are_refused(own, script, flags, message, capsys):
    command = main.train_binary if script == "two" else main.train_multiclass
    data = ("--dataset", str(own / f"{script}.npz"), "--output-dir", "run")
    assert command([*data, *flags.split()]) == 2
    told = capsys.readouterr().err
    assert message in told and told.count("\n") == 1
    assert not Path("run").exists()


def test_abstain_that_cannot_be_is_refused(run_of, capsys):
    np.save("x.npy", np.zeros((1, 3), np.float32))
    for value in ("0", "1.5", "nan"):
        assert main.predict([str(run_of("one")), "x.npy", "--abstain", value]) == 2
        assert (
            "--abstain must lie above 0 and at most be 1, got"
            in capsys.readouterr().err
        )


def held_out(log_p, labels):
    log_p = np.asarray(log_p, float)
    return HeldOut("validation examples", np.exp(log_p), log_p, np.asarray(labels))


def test_a_class_that_none_of_the_examples_has_is_named():
    log_p = tempered(np.random.default_rng(0).normal(size=(9, 3)), 1)
    flags = MulticlassFlags(calibrate=True, validation_fraction=0.1)
    with pytest.raises(
        ValueError, match="class b has none of the 9 validation examples"
    ):
        calibration_record(flags, held_out(log_p, [0, 2] * 4 + [0]), ("a", "b", "c"))


def test_examples_that_are_all_right_leave_the_temperature(capsys):
    flags = MulticlassFlags(calibrate=True, conformal=0.1, validation_fraction=0.1)
    log_p = tempered(3 * np.eye(2), 1)
    found = calibration_record(flags, held_out(log_p, [0, 1]), ("a", "b"))
    assert found["temperature"] == 1 and found["conformal"]["least"] == 0
    told = capsys.readouterr().err
    assert (
        "the temperature stays 1, since of validation examples each of the 2 righ"
        in told
    )
    assert (
        "--conformal 0.1: 2 validation examples are too few, and each set holds" in told
    )


WRONG = {
    "temperature": (0, -1.0, "1", 10**400, None),
    "threshold": (1.5, "f1", True),
    "conformal": (0.1, {"error": 0.1}, {"error": 2, "least": 0.1}),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_calibration_that_cannot_be_is_refused(run_of, name):
    shutil.copytree(run_of("costs"), "run")
    whole = read_json(Path("run/metrics.json"))
    for value in WRONG[name]:
        changed = {**whole["calibration"], name: value}
        write_json(Path("run/metrics.json"), whole | {"calibration": changed})
        with pytest.raises(
            ValueError, match=f"^run/metrics.json: calibration: {name} m"
        ):
            load_run("run")
    write_json(Path("run/metrics.json"), whole | {"calibration": [1]})
    with pytest.raises(ValueError, match="calibration: it must be temperature, thresh"):
        load_run("run")


def test_a_threshold_of_three_classes_is_refused(run_of):
    shutil.copytree(run_of("one"), "run")
    whole = read_json(Path("run/metrics.json"))
    changed = {**whole["calibration"], "threshold": 0.5}
    write_json(Path("run/metrics.json"), whole | {"calibration": changed})
    with pytest.raises(ValueError, match="threshold must be null of more classes than"):
        load_run("run")
