"""scripts/torture.py: everything it tries holds, and its own checks can fail."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
import torture
from faults import calls

SCRIPT = Path(__file__).parents[1] / "scripts" / "torture.py"
LAST = "checkpoints/epoch-0000000004.safetensors"
COMPARED = ("model.safetensors", "last.safetensors", "history.jsonl", LAST)


@pytest.fixture
def runs(tmp_path):
    """Two folders with the files of the same finished run."""
    first, second = tmp_path / "first", tmp_path / "second"
    (first / "checkpoints").mkdir(parents=True)
    for name in COMPARED:
        (first / name).write_bytes(bytes(100))
    for name in ("config.json", "metrics.json"):
        (first / name).write_text(json.dumps({"loss": 0.5, "seconds": {"total": 1.0}}))
    shutil.copytree(first, second)
    return first, second


@pytest.mark.slow
def test_everything_holds_in_short(tmp_path):
    done = subprocess.run(
        [sys.executable, SCRIPT, "--short"],
        capture_output=True,
        text=True,
        env=os.environ | {"TMPDIR": str(tmp_path)},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    table, verdict = done.stdout.split("\n\n")
    head, _, *rows = [
        [cell.strip() for cell in line.split(" | ")] for line in table.splitlines()
    ]
    # Where strace may not trace, one row for each job says so.
    traced = [row[0] for row in rows if "each call on its folder" in row[0]]
    assert len(traced) >= len(calls.IN_SHORT)
    assert head == ["what was tried", "times", "what was lost", "held"]
    assert [row[0] for row in rows] == [
        "kill -9 of train_binary.py, at any moment and while it writes",
        "SIGINT",
        "SIGTERM",
        "SIGHUP, of a terminal that is closed",
        "a second signal at once",
        "a limit on the size of files",
        "a full disk",
        "a read-only folder",
        "two processes on one run",
        "the folder moved away, another run under its name",
        "another run's checkpoints in the folder",
        "standard output and error closed",
        "a full disk behind both",
        "a reader that goes away",
        "kept programs that are damaged",
        "the clock set back, the files of the future",
        *(
            f"{kind} run: a file {how}"
            for kind in ("interrupted", "finished")
            for how in (
                "with a byte flipped",
                "cut short",
                "missing",
                "with a stale temporary file beside it",
            )
        ),
        *traced,
    ]
    assert rows[0][1].startswith("4 (")
    untried = {row[0] for row in rows if row[3] != "yes"}
    assert untried <= {"a full disk", "a read-only folder", *traced}
    held = len(rows) - len(untried)
    assert verdict.startswith(f"{held} of {held} held in ")
    assert not list(tmp_path.iterdir())


def test_equal_runs_are_equal_whatever_they_took(runs):
    straight, folder = runs
    metrics = {"loss": 0.5, "seconds": {"total": 2.0}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert torture.differences(straight, folder) == []


@pytest.mark.parametrize("name", [*COMPARED, "config.json", "metrics.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_changed_file_is_seen(runs, name, how):
    straight, folder = runs
    changed = folder / name
    if how == "flip":
        changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    elif how == "cut":
        os.truncate(changed, 10)
    else:
        changed.unlink()
    assert torture.differences(straight, folder) == [changed.name]


def test_another_score_is_seen(runs):
    straight, folder = runs
    (folder / "metrics.json").write_text(json.dumps({"loss": 0.25}))
    assert torture.differences(straight, folder) == ["metrics.json"]


def test_a_temporary_file_that_is_left_is_seen(runs):
    straight, folder = runs
    (folder / "checkpoints" / ".epoch-0000000004.json.7.tmp").touch()
    assert torture.differences(straight, folder) == [".epoch-0000000004.json.7.tmp"]


@pytest.mark.parametrize(
    "code, problem",
    [
        ("raise SystemExit(2)", "expected exit code"),
        ("print(end='Traceback', file=__import__('sys').stderr)", "no traceback"),
        ("print('resumed from epoch 3')", "on from 3, not the whole 0"),
    ],
)
def test_a_process_that_ends_otherwise_is_seen(tmp_path, code, problem):
    with (
        torture.Child(
            [sys.executable, "-c", code], tmp_path, dict(os.environ)
        ) as child,
        pytest.raises(torture.Broken, match=problem),
    ):
        child.end(0)


def test_a_lost_checkpoint_is_seen(tmp_path):
    with torture.Child(["true"], tmp_path, dict(os.environ)) as child:
        child.newest = 8
        with pytest.raises(torture.Broken, match="checkpoint of epoch 8 is lost"):
            child.end(0)


def test_what_did_not_hold_is_told_and_kept(tmp_path, monkeypatch, capsys):
    row = torture.Row("a fault", times=3)

    def try_all(home, _):
        with torture.trying(row):
            raise torture.Broken("it differs")
        return [row, torture.Row("another", times=2)], 7

    monkeypatch.setattr(torture, "try_all", try_all)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert torture.main([]) == 1
    out = capsys.readouterr().out
    (kept,) = tmp_path.iterdir()
    assert "a fault        | 3     | see below" in out
    assert "1 of 2 held" in out
    assert out.endswith(f"a fault: it differs\nkept: {kept}\n")


def test_no_calls_at_all_are_refused(capsys):
    assert torture.main(["--calls", "0"]) == 2
    assert "--calls 0: give at least 1" in capsys.readouterr().err


def test_what_cannot_be_tried_is_not_counted_as_held(tmp_path, monkeypatch, capsys):
    row = torture.Row("a fault")
    with torture.trying(row):
        torture.try_command("no-such-command")
    monkeypatch.setattr(torture, "try_all", lambda *_: ([row], 0))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert torture.main([]) == 0
    out = capsys.readouterr().out
    assert "could not be tried: " in out
    assert "0 of 0 held" in out
    assert out.endswith("Not tried here: a fault.\n")
    assert not list(tmp_path.iterdir())


LOG = """\
openat(AT_FDCWD</>, "/run/config.json", O_RDONLY|O_CLOEXEC) = 3</run/config.json>
read(3</run/config.json>, "{}", 9) = 2
openat(AT_FDCWD</>, "/elsewhere", O_WRONLY|O_CREAT) = 3</elsewhere>
openat(AT_FDCWD</>, "/run/.a.json.71.tmp", O_WRONLY|O_CREAT) = 3</run/.a.json.71.tmp>
newfstatat(3</run/.a.json.71.tmp>, "", {st_size=0}, AT_EMPTY_PATH) = 0
write(3</run/.a.json.71.tmp>, "{}", 2) = 2
write(1<pipe:[9]>, "run folder /run", 15) = 15
read(3</run/config.json>, "", 9) = 0
+++ exited with 0 +++""".splitlines()


def test_each_call_on_a_folder_is_tried():
    found = list(calls._parsed(LOG, Path("/run")))
    # As strace counts them, those elsewhere too.
    assert [(call.name, call.number, call.changes) for call in found] == [
        ("openat", 1, False),
        ("read", 1, False),
        ("openat", 3, True),
        ("newfstatat", 1, False),
        ("write", 1, True),
        ("read", 2, False),
    ]
    assert "71" not in found[2].what
    for fault in (calls.KILL, calls.SIGNAL):
        assert calls.chosen(found, fault) == [found[2], found[4]]
    # The same file is read once; no size of a file that is open fails.
    assert calls.chosen(found, calls.FAILURE) == [found[2], found[4], *found[:2]]


@pytest.mark.parametrize(
    "fault, code, err, held",
    [
        (calls.KILL, -9, "", True),
        (calls.KILL, 0, "", False),
        (calls.SIGNAL, 143, "stopped\n", True),
        (calls.SIGNAL, 2, "no\n", False),
        (calls.FAILURE, 2, "could not be written\n", True),
        (calls.FAILURE, 0, "a note\n", True),
        (calls.FAILURE, 2, "", False),
        (calls.FAILURE, 2, "Traceback: a\n", False),
        (calls.FAILURE, 2, "one\ntwo\n", False),
        (calls.FAILURE, 1, "no\n", False),
    ],
)
def test_a_command_that_ends_otherwise_at_a_fault_is_seen(fault, code, err, held):
    if held:
        calls._check_end(fault, code, err, "said")
    else:
        with pytest.raises(torture.Broken, match="said"):
            calls._check_end(fault, code, err, "said")


@pytest.mark.parametrize("change", ["a file", "no file", "another", "an empty folder"])
def test_a_folder_that_is_another_after_a_fault_is_seen(runs, change):
    straight, folder = runs
    command = calls.Command("a job", straight.parent, "train_binary.py", {})
    command.straight = straight
    if change == "a file":
        (folder / "left.tmp").touch()
    elif change == "no file":
        (folder / "history.jsonl").unlink()
    elif change == "another":
        (folder / "config.json").write_text("{}")
    else:
        (folder / "members").mkdir()
    with pytest.raises(torture.Broken, match="is not as undisturbed: "):
        command.compare(folder)
    shutil.rmtree(folder)
    shutil.copytree(straight, folder)
    command.compare(folder)
    assert not folder.exists()
