"""data.npz: a user's arrays, and every kind of broken file."""

import io
import zipfile

import numpy as np
import pytest

from jaxcls.data import load
from jaxcls.data.arrays import read_npz
from jaxcls.data.npz import load_npz

RNG = np.random.default_rng(0)
GOOD = {
    "x_train": RNG.integers(0, 256, (6, 4, 5)).astype(np.uint8),
    "y_train": np.array([7, 3, 7, 3, 7, 3]),
    "x_test": RNG.integers(0, 256, (2, 4, 5)).astype(np.uint8),
    "y_test": np.array([3, 7]),
}


@pytest.fixture
def save(tmp_path):
    def write(**change):
        path = tmp_path / "own.npz"
        arrays = {
            name: array for name, array in (GOOD | change).items() if array is not None
        }
        np.savez(path, **arrays)
        return path

    return write


def test_images_and_labels_of_any_number(save):
    train, test = load_npz(save())
    np.testing.assert_array_equal(train.features, GOOD["x_train"].reshape(6, 20))
    assert train.labels == (3, 7) and train.class_names == ("3", "7")
    np.testing.assert_array_equal(train.targets, [1, 0, 1, 0, 1, 0])
    np.testing.assert_array_equal(test.targets, [0, 1])
    assert train.image_shape == (4, 5)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_rows_of_floats(save, dtype):
    rows = RNG.normal(size=(6, 3)).astype(dtype)
    train, _ = load_npz(save(x_train=rows, x_test=rows[:2]))
    assert train.features.dtype == np.float32 and train.image_shape is None
    np.testing.assert_array_equal(train.features, rows.astype(np.float32))


def test_a_channel_of_one_is_an_image(save):
    train, _ = load_npz(
        save(x_train=GOOD["x_train"][..., None], x_test=GOOD["x_test"][..., None])
    )
    assert train.image_shape == (4, 5) and train.features.shape == (6, 20)


FLOATS = GOOD["x_train"].astype(np.float32)
BROKEN = {
    "missing": (
        {"x_test": None, "y_test": None},
        r"lacks x_test, y_test; it must hold x_train",
    ),
    "lengths": (
        {"y_train": np.arange(5)},
        "x_train and y_train must be of one length, got 6 and 5",
    ),
    "nan": (
        {"x_train": np.where(FLOATS > 250, np.nan, FLOATS)},
        "x_train must be finite in float32, got nan in row 2 at .*of 6 rows have such a number",
    ),
    "infinite": ({"x_train": FLOATS + np.inf}, "finite.*got inf in row 0 at"),
    "too large": (
        {"x_train": np.full((6, 4, 5), 1e300)},
        "x_train must be finite.*got 1e.300 in row 0 at .0, 0. .6 of 6 rows",
    ),
    "pickled": (
        {"x_train": np.array([{}] * 6, object)},
        "x_train holds pickled objects",
    ),
    "pickled labels": (
        {"y_test": np.array([{}] * 2, object)},
        "y_test holds pickled objects",
    ),
    "bytes and floats": (
        {"x_test": GOOD["x_test"] / np.float32(255)},
        "must both be uint8, .* or both be floats, got uint8 and float32",
    ),
    "labels beyond int64": (
        {"y_test": np.array([3, 2**63], np.uint64)},
        "y_test must fit int64, got 9223372036854775808",
    ),
    "shapes": (
        {"x_test": np.zeros((2, 5, 4), np.uint8)},
        r"one shape, got \[4, 5\] and \[5, 4\]",
    ),
    "complex": (
        {"x_train": GOOD["x_train"] * 1j},
        r"x_train must be numbers, got complex128; save \.astype\(np\.float32\)",
    ),
    "not finite": (
        {"y_test": np.array([3, np.nan])},
        "y_test must be finite, got nan in row 1; name its class, or leave the example out",
    ),
    "words and numbers": (
        {"y_test": np.array(["a", "b"])},
        "y_train and y_test must both be words or both be numbers, got numbers and words",
    ),
    "no word": (
        {"y_test": np.array(["a", " "])},
        r"y_test has no label in row 1, got ''; name it, or leave the example out",
    ),
    "words that are missing": (
        {"y_train": np.array(["a", "b", "nan"] * 2)},
        "y_train has no label in row 2, got 'nan'",
    ),
    "no text": (
        {"y_test": np.array([b"a", b"\xff"])},
        "y_test can't be read: 'utf-8' codec can't decode",
    ),
    "words that are one-hot": (
        {"y_test": np.array([["a", "b"]] * 2)},
        r"numbers or words \[N\], \[N, 1\] or one-hot \[N, K\], got <U1 \[2, 2\]",
    ),
    "times": (
        {"y_test": np.array(["2020", "2021"], "M8[Y]")},
        r"got datetime64\[Y\] \[2\]",
    ),
    "too many classes": (
        {"y_train": np.linspace(0, 1, 6), "y_test": np.array([0.5, 1])},
        "names 6 classes in 6 examples, such as '0', and each needs two or more",
    ),
    "scores": (
        {"y_test": np.array([[0, 1], [0.5, 0.5]])},
        r"must be one-hot, and row 1 is not; if they are scores, save their argmax\(axis=1\)",
    ),
    "two ones": (
        {"y_test": np.array([[1, 1], [0, 1]])},
        "must be one-hot, and row 0 is not",
    ),
    "no columns": ({"y_test": np.zeros((2, 0))}, r"got float64 \[2, 0\]"),
    "flat": (
        {"x_train": np.zeros(6)},
        r"x_train must be images .* or rows .* got \[6\]",
    ),
    "empty": (
        {"x_test": np.zeros((0, 4, 5)), "y_test": np.zeros(0, int)},
        r"x_test holds no examples, got \[0, 4, 5\]",
    ),
}


