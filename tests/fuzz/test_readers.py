"""Whatever a file holds, a reader gives what it announces or one line that names the file.

Neither another exception nor a warning, nor more memory than the file accounts for. By
default 60 inputs each, always the same; with `pytest tests/fuzz --hypothesis-profile long`
10,000 others.
"""

import ast
import contextlib
import gzip
import io
import json
import re
import struct
import tracemalloc
import warnings
import zipfile
import zlib
from collections import Counter

import numpy as np
import pytest
from edits import MOST_MEMORY, SIZES, any_of, edited, limits
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hypothesis_numpy
from PIL import Image

from jaxcls import files
from jaxcls.data import idx, pixels
from jaxcls.data.arrays import npz_names, read_npy, read_npz
from jaxcls.data.images import read_image
from jaxcls.data.npz import load_npz


@pytest.fixture(scope="module", autouse=True)
def few_pixels():
    most, pixels._MOST_PIXELS = pixels._MOST_PIXELS, 1_000_000  # of 60 bytes at most
    yield
    pixels._MOST_PIXELS = most


@pytest.fixture(scope="module")
def attempt(tmp_path_factory, tallies):
    """Reads a content, counts it, and gives its path and what was read, None if refused."""
    path = tmp_path_factory.mktemp("fuzz") / "file"

    def read_and_count(name, read, content):
        path.write_bytes(content)
        got = None
        tracemalloc.start()
        try:
            got = read(path)
        except ValueError as error:
            message = str(error)
            assert str(path) in message and message.endswith("."), message
            assert len(message.splitlines()) == 1 and message.isprintable(), message
        finally:
            _, peak = tracemalloc.get_traced_memory()
            tracemalloc.stop()
        assert peak < MOST_MEMORY
        tally = tallies.setdefault(name, Counter())
        tally["refused" if got is None else "whole"] += 1
        return path, got

    return read_and_count


# IDX.

IDX_IMAGES = struct.pack(">4I", 0x803, 3, 4, 5) + bytes(range(60))
IDX_LABELS = struct.pack(">2I", 0x801, 4) + bytes([0, 9, 3, 3])


def gzipped(content):
    return gzip.compress(content, mtime=0)


def idx_files(whole):
    return edited(whole).map(gzipped) | any_of([gzipped(whole)])


@limits
@given(content=idx_files(IDX_IMAGES))
def test_idx_images(attempt, content):
    _, got = attempt(
        "idx images", lambda path: idx.read_images(content, str(path)), content
    )
    if got is not None:
        check_idx(got, gzip.decompress(content), 3)


@limits
@given(content=idx_files(IDX_LABELS))
def test_idx_labels(attempt, content):
    _, got = attempt(
        "idx labels", lambda path: idx.read_labels(content, str(path)), content
    )
    if got is not None:
        check_idx(got, gzip.decompress(content), 1)
        assert got.max(initial=0) < 10


def check_idx(got, content, num_dims):
    assert got.dtype == np.uint8
    assert got.shape == struct.unpack_from(f">{num_dims}I", content, 4)
    assert got.tobytes() == content[4 + 4 * num_dims :]


# NumPy's.

NUMBERS = np.arange(-3, 3)
ARRAYS = [
    np.arange(120, dtype=np.uint8).reshape(6, 4, 5),
    NUMBERS.reshape(2, 3).T,
    NUMBERS.astype(np.float16),
    NUMBERS * 1j,
    np.float32(2),
    np.zeros((0, 4), ">f8"),
    np.array(["one", "three"]),
    np.array([{}], object),
    np.array([(1, 2.0)], "i4,f8"),
    np.zeros(100_000, bool),
]
DESCRIPTIONS = ["|u1", "<f4", ">i8", "|b1", "<c16", "<U3", "<U0", "|S0", "|V8", "|V0"]
DESCRIPTIONS += [
    "|O",
    "a5",
    "T",
    "<M8[ns]",
    "<M8[7s/3]",
    "(9,9)u1",
    "u1,O",
    "<f2",
    "f16",
]
DESCRIPTIONS += [
    "",
    "?\n",
    "é",
    [("a", "<f4")],
    [("a", "|O")],
    ("<f4", (2**30,)),
    [],
    5,
]


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def npy_header(text, version=(1, 0), length=None):
    length = len(text) if length is None else length
    width = 2 if version == (1, 0) else 4
    return b"\x93NUMPY" + bytes(version) + forged_bytes(length, width) + text


