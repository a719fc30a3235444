"""data.mnist: the registry, a folder, the download, and the real files."""

import gzip
import hashlib
import http.server
import os
import struct
import threading
import time
from functools import partial

import numpy as np
import pytest

from jaxcls.data import mnist

RNG = np.random.default_rng(0)
SHAPES = {"train": (20, 4, 3), "t10k": (10, 4, 3)}


def four_files(top=9):
    """A small dataset of the family, as its four .gz files."""
    files = {}
    for part, shape in SHAPES.items():
        images = RNG.integers(0, 256, shape).astype(np.uint8)
        labels = np.arange(shape[0], dtype=np.uint8) % (top + 1)
        header = struct.pack(">I3I", 0x803, *shape)
        files[f"{part}-images-idx3-ubyte.gz"] = gzip.compress(header + images.tobytes())
        header = struct.pack(">II", 0x801, shape[0])
        files[f"{part}-labels-idx1-ubyte.gz"] = gzip.compress(header + labels.tobytes())
    return files


def register(monkeypatch, url="http://localhost", **datasets):
    """Puts small datasets in the place of the registered ones."""
    lines = {
        name: [
            mnist.RegisteredFile(
                file,
                f"{url}/{name}/{file}",
                len(content),
                hashlib.sha256(content).hexdigest(),
            )
            for file, content in sorted(files.items())
        ]
        for name, files in datasets.items()
    }
    monkeypatch.setattr(mnist, "registry", lines.__getitem__)
    monkeypatch.setattr(
        mnist, "FAMILY", {name: mnist.FAMILY["mnist"] for name in datasets}
    )


def write(folder, files):
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize("name", mnist.FAMILY)
def test_the_registry_names_the_four_files(name):
    files = mnist.registry(name)
    assert sorted(file.name for file in files) == sorted(four_files())
    for file in files:
        assert file.url.startswith("http") and file.url.endswith(file.name)
        assert len(file.sha256) == 64 and file.size > 1000
    assert len(mnist.FAMILY[name]) == 10


def test_a_folder_is_read_and_left_as_it_was(monkeypatch, tmp_path):
    files = four_files()
    register(monkeypatch, mnist=files)
    folder = write(tmp_path / "data", files)
    train, test = mnist.load_folder("mnist", folder)
    assert train.features.shape == (20, 12) and train.image_shape == (4, 3)
    np.testing.assert_array_equal(test.targets, np.arange(10))
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == files


def test_a_folder_that_lacks_something_is_named(monkeypatch, tmp_path):
    files = four_files()
    register(monkeypatch, mnist=files)
    with pytest.raises(ValueError, match=r"none: there is no such folder.*--data-dir"):
        mnist.load_folder("mnist", tmp_path / "none")
    with pytest.raises(
        ValueError, match=r"lacks t10k-images.*, t10k-labels.*, train-images"
    ):
        mnist.load_folder("mnist", write(tmp_path / "empty", {}))
    folder = write(tmp_path / "data", files)
    (folder / "t10k-labels-idx1-ubyte.gz").unlink()
    with pytest.raises(ValueError, match=r"lacks t10k-labels-idx1-ubyte\.gz\."):
        mnist.load_folder("mnist", folder)


def test_altered_and_cut_files_are_refused_with_both_digests(monkeypatch, tmp_path):
    files = four_files()
    register(monkeypatch, mnist=files)
    name = "train-images-idx3-ubyte.gz"
    flipped = bytearray(files[name])
    flipped[50] ^= 1
    for content in (files[name][:-5], bytes(flipped), b""):
        folder = write(tmp_path / "data", files | {name: content})
        found = hashlib.sha256(content).hexdigest()
        expected = hashlib.sha256(files[name]).hexdigest()
        with pytest.raises(ValueError, match=rf"{name}: .*{expected}.*{found}"):
            mnist.load_folder("mnist", folder)


def test_a_file_of_another_dataset_is_called_so(monkeypatch, tmp_path):
    files, other = four_files(), four_files()
    register(monkeypatch, mnist=files, kmnist=other)
    name = "train-images-idx3-ubyte.gz"
    folder = write(tmp_path / "data", files | {name: other[name]})
    with pytest.raises(
        ValueError, match=rf"this is {name} of kmnist, not {name} of mnist"
    ):
        mnist.load_folder("mnist", folder)


