"""runs.plots.targets: predicted numbers against true ones."""

import numpy as np

from jaxcls.runs.plots import png, predicted, residuals

TRUE = np.array([1.0, 2.0, 3.0, 4.0])
MEAN = np.array([1.5, 2.0, 2.0, 8.0])


def test_bands_and_how_many_they_hold():
    figure = predicted(TRUE, MEAN, np.full(4, 1.0), "height")
    (axes,) = figure.axes
    assert figure.get_suptitle().replace("\n", " ") == (
        "Predicted against true, test set, N = 4; 95% bands hold 3 (75.0%)"
    )
    (bands,) = axes.collections
    ends = np.array([segment[:, 1] for segment in bands.get_segments()])
    np.testing.assert_allclose(ends[:, 1] - ends[:, 0], 2 * 1.959964, rtol=1e-6)
    np.testing.assert_allclose(ends.mean(axis=1), MEAN)
    assert axes.get_lines()[0].get_ydata().tolist() == MEAN.tolist()
    assert axes.get_xlabel() == "true height"


def test_without_a_spread_there_is_no_band():
    figure = predicted(TRUE, MEAN, None, "height", "rows held out")
    assert figure.get_suptitle() == "Predicted against true, rows held out, N = 4"
    assert not figure.axes[0].collections


def test_residuals_and_their_spread():
    figure = residuals(TRUE, MEAN, "height")
    axes, beside = figure.axes
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [-0.5, 0, 1, -4])
    assert figure.get_suptitle() == (
        "Residuals, test set, N = 4: mean -0.875, RMSE 2.08"
    )
    assert sum(each.get_width() for each in beside.patches) == 4


def test_constant_numbers_are_drawn():
    same = np.full(3, 7.0)
    png(predicted(same, same, np.zeros(3)))
    png(residuals(same, same))
    numbers = np.random.default_rng(0).normal(size=40)
    png(residuals(numbers, numbers + 1))  # the same but for their last bits
