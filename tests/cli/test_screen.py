"""What reaches a terminal, and what happens where there is none to reach."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxcls.cli import main, screen

SCRIPTS = Path(__file__).parents[2] / "scripts"
FLAGS = ("--dataset", "digits", "--epochs", "3", "--no-plots", "--output-dir")
needs_full_disk = pytest.mark.skipif(
    not os.path.exists("/dev/full"), reason="needs /dev/full, which Linux has"
)


def script(name, *argv, **settings):
    return subprocess.run(
        [sys.executable, SCRIPTS / name, *argv],
        **{"capture_output": True, "text": True} | settings,
    )


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("zèbre 斑馬 🦓", "zèbre 斑馬 🦓"),
        ("a\tb\rc\nd", r"a\tb\rc\nd"),
        ("\x9b2J", r"\x9b2J"),  # an escape sequence's begin in one byte
        ("cat\u202egod", r"cat\u202egod"),  # written from right to left
        ("\udcff.npz", r"\udcff.npz"),  # a file's name that is not UTF-8
        ("no\u200bbreak\u2028line", r"no\u200bbreak\u2028line"),
    ],
)
def test_what_can_not_be_shown_is_an_escape(text, shown, capsys):
    screen.show(text)
    screen.note(text, "some.py")
    told = capsys.readouterr()
    assert told.out == f"{shown}\n"
    assert told.err.count("\n") == 1 and "\x1b" not in told.err


def test_a_note_is_short_and_ends_in_what_to_do(capsys):
    screen.note(f"no such name: {'x' * 100_000}; give another one.", "some.py")
    told = capsys.readouterr().err
    assert told.startswith("some.py: no such name: xxx")
    assert told.endswith("x; give another one.\n")
    assert len(told) < 1300


@pytest.mark.slow
def test_a_terminal_without_a_paths_letters(tmp_path):
    done = script(
        "train_binary.py",
        *(*FLAGS, "é斑"),
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "latin-1"},
        text=False,
    )
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.endswith(b"run folder      \xe9\\u6591\n")
    assert (tmp_path / "é斑" / "metrics.json").exists()


@pytest.mark.slow
@needs_full_disk
def test_a_training_goes_on_without_a_full_disk_behind_its_screen(tmp_path):
    with open("/dev/full", "wb") as full:
        done = script(
            *("train_binary.py", *FLAGS, "run", "--batch-size", "99999"),
            cwd=tmp_path,
            capture_output=False,
            stdout=full,
            stderr=subprocess.PIPE,
        )
        assert done.returncode == 0
        assert done.stderr.count("standard output: it can't be written (No space") == 1
        assert (tmp_path / "run" / "metrics.json").exists()
        silent = script(
            *("train_binary.py", *FLAGS, "run", "--overwrite", "--batch-size", "99999"),
            cwd=tmp_path,
            capture_output=False,
            stdout=full,
            stderr=full,
        )
        assert silent.returncode == 0
        # A result that can't be told is no success, nor an error that can't be.
        for name, code in (("evaluate.py", 2), ("predict.py", 2)):
            np.save(tmp_path / "x.npy", np.zeros((1, 28, 28), np.uint8))
            argv = ("run", "x.npy") if name == "predict.py" else ("run",)
            lost = script(
                *(name, *argv),
                cwd=tmp_path,
                capture_output=False,
                stdout=full,
                stderr=subprocess.PIPE,
            )
            assert lost.returncode == code
            assert "standard output can't be written (No space left" in lost.stderr
            assert lost.stderr.count("\n") == 1
        wrong = script(
            *("train_binary.py", *FLAGS, "other", "--epochs", "0"),
            cwd=tmp_path,
            capture_output=False,
            stdout=full,
            stderr=full,
        )
        assert wrong.returncode == 2


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A run of a process whose streams are open, and its files."""
    run = tmp_path_factory.mktemp("open") / "run"
    argv = (*FLAGS, str(run), "--batch-size", "99999", "--report-every", "1")
    done = script("train_binary.py", *argv)
    assert done.returncode == 0
    names = ("history.jsonl", "model.safetensors")
    return argv, {run / name: (run / name).read_bytes() for name in names}


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", ["<&- >&-", "2>&-", "<&- >&- 2>&-"])
def test_no_file_of_a_run_gets_the_number_of_a_closed_stream(closed, told):
    argv, files = told
    command = f'"$@" {closed}'
    whole = [sys.executable, SCRIPTS / "train_binary.py", *argv, "--overwrite"]
    for path in files:
        path.unlink()
    done = subprocess.run(["sh", "-c", command, "sh", *whole])
    assert done.returncode == 0
    for path, content in files.items():
        assert path.read_bytes() == content


@pytest.mark.parametrize("command", [main.evaluate, main.predict])
def test_a_result_that_no_one_can_get_is_an_error(
    command, tmp_path, monkeypatch, capsys
):
    run, rows = tmp_path / "run", tmp_path / "rows.npy"
    assert main.train_binary([*FLAGS, str(run)]) == 0
    np.save(rows, np.zeros((1, 784), np.uint8))
    capsys.readouterr()
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it that starts with >&-
    files = [str(rows)] if command is main.predict else []
    assert command([str(run), *files]) == 2
    told = capsys.readouterr().err
    assert "standard output can't be written (it is closed)" in told
    assert told.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("argv", [("evaluate.py", "run", "--json"), ("sweep.py", "-h")])
def test_a_reader_that_has_read_enough_is_no_error(argv, tmp_path):
    assert main.train_binary([*FLAGS, str(tmp_path / "run")]) == 0
    process = subprocess.Popen(
        [sys.executable, SCRIPTS / argv[0], *argv[1:]],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    process.stdout.close()
    assert (process.stderr.read(), process.wait()) == ("", 0)
    process.stderr.close()


@pytest.mark.slow
@pytest.mark.skipif(os.name != "posix", reason="needs a POSIX shell")
@pytest.mark.parametrize("closed", [">&-", "2>&-", ">&- 2>&-"])
def test_help_and_wrong_flags_need_no_stream(closed, tmp_path):
    for flag, code in (("--help", 0), ("--no-such-flag", 2)):
        command = [sys.executable, SCRIPTS / "train_binary.py", flag]
        done = subprocess.run(
            ["sh", "-c", f'"$@" {closed}', "sh", *command],
            cwd=tmp_path,
            capture_output=True,
            text=True,
        )
        assert done.returncode == code and "Traceback" not in done.stderr
        # What was for a stream that is closed goes nowhere else.
        assert not (done.stdout if closed[:3] == ">&-" else "")
