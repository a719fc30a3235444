"""Ctrl-C and SIGTERM: a checkpoint and its exit code; a second one ends at once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jaxcls import fit
from jaxcls.cli import main, train
from jaxcls.runs import newest_checkpoint

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_binary.py"
SHORT = ("--dataset", "digits", "--epochs", "4", "--no-plots", "--output-dir", "run")


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def handlers():
    """What a run that stops does to signals stays in its test."""
    before = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    yield before
    for each, handler in before.items():
        signal.signal(each, handler)


def binary(*argv):
    return main.train_binary(argv)


def history():
    lines = Path("run/history.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def started(*flags):
    """A process with a long run, once it has reported three times."""
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--dataset", "digits", *flags, "--output-dir", "run"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = [process.stdout.readline() for _ in range(4)]
    assert lines[-1].startswith("epoch "), lines
    return process


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_leaves_a_checkpoint_to_go_on_from(signum):
    process = started("--epochs", "1000000", "--report-every", "100")
    process.send_signal(signum)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    epoch = history()[-1]["epoch"]
    assert told.splitlines() == [
        "stopping after the epochs in hand; once more: at once",
        f"train_binary.py: stopped after {epoch} of 1000000 epochs; go on with "
        "train_binary.py --resume run",
    ]
    checkpoint, problems = newest_checkpoint(Path("run"))
    assert (checkpoint.epoch, problems) == (epoch, [])
    assert checkpoint.history == history()
    assert sorted(os.listdir("run")) == ["checkpoints", "config.json", "history.jsonl"]


@pytest.mark.slow
def test_a_second_signal_does_not_wait():
    # A segment of a hundred thousand epochs, which takes a minute.
    process = started("--epochs", "10000000", "--report-every", "1")
    process.kill()
    process.communicate()
    process = subprocess.Popen(
        [
            *(sys.executable, SCRIPT, "--resume", "run", "--epochs", "9000000"),
            *("--report-every", "1000000", "--checkpoint-every", "1000000"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "run: on from epoch 0" in process.stdout.readline()
    process.stdout.readline()
    time.sleep(2)  # into the segment
    process.send_signal(signal.SIGTERM)
    assert "once more: at once" in process.stderr.readline()
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert time.monotonic() - start < 5
    assert process.returncode == -signal.SIGTERM  # which a shell shows as 143


def send_to_fit(monkeypatch, signum):
    def interrupted(*arguments, **settings):
        os.kill(os.getpid(), signum)
        return fit(*arguments, **settings)

    monkeypatch.setattr(train, "fit", interrupted)


@pytest.mark.parametrize("signum", [signal.SIGINT, signal.SIGTERM])
def test_the_epochs_in_hand_are_finished(signum, monkeypatch, capfd, handlers):
    with monkeypatch.context() as patched:
        send_to_fit(patched, signum)
        assert binary(*SHORT, "--report-every", "3") == 128 + signum
    assert "stopped after 1 of 4 epochs; go on with" in capfd.readouterr().err
    for each, handler in handlers.items():
        assert signal.getsignal(each) is signal.SIG_DFL  # a second one ends at once
        signal.signal(each, handler)
    assert binary("--resume", "run") == 0
    assert [record["epoch"] for record in history()] == [3, 4]
    assert binary(*SHORT[:-1], "straight", "--report-every", "3") == 0
    for name in ("model.safetensors", "history.jsonl"):
        assert Path("run", name).read_bytes() == Path("straight", name).read_bytes()


def test_a_signal_in_the_last_epochs_leaves_only_the_scores_to_do(monkeypatch, capfd):
    with monkeypatch.context() as patched:
        send_to_fit(patched, signal.SIGINT)
        every = ("--report-every", "4", "--checkpoint-every", "4")
        assert binary(*SHORT, *every) == 130
    assert "stopped after 4 of 4 epochs" in capfd.readouterr().err
    assert not Path("run/metrics.json").exists()
    assert binary("--resume", "run") == 0
    assert Path("run/metrics.json").exists()


def test_an_ignored_ctrl_c_stays_ignored(monkeypatch):
    # As in a shell's background.
    send_to_fit(monkeypatch, signal.SIGINT)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert binary(*SHORT) == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
