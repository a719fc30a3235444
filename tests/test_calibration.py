"""Temperatures: by hand, scikit-learn, laws, and refusals."""

import numpy as np
import pytest
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.linear_model import LogisticRegression

from jaxcls.calibration import fit_temperature, tempered


def too_sure(seed, num_rows, num_classes, factor):
    """Logits [N, K] of which labels are drawn, times a factor; and the labels."""
    rng = np.random.default_rng(seed)
    z = 2 * rng.normal(size=(num_rows, num_classes))
    labels = np.argmax(z + rng.gumbel(size=z.shape), axis=1)
    return factor * z, labels


def test_tempered_by_hand():
    log_p = np.log([[0.9, 0.1], [0.5, 0.5]])
    np.testing.assert_allclose(
        np.exp(tempered(log_p, 0.5)), [[81 / 82, 1 / 82], [0.5, 0.5]], rtol=1e-12
    )
    np.testing.assert_allclose(tempered(log_p, 1), log_p, rtol=1e-12)
    # Far beyond what a probability in float64 can be, and as impossible as may be.
    far = tempered([[0.0, -1e4], [0.0, -np.inf]], 0.5)
    np.testing.assert_array_equal(far, [[0, -2e4], [0, -np.inf]])


@pytest.mark.parametrize("num_classes", [2, 3, 10])
@pytest.mark.parametrize("factor", [0.3, 1.0, 20.0])
def test_a_factor_on_the_logits_is_found_again(num_classes, factor):
    z, labels = too_sure(0, 2_000, num_classes, factor)
    found = fit_temperature(z, labels)
    assert found == pytest.approx(factor, rel=0.1)
    # A shift of each row changes nothing, and a factor changes the temperature alone.
    shifts = np.random.default_rng(1).normal(size=(2_000, 1))
    assert fit_temperature(3 * z + shifts, labels) == pytest.approx(3 * found, rel=1e-9)
    # The slope of the loss is 0 there: the mean of log p is that of the right classes'.
    log_p = tempered(z, found)
    means = (np.exp(log_p) * z).sum(axis=1)
    assert means.mean() == pytest.approx(z[np.arange(2_000), labels].mean(), abs=1e-8)


@pytest.mark.parametrize("num_classes", [2, 3, 10])
def test_it_is_scikit_learns(num_classes):
    z, labels = too_sure(num_classes, 300, num_classes, 4.0)

    class Logits(LogisticRegression):
        def decision_function(self, X):
            return X[:, 1] - X[:, 0] if num_classes == 2 else X

    model = Logits().fit(z, labels)
    peer = CalibratedClassifierCV(FrozenEstimator(model), method="temperature")
    peer.fit(z, labels)
    found = fit_temperature(z, labels)
    np.testing.assert_allclose(
        np.exp(tempered(z, found)), peer.predict_proba(z), atol=1e-3
    )
    beta = peer.calibrated_classifiers_[0].calibrators[0].beta_
    # Of two classes it takes (-x, x) for the logits, which are twice as far apart.
    want = 1 / beta if num_classes > 2 else 1 / (2 * beta)
    assert found == pytest.approx(float(want), rel=1e-3)


@pytest.mark.parametrize(
    "log_p, labels, error, message",
    [
        (
            [[0, -1], [0, -1]],
            [0, 0],
            ValueError,
            "each of the 2 right classes is the l",
        ),
        ([[0, -1], [-1, 0]], [1, 0], ValueError, "right classes are no likelier than"),
        ([[0, -1], [0, -1]], [0, 1], ValueError, "right classes are no likelier than"),
        ([[0, np.nan]], [0], ValueError, "log_probabilities must be finite, got nan"),
        ([[0, -1]], [2], ValueError, r"labels must be whole numbers in 0\.\.1, got 2"),
        ([[0, -1]], [0, 1], ValueError, r"labels must be \[1\], got \[2\]"),
        ([0, -1], [0, 1], ValueError, r"must be \[N, K\] and not empty, got \[2\]"),
        ([["a", "b"]], [0], TypeError, "log_probabilities must be numbers"),
    ],
)
def test_fit_temperature_refuses(log_p, labels, error, message):
    with pytest.raises(error, match=f"^fit_temperature: .*{message}"):
        fit_temperature(log_p, labels)
