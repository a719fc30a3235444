"""`--seeds`: each run as it would be alone, error bars, the ensemble, and going on."""

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from many_runs import handlers_kept, metrics, stop_after, table

from jaxcls import load_run
from jaxcls.cli import keeping, main, seeds, study_result
from jaxcls.epochs import History
from jaxcls.files import read_json, write_json
from jaxcls.runs import read_blocks
from jaxcls.study.engine import Runs

MANY = ("--dataset", "digits", "--hidden", "6", "--epochs", "3", "--batch-size", "32")
MANY += ("--no-plots",)


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with handlers_kept():
        yield


def binary(*argv):
    return main.train_binary(argv)


def history(folder):
    lines = (Path(folder) / "history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("many", "alone"),
    [
        ((), ()),  # the program of most tests here
        (("--validation-fraction", "0.2", "--patience", "2"), ("--split-seed", "0")),
        (("--recipe", "d", "--epochs", "2"), ()),
    ],
)
def test_each_run_is_what_its_seed_gives_alone(many, alone):
    first = 1 if "--recipe" in many else 0
    assert binary(*MANY, *many, "--seeds", "3", "--output-dir", "many") == 0
    rows, lines = table("many"), history("many")
    assert [int(row["seed"]) for row in rows] == [first, first + 1, first + 2]
    for place in (0, 2):
        argv = (*MANY, *many, *alone, "--seed", str(first + place), "--no-plots")
        every = ("--report-every", "1", "--overwrite", "--output-dir", "alone")
        assert binary(*argv, *every) == 0
        one, row = metrics("alone"), rows[place]
        for line, own in zip(lines, history("alone"), strict=False):
            assert abs(line["loss"][place] - own["loss"]) <= 1e-6
        for part in ("train", "test"):
            assert int(row[f"{part}_correct"]) == one[part]["correct"]
            assert abs(float(row[f"{part}_loss"]) - one[part]["loss"]) <= 1e-6
        assert int(row["epochs_done"]) == one["chosen"]["epochs_done"]
        assert int(row["chosen_epoch"]) == one["chosen"]["epoch"]


def test_error_bars_and_the_ensemble(capsys):
    assert binary(*MANY, "--seeds", "4", "--output-dir", "many") == 0
    printed, found, rows = capsys.readouterr().out, metrics("many"), table("many")
    accuracies = np.array([float(row["test_accuracy"]) for row in rows])
    assert found["test"]["accuracy"]["mean"] == pytest.approx(accuracies.mean())
    assert found["test"]["accuracy"]["std"] == pytest.approx(accuracies.std(ddof=1))
    assert found["chosen"]["seeds"] == [0, 1, 2, 3]
    assert f"test accuracy        {accuracies.mean():.4f}" in printed
    assert "ensemble of 4" in printed
    assert sorted(path.name for path in Path("many").iterdir()) == [
        "config.json",
        "history.jsonl",
        "metrics.json",
        "model.safetensors",
        "seeds.csv",
    ]

    ensemble = load_run("many")
    x = np.random.default_rng(0).random((5, 784), np.float32)
    each = [member.predict_proba(x) for member in ensemble.members()]
    np.testing.assert_allclose(ensemble.predict_proba(x), np.mean(each, 0), atol=1e-6)
    unsure = ensemble.uncertainty(x)
    assert (unsure.members > 0).all()
    assert not ensemble.members()[0].uncertainty(x).members.any()

    assert main.evaluate(["many", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["ensemble"]["test"]["alone"]["accuracy"] == pytest.approx(
        accuracies.mean()
    )
    np.save("some.npy", x)
    assert main.predict(["many", "some.npy", "--json"]) == 0
    entries = json.loads(capsys.readouterr().out)
    assert entries[0]["uncertainty"] == pytest.approx(float(unsure.total[0]), abs=1e-6)


def test_a_run_that_was_stopped_goes_on_to_the_same_files(monkeypatch, capsys):
    argv = (*MANY, "--seeds", "9")
    assert binary(*argv, "--output-dir", "straight") == 0
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert binary(*argv, "--output-dir", "cut") == 143
    assert "train_binary.py --resume cut" in capsys.readouterr().err
    assert not Path("cut/metrics.json").exists()
    done, _ = read_blocks(Path("cut"))
    assert 0 < sum(len(runs.epochs) for runs in done.values()) < 9
    assert binary("--resume", "cut") == 0
    for name in ("seeds.csv", "model.safetensors", "history.jsonl"):
        assert Path("cut", name).read_bytes() == Path("straight", name).read_bytes()
    assert not Path("cut/members").exists()
    capsys.readouterr()
    assert binary("--resume", "cut") == 0
    assert capsys.readouterr().out == "cut is finished, 9 runs.\n"
    # A table is pinned as the weights are.
    path = Path("cut/seeds.csv")
    path.write_text(path.read_text().replace(",ok,", ",OK,", 1))
    assert binary("--resume", "cut") == 0
    assert "seeds.csv: missing, changed or damaged" in capsys.readouterr().err
    assert path.read_bytes() == Path("straight/seeds.csv").read_bytes()


@pytest.mark.slow
def test_a_damaged_block_is_trained_again(monkeypatch, capsys):
    argv = (*MANY, "--seeds", "5")
    assert binary(*argv, "--output-dir", "straight") == 0
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert binary(*argv, "--output-dir", "cut") == 143
    block = Path("cut/members/block-000000.safetensors")
    block.write_bytes(block.read_bytes()[:-1] + b"\xff")
    assert binary("--resume", "cut") == 0
    assert "trained again" in capsys.readouterr().err
    assert Path("cut/seeds.csv").read_bytes() == Path("straight/seeds.csv").read_bytes()


@pytest.mark.slow
def test_runs_that_all_diverge_say_so(capsys):
    argv = (*MANY, "--seeds", "2", "--learning-rate", "1e30", "--output-dir", "many")
    assert binary(*argv) == 2
    assert capsys.readouterr().err.endswith(
        "each of the 2 runs diverged; try a smaller learning_rate, a clip_norm, or features that "
        "are scaled.\n"
    )
    assert {row["status"].split(" at ")[0] for row in table("many")} == {"diverged"}


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (("--seeds", "0"), "seeds must be at least 1, got 0."),
        (
            ("--seeds", "3", "--seed", "4294967294"),
            "seeds 3 from seed 4,294,967,294 on go beyond 2**32-1; take a smaller "
            "seed, or fewer.",
        ),
        (
            ("--seeds", "2", "--report-every", "1"),
            "report_every is for a single run; leave it out, or take one seed at a time.",
        ),
    ],
)
def test_a_wrong_flag_is_one_sentence(argv, sentence, capsys):
    assert binary("--dataset", "digits", *argv) == 2
    assert capsys.readouterr().err == f"train_binary.py: {sentence}\n"


