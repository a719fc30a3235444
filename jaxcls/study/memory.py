"""An estimate of the memory that runs and their data take, from their shapes alone."""

import itertools
from collections.abc import Sequence

import jax
import numpy as np

from jaxcls import layouts
from jaxcls.batches import Batch, step_size, steps_per_epoch
from jaxcls.config import Config, Hyperparams, Keys, split_seed
from jaxcls.packing import pays_to_pack
from jaxcls.training import init_state

_FLOAT = 4


def memory_needed(
    config: Config,
    train: Batch,
    validation: Batch | None,
    test: Batch | None,
    *,
    width: int,
    devices: Sequence[jax.Device],
    copied: int = 0,
) -> int:
    """About how many bytes the data and `width` runs on each device take.

    Each run copies so many examples for itself.
    """
    on_cpu = layouts.on_cpu(devices)
    each = run_bytes(config, train, validation, test, on_cpu=on_cpu)
    each += _FLOAT * copied * config.layer_sizes[0]
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
    """Bytes of the params, their average, the optimizer's moments and the best params so far."""
    # An optimizer of one's own may count on numbers where there are none by default.
    some = Hyperparams(weight_decay=0.0, clip_norm=1.0)
    state = jax.eval_shape(
        lambda seed: init_state(Keys(*split_seed(seed)), config, None, some),
        jax.ShapeDtypeStruct((), np.uint32),
    )
    return sum(leaf.size * leaf.dtype.itemsize for leaf in jax.tree.leaves(state))


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
            numbers += 13 * len(train.targets)  # bits, numbers, and both in order
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
    if layouts.on_cpu(devices):
        # Packed twice, and narrowed once.
        more = 3 * np.size(train.features) if pays_to_pack(train) else 0
        return _FLOAT * (numbers + more)
    return _FLOAT * numbers * len(devices)
