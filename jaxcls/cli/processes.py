"""Several processes, on one machine or many, that share a sweep through jax's runtime."""

import contextlib
import os
from collections.abc import Iterator

import jax
import numpy as np
from jax.experimental import multihost_utils

from jaxcls.cli.flags import SweepFlags

# A process that says nothing for so long is taken for dead, and the others end.
HEARTBEAT_SECONDS = 30
_START_SECONDS = 120
# What tells jax.distributed of the other processes, and where it does so, how many there are;
# Kubernetes tells that of a job which has an index.
_LAUNCHERS = (
    (("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_PROCID"), "SLURM_NTASKS"),
    (("OMPI_MCA_orte_hnp_uri",), "OMPI_COMM_WORLD_SIZE"),
    (("KUBERNETES_SERVICE_HOST", "JOB_COMPLETION_INDEX"), None),
)


def join(flags: SweepFlags) -> None:
    """Joins the other processes, if flags or a launcher tell of any, before jax starts.

    Raises:
        ValueError: the flags don't fit each other, or the others can't be reached.
    """
    named = (flags.coordinator, flags.num_processes, flags.process_id)
    by_flags = any(each is not None for each in named)
    if not by_flags and not _launched_beside_others():
        return
    if by_flags:
        _check(flags)
    # Its own way with SIGTERM would take the place of ours.
    jax.config.update("jax_enable_preemption_service", False)
    try:
        jax.distributed.initialize(
            *named,
            cluster_detection_method="deactivate" if by_flags else None,
            initialization_timeout=_START_SECONDS,
            heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
        )
    except (RuntimeError, ValueError) as error:
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ValueError(
            f"the processes of this sweep could not find each other ({reason[0]}); check "
            "--coordinator, --num-processes and --process-id, and that all were started."
        ) from None


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
def clear_if_alone(script: str) -> Iterator[None]:
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
            f"another process of this sweep is gone, or can't be reached ({reason}); go on with "
            f"{script} --resume, with as many processes as there are."
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


def _check(flags: SweepFlags) -> None:
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


def _launched_beside_others() -> bool:
    for names, count in _LAUNCHERS:
        if all(name in os.environ for name in names):
            return count is None or int(os.environ.get(count, "1")) > 1
    return False
