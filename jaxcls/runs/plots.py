"""A run's pictures, as PNG bytes: curves, confusion matrix, confident mistakes."""

import io
from collections.abc import Sequence

import numpy as np

_GRID = 5  # mistakes shown in a row, and rows


def curves(history: Sequence[dict]) -> bytes:
    """Loss and accuracy over epochs, of training and, where there is one, the validation set.

    Args:
        history: the lines of `history.jsonl`.
    """
    figure, (loss_axes, accuracy_axes) = _figure(2, size=(9, 3.5))
    epochs = [record["epoch"] for record in history]
    for axes, ylabel, lines in (
        (loss_axes, "loss", {"train": "loss", "validation": "validation_loss"}),
        (
            accuracy_axes,
            "accuracy",
            {"train": "train_accuracy", "validation": "validation_accuracy"},
        ),
    ):
        for label, name in lines.items():
            if history and name in history[0]:
                values = [record[name] for record in history]
                axes.plot(epochs, values, marker="o", markersize=3, label=label)
        axes.set(xlabel="epoch", ylabel=ylabel)
        axes.grid(alpha=0.3)
        axes.legend()
    return _png(figure)


def confusion(counts: np.ndarray, class_names: Sequence[str]) -> bytes:
    """Counts [K, K] of a `metrics.confusion`, rows the true class, as a picture."""
    size = max(3.5, 1.5 + 0.55 * len(class_names))
    figure, (axes,) = _figure(1, size=(size, size))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    ticks = range(len(class_names))
    axes.set(xlabel="predicted", ylabel="true", title="test set")
    axes.set_xticks(
        ticks, class_names, rotation=45 if max(map(len, class_names)) > 2 else 0
    )
    axes.set_yticks(ticks, class_names)
    for (row, column), count in np.ndenumerate(counts):
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
        predicted, true = class_names[predictions[row]], class_names[labels[row]]
        axes.set_title(
            f"{true} taken for {predicted}\n{confidence[row]:.1%} sure", fontsize=8
        )
    figure.suptitle(
        f"{len(wrong):,} mistakes in {len(labels):,} test images", fontsize=10
    )
    return _png(figure)


def _figure(num_axes: int, *, size: tuple[float, float], columns: int | None = None):
    # Figure and not pyplot: no global state, no window system.
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, layout="constrained")
    columns = num_axes if columns is None else columns
    return figure, figure.subplots(num_axes // columns, columns, squeeze=False).ravel()


def _png(figure) -> bytes:
    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=120)
    return content.getvalue()
