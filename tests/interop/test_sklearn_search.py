"""Programs are few, and a search is scikit-learn's GridSearchCV with seeds."""

import jax
import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import load_diabetes, load_digits, load_wine
from sklearn.exceptions import FitFailedWarning
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss
from sklearn.model_selection import GridSearchCV, ShuffleSplit
from sklearn.preprocessing import StandardScaler

import jaxcls
from jaxcls.interop.sklearn.segments import train_segment
from jaxcls.sklearn import MLPClassifier, MLPRegressor


def digits(count=600):
    features, labels = load_digits(return_X_y=True)
    return features[:count] / 16, labels[:count]


def wine():
    features, labels = load_wine(return_X_y=True)
    return StandardScaler().fit_transform(features), labels


def diabetes():
    features, targets = load_diabetes(return_X_y=True)
    return features[:150], targets[:150]


def of_scikit_learn(estimator, grid, data, seeds, **settings):
    """The mean of what `GridSearchCV` gives over seeds."""
    of_seeds = []
    for seed in range(seeds):
        own = estimator.random_state + seed * estimator.n_seeds
        searched = GridSearchCV(
            type(estimator)(**(estimator.get_params() | {"random_state": own})),
            grid,
            refit=False,
            **settings,
        )
        of_seeds.append(searched.fit(*data).cv_results_)
    return of_seeds


CASES = {
    "full batches": (
        MLPClassifier((8,), max_iter=8, random_state=0),
        {"learning_rate_init": [1e-3, 0.03], "alpha": [0, 1.0]},
        wine,
    ),
    "mini-batches, ensembles, two networks": (
        MLPClassifier(
            batch_size=64,
            max_iter=3,
            random_state=3,
            n_seeds=2,
            class_weight="balanced",
        ),
        [
            {"hidden_layer_sizes": [(8,), (8, 4)], "dropout": [0.1, 0.3]},
            {"hidden_layer_sizes": [(8,)], "standardize": [True], "max_iter": [2, 3]},
        ],
        digits,
    ),
    "regression, early stopping": (
        MLPRegressor(
            (8,), max_iter=30, standardize=True, early_stopping=True, random_state=7
        ),
        {"learning_rate_init": [1e-3, 0.03]},
        diabetes,
    ),
}


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each, marks=() if each == "full batches" else pytest.mark.slow)
        for each in CASES
    ],
)
def test_a_search_is_a_grid_search_cv_with_seeds(name):
    estimator, grid, load = CASES[name]
    found = jaxcls.sklearn.search(estimator, grid, *load(), cv=3, seeds=2)
    wanted = of_scikit_learn(estimator, grid, load(), 2, cv=3)
    assert found["params"] == wanted[0]["params"]
    for key in wanted[0]:
        if "time" in key:
            continue
        if key.startswith("param_"):
            np.testing.assert_array_equal(found[key].mask, wanted[0][key].mask)
            assert found[key].tolist() == wanted[0][key].tolist()
        elif key.startswith("split") or key == "mean_test_score":
            mean = np.mean([each[key] for each in wanted], axis=0)
            np.testing.assert_allclose(found[key], mean, rtol=0, atol=1e-6)
    of_seeds = [found[f"split1_seed{seed}_test_score"] for seed in range(2)]
    np.testing.assert_allclose(
        *(np.mean(of_seeds, axis=0), found["split1_test_score"]), rtol=1e-12
    )
    assert len(pd.DataFrame(found)) == len(found["params"])
    means = found["mean_test_score"]
    ranks = [1 + int(np.sum(means > each)) for each in means]
    assert found["rank_test_score"].tolist() == ranks
    alone = jaxcls.sklearn.search(estimator, grid, *load(), cv=3, seeds=1)
    for key in ("rank_test_score", "std_test_score"):
        np.testing.assert_allclose(alone[key], wanted[0][key], rtol=0, atol=1e-6)


