"""Several processes, on one machine or many, that share a sweep through jax's runtime."""

import contextlib
import errno
import ipaddress
import os
import socket
import threading
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxcls.cli.flags import SweepFlags
from jaxcls.cli.screen import how_to_resume, note

# A process that says nothing for so long is taken for dead, and the others end.
HEARTBEAT_SECONDS = 30
_START_SECONDS = 120
# What tells jax.distributed of the other processes, and where it does so, how many there are: in
# SLURM those of this step, else of the whole job; Kubernetes tells that of a job with an index.
_LAUNCHERS = {
    "SLURM": (
        ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID"),
        ("SLURM_STEP_NUM_TASKS", "SLURM_NTASKS"),
    ),
    "Open MPI": (("OMPI_MCA_orte_hnp_uri",), ("OMPI_COMM_WORLD_SIZE",)),
    "Kubernetes": (("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"), ()),
}
_ALONE = "if this one is alone, give --num-processes 1"


def join(flags: SweepFlags) -> None:
    """Joins the other processes, if flags or a launcher tell of any, before jax starts.

    Where the others do not come, this process ends with a sentence.

    Args:
        flags: of the script.

    Raises:
        ValueError: the flags don't fit each other, or the others can't be reached.
    """
    named = (flags.coordinator, flags.num_processes, flags.process_id)
    if named == (None, 1, None):
        return
    by_flags, launcher = any(each is not None for each in named), _launcher()
    if by_flags:
        bind = _bind_address(*_checked(flags), flags.process_id == 0)
        told = f"check --coordinator, --num-processes and --process-id; {_ALONE}"
    elif launcher is not None:
        bind, told = None, f"it is {launcher} that tells of them; {_ALONE}"
        note(f"waiting for the other processes of which {launcher} tells.")
    else:
        return
    # Its own way with SIGTERM would take the place of ours.
    jax.config.update("jax_enable_preemption_service", False)
    waited = f"the other processes of this sweep did not come within {_START_SECONDS} s"
    try:
        with _ending_after(_START_SECONDS, f"{waited}; {told}."):
            jax.distributed.initialize(
                *named,
                cluster_detection_method="deactivate" if by_flags else None,
                coordinator_bind_address=bind,
                # Not jax's to say, which aborts.
                initialization_timeout=2 * _START_SECONDS,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
            )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"the processes of this sweep could not find each other ({reason[0].rstrip('.')}); "
            f"{told}."
        ) from None


@contextlib.contextmanager
def _ending_after(seconds: float, sentence: str) -> Iterator[None]:
    """Ends the process with a sentence unless it leaves the `with` before."""

    def end() -> None:
        note(sentence)
        os._exit(2)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


def _bind_address(host: str, port: int, is_first: bool) -> str | None:
    """Where process 0 listens: at the host that was named alone, if its name says which that is.

    Raises:
        ValueError: it can't listen there, or the host has no address.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise ValueError(
            f"--coordinator: {host} has no address ({error.strerror}); name the host of process 0 "
            "as all of them know it."
        ) from None
    if not is_first:
        return None
    local = all(ipaddress.ip_address(each[4][0]).is_loopback for each in found)
    if local and not (host == "localhost" or _is_address(host)):
        # Many a machine takes its own name for that of loopback, and others do not.
        host, found = "::", socket.getaddrinfo("::", port, type=socket.SOCK_STREAM)
    _check_free(host, found)
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_free(host: str, addresses: list) -> None:
    """Raises ValueError unless this process can listen there; jax's runtime would crash."""
    problems = []
    for family, kind, protocol, _, address in addresses:
        try:
            with socket.socket(family, kind, protocol) as listener:
                if (
                    os.name == "posix"
                ):  # as the runtime does; on Windows it means another thing
                    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                listener.bind(address)
        except OSError as error:
            problems.append(error)
            if error.errno == errno.EADDRINUSE:
                raise ValueError(
                    f"--coordinator: port {address[1]} is taken here, by another program or "
                    "another process with --process-id 0; give each process its own id, or name "
                    "another port."
                ) from None
    if len(problems) == len(addresses):
        raise ValueError(
            f"--coordinator: this process can't listen at {host} ({problems[0].strerror}); "
            "process 0 must run on the host that is named."
        )


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_first() -> bool:
    """Whether this process is the one that reads, writes and prints."""
    return jax.process_index() == 0


def from_first(content: bytes) -> bytes:
    """What the first process has, in all of them.

    >>> from_first(b"runs")
    b'runs'
    """
    if jax.process_count() == 1:
        return content
    size = multihost_utils.broadcast_one_to_all(np.int64(len(content)))
    buffer = np.zeros(int(size), np.uint8)
    if is_first():
        buffer[:] = np.frombuffer(content, np.uint8)
    return np.asarray(multihost_utils.broadcast_one_to_all(buffer)).tobytes()


@contextlib.contextmanager
def clear_if_alone() -> Iterator[None]:
    """Turns what jax says when another process is gone into a sentence.

    Raises:
        ConnectionError: another process is gone. jax's runtime ends this one, too, once it waits
            for the others at its end.
    """
    try:
        yield
    except jax.errors.JaxRuntimeError as error:
        if jax.process_count() == 1:
            raise
        reason = str(error).strip().splitlines()[0]
        raise ConnectionError(
            f"another process of this sweep is gone, or can't be reached ({reason}); "
            f"{how_to_resume('FOLDER')}, with as many processes as there are."
        ) from None


def check_agreed(what: str, digest: str) -> None:
    """Raises ValueError unless all processes have the same digest."""
    first = from_first(digest.encode()).decode()
    others = 0 if first == digest else 1
    if multihost_utils.process_allgather(np.int32(others)).any():
        raise ValueError(
            f"the processes of this sweep do not have the same {what}; start all with the same "
            "flags, versions and files."
        )


def _checked(flags: SweepFlags) -> tuple[str, int]:
    """Host and port of process 0."""
    if (
        flags.coordinator is None
        or flags.num_processes is None
        or flags.process_id is None
    ):
        raise ValueError(
            "--coordinator, --num-processes and --process-id belong together, got only some."
        )
    host, _, port = flags.coordinator.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise ValueError(
            f"--coordinator must be host:port of process 0, such as node1:1234, got "
            f"{flags.coordinator}."
        )
    if flags.num_processes < 1 or not 0 <= flags.process_id < flags.num_processes:
        raise ValueError(
            f"--process-id must lie in 0..--num-processes - 1, got {flags.process_id} of "
            f"{flags.num_processes}."
        )
    return host.strip("[]"), int(port)


def _launcher() -> str | None:
    """What started this process beside others, or None if it is alone."""
    for launcher, (names, counts) in _LAUNCHERS.items():
        if all(name in os.environ for name in names):
            told = [os.environ[name] for name in counts if name in os.environ]
            return None if told and told[0] == "1" else launcher
    return None
