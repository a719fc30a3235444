"""The estimators: jaxcls's training, scikit-learn's habits and checks, and few programs."""

import pickle
import pickletools
from typing import get_args

import jax
import joblib
import numpy as np
import pytest
import scipy.sparse
import sklearn.neural_network
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits, load_wine
from sklearn.ensemble import VotingClassifier
from sklearn.inspection import permutation_importance
from sklearn.model_selection import StratifiedKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils import estimator_checks
from sklearn.utils.estimator_checks import parametrize_with_checks

import jaxcls
from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    categorical,
    chosen_params,
    fit,
    gaussian,
    mlp,
)
from jaxcls.comparisons import compare
from jaxcls.interop.sklearn import rows, segments
from jaxcls.interop.sklearn.networks import outputs
from jaxcls.interop.sklearn.sizes import held_out_size, size_of
from jaxcls.mlp import ACTIVATIONS
from jaxcls.optimizers import OptimizerName
from jaxcls.sklearn import MLPClassifier, MLPRegressor
from jaxcls.training import init_state

# Those that Keras 3's wrapper of a classifier expects to fail, and those that weigh.
EXCUSED_BY_KERAS = (
    "check_classifiers_regression_target",
    "check_parameters_default_constructible",
    "check_classifiers_one_label_sample_weights",
    "check_classifiers_classes",
    "check_classifier_data_not_an_array",
    "check_supervised_y_2d",
    "check_fit_idempotent",
)
WEIGHTS = "check_sample_weight_equivalence_on_dense_data"
# What is compiled takes seconds; the others run with -m slow.
QUICK = {
    WEIGHTS,
    "check_classifiers_one_label_sample_weights",
    "mini-batches, dropout",
    "a full batch, dropout",
    "early stopping",
    "relu",
    "gelu",
}


def some(names, quick):
    return [
        pytest.param(name, marks=() if name in quick else pytest.mark.slow)
        for name in names
    ]


@pytest.fixture(scope="module")
def digits():
    features, labels = load_digits(return_X_y=True)
    return (features / 16).astype(np.float32), labels


@pytest.fixture(scope="module")
def wine():
    features, labels = load_wine(return_X_y=True)
    return StandardScaler().fit_transform(features), labels


def small(**settings):
    return MLPClassifier((8,), max_iter=20, learning_rate_init=0.02, **settings)


def coefs(model):
    return np.concatenate(
        [each.ravel() for each in (*model.coefs_, *model.intercepts_)]
    )


@pytest.mark.slow
@parametrize_with_checks(
    [MLPClassifier(), MLPRegressor(), MLPRegressor(standardize=True)]
)
def test_every_check_of_scikit_learn_passes(estimator, check):
    check(estimator)  # none is expected to fail


@pytest.mark.parametrize("name", some([*EXCUSED_BY_KERAS, WEIGHTS], QUICK))
def test_checks_that_others_excuse_pass(name):
    check = getattr(estimator_checks, name)
    check("MLPClassifier", MLPClassifier(max_iter=50, learning_rate_init=0.01))
    if "classifier" not in name:
        check("MLPRegressor", MLPRegressor(max_iter=50))


CASES = {
    "mini-batches": (700, 64, {}),
    "mini-batches, dropout": (700, 64, {"dropout": 0.3}),
    "a whole number of steps": (1024, 64, {}),
    "two steps, of which one is short": (65, 64, {}),
    "a full batch": (150, 200, {}),
    "a full batch, dropout": (150, 200, {"dropout": 0.3}),
    "early stopping": (700, 64, {"early_stopping": True, "dropout": 0.2}),
    "sgd": (700, 64, {"solver": "sgd", "momentum": 0.5, "alpha": 0.1}),
}


@pytest.mark.parametrize("name", some(CASES, QUICK))
def test_a_fit_is_that_of_jaxcls_on_these_rows_alone(name, digits):
    count, batch_size, settings = CASES[name]
    x, y = (leaf[:count] for leaf in digits)
    model = MLPClassifier(
        (16,), batch_size=batch_size, max_iter=6, random_state=3, **settings
    )
    model.fit(x, y)
    config = Config(
        *((64, 16, 10), categorical, model.solver),
        momentum=settings.get("momentum", 0.0),
        batch_size=batch_size,
        epochs=6,
        dropout=model.dropout > 0,
        monitor="accuracy" if model.early_stopping else None,
    )
    train, held = Batch(x, y.astype(np.int32)), None
    if model.early_stopping:
        parts = rows.split(model, count, y, 3)
        train, held = (Batch(x[part], y[part].astype(np.int32)) for part in parts)
    hyperparams = Hyperparams(model.learning_rate_init, model.dropout, model.alpha)
    state, history = fit(Keys.from_seed(3), config, hyperparams, train, held)
    for index, layer in enumerate(model.coefs_):
        wanted = chosen_params(state)[f"Dense_{index}"]["kernel"]
        np.testing.assert_allclose(layer, wanted, atol=1e-5)
    np.testing.assert_allclose(model.loss_curve_, history.loss, rtol=1e-5)


