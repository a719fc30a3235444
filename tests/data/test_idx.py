"""data.idx: whole files and every kind of broken one."""

import gzip
import struct

import numpy as np
import pytest

from jaxcls.data import idx

IMAGES = np.arange(3 * 4 * 5, dtype=np.uint8).reshape(3, 4, 5)


def pack(magic, shape, content):
    return gzip.compress(
        struct.pack(f">I{len(shape)}I", magic, *shape) + bytes(content)
    )


def test_whole_files_are_read():
    got = idx.read_images(pack(0x803, (3, 4, 5), IMAGES.tobytes()), "f")
    np.testing.assert_array_equal(got, IMAGES)
    got = idx.read_labels(pack(0x801, (4,), [0, 9, 3, 3]), "f")
    np.testing.assert_array_equal(got, [0, 9, 3, 3])
    assert idx.read_images(pack(0x803, (0, 4, 5), b""), "f").shape == (0, 4, 5)


BROKEN = {
    "not gzip": (b"no gzip", "f: not a whole .gz file"),
    "empty": (b"", "begins with nothing"),
    "labels": (
        pack(0x801, (3,), [1, 2, 3]),
        "not an IDX file of images: it begins with 00000801",
    ),
    "short header": (gzip.compress(b"\0\0\x08\x03\0\0"), "not an IDX file of images"),
    "too short": (
        pack(0x803, (3, 4, 5), IMAGES.tobytes()[:-1]),
        "60 bytes.*holds only 59",
    ),
    "too long": (
        pack(0x803, (3, 4, 5), IMAGES.tobytes() + b"\0"),
        "60 bytes.*holds more",
    ),
    "huge": (pack(0x803, (2**32 - 1,) * 3, b""), "more than the 300,000,000 allowed"),
    "overflow": (
        pack(0x803, (2**31, 2**31, 4), b""),
        "more than the 300,000,000 allowed",
    ),
    "cut short": (
        pack(0x803, (3, 4, 5), IMAGES.tobytes())[:-20],
        "holds only|not a whole",
    ),
}


@pytest.mark.parametrize("content, message", BROKEN.values(), ids=BROKEN)
def test_broken_files_are_refused(content, message):
    with pytest.raises(ValueError, match=message):
        idx.read_images(content, "f")


def test_a_label_out_of_range_is_refused():
    with pytest.raises(ValueError, match=r"f: labels must lie in 0\.\.9, got 10"):
        idx.read_labels(pack(0x801, (2,), [0, 10]), "f")