def forged_bytes(value, width):
    return (value % (1 << 8 * width)).to_bytes(width, "little")


@st.composite
def npy_headers(draw):
    """A header with the magic, anything announced in whatever manner."""
    shape = draw(st.lists(SIZES | st.just(-1) | st.booleans(), max_size=4).map(tuple))
    header = {
        "descr": draw(st.sampled_from(DESCRIPTIONS)),
        "fortran_order": draw(st.sampled_from([False, True, 1])),
        "shape": draw(st.just(shape) | SIZES),
    }
    text = draw(
        st.sampled_from(
            [
                repr(header),
                repr(header) + "\n",
                re.sub(r"(\d+)([,)])", r"\1L\2", repr(header)),  # Python 2's
                repr(header | {"more": 1}),
                repr(shape),
                "'\\d'" + "-" * 4000 + "1",
                "(" * 3000,
                "9" * 4090,
                repr(header | {"shape": (1,) * 65}),
                repr(header) + " " * 5000,
            ]
        )
    )
    version = draw(st.sampled_from([(1, 0), (2, 0), (3, 0), (1, 1), (4, 0)]))
    length = draw(st.none() | SIZES)
    return npy_header(text.encode(), version, length)


NPY_FILES = any_of([npy(array) for array in ARRAYS]) | st.builds(
    lambda header, content: header + content,
    npy_headers(),
    st.binary(max_size=64) | SIZES.map(lambda size: bytes(min(size, 10_000))),
)
NPY_FILES |= st.builds(
    np.zeros,
    hypothesis_numpy.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=4),
    hypothesis_numpy.scalar_dtypes(),
).map(npy)


@limits
@given(content=NPY_FILES)
def test_npy(attempt, content):
    path, got = attempt("npy", read_npy, content)
    if got is not None:
        check_npy(got, content)
        with warnings.catch_warnings(action="ignore"):
            want = native(np.load(path, allow_pickle=False))
        assert (got.shape, got.dtype, got.tobytes()) == (
            want.shape,
            want.dtype,
            want.tobytes(),
        )


def check_npy(got, content):
    """The header's own words, read without NumPy, save those of Python 2."""
    width = 2 if content[6] == 1 else 4
    start = 8 + width
    end = start + int.from_bytes(content[8:start], "little")
    assert got.nbytes == len(content) - end
    with warnings.catch_warnings(action="ignore"), contextlib.suppress(SyntaxError):
        header = ast.literal_eval(content[start:end].decode("latin1"))
        assert got.shape == header["shape"]
        assert got.dtype == np.dtype(header["descr"]).newbyteorder("=")


def native(array):
    """In the byte order of this machine, in which the readers give arrays."""
    return array.astype(array.dtype.newbyteorder("="))


ROWS = np.linspace(-1, 1, 18, dtype=np.float32).reshape(6, 3)
NPZ = [
    {
        "x_train": ARRAYS[0],
        "y_train": np.array([7, 3, 7, 3, 7, 3]),
        "x_test": ARRAYS[0][:2],
        "y_test": np.array([3, 7]),
    },
    {
        "x_train": ROWS,
        "y_train": np.arange(6, dtype=np.uint8),
        "x_test": ROWS[:2].astype(np.float64),
        "y_test": np.arange(2, dtype=np.uint64),
    },
    {
        "x_train": np.arange(18).reshape(6, 3) - 9,
        "y_train": np.array(["oak", "ash", "fir"] * 2),
        "x_test": ROWS[:2] > 0,
        "y_test": np.array([[b"ash"], [b"oak"]]),
    },
    {
        "x_train": ROWS,
        "y_train": np.array([0.5, 0.1, 2] * 2, np.float32),
        "x_test": ROWS[:2],
        "y_test": np.array([2, 0.5]),
    },
]
FIELDS = {"flag": (8, 2), "method": (10, 2), "crc": (16, 4), "packed": (20, 4)}
FIELDS |= {"size": (24, 4), "offset": (42, 4)}


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content, compression)
    return file.getvalue()


def forged_directory(content, member, field, value):
    """The same archive, a number in its directory replaced."""
    entry = [each.start() for each in re.finditer(b"PK\x01\x02", content)][member]
    place, width = FIELDS[field]
    forged = bytearray(content)
    forged[entry + place : entry + place + width] = forged_bytes(value, width)
    return bytes(forged)


