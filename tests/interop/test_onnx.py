"""interop.onnx: graphs beside jaxcls's own numbers, and what they are called."""

import json

import jax
import numpy as np
import onnx
import onnxruntime
import oracle
import own
import pytest
from onnx.reference import ReferenceEvaluator

from jaxcls import Config, bernoulli, categorical, ensembles, gaussian, mlp, normal
from jaxcls.interop.onnx import (
    Classes,
    Columns,
    Number,
    Rows,
    Target,
    Values,
    Words,
    to_onnx,
)
from jaxcls.interop.onnx import model as models
from jaxcls.likelihoods import class_probabilities

X = np.random.default_rng(0).normal(size=(40, 6)).astype(np.float32)
BOTH = {bernoulli: Classes((3, 8)), categorical: Classes(("ash", "beech", "cedar"))}


def networks(likelihood, count, activation="relu", scale=3.0):
    """Params of networks that are sure of some rows, and their config."""
    config = Config(
        (6, 5, 4, likelihood.num_outputs(3)), likelihood, activation=activation
    )
    found = [
        mlp.init(key, config.layer_sizes)
        for key in jax.random.split(jax.random.key(0), count)
    ]
    stacked = jax.tree.map(lambda leaf: scale * leaf, ensembles.stack(found))
    return jax.tree.map(np.asarray, stacked), config


def members(params):
    count = len(params["Dense_0"]["bias"])
    return [jax.tree.map(lambda leaf, i=i: leaf[i], params) for i in range(count)]


def first(params):
    return members(params)[0]


def ran(model, **given):
    session = onnxruntime.InferenceSession(model.SerializeToString())
    return session.run(None, given)


def exported(params, config, classes=None, **more):
    return to_onnx(
        params, config, Rows(6, False), classes or BOTH[config.likelihood], **more
    )


@pytest.mark.parametrize("activation", mlp.ACTIVATIONS)
@pytest.mark.parametrize("likelihood", BOTH, ids=lambda each: each.name)
def test_each_activation_and_their_mean(likelihood, activation):
    params, config = networks(likelihood, 3, activation)
    logits = mlp.apply(first(params), X, activation=activation)
    labels = np.array(BOTH[likelihood].labels)

    label, got = ran(exported(first(params), config), features=X)
    want = class_probabilities(logits, likelihood)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
    assert got.dtype == np.float32
    np.testing.assert_array_equal(label, labels[likelihood.predict(logits)])

    label, got = ran(exported(params, config), features=X)
    want = ensembles.probabilities(params, X, likelihood, activation)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
    np.testing.assert_array_equal(label, labels[want.argmax(axis=1)])
    assert len({*label.tolist()}) > 1


@pytest.mark.parametrize("num_networks", [1, 3])
@pytest.mark.parametrize("likelihood", BOTH, ids=lambda each: each.name)
def test_temperature_in_float64(likelihood, num_networks):
    params, config = networks(likelihood, num_networks, scale=12.0)
    logs = []
    for member in members(params):
        z = oracle.forward(oracle.to_float64(member), X)[0]
        z = np.hstack([0 * z, z]) if likelihood is bernoulli else z
        logs.append(oracle.log_softmax(z))
    mean = np.logaddexp.reduce(logs) - np.log(num_networks)
    # A probability as small as this counts at such a temperature.
    assert mean.min() < -13
    want = np.exp(oracle.log_softmax(mean / 30))
    given = params if num_networks > 1 else members(params)[0]
    classes = BOTH[likelihood]._replace(temperature=30.0)
    label, got = ran(exported(given, config, classes), features=X)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)
    best = np.sort(want, axis=1)
    clear = best[:, -1] - best[:, -2] > 1e-6
    labels = np.array(classes.labels)[want.argmax(axis=1)]
    np.testing.assert_array_equal(label[clear], labels[clear])


@pytest.mark.parametrize("num_networks", [1, 3])
def test_threshold(num_networks):
    params, config = networks(bernoulli, 3)
    params = params if num_networks > 1 else first(params)
    _, p = ran(exported(params, config), features=X)
    # One of the probabilities itself, from which on the second class is the answer.
    for threshold in (float(np.sort(p[:, 1])[10]), 0.1, 1.0):
        classes = Classes((3, 8), threshold=threshold)
        label, got = ran(exported(params, config, classes), features=X)
        np.testing.assert_array_equal(got, p)
        np.testing.assert_array_equal(label == 8, np.float64(p[:, 1]) >= threshold)


@pytest.mark.parametrize("opset", [13, 17, 18, 20, 23])
def test_opsets_from_the_oldest_to_the_newest(opset):
    params, config = networks(bernoulli, 2)
    classes = Classes((0, 1), temperature=2.0, threshold=0.3)
    model = exported(params, config, classes, opset=opset)
    onnx.checker.check_model(model, full_check=True)
    assert [(each.domain, each.version) for each in model.opset_import] == [("", opset)]
    label, got = ran(model, features=X)
    p = np.asarray(ensembles.probabilities(params, X, bernoulli)) ** 0.5
    np.testing.assert_allclose(got, p / p.sum(axis=1, keepdims=True), rtol=0, atol=1e-6)
    np.testing.assert_array_equal(label, got[:, 1] >= 0.3)


