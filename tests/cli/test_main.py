"""The command `jaxcls`: a word for each script, and what it says of others."""

import importlib.metadata
import subprocess
import sys
from pathlib import Path

import pytest

from jaxcls.cli import main

SCRIPTS = Path(__file__).parents[2] / "scripts"
FLAGS = ("--dataset", "digits", "--epochs", "1", "--no-plots", "--output-dir")


def test_each_command_has_a_script_of_its_name():
    for name in main.COMMANDS:
        assert (SCRIPTS / f"{name.replace('-', '_')}.py").exists()


def test_a_command_does_what_its_script_does(tmp_path, capsys):
    folder = str(tmp_path / "run")
    assert main.main(["train-binary", *FLAGS, folder]) == 0
    assert main.main(["train-binary", *FLAGS, folder]) == 2
    assert capsys.readouterr().err.startswith(f"jaxcls train-binary: {folder} holds a")
    # Whichever of the two began a run, the other resumes it.
    assert main.train_binary(["--resume", folder]) == 0
    assert main.main(["evaluate", folder]) == 0


@pytest.mark.parametrize(
    "argv, told",
    [
        ([], "jaxcls: no command was given; name one of train-binary, "),
        (["train"], "jaxcls: there is no command train; name one of train-binary, "),
    ],
)
def test_what_is_no_command_is_a_sentence(argv, told, capsys):
    assert main.main(argv) == 2
    err = capsys.readouterr().err
    assert err.startswith(told) and err.count("\n") == 1


def test_help_lists_the_commands(capsys):
    assert main.main(["--help"]) == 0
    out = capsys.readouterr().out
    assert "  sweep             Trains many settings" in out
    assert all(f"  {name} " in out for name in main.COMMANDS)


def test_a_module_and_an_installed_command_are_the_same():
    done = subprocess.run(
        [sys.executable, "-m", "jaxcls", "sweep", "--seeds", "0"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2
    assert done.stderr.startswith("jaxcls sweep: seeds must be at least 1, got 0.")
    (installed,) = importlib.metadata.entry_points(
        group="console_scripts", name="jaxcls"
    )
    assert installed.load() is main.main
