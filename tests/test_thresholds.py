"""choose_threshold: every cut tried, scikit-learn's scores, and refusals."""

import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from jaxcls.thresholds import choose_threshold


def cost(labels, guesses):
    return -(1 * (guesses > labels).sum() + 5 * (guesses < labels).sum())


AIMS = {
    "accuracy": accuracy_score,
    "f1": f1_score,
    "balanced": balanced_accuracy_score,
    (1.0, 5.0): cost,
}


@pytest.mark.parametrize("aim", AIMS, ids=str)
@pytest.mark.parametrize("share", [0.5, 0.1])
@pytest.mark.parametrize("decimals", [16, 1], ids=["no ties", "ties"])
def test_no_other_cut_is_better(aim, share, decimals):
    for seed in range(4):
        rng = np.random.default_rng(seed)
        labels = (rng.random(40) < share).astype(int)
        labels[:2] = 0, 1
        p = 1 / (1 + np.exp(-rng.normal(labels - 1, 1))).round(decimals)
        p = p.clip(0, 1)
        threshold = choose_threshold(p, labels, aim)
        assert 0 <= threshold <= 1
        got = AIMS[aim](labels, (p >= threshold).astype(int))
        cuts = [*np.unique(p), p.max() + 1e-9]
        best = max(AIMS[aim](labels, (p >= cut).astype(int)) for cut in cuts)
        assert got == pytest.approx(best, abs=1e-12)
        half = AIMS[aim](labels, (p >= 0.5).astype(int))
        assert (threshold == 0.5) == (half == pytest.approx(best, abs=1e-12))


@pytest.mark.parametrize(
    "p, labels, aim, want",
    [
        ([0.1, 0.2, 0.3, 0.9], [0, 0, 1, 1], "accuracy", 0.25),
        ([0.1, 0.2, 0.6, 0.9], [0, 0, 1, 1], "accuracy", 0.5),
        ([0.6, 0.7, 0.8, 0.9], [0, 0, 1, 1], "balanced", 0.75),
        ([0.2, 0.4, 0.3, 0.9], [0, 0, 1, 1], (1.0, 9.0), 0.25),
        ([0.2, 0.4, 0.3, 0.9], [0, 0, 1, 1], (9.0, 1.0), 0.5),
        ([0.6, 0.8, 0.7], [0, 0, 1], (1, 0), 0.9),  # none is taken for a 1
        ([0.2, 0.4, 0.3], [0, 0, 1], (0, 1), 0.25),  # of all cuts up to 0.3
        ([1.0, 1.0, 0.0], [0, 1, 0], "f1", 0.5),
        ([0.0, 1.0, 1.0], [1, 0, 0], "f1", 0.0),
    ],
)
def test_by_hand(p, labels, aim, want):
    assert choose_threshold(p, labels, aim) == pytest.approx(want)


def test_neighbouring_floats_are_told_apart():
    above = np.nextafter(0.3, 1)
    threshold = choose_threshold([0.3, above], [0, 1], "accuracy")
    assert 0.3 < threshold <= above


@pytest.mark.parametrize(
    "p, labels, aim, message",
    [
        ([0.1, 0.9], [1, 1], "f1", "labels must hold both 0 and 1, got 2 ones of 2"),
        ([0.1, 0.9], [0, 0], "f1", "labels must hold both 0 and 1, got 0 ones of 2"),
        ([0.1, 1.9], [0, 1], "f1", r"probabilities must lie in \[0, 1\], got 1\.9"),
        ([0.1, 0.9], [0, 1], "best", "aim must be accuracy, f1, balanced or two costs"),
        ([0.1, 0.9], [0, 1], (1.0,), "aim must be accuracy, f1, balanced or two costs"),
        (
            [0.1, 0.9],
            [0, 1],
            (1.0, -1.0),
            "costs must be finite and at least 0, got -1",
        ),
        ([0.1, 0.9], [0, 1], (0.0, 0.0), "costs must not both be 0"),
    ],
)
def test_refusals(p, labels, aim, message):
    with pytest.raises(ValueError, match=f"^choose_threshold: {message}"):
        choose_threshold(p, labels, aim)
