"""data.digits: the embedded images."""

import numpy as np
from sklearn.datasets import load_digits as load_originals

from jaxcls.data.digits import load_digits


def test_every_image_is_there_once_at_28_by_28():
    originals = np.rint(load_originals().images * 255 / 16).astype(np.uint8)
    images = np.concatenate([part.features for part in load_digits()]).reshape(
        -1, 28, 28
    )
    assert images[:, :2].max() == images[:, -2:].max() == images[:, :, :2].max() == 0
    small = images[:, 3:-2:3, 3:-2:3]  # the middle of each block of 3 x 3
    wanted, got = (
        sorted(image.tobytes() for image in each) for each in (originals, small)
    )
    assert got == wanted


def test_the_test_share_is_fixed_and_stratified():
    train, test = load_digits()
    assert (len(train.targets), len(test.targets)) == (1442, 355)
    for label in range(10):
        in_train, in_test = ((part.targets == label).sum() for part in (train, test))
        assert in_test == (in_train + in_test) // 5
    again = load_digits()
    np.testing.assert_array_equal(again[1].features, test.features)
