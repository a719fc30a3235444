"""Tables from the command line: train, resume, evaluate, predict, and one sentence for mistakes."""

import csv
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from safetensors.numpy import load_file

import jaxcls
from jaxcls.cli import main
from jaxcls.data.tables import load_table
from jaxcls.files import read_json, write_json
from jaxcls.runs import score

SHORT = ("--target", "sort", "--epochs", "6", "--no-plots", "--hidden", "8")


def lines_of(num_rows, seed=0, sorts=("ash", "beech", "cedar")):
    rng = np.random.default_rng(seed)
    lines = ["height,soil,age,sort"]
    for row in range(num_rows):
        place = row % len(sorts)
        height = "" if row % 11 == 3 else f"{rng.normal(5 * place, 1):.3f}"
        soil = ("clay", "sand", '"peat, wet"')[rng.integers(3)]
        lines.append(f"{height},{soil},{rng.integers(1, 90)},{sorts[place]}")
    return lines


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("trees.csv").write_text("\n".join(lines_of(90)))


def train(*argv, code=0, script=main.train_multiclass):
    assert script([*map(str, argv)]) == code


def run_of(*argv, folder="run", dataset="trees.csv"):
    train("--dataset", dataset, *SHORT, *argv, "--output-dir", folder)
    return jaxcls.load_run(folder)


def metrics(folder="run"):
    return json.loads((Path(folder) / "metrics.json").read_text())


def test_a_table_is_trained_and_its_run_says_how(capsys):
    run = run_of(
        "--epochs", "200", "--learning-rate", "0.01", "--validation-fraction", "0.1"
    )
    told = capsys.readouterr()
    assert (
        "no --test-dataset is named: a fifth of each class, 18 of 90 rows" in told.err
    )
    assert "classes ash beech cedar: 66 train, 6 validation, 18 test" in told.out
    result = metrics()
    assert result["test"]["accuracy"] > 0.8
    assert result["classes"] == ["ash", "beech", "cedar"]
    kept = result["config"]["preparation"]
    want = load_table("trees.csv", "sort", validation_fraction=0.1).preparation
    assert kept == json.loads(json.dumps(want.record())) and run.preparation == want
    assert [each["name"] for each in kept["numeric"]] == ["height", "age"]


@pytest.mark.parametrize(
    "flags", [(), ("--validation-fraction", "0.2", "--patience", "4")]
)
@pytest.mark.slow
def test_it_resumes_to_the_same_bits(flags):
    run_of(*flags, folder="whole")
    run_of(*flags, "--epochs", "3", folder="part")
    train("--resume", "part", "--epochs", "6")
    one, two = (load_file(f"{name}/model.safetensors") for name in ("whole", "part"))
    assert one.keys() == two.keys()
    for name, leaf in one.items():
        np.testing.assert_array_equal(leaf, two[name])
    assert metrics("whole")["test"] == metrics("part")["test"]


def test_it_is_not_resumed_with_other_rows(capsys):
    run_of("--epochs", "3")
    Path("trees.csv").write_text("\n".join(lines_of(90, seed=1)))
    train("--resume", "run", "--epochs", "6", code=2)
    assert "the data are not those that the run began with" in capsys.readouterr().err
    train("--resume", "run", "--target", "soil", code=2)
    assert "--target soil: the run began with sort" in capsys.readouterr().err


