"""data.loading: names, folders, classes, and what stands in for MNIST."""

from pathlib import Path

import numpy as np
import pytest

from jaxcls.data import load, load_mnist_or_digits, loading
from jaxcls.data.mnist import load_cached


@pytest.fixture(autouse=True)
def no_folder(monkeypatch):
    monkeypatch.delenv("JAXCLS_DATA_DIR", raising=False)


@pytest.fixture
def no_mnist(monkeypatch):
    def fail(name):
        raise OSError(f"{name} is not at hand and its host does not answer.")

    monkeypatch.setattr(loading, "load_cached", fail)


def test_digits_stand_in_where_mnist_cannot_be_had(no_mnist):
    name, train, _, notice = load_mnist_or_digits(classes=(0, 1))
    assert name == "digits" and train.class_names == ("0", "1")
    assert "digits of scikit-learn instead of MNIST: mnist is not at hand" in notice


def test_nothing_stands_in_for_a_dataset_that_was_named(
    no_mnist, monkeypatch, tmp_path
):
    with pytest.raises(OSError, match="mnist is not at hand"):
        load("mnist")
    with pytest.raises(ValueError, match=r"lacks t10k-images"):
        load_mnist_or_digits(data_dir=tmp_path)
    monkeypatch.setenv("JAXCLS_DATA_DIR", str(tmp_path / "none"))
    with pytest.raises(ValueError, match="none: there is no such folder"):
        load_mnist_or_digits()


def test_the_environment_names_a_folder(monkeypatch, mnist_dir):
    monkeypatch.setenv("JAXCLS_DATA_DIR", str(mnist_dir))
    name, train, _, notice = load_mnist_or_digits(classes=(1, 0))
    assert (name, notice) == ("mnist", None)
    np.testing.assert_array_equal(np.bincount(train.targets), [6742, 5923])


def test_the_notes_arrays_come_class_by_class(mnist_dir):
    train, test = load("mnist", data_dir=mnist_dir, classes=(0, 1, 2))
    assert (np.diff(train.targets) >= 0).all()
    np.testing.assert_array_equal(np.bincount(test.targets), [980, 1135, 1032])


def test_wrong_names_are_named(tmp_path):
    with pytest.raises(
        ValueError, match=r"dataset must be mnist, .* digits or .* got 'cifar'"
    ):
        load("cifar")
    with pytest.raises(
        ValueError, match=r"data_dir is for mnist.*digits has no use for it"
    ):
        load("digits", data_dir=tmp_path)
    with pytest.raises(ValueError, match=r"among 0 1 2 3 4 5 6 7 8 9.*no 10"):
        load("digits", classes=(0, 10))


def test_a_class_without_images_is_named(tmp_path):
    path = tmp_path / "own.npz"
    x = np.zeros((2, 3), np.float32)
    np.savez(path, x_train=x, y_train=[0, 1], x_test=x, y_test=[0, 2])
    with pytest.raises(ValueError, match=r"own\.npz: class 2 has no training examples"):
        load(str(path))
    with pytest.raises(ValueError, match=r"own\.npz: class 1 has no test examples"):
        load(str(path), classes=(0, 1))


@pytest.mark.parametrize("name", ["own.npz", "OWN.NPZ", "mine.Npz"])
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_of_either_kind_and_case(name, kind, tmp_path):
    x, y = np.eye(6, dtype=np.float32), np.arange(6) % 3
    with open(tmp_path / name, "wb") as file:
        np.savez(file, x_train=x, y_train=y, x_test=x, y_test=y)
    train, _ = load(kind(tmp_path / name), classes=(2, 0))
    assert train.labels == (2, 0)


def test_a_user_without_a_home_is_told_how_to_get_mnist(monkeypatch):
    def unknown(self):
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "expanduser", unknown)
    with pytest.raises(OSError, match=r"no home folder .* JAXCLS_DATA_DIR"):
        load_cached("mnist")


@pytest.mark.parametrize("name", [None, b"own.npz", 3])
def test_what_is_no_name_is_a_sentence(name):
    with pytest.raises(TypeError, match=r"dataset must be a name or a path, got \w+\."):
        load(name)
