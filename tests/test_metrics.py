"""metrics: counts."""

import numpy as np
import pytest

from jaxcls import metrics


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
