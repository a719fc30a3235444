"""Whether probabilities are what they say, and how well they order: reliability and ROC."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcls.probability_scores import one_against_rest
from jaxcls.reliability import calibration_bins
from jaxcls.runs.plots.canvas import (
    BLUE,
    COLOURS,
    GREY,
    new_figure,
    short,
    styled,
)
from jaxcls.scores import accuracy_interval, calibration_error, roc_auc, roc_curve

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_MOST_CURVES = 6
_DASHES = ("-", "--", "-.", ":", (0, (5, 1)), (0, (3, 1, 1, 1, 1, 1)))
_CORNER = 0.99  # area from which on the upper left corner alone is shown


@styled
def reliability(
    probabilities: np.ndarray, labels: np.ndarray, what: str = "test set"
) -> "Figure":
    """How often the predicted class is right, by its probability, in 15 bins.

    Bars are 95% intervals (Wilson's); the counts stand below.

    Args:
        probabilities: [N, K].
        labels: [N] true classes.
        what: the examples are.
    """
    found = calibration_bins(probabilities, labels)
    some = np.flatnonzero(found.count)
    mean, share_right = found.probability[some], found.accuracy[some]
    error = calibration_error(probabilities, labels)
    figure, ((axes,), (below,)) = new_figure(
        f"Reliability, {what}: expected calibration error {error:.4f}",
        *(2, 1),
        sharex=True,
        height_ratios=(3, 1),
    )
    axes.plot([0, 1], [0, 1], "k:", label="perfectly calibrated")
    axes.plot(*(mean, share_right, "o-"), color=BLUE, label="share right, 95% interval")
    for at, share, count in zip(mean, share_right, found.count[some], strict=True):
        ends = accuracy_interval(round(share * count), int(count))
        axes.vlines(at, *ends, color=BLUE, linewidth=1, zorder=1)
    axes.legend(loc="best")
    least = 1 / probabilities.shape[1]
    axes.set(xlabel="", ylabel="share right", ylim=(-0.02, 1.04))
    axes.set_xlim(max(0.0, least - 0.03), 1.02)
    axes.grid()
    counts, width = found.count, found.high - found.low
    below.bar(found.low, counts, width, align="edge", color="0.75", edgecolor="white")
    below.set(xlabel="probability of the predicted class", ylabel="examples")
    if counts.max() > 20 * max(1, counts[counts > 0].min()):
        below.set_yscale("symlog", linthresh=1)
        below.yaxis.set_major_formatter("{x:g}")
        below.yaxis.get_major_locator().set_params(numticks=4)
    return figure


@styled
def roc(
    log_probabilities: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    what: str = "test set",
) -> "Figure":
    """Receiver operating characteristics: of two classes one curve, else each against the rest.

    Of more than 6 classes those with the smallest areas are shown; where all areas are large, the
    upper left corner. Examples are ordered by log odds, which tell apart what rounds to 0 or 1.

    Args:
        log_probabilities: [N, K] logarithms of rows that sum to 1.
        labels: [N] true classes.
        class_names: K names.
        what: the examples are.

    Raises:
        ValueError: all examples are of one class.
    """
    odds = one_against_rest(log_probabilities)
    present = np.unique(labels)
    if len(present) < 2:
        raise ValueError("a ROC curve takes examples of two classes or more")
    wanted = [1] if len(class_names) == 2 else present.tolist()
    areas = {each: roc_auc(odds[:, each], labels == each) for each in wanted}
    worst = sorted(areas, key=lambda each: areas[each])[:_MOST_CURVES]
    corner = min(areas.values()) > _CORNER
    title = f"ROC, {what}" + (", upper left corner" if corner else "")
    if len(wanted) > 1:
        title += ", each class against the rest"
    if len(worst) < len(wanted):
        title += f": the {len(worst)} smallest areas of {len(wanted)}"
    figure, ((axes,),) = new_figure(title)
    against = f" against {short(class_names[0])}" if len(wanted) == 1 else ""
    for place, each in enumerate(worst):
        axes.plot(
            *roc_curve(odds[:, each], labels == each),
            color=COLOURS[place],
            linestyle=_DASHES[place],
            label=f"{short(class_names[each])}{against}, area {_told(areas[each])}",
        )
    _finish(axes, corner)
    return figure


def _told(area: float) -> str:
    """An area, of which only a whole one is 1."""
    return ">0.9999" if 0.99995 <= area < 1 else f"{area:.4f}"


def _finish(axes: "Axes", corner: bool) -> None:
    axes.axline((0, 0), slope=1, color=GREY, linestyle=":", linewidth=0.8)
    axes.set(
        xlabel="false positive rate",
        ylabel="true positive rate",
        aspect="auto",
        xlim=(-0.002, 0.1) if corner else (-0.02, 1.02),
        ylim=(0.9, 1.002) if corner else (-0.02, 1.02),
    )
    axes.grid()
    axes.legend(loc="lower right")
