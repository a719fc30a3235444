"""PyTorch's own random starting weights, without PyTorch."""

import itertools
import math
from collections.abc import Sequence
from numbers import Integral

import jax
import numpy as np

from jaxcls.mlp import Params, check_layer_sizes


def init(seed: int, layer_sizes: Sequence[int], *, skip: int = 0) -> Params:
    """The parameters that `torch.manual_seed(seed)` gives a stack of `torch.nn.Linear`.

    Bit for bit those of `torch.nn.Sequential` of Linear layers of these sizes (and layers
    without parameters between them) made on the CPU right after the seeding. PyTorch draws
    them from MT19937: each layer's weight, then its bias, uniform in +-1/sqrt(fan_in)
    (`aten/src/ATen/core/DistributionsHelper.h`, `torch/nn/modules/linear.py`).

    Args:
        seed: as `torch.manual_seed` takes it; MT19937 uses its low 32 bits.
        layer_sizes: inputs, hidden layers, outputs.
        skip: networks of the same sizes that were made before this one; the notes ran some
            cells several times after one seeding.

    Returns:
        float32 params in jaxcls's layout: kernels [in, out], where PyTorch has [out, in].

    Raises:
        TypeError, ValueError: an argument is out of its range.

    >>> params = init(0, (784, 32, 1))
    >>> float(params["Dense_1"]["bias"][0])  # net[2].bias.item() in PyTorch
    -0.14895156025886536
    """
    check_layer_sizes("interop.pytorch.init", layer_sizes)
    if not isinstance(seed, Integral) or not isinstance(skip, Integral):
        raise TypeError(
            f"interop.pytorch.init: seed and skip must be integers, got {seed!r} and {skip!r}."
        )
    if not -(2**63) <= seed < 2**64:
        raise ValueError(
            f"interop.pytorch.init: seed must lie in -2**63..2**64-1, as in PyTorch, got {seed}."
        )
    if skip < 0:
        raise ValueError(f"interop.pytorch.init: skip must be at least 0, got {skip}.")
    stream = np.random.RandomState(int(seed) & 0xFFFFFFFF)
    layers: list[dict[str, np.ndarray]] = []
    for _ in range(skip + 1):
        layers = [
            {
                "kernel": _uniform(stream, (fan_out, fan_in), fan_in).T,
                "bias": _uniform(stream, (fan_out,), fan_in),
            }
            for fan_in, fan_out in itertools.pairwise(layer_sizes)
        ]
    # All at once: one by one, each would compile a program.
    return jax.device_put(
        {f"Dense_{index}": layer for index, layer in enumerate(layers)}
    )


def _uniform(
    stream: np.random.RandomState, shape: tuple[int, ...], fan_in: int
) -> np.ndarray:
    # The whole range of uint32: RandomState then hands out MT19937's own 32-bit words.
    words = stream.randint(0, 1 << 32, size=shape, dtype=np.uint32)
    low_bits = (words & 0xFFFFFF).astype(np.float64) * 2.0**-24
    bound = np.float32(1 / math.sqrt(fan_in))
    # PyTorch's float32 multiply-add rounds once, as float64 rounded to float32 does.
    return (low_bits * np.float64(bound - -bound) - np.float64(bound)).astype(
        np.float32
    )
