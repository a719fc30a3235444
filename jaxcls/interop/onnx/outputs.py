"""What a graph gives: the network's logits, and the answers that they stand for."""

import math

import numpy as np

from jaxcls.interop.answers import Classes
from jaxcls.interop.onnx.graph import Graph
from jaxcls.likelihoods import Likelihood, bernoulli, normal
from jaxcls.losses import LEAST_STD
from jaxcls.mlp import ActivationName, Params
from jaxcls.regression import Target


def logits_of(graph: Graph, x: str, params: Params, activation: ActivationName) -> str:
    """Logits [N, outputs], or [S, N, outputs] of S networks whose every leaf is [S, ...]."""
    for index in range(len(params)):
        if index:
            x = _activated(graph, x, activation)
        layer = params[f"Dense_{index}"]
        kernel, bias = (np.asarray(layer[n], np.float32) for n in ("kernel", "bias"))
        if bias.ndim == 2:  # of several networks; [S, 1, H] is added to each row
            bias = bias[:, None]
        name = f"params/Dense_{index}"
        product = graph.add("MatMul", x, graph.constant(kernel, f"{name}/kernel"))
        x = graph.add("Add", product, graph.constant(bias, f"{name}/bias"))
    return x


def _activated(graph: Graph, x: str, activation: ActivationName) -> str:
    if activation == "identity":
        return x
    if activation == "silu":
        return graph.add("Mul", x, graph.add("Sigmoid", x))
    if activation == "gelu":  # the exact one; its own operator came with opset 20
        erf = graph.add("Erf", graph.add("Mul", x, graph.number(math.sqrt(0.5))))
        share = graph.add(
            "Mul", graph.add("Add", erf, graph.number(1)), graph.number(0.5)
        )
        return graph.add("Mul", x, share)
    names = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid"}
    return graph.add(names[activation], x)


def add_classes(
    graph: Graph,
    logits: str,
    likelihood: Likelihood,
    num_networks: int | None,
    classes: Classes,
) -> None:
    """The outputs `label` [N] and `probabilities` [N, K].

    Args:
        graph: to add them to.
        logits: [N, outputs], or [S, N, outputs] of S networks.
        likelihood: bernoulli or categorical.
        num_networks: S, or None of one network alone.
        classes: what is told apart.
    """
    name, is_one = "probabilities", likelihood == bernoulli
    if classes.temperature == 1:
        softmax = _both if is_one else _softmax
        found = _mean(graph, softmax(graph, logits), num_networks)
        graph.add("Identity", found, name=name)
    else:
        of_each = _log_probabilities(graph, logits, is_one)
        found = _log_mean(graph, of_each, num_networks)
        tempered = graph.add("Div", found, graph.number(classes.temperature))
        graph.add("Softmax", tempered, axis=-1, name=name)
    # One network's logits tell apart also what rounds to one probability.
    scores = logits if num_networks is None else found
    place = _place(
        graph, name, scores, is_one and num_networks is None, classes.threshold
    )
    labels = classes.labels
    words = isinstance(labels[0], str)
    kept = graph.constant(np.array(labels, object if words else np.int64), "labels")
    graph.add("Gather", kept, place, axis=0, name="label")
    graph.output("label", np.str_ if words else np.int64, ["N"], "the answer")
    told = f"of the classes {', '.join(map(str, labels))}"
    graph.output(name, np.float32, ["N", len(labels)], told)


def add_moments(
    graph: Graph,
    outputs: str,
    likelihood: Likelihood,
    num_networks: int | None,
    target: Target,
) -> None:
    """The output `mean` [N, 1], and `std` [N, 1] where networks tell or differ in it.

    They are float64 in the target's unit, of which float32 may hold too few digits.

    Args:
        graph: to add them to.
        outputs: [N, 1 or 2], or [S, N, 1 or 2] of S networks.
        likelihood: gaussian or normal.
        num_networks: S, or None of one network alone.
        target: the unit.
    """
    scale = graph.number(target.scale, np.float64)
    means = graph.column(outputs, 0)
    mean = _mean(graph, means, num_networks)
    scaled = graph.add("Mul", graph.cast(mean, np.float64), scale)
    graph.add("Add", scaled, graph.number(target.mean, np.float64), name="mean")
    graph.output("mean", np.float64, ["N", 1], f"of {target.name}, in its unit")
    variances = []
    if likelihood == normal:
        raw = graph.add("Softplus", graph.column(outputs, 1))
        within = graph.add("Add", raw, graph.number(LEAST_STD))
        variances.append(_mean(graph, graph.add("Mul", within, within), num_networks))
    if num_networks is not None:
        off = graph.add("Sub", means, mean)
        variances.append(_mean(graph, graph.add("Mul", off, off), num_networks))
    if not variances:
        return
    std = graph.add("Sqrt", graph.add("Sum", *variances))
    graph.add("Mul", graph.cast(std, np.float64), scale, name="std")
    graph.output("std", np.float64, ["N", 1], "standard deviation of the prediction")


def _place(
    graph: Graph, probabilities: str, scores: str, is_one: bool, threshold: float | None
) -> str:
    """The place [N] of the answer among the classes."""
    if threshold is None and not is_one:
        return graph.add("ArgMax", scores, axis=-1, keepdims=0)
    axis = graph.constant(np.array([1]), "axis")
    if threshold is None:
        is_second = graph.add("Greater", scores, graph.number(0))
    else:
        second = graph.column(probabilities, 1)
        # In float64, as a threshold is none of float32's numbers.
        least = graph.number(threshold, np.float64)
        is_second = graph.add("GreaterOrEqual", graph.cast(second, np.float64), least)
    return graph.cast(graph.add("Squeeze", is_second, axis), np.int64)


def _softmax(graph: Graph, logits: str) -> str:
    """Probabilities [..., N, K] of as many logits."""
    return graph.add("Softmax", logits, axis=-1)


def _both(graph: Graph, logits: str) -> str:
    """Probabilities [..., N, 2] of one output's logits [..., N, 1]."""
    second = graph.add("Sigmoid", logits)
    first = graph.add("Sub", graph.number(1), second)
    return graph.add("Concat", first, second, axis=-1)


def _log_probabilities(graph: Graph, logits: str, is_one: bool) -> str:
    """Logarithms [..., N, K] of the classes' probabilities."""
    if not is_one:
        return graph.add("LogSoftmax", logits, axis=-1)
    zeros = graph.add("Mul", logits, graph.number(0))
    return graph.add("LogSoftmax", graph.add("Concat", zeros, logits, axis=-1), axis=-1)


def _mean(graph: Graph, of_each: str, num_networks: int | None) -> str:
    """The mean over networks, if there are several."""
    if num_networks is None:
        return of_each
    total = graph.reduce("ReduceSum", of_each, 0, keepdims=False)
    return graph.add("Div", total, graph.number(num_networks))


def _log_mean(graph: Graph, of_each: str, num_networks: int | None) -> str:
    """The logarithm of the mean over networks of what `of_each` are the logarithms of."""
    if num_networks is None:
        return of_each
    most = graph.reduce("ReduceMax", of_each, 0, keepdims=True)
    shares = graph.add("Exp", graph.add("Sub", of_each, most))
    log_share = graph.add("Log", _mean(graph, shares, num_networks))
    axis = graph.constant(np.array([0]), "axis")
    return graph.add("Add", graph.add("Squeeze", most, axis), log_share)
