"""data.digits: the embedded images."""

import subprocess
import sys
from pathlib import Path

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


def test_a_file_that_is_not_there_is_read_by_scikit_learn(monkeypatch):
    wanted = load_digits()
    monkeypatch.setattr(Path, "is_file", lambda path: False)
    for found, part in zip(load_digits(), wanted, strict=True):
        np.testing.assert_array_equal(found.features, part.features)
        np.testing.assert_array_equal(found.targets, part.targets)


def test_they_take_no_import_of_scikit_learn():
    code = "import sys; from jaxcls import data; data.load('digits'); print('sklearn' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "False\n", done.stderr


def test_the_test_share_is_fixed_and_stratified():
    train, test = load_digits()
    assert (len(train.targets), len(test.targets)) == (1442, 355)
    for label in range(10):
        in_train, in_test = ((part.targets == label).sum() for part in (train, test))
        assert in_test == (in_train + in_test) // 5
    again = load_digits()
    np.testing.assert_array_equal(again[1].features, test.features)
