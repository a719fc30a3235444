"""The lines of Python that load a safetensors file of jaxcls into PyTorch, and predict with it."""

import itertools
from collections.abc import Sequence

from jaxcls.config import Config
from jaxcls.likelihoods import bernoulli, categorical

_MODULES = {
    "relu": "ReLU",
    "tanh": "Tanh",
    "logistic": "Sigmoid",
    "gelu": "GELU",
    "silu": "SiLU",
    "identity": "Identity",
}


def loading_code(
    path: str,
    config: Config,
    class_names: Sequence[str],
    takes: str,
    *,
    num_networks: int | None = None,
    temperature: float = 1.0,
) -> list[str]:
    """Ten lines or so that define `probabilities(x)`, a function of a tensor [N, D].

    Args:
        path: of the file, of `interop.pytorch.to_state_dict`, or of several networks each with
            its number in front: `0.0.weight`.
        config: the network was trained with.
        class_names: K names.
        takes: what the features are, for a comment.
        num_networks: how many the file holds, whose mean is meant; None of one alone.
        temperature: as of `Classes` in `interop.onnx`.

    Raises:
        ValueError: the network has functions of one's own.
    """
    if callable(config.activation) or config.likelihood not in (bernoulli, categorical):
        raise ValueError(
            "loading_code: the network has an activation or a likelihood of one's own, for which "
            "PyTorch has no module; train with one of jaxcls's."
        )
    module = _MODULES[config.activation]
    layers = f", {module}(), ".join(
        f"Linear({fan_in}, {fan_out})"
        for fan_in, fan_out in itertools.pairwise(config.layer_sizes)
    )
    is_one = num_networks is None
    made = f"Sequential({layers})"
    named = "net" if is_one else "nets"
    hidden = [module] if len(config.layer_sizes) > 2 else []
    modules = sorted(
        ["Linear", "Sequential", *hidden, *([] if is_one else ["ModuleList"])]
    )
    called = "net(x)" if is_one else "torch.stack([net(x) for net in nets])"
    sizes = f"[N, {config.layer_sizes[0]}] floats, {takes}"
    return [
        "import torch",
        "from safetensors.torch import load_file",
        f"from torch.nn import {', '.join(modules)}",
        "",
        f"{named} = {made if is_one else f'ModuleList({made} for _ in range({num_networks}))'}",
        f"{named}.load_state_dict(load_file({path!r}))",
        "",
        "",
        "@torch.no_grad()",
        f"def probabilities(x):  # {sizes} -> [N, {len(class_names)}]: {', '.join(class_names)}",
        *(
            f"    {line}"
            for line in _steps(config, called, num_networks is None, temperature)
        ),
    ]


def _steps(config: Config, called: str, is_one: bool, temperature: float) -> list[str]:
    """The body of `probabilities`; in float64, so that powers of small ones stay above 0."""
    two = config.likelihood == bernoulli
    p = f"{called}.double().{'sigmoid()' if two else 'softmax(-1)'}"
    p += "" if is_one else ".mean(0)"
    both = "torch.cat([1 - p, p], 1)"
    if temperature == 1:
        return [f"p = {p}", f"return {both}"] if two else [f"return {p}"]
    return [
        f"p = {p}",
        f"p = {both if two else 'p'} ** (1 / {temperature!r})",
        "return p / p.sum(1, keepdim=True)",
    ]
