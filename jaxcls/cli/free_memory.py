"""Whether a network fits into the memory that is free, asked before any of it is taken.

The system answers a process that takes too much by killing it, and XLA by waiting for ever.
"""

import contextlib
import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import jax
import jax.numpy as jnp

from jaxcls.batches import Batch
from jaxcls.config import Config
from jaxcls.study.memory import memory_needed, state_bytes
from jaxcls.study.planning import usual_memory

_PROC, _CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")
# Limits that are none: version 1 of cgroups says the largest number of pages.
_UNLIMITED = 2**60


def check_memory(
    config: Config, train: Batch, validation: Batch | None, test: Batch
) -> None:
    """Raises ValueError if a run of this config can't fit into the default device's memory."""
    (device,) = jnp.zeros(()).devices()
    needed = memory_needed(config, train, validation, test, width=1, devices=[device])
    # A checkpoint is written beside the state now and at the start: as arrays, and as a file.
    needed = max(needed, 4 * state_bytes(config))
    free = free_memory() if device.platform == "cpu" else _free_on(device)
    if needed > free:
        raise ValueError(
            f"hidden {' '.join(map(str, config.layer_sizes[1:-1])) or 'none'}: training and its "
            f"checkpoints take about {needed / 1e9:,.2g} GB, and {free / 1e9:,.2g} GB are free; take "
            "smaller layers, smaller batches or less data, or allow more memory."
        )


def memory_for_runs(devices: Sequence[jax.Device]) -> float:
    """Bytes that many runs may take: as usual, or what is free if that is less.

    Processes that share a study must plan the same, whatever is free where.
    """
    if devices[0].platform != "cpu" or jax.process_count() > 1:
        return usual_memory(devices)
    return min(usual_memory(devices), free_memory())


def free_memory() -> float:
    """Bytes that this process may still take, as far as the system tells; else infinity.

    >>> free_memory() > 0
    True
    """
    return max(
        0.0, min(_left_in_system(), _left_of_address_space(), *_left_in_groups())
    )


def _free_on(device: jax.Device) -> float:
    stats = device.memory_stats() or {}
    return stats.get("bytes_limit", math.inf) - stats.get("bytes_in_use", 0)


def _left_in_system() -> float:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in (_PROC / "meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return math.inf


def _left_of_address_space() -> float:
    """As `ulimit -v` bounds it."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        if limit == resource.RLIM_INFINITY:
            return math.inf
        pages = int((_PROC / "self" / "statm").read_text().split()[0])
        return limit - pages * os.sysconf("SC_PAGE_SIZE")
    except (ImportError, OSError, ValueError):  # Windows; no /proc
        return math.inf


def _left_in_groups() -> Iterator[float]:
    """What Linux's control groups leave, by which containers and batch systems bound memory."""
    with contextlib.suppress(OSError):
        for line in (_PROC / "self" / "cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            if controllers == "":
                names = ("memory.max", "memory.current", "inactive_file")
                root = _CGROUPS
            elif "memory" in controllers.split(","):
                names = (
                    "memory.limit_in_bytes",
                    "memory.usage_in_bytes",
                    "total_inactive_file",
                )
                root = _CGROUPS / "memory"
            else:
                continue
            # Within a container its own group is the root.
            folder = root / path.strip("/")
            for each in (folder, *folder.parents):
                yield _left_in_group(each, *names)
                if each == root:
                    break


def _left_in_group(folder: Path, most: str, used: str, cache: str) -> float:
    try:
        limit = (folder / most).read_text().strip()
        if limit == "max" or int(limit) > _UNLIMITED:
            return math.inf
        left = int(limit) - int((folder / used).read_text())
        for line in (folder / "memory.stat").read_text().splitlines():
            name, _, size = line.partition(" ")
            if name == cache:  # which the system gives up when memory is wanted
                left += int(size)
        return left
    except (OSError, ValueError):
        return math.inf
