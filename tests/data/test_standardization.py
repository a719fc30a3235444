"""Standardization: the mean and scale of each column, from training rows, and what they do."""

import json

import numpy as np
import pytest
from sklearn.preprocessing import StandardScaler

from jaxcls.batches import scaled
from jaxcls.data import Dataset, Standardization, to_batch
from jaxcls.data.preparation import apply, learn
from jaxcls.data.standardization import as_columns, network_features
from jaxcls.data.table_columns import Column

RNG = np.random.default_rng(0)
ROWS = RNG.normal([0, 1e9, 3e-7, 200], [1, 2, 1e-8, 60], (50, 4))


def test_it_is_as_scikit_learns():
    learned = Standardization.of(ROWS)
    want = StandardScaler().fit(ROWS)
    np.testing.assert_allclose(learned.mean, want.mean_, rtol=1e-12)
    np.testing.assert_allclose(learned.scale, want.scale_, rtol=1e-7)
    got = network_features(ROWS, learned)
    assert got.dtype == np.float32
    np.testing.assert_allclose(got, want.transform(ROWS), atol=1e-6)


def test_the_order_of_the_rows_leaves_the_bits():
    one, other = (Standardization.of(each) for each in (ROWS, ROWS[::-1]))
    np.testing.assert_array_equal(one.mean, other.mean)
    np.testing.assert_array_equal(one.scale, other.scale)


def test_it_does_as_a_tables_preparation():
    columns = {str(at): Column(each) for at, each in enumerate(as_columns(ROWS))}
    table, _ = learn(columns, dict.fromkeys(columns, "numeric"), "")
    learned = Standardization.of(ROWS)
    assert learned.as_preparation() == table
    np.testing.assert_array_equal(
        apply(table, columns), network_features(ROWS, learned)
    )


def test_bytes_are_divided_by_255_first():
    pixels = RNG.integers(0, 200, (30, 6)).astype(np.uint8)
    pixels[:, 2] = 9
    learned = Standardization.of(pixels)
    got = network_features(pixels, learned)
    np.testing.assert_array_equal(got, network_features(scaled(pixels), learned))
    np.testing.assert_allclose(got.mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(np.delete(got.std(axis=0), 2), 1, atol=1e-6)
    # What never differed in training says nothing later, however it differs.
    odd = np.full((1, 6), 255, np.uint8)
    assert network_features(odd, learned)[0, 2] == got[0, 2] == 0


def test_it_is_kept_as_numbers():
    learned = Standardization.of(np.insert(ROWS, 1, 7.0, axis=1))
    kept = json.loads(json.dumps(learned.record(), allow_nan=False))
    again = Standardization.of_record(kept)
    np.testing.assert_array_equal(again.mean, learned.mean)
    np.testing.assert_array_equal(again.scale, learned.scale)
    assert kept["scale"][1] is None and kept["mean"][1] == 7.0
    for wrong in (
        None,
        {},
        {"mean": [0.0]},
        {"mean": [0.0], "scale": []},
        {"mean": [0.0], "scale": [0.0]},
        {"mean": [0.0], "scale": [-1.0]},
        {"mean": [None], "scale": [1.0]},
        {"mean": ["a"], "scale": [1.0]},
        {"mean": 1.0, "scale": 1.0},
    ):
        with pytest.raises(
            ValueError, match="must hold the mean and the scale of each"
        ):
            Standardization.of_record(wrong)


def test_rows_that_are_all_alike_are_refused():
    with pytest.raises(ValueError, match="all training rows are alike"):
        Standardization.of(np.ones((4, 3)))


def test_a_number_that_is_too_far_off_is_named():
    learned = Standardization(np.zeros(2), np.array([1.0, 1e-30]))
    far = Dataset(np.array([[0, 0], [0, 1e30]]), np.zeros(2, int), (0,), ("0",), None)
    with pytest.raises(ValueError, match=r"column 1 has 1e\+30, too far from the"):
        to_batch(far, learned)
