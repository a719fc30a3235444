"""What a network needs is compared with what the system has left, before it is taken."""

import math
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from jaxcls import Config, bernoulli
from jaxcls.batches import Batch
from jaxcls.cli import free_memory, main

SCRIPTS = Path(__file__).parents[2] / "scripts"
GROUP_1 = "memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"
GROUP_2 = "memory.max", "memory.current", "inactive_file"


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Writes what a Linux tells of its memory; it has 8 GB left and no groups at first."""
    monkeypatch.setattr(free_memory, "_PROC", tmp_path / "proc")
    monkeypatch.setattr(free_memory, "_CGROUPS", tmp_path / "cgroup")
    monkeypatch.setattr(free_memory, "_left_of_address_space", lambda: math.inf)

    def write(path, text):
        path = tmp_path / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    write("proc/meminfo", "MemTotal: 16000000 kB\nMemAvailable:    8000000 kB\n")
    return write


def group(system, folder, names, limit, used, cache):
    most, now, name = names
    system(f"cgroup/{folder}/{most}", f"{limit}\n")
    system(f"cgroup/{folder}/{now}", f"{used}\n")
    system(f"cgroup/{folder}/memory.stat", f"anon 5\n{name} {cache}\nslab 3\n")


def test_the_systems_own(system):
    assert free_memory.free_memory() == 8_000_000 * 1024


def test_the_smallest_limit_of_nested_groups_counts(system):
    system("proc/self/cgroup", "0::/job/step\n")
    group(system, "job", GROUP_2, 3_000_000, 1_000_000, 250_000)
    group(system, "job/step", GROUP_2, "max", 900_000, 0)
    assert free_memory.free_memory() == 2_250_000


def test_groups_of_the_first_version(system):
    system("proc/self/cgroup", "5:devices:/x\n4:cpu,memory:/pod\n0::/\n")
    group(system, "memory/pod", GROUP_1, 500, 400, 50)
    group(system, "memory", GROUP_1, 9223372036854771712, 400, 50)
    assert free_memory.free_memory() == 150
    group(system, "memory/pod", GROUP_1, 500, 700, 0)
    assert free_memory.free_memory() == 0


@pytest.mark.parametrize("text", ["", "MemFree: 3 kB\n", "MemAvailable: much\n"])
def test_a_system_that_tells_nothing_refuses_nothing(text, system):
    system("proc/meminfo", text)
    system("proc/self/cgroup", "0::/gone\n")
    assert free_memory.free_memory() == math.inf


def test_a_network_that_does_not_fit_is_refused(system):
    some = Batch(np.zeros((100, 784), np.uint8), np.zeros(100))
    sets = some, None, some
    free_memory.check_memory(Config((784, 4000, 4000, 1), bernoulli), *sets)
    wide = Config((784, 20000, 20000, 1), bernoulli)
    with pytest.raises(ValueError, match=r"hidden 20000 20000: .* 20 GB, and 8.2 GB"):
        free_memory.check_memory(wide, *sets)


def test_each_script_refuses_it_with_a_sentence(monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(free_memory, "free_memory", lambda: 1e8)
    huge, few = ("--dataset", "digits", "--hidden"), ("--epochs", "1", "--no-plots")
    wide = "9000-9000"
    assert main.train_binary([*huge, "9000", "9000", *few]) == 2
    assert main.train_binary([*huge, "9000", "9000", *few, "--seeds", "2"]) == 2
    assert main.sweep([*huge, wide, "--epochs", "1"]) == 2
    told = capsys.readouterr().err.splitlines()
    assert len(told) == 3
    assert all("GB are free; take smaller" in line for line in told[:2])
    assert "0.1 GB are allowed" in told[2]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="needs Linux's limits")
def test_an_address_space_that_is_bounded(tmp_path):
    command = f'ulimit -v 4000000; exec "{sys.executable}" "$@"'
    flags = ("--dataset", "digits", "--hidden", "12000", "12000", "--epochs", "1")
    done = subprocess.run(
        ["bash", "-c", command, "bash", SCRIPTS / "train_multiclass.py", *flags],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith("train_multiclass.py: hidden 12000 12000: training")
    assert done.stderr.count("\n") == 1


def test_no_more_threads_is_a_sentence(monkeypatch, capsys):
    def refused(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("threading.Thread.start", refused)
    assert main.train_binary(["--dataset", "digits", "--epochs", "1"]) == 2
    assert "lets this process start no more threads" in capsys.readouterr().err