def test_a_regression_is_that_of_jaxcls():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(90, 3)).astype(np.float32)
    y = (x[:, 0] * x[:, 1]).astype(np.float32)
    model = MLPRegressor((16,), batch_size=32, max_iter=6, random_state=3).fit(x, y)
    config = Config((3, 16, 1), gaussian, batch_size=32, epochs=6)
    hyperparams = Hyperparams(1e-3, weight_decay=1e-4)
    state, _ = fit(Keys.from_seed(3), config, hyperparams, Batch(x, y))
    np.testing.assert_allclose(
        model.predict(x), mlp.apply(state.params, x)[:, 0], atol=1e-5
    )


@pytest.mark.parametrize("activation", some(ACTIVATIONS, QUICK))
def test_numpy_predicts_what_jaxcls_computes(activation):
    rng = np.random.default_rng(0)
    kernels = [
        rng.normal(size=size).astype(np.float32) for size in ((1, 4, 5), (1, 5, 3))
    ]
    biases = [rng.normal(size=size).astype(np.float32) for size in ((1, 5), (1, 3))]
    x = rng.normal(size=(7, 4)).astype(np.float32)
    params = {
        f"Dense_{i}": {"kernel": kernels[i][0], "bias": biases[i][0]} for i in (0, 1)
    }
    wanted = mlp.apply(params, x, activation=activation)
    for dtype in (np.float32, np.float64):
        (found,) = outputs(kernels, biases, x.astype(dtype), activation)
        assert found.dtype == dtype
        np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 16, 20, 64, 150, 200, 1000])
def test_folds_and_the_whole_set_have_two_sizes_at_most(batch_size):
    for count in range(20, 3000):
        whole, fold = count, count - count // 5
        sizes = {size_of(each, batch_size) for each in (whole, fold, fold - 1)}
        assert len({each._replace(steps=0) for each in sizes}) <= 2
        for each in sizes:
            assert each.rows >= (each.batch_size or 0) * each.steps


@pytest.mark.parametrize("fraction", [0.01, 0.1, 0.5, 0.9])
def test_what_is_held_out_fits(fraction):
    for count in range(4, 700):
        held = min(count - 1, int(np.ceil(count * fraction)))
        assert held <= held_out_size(size_of(count - held, 64), fraction)


def test_members_of_an_ensemble_are_what_their_seeds_give_alone(wine):
    x, y = wine
    together = small(n_seeds=3, random_state=4, early_stopping=True).fit(x, y)
    alone = [small(random_state=4 + i, early_stopping=True).fit(x, y) for i in range(3)]
    for i, each in enumerate(alone):
        assert together.best_epoch_[i] == each.best_epoch_[0]
        np.testing.assert_allclose(together.coefs_[0][i], each.coefs_[0], atol=1e-6)
    mean = np.mean([each.predict_proba(x) for each in alone], axis=0)
    np.testing.assert_allclose(together.predict_proba(x), mean, atol=1e-6)
    assert len(alone[0].validation_scores_) == alone[0].n_iter_ <= 20


def test_weights_of_0_and_2_are_rows_left_out_and_rows_twice(wine):
    x, y = wine
    weights = np.arange(len(y)) % 3
    weighed = small(random_state=0, class_weight="balanced").fit(x, y, weights)
    x_twice, y_twice = x.repeat(weights, axis=0), y.repeat(weights)
    repeated = small(random_state=0, class_weight="balanced").fit(x_twice, y_twice)
    np.testing.assert_array_equal(coefs(weighed), coefs(repeated))
    assert weighed.score(x, y, weights) == pytest.approx(
        repeated.score(x_twice, y_twice)
    )


def test_class_weights_are_weights_of_their_rows(wine):
    x, y = wine
    by_class = small(random_state=0, class_weight={0: 3.0, 2: 0.5}).fit(x, y)
    by_row = small(random_state=0).fit(x, y, np.array([3.0, 1.0, 0.5])[y])
    np.testing.assert_allclose(coefs(by_class), coefs(by_row), atol=1e-5)
    assert np.abs(coefs(by_class) - coefs(small(random_state=0).fit(x, y))).max() > 0.01


