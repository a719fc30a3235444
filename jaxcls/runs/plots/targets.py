"""Predicted numbers against true ones."""

from typing import TYPE_CHECKING

import numpy as np

from jaxcls.regression import coverage
from jaxcls.runs.plots.canvas import BLUE, GREY, SKY, new_figure, short, styled
from jaxcls.scores import Z_95

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_FEW = 300  # points that are drawn whole; more are paler


@styled
def predicted(
    wanted: np.ndarray,
    mean: np.ndarray,
    std: np.ndarray | None = None,
    name: str = "target",
    what: str = "test set",
) -> "Figure":
    """Predicted against true numbers, with 95% bands where the network tells a spread.

    Args:
        wanted: [N] true numbers.
        mean: [N] predicted.
        std: [N] standard deviations of the predictions, or None.
        name: of what is predicted.
        what: the examples are.
    """
    title = f"Predicted against true, {what}, N = {len(wanted):,}"
    if std is not None:
        inside = coverage(mean, std, wanted).inside
        title += f"; 95% bands hold {inside:,} ({inside / len(wanted):.1%})"
    figure, ((axes,),) = new_figure(title)
    alpha = min(1.0, max(0.08, _FEW / len(wanted)))
    if std is not None:
        half = Z_95 * std
        axes.vlines(
            *(wanted, mean - half, mean + half), color=SKY, alpha=0.7 * alpha, zorder=1
        )
    axes.plot(
        *(wanted, mean, "o"), color=BLUE, alpha=alpha, markersize=3, markeredgewidth=0
    )
    axes.axline(
        (wanted.mean(), wanted.mean()), slope=1, color=GREY, linestyle=":", zorder=3
    )
    axes.set(
        xlabel=f"true {short(name, 30)}", ylabel="predicted, dotted: as it should be"
    )
    axes.grid()
    return figure


@styled
def residuals(
    wanted: np.ndarray, mean: np.ndarray, name: str = "target", what: str = "test set"
) -> "Figure":
    """True less predicted numbers: over what was predicted, and how they are spread.

    Args:
        wanted: [N] true numbers.
        mean: [N] predicted.
        name: of what is predicted.
        what: the examples are.
    """
    found = wanted - mean
    title = (
        f"Residuals, {what}, N = {len(wanted):,}: mean {found.mean():.3g}, "
        f"RMSE {np.sqrt((found**2).mean()):.3g}"
    )
    figure, ((axes, beside),) = new_figure(
        title, 1, 2, sharey=True, width_ratios=(3, 1)
    )
    alpha = min(1.0, max(0.08, _FEW / len(wanted)))
    axes.plot(
        *(mean, found, "o"), color=BLUE, alpha=alpha, markersize=3, markeredgewidth=0
    )
    axes.set(xlabel=f"predicted {short(name, 24)}", ylabel="true less predicted")
    beside.hist(
        found, bins=20, range=_apart(found), orientation="horizontal", color=SKY
    )
    beside.set(xlabel="examples")
    beside.xaxis.get_major_locator().set_params(integer=True, nbins=3)
    for each in (axes, beside):
        each.axhline(0, color=GREY, linestyle=":")
        each.grid()
    return figure


def _apart(values: np.ndarray) -> tuple[float, float]:
    """The least and the greatest value, or ends around them where they are about the same."""
    low, high = float(values.min()), float(values.max())
    size = max(abs(low), abs(high))
    if high - low > 1e-6 * size:
        return low, high
    half = size / 10 or 1.0
    return low - half, high + half
