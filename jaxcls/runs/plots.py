"""A run's pictures, as PNG bytes: curves, confusion matrix, confident mistakes."""

import contextlib
import io
import os
import sys
import warnings
from collections.abc import Sequence

import numpy as np

_GRID = 5  # mistakes shown in a row, and rows
_MOST_NAMED = 20  # classes with a name each, and a count in each cell
_MOST_CELLS = 1000  # in a row of a confusion matrix
_MOST_MARKED = 60  # points of a curve
_LONGEST_NAME = 24  # letters of a class name


def curves(history: Sequence[dict], chosen: int | None = None) -> bytes:
    """Loss and accuracy over epochs, of training and, where there is one, the validation set.

    Args:
        history: the lines of `history.jsonl`.
        chosen: epoch after which the parameters stood that validation chose, which is marked.
    """
    figure, (loss_axes, accuracy_axes) = _figure(2, size=(9, 3.5))
    for axes, ylabel, lines in (
        (loss_axes, "loss", {"train": "loss", "validation": "validation_loss"}),
        (
            accuracy_axes,
            "accuracy",
            {"train": "train_accuracy", "validation": "validation_accuracy"},
        ),
    ):
        for label, name in lines.items():
            points = [(line["epoch"], line[name]) for line in history if name in line]
            if points:
                marker = "o" if len(points) <= _MOST_MARKED else None
                axes.plot(
                    *zip(*points, strict=True), marker=marker, markersize=3, label=label
                )
        if chosen is not None:
            axes.axvline(chosen, color="0.4", linestyle=":", label=f"chosen, {chosen}")
        axes.set(xlabel="epoch", ylabel=ylabel)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    return _png(figure)


def differences(values: dict[str, np.ndarray], than: str) -> bytes:
    """Paired differences of accuracy, a row of dots for each comparison, and their means.

    Args:
        values: by name, those of each split or seed.
        than: what was compared with these.
    """
    figure, (axes,) = _figure(1, size=(6, 1.6 + 0.5 * len(values)))
    for place, each in enumerate(values.values()):
        # Spread a little, so that equal ones can be told.
        height = place + np.linspace(-0.15, 0.15, len(each))
        axes.plot(each, height, "o", markersize=4, alpha=0.6, color="C0")
        axes.plot([each.mean()], [place], "D", color="C1", markersize=7)
    axes.axvline(0, color="0.4", linestyle=":")
    axes.set_yticks(range(len(values)), [_short(name) for name in values])
    axes.set(
        xlabel=f"accuracy of {_short(than)} less that of",
        ylim=(-0.5, len(values) - 0.5),
    )
    axes.grid(alpha=0.3)
    return _png(figure)


def confusion(counts: np.ndarray, class_names: Sequence[str]) -> bytes:
    """Counts [K, K] of a `metrics.confusion`, rows the true class, as a picture.

    Up to 20 classes each cell has its count. Of more the picture is as large, with colours
    alone and the names of 20 classes; beyond 1,000 a cell stands for several.
    """
    num_classes = len(class_names)
    size = max(3.5, 1.5 + 0.55 * min(num_classes, _MOST_NAMED))
    figure, (axes,) = _figure(1, size=(size, size))
    shares = _shares(counts)
    extent = (-0.5, num_classes - 0.5, num_classes - 0.5, -0.5)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, extent=extent)
    ticks = range(0, num_classes, -(-num_classes // _MOST_NAMED))
    names = [_short(class_names[each]) for each in ticks]
    axes.set(xlabel="predicted", ylabel="true", title="test set")
    rotation = 45 if max(map(len, names)) > 2 else 0
    axes.set_xticks(ticks, names, rotation=rotation, parse_math=False)
    axes.set_yticks(ticks, names, parse_math=False)
    for (row, column), count in np.ndenumerate(counts):
        if num_classes > _MOST_NAMED:
            break
        color = "white" if shares[row, column] > 0.5 else "black"
        axes.text(
            column, row, f"{count:,}", ha="center", va="center", color=color, fontsize=8
        )
    return _png(figure)


def mistakes(
    images: np.ndarray,
    labels: np.ndarray,
    probabilities: np.ndarray,
    class_names: Sequence[str],
) -> bytes:
    """The images that were most confidently taken for another class.

    Args:
        images: [N, height, width].
        labels: [N] true classes.
        probabilities: [N, K].
        class_names: K names.
    """
    predictions = probabilities.argmax(axis=1)
    confidence = probabilities.max(axis=1)
    wrong = np.flatnonzero(predictions != labels)
    shown = wrong[np.argsort(-confidence[wrong], kind="stable")][: _GRID**2]
    rows = max(1, -(-len(shown) // _GRID))
    figure, all_axes = _figure(
        rows * _GRID, size=(1.9 * _GRID, 2.1 * rows + 0.6), columns=_GRID
    )
    for axes in all_axes:
        axes.axis("off")
    for axes, row in zip(all_axes, shown, strict=False):
        axes.imshow(images[row], cmap="gray_r")
        predicted, true = (
            _short(class_names[place]) for place in (predictions[row], labels[row])
        )
        axes.set_title(
            f"{true} taken for {predicted}\n{confidence[row]:.1%} sure",
            fontsize=8,
            parse_math=False,
        )
    figure.suptitle(
        f"{len(wrong):,} mistakes in {len(labels):,} test images", fontsize=10
    )
    return _png(figure)


def _shares(counts: np.ndarray) -> np.ndarray:
    """Shares of each true class; of very many classes the cells are added up in blocks."""
    step = -(-len(counts) // _MOST_CELLS)
    if step > 1:
        starts = np.arange(0, len(counts), step)
        counts = np.add.reduceat(np.add.reduceat(counts, starts), starts, axis=1)
    return counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)


def _short(name: str) -> str:
    return name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"


def _figure(num_axes: int, *, size: tuple[float, float], columns: int | None = None):
    # Figure and not pyplot: no global state, no window system.
    figure = _matplotlib().Figure(figsize=size, layout="constrained")
    columns = num_axes if columns is None else columns
    return figure, figure.subplots(num_axes // columns, columns, squeeze=False).ravel()


def _matplotlib():
    """matplotlib's module of figures, also where MPLBACKEND names what is not there."""
    if "matplotlib" in sys.modules:
        from matplotlib import figure

        return figure
    # It would not be imported at all.
    named = os.environ.pop("MPLBACKEND", None)
    try:
        from matplotlib import figure, rcParams
    finally:
        if named is not None:
            os.environ["MPLBACKEND"] = named
    if named:
        with contextlib.suppress(ValueError):
            rcParams["backend"] = named  # as it would have done, for others' pictures
    return figure


def _png(figure) -> bytes:
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    content = io.BytesIO()
    figure.set_dpi(120)
    with warnings.catch_warnings():
        # A letter that the font lacks is a box in the picture, which says enough.
        warnings.simplefilter("ignore", UserWarning)
        FigureCanvasAgg(figure).print_png(content)
    return content.getvalue()
