"""scripts/torture.py: everything it tries holds, and its own checks can fail."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "scripts" / "torture.py"
LAST = "checkpoints/epoch-0000000004.safetensors"
COMPARED = ("model.safetensors", "last.safetensors", "history.jsonl", LAST)


@pytest.fixture(scope="module")
def torture():
    spec = importlib.util.spec_from_file_location("torture", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


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
    assert head == ["what was tried", "times", "what was lost", "held"]
    assert [row[0] for row in rows] == [
        "kill -9 of train_binary.py, at any moment and while it writes",
        "SIGINT",
        "SIGTERM",
        "a second signal at once",
        "a limit on the size of files",
        "a full disk",
        "a read-only folder",
        "two processes on one run",
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
    ]
    assert rows[0][1].startswith("4 (")
    untried = {row[0] for row in rows if row[3] != "yes"}
    assert untried <= {"a full disk", "a read-only folder"}
    held = len(rows) - len(untried)
    assert verdict.startswith(f"{held} of {held} held in ")
    assert not list(tmp_path.iterdir())


def test_equal_runs_are_equal_whatever_they_took(torture, runs):
    straight, folder = runs
    metrics = {"loss": 0.5, "seconds": {"total": 2.0}}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    assert torture.differences(straight, folder) == []


@pytest.mark.parametrize("name", [*COMPARED, "config.json", "metrics.json"])
@pytest.mark.parametrize("how", ["flip", "cut", "remove"])
def test_a_changed_file_is_seen(torture, runs, name, how):
    straight, folder = runs
    changed = folder / name
    if how == "flip":
        changed.write_bytes(changed.read_bytes()[:-1] + b"?")
    elif how == "cut":
        os.truncate(changed, 10)
    else:
        changed.unlink()
    assert torture.differences(straight, folder) == [changed.name]


def test_another_score_is_seen(torture, runs):
    straight, folder = runs
    (folder / "metrics.json").write_text(json.dumps({"loss": 0.25}))
    assert torture.differences(straight, folder) == ["metrics.json"]


def test_a_temporary_file_that_is_left_is_seen(torture, runs):
    straight, folder = runs
    (folder / "checkpoints" / ".epoch-0000000004.json.7.tmp").touch()
    assert torture.differences(straight, folder) == [".epoch-0000000004.json.7.tmp"]


@pytest.mark.parametrize(
    "code, problem",
    [
        ("raise SystemExit(2)", "expected exit code"),
        ("print(end='Traceback', file=__import__('sys').stderr)", "no traceback"),
        ("print('on from epoch 3')", "on from 3, not the whole 0"),
    ],
)
def test_a_process_that_ends_otherwise_is_seen(torture, tmp_path, code, problem):
    with (
        torture.Child(
            [sys.executable, "-c", code], tmp_path, dict(os.environ)
        ) as child,
        pytest.raises(torture.Broken, match=problem),
    ):
        child.end(0)


def test_a_lost_checkpoint_is_seen(torture, tmp_path):
    with torture.Child(["true"], tmp_path, dict(os.environ)) as child:
        child.newest = 8
        with pytest.raises(torture.Broken, match="checkpoint of epoch 8 is lost"):
            child.end(0)


def test_what_did_not_hold_is_told_and_kept(torture, tmp_path, monkeypatch, capsys):
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


def test_what_cannot_be_tried_is_not_counted_as_held(
    torture, tmp_path, monkeypatch, capsys
):
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
