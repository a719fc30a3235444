"""--resume: the same bits as a straight run, what may change, and what heals."""

import dataclasses
import json
import os
import shutil
from pathlib import Path

import pytest

from jaxcls import fit, load_run
from jaxcls.cli import main, recorder, train
from jaxcls.cli.flags import BinaryFlags
from jaxcls.cli.parsing import read_flags
from jaxcls.cli.resume import ENVIRONMENT, is_result_of, read_past
from jaxcls.cli.signals import Stopped
from jaxcls.files import read_json, write_json
from jaxcls.runs import newest_checkpoint, plots

DIGITS = ("--dataset", "digits", "--no-plots")
FULL = (*DIGITS, "--epochs", "12", "--checkpoint-every", "3", "--report-every", "4")
MIXED = (
    *(*DIGITS, "--epochs", "6", "--checkpoint-every", "2", "--report-every", "3"),
    *("--batch-size", "32", "--dropout", "0.3", "--optimizer", "adamw"),
    *("--validation-fraction", "0.2", "--patience", "5", "--schedule", "cosine"),
    *("--clip-norm", "1", "--label-smoothing", "0.1", "--class-weights", "balanced"),
)
CHECKPOINTS = Path("run/checkpoints")


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """Folders of straight runs by their flags, each trained once."""
    folders = {}

    def folder(flags):
        if flags not in folders:
            folders[flags] = tmp_path_factory.mktemp("straight") / "run"
            assert binary(*flags, "--output-dir", str(folders[flags])) == 0
        return folders[flags]

    return folder


def binary(*argv):
    return main.train_binary(argv)