def test_unequal_numbers_of_images_and_labels_are_refused(monkeypatch, tmp_path):
    files = four_files()
    name = "t10k-labels-idx1-ubyte.gz"
    files[name] = gzip.compress(struct.pack(">II", 0x801, 3) + b"\0\1\2")
    register(monkeypatch, mnist=files)
    with pytest.raises(ValueError, match=r"holds 10 images, but .* 3 labels"):
        mnist.load_folder("mnist", write(tmp_path / "data", files))


@pytest.fixture
def server(tmp_path):
    """A web server on this machine, and the folder that it serves."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    root = tmp_path / "web"
    root.mkdir()
    web = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), partial(Quiet, directory=root)
    )
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{web.server_port}", root
    web.shutdown()
    thread.join()
    web.server_close()


@pytest.fixture
def cache(monkeypatch, tmp_path):
    """tensorflow-datasets' cache, elsewhere than the user's."""
    from tensorflow_datasets.core import constants

    monkeypatch.setattr(constants, "DATA_DIR", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::ResourceWarning")
def test_files_are_fetched_once_and_then_cached(monkeypatch, server, cache):
    url, root = server
    files = four_files()
    register(monkeypatch, url, mnist=files)
    # The download manager asks its own registry too.
    from tensorflow_datasets.core.download import checksums

    infos = {
        file.url: checksums.UrlInfo(file.size, file.sha256, file.name)
        for file in mnist.registry("mnist")
    }
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: infos)
    folder = write(root / "mnist", files)
    train, test = mnist.load_cached("mnist")
    assert (len(train.targets), len(test.targets)) == (20, 10)
    for file in folder.iterdir():
        file.unlink()
    again, _ = mnist.load_cached("mnist")
    np.testing.assert_array_equal(again.features, train.features)


def test_no_host_means_a_quick_and_clear_no(monkeypatch, cache):
    register(monkeypatch, "http://127.0.0.1:9", mnist=four_files())
    with pytest.raises(
        OSError, match=r"mnist is not at hand and 127\.0\.0\.1:9 does not answer"
    ):
        mnist.load_cached("mnist")
    assert not cache.exists()


def test_a_failed_download_says_why(monkeypatch, server, cache):
    url, root = server
    files = four_files()
    register(monkeypatch, url, mnist=files)
    from tensorflow_datasets.core.download import checksums

    infos = {
        file.url: checksums.UrlInfo(file.size, "0" * 64, file.name)
        for file in mnist.registry("mnist")
    }
    monkeypatch.setattr(checksums, "get_all_url_infos", lambda: infos)
    write(root / "mnist", files)
    with pytest.raises(
        OSError, match=r"mnist could not be fetched from 127\.0\.0\.1.*checksum"
    ):
        mnist.load_cached("mnist")


def test_a_host_that_is_silent_is_given_up_in_time(monkeypatch):
    import requests

    register(monkeypatch, mnist=four_files())
    # Name resolution that hangs, which no timeout of requests covers.
    release = threading.Event()
    monkeypatch.setattr(requests, "head", lambda *_, **__: release.wait(60))
    start = time.monotonic()
    assert not mnist.host_answers("mnist", seconds=0.2)
    waited = time.monotonic() - start
    release.set()
    assert waited < mnist.PROBE_SECONDS


def test_real_mnist(mnist_dir):
    before = sorted(os.listdir(mnist_dir))
    train, test = mnist.load_folder("mnist", mnist_dir)
    assert train.features.shape == (60_000, 784) and test.features.shape == (
        10_000,
        784,
    )
    counts = [5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949]
    np.testing.assert_array_equal(np.bincount(train.targets), counts)
    np.testing.assert_array_equal(train.targets[:10], [5, 0, 4, 1, 9, 2, 1, 3, 1, 4])
    assert round(float(train.features.mean()), 4) == 33.3184
    assert sorted(os.listdir(mnist_dir)) == before
