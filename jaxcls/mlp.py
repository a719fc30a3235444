"""The multilayer perceptron: `init` draws parameters, `apply` turns inputs into logits.

Parameters are a nested dict in Linen's layout, one entry per layer:
`{"Dense_0": {"kernel": [D, H], "bias": [H]}, ..., "Dense_L": {"kernel": [H, K], "bias": [K]}}`.
Hidden layers are dense, then dropout where masks are given, then the activation, in the order of
the course notes; the last layer is dense alone, so its outputs are logits.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from functools import partial
from numbers import Integral
from typing import Literal

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from jax.typing import ArrayLike

from jaxcls import drawing

# 8 GB in float32. Far beyond the memory, XLA on CPU hangs instead of failing.
_LARGEST_KERNEL = 2**31 - 1
# Params up to which NumPy draws them sooner than XLA, which compiles the draw the first time.
_LARGE = 2**21

Params = dict[str, dict[str, Array]]
Masks = tuple[Array, ...]

ActivationName = Literal["relu", "tanh", "logistic", "gelu", "silu", "identity"]
# Of hidden layers; gelu is the exact one, as PyTorch's.
ACTIVATIONS: dict[ActivationName, Callable[[Array], Array]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "logistic": jax.nn.sigmoid,
    "gelu": partial(jax.nn.gelu, approximate=False),
    "silu": jax.nn.silu,
    "identity": lambda x: x,
}
KernelInit = Literal[
    "torch", "he_normal", "he_uniform", "glorot_normal", "glorot_uniform"
]
_INITIALIZERS = {
    "he_normal": jax.nn.initializers.he_normal(),
    "he_uniform": jax.nn.initializers.he_uniform(),
    "glorot_normal": jax.nn.initializers.glorot_normal(),
    "glorot_uniform": jax.nn.initializers.glorot_uniform(),
}
Activation = ActivationName | Callable[[Array], Array]


def init(
    key: Array, layer_sizes: Sequence[int], kernel_init: KernelInit = "torch"
) -> Params:
    """Draws kernels and biases uniform in +-1/sqrt(fan_in), as `torch.nn.Linear` does, or otherwise.

    Args:
        key: typed key, `jax.random.key(seed)`.
        layer_sizes: inputs, hidden layers, outputs: (784, 32, 1) has one hidden layer of
            32 units, (784, 10) has none.
        kernel_init: "torch", or one of jax.nn.initializers, with biases of 0: he's for ReLU and
            its like (K. He et al., 2015), glorot's for tanh and logistic (X. Glorot and Y. Bengio,
            2010).

    Returns:
        float32 params, `Dense_0` to `Dense_{len(layer_sizes) - 2}`.

    Raises:
        TypeError: `key` is not a typed key, or a size is not an integer.
        ValueError: fewer than two sizes, a size below 1, or no `kernel_init` has this name.

    >>> params = init(jax.random.key(0), (784, 32, 1))
    >>> jax.tree.map(jnp.shape, params)["Dense_0"]
    {'bias': (32,), 'kernel': (784, 32)}
    """
    check_layer_sizes("mlp.init", layer_sizes)
    _check_key("mlp.init", key)
    if kernel_init == "torch":
        return _init(key, tuple(map(int, layer_sizes)))
    if not isinstance(kernel_init, str) or kernel_init not in _INITIALIZERS:
        raise ValueError(
            f"mlp.init: kernel_init must be one of torch, {', '.join(_INITIALIZERS)}, got "
            f"{kernel_init!r}."
        )
    draw = _INITIALIZERS[kernel_init]
    return {
        f"Dense_{index}": {
            "bias": jnp.zeros(pair[1], jnp.float32),
            "kernel": draw(jax.random.fold_in(key, index), pair, jnp.float32),
        }
        for index, pair in enumerate(itertools.pairwise(map(int, layer_sizes)))
    }


def draw_masks(
    key: Array, rate: ArrayLike, leading_shape: Sequence[int], params: Params
) -> Masks:
    """Draws one dropout mask per hidden layer, all examples and layers in one call.

    Args:
        key: typed key.
        rate: [] share of units dropped, in [0, 1); may be traced.
        leading_shape: shape before the units, such as (T, B) for T batches of B.
        params: the network's, for its hidden sizes.

    Returns:
        per hidden layer a bool array [*leading_shape, H_l], True where a unit is kept.

    Raises:
        TypeError: `key` is not a typed key.
        ValueError: `rate` lies outside [0, 1).

    >>> params = init(jax.random.key(0), (4, 3, 2, 1))
    >>> [mask.shape for mask in draw_masks(jax.random.key(1), 0.5, (10, 16), params)]
    [(10, 16, 3), (10, 16, 2)]
    """
    _check_key("mlp.draw_masks", key)
    _check_rate("mlp.draw_masks", rate)
    # In float32 also under x64: bernoulli draws as many bits as its rate has, so the
    # masks of a float64 run would otherwise differ from those it is compared with.
    keep = 1 - jnp.asarray(rate, jnp.float32)
    widths = [layer["bias"].shape[-1] for layer in _layers(params)[:-1]]
    if not widths:
        return ()
    # Drawn flat: the same bits, and XLA takes up to ten times as long to compile a shape of three.
    kept = jax.random.bernoulli(key, keep, (math.prod(leading_shape) * sum(widths),))
    kept = kept.reshape(*leading_shape, sum(widths))
    ends = itertools.accumulate(widths)
    return tuple(
        kept[..., end - width : end] for width, end in zip(widths, ends, strict=True)
    )


def apply(
    params: Params,
    x: ArrayLike,
    *,
    masks: Masks | None = None,
    rate: ArrayLike = 0.0,
    activation: Activation = "relu",
) -> Array:
    """Computes the logits of `x`.

    Args:
        params: as `init` returns them.
        x: [..., D] floats, scaled as in training (bytes divided by 255).
        masks: one bool mask [..., H] per hidden layer, as `draw_masks` returns them;
            None leaves dropout out, as evaluation wants it.
        rate: [] share of units that the masks drop; what is kept is divided by 1 - rate,
            so that its mean does not change.
        activation: of the hidden layers, one of `ACTIVATIONS` or a function of [..., H] that
            takes each row by itself.

    Returns:
        [..., K] logits.

    Raises:
        TypeError: `x` holds integers.
        ValueError: a shape does not fit the parameters, `rate` lies outside [0, 1), or no
            activation has this name.

    >>> params = {"Dense_0": {"kernel": jnp.ones((2, 1)), "bias": jnp.zeros(1)}}
    >>> apply(params, jnp.array([[1.0, 2.0]]))
    Array([[3.]], dtype=float32)
    """
    x = jnp.asarray(x)
    layers = _layers(params)
    _check_inputs(layers, x)
    check_masks("mlp.apply", masks, x.shape[:-1], params)
    _check_rate("mlp.apply", rate)
    for layer in layers[:-1]:
        check_activation("mlp.apply", activation, layer["bias"].shape[-1])
    product = dot(x, layers[0]["kernel"])
    return after_product(params, product, masks=masks, rate=rate, activation=activation)


def after_product(
    params: Params,
    product: Array,
    *,
    masks: Masks | None,
    rate: ArrayLike,
    activation: Activation,
) -> Array:
    """The logits that follow from the first layer's `product` [..., H] of inputs and kernel.

    Of the first layer it takes the bias alone, so that its kernel may lie as it will.
    """
    layers = _layers(params)
    activate = activation if callable(activation) else ACTIVATIONS[activation]
    x = product + layers[0]["bias"]
    for index, layer in enumerate(layers[1:]):
        if masks is not None:
            x = jnp.where(masks[index], x * (1 / (1 - rate)), 0)
        x = dot(activate(x), layer["kernel"]) + layer["bias"]
    return x


def dot(x: ArrayLike, kernel: Array) -> Array:
    """x @ kernel in full float32, so that a GPU, which may round to TF32, agrees with a CPU."""
    return jnp.dot(x, kernel, precision=jax.lax.Precision.HIGHEST)


def check_layer_sizes(caller: str, layer_sizes: Sequence[int]) -> None:
    """Raises unless `layer_sizes` are two or more integers of at least 1, none huge."""
    if not isinstance(layer_sizes, Sequence) or not all(
        isinstance(size, Integral) for size in layer_sizes
    ):
        raise TypeError(
            f"{caller}: layer_sizes must be several integers, such as (784, 32, 1), got {layer_sizes!r}."
        )
    layer_sizes = [int(size) for size in layer_sizes]  # NumPy's small ones overflow
    if len(layer_sizes) < 2 or min(layer_sizes) < 1:
        raise ValueError(
            f"{caller}: layer_sizes must be the inputs, any hidden layers and the outputs, "
            f"each at least 1, such as (784, 32, 1), got {tuple(layer_sizes)}."
        )
    for fan_in, fan_out in itertools.pairwise(layer_sizes):
        if fan_in * fan_out > _LARGEST_KERNEL:
            raise ValueError(
                f"{caller}: layer_sizes {tuple(layer_sizes)} ask for a kernel of "
                f"{fan_in * fan_out:,} numbers; at most {_LARGEST_KERNEL:,} are allowed."
            )


def check_activation(caller: str, activation: Activation, units: int) -> None:
    """Raises unless it is one of `ACTIVATIONS`, or a function that gives a float for each."""
    if not callable(activation):
        if not isinstance(activation, str) or activation not in ACTIVATIONS:
            raise ValueError(
                f"{caller}: activation must be one of {', '.join(ACTIVATIONS)}, or a function of "
                f"one's own, got {activation!r}."
            )
        return
    given = jax.ShapeDtypeStruct((2, units), jnp.float32)
    try:
        found = jax.eval_shape(lambda x: activation(x), given)
    except Exception as error:  # whatever a user's function may raise
        reason = str(error).partition("\n")[0]
        raise ValueError(
            f"{caller}: activation {activation!r} must be a function of jax of one array [..., H], "
            f"and raised {type(error).__name__}: {reason}"
        ) from error
    if (getattr(found, "shape", None), getattr(found, "dtype", None)) != (
        given.shape,
        given.dtype,
    ):
        raise ValueError(
            f"{caller}: activation {activation!r} must give a float for each that it takes, got "
            f"{found} of {given}."
        )


def check_masks(
    caller: str, masks: Masks | None, leading_shape: Sequence[int], params: Params
) -> None:
    """Raises unless `masks` are None or one [*leading_shape, H_l] for each hidden layer l."""
    if masks is None:
        return
    wanted = [[*leading_shape, each["bias"].shape[0]] for each in _layers(params)[:-1]]
    got = [list(mask.shape) for mask in masks]
    if got != wanted:
        raise ValueError(f"{caller}: masks must have shapes {wanted}, got {got}.")


def _init(key: Array, layer_sizes: tuple[int, ...]) -> Params:
    """Drawn by NumPy where it can, which has nothing to compile, else by XLA: the same bits."""
    bits = drawing.bits_of(key)
    if bits is None or drawing.num_params(layer_sizes) > _LARGE:
        return _compiled_init(key, layer_sizes)
    return jax.device_put(
        drawing.params_of(partial(drawing.symmetric, bits), layer_sizes)
    )


@partial(jax.jit, static_argnums=1)
def _compiled_init(key: Array, layer_sizes: tuple[int, ...]) -> Params:
    folded = jax.random.fold_in(key, 0)  # the key itself is not used up
    return drawing.params_of(partial(_symmetric, folded), layer_sizes)


def _layers(params: Params) -> list[dict[str, Array]]:
    # By number: sorted as text, Dense_10 would stand before Dense_2.
    return [params[f"Dense_{index}"] for index in range(len(params))]


def _symmetric(key: Array, count: int) -> Array:
    """Uniform in [-1, 1)."""
    # Not jax.random.uniform(..., -bound, bound): it multiplies and adds, which a CPU rounds once
    # and a GPU twice. Here all is exact but a product that follows, so that both give the same bits.
    return 2 * jax.random.uniform(key, (count,), jnp.float32) - 1


def is_key(key: Array) -> bool:
    """Whether these are keys that jax knows for such.

    >>> is_key(jax.random.key(0)), is_key(jax.random.PRNGKey(0))
    (True, False)
    """
    dtype = getattr(key, "dtype", None)
    return dtype is not None and jnp.issubdtype(dtype, jax.dtypes.prng_key)


def _check_key(caller: str, key: Array) -> None:
    if not is_key(key):
        dtype = getattr(key, "dtype", type(key))
        raise TypeError(
            f"{caller}: key must be a typed key, jax.random.key(seed), got {dtype}."
        )


def _check_rate(caller: str, rate: ArrayLike) -> None:
    if isinstance(rate, jax.core.Tracer):
        return
    if np.shape(rate) != () or not 0 <= np.asarray(rate) < 1:
        raise ValueError(f"{caller}: rate must be a number in [0, 1), got {rate}.")


def _check_inputs(layers: list[dict[str, Array]], x: Array) -> None:
    fan_in = layers[0]["kernel"].shape[0]
    if not jnp.issubdtype(x.dtype, jnp.floating):
        raise TypeError(
            f"mlp.apply: x must hold floats, got {x.dtype}; divide bytes by 255 first."
        )
    if x.ndim == 0 or x.shape[-1] != fan_in:
        raise ValueError(
            f"mlp.apply: x must be [..., {fan_in}] for these params, got {list(x.shape)}."
        )
