"""A network as the page's JavaScript takes it, and whether it can."""

import base64
import json
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from jaxcls.mlp import Activation, Params

# Of `network.js`; its activations are named there.
ACTIVATIONS = ("relu", "tanh", "logistic", "gelu", "silu", "identity")
LIKELIHOODS = ("bernoulli", "categorical")
_MOST_NUMBERS = 4_000_000  # 16 MB, and 21 in the page
_MOST_NAMED = 12  # classes
_LARGEST = 140  # pixels of a side, half of the canvas's


class Network(NamedTuple):
    """A network that names images, or several whose mean probabilities do.

    Attributes:
        params: of S members, every leaf [S, ...], as of `mlp.init`.
        layer_sizes: inputs, hidden layers, outputs.
        activation: of the hidden layers.
        likelihood: its name.
        class_names: K names.
        image_shape: (height, width) of a training image of bytes.
        light_ground, plain_ground, centred: what the training images are; see
            `data.images.learned`.
        temperature: T of probabilities p ** (1 / T), divided by their sum.
        threshold: of two classes, the probability from which on the second is the answer; None
            answers with the more likely one.
        mean, scale: [D] what was taken off each pixel / 255, and by what it was divided then;
            None of pixels that were not standardised.
    """

    params: Params
    layer_sizes: tuple[int, ...]
    activation: Activation
    likelihood: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int]
    light_ground: bool
    plain_ground: bool
    centred: bool
    temperature: float = 1.0
    threshold: float | None = None
    mean: np.ndarray | None = None
    scale: np.ndarray | None = None

    @property
    def num_members(self) -> int:
        """S."""
        return len(self.params["Dense_0"]["bias"])


def why_not(network: Network) -> str | None:
    """Why no drawing can be shown to a network, or None if it can."""
    if network.likelihood not in LIKELIHOODS or network.activation not in ACTIVATIONS:
        return (
            f"the page's JavaScript lacks its activation, {network.activation}, or its likelihood, "
            f"{network.likelihood}."
        )
    if max(network.image_shape) > _LARGEST:
        return f"its images are larger than {_LARGEST} x {_LARGEST}, too large for the canvas."
    numbers = sum(
        leaf.size for layer in network.params.values() for leaf in layer.values()
    )
    if numbers > _MOST_NUMBERS:
        return f"it has {numbers:,} weights, more than the {_MOST_NUMBERS:,} that a page may hold."
    return None


def as_script(network: Network) -> str:
    """A network as JSON that can stand within a script element."""
    told = {
        "layer_sizes": network.layer_sizes,
        "members": network.num_members,
        "activation": network.activation,
        "class_names": network.class_names,
        "image_shape": network.image_shape,
        "light_ground": network.light_ground,
        "plain_ground": network.plain_ground,
        "centred": network.centred,
        "temperature": network.temperature,
        "threshold": network.threshold,
        "mean": None if network.mean is None else network.mean.tolist(),
        "inverse_scale": None
        if network.scale is None
        else (1 / network.scale).tolist(),
        "weights": base64.b64encode(_weights(network)).decode(),
    }
    # Nothing in it may look like the element's end.
    return json.dumps(told).replace("<", "\\u003c")


def _weights(network: Network) -> bytes:
    """All numbers, little-endian float32: member by member the kernel and bias of each layer."""
    layers = [
        network.params[f"Dense_{place}"]
        for place in range(len(network.layer_sizes) - 1)
    ]
    return b"".join(
        np.asarray(layer[name])[member].astype("<f4").tobytes()
        for member in range(network.num_members)
        for layer in layers
        for name in ("kernel", "bias")
    )


def never_seen(network: Network) -> str:
    """What a network can't know, since it has seen its own classes alone.

    >>> network = Network({}, (), "relu", "bernoulli", ("0", "1"), (8, 8), *3 * (False,))
    >>> print(never_seen(network))
    It has seen 0 and 1 alone, and takes whatever is drawn for one of them: 2, 3, 4, 5, 6, 7, 8 \
and 9 it can't know.
    """
    names = network.class_names
    told = f"It has seen {listed(names)} alone, and takes whatever is drawn for one of them: "
    others = [digit for digit in "0123456789" if digit not in names]
    if others and all(name in "0123456789" for name in names):
        return f"{told}{listed(others)} it can't know."
    return f"{told}anything else it can't know."


def answer_from(network: Network) -> str:
    """From which probability on the second class is the answer; empty of the more likely one."""
    if network.threshold is None:
        return ""
    name = network.class_names[1]
    return f" {name} is its answer from a probability of {network.threshold:g} on."


def listed(names: Sequence[str]) -> str:
    """Names as a sentence has them, the first of many.

    >>> listed(["a"]), listed(["a", "b", "c"])
    ('a', 'a, b and c')
    """
    first, rest = names[:_MOST_NAMED], len(names) - _MOST_NAMED
    if rest > 0:
        return f"{', '.join(first)} and {rest:,} more"
    *before, last = first
    return f"{', '.join(before)} and {last}" if before else last
