"""runs.plots.matrix: errors stand out, and many classes cost no more than some."""

import time

import numpy as np
import pytest

from jaxcls.runs.plots import confusion, png
from jaxcls.runs.plots.matrix import _error_shares

COUNTS = np.array([[90, 10, 0], [0, 200, 0], [12_345, 0, 12_345]])


def numbers(figure):
    """What stands in the cells, by row and column."""
    return {
        tuple(map(int, each.get_position()[::-1])): each.get_text()
        for each in figure.axes[0].texts
    }


def test_errors_have_the_shares_of_their_class_and_what_is_right_is_grey():
    figure = confusion(COUNTS, ["a", "b", "c"], "rows held out")
    axes = figure.axes[0]
    shares = axes.images[0].get_array()
    assert shares.mask.tolist() == np.eye(3, dtype=bool).tolist()
    np.testing.assert_allclose(
        shares.filled(-1), [[-1, 0.1, 0], [0, -1, 0], [0.5, 0, -1]]
    )
    assert axes.images[0].get_clim() == (0, 0.5)
    red, green, blue, _ = axes.images[0].get_cmap()(np.ma.masked)
    assert red == green == blue == 0.9
    title = "Confusion, rows held out: 12,355 of 24,990 wrong"
    assert figure.get_suptitle() == title
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted class", "true class")


def test_up_to_ten_classes_have_counts_and_errors_of_none_are_blank():
    figure = confusion(COUNTS, ["a", "b", "c"])
    assert numbers(figure) == {
        **{(0, 0): "90", (0, 1): "10", (1, 1): "200"},
        **{(2, 0): "12k", (2, 2): "12k"},
    }
    colors = {each.get_text(): each.get_color() for each in figure.axes[0].texts}
    assert colors["200"] == "0.35" and colors["10"] == "black"


def test_up_to_twenty_have_percentages():
    counts = np.diag(np.full(20, 1000))
    counts[0, :3] = [994, 5, 1]
    counts[1, :2] = [100, 900]
    counts[2] = 0
    found = numbers(confusion(counts, [f"class {i}" for i in range(20)]))
    assert found[0, 0] == "99" and found[0, 1] == "<1" and found[1, 0] == "10"
    assert found[3, 3] == "100" and found[2, 2] == "0" and len(found) == 23


def test_all_right_is_drawn():
    figure = confusion(np.array([[0, 0], [0, 7]]), ["a", "b"])
    assert figure.get_suptitle() == "Confusion, test set: 0 of 7 wrong"
    png(figure)


@pytest.mark.parametrize("num_classes", [300, 1000])
def test_many_classes_are_a_quick_heat_map(num_classes):
    counts = np.random.default_rng(0).integers(0, 3, (num_classes, num_classes))
    start = time.process_time()
    figure = confusion(counts, [f"class {i}" for i in range(num_classes)])
    png(figure)
    # With a text in each cell it took minutes.
    assert time.process_time() - start < 10
    axes = figure.axes[0]
    assert not axes.texts and len(axes.get_xticks()) <= 12
    rows, columns = axes.images[0].get_array().shape
    assert rows == columns == (300 if num_classes == 300 else 334)
    stands_for = "a cell stands for 3 classes"
    title = figure.get_suptitle().replace("\n", " ")
    assert (stands_for in title) == (num_classes == 1000)


def test_very_many_classes_are_added_up():
    counts = np.diag(np.full(7, 10))
    counts[0, 1] = counts[2, 3] = counts[6, 0] = 1
    counts[1, 6] = 3
    np.testing.assert_allclose(
        _error_shares(counts, 3),
        np.array([[1, 1, 3], [0, 0, 0], [1, 0, 0]]) / [[35], [30], [11]],
    )