@pytest.mark.parametrize("num_networks", [1, 3])
@pytest.mark.parametrize("likelihood", [gaussian, normal], ids=lambda each: each.name)
def test_mean_and_spread_in_the_targets_unit(likelihood, num_networks):
    params, config = networks(likelihood, num_networks)
    given = params if num_networks > 1 else first(params)
    target = Target("crop", 5_000.0, 300.0)
    model = exported(given, config, target)
    names = [each.name for each in model.graph.output]
    has_std = likelihood == normal or num_networks > 1
    assert names == (["mean", "std"] if has_std else ["mean"])
    mean, *std = ran(model, features=X)
    want = ensembles.moments(params, X, likelihood)
    assert mean.dtype == np.float64 and mean.shape == (40, 1)
    unscaled = (mean[:, 0] - 5_000) / 300
    np.testing.assert_allclose(unscaled, want.mean, rtol=1e-6, atol=1e-6)
    for each in std:
        np.testing.assert_allclose(each[:, 0] / 300, want.std, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("takes_bytes", [True, False])
def test_features_are_standardised(takes_bytes):
    params, config = networks(categorical, 1)
    rng = np.random.default_rng(0)
    x = rng.integers(0, 256, (9, 6), np.uint8)
    mean, scale = np.full(6, 0.4), np.array([0.1, 0.3, np.inf, 1.0, 2.0, 0.5])
    if not takes_bytes:
        x, mean = 2007 + x / 100, mean + 2007
    model = to_onnx(
        *(first(params), config, Rows(6, takes_bytes, mean, scale), BOTH[categorical])
    )
    features = ((x / np.float32(255) if takes_bytes else x) - mean) / scale
    want = class_probabilities(
        mlp.apply(first(params), np.float32(features)), categorical
    )
    _, got = ran(model, features=x)
    np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def test_bytes_are_divided_and_a_batch_is_free():
    config = Config((784, 5, 1), bernoulli)
    params = mlp.init(jax.random.key(0), config.layer_sizes)
    model = to_onnx(params, config, Rows(784, True), BOTH[bernoulli])
    for count in (1, 7):
        x = np.random.default_rng(count).integers(0, 256, (count, 784), np.uint8)
        logits = mlp.apply(params, x / np.float32(255))
        _, got = ran(model, features=x)
        want = class_probabilities(logits, bernoulli)
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def test_names_types_shapes_and_metadata():
    params, config = networks(categorical, 1)
    model = exported(first(params), config, metadata={"source": "a test"})
    assert model.producer_name == "jaxcls" and model.ir_version == 8
    session = onnxruntime.InferenceSession(model.SerializeToString())
    assert [(each.name, each.type, each.shape) for each in session.get_inputs()] == [
        ("features", "tensor(float)", ["N", 6])
    ]
    assert [(each.name, each.type, each.shape) for each in session.get_outputs()] == [
        ("label", "tensor(string)", ["N"]),
        ("probabilities", "tensor(float)", ["N", 3]),
    ]
    kept = session.get_modelmeta().custom_metadata_map
    assert json.loads(kept["classes"]) == ["ash", "beech", "cedar"]
    assert kept["source"] == "a test"
    names = [each.name for each in model.graph.initializer]
    assert "params/Dense_0/kernel" in names
    assert all(each.name for each in model.graph.node)


def test_columns_whatever_they_are_called():
    columns = Columns(
        (
            Number("label", 2007.123, 0.01, True),
            Number("mean", 0.0, 2.0, False),
        ),
        (
            Words("label_", {"clay": 0, "peat, wet": 1, "": 2}, 3),
            Values("concat", (2.5, 7.0), True),
        ),
    )
    # Which features they make, seen by one output for each.
    params = {
        "Dense_0": {
            "kernel": np.eye(9, dtype=np.float32),
            "bias": np.zeros(9, np.float32),
        }
    }
    config = Config((9, 9), categorical)
    model = to_onnx(params, config, columns, Classes(tuple(range(9))))
    names = [each.name for each in model.graph.input]
    assert names == ["label_", "mean", "label__", "concat"]
    nan = np.nan
    columns = (
        [2007.133, nan, 2007.123],
        [nan, 4.0, -1.0],
        ["clay", "", "marl"],
        [7.0, nan, 3.0],
    )
    given = {
        name: np.array(column, object if isinstance(column[0], str) else float)[:, None]
        for name, column in zip(names, columns, strict=True)
    }
    want = np.array(
        [
            [1, 0, 0, 1, 0, 0, 0, 1, 0],
            [0, 2, 1, 0, 0, 1, 0, 0, 1],
            [0, -0.5, 0, 0, 0, 0, 0, 0, 0],
        ]
    )
    want = np.exp(want) / np.exp(want).sum(axis=1, keepdims=True)
    for _, got in (ran(model, **given), ReferenceEvaluator(model).run(None, given)):
        np.testing.assert_allclose(got, want, rtol=0, atol=1e-6)


def test_what_no_graph_can_hold_is_refused(monkeypatch):
    params, config = networks(bernoulli, 1)
    one = first(params)
    for opset in (12, 24):
        with pytest.raises(
            ValueError, match=f"opset must be 13 to 23, got {opset}; 18 is"
        ):
            exported(one, config, opset=opset)
    with pytest.raises(ValueError, match="activation is a function of one's own"):
        exported(one, Config((6, 5, 4, 1), bernoulli, activation=own.leaky))
    with pytest.raises(ValueError, match="likelihood 'focal' is one's own"):
        exported(one, Config((6, 5, 4, 1), own.focal), BOTH[bernoulli])
    with pytest.raises(ValueError, match=r"a Target must be given .* got Classes"):
        exported(one, Config((6, 5, 4, 1), gaussian), BOTH[bernoulli])
    monkeypatch.setattr(models, "_LARGEST", 100)
    with pytest.raises(
        ValueError, match=r"the weights take 0\.0 GB, and an ONNX file holds"
    ):
        exported(one, config)
