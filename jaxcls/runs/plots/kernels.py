"""What the first layer looks for: its weights, as images."""

import math
from typing import TYPE_CHECKING

import numpy as np

from jaxcls.runs.plots.canvas import new_figure, styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_MOST = 40  # units
_WIDE = 1.5  # width of the picture over its height


@styled
def weights(
    kernel: np.ndarray, image_shape: tuple[int, int], units: str = "hidden units"
) -> "Figure":
    """The weights from the pixels to each unit of the first layer, as an image.

    Of more than 40 units those with the largest weights are shown.

    Args:
        kernel: [D, H], where D is height x width.
        image_shape: (height, width).
        units: what the H are, such as "classes" where there is no hidden layer.
    """
    count = kernel.shape[1]
    largest = np.argsort(-np.linalg.norm(kernel, axis=0), kind="stable")[:_MOST]
    shown = kernel.T[np.sort(largest)].reshape(-1, *image_shape)
    height, width = image_shape
    title = f"Weights from the {height} x {width} pixels to "
    if count > len(shown):
        title += f"{len(shown)} of {count:,} {units}, those with the largest"
    else:
        title += f"each of {count} {units}" if count > 1 else f"the one {units}"
    figure, ((axes,),) = new_figure(title)
    most = float(np.abs(shown).max()) or 1.0
    image = axes.imshow(_tiled(shown), cmap="PuOr", vmin=-most, vmax=most)
    axes.axis("off")
    bar = figure.colorbar(image, ax=axes, pad=0.02, aspect=30)
    bar.set_label("weight")
    bar.outline.set_visible(False)
    return figure


def _tiled(images: np.ndarray) -> np.ndarray:
    """Images [H, height, width] as one, with a border of NaN around each."""
    count, height, width = images.shape
    columns = min(count, math.ceil(math.sqrt(_WIDE * count * height / width)))
    rows = -(-count // columns)
    border = max(1, height // 14)
    framed = np.full(
        (rows * columns, height + border, width + border), np.nan, np.float32
    )
    framed[:count, :height, :width] = images
    tiled = framed.reshape(rows, columns, height + border, width + border)
    return tiled.swapaxes(1, 2).reshape(rows * (height + border), -1)
