"""A run's temperature and threshold: what they do to its predictions, and what they leave."""

import dataclasses

import jax
import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

import jaxcls
from jaxcls.calibration import tempered
from jaxcls.probability_scores import one_against_rest
from jaxcls.runs import score
from jaxcls.scores import roc_auc

X = np.random.default_rng(0).normal(size=(50, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """By kind: runs of starting weights, ten times as large, which are quite sure."""
    found = {}
    for kind, likelihood, outputs, seeds in (
        ("one output", jaxcls.bernoulli, 1, None),
        ("two outputs", jaxcls.categorical, 2, None),
        ("three classes", jaxcls.categorical, 3, None),
        ("ensemble of two classes", jaxcls.bernoulli, 1, range(3)),
        ("ensemble of three classes", jaxcls.categorical, 3, range(3)),
    ):
        config = jaxcls.Config((3, 4, outputs), likelihood)
        drawn = [
            jaxcls.mlp.init(jax.random.key(seed), config.layer_sizes)
            for seed in seeds or [0]
        ]
        params = drawn[0] if seeds is None else jaxcls.ensembles.stack(drawn)
        params = jax.tree.map(lambda leaf: 10 * leaf, params)
        path = tmp_path_factory.mktemp("runs") / "run"
        jaxcls.save_run(path, params, config, seeds=seeds)
        found[kind] = jaxcls.load_run(path)
    return found


KINDS = (
    *("one output", "two outputs", "three classes"),
    *("ensemble of two classes", "ensemble of three classes"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_temperature_changes_probabilities_and_no_label(runs, kind):
    run = runs[kind]
    assert (run.temperature, run.threshold) == (1, None)
    p = np.exp(run.predict_log_proba(X))
    np.testing.assert_allclose(run.predict_proba(X), p, atol=1e-6)
    for temperature in (0.25, 3.0):
        warm = dataclasses.replace(run, temperature=temperature)
        want = p ** (1 / temperature)
        want /= want.sum(axis=1, keepdims=True)
        got = warm.predict_proba(X)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, want, atol=2e-6)
        log_p = warm.predict_log_proba(X)
        np.testing.assert_allclose(np.exp(log_p), got, rtol=1e-6, atol=1e-37)
        np.testing.assert_array_equal(warm.predict(X), run.predict(X))
        if p.shape[1] == 2:
            np.testing.assert_allclose(
                warm.log_odds(X), log_p[:, 1] - log_p[:, 0], rtol=1e-4, atol=1e-5
            )
        for mine, own in zip(warm.members(), run.members(), strict=True):
            if run.seeds is not None:  # each as it was trained
                np.testing.assert_array_equal(
                    mine.predict_proba(X), own.predict_proba(X)
                )


@pytest.mark.parametrize("kind", [each for each in KINDS if "three" not in each])
def test_a_threshold_is_met_from_its_value_on(runs, kind):
    warm = dataclasses.replace(runs[kind], temperature=2.0)
    second = warm.predict_proba(X)[:, 1]
    threshold = float(np.sort(second)[10])
    run = dataclasses.replace(warm, threshold=threshold)
    np.testing.assert_array_equal(run.predict(X), second >= threshold)
    assert 0 < run.predict(X).mean() < 1
    np.testing.assert_array_equal(run.predict_proba(X), warm.predict_proba(X))
    assert dataclasses.replace(run, threshold=0.0).predict(X).all()
    assert run.members()[0].threshold is (threshold if run.seeds is None else None)


@pytest.mark.parametrize("kind", KINDS)
def test_what_rounds_to_0_has_a_logarithm(runs, kind):
    params = jax.tree.map(lambda leaf: 100 * leaf, runs[kind].params)
    run = dataclasses.replace(runs[kind], params=params)
    assert (run.predict_proba(X) == 0).any()
    log_p = run.predict_log_proba(X)
    assert log_p.dtype == np.float64 and np.isfinite(log_p).all()
    of_members = []
    for member in run.members():
        z = np.asarray(jaxcls.mlp.apply(member.params, X), np.float64)
        of_members.append(tempered(z if z.shape[1] > 1 else np.hstack([0 * z, z]), 1))
    want = np.logaddexp.reduce(of_members) - np.log(len(of_members))
    np.testing.assert_allclose(log_p, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_scores_of_logits_near_minus_379_are_those_of_the_logits(runs, kind):
    """There each probability of a class is 0 in float32: ranked by it, all examples would tie."""
    run = runs[kind]
    params = jax.tree.map(np.array, run.params)
    params["Dense_1"]["bias"][..., -1] -= 379
    run = dataclasses.replace(run, params=params)
    targets = np.arange(len(X)) % len(run.labels)
    assert (run.predict_proba(X)[:, -1] == 0).all()
    rank = np.logaddexp.reduce(
        [
            tempered(z if z.shape[1] > 1 else np.hstack([0 * z, z]), 1)[:, -1]
            for member in run.members()
            for z in [np.float64(jaxcls.mlp.apply(member.params, X))]
        ]
    )
    last = targets == len(run.labels) - 1
    found = score(run, X, targets)
    if len(run.labels) == 2:
        assert found["roc_auc"] == pytest.approx(roc_auc_score(last, rank), abs=5e-3)
        precision = average_precision_score(last, rank)
        assert found["average_precision"] == pytest.approx(precision, abs=5e-3)
    else:
        log_p = run.predict_log_proba(X)
        got = roc_auc(one_against_rest(log_p)[:, -1], last)
        assert got == pytest.approx(roc_auc_score(last, rank), abs=5e-3)
        macro = found["one_against_rest"]["roc_auc"]["macro"]
        each = [roc_auc(one_against_rest(log_p)[:, k], targets == k) for k in range(3)]
        assert macro == pytest.approx(np.mean(each), rel=1e-12)
    assert found["log_loss"] > 100
