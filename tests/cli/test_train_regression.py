"""Numbers from the command line: train, resume, evaluate, predict, seeds and folds."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from sklearn.datasets import load_diabetes
from sklearn.metrics import mean_absolute_error, r2_score, root_mean_squared_error
from sklearn.model_selection import train_test_split

import jaxcls
from jaxcls.cli import main
from jaxcls.data.diabetes import TARGET, diabetes_table
from jaxcls.data.tables import load_table
from jaxcls.runs import score

SHORT = ("--target", "crop", "--hidden", "8", "--no-plots", "--learning-rate", "0.01")
OFFSET = 5_000.0


def lines_of(num_rows, seed=0, offset=OFFSET):
    """A crop in kg, by rain, soil and chance."""
    rng, lines = np.random.default_rng(seed), ["rain,soil,crop"]
    for row in range(num_rows):
        rain, soil = rng.normal(30, 10), rng.integers(2)
        crop = offset + 20 * rain + 300 * soil + 40 * rng.normal()
        shown = "" if row % 13 == 5 else f"{rain:.3f}"
        lines.append(f"{shown},{('clay', 'sand')[soil]},{crop:.2f}")
    return lines


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("crops.csv").write_text("\n".join(lines_of(200)))


def train(*argv, code=0, dataset=("--dataset", "crops.csv"), folder="run"):
    where = () if folder is None else ("--output-dir", folder)
    assert main.train_regression([*map(str, (*dataset, *argv, *where))]) == code


def table(name):
    return list(csv.DictReader(Path(name).read_text().splitlines()))


def metrics(folder="run"):
    return json.loads(Path(folder, "metrics.json").read_text())


def said(capsys, code, *argv):
    """The one line on standard error with which a command ends."""
    capsys.readouterr()
    train(*argv, code=code)
    *notes, line = capsys.readouterr().err.splitlines()
    assert line.startswith("train_regression.py: ")
    assert all("is the test set." in note for note in notes)
    return line


def test_scores_are_those_of_scikit_learn_in_the_targets_unit(capsys):
    train(*SHORT, "--epochs", 60, "--validation-fraction", 0.1)
    told = capsys.readouterr()
    assert "a fifth, 40 of 200 rows drawn from seed 0, is the test set" in told.err
    assert "target crop: 144 train, 16 validation, 40 test | 4-8-1" in told.out
    run, data = jaxcls.load_run("run"), load_table("crops.csv", "crop", regression=True)
    rows = train_test_split(np.arange(200), test_size=0.2, random_state=0)[1]
    given = table("crops.csv")
    wanted = np.array([float(given[row]["crop"]) for row in rows])
    # Those that validation takes teach nothing: their preparation is another.
    assert run.target != data.test.target
    Path("test.csv").write_text(
        "\n".join(
            ["rain,soil", *(f"{given[r]['rain']},{given[r]['soil']}" for r in rows)]
        )
    )
    got = run.predict("test.csv")
    result = metrics()["test"]
    assert result["count"] == 40
    assert result["rmse"] == pytest.approx(
        root_mean_squared_error(wanted, got), rel=1e-5
    )
    assert result["mae"] == pytest.approx(mean_absolute_error(wanted, got), rel=1e-5)
    assert result["r_squared"] == pytest.approx(r2_score(wanted, got), rel=1e-5)
    assert result["r_squared"] > 0.8 and result["rmse"] < 150
    for name in ("r_squared", "rmse", "mae"):
        low, high = result[f"{name}_interval"]
        assert low < result[name] < high
    assert f"RMSE {result['rmse']:#.4g} (" in told.out
    history = [
        json.loads(line) for line in Path("run/history.jsonl").read_text().splitlines()
    ]
    assert {"loss", "validation_loss", "validation_r_squared"} <= history[0].keys()
    assert "train_r_squared" in history[-1]


def test_diabetes_is_the_default_and_scikit_learns_rows_are_held_out():
    train("--epochs", 2, "--no-plots", dataset=())
    found = load_diabetes(scaled=False)
    held = train_test_split(found.target, test_size=0.2, random_state=0)[1]
    data = load_table(diabetes_table(), TARGET, regression=True)
    target = data.test.target
    got = np.sort(target.mean + target.scale * data.test.targets)
    np.testing.assert_allclose(got, np.sort(held), rtol=1e-6)
    assert metrics()["config"]["target"]["name"] == TARGET
    assert metrics()["num_validation"] == 36  # of patience, which is on


def test_normal_tells_a_spread_whose_bands_hold_most_targets(capsys):
    train(*SHORT, "--likelihood", "normal", "--epochs", 80, "--patience", "None")
    result = metrics()["test"]
    spread = result["spread"]
    assert spread["between"] == 0 and spread["within"] == pytest.approx(spread["std"])
    assert 0.7 < result["coverage"]["share"] <= 1
    assert "95% bands       hold" in capsys.readouterr().out
    run = jaxcls.load_run("run")
    moments = run.moments("crops.csv")
    assert moments.std.shape == (200,) and (moments.std > 0).all()


def test_seeds_are_an_ensemble_whose_spread_has_two_parts(capsys):
    train(*SHORT, "--likelihood", "normal", "--epochs", 20, "--seeds", 3)
    told = capsys.readouterr().out
    result = metrics()
    together = result["ensemble"]["test"]
    spread = together["spread"]
    assert spread["between"] > 0
    assert spread["std"] ** 2 == pytest.approx(
        spread["within"] ** 2 + spread["between"] ** 2
    )
    assert together["num_networks"] == 3 and "ensemble of 3   R squared" in told
    rows = table("run/seeds.csv")
    mean = np.mean([float(row["test_rmse"]) for row in rows])
    assert result["test"]["rmse"]["mean"] == pytest.approx(mean)
    assert together["alone"]["rmse"] == pytest.approx(mean, rel=1e-4)
    run = jaxcls.load_run("run")
    alone = np.mean([each.predict("crops.csv") for each in run.members()], axis=0)
    np.testing.assert_allclose(run.predict("crops.csv"), alone, rtol=1e-6)


def test_folds_predict_each_row_once_by_networks_that_did_not_train_on_it(capsys):
    train(*SHORT, "--epochs", 20, "--folds", 4, "--seeds", 2, "--patience", "None")
    held = metrics()["held_out"]
    rows = table("run/predictions.csv")
    assert len({row["row"] for row in rows}) == len(rows) == 160
    given = table("crops.csv")
    for row in rows:
        value = float(given[int(row["row"]) - 1]["crop"])
        assert float(row["value"]) == pytest.approx(value, rel=1e-6)
    pairs = [(float(row["value"]), float(row["prediction"])) for row in rows]
    pooled = held["predictions"]
    assert pooled["rmse"] == pytest.approx(
        root_mean_squared_error(*zip(*pairs, strict=True))
    )
    assert held["rmse"]["low"] < held["rmse"]["mean"] < held["rmse"]["high"]
    told = capsys.readouterr().out
    assert "held-out RMSE" in told
    assert "by Nadeau and Bengio, for trainings that share rows\n" in told
    assert "digits" not in told


def test_a_stopped_run_resumes_to_the_same_bits():
    train(*SHORT, "--epochs", 8, "--patience", "None")
    train(*SHORT, "--epochs", 5, "--patience", "None", folder="half")
    resumed = ("--resume", "half", "--epochs", 8)
    train(*resumed, dataset=(), folder=None)
    one, other = (Path(name, "model.safetensors") for name in ("run", "half"))
    assert one.read_bytes() == other.read_bytes()
    assert metrics("half")["test"] == metrics()["test"]


@pytest.mark.slow
def test_a_study_resumes_from_its_blocks(capsys):
    train(*SHORT, "--epochs", 4, "--seeds", 3)
    before = metrics()
    capsys.readouterr()
    train("--resume", "run", dataset=(), folder=None)
    assert "run is finished, 3 runs." in capsys.readouterr().out
    Path("run/metrics.json").unlink()
    train("--resume", "run", dataset=(), folder=None)
    assert metrics()["ensemble"] == before["ensemble"]


def test_evaluate_and_predict_tell_numbers(capsys):
    train(*SHORT, "--likelihood", "normal", "--epochs", 10)
    shutil.move("crops.csv", "moved.csv")
    capsys.readouterr()
    assert main.evaluate(["run", "--dataset", "moved.csv"]) == 0
    assert "test            R squared" in capsys.readouterr().out
    assert main.evaluate(["run", "--dataset", "moved.csv", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["test"]["rmse"] == pytest.approx(metrics()["test"]["rmse"])
    assert told["target"]["name"] == "crop"
    Path("new.csv").write_text("rain,soil\n30,clay\n,peat\n")
    assert main.predict(["run", "new.csv", "--output", "out.csv"]) == 0
    got = capsys.readouterr()
    assert "new.csv, row 1  " in got.out and " std " in got.out
    assert "has 'peat' in row 2, which no training row has" in got.err
    rows = table("out.csv")
    assert rows[0].keys() == {
        *("input", "row", "prediction", "std", "std_within", "std_between")
    }
    run = jaxcls.load_run("run")
    assert float(rows[0]["prediction"]) == run.predict("new.csv")[0]
    assert "target crop" in repr(run)


def test_a_network_that_tells_its_mean_alone_tells_no_spread(capsys):
    train(*SHORT, "--epochs", 2)
    Path("new.csv").write_text("rain,soil\n30,clay\n")
    assert main.predict(["run", "new.csv", "--output", "out.csv"]) == 0
    assert table("out.csv")[0]["std"] == ""
    capsys.readouterr()
    assert main.predict(["run", "new.csv", "--json"]) == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert told["prediction"] == float(table("out.csv")[0]["prediction"])
    assert {told[name] for name in ("std", "std_within", "std_between")} == {None}


def test_a_test_file_is_scored_in_its_own_unit():
    Path("later.csv").write_text("\n".join(lines_of(50, seed=9)))
    train(*SHORT, "--epochs", 40, "--test-dataset", "later.csv")
    run = jaxcls.load_run("run")
    wanted = [float(row["crop"]) for row in table("later.csv")]
    got = root_mean_squared_error(wanted, run.predict("later.csv"))
    assert metrics()["test"]["rmse"] == pytest.approx(got, rel=1e-5)


def test_methods_of_classes_say_that_there_are_none():
    train(*SHORT, "--epochs", 1)
    run = jaxcls.load_run("run")
    for method in (run.predict_proba, run.log_odds, run.uncertainty):
        with pytest.raises(ValueError, match="predicts a number, crop, and no classes"):
            method("crops.csv")
    data = load_table("crops.csv", "crop", regression=True)
    assert score(run, data.test.features, data.test.targets)["count"] == 40


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--target", "soil"], "must hold numbers to be predicted, got words such as"),
        (["--target", "corn"], "has no column 'corn' to be the target"),
        ([], "name the column of numbers to predict with --target"),
        ([*SHORT, "--folds", "200"], "these splits need 200 or more"),
        ([*SHORT, "--seeds", "0"], "seeds must be at least 1"),
    ],
)
def test_wrong_flags_are_one_sentence(capsys, argv, message):
    assert message in said(capsys, 2, *argv)


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (["a,y", *(f"{i},3" for i in range(20))], "is 3 in every training row"),
        (["a,y", "1,2", "2,3"], "must have numbers in 4 rows or more, got 2"),
        (["a,y", *(f"{i},{i}" for i in range(9)), "1,inf"], "has an infinite number"),
        (["a,y", *(f"{i},{i}" for i in range(9)), "1,1e200"], "has 1e+200, and"),
        (["a,y", *(f"{i}," for i in range(9))], "in 4 rows or more, got 0"),
    ],
)
def test_targets_that_teach_nothing_are_one_sentence(capsys, lines, message):
    Path("crops.csv").write_text("\n".join(lines))
    assert message in said(capsys, 2, "--target", "y")


def test_flags_of_classes_are_none_here(capsys):
    for flag in ("--class-weights", "--label-smoothing", "--classes", "--monitor"):
        with pytest.raises(SystemExit):
            main.train_regression([flag, "1"])
        assert "Unrecognized" in capsys.readouterr().err
    train(dataset=("--dataset", "mnist"), code=2)
    assert "for classes take train_multiclass.py" in capsys.readouterr().err


@pytest.mark.slow
def test_airfoil_like_noise_is_learned_by_ten_deep_networks():
    # Friedman's first function (1991): a published one of five inputs, noise of 1.
    from sklearn.datasets import make_friedman1

    x, y = make_friedman1(1_000, noise=1.0, random_state=0)
    lines = ["a,b,c,d,e,f,g,h,i,j,y"]
    lines += [
        ",".join(f"{each:.6f}" for each in (*row, value))
        for row, value in zip(x, y, strict=True)
    ]
    Path("crops.csv").write_text("\n".join(lines))
    train(
        *("--target", "y", "--seeds", 10, "--hidden", 16, 16, "--optimizer", "adamw"),
        *("--epochs", 300, "--patience", 20, "--learning-rate", 0.003),
        *("--likelihood", "normal"),
    )
    result = metrics()["ensemble"]["test"]
    assert result["rmse"] < 1.5  # the noise alone is 1, a linear model gives 2.4
    assert 0.88 < result["coverage"]["share"] < 0.99


@pytest.mark.slow
def test_two_studies_are_compared_by_their_r_squared(capsys):
    same = (*SHORT, "--folds", 3, "--patience", "None")
    train(*same, "--epochs", 30)
    train(*same, "--epochs", 1, folder="other")
    capsys.readouterr()
    assert main.compare(["run", "other"]) == 0
    first, second = (
        metrics(name)["held_out"]["r_squared"]["mean"] for name in ("run", "other")
    )
    told = capsys.readouterr().out
    assert f"A run, B other: r squared {first:.4f} and {second:.4f}, 3 splits" in told
    assert main.compare(["run", "other", "--test"]) == 2
    assert "counts right answers, and run predicts numbers" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["--seeds", 2], ["--folds", 4]])
@pytest.mark.slow
def test_a_score_that_few_rows_do_not_tell_is_none(capsys, argv):
    lines = ["a,y", *(f"{i},{i * i}" for i in range(5))]
    Path("crops.csv").write_text("\n".join(lines))
    train("--target", "y", "--epochs", 2, "--patience", "None", "--no-plots", *argv)
    scores = metrics()["held_out" if "--folds" in argv else "test"]
    told = scores["r_squared"]
    assert told is None or set(told.values()) == {None}
    assert scores["rmse"] is not None
    assert "R squared" in capsys.readouterr().out


@pytest.mark.parametrize("how", ["straight", "--seeds", "--folds"])
@pytest.mark.slow
def test_arrays_of_numbers_are_learned_and_told_in_their_unit(how, capsys):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(150, 3)) * (1, 1_000, 1e-3) + (0, 1e6, 0)
    y = 1e4 + x @ (10, 0.05, 1e4) + rng.normal(size=150)
    parts = {"x_train": x[:120], "y_train": y[:120], "x_test": x[120:]}
    np.savez("own.npz", **parts, y_test=y[120:, None])
    argv = () if how == "straight" else (how, 3)
    train(
        *(
            "--standardize",
            "--learning-rate",
            0.01,
            "--epochs",
            60,
            "--no-plots",
            *argv,
        ),
        dataset=("--dataset", "own.npz"),
    )
    run = jaxcls.load_run("run")
    got = run.predict(x[120:])
    assert r2_score(y[120:], got) > 0.9
    if how == "straight":
        rmse = root_mean_squared_error(y[120:], got)
        assert metrics()["test"]["rmse"] == pytest.approx(rmse, rel=1e-4)
    assert main.evaluate(["run"]) == 0
    assert "test" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("y", "message"),
    [
        (
            np.array(["a", "b"] * 5),
            "must be numbers to be predicted, [N] or [N, 1], got <U1",
        ),
        (np.full(10, 3.0), "y_train is 3 in every training row"),
        (np.array([np.nan, *range(9)]), "row 0 has nan, and finite numbers"),
        (np.eye(10), "[N] or [N, 1], got float64 [10, 10]"),
    ],
)
def test_arrays_that_hold_no_numbers_to_predict_are_one_sentence(capsys, y, message):
    x = np.random.default_rng(0).normal(size=(10, 2))
    np.savez("own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    train(dataset=("--dataset", "own.npz"), code=2)
    assert message in capsys.readouterr().err