@pytest.fixture
def compiled():
    """The names of the programs that are compiled while a test runs."""
    found = []

    def listen(event, duration, **more):
        if event.endswith("backend_compile_duration"):
            found.append(more.get("fun_name", event))

    jax.monitoring.register_event_duration_secs_listener(listen)
    yield found
    jax.monitoring.unregister_event_duration_listener(listen)


@pytest.mark.parametrize("count", [150, pytest.param(641, marks=pytest.mark.slow)])
def test_a_grid_search_compiles_two_programs_at_most(count, compiled):
    x, y = digits(count)
    before, more = train_segment._cache_size(), len(compiled)
    grid = {
        "learning_rate_init": [1e-3, 0.01],
        "alpha": [0.0, 0.1],
        "class_weight": [None, "balanced"],
        "random_state": [1],
        "max_iter": [2, 3],
    }
    # Of 641 rows some folds leave 512, which are 8 steps, and some 513, which are 9.
    model = MLPClassifier((7,), batch_size=64, standardize=True)
    searched = GridSearchCV(model, grid, cv=5).fit(x, y)
    searched.predict(x[:123])
    assert 1 <= train_segment._cache_size() - before <= 2
    # Nothing else was compiled on the way, and the listener is one that hears.
    assert 1 <= len(compiled) - more <= 2, compiled[more:]


def test_predicting_compiles_nothing(compiled):
    x, y = wine()
    model = MLPClassifier((8,), max_iter=8, random_state=0).fit(x, y)
    assert compiled or train_segment._cache_size()
    compiled.clear()
    for count in range(1, 30):
        model.predict(x[:count])
    assert not compiled


def test_a_member_that_diverges_scores_nan_beside_the_others():
    grid = {"learning_rate_init": [1e30, 0.03]}
    model = MLPClassifier((8,), max_iter=8, solver="sgd", random_state=0)
    with pytest.warns(FitFailedWarning, match="no longer finite.* It scores NaN"):
        found = jaxcls.sklearn.search(model, grid, *wine(), cv=2, seeds=1)
    assert np.isnan(found["mean_test_score"]).tolist() == [True, False]
    assert found["rank_test_score"].tolist() == [2, 1]


def test_a_search_takes_splitters_scores_and_weights():
    x, y = wine()
    weights = (y > 0).astype(float) + 1
    cv, rates = ShuffleSplit(2, random_state=0), [1e-3, 0.03]
    model = MLPClassifier((8,), max_iter=8, random_state=0)
    found = jaxcls.sklearn.search(
        *(model, {"learning_rate_init": rates}, x, y, cv, 1),
        scoring="neg_log_loss",
        sample_weight=weights,
    )
    for setting, rate in enumerate(rates):
        for fold, (train, test) in enumerate(cv.split(x)):
            model.set_params(learning_rate_init=rate)
            model.fit(x[train], y[train], weights[train])
            p = model.predict_proba(x[test])
            wanted = -log_loss(y[test], p, sample_weight=weights[test])
            got = found[f"split{fold}_test_score"][setting]
            assert got == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(
    "estimator, grid, seeds, message",
    [
        (
            LogisticRegression(),
            {},
            1,
            "must be a jaxcls.sklearn.MLPClassifier or MLPReg",
        ),
        (
            MLPClassifier(),
            {"alpha": [-1]},
            1,
            "alpha must be a number finite and at le",
        ),
        (MLPClassifier(), {"alfa": [1]}, 1, "Invalid parameter 'alfa' for estimator"),
        (
            MLPClassifier(),
            {"alpha": [1]},
            0,
            "seeds must be a whole number of at least",
        ),
    ],
)
def test_a_wrong_search_is_told_in_one_sentence(estimator, grid, seeds, message):
    with pytest.raises((TypeError, ValueError), match=message):
        jaxcls.sklearn.search(estimator, grid, *wine(), seeds=seeds)