@st.composite
def npz_files(draw):
    """Members edited before they get their checksums, or the directory after, or both."""
    members = {name: npy(array) for name, array in draw(st.sampled_from(NPZ)).items()}
    name = draw(st.sampled_from(list(members)))
    place = list(members).index(name)
    kind = draw(st.sampled_from(["whole", "edited", "other", "conspiracy"]))
    size = draw(SIZES)
    if kind == "edited":
        members[name] = draw(edited(members[name], least=1))
    elif kind == "other":
        members[name] = draw(NPY_FILES)
    elif kind == "conspiracy":  # the header and the directory tell the same lie
        text = repr({"descr": "|u1", "fortran_order": False, "shape": (size, 4, 5)})
        members[name] = npy_header(text.encode()) + bytes(20)
    compressions = [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED] * 3
    compressions += [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA]
    content = zipped(members, draw(st.sampled_from(compressions)))
    if kind == "conspiracy":
        header = len(members[name]) - 20
        content = forged_directory(content, place, "size", header + 20 * size)
        packed = draw(st.just(len(content)) | SIZES)
        content = forged_directory(content, place, "packed", packed)
    for field, value in draw(
        st.lists(st.tuples(st.sampled_from(list(FIELDS)), SIZES), max_size=2)
    ):
        content = forged_directory(content, place, field, value)
    return content


@limits
@given(content=npz_files() | npz_files().flatmap(edited) | st.binary(max_size=200))
def test_npz(attempt, content):
    path, got = attempt("npz", load_npz, content)
    if got is not None:
        # Not by np.load, which wants the archive to begin with the file's first byte.
        with np.lib.npyio.NpzFile(path) as want:
            for part, dataset in zip(("train", "test"), got, strict=True):
                x, y = want[f"x_{part}"], want[f"y_{part}"]
                np.testing.assert_array_equal(
                    dataset.features,
                    x.reshape(len(x), -1).astype(dataset.features.dtype),
                )
                if y.ndim == 2:
                    y = y[:, 0] if y.shape[1] == 1 else y.argmax(axis=1)
                named = np.array(dataset.class_names)[dataset.targets]
                for name, label, target in zip(
                    named.tolist(), y.tolist(), dataset.targets.tolist(), strict=True
                ):
                    if isinstance(label, bytes):
                        label = label.decode()
                    if isinstance(label, str):
                        assert name == label.strip() != ""
                    elif dataset.labels[target] == label:
                        assert name == str(int(label))
                    else:
                        assert y.dtype.type(name) == label


# Safetensors.

TREE = {
    "params": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)},
    "step": np.int32(3),
    "mask": np.array([True, False]),
    "none": np.zeros((0, 2)),
}
DTYPES = [
    "F64",
    "F32",
    "F16",
    "BF16",
    "F8_E4M3",
    "F4",
    "I64",
    "I8",
    "U8",
    "BOOL",
    "C64",
]


@pytest.fixture(scope="module")
def whole_safetensors(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "file"
    files.save_arrays(path, TREE, {"epoch": "3"})
    return path.read_bytes()


def safetensors(header, content=b"", length=None):
    length = len(header) if length is None else length
    return forged_bytes(length, 8) + header + content


@st.composite
def announced(draw):
    """Any header in JSON, and about as many bytes as it announces."""
    names = st.sampled_from(["a", "b/c", "__metadata__", "", "é\n"])
    entries = st.fixed_dictionaries(
        {
            "dtype": st.sampled_from([*DTYPES, "X", 5]),
            "shape": st.lists(SIZES | st.just(-1), max_size=3) | st.just([1] * 70),
            "data_offsets": st.tuples(SIZES, SIZES)
            | st.just((0, 8))
            | st.just((8, 12)),
        }
    )
    entries |= st.just({}) | st.just("text") | st.just({"epoch": "3"})
    header = json.dumps(draw(st.dictionaries(names, entries, max_size=3)))
    content = bytes(draw(st.sampled_from([0, 4, 8, 12, 16])))
    return safetensors(header.encode(), content, draw(st.none() | SIZES))


@limits
@given(data=st.data())
def test_safetensors(attempt, whole_safetensors, data):
    size = int.from_bytes(whole_safetensors[:8], "little")
    header, rest = whole_safetensors[8 : 8 + size], whole_safetensors[8 + size :]
    content = data.draw(
        any_of([whole_safetensors])
        | announced()
        | edited(header, least=1).map(lambda each: safetensors(each, rest))
    )
    _, got = attempt("safetensors", files.load_arrays, content)
    if content == whole_safetensors:
        assert got is not None
    if got is not None:
        check_safetensors(got, content)


def check_safetensors(got, content):
    start = 8 + int.from_bytes(content[:8], "little")
    header = json.loads(content[8:start])
    header.pop("__metadata__", None)
    assert set(got) == set(header)
    for name, entry in header.items():
        first, last = (start + each for each in entry["data_offsets"])
        assert list(got[name].shape) == entry["shape"]
        kind = {"F": "f", "I": "i", "U": "u", "B": "b", "C": "c"}[entry["dtype"][0]]
        assert got[name].dtype.kind == kind
        assert got[name].tobytes() == content[first:last]


# Images.


def saved(image, name, **options):
    file = io.BytesIO()
    image.save(file, name, **options)
    return file.getvalue()


def png_chunks(content):
    place, chunks = 8, []
    while place < len(content):
        size = int.from_bytes(content[place : place + 4], "big")
        chunks.append(content[place + 4 : place + 8 + size])
        place += 12 + size
    return chunks


def png(chunks):
    """With the right sizes and checksums."""
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(each) - 4) + each + struct.pack(">I", zlib.crc32(each))
        for each in chunks
    )


