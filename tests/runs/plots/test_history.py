"""runs.plots.history: curves of one run and bands of many."""

import numpy as np
import pytest

from jaxcls.runs.plots import curves, png


def lines(epochs=10, **values):
    """Lines of a history, in which each name has a value times the epoch."""
    return [
        {"epoch": epoch} | {name: value * epoch for name, value in values.items()}
        for epoch in range(1, epochs + 1)
    ]


def labels(figure):
    return [each.get_text() for each in figure.legends[0].get_texts()]


def line(axes, label):
    (found,) = (each for each in axes.get_lines() if each.get_label() == label)
    return found


def test_training_and_validation_each_have_a_line_in_both_panels():
    history = lines(loss=0.1, validation_loss=0.2, validation_accuracy=0.3)
    history[4]["train_accuracy"] = 0.9
    figure = curves(history, chosen=7)
    loss, accuracy = figure.axes
    assert (loss.get_ylabel(), accuracy.get_ylabel()) == ("loss", "accuracy")
    assert figure.get_suptitle() == "Loss and accuracy, epoch by epoch"
    np.testing.assert_allclose(
        line(loss, "validation").get_ydata(), 0.2 * np.arange(1, 11)
    )
    assert line(accuracy, "training").get_xdata().tolist() == [5]
    styles = {line(loss, name).get_linestyle() for name in ("training", "validation")}
    assert styles == {"-", "--"}
    for axes in figure.axes:
        assert set(line(axes, "chosen, epoch 7").get_xdata()) == {7}
    assert labels(figure) == ["training", "validation", "chosen, epoch 7"]


@pytest.mark.parametrize("epochs", [1, 2, 3, 7, 100, 30_000])
def test_epochs_are_whole_numbers(epochs):
    figure = curves(lines(epochs, loss=0.1))
    png(figure)
    (axes,) = figure.axes
    low, high = axes.get_xlim()
    ticks = np.array([each for each in axes.get_xticks() if low <= each <= high])
    assert len(ticks) and (ticks == np.round(ticks)).all()


def test_without_a_score_there_is_one_panel_and_numbers_have_their_own():
    (axes,) = curves(lines(loss=0.1)).axes
    assert axes.get_ylabel() == "loss"
    of_numbers = lines(loss=0.1, train_r_squared=0.01, validation_r_squared=0.02)
    assert [axes.get_ylabel() for axes in curves(of_numbers).axes] == [
        "loss",
        "R squared",
    ]


def test_losses_over_decades_are_on_a_logarithmic_axis():
    steep = [{"epoch": epoch, "loss": 10.0**-epoch} for epoch in range(5)]
    (axes,) = curves(steep).axes
    assert axes.get_yscale() == "log"
    assert axes.yaxis.get_major_formatter()(0.001) == "0.001"
    (axes,) = curves(lines(loss=0.1)).axes
    assert axes.get_yscale() == "linear"
    (axes,) = curves([*steep, {"epoch": 5, "loss": 0.0}]).axes
    assert axes.get_yscale() == "linear"  # constant or 0, which has no logarithm


def test_many_runs_have_a_mean_and_bands():
    values = np.array([[1.0, 2.0, 3.0, 6.0], [2.0, 2.0, 2.0, 2.0]])
    history = [
        {"epoch": epoch, "loss": row.tolist()} for epoch, row in enumerate(values, 1)
    ]
    figure = curves(history, chosen=[1, 2, 2, 2])
    (axes,) = figure.axes
    assert figure.get_suptitle() == "Loss of 4 runs: mean, middle half, range"
    np.testing.assert_allclose(line(axes, "training").get_ydata(), [3, 2])
    ends = [
        (
            band.get_paths()[0].vertices[:, 1].min(),
            band.get_paths()[0].vertices[:, 1].max(),
        )
        for band in axes.collections
    ]
    assert ends == [(1, 6), (1.75, 3.75)]
    assert set(line(axes, "chosen, epoch 2 (1 to 2)").get_xdata()) == {2}


def test_epochs_that_few_runs_reached_are_left_out():
    history = [
        {"epoch": 1, "loss": [1.0, 3.0, 5.0]},
        {"epoch": 2, "loss": [1.0, 3.0, None]},
        {"epoch": 3, "loss": [1.0, None, None]},
        {"epoch": 4, "loss": [None, None, None]},
    ]
    (axes,) = curves(history).axes
    assert line(axes, "training").get_xdata().tolist() == [1, 2]
    assert line(axes, "training").get_ydata().tolist() == [3, 2]


def test_a_history_of_nothing_is_refused():
    with pytest.raises(ValueError, match="no epoch"):
        curves([])
    with pytest.raises(ValueError, match="no epoch"):
        curves([{"epoch": 1, "loss": [None, None]}])
