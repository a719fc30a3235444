"""metrics: counts."""

import numpy as np
import pytest
import sklearn.metrics

from jaxcls import (
    Batch,
    Config,
    Hyperparams,
    Keys,
    Metrics,
    chosen_params,
    evaluate,
    fit,
    fit_many,
    gaussian,
    metrics,
)


def test_confusion_counts_row_by_label_and_column_by_prediction():
    rng = np.random.default_rng(0)
    predictions, labels = rng.integers(0, 4, (2, 500))
    counts = metrics.confusion(predictions, labels, num_classes=4)
    for true in range(4):
        for predicted in range(4):
            assert (
                counts[true, predicted]
                == ((labels == true) & (predictions == predicted)).sum()
            )
    assert np.trace(counts) == (predictions == labels).sum()


def test_confusion_refuses_what_does_not_fit():
    with pytest.raises(
        ValueError, match=r"confusion: predictions \[2\] and labels \[3\]"
    ):
        metrics.confusion([0, 1], [0, 1, 1], 2)
    with pytest.raises(ValueError, match=r"confusion: labels must lie in 0\.\.1"):
        metrics.confusion([0, 1], [0, 2], 2)
    with pytest.raises(ValueError, match=r"confusion: predictions must lie in 0\.\.1"):
        metrics.confusion([0, -1], [0, 1], 2)


def test_metrics_are_means_of_their_sums():
    scored = metrics.Metrics(
        loss_sum=np.float32(2), correct=np.int32(3), count=np.int32(4)
    )
    assert (scored.loss, scored.accuracy) == (0.5, 0.75)


@pytest.mark.parametrize("targets", [[2, 0, 1], [[2], [0], [1]], np.eye(3)[[2, 0, 1]]])
def test_labels_of_every_form_of_targets(targets):
    np.testing.assert_array_equal(metrics.labels_of(targets), [2, 0, 1])


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int8, np.uint64])
def test_confusion_takes_booleans_and_small_integers(dtype):
    predictions, labels = np.array([[1, 0, 1, 1], [1, 1, 0, 1]], dtype)
    counts = metrics.confusion(predictions, labels, num_classes=2)
    np.testing.assert_array_equal(counts, [[0, 1], [1, 2]])


def test_confusion_refuses_floats():
    with pytest.raises(
        TypeError, match="confusion: labels must be integers, got float"
    ):
        metrics.confusion([0, 1], [0.0, 1.0], 2)


@pytest.mark.parametrize("weighted", [False, True])
def test_regression_scores_are_those_of_scikit_learn(weighted):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(200, 3)).astype(np.float32)
    y = (x @ [1.0, -2.0, 0.5] + rng.normal(size=200) + 1000).astype(np.float32)
    weights = rng.uniform(0.5, 2, 200).astype(np.float32) if weighted else None
    config = Config((3, 1), gaussian)
    kernel, bias = np.float32([[1], [-2], [0.4]]), np.float32([1000.1])
    params = {"Dense_0": {"kernel": kernel, "bias": bias}}
    for targets in (y, y[:, None]):
        got = evaluate(params, Batch(x, targets, weights), config=config)
        predicted = np.float64(x) @ kernel[:, 0] + bias[0]
        for value, wanted in (
            (got.mean_squared_error, sklearn.metrics.mean_squared_error),
            (got.mean_absolute_error, sklearn.metrics.mean_absolute_error),
            (got.r_squared, sklearn.metrics.r2_score),
        ):
            want = wanted(y, predicted, sample_weight=weights)
            np.testing.assert_allclose(value, want, rtol=1e-4)
        np.testing.assert_allclose(got.loss, got.mean_squared_error, rtol=1e-6)
        assert got.correct is None
        with pytest.raises(
            ValueError, match="no accuracy where targets are no classes"
        ):
            _ = got.accuracy


def test_classes_have_no_errors_of_regression():
    scores = Metrics(1.0, 3, 4)
    with pytest.raises(ValueError, match="errors are of targets that are no classes"):
        _ = scores.r_squared


def test_a_regression_is_trained_judged_and_reported():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 2)).astype(np.float32)
    data = Batch(x, x[:, 0] - x[:, 1])
    config = Config((2, 8, 1), gaussian, epochs=200, monitor="loss")
    lines = []
    state, history = fit(
        *(Keys.from_seed(0), config, Hyperparams(0.05), data, data),
        report_every=100,
        on_report=lambda report: lines.append(str(report)),
    )
    assert history.validation.errors.squared.shape == (200,)
    assert float(history.validation.r_squared[-1]) > 0.99
    assert "validation R squared 0.99" in lines[-1] or "R squared 1.0" in lines[-1]
    runs = fit_many([0, 1], config, Hyperparams(0.05), data, data)
    np.testing.assert_allclose(
        runs.scores["validation"].r_squared[0],
        evaluate(chosen_params(state), data, config=config).r_squared,
        rtol=1e-3,
    )
