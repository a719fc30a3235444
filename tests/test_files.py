"""files: whole or not at all."""

import errno
import json
import os
import struct
import subprocess
import sys

import numpy as np
import pytest
import safetensors.numpy

from jaxcls import files


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "file"
    files.write_whole(path, b"first")
    files.write_whole(path, b"second")
    assert path.read_bytes() == b"second"
    assert os.listdir(tmp_path) == ["file"]


def test_what_stood_there_stays_if_writing_fails(tmp_path, monkeypatch):
    path = tmp_path / "file"
    files.write_whole(path, b"first")

    def full(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        OSError, match=r"file could not be written: No space left on device\.$"
    ):
        files.write_whole(path, b"second")
    assert path.read_bytes() == b"first"
    assert os.listdir(tmp_path) == ["file"]


LIMITED = """
import resource, signal, sys
from jaxcls import files
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
files.append_lines(sys.argv[1] + "/lines", "a" * 600)
for write in (
    lambda: files.write_whole(sys.argv[1] + "/whole", bytes(5000)),
    lambda: files.append_lines(sys.argv[1] + "/lines", "b" * 600),
):
    try:
        write()
    except OSError as error:
        print(error)
"""


def test_nothing_half_written_is_left_where_files_may_not_grow(tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(tmp_path)], capture_output=True, text=True
    )
    assert done.stdout.count("could not be written: ") == 2, done.stderr
    assert (tmp_path / "lines").read_text() == "a" * 600 + "\n"
    assert os.listdir(tmp_path) == ["lines"]


def test_what_is_written_is_flushed_to_disk_with_its_folder(tmp_path, monkeypatch):
    flushed, real = [], os.fsync

    def note(descriptor):
        flushed.append(os.path.isdir(f"/proc/self/fd/{descriptor}"))
        real(descriptor)

    monkeypatch.setattr(os, "fsync", note)
    files.write_whole(tmp_path / "file", b"first")
    assert flushed == [False, True]
    files.append_lines(tmp_path / "lines", "one")
    assert flushed == [False, True, False]


def test_lines_are_added(tmp_path):
    files.append_lines(tmp_path / "lines", "one")
    files.append_lines(tmp_path / "lines", "two")
    assert (tmp_path / "lines").read_text() == "one\ntwo\n"
    with pytest.raises(OSError, match="none/lines could not be written: No such file"):
        files.append_lines(tmp_path / "none" / "lines", "one")


def test_arrays_are_named_by_their_path_and_come_back(tmp_path):
    kernel = np.arange(12, dtype=np.float32).reshape(3, 4)
    tree = {"params": {"Dense_0": {"kernel": kernel.T, "bias": kernel[0, ::2]}}}
    files.save_arrays(tmp_path / "model", tree, {"epoch": "3"})
    got = safetensors.numpy.load_file(tmp_path / "model")
    assert sorted(got) == ["params/Dense_0/bias", "params/Dense_0/kernel"]
    # Neither is contiguous, which safetensors by itself writes wrongly.
    np.testing.assert_array_equal(got["params/Dense_0/kernel"], kernel.T)
    np.testing.assert_array_equal(got["params/Dense_0/bias"], kernel[0, ::2])


def test_arrays_go_there_and_back(tmp_path):
    arrays = {"a": np.arange(6.0).reshape(2, 3).T, "b/c": np.zeros((0, 2), np.int32)}
    files.save_arrays(tmp_path / "arrays", arrays, {})
    loaded = files.load_arrays(tmp_path / "arrays")
    assert set(loaded) == {"a", "b/c"}
    for name, array in arrays.items():
        assert loaded[name].dtype == array.dtype
        np.testing.assert_array_equal(loaded[name], array)


def safetensors_file(dtype, num_bytes, shape=(2,), name="a"):
    about = {"dtype": dtype, "shape": shape, "data_offsets": [0, num_bytes]}
    header = json.dumps({name: about})
    return struct.pack("<Q", len(header)) + header.encode() + bytes(num_bytes)


