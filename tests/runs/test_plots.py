"""runs.plots: pictures are drawn, of what they should show."""

import io

import numpy as np
import pytest
from PIL import Image

from jaxcls.runs import plots


def opened(content):
    image = Image.open(io.BytesIO(content))
    image.load()
    assert image.format == "PNG" and np.asarray(image.convert("L")).std() > 1
    return image


def test_curves():
    history = [{"epoch": 1, "loss": 0.7, "train_accuracy": 0.5}]
    alone = opened(plots.curves(history))
    validation = {"validation_loss": 0.9, "validation_accuracy": 0.4}
    assert alone != opened(plots.curves([history[0] | validation]))


@pytest.mark.parametrize("num_classes", [2, 10])
def test_confusion(num_classes):
    small, large = (
        opened(
            plots.confusion(
                np.eye(k, dtype=int) * 900, [f"class {i}" for i in range(k)]
            )
        )
        for k in (2, 12)
    )
    assert large.width > small.width


def test_mistakes_shows_the_most_confident_first(monkeypatch):
    shown = []
    figures = plots._figure

    def watched(*args, **kwargs):
        figure, axes = figures(*args, **kwargs)
        for each in axes:
            imshow = each.imshow
            each.imshow = lambda image, imshow=imshow, **kw: (
                shown.append(int(image[0, 0])),
                imshow(image, **kw),
            )
        return figure, axes

    monkeypatch.setattr(plots, "_figure", watched)
    images = np.arange(4)[:, None, None] * np.ones((1, 5, 5), int)
    p = np.array([[0.1, 0.9], [0.4, 0.6], [0.2, 0.8], [0.99, 0.01]])
    opened(plots.mistakes(images, np.array([0, 0, 1, 1]), p, ("zero", "one")))
    assert shown == [3, 0, 1]  # 0.99, 0.9 and 0.6 sure and wrong; the third is right


def test_mistakes_where_there_are_none():
    p = np.array([[0.9, 0.1]])
    opened(plots.mistakes(np.zeros((1, 5, 5)), np.array([0]), p, ("zero", "one")))