@pytest.mark.parametrize("change, message", BROKEN.values(), ids=BROKEN)
def test_broken_arrays_are_named(save, change, message):
    with pytest.raises(ValueError, match=rf"own\.npz: .*{message}"):
        load_npz(save(**change))


def test_labels_of_several_integer_types_are_integers(save):
    train, _ = load_npz(save(y_train=GOOD["y_train"].astype(np.uint64)))
    assert train.labels == (3, 7) and train.class_names == ("3", "7")


@pytest.mark.parametrize("dtype", [bool, np.int8, np.uint64, np.float16, np.float64])
@pytest.mark.parametrize("shape", ["flat", "column", "one-hot"])
def test_labels_of_any_type_and_shape(save, dtype, shape):
    labels = {"y_train": np.array([1, 0, 1, 0, 1, 0]), "y_test": np.array([0, 1])}
    changed = {
        "flat": lambda y: y,
        "column": lambda y: y[:, None],
        "one-hot": lambda y: np.eye(2)[y],
    }[shape]
    path = save(**{name: changed(y).astype(dtype) for name, y in labels.items()})
    for part, want in zip(load_npz(path), labels.values(), strict=True):
        assert part.labels == (0, 1)
        np.testing.assert_array_equal(part.targets, want)


@pytest.mark.parametrize("kind", [str, bytes])
@pytest.mark.parametrize("shape", [(-1,), (-1, 1)])
def test_words_are_names_of_classes(save, kind, shape):
    words = {
        "y_train": ["oak", "ash", " oak", "fir", "ash", "fir "],
        "y_test": ["ash", "elm"],
    }
    arrays = {
        name: np.array(each if kind is str else [word.encode() for word in each])
        for name, each in words.items()
    }
    path = save(**{name: each.reshape(shape) for name, each in arrays.items()})
    train, test = load_npz(path)
    assert train.class_names == test.class_names == ("ash", "elm", "fir", "oak")
    assert train.labels == (0, 1, 2, 3)
    np.testing.assert_array_equal(train.targets, [3, 0, 3, 2, 0, 2])
    np.testing.assert_array_equal(test.targets, [0, 1])
    with pytest.raises(ValueError, match="class elm has no training examples"):
        load(path)


def test_classes_are_kept_by_the_names_that_the_file_has(save):
    words = np.array(["oak", "ash", "07"] * 2)
    path = save(y_train=words, x_test=GOOD["x_train"], y_test=words)
    train, test = load(path, classes=("oak", 7))
    assert train.class_names == ("oak", "07") and train.labels == (2, 0)
    assert len(train.features) == 4 and test.targets.tolist() == [0, 0, 1, 1]
    with pytest.raises(ValueError, match=r"among 07 ash oak, .* it has no elm"):
        load(path, classes=("oak", "elm"))
    with pytest.raises(ValueError, match="classes must be integers"):
        load(save(), classes=("3", "7"))


def test_a_class_alone_is_named_as_the_file_has_it(save):
    with pytest.raises(ValueError, match="two or more, got one: oak"):
        load(save(y_train=np.array(["oak"] * 6), y_test=np.array(["oak"] * 2)))


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_floats_that_are_no_whole_numbers_name_classes(save, dtype):
    labels = np.array([0.1, 2, 0.1, 2, 0.1, -3.5], dtype)
    train, test = load_npz(save(y_train=labels, y_test=np.array([2, 0.1])))
    assert train.class_names == ("-3.5", "0.1", "2") and train.labels == (0, 1, 2)
    np.testing.assert_array_equal(train.targets, [1, 2, 1, 2, 1, 0])
    np.testing.assert_array_equal(test.targets, [2, 1])


