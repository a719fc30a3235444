"""data.dataset: choice of classes and scaling."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from jaxcls import data
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


@pytest.mark.parametrize("classes", [3, "digits"])
def test_classes_are_several(classes):
    with pytest.raises(TypeError, match="classes must be several, such as"):
        data.load("digits", classes=classes)


def test_a_batch_is_not_split():
    with pytest.raises(TypeError, match=r"got Batch; split before data\.to_batch"):
        data.split(to_batch(ALL), 0.5, seed=0)


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


@given(
    sizes=st.lists(st.integers(2, 40), min_size=2, max_size=6),
    fraction=st.floats(0.01, 0.99),
    seed=st.integers(0, 2**32 - 1),
    shuffled=st.booleans(),
)
def test_both_parts_of_a_split_have_every_class(sizes, fraction, seed, shuffled):
    targets = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    if shuffled:
        np.random.default_rng(0).shuffle(targets)
    rows = np.arange(len(targets), dtype=np.float32)[:, None]
    labels = tuple(range(10, 10 + len(sizes)))
    dataset = data.Dataset(rows, targets, labels, tuple(map(str, labels)), None)
    remaining, held_out = data.split(dataset, fraction, seed)
    both = np.concatenate([remaining.features, held_out.features])[:, 0]
    assert sorted(both) == list(range(len(targets)))
    for part in (remaining, held_out):
        places = part.features[:, 0].astype(int)
        assert (np.diff(places) > 0).all() and (part.targets == targets[places]).all()
    counts = np.bincount(held_out.targets, minlength=len(sizes))
    for size, count in zip(sizes, counts, strict=True):
        assert 1 <= count < size
        assert abs(count - fraction * size) <= 0.5 or count in (1, size - 1)
    again = data.split(dataset, fraction, seed)
    np.testing.assert_array_equal(again[1].features, held_out.features)


def test_a_split_depends_on_its_seed_and_needs_two_of_each():
    targets = np.repeat(np.arange(2, dtype=np.int32), 50)
    dataset = data.Dataset(np.arange(100.0)[:, None], targets, (0, 1), ("0", "1"), None)
    held_out = [data.split(dataset, 0.2, seed)[1].features for seed in range(3)]
    assert not np.array_equal(held_out[0], held_out[1])
    assert not np.array_equal(held_out[1], held_out[2])
    # Other places in each class: the classes do not share one stream.
    assert set(held_out[0][:10, 0]) != set(held_out[0][10:, 0] - 50)
    one = dataset._replace(features=dataset.features[:51], targets=targets[:51])
    with pytest.raises(ValueError, match="class 1 has 1 training examples, and a"):
        data.split(one, 0.2, 0)
