"""The lines of Python that load a safetensors file of jaxcls into PyTorch, and predict with it."""

import itertools

from jaxcls.config import Config
from jaxcls.interop.answers import Answers, Classes, check_own
from jaxcls.likelihoods import bernoulli, normal
from jaxcls.losses import LEAST_STD
from jaxcls.regression import Target

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
    answers: Answers,
    takes: str,
    *,
    num_networks: int | None = None,
) -> list[str]:
    """Ten lines or so that define `probabilities(x)` or, of a target, `mean_and_std(x)`.

    Each is a function of a tensor [N, D], the second of one network whose spread is not told
    `mean(x)`.

    Args:
        path: of the file, of `interop.pytorch.to_state_dict`, or of several networks each with
            its number in front: `0.0.weight`.
        config: the network was trained with.
        answers: the classes, and what was calibrated; or the target.
        takes: what the features are, for a comment.
        num_networks: how many the file holds, whose mean is meant; None of one alone.

    Raises:
        ValueError: the network has functions of one's own.
    """
    module = _MODULES[check_own("loading_code", config, answers)]
    layers = f", {module}(), ".join(
        f"Linear({fan_in}, {fan_out})"
        for fan_in, fan_out in itertools.pairwise(config.layer_sizes)
    )
    made, named, called = f"Sequential({layers})", "net", "net(x)"
    modules = ["Linear", "Sequential"]
    if len(config.layer_sizes) > 2:
        modules.append(module)
    if num_networks is not None:
        modules.append("ModuleList")
        made = f"ModuleList({made} for _ in range({num_networks}))"
        named, called = "nets", "torch.stack([net(x) for net in nets])"
    if isinstance(answers, Classes):
        name, given, steps = _of_classes(config, answers, called, num_networks)
    else:
        name, given, steps = _of_target(config, answers, called, num_networks)
    return [
        "import torch",
        "from safetensors.torch import load_file",
        f"from torch.nn import {', '.join(sorted(modules))}",
        "",
        f"{named} = {made}",
        f"{named}.load_state_dict(load_file({path!r}))",
        "",
        "",
        "@torch.no_grad()",
        f"def {name}(x):  # [N, {config.layer_sizes[0]}] floats, {takes} -> {given}",
        *(f"    {line}" for line in steps),
    ]


def _of_classes(
    config: Config, classes: Classes, called: str, num_networks: int | None
) -> tuple[str, str, list[str]]:
    """Name, comment and body of the function; in float64, so that small powers stay above 0."""
    labels, temperature = classes.labels, classes.temperature
    given = f"[N, {len(labels)}]: {', '.join(map(str, labels))}"
    steps = [f"z = {called}.double()"]
    if config.likelihood == bernoulli:
        steps.append("z = torch.cat([0 * z, z], -1)")
    p = "z.softmax(-1)" if num_networks is None else "z.softmax(-1).mean(0)"
    if temperature == 1:
        steps.append(f"return {p}")
    else:
        steps.append(f"p = {p} ** (1 / {float(temperature)!r})")
        steps.append("return p / p.sum(1, keepdim=True)")
    if classes.threshold is not None:
        steps[-1] += f"  # {labels[1]} is the answer from {classes.threshold!r} on"
    return "probabilities", given, steps


def _of_target(
    config: Config, target: Target, called: str, num_networks: int | None
) -> tuple[str, str, list[str]]:
    """Name, comment and body of the function; all of it in the target's unit."""
    first, scale = float(target.mean), float(target.scale)
    given = f"of {target.name}, each [N]"
    stacked = f"{called}[None]" if num_networks is None else called
    steps = [f"z = {stacked}.double()", f"mean = {first!r} + {scale!r} * z[..., 0]"]
    variances = []
    if config.likelihood == normal:
        spread = f"torch.nn.functional.softplus(z[..., 1]) + {LEAST_STD}"
        steps.append(f"std = {scale!r} * ({spread})")
        variances.append("(std**2).mean(0)")
    if num_networks is not None:
        variances.append("mean.var(0, correction=0)")
    if not variances:
        return "mean", given, [*steps, "return mean[0]"]
    steps.append(f"return mean.mean(0), ({' + '.join(variances)}).sqrt()")
    return "mean_and_std", given, steps
