"""How many runs a device trains side by side, by the memory that they take."""

import math
from collections.abc import Sequence

import jax

from jaxcls import layouts
from jaxcls.batches import Batch
from jaxcls.config import Config
from jaxcls.study.memory import memory_needed

_MEMORY_ON_CPU = 3e9  # bytes, unless said otherwise
# On a CPU more runs side by side gain nothing (in mini-batches of 16 they leave its caches),
# and what each core's own device does is no faster for being done at once.
_WIDTH_ON_CPU, _MOST = 2, 4096


def usual_memory(devices: Sequence[jax.Device]) -> float:
    """Bytes that runs may take unless the user says otherwise: 3e9, or half of all GPUs' memory.

    >>> usual_memory(jax.devices("cpu"))
    3000000000.0
    """
    if layouts.on_cpu(devices):
        return _MEMORY_ON_CPU
    # Another process's device does not tell.
    own = next(each for each in devices if each.process_index == jax.process_index())
    return len(devices) * (own.memory_stats() or {}).get("bytes_limit", 2e9) / 2


def plan_width(
    config: Config,
    train: Batch,
    validation: Batch | None,
    test: Batch | None,
    *,
    num_runs: int,
    devices: Sequence[jax.Device],
    memory: float,
    copied: int = 0,
) -> int:
    """Runs that each device trains side by side, by rule and not by measuring.

    On a CPU 2, elsewhere the largest power of two up to 4,096; in either case no more than the
    runs' share per device, rounded up to a power of two, and halved until all fit into the memory.

    Args:
        config: of all runs.
        train, validation, test: their data.
        num_runs: how many there are.
        devices: which train them.
        memory: bytes on all devices together.
        copied: examples that each run copies for itself, as of `rows.num_copied`.

    Raises:
        ValueError: not even one run on each device fits.

    >>> import numpy as np
    >>> from jaxcls import bernoulli
    >>> train = Batch(np.zeros((1000, 784), np.float32), np.zeros(1000))
    >>> sets = Config((784, 32, 1), bernoulli), train, None, None
    >>> plan_width(*sets, num_runs=9, devices=jax.devices("cpu")[:1], memory=1e9)
    2
    """
    most = _WIDTH_ON_CPU if layouts.on_cpu(devices) else _MOST
    share = math.ceil(num_runs / len(devices))
    width = min(most, 2 ** math.ceil(math.log2(share)))
    sets = train, validation, test
    while (
        needed := memory_needed(
            config, *sets, width=width, devices=devices, copied=copied
        )
    ) > memory:
        if width == 1:
            raise ValueError(
                f"one run on each of {len(devices)} devices takes about {needed / 1e9:.2g} GB, "
                f"and {memory / 1e9:.2g} GB are allowed; allow more memory, or take smaller "
                "batches, smaller layers or less data."
            )
        width //= 2
    return width
