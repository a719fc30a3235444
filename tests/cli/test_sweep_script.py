"""`scripts/sweep.py`: what it tries, ranks and keeps, and that it goes on to the same tables."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest
from many_runs import handlers_kept, metrics, stop_after, table

from jaxcls import load_run
from jaxcls.cli import main
from jaxcls.cli.processes import HEARTBEAT_SECONDS
from jaxcls.runs import read_blocks

SCRIPT = Path(__file__).parents[2] / "scripts" / "sweep.py"
TINY = (
    *("--dataset", "digits", "--classes", "0", "1", "--hidden", "4"),
    *("--batch-size", "32", "--epochs", "2", "--seeds", "2", "--no-plots"),
)
FILES = ("sweep.csv", "members.csv", "winner/model.safetensors")


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with handlers_kept():
        yield


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    """A finished sweep of five settings, of which one diverges."""
    folder = tmp_path_factory.mktemp("sweep") / "straight"
    rates = ("3e-4", "1e-2", "1e-3", "1e30", "3e-3")
    argv = (*TINY, "--dropout", "0", "--learning-rate", *rates)
    assert main.sweep([*argv, "--output-dir", str(folder)]) == 0
    return argv, folder


def same_files(one, other):
    for name in FILES:
        assert (Path(one) / name).read_bytes() == (Path(other) / name).read_bytes(), (
            name
        )


def test_settings_are_ranked_and_the_one_that_diverged_says_so(swept):
    _, folder = swept
    rows, runs = table(folder, "sweep.csv"), table(folder, "members.csv")
    assert [row["rank"] for row in rows] == ["1", "2", "3", "4", "5"]
    losses = [float(row["validation_loss"]) for row in rows[:-1]]
    assert losses == sorted(losses)
    assert rows[0]["learning_rate"] == "0.01"
    assert (rows[-1]["learning_rate"], rows[-1]["status"]) == ("1e+30", "diverged")
    assert (rows[-1]["validation_loss"], rows[-1]["diverged"]) == ("", "2")
    assert len(runs) == 10
    for row in runs:
        diverged = row["setting"] == rows[-1]["setting"]
        assert row["status"].startswith("diverged at step" if diverged else "ok")


def test_one_that_diverges_harms_no_other(swept):
    argv, folder = swept
    good = ["0.1" if word == "1e30" else word for word in argv]
    assert main.sweep([*good, "--output-dir", "good"]) == 0
    before, now = table(folder, "members.csv"), table("good", "members.csv")
    for one, other in zip(before, now, strict=True):
        if one["status"] == "ok":
            assert one == other


@pytest.mark.slow
def test_the_winner_is_what_the_training_script_gives(swept, capsys):
    _, folder = swept
    found = metrics(folder / "winner")
    argv = (
        "--dataset",
        "digits",
        "--hidden",
        "4",
        "--batch-size",
        "32",
        "--epochs",
        "2",
    )
    more = ("--learning-rate", "0.01", "--validation-fraction", "0.1", "--seeds", "2")
    assert main.train_binary([*argv, *more, "--output-dir", "own"]) == 0
    for part in ("train", "validation", "test"):
        for score, tolerance in (("loss", 1e-6), ("accuracy", 0)):
            one, other = found[part][score], metrics("own")[part][score]
            assert abs(one["mean"] - other["mean"]) <= tolerance
    assert metrics(folder)["winner"]["values"]["learning_rate"] == 0.01
    assert len(load_run(folder / "winner").members()) == 2
    assert len(load_run(folder / "ensemble").members()) == 5
    assert main.evaluate([str(folder / "ensemble")]) == 0
    capsys.readouterr()
    assert main.evaluate([str(folder)]) == 2
    assert (
        f"its winner, once it is finished, is {folder}/winner"
        in capsys.readouterr().err
    )


def test_stopped_twice_it_goes_on_to_the_same_tables(swept, monkeypatch, capsys):
    argv, folder = swept
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert main.sweep([*argv, "--output-dir", "cut"]) == 143
    first = len(read_blocks(Path("cut"))[0])
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert main.sweep(["--resume", "cut"]) == 143
    assert 0 < first < len(read_blocks(Path("cut"))[0])
    assert not Path("cut/sweep.csv").exists()
    capsys.readouterr()
    assert main.sweep(["--resume", "cut"]) == 0
    same_files("cut", folder)
    # The ranking has the numbers by which compare.py takes settings.
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    start = next(i for i, words in enumerate(lines) if words[:1] == ["setting"]) + 1
    assert [words[:2] for words in lines[start : start + 5]] == [
        [row["setting"], row["learning_rate"]] for row in table("cut", "sweep.csv")
    ]
    assert lines[start][0] == str(metrics("cut")["winner"]["setting"]) == "1"
    assert main.sweep(["--resume", "cut"]) == 0
    assert capsys.readouterr().out == "cut is finished, 5 settings.\n"
    assert main.sweep(["--resume", "cut", "--epochs", "3"]) == 2
    assert "--epochs 3: the run began with 2" in capsys.readouterr().err


@pytest.mark.slow
def test_halving_gives_the_same_winner_later_rungs_alone(swept):
    argv, _ = swept
    more = ("--halving", "--epochs", "3", "--output-dir", "halved")
    assert main.sweep([*argv, *more]) == 0
    rows = table("halved", "sweep.csv")
    assert [row["epochs"] for row in rows] == ["3", "3", "1", "1", "1"]
    assert rows[2]["status"] == "dropped after 1 epochs"
    assert main.sweep([*argv, "--epochs", "3", "--output-dir", "whole"]) == 0
    whole = {row["setting"]: row for row in table("whole", "sweep.csv")}
    for row in rows[:2]:
        name = "validation_loss"
        assert abs(float(row[name]) - float(whole[row["setting"]][name])) <= 1e-6


@pytest.mark.slow
def test_draws_are_of_the_ranges_and_lists_given():
    argv = (*TINY, "--draws", "6", "--learning-rate", "log-uniform:1e-3:1e-2")
    lists = (
        "--dropout",
        "0",
        "--optimizer",
        "sgd",
        "adam",
        "--momentum",
        "0.9",
        "--seeds",
        "1",
    )
    assert main.sweep([*argv, *lists, "--output-dir", "drawn"]) == 0
    rows = table("drawn", "sweep.csv")
    assert len(rows) == len({row["learning_rate"] for row in rows}) == 6
    assert all(1e-3 <= float(row["learning_rate"]) <= 1e-2 for row in rows)
    assert {(row["optimizer"], row["momentum"]) for row in rows} == {
        ("sgd", "0.9"),
        ("adam", "0"),
    }
    plan = json.loads(Path("drawn/config.json").read_text())["plan"]
    assert len(plan["groups"]) == 2


@pytest.mark.parametrize(
    ("argv", "sentence"),
    [
        (
            ("--learning-rate", "uniform:0:1"),
            "--learning-rate uniform:0:1: a range needs --draws, which says how many settings are "
            "drawn; or list the values to try.",
        ),
        (
            ("--draws", "2", "--dropout", "uniform:0"),
            "--dropout uniform:0: a range is uniform:LOW:HIGH, such as uniform:1e-4:1e-1.",
        ),
        (
            ("--learning-rate", "fast"),
            "--learning-rate must be numbers, or a range such as uniform:0:0.5, got 'fast'.",
        ),
        (
            ("--learning-rate", "0"),
            "sweep.settle: learning_rate must be positive and finite in float32, got 0.0.",
        ),
        (
            ("--hidden", "32x2"),
            "--hidden must be units such as 32 or 128-64, got '32x2'.",
        ),
        (("--batch-size", "0"), "--batch-size must be a number or full, got '0'."),
        (
            ("--validation-fraction", "0"),
            "validation_fraction must lie in (0, 1), since settings are ranked on what it holds "
            "out, got 0.0.",
        ),
        (("--draws", "0"), "draws must be at least 1, got 0."),
        (("--seeds", "0"), "seeds must be at least 1, got 0."),
        (("--memory", "0"), "memory must be a positive number of GB, got 0.0."),
        (
            ("--coordinator", "127.0.0.1:1234"),
            "--coordinator, --num-processes and --process-id belong together, got only some.",
        ),
        (
            ("--coordinator", "host", "--num-processes", "2", "--process-id", "0"),
            "--coordinator must be host:port of process 0, such as node1:1234, got host.",
        ),
        (
            ("--coordinator", "h:1234", "--num-processes", "2", "--process-id", "2"),
            "--process-id must lie in 0..--num-processes - 1, got 2 of 2.",
        ),
    ],
)
def test_a_wrong_flag_is_one_sentence(argv, sentence, capsys):
    assert main.sweep(["--dataset", "digits", *argv]) == 2
    assert capsys.readouterr().err == f"sweep.py: {sentence}\n"


def test_too_little_memory_is_said_before_anything_is_done(capsys):
    assert main.sweep([*TINY, "--memory", "0.001", "--output-dir", "none"]) == 2
    assert "0.001 GB are allowed" in capsys.readouterr().err
    assert not Path("none").exists()


def start(*argv, log):
    with open(log, "w") as file:
        return subprocess.Popen(
            [sys.executable, SCRIPT, *argv],
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


def together(argv, folder, *, first="--output-dir"):
    """Two processes on one sweep."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    flags = ("--coordinator", f"127.0.0.1:{port}", "--num-processes", "2")
    return [
        start(
            *argv,
            first,
            folder,
            *flags,
            "--process-id",
            str(number),
            log=f"{number}.log",
        )
        for number in range(2)
    ]


