"""runs.plots: pictures are drawn, of what they should show."""

import io
import os
import subprocess
import sys

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
    assert alone != opened(plots.curves(history, chosen=1))
    scored = [
        {"epoch": 1, "loss": 0.5},
        {"epoch": 2, "loss": 0.4, "train_accuracy": 1.0},
    ]
    assert alone != opened(plots.curves(scored))


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


@pytest.mark.slow
def test_many_classes_take_no_more_room_than_some():
    sizes = {
        opened(plots.confusion(np.eye(k, dtype=int), [str(i) for i in range(k)])).size
        for k in (21, 60, 130, 1500)
    }
    assert len(sizes) == 1


def test_very_many_classes_are_added_up(monkeypatch):
    monkeypatch.setattr(plots, "_MOST_CELLS", 3)
    counts = np.zeros((7, 7), int)
    counts[0, 1] = counts[2, 3] = counts[6, 0] = 1
    counts[1, 6] = 3
    np.testing.assert_array_equal(
        plots._shares(counts), [[0.2, 0.2, 0.6], [0, 0, 0], [1, 0, 0]]
    )


@pytest.mark.parametrize("name", ["$x", r"$\nothing{$", "七", "n" * 9000, "", "a\nb"])
def test_any_name_of_a_class_can_be_drawn(name):
    names = [name, "other"]
    opened(plots.confusion(np.array([[3, 1], [0, 4]]), names))
    images, labels = np.ones((2, 4, 4)), np.array([0, 1])
    opened(plots.mistakes(images, labels, np.array([[0.1, 0.9], [0.8, 0.2]]), names))


def test_long_histories_are_drawn():
    record = {"loss": 0.7, "train_accuracy": 0.5}
    opened(plots.curves([{"epoch": epoch} | record for epoch in range(1, 30_000)]))


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["no-such", "module://none.there", "qtagg", ""])
def test_a_backend_that_is_not_there_does_not_matter(backend):
    program = (
        "import os; from jaxcls.runs import plots\n"
        "plots.curves([{'epoch': 1, 'loss': 0.5, 'train_accuracy': 0.5}])\n"
        "import matplotlib; print(os.environ['MPLBACKEND'])\n"
        "print(matplotlib.rcParams._get_backend_or_none())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        env=os.environ | {"MPLBACKEND": backend},
    )
    assert (done.returncode, done.stderr) == (0, "")
    kept, used = done.stdout.splitlines()
    assert kept == backend and used in (backend, "None")
