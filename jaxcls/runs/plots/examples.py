"""The mistakes that a run is surest of."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from jaxcls.runs.plots.canvas import SIZE, bare_figure, short, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_SHORT = 4  # letters of a class name, for which a narrow caption is enough
# Width of a caption in inches, and grids [rows, columns] from few mistakes to many.
_NARROW = (0.42, ((1, 2), (2, 3), (2, 4), (3, 4), (5, 5)))
_WIDE = (0.95, ((1, 2), (3, 2), (5, 3)))
_TITLE, _GAP = 0.3, 0.05  # inches


@styled
def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
    what: str = "test images",
    predictions: np.ndarray | None = None,
) -> "Figure":
    """The images that were most surely taken for another class, 25 at most, of long names 15.

    Args:
        images: [N, height, width].
        labels: [N] true classes.
        probabilities: [N, K].
        class_names: K names.
        what: the images are.
        predictions: [N] classes that they were taken for; by default the most likely.
    """
    if predictions is None:
        predictions = probabilities.argmax(axis=1)
    sureness = probabilities[np.arange(len(labels)), predictions]
    wrong = np.flatnonzero(predictions != labels)
    long = max(map(len, class_names)) > _SHORT
    caption, grids = _WIDE if long else _NARROW
    enough = [rows * columns >= len(wrong) for rows, columns in grids]
    grid = grids[enough.index(True) if any(enough) else -1]
    surest = wrong[np.argsort(-sureness[wrong], kind="stable")]
    surest = surest[: grid[0] * grid[1]]
    figure = bare_figure(_title(len(surest), len(wrong), f"{len(labels):,} {what}"))
    for place, row in enumerate(surest):
        true, predicted = (
            short(class_names[each]) for each in (labels[row], predictions[row])
        )
        told = f"{true}\nas {predicted}\n{100 * sureness[row]:.3g}%"
        _show(figure, images[row], told, divmod(place, grid[1]), grid, caption)
    return figure


def _title(shown: int, wrong: int, of_all: str) -> str:
    if not wrong:
        return f"No mistakes in {of_all}"
    which = "The one mistake" if wrong == 1 else f"All {wrong} mistakes"
    if shown < wrong:
        which = f"{shown} of {wrong:,} mistakes"
    return f"{which} in {of_all}" + (", the surest first" if wrong > 1 else "")


def _show(
    figure: "Figure",
    image: np.ndarray,
    told: str,
    place: tuple[int, int],
    grid: tuple[int, int],
    caption: float,
) -> None:
    """An image with what is told of it on its right, at a place [row, column] of the grid."""
    row, column = place
    width, height = SIZE[0] / grid[1], (SIZE[1] - _TITLE) / grid[0]
    left, top = column * width + _GAP, SIZE[1] - _TITLE - row * height
    side = min(height - 2 * _GAP, width - caption - 2 * _GAP)
    box = np.array([left, top - (height + side) / 2, side, side]) / np.tile(SIZE, 2)
    axes = figure.add_axes(tuple(box.tolist()))
    axes.imshow(image, cmap="gray_r")
    axes.axis("off")
    figure.text(
        (left + side + _GAP) / SIZE[0],
        (top - height / 2) / SIZE[1],
        told,
        va="center",
        fontsize=7,
    )
