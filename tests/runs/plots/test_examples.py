"""runs.plots.examples: the surest mistakes, and how many there are."""

import numpy as np
import pytest

from jaxcls.runs.plots import mistakes

NAMES = ("zero", "one")


def wrong(count, right=0, names=NAMES):
    """The picture of so many mistakes, less and less sure."""
    total = count + right
    p = np.linspace(0.999, 0.501, total)
    probabilities = np.stack([1 - p, p], axis=1)
    labels = np.array([0] * count + [1] * right)
    images = np.arange(total)[:, None, None] * np.ones((1, 3, 3))
    return mistakes(images, labels, probabilities, names)


def shown(figure):
    return [int(axes.images[0].get_array()[0, 0]) for axes in figure.axes]


def test_the_surest_come_first():
    images = np.arange(4)[:, None, None] * np.ones((1, 5, 5), int)
    p = np.array([[0.1, 0.9], [0.4, 0.6], [0.2, 0.8], [0.99, 0.01]])
    figure = mistakes(images, np.array([0, 0, 1, 1]), p, NAMES)
    # 0.99, 0.9 and 0.6 sure and wrong; the third is right.
    assert shown(figure) == [3, 0, 1]
    assert [each.get_text() for each in figure.texts[1:]] == [
        *("one\nas zero\n99%", "zero\nas one\n90%", "zero\nas one\n60%")
    ]


@pytest.mark.parametrize(
    "count, title",
    [
        (0, "No mistakes in 3 test images"),
        (1, "The one mistake in 4 test images"),
        (25, "All 25 mistakes in 28 test images, the surest first"),
        (45, "25 of 45 mistakes in 48 test images, the surest first"),
        (1000, "25 of 1,000 mistakes in 1,003 test images, the surest first"),
    ],
)
def test_the_title_says_how_many_of_how_many(count, title):
    figure = wrong(count, right=3)
    assert figure.get_suptitle() == title
    assert shown(figure) == list(range(min(count, 25)))


def test_long_names_have_more_room():
    figure = wrong(45, names=("T-shirt/top", "Ankle boot"))
    title = "15 of 45 mistakes in 45 test images, the surest first"
    assert figure.get_suptitle() == title and len(figure.axes) == 15


def test_what_a_threshold_answers_is_what_was_wrong():
    p = np.array([[0.6, 0.4], [0.9, 0.1]])
    images, labels = np.zeros((2, 3, 3)), np.array([0, 0])
    figure = mistakes(images, labels, p, NAMES, predictions=np.array([1, 0]))
    assert [each.get_text() for each in figure.texts[1:]] == ["zero\nas one\n40%"]


@pytest.mark.parametrize("names", [NAMES, ("T-shirt/top", "Ankle boot")])
@pytest.mark.parametrize("count", [1, 2, 3, 6, 7, 12, 13, 45])
def test_nothing_overlaps_and_all_is_within(count, names):
    figure = wrong(count, names=names)
    boxes = [axes.get_position() for axes in figure.axes]
    for box, told in zip(boxes, figure.texts[1:], strict=True):
        assert 0 <= box.x0 < box.x1 < told.get_position()[0] < 1
        assert 0 <= box.y0 < box.y1 < 0.92
    corners = {(round(box.x0, 4), round(box.y0, 4)) for box in boxes}
    assert len(corners) == len(boxes)