def wait_for(path, processes):
    for _ in range(1200):
        if path.exists():
            return
        assert all(process.poll() is None for process in processes)
        time.sleep(0.05)
    raise AssertionError(f"{path} did not come")


@pytest.fixture(scope="module")
def long(swept, tmp_path_factory):
    """The words of a sweep of many blocks, and where one was finished at one go."""
    argv = (*swept[0], "--seeds", "150", "--epochs", "20")
    home = tmp_path_factory.mktemp("long")
    process = start(*argv, "--output-dir", home / "straight", log=home / "log")
    assert process.wait(300) == 0
    return argv, home / "straight"


@pytest.mark.slow  # it waits for real processes
def test_killed_twice_it_goes_on_to_the_same_tables(long):
    argv, straight = long
    process = start(*argv, "--output-dir", "cut", log="0.log")
    wait_for(Path("cut/members/block-000000.json"), [process])
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    newest = sorted(Path("cut/members").glob("*.json"))[-1]
    number = int(newest.stem.removeprefix("block-"))
    process = start("--resume", "cut", log="1.log")
    wait_for(Path(f"cut/members/block-{number + 1:06}.json"), [process])
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not Path("cut/sweep.csv").exists()
    assert start("--resume", "cut", log="2.log").wait(300) == 0
    same_files("cut", straight)


