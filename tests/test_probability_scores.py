"""Scores of probabilities: by hand, scikit-learn, saturation, and refusals."""

import numpy as np
import pytest
import sklearn.metrics as peer

from jaxcls.calibration import tempered
from jaxcls.probability_scores import (
    average_precision,
    brier,
    log_loss,
    one_against_rest,
    over_classes,
)
from jaxcls.scores import roc_auc


def drawn(seed, num_classes, num_rows=400):
    """Logarithms [N, K] of probabilities, and labels that are drawn near them."""
    rng = np.random.default_rng(seed)
    z = rng.normal(size=(num_rows, num_classes))
    return tempered(z, 1), np.argmax(z + rng.gumbel(size=z.shape), axis=1)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_they_are_scikit_learns(num_classes):
    log_p, labels = drawn(num_classes, num_classes)
    p, classes = np.exp(log_p), range(num_classes)
    want = peer.log_loss(labels, p, labels=classes)
    assert log_loss(log_p, labels) == pytest.approx(want, rel=1e-12)
    given = p[:, 1] if num_classes == 2 else p
    want = peer.brier_score_loss(labels, given, labels=classes)
    assert brier(p, labels) == pytest.approx(want, rel=1e-12)
    auc, precision = (
        over_classes(s, log_p, labels) for s in (roc_auc, average_precision)
    )
    one_hot = np.eye(num_classes)[labels]
    for average in ("macro", "weighted"):
        want = peer.roc_auc_score(one_hot, p, average=average)
        assert getattr(auc, average) == pytest.approx(want, rel=1e-12)
        want = peer.average_precision_score(one_hot, p, average=average)
        assert getattr(precision, average) == pytest.approx(want, rel=1e-12)
    if num_classes > 2:
        want = peer.roc_auc_score(labels, p, multi_class="ovr", average="weighted")
        assert auc.weighted == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("decimals", [16, 1, 0], ids=["no ties", "ties", "many ties"])
@pytest.mark.parametrize("share", [0.5, 0.01])
def test_average_precision_is_scikit_learns(decimals, share):
    rng = np.random.default_rng(decimals)
    labels = (rng.random(700) < share).astype(int)
    values = rng.normal(labels, 1).round(decimals)
    want = peer.average_precision_score(labels, values)
    assert average_precision(values, labels) == pytest.approx(want, rel=1e-12)


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("num_classes", [2, 3])
def test_logits_far_from_0_are_ranked_as_others(num_classes, sign):
    """Near -379 each probability is 0 in float32, and near 379 it is 1: all would tie."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, 2, 300)
    odds = rng.normal(labels, 1)
    log_p = np.zeros((300, num_classes))
    log_p[:, 1] = odds + sign * 379
    log_p = tempered(log_p, 1).astype(np.float32)
    rounded = np.exp(log_p)[:, 1]
    assert len(np.unique(rounded)) == 1 and roc_auc(rounded, labels) == 0.5
    got = one_against_rest(log_p)[:, 1]
    want = peer.roc_auc_score(labels, odds)
    assert 0.7 < want < 0.85
    assert roc_auc(got, labels) == pytest.approx(want, abs=1e-3)
    want = peer.average_precision_score(labels, odds)
    assert average_precision(got, labels) == pytest.approx(want, abs=1e-2)


def test_one_against_rest_by_hand():
    p = np.array([[0.7, 0.2, 0.1], [0.5, 0.5, 0.0], [1, 0, 0], [1 / 3, 1 / 3, 1 / 3]])
    with np.errstate(divide="ignore"):
        got = one_against_rest(np.log(p))
        want = np.log(p / (1 - p))
    possible = np.isfinite(want)
    np.testing.assert_allclose(got[possible], want[possible], rtol=1e-12, atol=1e-12)
    assert np.isfinite(got).all() and (np.abs(got[~possible]) > 1e38).all()


def test_a_certain_mistake_costs_what_its_logits_say():
    assert log_loss([[0.0, -1e4]], [1]) == 1e4
    assert log_loss([[0.0, -np.inf]], [1]) == np.inf
    assert brier([[1.0, 0.0]], [1]) == 1
    assert brier([[1.0, 0.0, 0.0]], [1]) == 2


@pytest.mark.parametrize(
    "score, given, labels, error, message",
    [
        (
            log_loss,
            [[-1.0, -1.0]],
            [0],
            ValueError,
            "be logarithms of rows that sum to",
        ),
        (log_loss, [[0.0, np.nan]], [0], ValueError, "must be numbers, got nan"),
        (
            log_loss,
            [0.0],
            [0],
            ValueError,
            r"must be \[N, K\] and not empty, got \[1\]",
        ),
        (log_loss, [["a"]], [0], TypeError, "must be numbers, got <U1"),
        (
            log_loss,
            [[0.0, -99.0]],
            [2],
            ValueError,
            "labels must be whole numbers in 0",
        ),
        (
            brier,
            [[0.7, 0.2]],
            [0],
            ValueError,
            "probabilities must sum to 1 in each row",
        ),
        (brier, [[0.5, 0.5]], [0, 1], ValueError, r"labels must be \[1\], got \[2\]"),
        (
            average_precision,
            [1, 2],
            [0, 0],
            ValueError,
            "labels must hold a 1, got none",
        ),
        (average_precision, [1, np.inf], [0, 1], ValueError, "must be finite, got inf"),
    ],
)
def test_refusals(score, given, labels, error, message):
    with pytest.raises(error, match=f"^{score.__name__}: .*{message}"):
        score(given, labels)


def test_a_class_without_examples_is_named():
    log_p, labels = drawn(0, 3)
    with pytest.raises(ValueError, match=r"^over_classes: .*0\.\.2, and 1 has no exam"):
        over_classes(roc_auc, log_p, np.where(labels == 1, 0, labels))
