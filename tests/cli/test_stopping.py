"""Ctrl-C, SIGTERM and SIGHUP: a checkpoint and its exit code; a second one ends at once."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from jaxcls import fit
from jaxcls.cli import main, train
from jaxcls.cli.signals import StopRequest
from jaxcls.runs import newest_checkpoint

SCRIPT = Path(__file__).parents[2] / "scripts" / "train_binary.py"
SIGNALS = [
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP")
    if hasattr(signal, name)
]
SHORT = ("--dataset", "digits", "--epochs", "4", "--no-plots", "--output-dir", "run")


@pytest.fixture(autouse=True)
def in_a_new_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


@pytest.fixture(autouse=True)
def handlers():
    """What a run that stops does to signals stays in its test.

    None is ignored at first, as a shell has it for what runs in its background.
    """
    before = {each: signal.getsignal(each) for each in SIGNALS}
    at_first = dict.fromkeys(SIGNALS, signal.SIG_DFL)
    at_first[signal.SIGINT] = signal.default_int_handler
    for each, handler in at_first.items():
        signal.signal(each, handler)
    yield at_first
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


def started_at_all(*flags):
    """A process with a run, of which nothing is known but that its folder is there."""
    process = subprocess.Popen(
        [
            *(sys.executable, SCRIPT, "--dataset", "digits", *flags),
            *("--output-dir", "run"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert "train" in process.stdout.readline()
    return process


@pytest.mark.slow
def test_no_report_and_no_checkpoint_due_is_waited_for():
    most = ("--report-every", "1000000", "--checkpoint-every", "1000000")
    process = started_at_all("--epochs", "1000000", "--batch-size", "32", *most)
    time.sleep(5)
    process.send_signal(signal.SIGTERM)
    start = time.monotonic()
    _, told = process.communicate(timeout=60)
    assert time.monotonic() - start < 10
    assert process.returncode == 128 + signal.SIGTERM
    epoch = int(re.search(r"stopped after (\d+) of", told)[1])
    assert newest_checkpoint(Path("run"))[0].epoch == epoch > 0


# All three in this process are below.
@pytest.mark.parametrize(
    "signum",
    [
        pytest.param(each, marks=() if each == signal.SIGTERM else pytest.mark.slow)
        for each in SIGNALS
    ],
)
def test_a_signal_leaves_a_checkpoint_to_go_on_from(signum):
    process = started("--epochs", "1000000", "--report-every", "100")
    process.send_signal(signum)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 128 + signum
    epoch = int(re.search(r"stopped after (\d+) of", told)[1])
    assert told.splitlines() == [
        "stopping once what is being trained now is done and saved; a second signal stops at once",
        f"train_binary.py: stopped after {epoch} of 1000000 epochs; resume with "
        "train_binary.py --resume run",
    ]
    checkpoint, problems = newest_checkpoint(Path("run"))
    assert (checkpoint.epoch, problems) == (epoch, [])
    assert checkpoint.history == history()
    assert sorted(os.listdir("run")) == ["checkpoints", "config.json", "history.jsonl"]


@pytest.mark.slow
def test_a_second_signal_does_not_wait():
    # Epochs that take some seconds each.
    process = started_at_all("--hidden", "8192", "--batch-size", "1")
    time.sleep(2)  # into one of them
    process.send_signal(signal.SIGTERM)
    assert "a second signal stops at once" in process.stderr.readline()
    start = time.monotonic()
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=60)
    assert time.monotonic() - start < 5
    # A shell shows 143 of both.
    assert process.returncode in (-signal.SIGTERM, 128 + signal.SIGTERM)


@pytest.mark.slow
@pytest.mark.parametrize(
    "argv",
    [
        ("train_multiclass.py", "--seeds", "6", "--batch-size", "8"),
        ("sweep.py", "--learning-rate", "1e-3", "1e-2", "--batch-size", "16"),
    ],
)
@pytest.mark.parametrize("second", [signal.SIGINT, signal.SIGTERM])
def test_signals_reach_a_study_in_its_second_round(argv, second):
    # The main thread then waits inside XLA for the round before, which takes minutes.
    script, *flags = argv
    process = subprocess.Popen(
        [
            *(sys.executable, SCRIPT.with_name(script), "--dataset", "digits", *flags),
            *("--epochs", "3000000", "--device", "cpu", "--output-dir", "run"),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        process.stdout.readline()
        assert " devices" in process.stdout.readline()
        time.sleep(10)  # compiled, and into the round
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert "a second signal stops at once" in process.stderr.readline()
        assert time.monotonic() - start < 2
        start = time.monotonic()
        process.send_signal(second)
        process.wait(60)
        assert time.monotonic() - start < 2
        assert process.returncode in (128 + second, -second)
        assert process.stderr.read() == ""
    finally:
        process.kill()
        process.communicate()


IN_XLA = """
import sys, threading, time
import jax, numpy as np
from jaxcls.cli.signals import StopRequest, ending_at_once