@pytest.mark.slow  # two processes that compile
def test_two_processes_give_the_tables_of_one(swept):
    argv, folder = swept
    assert [process.wait(300) for process in together(argv, "two")] == [0, 0]
    for name in ("sweep.csv", "members.csv"):
        close_tables(table("two", name), table(folder, name))
    assert "2 processes" in Path("0.log").read_text()
    assert "winner" not in Path("1.log").read_text()


def close_tables(some, others):
    """Losses within 1e-6, and all else, such as counts of correct images, equal."""
    for one, other in zip(some, others, strict=True):
        for name, value in one.items():
            if "loss" in name and value:
                assert abs(float(value) - float(other[name])) <= 1e-6
            else:
                assert value == other[name], name


@pytest.mark.slow  # the heartbeat takes its time
def test_a_process_that_dies_ends_the_others_and_the_rest_is_done_by_one(long):
    argv, straight = long
    processes = together(argv, "cut")
    wait_for(Path("cut/members/block-000000.json"), processes)
    os.killpg(processes[1].pid, signal.SIGKILL)
    processes[1].wait()
    # The runtime counts from the last sign of life, and ends the process a little later.
    assert processes[0].wait(HEARTBEAT_SECONDS + 30) != 0
    told = Path("0.log").read_text()
    assert "another process of this sweep is gone" in told
    assert "sweep.py --resume" in told
    assert start("--resume", "cut", log="2.log").wait(300) == 0
    for name in ("sweep.csv", "members.csv"):
        close_tables(table("cut", name), table(straight, name))


@pytest.mark.slow
def test_a_signal_to_one_process_stops_all(swept):
    argv, _ = swept
    argv = (*argv, "--seeds", "150", "--epochs", "20")
    processes = together(argv, "cut")
    wait_for(Path("cut/members/block-000000.json"), processes)
    processes[1].send_signal(signal.SIGTERM)
    assert [process.wait(60) for process in processes] == [143, 143]
    assert "resume with sweep.py --resume cut" in Path("0.log").read_text()
    shutil.rmtree("cut")


def test_a_launcher_is_found_by_itself(monkeypatch):
    import jax

    from jaxcls.cli import processes
    from jaxcls.cli.flags import SweepFlags

    given = []
    monkeypatch.setattr(
        jax.distributed, "initialize", lambda *args, **more: given.append((args, more))
    )
    processes.join(SweepFlags())
    assert given == []
    slurm = {
        "SLURM_JOB_ID": "7",
        "SLURM_STEP_NODELIST": "node[1-2]",
        "SLURM_PROCID": "0",
        "SLURM_NTASKS": "1",
    }
    for name, value in slurm.items():
        monkeypatch.setenv(name, value)
    processes.join(SweepFlags())  # alone
    assert given == []
    monkeypatch.setenv("SLURM_NTASKS", "2")
    processes.join(SweepFlags())
    ((args, more),) = given
    assert args == (None, None, None)
    assert more["cluster_detection_method"] is None
    assert more["heartbeat_timeout_seconds"] == HEARTBEAT_SECONDS
    # One step of a job of many, and one process that is alone whatever a launcher tells.
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "1")
    processes.join(SweepFlags())
    monkeypatch.setenv("SLURM_STEP_NUM_TASKS", "2")
    processes.join(SweepFlags(num_processes=1))
    assert len(given) == 1


