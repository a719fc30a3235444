"""How the processes of a sweep find each other, and what is said where they do not."""

import os
import socket
import subprocess
import sys
import threading
import time

import pytest

from jaxcls.cli import processes
from jaxcls.cli.flags import SweepFlags

ALONE = """
import sys
from jaxcls.cli import processes
from jaxcls.cli.flags import SweepFlags

processes._START_SECONDS = int(sys.argv[2])
processes.join(SweepFlags(**eval(sys.argv[1])))
print("joined")
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def flags(coordinator, process_id=0, num_processes=2):
    return {
        "coordinator": coordinator,
        "num_processes": num_processes,
        "process_id": process_id,
    }


def refused(**settings):
    with pytest.raises(ValueError) as told:
        processes.join(SweepFlags(**settings))
    return str(told.value)


@pytest.fixture
def initialized(monkeypatch):
    """What jax is told; it is not begun."""
    given = []
    monkeypatch.setattr(
        processes.jax.distributed, "initialize", lambda *_, **more: given.append(more)
    )
    return given


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
def test_the_first_listens_at_the_host_that_is_named_alone(host, initialized):
    port = free_port()
    processes.join(SweepFlags(**flags(f"{host}:{port}")))
    processes.join(SweepFlags(**flags(f"{host}:{port}", process_id=1)))
    binds = [more["coordinator_bind_address"] for more in initialized]
    assert binds == [f"{host}:{port}", None]


def test_a_name_that_means_loopback_here_is_listened_to_everywhere(
    initialized, monkeypatch
):
    port, found = free_port(), socket.getaddrinfo
    monkeypatch.setattr(
        socket,
        "getaddrinfo",
        lambda host, *rest, **more: found(
            "127.0.1.1" if host == "node7" else host, *rest, **more
        ),
    )
    processes.join(SweepFlags(**flags(f"node7:{port}")))
    assert initialized[0]["coordinator_bind_address"] == f"[::]:{port}"


def test_a_port_that_is_taken_is_a_sentence(initialized):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        port = other.getsockname()[1]
        told = refused(**flags(f"127.0.0.1:{port}"))
        assert f"port {port} is taken here" in told and "--process-id 0" in told
        # It is the first one's alone to listen there.
        processes.join(SweepFlags(**flags(f"127.0.0.1:{port}", 1)))
    assert len(initialized) == 1


def test_another_host_or_none_is_a_sentence(initialized):
    # 198.51.100.0/24 is for documentation: no machine should have such an address.
    told = refused(**flags("198.51.100.7:1234"))
    assert "can't listen at 198.51.100.7" in told
    told = refused(**flags("no-such-host.invalid:1234", process_id=1))
    assert "no-such-host.invalid has no address" in told
    assert initialized == []


def started(settings, seconds=2, **environment):
    return subprocess.Popen(
        [sys.executable, "-c", ALONE, repr(settings), str(seconds)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | environment,
    )


@pytest.mark.parametrize("number", [pytest.param(0, marks=pytest.mark.slow), 1])
def test_others_that_do_not_come_are_a_sentence(number):
    process = started(flags(f"127.0.0.1:{free_port()}", number))
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 2, told
    assert told == (
        "jaxcls: the other processes of this sweep did not come within 2 s; check "
        "--coordinator, --num-processes and --process-id; if this one is alone, give "
        "--num-processes 1.\n"
    )


@pytest.mark.slow
def test_what_a_launcher_left_in_a_shell_is_named():
    process = started(
        {},
        SLURM_JOB_ID="7",
        SLURM_STEP_NODELIST="localhost",
        SLURM_PROCID="0",
        SLURM_LOCALID="0",
        SLURM_NTASKS="3",
        JAX_COORDINATOR_PORT=str(free_port()),
    )
    told = process.communicate(timeout=60)[1].splitlines()
    assert process.returncode == 2, told
    assert told[0].endswith("waiting for the other processes of which SLURM tells.")
    assert told[1].endswith(
        "SLURM that tells of them; if this one is alone, give --num-processes 1."
    )
    assert len(told) == 2


@pytest.mark.slow
def test_two_of_one_number_are_a_sentence():
    port = free_port()
    # Long enough that it is still there once the second has begun, on a busy machine, too.
    first = started(flags(f"127.0.0.1:{port}"), 60)
    second = None
    try:
        for _ in range(200):
            with socket.socket() as other:
                if other.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        threading.Event().wait(0.1)
        second = started(flags(f"127.0.0.1:{port}"))
        assert "is taken here" in second.communicate(timeout=60)[1]
    finally:
        for process in filter(None, (first, second)):
            process.kill()
            process.communicate()