def cut_off(flags, monkeypatch, after=1, folder="run"):
    """Begins a run, which breaks off at the checkpoint after `after` others."""

    def fit_until(*arguments, on_checkpoint, **settings):
        seen = []

        def checkpoint(epoch, state):
            if len(seen) == after:
                raise OSError(5, "the power is off")
            seen.append(epoch)
            on_checkpoint(epoch, state)

        return fit(*arguments, on_checkpoint=checkpoint, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(train, "fit", fit_until)
        assert binary(*flags, "--output-dir", str(folder)) == 2


@pytest.fixture(scope="module")
def cut(tmp_path_factory):
    """Puts into `run` a copy of a run that was cut off; each is begun once."""
    folders = {}

    def copied(flags, after=1):
        if (flags, after) not in folders:
            folders[flags, after] = tmp_path_factory.mktemp("cut") / "run"
            with pytest.MonkeyPatch.context() as patched:
                cut_off(flags, patched, after, folders[flags, after])
        shutil.copytree(folders[flags, after], "run")

    return copied


def metrics(folder):
    found = read_json(Path(folder) / "metrics.json")
    del found["seconds"]
    return found


def assert_equal_runs(folder, other, *, checkpoints=True):
    assert metrics(folder) == metrics(other)
    names = set(os.listdir(folder)) - {"metrics.json", "checkpoints"}
    assert names == set(os.listdir(other)) - {"metrics.json", "checkpoints"}
    for name in names:
        assert Path(folder, name).read_bytes() == Path(other, name).read_bytes(), name
    for path in Path(other, "checkpoints").iterdir() if checkpoints else ():
        assert path.read_bytes() == Path(folder, "checkpoints", path.name).read_bytes()


@pytest.mark.parametrize(
    "flags",
    [pytest.param(FULL, marks=pytest.mark.slow), MIXED],
    ids=["full batch", "mini-batch"],
)
def test_a_run_cut_off_goes_on_to_the_same_bits(flags, straight, monkeypatch, capsys):
    cut_off(flags, monkeypatch)
    assert "the power is off" in capsys.readouterr().err
    assert not Path("run/metrics.json").exists()
    assert binary("--resume", "run") == 0
    told = capsys.readouterr()
    assert told.err == "" and "run: resumed from epoch" in told.out
    assert_equal_runs("run", straight(flags))


def test_a_checkpoint_comes_by_time_too(straight, monkeypatch):
    monkeypatch.setattr(recorder, "_SECONDS", -1)
    cut_off(MIXED, monkeypatch, after=1)
    assert newest_checkpoint(Path("run"))[0].epoch == 1
    assert binary("--resume", "run") == 0
    assert_equal_runs("run", straight(MIXED), checkpoints=False)


def test_a_run_without_a_checkpoint_begins_again(straight, cut, capsys):
    cut(FULL, after=0)
    assert binary("--resume", "run") == 0
    assert "run: resumed from epoch 0" in capsys.readouterr().out
    assert_equal_runs("run", straight(FULL))


def test_a_finished_run_says_so_and_changes_nothing(straight, capsys):
    shutil.copytree(straight(FULL), "run")
    before = {path: path.read_bytes() for path in Path("run").rglob("*.*")}
    assert binary("--resume", "run") == 0
    assert "run is finished, 12 of 12 epochs; to go on, give more --epochs." in (
        capsys.readouterr().out
    )
    assert before == {path: path.read_bytes() for path in Path("run").rglob("*.*")}


@pytest.mark.slow
def test_what_no_result_depends_on_does_not_reopen_a_finished_run(straight, capsys):
    shutil.copytree(straight(FULL), "run")
    before = Path("run/metrics.json").read_bytes()
    assert binary("--resume", "run", "--keep-checkpoints", "3") == 0
    assert "is finished" in capsys.readouterr().out
    assert Path("run/metrics.json").read_bytes() == before
    assert binary("--resume", "run", "--plots") == 0  # they were not drawn yet
    assert Path("run/curves.png").exists() and metrics("run")["test"]
    assert "is finished" not in capsys.readouterr().out


@pytest.mark.parametrize("how", ["gone", "damaged"])
def test_a_finished_run_outlives_its_checkpoints(how, straight, capsys):
    shutil.copytree(straight(FULL), "run")
    for path in CHECKPOINTS.glob("*.json"):
        path.write_text("{") if how == "damaged" else path.unlink()
    before = {path: path.read_bytes() for path in Path("run").rglob("*.*")}
    assert binary("--resume", "run") == 0
    assert "run is finished, 12 of 12 epochs" in capsys.readouterr().out
    assert binary("--resume", "run", "--epochs", "20") == 2
    told = capsys.readouterr().err.splitlines()
    assert "all its checkpoints are missing or damaged" in told[-1]
    assert before == {path: path.read_bytes() for path in Path("run").rglob("*.*")}
    Path("run/config.json").write_text("{")
    assert binary("--resume", "run") == 0
    assert_equal_runs("run", straight(FULL), checkpoints=False)


def test_a_finished_run_names_the_flag_that_goes_on(straight, capsys):
    shutil.copytree(straight(MIXED), "run")
    assert binary("--resume", "run") == 0
    # Neither more epochs, which the schedule forbids, nor more patience would help.
    assert "run is finished, 6 of 6 epochs.\n" in capsys.readouterr().out


def test_reports_at_other_epochs_from_some_epoch_on_lose_none(monkeypatch):
    cut_off((*DIGITS, "--epochs", "12", "--checkpoint-every", "1"), monkeypatch, 4)
    flags = ("--resume", "run", "--epochs", "12", "--report-every", "5")
    assert binary(*flags) == 0
    lines = [
        json.loads(line) for line in Path("run/history.jsonl").read_text().splitlines()
    ]
    assert [line["epoch"] for line in lines] == list(range(1, 13))
    scored = [line["epoch"] for line in lines if "train_accuracy" in line]
    assert scored == [1, 2, 3, 4, 5, 10, 12]


def test_more_epochs_go_on_to_the_bits_of_a_longer_run(straight):
    shutil.copytree(straight(FULL), "run")
    longer = (*FULL, "--epochs", "20")
    assert binary("--resume", "run", "--epochs", "20") == 0
    assert_equal_runs("run", straight(longer))


@pytest.mark.slow
def test_more_patience_goes_on_to_the_bits_of_a_longer_run(straight):
    # So large a rate that validation stops it soon, and between two reports.
    few = (*DIGITS, "--epochs", "24", "--learning-rate", "0.3", "--report-every", "5")
    few += (
        "--checkpoint-every",
        "5",
        "--patience",
        "3",
        "--validation-fraction",
        "0.3",
    )
    shutil.copytree(straight(few), "run")
    ended = metrics("run")["chosen"]
    assert ended["stopped_by"] == "patience" and ended["epochs_done"] % 5
    assert ended["epochs_done"] == ended["epoch"] + 3
    assert binary("--resume", "run", "--patience", "6") == 0
    assert metrics("run")["chosen"]["epochs_done"] > ended["epochs_done"]
    assert metrics("run") == metrics(straight((*few, "--patience", "6")))
    for name in ("history.jsonl", "model.safetensors", "last.safetensors"):
        assert (
            Path("run", name).read_bytes()
            == (straight((*few, "--patience", "6")) / name).read_bytes()
        )


@pytest.mark.parametrize(
    "argv, message",
    [
        (["--seed", "1"], "--seed 1: the run began with 0, and its past would be"),
        (["--learning-rate", "0.1"], "--learning-rate 0.1: the run began with 0.001"),
        (["--hidden", "3", "4"], "--hidden 3 4: the run began with 32"),
        (["--classes", "3", "4"], "--classes 3 4: the run began with 0 1"),
        (["--batch-size", "8"], "--batch-size 8: the run began with 32"),
        (["--monitor", "accuracy"], "--monitor accuracy: the run began with loss"),
        (["--patience", "4"], "--patience 4: the run began with 5, and might have"),
        (["--no-shuffle"], "--no-shuffle: the run began with True"),
        (["--epochs", "9"], "the cosine schedule was laid out over 6 epochs"),
        (["--epochs", "5"], "--epochs 5: the run began with 6, of which 2 are done"),
        (["--output-dir", "other"], "--output-dir is for a new run; with --resume"),
        (["--overwrite"], "--overwrite is for a new run"),
    ],
)
def test_what_would_change_the_past_is_refused(argv, message, cut, capsys):
    cut(MIXED)
    before = {path: path.read_bytes() for path in Path("run").rglob("*.*")}
    capsys.readouterr()
    assert binary("--resume", "run", *argv) == 2
    told = capsys.readouterr().err
    assert told.startswith("train_binary.py: ") and told.count("\n") == 1
    assert message in told
    assert before == {path: path.read_bytes() for path in Path("run").rglob("*.*")}


# A value of each flag other than the default; None for those that may change.
OTHERS = {
    **dict.fromkeys(("dataset", "data_dir", "device", "report_every"), None),
    **dict.fromkeys(("checkpoint_every", "keep_checkpoints", "plots"), None),
    **dict.fromkeys(("output_dir", "overwrite", "resume", "test_dataset"), None),
    **{"classes": (3, 4), "hidden": (), "dropout": 0.5, "optimizer": "sgd"},
    **{"momentum": 0.5, "learning_rate": 0.5, "weight_decay": 0.5, "init": "torch"},
    **{"schedule": "step", "clip_norm": 1.0, "label_smoothing": 0.5},
    **{"class_weights": (1.0, 2.0), "batch_size": 7, "epochs": 1, "patience": 3},
    **{"validation_fraction": 0.5, "monitor": "accuracy", "shuffle": False},
    **{"seed": 5, "seeds": 2, "split_seed": 3, "likelihood": "categorical"},
    **{"recipe": "a", "activation": "gelu", "ema_decay": 0.9},
    **{"folds": 3, "repeats": 2, "resplit": 4},
    **{"calibrate": True, "threshold": 0.3, "costs": (1.0, 2.0), "conformal": 0.1},
    **{"target": "x", "categorical": ("x",), "numeric": ("x",), "drop": ("x",)},
    "standardize": True,
}


def test_every_flag_that_changes_the_past_is_refused(cut):
    assert OTHERS.keys() == {field.name for field in dataclasses.fields(BinaryFlags)}
    cut(FULL)
    folder = Path("run")
    flags = read_flags(BinaryFlags, read_json(folder / "config.json"))
    assert read_past(flags, folder).epoch == 3
    for name, value in OTHERS.items():
        changed = dataclasses.replace(flags, **{name: value})
        if value is None:
            read_past(changed, folder)
            continue
        with pytest.raises(ValueError, match=f"^--(no-)?{name.replace('_', '-')}[ :]"):
            read_past(changed, folder)


@pytest.mark.slow
def test_epochs_of_a_schedule_may_change_before_any_is_done(cut):
    cut(MIXED, after=0)
    assert binary("--resume", "run", "--epochs", "3") == 0
    assert metrics("run")["chosen"]["epochs_done"] == 3


@pytest.mark.slow
def test_other_data_are_refused(monkeypatch, capsys):
    import numpy as np

    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(40, 3)).astype(np.float32), rng.integers(0, 2, 40)
    np.savez("own.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    flags = ("--dataset", "own.npz", "--epochs", "4", "--no-plots")
    assert binary(*flags, "--output-dir", "straight") == 0
    cut_off(flags, monkeypatch)
    shutil.copytree("run", "copy")
    assert binary("--resume", "copy") == 0
    assert_equal_runs("copy", "straight")
    np.savez("own.npz", x_train=x + 1e-6, y_train=y, x_test=x, y_test=y)
    assert binary("--resume", "run") == 2
    assert "the data are not those that the run began with" in capsys.readouterr().err
    np.savez("moved.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    assert binary("--resume", "run", "--dataset", "moved.npz") == 0


def test_another_scripts_run_and_no_run_are_refused(straight, capsys):
    assert main.train_multiclass(["--resume", str(straight(FULL))]) == 2
    assert "was made by train_binary.py, not by train_multiclass.py" in (
        capsys.readouterr().err
    )
    assert binary("--resume", "none") == 2
    assert "none holds no run that can be read" in capsys.readouterr().err
    assert not Path("none").exists()


def test_another_environment_is_said(cut, capsys):
    cut(FULL)
    for path in ("run/config.json", *CHECKPOINTS.glob("*.json")):
        value = read_json(path)
        config = value.get("config", value)
        config["machine"], config["xla_flags"] = "64 cores of another", "--xla_other"
        config["versions"] |= {"jax": "0.0.1"}
        write_json(path, value)
    capsys.readouterr()
    assert binary("--resume", "run") == 0
    told = capsys.readouterr().err
    assert (
        told.count("\n") == 1 and "the last bits may differ from a run in one" in told
    )
    assert "machine (64 cores of another, now " in told and "xla_flags (--xla_" in told
    assert "versions ({" in told and "device (" not in told
    config = metrics("run")["config"]
    assert config["machine"] == "64 cores of another"
    (here,) = config["elsewhere"]
    assert here.keys() == set(ENVIRONMENT) and here["xla_flags"] != "--xla_other"
    # Also once it is back where it began.
    write_json("run/config.json", config | {name: here[name] for name in ENVIRONMENT})
    assert binary("--resume", "run", "--epochs", "13") == 0
    assert "some epochs were done elsewhere" in capsys.readouterr().err


@pytest.mark.slow
def test_class_weights_that_meant_something_else_are_said(monkeypatch, capsys):
    weights = ("--class-weights", "1", "3")
    cut_off((*FULL, *weights, "--batch-size", "32"), monkeypatch)
    for path in ("run/config.json", *CHECKPOINTS.glob("*.json")):
        value = read_json(path)
        del value.get("config", value)["pictures"]
        write_json(path, value)
    capsys.readouterr()
    assert binary("--resume", "run") == 0
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "a class weight means the same in each" in told
    # It is a run of this version from here on.
    assert binary("--resume", "run", "--epochs", "13") == 0
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "name",
    ["metrics.json", "model.safetensors", "history.jsonl", "config.json"],
)
@pytest.mark.parametrize("how", ["damaged", "gone"])
def test_a_finished_run_heals(name, how, straight, capsys):
    shutil.copytree(straight(MIXED), "run")
    content = bytearray(Path("run", name).read_bytes())
    content[len(content) // 2] ^= 1
    Path("run", name).write_bytes(content)
    if how == "gone":
        Path("run", name).unlink()
    assert binary("--resume", "run") == 0
    told = capsys.readouterr().err
    if (name, how) == ("metrics.json", "gone"):
        assert told == ""
    else:
        assert told.count("\n") == 1 and name in told and "written again" in told
    assert_equal_runs("run", straight(MIXED))


def test_a_damaged_checkpoint_is_passed_over_in_a_line(straight, cut, capsys):
    cut(FULL, after=2)
    path = CHECKPOINTS / "epoch-0000000006.safetensors"
    path.write_bytes(path.read_bytes()[:-10])
    capsys.readouterr()
    assert binary("--resume", "run") == 0
    told = capsys.readouterr()
    assert "run: resumed from epoch 3" in told.out
    assert told.err == (
        f"train_binary.py: passed over: {path}: changed or damaged since it was written.\n"
    )
    assert_equal_runs("run", straight(FULL))


def test_a_run_that_diverges_keeps_its_last_good_checkpoint(capsys):
    flags = ("--optimizer", "sgd", "--learning-rate", "0.1", "--weight-decay", "30")
    # Each step doubles the kernels, so that it takes a while.
    flags += ("--epochs", "2000", "--checkpoint-every", "50", "--report-every", "1")
    assert binary(*DIGITS, *flags, "--output-dir", "run") == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    assert "the loss is not finite from step" in told or "not finite after" in told
    assert "try a smaller learning_rate, a clip_norm" in told
    lines = Path("run/history.jsonl").read_text().splitlines()
    last = json.loads(lines[-1])["epoch"]
    assert f"Kept in run: history and checkpoint of {last} of 2000 epochs" in told
    assert (CHECKPOINTS / f"epoch-{last:010}.json").exists()


def test_a_stop_is_a_keyboard_interrupt():
    # So that no `except Exception` on the way swallows it.
    assert issubclass(Stopped, KeyboardInterrupt)


def test_checkpoints_of_another_run_are_refused_by_name(straight, cut, capsys):
    cut(FULL, after=2)
    other = straight((*FULL, "--momentum", "0.9", "--optimizer", "sgd"))
    name = "epoch-0000000012"
    for kind in ("json", "safetensors"):
        shutil.copy(other / "checkpoints" / f"{name}.{kind}", CHECKPOINTS)
    before = {path: path.read_bytes() for path in Path("run").rglob("*.*")}
    capsys.readouterr()
    assert binary("--resume", "run") == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and f"{CHECKPOINTS / name}.safetensors belongs" in told
    assert 'its optimizer is "sgd", here it is "adam"' in told
    with pytest.raises(ValueError, match="belongs to another run"):
        load_run("run")
    assert before == {path: path.read_bytes() for path in Path("run").rglob("*.*")}
    for path in CHECKPOINTS.glob(f"{name}.*"):
        path.unlink()
    assert binary("--resume", "run") == 0
    assert_equal_runs("run", straight(FULL))


def test_a_result_of_another_run_is_refused_by_name(straight, capsys):
    shutil.copytree(straight(FULL), "run")
    other = straight((*FULL, "--seed", "3"))
    for name in ("metrics.json", "model.safetensors", "history.jsonl"):
        shutil.copy(other / name, "run")
    assert binary("--resume", "run") == 2
    told = capsys.readouterr().err
    assert (
        "run/metrics.json belongs to another run: its seed is 3, here it is 0" in told
    )
    with pytest.raises(ValueError, match="its seed is 3, here it is 0"):
        load_run("run")


def test_a_checkpoint_of_fewer_epochs_planned_is_the_runs_own(straight, monkeypatch):
    # As it is after more --epochs were given and before another checkpoint was written.
    cut_off((*FULL[:-6], "--epochs", "9", *FULL[-4:]), monkeypatch)
    with monkeypatch.context() as patched:
        patched.setattr(train, "_train_and_score", lambda *_: None)
        assert binary("--resume", "run", "--epochs", "12") == 0
    assert binary("--resume", "run") == 0
    found, wanted = metrics("run"), metrics(straight(FULL))
    assert found["train"] == wanted["train"] and found["test"] == wanted["test"]


@pytest.mark.slow
def test_pictures_that_are_not_all_there_are_drawn(straight, capsys):
    shutil.copytree(straight(FULL), "run")
    names = ("curves.png", "confusion.png", "mistakes.png", "reliability.png")
    assert binary("--resume", "run", "--plots") == 0
    drawn = {name: Path("run", name).read_bytes() for name in names}
    for lost in (names[2:], names[1:], names[:1]):
        for name in lost:
            Path("run", name).unlink()
        assert binary("--resume", "run", "--plots") == 0
        assert drawn == {name: Path("run", name).read_bytes() for name in names}
    capsys.readouterr()
    assert binary("--resume", "run", "--plots") == 0
    assert "is finished" in capsys.readouterr().out


@pytest.mark.slow
def test_a_picture_that_cannot_be_drawn_is_not_the_runs_failure(monkeypatch, capsys):
    def failing(*_):
        raise RuntimeError("no ink")

    flags = ("--dataset", "digits", "--epochs", "2", "--output-dir", "run")
    with monkeypatch.context() as patched:
        patched.setattr(plots, "confusion", failing)
        assert binary(*flags) == 0
    assert capsys.readouterr().err == (
        "train_binary.py: confusion.png could not be drawn, the result stands: no ink\n"
    )
    assert metrics("run")["test"] and Path("run/mistakes.png").exists()
    assert binary("--resume", "run") == 0
    assert Path("run/confusion.png").exists()


@pytest.mark.parametrize("finished", [True, False])
def test_checkpoints_that_were_to_be_removed_are_removed(finished, straight):
    shutil.copytree(straight(FULL), "run")
    before = sorted(path.name for path in CHECKPOINTS.iterdir())
    for kind in ("json", "safetensors"):
        shutil.copy(CHECKPOINTS / before[0].replace("json", kind), f"older.{kind}")
        Path(f"older.{kind}").rename(CHECKPOINTS / f"epoch-0000000006.{kind}")
    (CHECKPOINTS / "epoch-0000000003.safetensors").write_bytes(b"left")
    (CHECKPOINTS / "notes.txt").write_text("mine")
    if not finished:
        Path("run/metrics.json").unlink()
    assert binary("--resume", "run") == 0
    after = sorted(path.name for path in CHECKPOINTS.iterdir())
    assert after == sorted([*before, "notes.txt"])
    assert_equal_runs("run", straight(FULL))


def test_a_folder_that_is_moved_away_gets_nothing_more(monkeypatch, capsys):
    def fit_and_move(*arguments, on_checkpoint, **settings):
        def checkpoint(epoch, state):
            if epoch == 6:
                os.rename("run", "moved")
                shutil.copytree("moved", "run")
            on_checkpoint(epoch, state)

        return fit(*arguments, on_checkpoint=checkpoint, **settings)

    with monkeypatch.context() as patched:
        patched.setattr(train, "fit", fit_and_move)
        assert binary(*FULL, "--output-dir", "run") == 2
    told = capsys.readouterr().err
    assert told.count("\n") == 1 and "run is no longer the folder" in told
    assert not (CHECKPOINTS / "epoch-0000000006.json").exists()
    assert binary("--resume", "moved") == 0


def test_a_result_of_an_earlier_version_lacks_later_flags():
    flags = {"seed": 0, "folds": None}
    config = {"flags": flags, "data_sha256": "ab", "schedule": "constant"}
    for kept, want in (({"seed": 0}, True), ({"seed": 1}, False)):
        metrics = {"config": config | {"flags": kept}}
        assert is_result_of(metrics, config) is want
    assert not is_result_of({"config": config | {"data_sha256": "cd"}}, config)
