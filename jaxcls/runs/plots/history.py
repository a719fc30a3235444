"""Loss and scores over epochs, of one run or of many."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from jaxcls.runs.plots.canvas import (
    BLUE,
    GREY,
    PALE,
    VERMILION,
    new_figure,
    plain_log_axis,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_MARKED = 30  # points of a curve
_DECADES = (
    30.0  # from the least loss to the greatest, from which on the axis is logarithmic
)
# What a panel may show, and by which name the lines have it of each set.
_PANELS = {
    "loss": ("loss", "validation_loss"),
    "accuracy": ("train_accuracy", "validation_accuracy"),
    "R squared": ("train_r_squared", "validation_r_squared"),
}
_SETS = (("training", BLUE, "-", "o"), ("validation", VERMILION, "--", "s"))


@styled
def curves(
    history: Sequence[Mapping[str, Any]], chosen: ArrayLike | None = None
) -> "Figure":
    """Loss and accuracy (or R squared) over epochs, of training and of the validation set.

    Of many runs it shows the mean, the middle half and the range, at the epochs that at least half
    of the runs reached.

    Args:
        history: the lines of `history.jsonl`: of one run each value a number, of S runs a list of S,
            None where a run had stopped.
        chosen: epoch after which the parameters stood that validation chose, of S runs [S]; it is
            marked.

    Raises:
        ValueError: there is no line.
    """
    panels = {
        panel: [_column(history, name) for name in names]
        for panel, names in _PANELS.items()
    }
    shown = {
        panel: of_sets
        for panel, of_sets in panels.items()
        if any(len(epochs) for epochs, _ in of_sets)
    }
    if not shown:
        raise ValueError("the history has no epoch")
    names = "Loss" + "".join(f" and {name}" for name in shown if name != "loss")
    num_runs = max(values.shape[1] for of in shown.values() for _, values in of)
    title = f"{names}, epoch by epoch"
    if num_runs > 1:
        title = f"{names} of {num_runs:,} runs: mean, middle half, range"
    figure, (row,) = new_figure(title, 1, len(shown))
    for axes, (panel, of_sets) in zip(row, shown.items(), strict=True):
        _panel(axes, panel, of_sets)
        if chosen is not None:
            _mark(axes, np.ravel(np.asarray(chosen)))
        if history[0]["epoch"] == history[-1]["epoch"]:
            axes.set_xlim(history[0]["epoch"] - 1.2, history[0]["epoch"] + 1.2)
    # One for all panels, of whatever any of them shows.
    entries = {}
    for axes in row:
        lines, labels = axes.get_legend_handles_labels()
        entries |= dict(zip(labels, lines, strict=True))
    figure.legend([*entries.values()], [*entries], loc="outside lower center", ncols=3)
    return figure


def _panel(
    axes: "Axes", name: str, of_sets: Sequence[tuple[np.ndarray, np.ndarray]]
) -> None:
    """One of the panels: the epochs and the values of each set."""
    from matplotlib.ticker import MaxNLocator

    for look, (epochs, values) in zip(_SETS, of_sets, strict=True):
        label, color, dashes, marker = look
        few = len(epochs) <= _MOST_MARKED
        style = {"color": color, "linestyle": dashes, "label": label}
        if len(epochs):
            _draw(axes, epochs, values, style | {"marker": marker if few else None})
    axes.set(xlabel="epoch", ylabel=name)
    axes.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    axes.grid()
    least, most = _ends(of_sets)
    if name == "loss" and least > 0 and most / least > _DECADES:
        plain_log_axis(axes.yaxis, (least, most))


def _column(
    history: Sequence[Mapping[str, Any]], name: str
) -> tuple[np.ndarray, np.ndarray]:
    """The epochs [E] of which the history tells this, and the values [E, S], NaN for None."""
    lines = [line for line in history if name in line]
    if not lines:
        return np.empty(0, int), np.empty((0, 1))
    values = np.array([np.ravel(np.array(line[name], float)) for line in lines])
    epochs = np.array([line["epoch"] for line in lines])
    some = np.isfinite(values).any(axis=1)
    return epochs[some], values[some]


def _draw(axes: "Axes", epochs: np.ndarray, values: np.ndarray, style: dict) -> None:
    if values.shape[1] == 1:
        axes.plot(epochs, values[:, 0], **style)
        return
    # The mean of a few that stopped late would say nothing of the others.
    runs = np.isfinite(values).sum(axis=1)
    enough = 2 * runs >= runs.max()
    epochs, values = epochs[enough], values[enough]
    low, quarter, three, high = np.nanquantile(values, (0, 0.25, 0.75, 1), axis=1)
    for least, most, alpha in ((low, high, 0.15), (quarter, three, 0.3)):
        axes.fill_between(
            epochs, least, most, color=style["color"], alpha=alpha, linewidth=0
        )
    axes.plot(epochs, np.nanmean(values, axis=1), **style)


def _mark(axes: "Axes", chosen: np.ndarray) -> None:
    """A line at the chosen epoch, of many runs at the middle one."""
    middle = float(np.median(chosen))
    label = f"chosen, epoch {middle:g}"
    least, most = chosen.min(), chosen.max()
    if least < most:
        label = f"chosen, epoch {middle:g} ({least} to {most})"
        axes.axvspan(least, most, color=PALE, zorder=0)
    axes.axvline(middle, color=GREY, linestyle=":", label=label)


def _ends(of_sets: Sequence[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float]:
    values = np.concatenate([values.ravel() for _, values in of_sets])
    return float(np.nanmin(values)), float(np.nanmax(values))