def test_going_on_with_other_flags_is_refused(monkeypatch, capsys):
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert binary(*MANY, "--seeds", "5", "--output-dir", "cut") == 143
    capsys.readouterr()
    for argv, named in (
        (("--epochs", "9"), "--epochs 9"),
        (("--seeds", "6"), "--seeds 6"),
    ):
        assert binary("--resume", "cut", *argv) == 2
        assert f"{named}: the run began with" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize(
    ("patience", "rate", "ended"), [("1", "10", "patience"), ("3", "1e-3", "epochs")]
)
def test_what_stopped_the_runs_is_told(patience, rate, ended):
    argv = ("--epochs", "6", "--patience", patience, "--learning-rate", rate)
    argv += ("--optimizer", "sgd", "--seeds", "2", "--output-dir", "many")
    assert binary(*MANY, *argv) == 0
    found = metrics("many")["chosen"]
    assert found["stopped_by"] == ended
    assert (found["epochs_done"] == 6) == (ended == "epochs")


def cut(monkeypatch, *argv):
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert binary(*argv) == 143


def test_blocks_left_beside_a_result_are_removed(monkeypatch, capsys):
    argv = (*MANY, "--seeds", "5", "--output-dir", "many")
    with monkeypatch.context() as patched:
        patched.setattr(seeds, "remove_blocks", lambda _: None)
        patched.setattr(keeping, "_SECONDS", 0)
        assert binary(*argv) == 0
    assert Path("many/members/block-000000.json").exists()
    Path("many/members/notes.txt").write_text("mine")
    capsys.readouterr()
    assert binary("--resume", "many") == 0
    assert capsys.readouterr().out == "many is finished, 5 runs.\n"
    assert [path.name for path in Path("many/members").iterdir()] == ["notes.txt"]


def test_blocks_of_another_study_are_refused_by_name(monkeypatch, capsys):
    cut(monkeypatch, *MANY, "--seeds", "5", "--output-dir", "one")
    cut(monkeypatch, *MANY, "--seeds", "5", "--seed", "9", "--output-dir", "other")
    shutil.rmtree("one/members")
    shutil.copytree("other/members", "one/members")
    capsys.readouterr()
    assert binary("--resume", "one") == 2
    told = capsys.readouterr().err
    assert "one/members/block-000000.json belongs to another run: its seed is 9" in told
    assert Path("one/members/block-000000.json").exists()


@pytest.mark.slow
def test_blocks_without_a_config_are_taken_where_they_fit(monkeypatch, capsys):
    argv = (*MANY, "--seeds", "5")
    assert binary(*argv, "--output-dir", "straight") == 0
    cut(monkeypatch, *argv, "--output-dir", "own")
    cut(monkeypatch, *argv, "--hidden", "7", "--output-dir", "other")
    for name in ("own", "other"):
        # As version 0.1.0 wrote them.
        path = Path(name, "members/block-000000.json")
        sha256 = read_json(path)["sha256_of_arrays"]
        write_json(path, {"sha256_of_arrays": sha256})
    capsys.readouterr()
    shutil.copytree("own", "foreign")
    shutil.rmtree("foreign/members")
    shutil.copytree("other/members", "foreign/members")
    assert binary("--resume", "own") == 0
    assert capsys.readouterr().err == ""
    assert binary("--resume", "foreign") == 0
    told = capsys.readouterr().err
    assert "trained again: members: chunk 0-0-0 does not fit its run: " in told
    for name in ("seeds.csv", "model.safetensors", "history.jsonl"):
        for folder in ("own", "foreign"):
            assert Path(folder, name).read_bytes() == (
                Path("straight", name).read_bytes()
            )


@pytest.mark.parametrize("epochs", [1, 2000, 2001, 4000, 4001, 10_007])
def test_the_history_has_no_more_lines_than_it_may(epochs):
    rng = np.random.default_rng(0)
    loss = rng.random((2, epochs), np.float32)
    none = dict.fromkeys(Runs._fields)
    runs = Runs(
        **none | {"epochs": np.array([1, epochs]), "history": History(loss, None)}
    )
    lines = study_result._history(runs)
    shown = [line["epoch"] for line in lines]
    assert len(lines) <= 2001 and shown[-1] == epochs
    assert epochs > 2000 or shown == list(range(1, epochs + 1))
    assert len({later - epoch for epoch, later in pairwise(shown[:-1])}) <= 1
    for line in lines:
        assert line["loss"] == loss[:, line["epoch"] - 1].tolist()
