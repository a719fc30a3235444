"""data.dataset: choice of classes and scaling."""

import numpy as np
import pytest

from jaxcls.data.dataset import Dataset, select_classes, to_batch

ALL = Dataset(
    features=np.arange(12, dtype=np.uint8).reshape(6, 2),
    targets=np.array([1, 0, 2, 1, 0, 2], np.int32),
    labels=(3, 5, 8),
    class_names=("three", "five", "eight"),
    image_shape=None,
)


def test_classes_are_relabelled_in_the_order_given_and_keep_their_names():
    chosen = select_classes(ALL, (8, 3))
    assert chosen.labels == (8, 3)
    assert chosen.class_names == ("eight", "three")
    np.testing.assert_array_equal(chosen.targets, [0, 0, 1, 1])
    np.testing.assert_array_equal(chosen.features[:, 0], [4, 10, 2, 8])


@pytest.mark.parametrize(
    "classes, message",
    [
        ((3,), "classes must be two or more, got one: 3"),
        ((), "classes must be two or more, got none"),
        ((3, 5, 3), "classes must differ from each other, got 3 5 3"),
        ((3, 4), "classes must be among 3 5 8, .* it has no 4"),
        ((-1, 3), "it has no -1"),
    ],
)
def test_wrong_classes_are_named(classes, message):
    with pytest.raises(ValueError, match=rf"data\.load: .*{message}"):
        select_classes(ALL, classes)


def test_every_byte_is_divided_as_numpy_divides():
    every_byte = ALL._replace(features=np.arange(256, dtype=np.uint8)[:, None])
    got = to_batch(every_byte).features
    assert got.dtype == np.float32
    np.testing.assert_array_equal(
        got[:, 0], np.float32(np.arange(256) / np.float64(255))
    )


def test_floats_stay_as_they_are():
    own = ALL._replace(features=np.array([[-3.5, 1e6]], np.float32))
    np.testing.assert_array_equal(to_batch(own).features, own.features)
