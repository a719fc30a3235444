"""How many runs a device trains side by side, from an estimate of the memory they take."""

import itertools
import math
from collections.abc import Sequence

import jax
import numpy as np

from jaxcls.batches import Batch, step_size, steps_per_epoch
from jaxcls.config import Config
from jaxcls.packing import pays_to_pack

_MEMORY_ON_CPU = 3e9  # bytes, unless said otherwise
# On a CPU more runs side by side gain nothing (in mini-batches of 16 they leave its caches),
# and what each core's own device does is no faster for being done at once.
_WIDTH_ON_CPU, _MOST = 2, 4096
_FLOAT = 4


def usual_memory(devices: Sequence[jax.Device]) -> float:
    """Bytes that runs may take unless the user says otherwise: 3e9, or half of all GPUs' memory.

    >>> usual_memory(jax.devices("cpu"))
    3000000000.0
    """
    if devices[0].platform == "cpu":
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

    Raises:
        ValueError: not even one run on each device fits.

    >>> from jaxcls import bernoulli
    >>> train = Batch(np.zeros((1000, 784), np.float32), np.zeros(1000))
    >>> sets = Config((784, 32, 1), bernoulli), train, None, None
    >>> plan_width(*sets, num_runs=9, devices=jax.devices("cpu")[:1], memory=1e9)
    2
    """
    most = _WIDTH_ON_CPU if devices[0].platform == "cpu" else _MOST
    share = math.ceil(num_runs / len(devices))
    width = min(most, 2 ** math.ceil(math.log2(share)))
    sets = train, validation, test
    while (
        needed := memory_needed(config, *sets, width=width, devices=devices)
    ) > memory:
        if width == 1:
            raise ValueError(
                f"one run on each of {len(devices)} devices takes about {needed / 1e9:.2g} GB, "
                f"and {memory / 1e9:.2g} GB are allowed; allow more memory, or take smaller "
                "batches, smaller layers or less data."
            )
        width //= 2
    return width


def memory_needed(
    config: Config,
    train: Batch,
    validation: Batch | None,
    test: Batch | None,
    *,
    width: int,
    devices: Sequence[jax.Device],
) -> int:
    """About how many bytes the data and `width` runs on each device take."""
    on_cpu = devices[0].platform == "cpu"
    each = run_bytes(config, train, validation, test, on_cpu=on_cpu)
    # A GPU takes the next round's memory while the host still looks at the one before.
    rounds = 1 if on_cpu else 2
    data = _data_bytes(train, validation, test, devices)
    return data + rounds * len(devices) * width * each


def run_bytes(
    config: Config,
    train: Batch,
    validation: Batch | None,
    test: Batch | None,
    *,
    on_cpu: bool = True,
) -> int:
    """About the most memory that one run needs at a time, besides the data.

    What is counted: the params, their gradient, their update and the next params, the
    optimizer's moments and the best params so far with their next; the history; a step's
    examples, its outputs of each layer forward and backward, an epoch's order and masks; the
    outputs of each layer when the sets are scored, which XLA may do at once. On a CPU it may
    keep what masks are drawn of, and what it trains by while it scores; on a GPU it does not.
    """
    sizes = config.layer_sizes
    gradient_and_update = _FLOAT * 2 * _num_weights(config)
    kept = gradient_and_update + 2 * state_bytes(config) + _FLOAT * 5 * config.epochs
    units = sum(sizes[1:])
    scored = sum(len(each.targets) for each in (train, validation, test) if each)
    epoch, scores = _epoch_bytes(config, train, on_cpu), _FLOAT * 2 * units * scored
    return kept + (epoch + scores if on_cpu else max(epoch, scores))


def state_bytes(config: Config) -> int:
    """Bytes of the params, the optimizer's moments and the best params so far."""
    moments = 2 if config.optimizer != "sgd" else int(config.momentum > 0)
    return _FLOAT * _num_weights(config) * (1 + moments + (config.monitor is not None))


def _num_weights(config: Config) -> int:
    sizes = config.layer_sizes
    return sum(fan_in * out + out for fan_in, out in itertools.pairwise(sizes))


def _epoch_bytes(config: Config, train: Batch, on_cpu: bool) -> int:
    """What an epoch draws, and what its largest step takes."""
    sizes, rows = config.layer_sizes, step_size(train, config)
    numbers = rows * 4 * sum(sizes[1:])
    num_steps = steps_per_epoch(train, config)
    if num_steps > 1:
        numbers += rows * sizes[0]
        if config.shuffle:
            numbers += 8 * len(train.targets)
    masks = num_steps * rows * sum(sizes[1:-1]) if config.dropout else 0
    # On a CPU counters of 64 bits and the random bits drawn of them, twice, and the masks.
    return _FLOAT * numbers + masks * (17 if on_cpu else 5)


def _data_bytes(
    train: Batch,
    validation: Batch | None,
    test: Batch | None,
    devices: Sequence[jax.Device],
) -> int:
    """Bytes of the data on all devices; those of a CPU share them, packed ones besides."""
    sets = [each for each in (train, validation, test) if each]
    numbers = sum(np.size(each.features) for each in sets)
    if devices[0].platform == "cpu":
        # Packed twice, and narrowed once.
        more = 3 * np.size(train.features) if pays_to_pack(train) else 0
        return _FLOAT * (numbers + more)
    # XLA multiplies by a copy whose rows are filled up to a round number.
    return 2 * _FLOAT * numbers * len(devices)
