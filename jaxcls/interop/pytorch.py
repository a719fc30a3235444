"""PyTorch, without PyTorch: its random starting weights, and its state dicts both ways.

A `torch.nn.Sequential` of Linear, [Dropout,] ReLU, Linear, ... names its arrays by the place of
each Linear: `0.weight`, `0.bias`, then `2.weight` without a Dropout in between and `3.weight` with
one. A weight is [out, in], where a kernel of jaxcls is [in, out].
"""

import itertools
import math
import os
import re
from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, NoReturn

import jax
import jax.numpy as jnp
import numpy as np

from jaxcls.files import load_arrays, save_arrays
from jaxcls.mlp import Params, check_layer_sizes

_NAME = re.compile(r"(0|[1-9][0-9]*)\.(weight|bias)")
_PLACES_APART = (2, 3)  # ReLU alone between two Linears, or Dropout and ReLU
_DTYPES = ("float16", "float32", "float64")


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


def to_state_dict(params: Params, *, dropout: bool = False) -> dict[str, np.ndarray]:
    """The arrays of `params` under the names and in the shapes of a `torch.nn.Sequential`.

    Args:
        params: as `mlp.init` returns them.
        dropout: whether the Sequential has a Dropout after each hidden Linear.

    Returns:
        NumPy arrays of their own: `<place>.weight` [out, in] and `<place>.bias` [out].

    Raises:
        ValueError: `params` are not those of an MLP, or a shape does not fit the others.
        TypeError: an array does not hold floats.

    >>> import jax
    >>> from jaxcls import mlp
    >>> params = mlp.init(jax.random.key(0), (784, 32, 1))
    >>> {name: array.shape for name, array in to_state_dict(params, dropout=True).items()}
    {'0.weight': (32, 784), '0.bias': (32,), '3.weight': (1, 32), '3.bias': (1,)}
    """
    caller = "to_state_dict"
    names = [f"Dense_{index}" for index in range(len(params))]
    if not names or set(params) != set(names):
        found = ", ".join(params) or "none"
        _refuse(caller, f"params must be Dense_0, Dense_1, ..., got {found}")
    state_dict = {}
    for index, name in enumerate(names):
        place = index * _PLACES_APART[dropout]
        if set(params[name]) != {"kernel", "bias"}:
            found = ", ".join(params[name]) or "nothing"
            _refuse(caller, f"{name} must hold a kernel and a bias, got {found}")
        state_dict[f"{place}.weight"] = np.array(params[name]["kernel"]).T.copy()
        state_dict[f"{place}.bias"] = np.array(params[name]["bias"])
    _layers(caller, state_dict)
    return state_dict


def from_state_dict(mapping: Mapping[str, Any]) -> Params:
    """The params that a state dict holds; the other way round of `to_state_dict`.

    Args:
        mapping: names to arrays: NumPy's, or the CPU tensors of `net.state_dict()`, of a
            Sequential of Linear layers with a ReLU, or a Dropout and a ReLU, in between.

    Returns:
        params in jaxcls's layout: copies, float16 brought to float32.

    Raises:
        ValueError: a name is missing, one does not belong to such a network, or a shape
            does not fit; the message names it.
        TypeError: an array does not hold floats.

    >>> net = {"0.weight": np.ones((1, 2)), "0.bias": np.zeros(1)}
    >>> from_state_dict(net)["Dense_0"]["kernel"].shape
    (2, 1)
    """
    return {
        f"Dense_{index}": {"bias": jnp.array(bias), "kernel": jnp.array(weight.T)}
        for index, (weight, bias) in enumerate(_layers("from_state_dict", mapping))
    }


def write_safetensors(
    path: str | os.PathLike, params: Params, *, dropout: bool = False
) -> None:
    """Writes `to_state_dict(params)` as a file for `safetensors.torch.load_file`.

    Args:
        path: of the file.
        params: as `mlp.init` returns them.
        dropout: as in `to_state_dict`.

    Raises:
        OSError: the file could not be written; nothing of it is left behind.
    """
    save_arrays(path, to_state_dict(params, dropout=dropout), {"format": "pt"})


def read_safetensors(path: str | os.PathLike) -> Params:
    """Reads a state dict that `safetensors.torch.save_file` or `write_safetensors` wrote.

    Args:
        path: of the file.

    Raises:
        ValueError, TypeError: the file is not whole, or as in `from_state_dict`.
    """
    return from_state_dict(load_arrays(path))


def _layers(
    caller: str, mapping: Mapping[str, Any]
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Weight [out, in] and bias [out] of each Linear layer; each takes what the last gives."""
    layers, fan_in = [], None
    for place in _places(caller, mapping):
        weight = _floats(caller, mapping, f"{place}.weight")
        bias = _floats(caller, mapping, f"{place}.bias")
        shape = list(weight.shape)
        if weight.ndim != 2 or 0 in shape:
            _refuse(caller, f"{place}.weight must be [out, in], got {shape}")
        if fan_in not in (None, shape[1]):
            _refuse(
                caller,
                f"{place}.weight must be [out, {fan_in}] after a layer of {fan_in} units, "
                f"got {shape}",
            )
        fan_in = shape[0]
        if bias.shape != (fan_in,):
            _refuse(
                caller,
                f"{place}.bias must be [{fan_in}] beside {place}.weight {shape}, "
                f"got {list(bias.shape)}",
            )
        layers.append((weight, bias))
    return layers


def _places(caller: str, mapping: Mapping[str, Any]) -> list[int]:
    """The places of the Linear layers, in order; all their names are there."""
    matches = {name: _NAME.fullmatch(str(name)) for name in mapping}
    foreign = [str(name) for name, match in matches.items() if match is None]
    if foreign:
        _refuse(
            caller,
            f"{foreign[0]} is not a name of a stack of Linear layers, which are 0.weight, "
            "0.bias, 2.weight, 2.bias, ..., or with Dropout 3.weight, 3.bias, ...",
        )
    places = sorted({int(match[1]) for match in matches.values() if match})
    if not places or places[0] != 0:
        first = f"; the first is {places[0]}.weight" if places else ""
        _refuse(caller, f"0.weight and 0.bias are missing{first}")
    for place in places:
        for name in (f"{place}.weight", f"{place}.bias"):
            if name not in mapping:
                _refuse(caller, f"{name} is missing")
    for before, place in itertools.pairwise(places):
        if place - before < min(_PLACES_APART):
            _refuse(
                caller,
                f"{place}.weight follows {before}.weight with no ReLU in between",
            )
        if place - before > max(_PLACES_APART):
            first, second = (before + apart for apart in _PLACES_APART)
            _refuse(
                caller,
                f"{first}.weight, or with Dropout {second}.weight, is missing: between "
                f"{before}.weight and {place}.weight there can be only Dropout and ReLU",
            )
    return places


def _floats(caller: str, mapping: Mapping[str, Any], name: str) -> np.ndarray:
    try:
        array = np.asarray(mapping[name])
    except (TypeError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise TypeError(
            f"interop.pytorch.{caller}: {name} is no array for NumPy ({reason}); "
            "give tensors as tensor.detach().cpu().float()."
        ) from None
    if array.dtype.name not in _DTYPES:
        raise TypeError(
            f"interop.pytorch.{caller}: {name} must hold {', '.join(_DTYPES)}, "
            f"got {array.dtype}."
        )
    return array.astype(np.promote_types(array.dtype, np.float32))


def _refuse(caller: str, sentence: str) -> NoReturn:
    raise ValueError(f"interop.pytorch.{caller}: {sentence}.")
