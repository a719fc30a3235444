"""runs.plots.paired: differences, means and intervals."""

import numpy as np

from jaxcls.runs.plots import differences


def test_dots_means_and_intervals():
    values = {"b": np.array([0.1, 0.3]), "c": np.array([-0.2, -0.2])}
    intervals = [(0.0, 0.4), (np.nan, np.nan)]
    figure = differences(values, "a", intervals, "seeds", "r squared")
    (axes,) = figure.axes
    found = [each.get_xdata() for each in axes.get_lines()]
    dots, means = found[0:4:2], found[1:4:2]
    assert [each.tolist() for each in dots] == [[0.1, 0.3], [-0.2, -0.2]]
    np.testing.assert_allclose(np.ravel(means), [0.2, -0.2])
    # One interval, for the other is not known, and the line of no difference.
    assert [tuple(each) for each in found[4:]] == [(0.0, 0.4), (0, 0)]
    assert [each.get_text() for each in axes.get_yticklabels()] == ["b", "c"]
    title = figure.get_suptitle().replace("\n", " ")
    assert title == (
        "R squared of a less that of the other, on the same seeds: 2 pairs, mean and its 95% interval"
    )
    assert axes.get_xlabel() == "difference of r squared"


def test_many_comparisons_have_more_room():
    values = {f"setting {i}": np.zeros(3) for i in range(20)}
    width, height = differences(values, "setting 20").get_size_inches()
    assert width == 4.5 and height > 8
