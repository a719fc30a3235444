"""`to_onnx`: a trained network, or several whose mean it is, as an ONNX model."""

import json
from collections.abc import Mapping
from typing import Any

import jax
import numpy as np

from jaxcls.config import Config
from jaxcls.ensembles import check_stacked
from jaxcls.interop.answers import Answers, Classes, check_own
from jaxcls.interop.onnx.graph import Graph
from jaxcls.interop.onnx.inputs import Columns, Rows, features_of
from jaxcls.interop.onnx.outputs import add_classes, add_moments, logits_of
from jaxcls.mlp import Params

OPSET = 18  # of onnxruntime 1.14 and later, and torch.onnx's own
OPSETS = range(13, 24)  # those in which all that is used means one thing
_LARGEST = 2_000_000_000  # bytes of weights; a file of protobuf ends at 2 GiB


def to_onnx(
    params: Params,
    config: Config,
    inputs: Rows | Columns,
    answers: Answers,
    *,
    metadata: Mapping[str, str] | None = None,
    opset: int = OPSET,
) -> Any:
    """A graph from raw inputs to the answers, for any number N of examples.

    Of classes the outputs are `label` [N] and `probabilities` [N, K]. Of a target they are `mean`
    [N, 1] and, of networks that tell their spread or are several, `std` [N, 1].

    Args:
        params: as `mlp.init` returns them, or of S networks every leaf [S, ...]: their mean.
        config: they were trained with; of its own functions none can be written.
        inputs: rows of features, or a table's columns.
        answers: the classes, and what was calibrated; or the target.
        metadata: texts to keep in the file, beside the answers' names.
        opset: of ONNX's own operators.

    Returns:
        An `onnx.ModelProto`, which onnx's checker has passed.

    Raises:
        ValueError: what is asked for can't be written; the message says why.
        ModuleNotFoundError: onnx is not installed.

    >>> from jaxcls import bernoulli, mlp
    >>> params = mlp.init(jax.random.key(0), (784, 32, 1))
    >>> config = Config((784, 32, 1), bernoulli)
    >>> model = to_onnx(params, config, Rows(784, takes_bytes=True), Classes((3, 8)))
    >>> [each.name for each in model.graph.output]
    ['label', 'probabilities']
    """
    import onnx

    activation = check_own("to_onnx", config, answers)
    num_networks = _check(params, opset)
    is_of_classes = isinstance(answers, Classes)
    graph = Graph(
        opset, ("label", "probabilities") if is_of_classes else ("mean", "std")
    )
    logits = logits_of(graph, features_of(graph, inputs), params, activation)
    if isinstance(answers, Classes):
        add_classes(graph, logits, config.likelihood, num_networks, answers)
        told = {"classes": json.dumps(answers.labels)}
    else:
        add_moments(graph, logits, config.likelihood, num_networks, answers)
        told = {"target": answers.name}
    told |= metadata or {}
    model = _model(graph, told)
    onnx.checker.check_model(model, full_check=True)
    return model


def _check(params: Params, opset: int) -> int | None:
    """Raises unless a graph can hold all this; returns the number of networks, None of one."""
    if opset not in OPSETS:
        raise ValueError(
            f"opset must be {OPSETS[0]} to {OPSETS[-1]}, got {opset}; {OPSET} is read by "
            "onnxruntime 1.14 and later."
        )
    size = sum(np.asarray(leaf).nbytes for leaf in jax.tree.leaves(params))
    if size > _LARGEST:
        raise ValueError(
            f"to_onnx: the weights take {size / 1e9:.1f} GB, and an ONNX file holds "
            f"{_LARGEST / 1e9:.0f}; train fewer seeds or smaller layers."
        )
    if np.ndim(params["Dense_0"]["bias"]) == 1:
        return None
    check_stacked("to_onnx", params)
    return len(params["Dense_0"]["bias"])


def _model(graph: Graph, metadata: Mapping[str, str]) -> Any:
    from onnx import helper

    import jaxcls

    opsets = [helper.make_opsetid(*each) for each in graph.domains.items()]
    model = helper.make_model(
        helper.make_graph(
            *(graph.nodes, "jaxcls", graph.inputs, graph.outputs, graph.constants)
        ),
        opset_imports=opsets,
        # The oldest that has them, so that old runtimes read it.
        ir_version=helper.find_min_ir_version_for(opsets),
        producer_name="jaxcls",
        producer_version=jaxcls.__version__,
    )
    helper.set_model_props(model, dict(metadata))
    return model