@pytest.mark.parametrize(
    "settings",
    [
        pytest.param({}, marks=pytest.mark.slow),
        {"batch_size": 32, "dropout": 0.2, "n_seeds": 2, "standardize": True},
    ],
)
def test_partial_fits_are_one_fit(settings, wine):
    x, y = wine
    parts = MLPClassifier((8,), random_state=1, **settings)
    for _ in range(4):
        parts = pickle.loads(pickle.dumps(parts.partial_fit(x, y, classes=[0, 1, 2])))
    whole = clone(parts).set_params(max_iter=4).fit(x, y)
    np.testing.assert_allclose(coefs(parts), coefs(whole), atol=1e-6)
    np.testing.assert_allclose(parts.loss_curve_, whole.loss_curve_, atol=1e-6)
    assert parts.n_iter_ == 4


def test_a_warm_start_goes_on(wine):
    model = small(random_state=0, warm_start=True).fit(*wine)
    first = coefs(model)
    # So slow that it gains less than tol.
    model.set_params(learning_rate_init=1e-12, alpha=0, n_iter_no_change=20).fit(*wine)
    np.testing.assert_allclose(coefs(model), first, atol=1e-6)
    assert len(model.loss_curve_) == 40 and model.n_iter_ == 20
    with pytest.raises(
        ValueError, match="warm_start goes on from 1 networks of layers"
    ):
        model.set_params(hidden_layer_sizes=(9,)).fit(*wine)
    with pytest.raises(
        ValueError, match=r"must be theirs, \[0, 1, 2\], got \[1, 2, 3\]"
    ):
        model.fit(wine[0], wine[1] + 1)


def test_a_fit_ends_where_the_loss_no_longer_falls_by_tol(wine):
    model = small(random_state=0, n_seeds=2, tol=0.02, n_iter_no_change=3)
    model.set_params(max_iter=90).fit(*wine)
    ends = []
    for seed, end in enumerate(model.best_epoch_):
        losses = small(random_state=seed, n_iter_no_change=90)
        losses = losses.set_params(max_iter=90).fit(*wine).loss_curve_
        # scikit-learn's rule: more than n_iter_no_change epochs in a row.
        best, waited = np.inf, 0
        epoch = 0
        while waited <= 3:
            waited = waited + 1 if losses[epoch] > best - 0.02 else 0
            best, epoch = min(best, losses[epoch]), epoch + 1
        ends.append(epoch)
        assert end == epoch < 90
    assert model.n_iter_ == len(model.loss_curve_) == max(ends)
    assert ends[0] != ends[1]


@pytest.mark.parametrize("solver", get_args(OptimizerName))
def test_a_state_in_numpy_is_that_of_init_state(solver):
    for monitor in ("loss", "accuracy", None) if solver == "adam" else (None,):
        config = Config((3, 2), categorical, solver, monitor=monitor)
        params = segments.drawn_params(np.array([5]), config)
        found = segments.first_states(params, config)
        wanted = init_state(Keys.from_seed(5), config)
        jax.tree.map(np.testing.assert_array_equal, found, add_axis(wanted))


def add_axis(tree):
    return jax.tree.map(lambda leaf: np.asarray(leaf)[None], tree)


def test_standardize_is_a_scaler_before(wine):
    x, y = wine[0] * 1e9 + 7e9, wine[1]
    inside = small(random_state=0, standardize=True).fit(x, y)
    before = make_pipeline(StandardScaler(), small(random_state=0)).fit(x, y)
    np.testing.assert_allclose(
        inside.predict_proba(x), before.predict_proba(x), atol=1e-5
    )


def test_a_fitted_one_holds_numpy_alone_and_predicts_without_jax(
    wine, monkeypatch, tmp_path
):
    x, y = wine
    model = small(random_state=0, standardize=True).fit(x, y)
    joblib.dump(model, tmp_path / "model.joblib")
    saved = pickle.dumps(model)
    texts = [arg for _, arg, _ in pickletools.genops(saved) if isinstance(arg, str)]
    modules = {text.partition(".")[0] for text in texts if "." in text}
    assert modules <= {"numpy", "jaxcls"}

    def refuse(*args, **kwargs):
        raise AssertionError("jax was asked for a device")

    monkeypatch.setattr("jax._src.xla_bridge.backends", refuse)
    for again in (pickle.loads(saved), joblib.load(tmp_path / "model.joblib")):
        np.testing.assert_array_equal(again.predict_proba(x), model.predict_proba(x))