def test_blocks_left_beside_a_result_are_removed(swept, monkeypatch, capsys):
    shutil.copytree(swept[1], "swept")
    Path("swept/members").mkdir()
    for kind in ("json", "safetensors"):
        Path(f"swept/members/block-000002.{kind}").write_text("{}")
    assert main.sweep(["--resume", "swept"]) == 0
    assert capsys.readouterr().out == "swept is finished, 5 settings.\n"
    assert not Path("swept/members").exists()


def test_state_of_another_sweep_is_refused_by_name(swept, monkeypatch, capsys):
    argv, folder = swept
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert main.sweep([*argv, "--output-dir", "one"]) == 143
        stop_after(patched, 1)
        assert main.sweep([*argv, "--seed", "5", "--output-dir", "other"]) == 143
    shutil.rmtree("one/members")
    shutil.copytree("other/members", "one/members")
    capsys.readouterr()
    assert main.sweep(["--resume", "one"]) == 2
    told = capsys.readouterr().err
    assert "one/members/block-000000.json belongs to another run: its seed is 5" in told
    for name in ("metrics.json", "sweep.csv", "members.csv"):
        shutil.copy(folder / name, "other")
    assert main.sweep(["--resume", "other"]) == 2
    told = capsys.readouterr().err
    assert "other/metrics.json belongs to another run: its seed is 0" in told


@pytest.mark.slow
def test_momenta_without_an_optimizer_that_has_one_are_said(capsys):
    flags = ("--dataset", "digits", "--epochs", "1", "--seeds", "1", "--dropout", "0")
    argv = (*flags, "--learning-rate", "1e-3", "--momentum", "0.9", "--output-dir", "s")
    argv += ("--no-plots",)
    assert main.sweep(argv) == 0
    assert capsys.readouterr().err == (
        "sweep.py: without effect: --momentum 0.9, which is sgd's alone.\n"
    )


@pytest.mark.slow
def test_folds_rank_and_a_sweep_of_them_goes_on(monkeypatch, capsys):
    argv = (*TINY, "--dropout", "0", "--learning-rate", "1e-3", "1e-2", "--folds", "3")
    assert main.sweep([*argv, "--output-dir", "straight"]) == 0
    assert "3 folds of the training set, by whose parts" in capsys.readouterr().out
    rows, runs = table("straight", "sweep.csv"), table("straight", "members.csv")
    assert [row["seeds"] for row in rows] == ["6", "6"]
    assert [run["split"] for run in runs] == [*"112233"] * 2
    assert [int(run["seed"]) for run in runs] == [*range(6)] * 2
    mean = sum(float(run["validation_loss"]) for run in runs[:6]) / 6
    own = next(row for row in rows if row["setting"] == "0")
    assert float(own["validation_loss"]) == pytest.approx(mean, rel=1e-6)
    with monkeypatch.context() as patched:
        stop_after(patched, 1)
        assert main.sweep([*argv, "--output-dir", "cut"]) == 143
    assert main.sweep(["--resume", "cut"]) == 0
    same_files("straight", "cut")
    assert load_run("straight/winner").seeds == (0, 1, 2, 3, 4, 5)
    assert main.sweep(["--resume", "cut", "--folds", "4"]) == 2
    assert "the run began with 3" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (("--folds", "1"), "folds must be at least 2, got 1."),
        (("--repeats", "3"), "--repeats 3 draws folds so many times; give --folds"),
        (("--folds", "3", "--resplit", "2"), "are two ways to split; give one."),
    ],
)
def test_splits_that_can_not_be(flags, sentence, capsys):
    assert main.sweep([*TINY, *flags, "--output-dir", "none"]) == 2
    assert sentence in capsys.readouterr().err
    assert not Path("none").exists()


def test_a_plan_without_splits_is_kept_as_the_first_versions_kept_it(swept):
    # By which their sweeps, and the blocks of these, are resumed.
    _, folder = swept
    plan = json.loads((folder / "config.json").read_text())["plan"]
    assert plan.keys() == {"rungs", "groups", "sha256_of_settings"}
    assert {tuple(group) for group in plan["groups"]} == {("settings", "width")}
