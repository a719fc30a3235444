"""runs.plots.probabilities: reliability and ROC."""

import numpy as np
import pytest

from jaxcls.runs.plots import png, reliability, roc
from jaxcls.scores import accuracy_interval, calibration_error, roc_auc


def guesses(count=500, classes=4, strength=1.5):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, classes, count)
    logits = rng.normal(size=(count, classes))
    logits[np.arange(count), labels] += strength
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return p.astype(np.float32), labels


def labels_of(axes):
    return [each.get_text() for each in axes.get_legend().get_texts()]


def test_reliability_by_hand():
    # Sure by 0.55 and right 1 of 2 times, by 0.95 and right 3 of 3 times.
    top = np.array([0.55, 0.55, 0.95, 0.95, 0.95])
    p = np.stack([top, 1 - top], axis=1)
    labels = np.array([0, 1, 0, 0, 0])
    figure = reliability(p, labels, "rows held out")
    axes, below = figure.axes
    line = next(
        each for each in axes.get_lines() if each.get_label().startswith("share")
    )
    np.testing.assert_allclose(line.get_xdata(), [0.55, 0.95])
    np.testing.assert_allclose(line.get_ydata(), [0.5, 1])
    ends = [tuple(each.get_segments()[0][:, 1]) for each in axes.collections]
    np.testing.assert_allclose(ends, [accuracy_interval(1, 2), accuracy_interval(3, 3)])
    heights = [0] * 8 + [2, 0, 0, 0, 0, 0, 3]
    assert [each.get_height() for each in below.patches] == heights
    assert below.patches[8].get_width() == pytest.approx(1 / 15)
    error = calibration_error(p, labels)
    assert figure.get_suptitle() == (
        f"Reliability, rows held out: expected calibration error {error:.4f}"
    )


@pytest.mark.parametrize("right", [True, False])
def test_reliability_of_all_right_or_all_wrong(right):
    p = np.tile([[1.0, 0.0]], (3, 1))
    png(reliability(p, np.full(3, 0 if right else 1)))


def test_a_curve_of_two_classes():
    p, labels = guesses(classes=2)
    figure = roc(np.log(p), labels, ["no", "yes"])
    (axes,) = figure.axes
    area = roc_auc(p[:, 1], labels)
    assert labels_of(axes) == [f"yes against no, area {area:.4f}"]
    assert figure.get_suptitle() == "ROC, test set"


def test_each_of_many_classes_is_told_from_the_rest_the_worst_first():
    p, labels = guesses(classes=9)
    figure = roc(np.log(p), labels, [f"class {i}" for i in range(9)], "rows held out")
    (axes,) = figure.axes
    areas = [roc_auc(p[:, i], labels == i) for i in range(9)]
    worst = np.argsort(areas)[:6]
    assert labels_of(axes) == [f"class {i}, area {areas[i]:.4f}" for i in worst]
    title = figure.get_suptitle().replace("\n", " ")
    assert title.endswith("each class against the rest: the 6 smallest areas of 9")
    curves = axes.get_lines()[:6]
    assert len({(each.get_color(), each.get_linestyle()) for each in curves}) == 6


def test_good_ones_show_the_corner():
    p, labels = guesses(classes=2, strength=9)
    (axes,) = roc(np.log(p), labels, ["no", "yes"]).axes
    assert axes.get_xlim()[1] == 0.1 and axes.get_ylim()[0] == 0.9


def test_a_class_that_is_missing_has_no_curve_and_one_alone_is_refused():
    p, labels = guesses(classes=3)
    labels[labels == 2] = 1
    (axes,) = roc(np.log(p), labels, ["a", "b", "c"]).axes
    assert len(labels_of(axes)) == 2
    with pytest.raises(ValueError, match="two classes"):
        roc(np.log(p), np.zeros(len(p), int), ["a", "b", "c"])


def test_what_rounds_to_0_or_1_is_still_told_apart():
    # In float32 all probabilities of the second class are 0, and those of the first are 1.
    log_odds = np.array([-379.0, -350.0, -360.0, -340.0])
    log_p = np.stack([np.zeros(4), log_odds], axis=1)
    (axes,) = roc(log_p, np.array([0, 0, 1, 1]), ["no", "yes"]).axes
    assert labels_of(axes) == ["yes against no, area 0.7500"]


def test_a_probability_of_0_counts_as_the_least():
    with np.errstate(divide="ignore"):
        log_p = np.log([[1.0, 0.0], [0.5, 0.5]])
    (axes,) = roc(log_p, np.array([0, 1]), ["no", "yes"]).axes
    assert labels_of(axes) == ["yes against no, area 1.0000"]
