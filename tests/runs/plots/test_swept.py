"""runs.plots.swept: scores against what was swept."""

import numpy as np
import pytest

from jaxcls.runs.plots import heat_map, png, sweep

RATES, DROPS = ("1e-4", "1e-3", "1e-2"), ("0", "0.5")
GRID = {
    "learning_rate": [rate for rate in RATES for _ in DROPS],
    "dropout": [drop for _ in RATES for drop in DROPS],
    "optimizer": ["adam"] * 6,
}
MEANS = np.array([0.7, 0.6, 0.9, 0.95, 0.8, np.nan])
SCORES = np.stack([MEANS, MEANS - 0.1, MEANS + 0.1], axis=1)
OK = ["ok"] * 5 + ["diverged"]


def named(axes, label):
    return [each for each in axes.get_lines() if each.get_label().startswith(label)]


def test_each_number_that_varies_has_a_panel_with_its_best():
    figure = sweep(GRID, SCORES, OK)
    rates, drops = figure.axes
    assert [axes.get_xlabel() for axes in figure.axes] == ["learning_rate", "dropout"]
    assert figure.get_suptitle() == (
        "Validation accuracy of 6 settings, with 95% intervals"
    )
    assert rates.get_xscale() == "log" and drops.get_xscale() == "linear"
    (best,) = named(rates, "best of its value")
    np.testing.assert_allclose(best.get_xdata(), [1e-4, 1e-3, 1e-2])
    np.testing.assert_allclose(best.get_ydata(), [0.7, 0.95, 0.8])
    (bars,) = rates.collections
    ends = [segment[:, 1].tolist() for segment in bars.get_segments()]
    np.testing.assert_allclose(ends, [[0.6, 0.8], [0.85, 1.05], [0.7, 0.9]])
    (top,) = named(rates, "best of all")
    assert (top.get_xdata()[0], top.get_ydata()[0]) == (1e-3, 0.95)
    (cross,) = named(rates, "diverged: 1")
    assert cross.get_xdata().tolist() == [1e-2] and cross.get_marker() == "x"


def test_of_losses_the_least_is_the_best():
    (rates, _) = sweep(GRID, SCORES, OK, "held-out loss", least=True).axes
    (best,) = named(rates, "best of its value")
    np.testing.assert_allclose(best.get_ydata(), [0.6, 0.9, 0.8])


def test_settings_that_were_dropped_are_hollow():
    status = ["dropped after 2 epochs", *OK[1:]]
    rates, _ = sweep(GRID, SCORES, status).axes
    (hollow,) = named(rates, "dropped early: 1")
    assert hollow.get_markerfacecolor() == "none"
    (best,) = named(rates, "best of its value")
    np.testing.assert_allclose(best.get_ydata(), [0.6, 0.95, 0.8])


def test_words_stand_beside_each_other():
    values = {"hidden": ["64-32", "32", "none"]}
    (axes,) = sweep(values, SCORES[:3], OK[:3]).axes
    ticks = [each.get_text() for each in axes.get_xticklabels()]
    assert ticks == ["64-32", "32", "none"]


def test_drawn_values_have_all_their_intervals_and_no_line():
    rng = np.random.default_rng(0)
    values = {
        "learning_rate": [f"{value:.6g}" for value in 10 ** rng.uniform(-4, 0, 50)],
        "dropout": [f"{value:.6g}" for value in rng.uniform(0, 0.8, 50)],
    }
    scores = rng.uniform(0.5, 0.6, (50, 1)) + np.array([0, -0.1, 0.1])
    rates, drops = sweep(values, scores, ["ok"] * 50).axes
    assert (rates.get_xscale(), drops.get_xscale()) == ("log", "linear")
    assert len(rates.collections[0].get_segments()) == 50
    assert not named(rates, "best of its value")
    low, high = rates.get_ylim()
    assert low > 0.3 and high < 0.8  # no wider than what is shown
    axes, _ = heat_map(values, scores[:, 0]).axes
    assert axes.get_xscale() == "log" and len(axes.collections[0].get_offsets()) == 50


def test_all_diverged_is_drawn_and_nothing_swept_is_refused():
    png(sweep(GRID, np.full((6, 3), np.nan), ["diverged"] * 6))
    with pytest.raises(ValueError, match="one setting alone"):
        sweep({"dropout": ["0"]}, SCORES[:1], ["ok"])
    with pytest.raises(ValueError, match="two flags"):
        heat_map({"dropout": ["0", "0.5"]}, MEANS[:2])
    with pytest.raises(ValueError, match="scores"):
        heat_map(GRID, np.full(6, np.nan))


def test_a_heat_map_has_the_best_of_each_pair():
    values = GRID | {"hidden": ["8", "16"] * 3}  # which vary with dropout
    figure = heat_map(values, MEANS)
    axes, _ = figure.axes
    assert figure.get_suptitle() == (
        "Best validation accuracy by learning_rate and dropout"
    )
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("learning_rate", "dropout")
    cells = axes.images[0].get_array().filled(-1)
    np.testing.assert_allclose(cells, [[0.7, 0.9, 0.8], [0.6, 0.95, -1]])
    ticks = [each.get_text() for each in axes.get_xticklabels()]
    assert ticks == [*RATES]
    texts = [each.get_text() for each in axes.texts]
    assert texts == ["0.700", "0.900", "0.800", "0.600", "0.950"]


def test_the_two_that_matter_most_are_shown():
    values = {
        "dropout": ["0", "0", "0.5", "0.5"] * 2,
        "momentum": ["0", "0.9"] * 4,
        "hidden": ["8"] * 4 + ["16"] * 4,
    }
    scores = np.array([0.1, 0.1, 0.2, 0.2, 0.5, 0.5, 0.61, 0.61])
    axes, _ = heat_map(values, scores).axes
    assert {axes.get_xlabel(), axes.get_ylabel()} == {"dropout", "hidden"}