@pytest.mark.slow
def test_evaluate_finds_a_table_that_moved(capsys):
    Path("test.csv").write_text("\n".join(lines_of(30, seed=2)))
    run_of("--test-dataset", "test.csv")
    Path("elsewhere").mkdir()
    for name in ("trees.csv", "test.csv"):
        shutil.move(name, f"elsewhere/{name}")
    assert main.evaluate(["run"]) == 2
    where_now = "there is no such file; name with --dataset where it is now."
    assert f"trees.csv: {where_now}" in capsys.readouterr().err
    train("--resume", "run", "--epochs", "8", code=2)
    assert f"trees.csv: {where_now}" in capsys.readouterr().err
    train("--resume", "run", "--dataset", "elsewhere/trees.csv", "--epochs", 8, code=2)
    told = "test.csv: there is no such file; name with --test-dataset where it is now."
    assert told in capsys.readouterr().err
    where = ("--dataset", "elsewhere/trees.csv", "--test-dataset", "elsewhere/test.csv")
    assert main.evaluate(["run", *where, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["train"]["count"] == 90 and found["test"]["count"] == 30
    assert found["test"]["correct"] == metrics()["test"]["correct"]
    assert main.evaluate(["run", *where[:3], "elsewhere/trees.csv"]) == 2
    told = capsys.readouterr().err
    assert "are not those that the run was trained on" in told
    call = "jaxcls.runs.score(jaxcls.load_run(RUN), features, targets)"
    assert "predict.py RUN FILE" in told and call in told
    # It is trained on from there, too.
    train("--resume", "run", "--epochs", "8", *where)


def test_predict_writes_a_table(capsys):
    run = run_of()
    capsys.readouterr()
    rows = [line.rpartition(",")[0] for line in lines_of(7, seed=3)]
    Path("new.csv").write_text("\n".join(rows).replace("sand", "rock"))
    assert main.predict(["run", "new.csv", "--output", "out.csv"]) == 0
    told = capsys.readouterr()
    assert "column 'soil' has 'rock' in row" in told.err
    with open("out.csv", newline="") as file:
        table = list(csv.DictReader(file))
    assert [row["row"] for row in table] == [*"1234567"]
    probabilities = run.predict_proba("new.csv")
    names = ("ash", "beech", "cedar")
    for row, line, each in zip(
        table, told.out.splitlines(), probabilities, strict=True
    ):
        assert row["input"] == "new.csv" and row["prediction"] == names[each.argmax()]
        assert line.startswith(f"new.csv, row {row['row']}  {row['prediction']}  ")
        for name, share in zip(names, each, strict=True):
            assert float(row[f"probability_of_{name}"]) == pytest.approx(
                share, abs=1e-7
            )
    assert main.predict(["run", "new.csv", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert [entry["row"] for entry in entries] == [1, 2, 3, 4, 5, 6, 7]


def test_new_rows_with_labels_are_scored_from_python_by_their_files_name():
    run = run_of()
    Path("new.csv").write_text("\n".join(lines_of(30, seed=4)))
    with open("new.csv", newline="") as file:
        labels = [row["sort"] for row in csv.DictReader(file)]
    targets = np.array([run.class_names.index(label) for label in labels])
    scores = score(run, "new.csv", targets)
    places = run.predict_places("new.csv")
    assert scores["count"] == 30 and scores["correct"] == (places == targets).sum()
    assert scores["log_loss"] > 0


def test_what_cannot_be_predicted_is_said(capsys):
    run_of()
    Path("new.csv").write_text("height,age\n1,2\n")
    Path("bad.csv").write_text("height,age,soil\n1,old,clay\n")
    Path("one.png").write_bytes(b"")
    for name, message in {
        "new.csv": "lacks column 'soil', which the run was trained on",
        "bad.csv": "column 'age' must hold numbers, and row 1 has 'old'",
        "one.png": "the run was trained on a table; give a .csv or .parquet file",
        "none.csv": "there is no such file",
    }.items():
        capsys.readouterr()
        assert main.predict(["run", name]) == 2
        assert message in capsys.readouterr().err


def test_predict_overwrites_nothing_and_says_so_before_it_begins(capsys, monkeypatch):
    before = Path("trees.csv").read_bytes()
    wrong = {
        "out.txt": "--output out.txt: must be a .csv file.",
        "trees.csv": "trees.csv: is there already; name another --output, or remove it.",
        "no/out.csv": "no/out.csv: there is no folder no; make it, or name another --output.",
        "out.csv": "out.csv: its folder . can't be written to; name another --output, or make it "
        "writable.",
    }
    monkeypatch.setattr(os, "access", lambda path, _: path != Path("."))
    for (
        output,
        sentence,
    ) in wrong.items():  # before it looks for the run, of which there is none
        assert main.predict(["run", "trees.csv", "--output", output]) == 2
        assert capsys.readouterr() == ("", f"predict.py: {sentence}\n")
    assert Path("trees.csv").read_bytes() == before


@pytest.mark.slow
def test_two_classes_are_named_as_the_table_names_them(capsys):
    flags = ("--dataset", "trees.csv", *SHORT, "--classes", "cedar", "ash")
    train(*flags, "--output-dir", "two", script=main.train_binary)
    assert metrics("two")["classes"] == ["cedar", "ash"]
    assert metrics("two")["config"]["flags"]["classes"] == ["cedar", "ash"]
    train("--resume", "two", "--epochs", "8", "--classes", "cedar", "ash",
          script=main.train_binary)  # fmt: skip
    assert main.evaluate(["two"]) == 0
    capsys.readouterr()
    train(*flags[:-1], "oak", code=2, script=main.train_binary)
    assert "classes must be among ash beech cedar" in capsys.readouterr().err
    train(*flags[:-3], code=2, script=main.train_binary)
    assert "classes must be two here, got 3: ash beech cedar" in capsys.readouterr().err


def test_names_of_classes_that_have_spaces_do_not_run_together(capsys):
    lines = lines_of(60, sorts=("Köln", '"New York, NY"', "Paris"))
    Path("trees.csv").write_text("\n".join(lines), encoding="utf-8")
    named = "'Köln', 'New York, NY', 'Paris'"
    run = run_of("--epochs", 1)
    assert f"trees.csv, classes {named}: 48 train, " in capsys.readouterr().out
    assert f"classes {named}, epoch 1)" in repr(run)
    for script, argv, sentence in (
        (
            main.train_multiclass,
            ("--classes", "Köln", "New York"),
            f"classes must be among {named}, the labels of this dataset; it has no 'New York'.",
        ),
        (
            main.train_multiclass,
            ("--threshold", "0.5"),
            f"--threshold is for two classes, got 3: {named}; leave it out",
        ),
        (main.train_binary, (), f"classes must be two here, got 3: {named}; name two"),
    ):
        flags = ("--dataset", "trees.csv", *SHORT, *argv)
        train(*flags, code=2, script=script)
        assert sentence in capsys.readouterr().err


def test_labels_of_integers_are_named_by_them():
    lines = lines_of(60, sorts=("7", "3"))
    Path("numbers.csv").write_text("\n".join(lines))
    run = run_of(dataset="numbers.csv")
    assert (run.labels, run.class_names) == ((3, 7), ("3", "7"))
    assert set(run.predict("numbers.csv").tolist()) <= {3, 7}
    with pytest.raises(TypeError, match=r"write a frame by \.to_parquet"):
        run.predict(pd.read_csv("numbers.csv"))


@pytest.mark.slow
def test_seeds_of_a_table(capsys):
    run = run_of("--seeds", "3")
    assert len(run.members()) == 3
    assert run.predict_proba("trees.csv").shape == (90, 3)
    assert main.evaluate(["run"]) == 0
    train("--resume", "run")
    assert "run is finished, 3 runs." in capsys.readouterr().out


MISTAKES = {
    "no target": (
        ("--dataset", "trees.csv"),
        "with --target; it has 'height', 'soil', 'age', 'so",
    ),
    "wrong target": (
        ("--dataset", "trees.csv", "--target", "kind"),
        "no column 'kind'",
    ),
    "target of no table": (
        ("--dataset", "digits", "--target", "x"),
        "--target is for tables",
    ),
    "drop of no table": (
        ("--dataset", "digits", "--drop", "x"),
        "--drop is for tables",
    ),
    "folder of MNIST": (
        ("--dataset", "trees.csv", "--target", "sort", "--data-dir", "."),
        "trees.csv is a table; leave it out",
    ),
    "names of digits": (
        ("--dataset", "digits", "--classes", "a", "b"),
        "must be integers, unless",
    ),
    "no file": (("--dataset", "none.csv", "--target", "sort"), "there is no such file"),
}


@pytest.mark.parametrize("argv, message", MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_is_one_line(capsys, argv, message):
    train(*argv, "--output-dir", "run", code=2)
    told = capsys.readouterr().err
    assert message in told and len(told.splitlines()) == 1
    assert not Path("run").exists()


def test_a_damaged_preparation_is_refused(capsys):
    run_of()
    record = read_json("run/config.json")
    whole = record["preparation"]["numeric"].copy()
    for numeric, message in (
        (whole[:1], "preparation does not fit layer_sizes"),
        ([whole[0] | {"scale": 0.0}, whole[1]], "what was learned of a table"),
    ):
        record["preparation"]["numeric"] = numeric
        write_json("run/config.json", record)
        assert main.predict(["run", "trees.csv"]) == 2
        told = capsys.readouterr().err
        assert message in told and "its config can't be used" in told
