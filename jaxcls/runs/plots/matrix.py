"""The confusion matrix, in which errors stand out."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcls.runs.plots.canvas import GREY, PALE, new_figure, short, styled

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_NAMED = 20  # classes with a name each, and a number in each cell
_MOST_COUNTED = 10  # classes whose numbers are counts; beyond, a count would not fit
_MOST_TICKS = 12  # classes that are named where not all are
_MOST_CELLS = 400  # in a row


@styled
def confusion(
    counts: np.ndarray, class_names: Sequence[str], what: str = "test set"
) -> "Figure":
    """Counts [K, K] of a `metrics.confusion`, rows the true class, as a picture.

    A cell is as dark as the share of its true class that was taken for another; what is right is
    grey. Up to 10 classes each cell has its count, up to 20 the percentage of its true class. Of
    more there are colours alone and the names of a few; beyond 400 a cell stands for several.

    Args:
        counts: [K, K].
        class_names: K names.
        what: was classified.
    """
    num_classes, total = len(class_names), int(counts.sum())
    wrong = total - int(np.trace(counts))
    step = -(-num_classes // _MOST_CELLS)
    title = f"Confusion, {what}: {wrong:,} of {total:,} wrong"
    if step > 1:
        title += f"; a cell stands for {step} classes"
    figure, ((axes,),) = new_figure(title)
    shares = _error_shares(counts, step)
    most = float(np.nanmax(shares, initial=0.0)) or 1.0
    from matplotlib import colormaps

    image = axes.imshow(
        shares,
        cmap=colormaps["Oranges"].with_extremes(bad=PALE),
        vmin=0,
        vmax=most,
        extent=(-0.5, num_classes - 0.5, num_classes - 0.5, -0.5),
        aspect="auto",
        interpolation="nearest",
    )
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
    bar.set_label("share of the true class")
    bar.ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:.3g}%")
    bar.outline.set_visible(False)
    _name(axes, class_names)
    if num_classes <= _MOST_NAMED:
        _number(axes, counts, shares / most)
    return figure


def _error_shares(counts: np.ndarray, step: int) -> np.ndarray:
    """Shares of each true class that were taken for another; what is right is NaN.

    Of very many classes cells are added up in blocks, which have no cells that are right alone.
    """
    errors = counts - np.diag(np.diag(counts))
    of_class = counts.sum(axis=1, keepdims=True)
    if step > 1:
        starts = np.arange(0, len(counts), step)
        errors = np.add.reduceat(np.add.reduceat(errors, starts), starts, axis=1)
        of_class = np.add.reduceat(of_class, starts)
    shares = errors / np.maximum(of_class, 1)
    if step == 1:
        np.fill_diagonal(shares, np.nan)
    return shares


def _name(axes: "Axes", class_names: Sequence[str]) -> None:
    num_classes = len(class_names)
    step = 1 if num_classes <= _MOST_NAMED else -(-num_classes // _MOST_TICKS)
    ticks = range(0, num_classes, step)
    names = [short(class_names[each]) for each in ticks]
    steep = max(map(len, names)) > (4 if num_classes <= _MOST_COUNTED else 2)
    axes.set_xticks(ticks, names)
    if steep:
        axes.tick_params(axis="x", rotation=45)
        for label in axes.get_xticklabels():
            label.set(ha="right", rotation_mode="anchor")
    axes.set_yticks(ticks, names)
    axes.tick_params(length=0 if num_classes <= _MOST_NAMED else 2)
    axes.set(xlabel="predicted class", ylabel="true class")
    for spine in axes.spines.values():
        spine.set_visible(False)


def _number(axes: "Axes", counts: np.ndarray, darkness: np.ndarray) -> None:
    """Counts in the cells, or percentages of the true class; errors that there are none of are blank."""
    counted = len(counts) <= _MOST_COUNTED
    percent = 100 * counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for (row, column), count in np.ndenumerate(counts):
        right = row == column
        if not count and not right:
            continue
        share = percent[row, column]
        # Not quite all is not all, and few are not none.
        told = "<1" if 0 < share < 1 else f"{int(share)}"
        color = GREY if right else "white" if darkness[row, column] > 0.6 else "black"
        axes.text(
            column,
            row,
            _count(int(count)) if counted else told,
            ha="center",
            va="center",
            color=color,
            fontsize=7,
        )


def _count(count: int) -> str:
    return f"{count:,}" if count < 10_000 else f"{count / 1000:,.0f}k"