INK = np.zeros((20, 16), np.uint8)
INK[4:14, 5:9] = 200
GREY = Image.fromarray(INK)
EXIF = Image.Exif()
EXIF[0x0112] = 6
MODES = ["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]
PNGS = [saved(GREY.convert(mode), "PNG", exif=EXIF) for mode in MODES]
PNGS.append(saved(GREY.convert("P"), "PNG", transparency=b"\x00\xff"))
FORMATS = ["AVIF", "BMP", "DDS", "GIF", "ICNS", "ICO", "JPEG", "JPEG2000", "PCX", "PPM"]
FORMATS += ["QOI", "SGI", "TGA", "TIFF", "WEBP"]
Image.init()
OTHERS = [saved(GREY.convert("RGB"), name) for name in FORMATS if name in Image.SAVE]
OTHERS += [saved(GREY, name) for name in ("BMP", "GIF", "JPEG", "PPM", "TIFF")]
OTHERS += [
    saved(GREY, "TIFF", compression=compression)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits")
]
OTHERS.append(saved(GREY.convert("RGB"), "JPEG", exif=EXIF, progressive=True))
OTHERS.append(saved(GREY.convert("CMYK"), "TIFF"))
OTHERS.append(saved(GREY.convert("F"), "TIFF"))
OTHERS.append(saved(Image.fromarray(INK.astype(np.int32)), "TIFF"))


@st.composite
def pngs(draw):
    """One chunk edited, its checksum right; of the pixels, before they are packed."""
    chunks = png_chunks(PNGS[draw(st.integers(0, len(PNGS) - 1))])
    place = draw(st.integers(0, len(chunks) - 1))
    if chunks[place][:4] == b"IDAT":
        pixels = draw(edited(zlib.decompress(chunks[place][4:])))
        chunks[place] = b"IDAT" + zlib.compress(pixels)
    else:
        chunks[place] = draw(edited(chunks[place], least=1)).ljust(4, b"x")
    return png(chunks)


@limits
@given(content=pngs() | any_of(PNGS) | any_of(OTHERS), centre=st.booleans())
def test_images(attempt, content, centre):
    _, got = attempt(
        "images", lambda path: read_image(path, (28, 28), centre=centre), content
    )
    if got is not None:
        image, done = got
        assert (image.shape, image.dtype) == ((28, 28), np.uint8)
        assert re.fullmatch(r"\d+ x \d+, (light on dark|dark on light): .+", done)


# What chance would rarely make.


def write(tmp_path, content, name="own.npz"):
    path = tmp_path / name
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("array", [*ARRAYS[:7], ARRAYS[-1]], ids=str)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_whole_arrays_come_back(tmp_path, array, version):
    file = io.BytesIO()
    np.lib.format.write_array(file, np.asarray(array), version)
    got = read_npy(write(tmp_path, file.getvalue(), "own.npy"))
    np.testing.assert_array_equal(got, native(np.asarray(array)), strict=True)
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "own.npz", one=array, other=[array, array])
        assert npz_names(tmp_path / "own.npz") == ["one", "other"]
        got = read_npz(tmp_path / "own.npz", ["one"])
        assert list(got) == ["one"]
        want = native(np.asarray(array))
        np.testing.assert_array_equal(got["one"], want, strict=True)


