"""Parameters to and from flax: Linen takes them as they are, and NNX as a module of Linear layers."""

import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, cast

import jax
from jax import Array

from jaxcls import mlp
from jaxcls.mlp import ACTIVATIONS, Activation, Params

if TYPE_CHECKING:  # as costly to import as jax itself
    from flax import linen, nnx


def linen_module(
    layer_sizes: Sequence[int], activation: Activation = "relu"
) -> "linen.Module":
    """The network as a Linen module, which takes `{"params": params}` as they are.

    Args:
        layer_sizes: inputs, hidden layers, outputs.
        activation: of the hidden layers, as of `mlp.apply`.

    >>> params = mlp.init(jax.random.key(0), (4, 3, 1))
    >>> linen_module((4, 3, 1)).apply({"params": params}, jax.numpy.ones((2, 4))).shape
    (2, 1)
    """
    from flax import linen

    activate = _function(activation)
    mlp.check_layer_sizes("linen_module", layer_sizes)

    class MLP(linen.Module):
        @linen.compact
        def __call__(self, x: Array) -> Array:
            *hidden, outputs = layer_sizes[1:]
            for units in hidden:
                x = activate(_linen_dense(units)(x))
            return _linen_dense(outputs)(x)

    def _linen_dense(units: int) -> linen.Dense:
        return linen.Dense(units, precision=jax.lax.Precision.HIGHEST)

    return MLP()


def to_nnx(params: Params, activation: Activation = "relu") -> "nnx.Module":
    """The network as an NNX module with a `layers` list of `nnx.Linear`.

    Args:
        params: the network's.
        activation: of the hidden layers, as of `mlp.apply`.

    >>> params = mlp.init(jax.random.key(0), (4, 3, 1))
    >>> to_nnx(params)(jax.numpy.ones((2, 4))).shape
    (2, 1)
    """
    from flax import nnx

    layers = [params[f"Dense_{index}"] for index in range(len(params))]
    sizes = [len(layers[0]["kernel"]), *(len(layer["bias"]) for layer in layers)]
    activate = _function(activation)

    class MLP(nnx.Module):
        def __init__(self) -> None:
            self.layers = nnx.List(
                [
                    nnx.Linear(
                        *pair, precision=jax.lax.Precision.HIGHEST, rngs=nnx.Rngs(0)
                    )
                    for pair in itertools.pairwise(sizes)
                ]
            )

        def __call__(self, x: Array) -> Array:
            *hidden, outputs = self.layers
            for layer in hidden:
                x = activate(layer(x))
            return outputs(x)

    module = MLP()
    for layer, own in zip(module.layers, layers, strict=True):
        nnx.update(layer, {"kernel": own["kernel"], "bias": own["bias"]})
    return module


def from_nnx(module: "nnx.Module | Sequence[nnx.Linear]") -> Params:
    """The params of a module with a `layers` list, as `to_nnx` and `nnx.Sequential` have, or of a list.

    Raises:
        ValueError: it holds no `nnx.Linear`, one without a bias, or two that don't fit each other.

    >>> params = mlp.init(jax.random.key(0), (4, 3, 1))
    >>> jax.tree.map(jax.numpy.shape, from_nnx(to_nnx(params)))["Dense_1"]
    {'bias': (1,), 'kernel': (3, 1)}
    """
    from flax import nnx

    among: Any = getattr(module, "layers", module)
    if isinstance(among, nnx.Linear) or not isinstance(among, Iterable):
        raise TypeError(
            f"from_nnx: wants a module with a list of layers, or such a list, got {module!r}."
        )
    layers = []
    for layer in among:
        if isinstance(layer, nnx.Linear):
            layers.append(layer)
        elif isinstance(layer, nnx.Module):
            raise ValueError(
                f"from_nnx: wants nnx.Linear layers and functions alone, got a "
                f"{type(layer).__name__}."
            )
    if not layers or any(layer.bias is None for layer in layers):
        raise ValueError(
            f"from_nnx: wants nnx.Linear layers that each have a bias, got {len(layers)} of them."
        )
    for one, other in itertools.pairwise(layers):
        if one.out_features != other.in_features:
            raise ValueError(
                f"from_nnx: a layer of {one.out_features} outputs stands before one of "
                f"{other.in_features} inputs; pass the layers in their order."
            )
    return {
        f"Dense_{index}": {
            "kernel": layer.kernel[...],
            "bias": cast(Any, layer.bias)[...],
        }
        for index, layer in enumerate(layers)
    }


def _function(activation: Activation):
    mlp.check_activation("interop.flax", activation, 1)
    return activation if callable(activation) else ACTIVATIONS[activation]
