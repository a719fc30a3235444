"""runs.plots.kernels: the first layer's weights as images."""

import numpy as np
import pytest

from jaxcls.runs.plots import weights
from jaxcls.runs.plots.kernels import _tiled


def test_each_unit_is_an_image_with_a_border():
    images = np.arange(3 * 4).reshape(3, 2, 2).astype(np.float32)
    tiled = _tiled(images)
    nan = np.nan
    np.testing.assert_array_equal(
        tiled,
        [
            [0, 1, nan, 4, 5, nan, 8, 9, nan],
            [2, 3, nan, 6, 7, nan, 10, 11, nan],
            [nan] * 9,
        ]
        if tiled.shape[0] == 3
        else [
            [0, 1, nan, 4, 5, nan],
            [2, 3, nan, 6, 7, nan],
            [nan] * 6,
            [8, 9, nan, nan, nan, nan],
            [10, 11, nan, nan, nan, nan],
            [nan] * 6,
        ],
    )


@pytest.mark.parametrize(
    "units, name, title",
    [
        (
            32,
            "hidden units",
            "Weights from the 2 x 3 pixels to each of 32 hidden units",
        ),
        (1, "output", "Weights from the 2 x 3 pixels to the one output"),
        (
            128,
            "hidden units",
            "Weights from the 2 x 3 pixels to 40 of 128 hidden units, those with the largest",
        ),
    ],
)
def test_the_title_says_what_is_shown(units, name, title):
    kernel = np.random.default_rng(0).normal(size=(6, units))
    figure = weights(kernel, (2, 3), name)
    assert figure.get_suptitle().replace("\n", " ") == title


def test_of_many_those_with_the_largest_weights_are_shown_in_order():
    kernel = np.zeros((1, 50))
    kernel[0, 5:45] = np.arange(40, 0, -1)
    image = weights(kernel, (1, 1)).axes[0].images[0]
    shown = image.get_array().compressed()
    assert shown.tolist() == list(range(40, 0, -1))


def test_zero_is_white_whatever_the_weights_are():
    kernel = np.array([[-1.0, 3.0]])
    image = weights(kernel, (1, 1)).axes[0].images[0]
    assert image.get_clim() == (-3, 3)
    image = weights(np.zeros((1, 2)), (1, 1)).axes[0].images[0]
    assert image.get_clim() == (-1, 1)
