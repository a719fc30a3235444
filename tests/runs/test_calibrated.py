"""A run's temperature and threshold: what they do to its predictions, and what they leave."""

import dataclasses

import jax
import numpy as np
import pytest

import jaxcls
from jaxcls.calibration import tempered

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