@pytest.mark.parametrize(
    "dtype", [bool, np.int8, np.uint16, np.int64, np.uint64, np.float16, np.longdouble]
)
def test_numbers_of_any_type_are_taken_as_they_are(save, dtype):
    numbers = np.array([[1, 0], [0, 1], [100, 3], [5, 1], [1, 1], [0, 2]]).astype(dtype)
    for exact in (False, True):
        train, test = load_npz(
            save(x_train=numbers, x_test=numbers[:2] / 2), exact=exact
        )
        np.testing.assert_array_equal(train.features, numbers.astype(np.float32))
        assert train.features.dtype.kind == test.features.dtype.kind == "f"


def test_what_float32_would_round_is_kept_where_it_is_wanted(save):
    stamps = np.array([[1_700_000_001], [1_700_000_002]] * 3)
    for dtype in (np.int64, np.uint32, np.float64):
        path = save(x_train=stamps.astype(dtype), x_test=stamps[:2].astype(dtype))
        train, _ = load_npz(path, exact=True)
        np.testing.assert_array_equal(train.features, stamps)
        rounded, _ = load_npz(path)
        assert rounded.features.dtype == np.float32
    small, _ = load_npz(save(), exact=True)
    assert small.features.dtype == np.uint8


@pytest.mark.parametrize("name", ["x_train.npy", "x_train"])
@pytest.mark.parametrize("compression", [zipfile.ZIP_STORED, zipfile.ZIP_LZMA])
def test_a_member_that_is_no_array_is_named(tmp_path, name, compression):
    path = tmp_path / "own.npz"
    with zipfile.ZipFile(path, "w", compression) as archive:
        for member in GOOD:
            archive.writestr(name if member == "x_train" else f"{member}.npy", b"text")
    with pytest.raises(ValueError, match=r"own\.npz: x_train can't be read: "):
        load_npz(path)


def test_an_archive_that_zipfile_cannot_unpack_is_named(tmp_path, save):
    whole = bytearray(save().read_bytes())
    path = tmp_path / "odd.npz"
    central = whole.index(b"PK\x01\x02")
    for place, value in ((8, 1), (10, 99)):  # encrypted; an unknown compression
        odd = whole.copy()
        odd[place - 2] = odd[central + place] = value
        path.write_bytes(odd)
        with pytest.raises(ValueError, match=r"odd\.npz: x_train can't be read: "):
            load_npz(path)
    with pytest.raises(ValueError, match=r"a folder, not an \.npz file"):
        load_npz(tmp_path)


def test_what_is_no_npz_is_refused(tmp_path, save):
    with pytest.raises(ValueError, match=r"none\.npz: there is no such file"):
        load_npz(tmp_path / "none.npz")
    text = tmp_path / "text.npz"
    text.write_text("no zip")
    with pytest.raises(ValueError, match=r"text\.npz: not an \.npz file"):
        load_npz(text)
    good = save()
    cut = tmp_path / "cut.npz"
    cut.write_bytes(good.read_bytes()[:-300])
    with pytest.raises(ValueError, match=r"cut\.npz: "):
        load_npz(cut)
    flipped = bytearray(good.read_bytes())
    flipped[200] ^= 1  # within x_train
    cut.write_bytes(flipped)
    with pytest.raises(ValueError, match=r"cut\.npz: x_train can't be read"):
        load_npz(cut)


@pytest.mark.parametrize("shape", [(2**30, 2**30), (20, 10**30)])
def test_a_forged_header_allocates_nothing(tmp_path, shape):
    # Announces 2**60 bytes in an array of which there are eight.
    forged = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        forged, {"descr": "|u1", "fortran_order": False, "shape": shape}
    )
    path = tmp_path / "forged.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for name in GOOD:
            archive.writestr(f"{name}.npy", forged.getvalue() + b"\0" * 8)
    with pytest.raises(ValueError, match="x_train can't be read"):
        load_npz(path)


@pytest.mark.parametrize("order", ["<", ">"])
def test_arrays_of_any_byte_order(save, order):
    rows = np.linspace(0, 1, 12).reshape(6, 2)
    path = save(
        x_train=rows.astype(f"{order}f8"),
        x_test=rows[:2].astype(f"{order}f4"),
        y_train=GOOD["y_train"].astype(f"{order}i2"),
        y_test=GOOD["y_test"].astype(f"{order}u4"),
    )
    train, test = load_npz(path)
    np.testing.assert_array_equal(train.features, rows.astype(np.float32))
    np.testing.assert_array_equal(test.targets, [0, 1])
    for array in read_npz(path, ["x_train", "x_test", "y_train"]).values():
        assert array.dtype.isnative


def test_a_channel_that_comes_first_is_an_image(save):
    first = {name: GOOD[name][:, None] for name in ("x_train", "x_test")}
    for got, want in zip(load_npz(save(**first)), load_npz(save()), strict=True):
        assert got.image_shape == want.image_shape
        np.testing.assert_array_equal(got.features, want.features)
