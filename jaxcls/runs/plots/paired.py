"""Paired differences of what is compared."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcls.runs.plots.canvas import (
    BLUE,
    GREY,
    SIZE,
    VERMILION,
    new_figure,
    short,
    styled,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_INCHES = 0.4  # of a row
_ROOM = 1.2  # inches for what is above and below the rows


@styled
def differences(
    values: Mapping[str, np.ndarray],
    than: str,
    intervals: Sequence[tuple[float, float]] = (),
    unit: str = "splits",
    score: str = "accuracy",
) -> "Figure":
    """Paired differences of a score: a dot for each pair, their mean, and its 95% interval.

    Args:
        values: by the name of what is compared, [J] each.
        than: what was compared with these.
        intervals: low and high of each; NaN where there is none.
        unit: what the dots are of, splits or seeds.
        score: what differs.
    """
    count = max(map(len, values.values()))
    title = (
        f"{score.capitalize()} of {short(than, 24)} less that of the other, on the same {unit}: "
        f"{count:,} pairs, mean and its 95% interval"
    )
    height = max(SIZE[1], _ROOM + _INCHES * len(values))
    figure, ((axes,),) = new_figure(title, size=(SIZE[0], height))
    for place, each in enumerate(values.values()):
        # Spread a little, so that equal ones can be told.
        heights = place + np.linspace(-0.18, 0.18, len(each)) * (len(each) > 1)
        axes.plot(
            *(each, heights, "o"), color=BLUE, alpha=0.6, markeredgewidth=0, zorder=2
        )
        axes.plot([each.mean()], [place], "D", color=VERMILION, markersize=6, zorder=4)
    for place, ends in enumerate(intervals):
        if np.isfinite(ends).all():
            axes.plot(ends, [place] * 2, color=VERMILION, linewidth=2, zorder=3)
    axes.axvline(0, color=GREY, linestyle=":", zorder=1)
    axes.set_yticks(range(len(values)), [short(name, 24) for name in values])
    axes.set(xlabel=f"difference of {score}", ylim=(len(values) - 0.5, -0.5))
    axes.xaxis.set_major_formatter("{x:+.3g}")
    axes.xaxis.get_major_locator().set_params(nbins=6)
    axes.grid(axis="x")
    return figure