@pytest.mark.parametrize(
    "content, message",
    [
        (None, "there is no such file"),
        (b"", "not a whole safetensors file"),
        (b"no header at all", "not a whole safetensors file"),
        (safetensors_file("F32", 8)[:-1], "not a whole safetensors file"),
        (safetensors_file("F32", 8) + b"more", "not a whole safetensors file"),
        (safetensors_file("F32", 1 << 10), "not a whole safetensors file"),
        (
            safetensors_file("BF16", 4),
            "holds numbers of type BF16, which NumPy has not",
        ),
        (struct.pack("<Q", 1 << 60) + b"{}", "not a whole safetensors file"),
        (safetensors_file("U8", 0, [0, 2**64 - 1]), "not a whole safetensors file"),
        (safetensors_file("U8", 1, [1] * 65), "not a whole safetensors file"),
        (safetensors_file("U8", 3, [], "\n"), "not a whole safetensors file"),
    ],
)
def test_a_file_that_is_no_safetensors_is_named(tmp_path, content, message):
    path = tmp_path / "net.safetensors"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"net\.safetensors: {message}.*\.$"):
        files.load_arrays(path)


def test_json_comes_back_unless_it_was_changed(tmp_path):
    path = tmp_path / "value.json"
    value = {"rate": 0.1, "classes": ["0", "é"], "none": None, "seconds": {"load": 1.5}}
    files.write_json(path, value)
    assert files.read_json(path) == value
    content = path.read_bytes()
    path.write_bytes(content.replace(b"1.5", b"2.5"))  # seconds are not counted in
    assert files.read_json(path)["seconds"] == {"load": 2.5}
    path.write_bytes(content.replace(b"0.1", b"0.2"))
    with pytest.raises(ValueError, match=r"value\.json: changed or damaged since"):
        files.read_json(path)


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"{", b"[1]", b"{}", b"\xff{}", b'{"sha256": 3}', b'"text"'),
        *(b"[" * 100_000, b'{"a": NaN, "sha256": ""}', b'{"sha256": null}'),
    ],
)
def test_what_is_no_json_of_ours_is_named(tmp_path, content):
    path = tmp_path / "value.json"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"value\.json: .*\.$") as told:
        files.read_json(path)
    assert "\n" not in str(told.value)


def test_a_huge_json_is_not_read(tmp_path):
    path = tmp_path / "value.json"
    with open(path, "wb") as file:
        file.truncate(16_000_001)
    with pytest.raises(ValueError, match="16,000,001 bytes, more than the 16,000,000"):
        files.read_json(path)
    with pytest.raises(ValueError, match="there is no such file"):
        files.read_json(tmp_path / "none.json")


def test_a_tree_is_restored_leaf_by_leaf(tmp_path):
    tree = {"step": np.int32(3), "params": [np.ones((2, 1)), np.zeros(2, np.float32)]}
    sha256 = files.save_arrays(tmp_path / "arrays", tree, {})
    arrays = files.load_arrays(tmp_path / "arrays", sha256)
    got = files.restore(tree, arrays, "arrays")
    assert got["step"].shape == () and got["step"] == 3
    np.testing.assert_array_equal(got["params"][0], tree["params"][0])
    with pytest.raises(ValueError, match="arrays: changed or damaged"):
        files.load_arrays(tmp_path / "arrays", "0" * 64)
    for changed, message in (
        ({"step": np.int32([3])}, r"x: step must be int32 \[\], got int32 \[1\]\."),
        ({"step": np.int64(3)}, r"x: step must be int32 \[\], got int64 \[\]\."),
        ({"more": np.ones(1)}, "x: has no place for more."),
    ):
        with pytest.raises(ValueError, match=message):
            files.restore(tree, arrays | changed, "x")
    del arrays["params/1"]
    with pytest.raises(ValueError, match=r"x: lacks params/1\."):
        files.restore(tree, arrays, "x")


class PanicException(BaseException):
    """As Rust's libraries raise it, under this name."""


@pytest.mark.parametrize("kind", [MemoryError, PanicException])
def test_want_of_memory_at_saving_and_loading_is_one_sentence(
    kind, tmp_path, monkeypatch
):
    path = tmp_path / "own.safetensors"
    files.save_arrays(path, {"a": np.zeros(3)}, {})
    whole = path.read_bytes()

    def fail(*_):
        raise kind("PyObject pointer is null")

    monkeypatch.setattr(files, "named_arrays", fail)
    monkeypatch.setattr(safetensors.numpy, "load", fail)
    with pytest.raises(OSError, match="written: there is not enough memory for it; t"):
        files.save_arrays(path, {"a": np.ones(3)}, {})
    with pytest.raises(OSError, match=r"own\.safetensors could not be read: there is"):
        files.load_arrays(path)
    assert path.read_bytes() == whole and os.listdir(tmp_path) == [path.name]
    monkeypatch.setattr(files, "named_arrays", lambda _: int("x"))
    with pytest.raises(ValueError, match="invalid literal"):
        files.save_arrays(path, {}, {})