def test_it_stands_where_scikit_learns_own_does(wine):
    x, y = wine
    names = np.array(["one", "two", "three"])[y]
    model = small(random_state=0)
    assert cross_val_score(model, x, names, cv=3).min() > 0.8
    calibrated = CalibratedClassifierCV(model, cv=2).fit(x, names)
    assert calibrated.score(x, names) > 0.9
    voting = VotingClassifier(
        [("a", model), ("b", clone(model).set_params(random_state=1))], voting="soft"
    )
    assert voting.fit(x, names).score(x, names) > 0.9
    fitted = make_pipeline(StandardScaler(), model).fit(x, names)
    importance = permutation_importance(fitted, x, names, n_repeats=2, random_state=0)
    assert importance.importances_mean.max() > 0.01
    assert clone(model).get_params() == model.get_params()
    assert set(fitted[-1].classes_) == set(names)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")  # scikit-learn's own
def test_it_scores_as_scikit_learns_own_with_the_same_settings(wine):
    folds = StratifiedKFold(3, shuffle=True, random_state=0)
    mine, theirs = (
        [
            cross_val_score(kind(random_state=seed), *wine, cv=folds).mean()
            for seed in range(8)
        ]
        for kind in (MLPClassifier, sklearn.neural_network.MLPClassifier)
    )
    # The folds are the same for all, so that the seeds share nothing.
    assert compare(mine, theirs, ratio=0).low > -0.005


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_go_in_with_their_names(library, wine):
    frames = pytest.importorskip(library, reason=f"{library} comes with the extra test")
    x, y = wine
    frame = frames.DataFrame({f"f{i}": x[:, i] for i in range(x.shape[1])})
    model = small(random_state=0).fit(frame, frames.Series(y))
    assert model.feature_names_in_.tolist() == [f"f{i}" for i in range(13)]
    wanted = small(random_state=0).fit(x, y)
    np.testing.assert_array_equal(model.predict_proba(frame), wanted.predict_proba(x))
    scaler = StandardScaler().set_output(transform=library)
    piped = make_pipeline(scaler, clone(model)).fit(frame, y)
    assert (
        piped[-1].feature_names_in_.tolist() == frame.columns[:13].tolist()
        if (library == "pandas")
        else frame.columns
    )


BAD = {
    "alpha": ({"alpha": -1}, "alpha must be a number finite and at least 0, got -1"),
    "rate": ({"learning_rate_init": 0}, "learning_rate_init must be a number finite"),
    "tol": ({"tol": -1.0}, "tol must be a number finite and at least 0, got -1.0"),
    "solver": ({"solver": "lbfgs"}, "solver must be one of sgd, adam, .* got 'lbfgs'"),
    "activation": ({"activation": "swish"}, "activation must be one of relu"),
    "layers": ({"hidden_layer_sizes": (4, 0)}, "hidden_layer_sizes must be whole"),
    "batch": ({"batch_size": 0}, 'batch_size must be a whole number .* or "auto"'),
    "epochs": ({"max_iter": 2.5}, "max_iter must be a whole number of at least 1"),
    "flag": ({"standardize": 1}, "standardize must be True or False, got 1"),
    "class": ({"class_weight": {7: 1}}, "names the class 7, and y has 0, 1, 2; name"),
    "zero": ({"class_weight": {0: 0}}, "class_weight must hold finite numbers above 0"),
    "far": (
        {"solver": "sgd", "learning_rate_init": 1e30},
        "no longer finite; try a smaller learning_rate_init",
    ),
    "held": ({"early_stopping": True, "validation_fraction": 1e-3}, "cannot be done"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_wrong_setting_is_told_in_one_sentence(name, wine):
    settings, message = BAD[name]
    with pytest.raises((TypeError, ValueError), match=f"^MLPClassifier: .*{message}"):
        MLPClassifier((4,), max_iter=5).set_params(**settings).fit(*wine)


def test_wrong_data_are_told_in_one_sentence(wine):
    x, y = wine
    for given, weights, message in (
        (scipy.sparse.csr_array(x), None, "Sparse data was passed"),
        (x * 1e300, None, "MLPClassifier: X must be finite in float32"),
        (x, np.zeros(len(y)), "sample_weight must not be zero for all samples"),
        (x, -np.ones(len(y)), "sample_weight must be finite and at least 0"),
        (x, np.ones(3), r"sample_weight must be \[178\]"),
    ):
        with pytest.raises((TypeError, ValueError), match=message):
            small().fit(given, y, weights)
    with pytest.raises(ValueError, match=r"at least two classes .* got 1 class, 0"):
        small().fit(x, 0 * y)
    with pytest.raises(ValueError, match="first call of partial_fit needs classes"):
        small().partial_fit(x, y)
    with pytest.raises(ValueError, match="label 2, which is none of the classes"):
        small().partial_fit(x, y, classes=[0, 1])
    with pytest.raises(AttributeError, match="no attribute 'skleam'"):
        _ = jaxcls.skleam