U1 = b"{'descr': '|u1', 'fortran_order': False, 'shape': (%s), }\n"
NPY_MISFITS = {
    "text": (b"text", "can't be read: it is no array in NumPy's format"),
    "version": (npy_header(U1, (4, 0)), "its format is 4.0, wanted 1.0, 2.0 or 3.0"),
    "huge header": (
        npy_header(U1, (2, 0), 1 << 31),
        "its header announces 2,147,483,648 bytes of its own, more than the 4,096 allowed",
    ),
    "deep header": (npy_header(b"-" * 4000 + b"1"), "can't be read"),
    "huge": (
        npy_header(U1 % b"1099511627776,"),
        "2 GiB",
    ),
    "huge none": (npy_header(U1 % b"0, 1099511627776"), "more than the 2 GiB allowed"),
    "short": (
        npy_header(U1 % b"3, 4") + bytes(11),
        r"announces 12 bytes of uint8 \[3, 4\], but 11 follow",
    ),
    "long": (npy_header(U1 % b"3,") + bytes(4), "announces 3 bytes .* but 4 follow"),
    "negative": (npy_header(U1 % b"-1, -2") + bytes(2), r"\[-1, -2\], but 2 follow"),
    "many dimensions": (npy_header(U1 % (b"1," * 65)) + b"1", "64"),
    "objects": (npy(ARRAYS[7]), "holds pickled objects, which are never loaded"),
    "records": (npy(ARRAYS[8]), "neither numbers nor strings; save float32"),
}


@pytest.mark.parametrize("content, message", NPY_MISFITS.values(), ids=NPY_MISFITS)
def test_an_npy_misfit_is_named(tmp_path, content, message):
    path = write(tmp_path, content, "own.npy")
    with pytest.raises(ValueError, match=rf"own\.npy: it .*{message}.*\.$"):
        read_npy(path)


def test_missing_files_and_folders_are_named(tmp_path):
    for read in (read_npy, npz_names):
        with pytest.raises(ValueError, match=r"none: there is no such file\.$"):
            read(tmp_path / "none")
        with pytest.raises(ValueError, match=r": a folder, not an \.np"):
            read(tmp_path)
        with pytest.raises(ValueError, match=": there is no such file"):
            read(tmp_path / ("long" * 1000))


ONE = {"one": npy(np.zeros(5000))}
DEFLATED, STORED = zipped(ONE), zipped(ONE, zipfile.ZIP_STORED)
ZIP_MISFITS = {
    "bzip2": (zipped(ONE, zipfile.ZIP_BZIP2), "its compression is number 12 of ZIP"),
    "deflate's limit": (
        forged_directory(DEFLATED, 0, "size", 1 << 31),
        "announces 2,147,483,648 bytes packed into [0-9]+, which can't be",
    ),
    "more than the archive": (
        forged_directory(DEFLATED, 0, "packed", 1 << 30),
        "packed into 1,073,741,824, which can't be",
    ),
    "stored": (forged_directory(STORED, 0, "size", 50_000), "which can't be"),
    "cut": (
        forged_directory(DEFLATED, 0, "size", 40_000),
        "announces 40,000 bytes of float64 .5000., but 39,872 follow",
    ),
    "checksum": (forged_directory(DEFLATED, 0, "crc", 1), "Bad CRC-32"),
    "several disks": (
        b"PK\6\7" + bytes(12) + b"\2\0\0\0" + b"PK\5\6" + bytes(18),
        "not an .npz file",
    ),
}


@pytest.mark.parametrize("content, message", ZIP_MISFITS.values(), ids=ZIP_MISFITS)
def test_an_npz_misfit_is_named(tmp_path, content, message):
    with pytest.raises(ValueError, match=rf"own\.npz: .*{message}.*\.$"):
        read_npz(write(tmp_path, content), ["one"])


def test_an_idx_file_without_its_end_or_with_more_after_it_is_refused():
    whole = gzipped(IDX_IMAGES)
    with pytest.raises(ValueError, match=r"f: not a whole \.gz file \(its end is"):
        idx.read_images(whole[:-8], "f")
    with pytest.raises(ValueError, match=r"f: .* but it holds more"):
        idx.read_images(whole + whole, "f")