endless = jax.jit(lambda x: jax.lax.while_loop(lambda x: x >= 0, lambda x: x + 1, x))
with StopRequest().listening() if sys.argv[1] == "saves" else ending_at_once():
    print("begun", flush=True)
    np.asarray(endless(1.0))
"""


@pytest.mark.parametrize(
    ("kind", "signals", "code"),
    [
        pytest.param(
            "saves nothing", [signal.SIGINT], -signal.SIGINT, marks=pytest.mark.slow
        ),
        pytest.param(
            "saves nothing", [signal.SIGTERM], -signal.SIGTERM, marks=pytest.mark.slow
        ),
        ("saves", [signal.SIGINT, signal.SIGTERM], 128 + signal.SIGTERM),
        pytest.param(
            "saves",
            [signal.SIGTERM, signal.SIGTERM],
            128 + signal.SIGTERM,
            marks=pytest.mark.slow,
        ),
    ],
)
def test_no_process_that_waits_inside_xla_outlives_two_signals(kind, signals, code):
    process = subprocess.Popen(
        [sys.executable, "-c", IN_XLA, kind], stdout=subprocess.PIPE, text=True
    )
    try:
        process.stdout.readline()
        time.sleep(1)
        for each in signals:
            process.send_signal(each)
            time.sleep(0.3)
        assert process.wait(2) == code
    finally:
        process.kill()
        process.communicate()


TWO_AT_ONCE = """
import signal, threading, time
from jaxcls.cli.signals import StopRequest

both = [signal.SIGINT, signal.SIGTERM]
with StopRequest().listening():
    signal.pthread_sigmask(signal.SIG_BLOCK, both)
    for each in both:
        signal.pthread_kill(threading.get_ident(), each)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, both)
    time.sleep(60)
"""


def test_two_signals_before_python_can_answer_the_first():
    done = subprocess.run(
        [sys.executable, "-c", TWO_AT_ONCE], capture_output=True, text=True, timeout=30
    )
    # The system may hand over either first.
    assert done.returncode in (128 + signal.SIGINT, 128 + signal.SIGTERM)
    # The second may end the process before the first is answered; and nothing else is said.
    answer = (
        "stopping once what is being trained now is done and saved; "
        "a second signal stops at once\n"
    )
    assert done.stderr in ("", answer)


def test_listening_leaves_no_trace(handlers):
    before, threads = signal.set_wakeup_fd(-1), threading.active_count()
    request = StopRequest()
    with request.listening():
        assert threading.active_count() == threads + 1
    assert request.signum is None
    assert {each: signal.getsignal(each) for each in SIGNALS} == handlers
    assert (signal.set_wakeup_fd(before), threading.active_count()) == (-1, threads)


def send_to_fit(monkeypatch, signum):
    def interrupted(*arguments, **settings):
        os.kill(os.getpid(), signum)
        return fit(*arguments, **settings)

    monkeypatch.setattr(train, "fit", interrupted)


@pytest.mark.parametrize("signum", SIGNALS)
def test_the_epochs_in_hand_are_finished(signum, monkeypatch, capfd, handlers):
    with monkeypatch.context() as patched:
        send_to_fit(patched, signum)
        assert binary(*SHORT, "--report-every", "3") == 128 + signum
    assert "stopped after 1 of 4 epochs; resume with" in capfd.readouterr().err
    for each, handler in handlers.items():
        assert signal.getsignal(each) is signal.SIG_DFL  # a second one ends at once
        signal.signal(each, handler)
    assert binary("--resume", "run") == 0
    assert [record["epoch"] for record in history()] == [1, 2, 3, 4]
    scored = [line["epoch"] for line in history() if "train_accuracy" in line]
    assert scored == [3, 4]
    assert binary(*SHORT[:-1], "straight", "--report-every", "3") == 0
    for name in ("model.safetensors", "history.jsonl"):
        assert Path("run", name).read_bytes() == Path("straight", name).read_bytes()


def test_a_signal_in_the_last_epochs_leaves_only_the_scores_to_do(monkeypatch, capfd):
    with monkeypatch.context() as patched:
        send_to_fit(patched, signal.SIGINT)
        assert binary(*SHORT, "--epochs", "1") == 130
    assert "stopped after 1 of 1 epochs" in capfd.readouterr().err
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
