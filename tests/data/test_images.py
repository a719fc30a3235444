"""data.images: files of every kind as MNIST's images are, and what is no image."""

import contextlib
import itertools
import json
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageFilter
from sklearn.datasets import load_digits

from jaxcls.cli import main
from jaxcls.data.images import learned, read_image
from jaxcls.runs import load_run
from jaxcls.runs.inputs import read_input

DIGITS = np.rint(load_digits().images * (255 / 16)).astype(np.uint8)  # light on dark
SMALL = np.zeros((28, 28), np.uint8)
SMALL[4:24, 10:18] = np.arange(160).reshape(20, 8) + 90


@pytest.fixture
def read(tmp_path):
    """Saves an image, or bytes, and reads the file."""

    def save_and_read(
        image,
        name="own.png",
        shape=(28, 28),
        centre=True,
        light_ground=False,
        plain_ground=False,
        **options,
    ):
        path = tmp_path / name
        if isinstance(image, bytes):
            path.write_bytes(image)
        else:
            if isinstance(image, np.ndarray):
                image = Image.fromarray(image)
            image.save(path, **options)
        return read_image(
            path,
            shape,
            centre=centre,
            light_ground=light_ground,
            plain_ground=plain_ground,
        )

    return save_and_read


def enlarged(digit, zoom=20, shape=(300, 400), place=(30, 200)):
    """Light on dark, not in the middle."""
    canvas = np.zeros(shape, np.uint8)
    top, left = place
    height, width = digit.shape
    canvas[top : top + zoom * height, left : left + zoom * width] = digit.repeat(
        zoom, 0
    ).repeat(zoom, 1)
    return canvas


def mass_centre(image):
    return [image.sum(1 - axis) @ np.arange(28) / image.sum() for axis in (0, 1)]


@pytest.mark.parametrize("centre", [True, False])
def test_an_image_of_the_wanted_size_stays_as_it_is(read, centre):
    image, done = read(SMALL, centre=centre)
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, SMALL)
    assert done == "28 x 28, light on dark: as it is"


@pytest.mark.parametrize("centre", [True, False])
def test_dark_on_light_is_inverted(read, centre):
    image, done = read(255 - SMALL, centre=centre)
    np.testing.assert_array_equal(image, SMALL)
    assert done == "28 x 28, dark on light: inverted"


@pytest.mark.parametrize("digit", range(0, 40, 3))
def test_a_digit_anywhere_comes_back_in_the_middle(read, digit):
    large = 255 - enlarged(DIGITS[digit])
    image, done = read(large)
    rows, columns = (np.flatnonzero(image.any(1 - axis)) for axis in (0, 1))
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == 20
    np.testing.assert_allclose(mass_centre(image), 14, atol=0.51)
    assert image.max() == 255
    assert done.startswith("400 x 300, dark on light: inverted, cropped to ")
    assert done.endswith(", centred by mass")
    # Its place and size in the file make none but a small difference of scaling.
    again, _ = read(enlarged(DIGITS[digit], zoom=40, shape=(400, 333), place=(70, 5)))
    np.testing.assert_allclose(image.astype(int), again, atol=10)


def test_what_was_done_says_sizes_as_width_by_height(read):
    large = np.full((200, 280), 255, np.uint8)
    large[50:170, 20:110] = 10
    image, done = read(large)
    assert done == (
        "280 x 200, dark on light: inverted, cropped to 90 x 120, scaled to 15 x 20, "
        "centred by mass"
    )
    want = np.zeros((28, 28), np.uint8)
    want[4:24, 7:22] = 255
    np.testing.assert_array_equal(image, want)


def test_the_wanted_size_need_not_be_square(read):
    image, done = read(enlarged(np.full((2, 2), 200, np.uint8)), shape=(28, 56))
    assert image.shape == (28, 56) and "scaled to 20 x 20" in done
    image, done = read(enlarged(np.full((1, 8), 200, np.uint8)), shape=(28, 56))
    assert image.shape == (28, 56) and "cropped to 160 x 20, scaled to 40 x 5" in done


def test_noise_and_uneven_light_are_no_ink(read):
    rng = np.random.default_rng(0)
    digit = DIGITS[3] > 100
    ink = enlarged(np.where(digit, 120, 0).astype(np.uint8), zoom=30, place=(30, 90))
    light = 190 + np.linspace(0, 25, 400) + rng.normal(0, 5, ink.shape)
    photo = np.clip(light - ink, 0, 255).astype(np.uint8)
    _, done = read(photo, "photo.jpg", quality=80)
    width, height = map(int, done.split("cropped to ")[1].split(",")[0].split(" x "))
    rows, columns = (30 * np.ptp(np.flatnonzero(digit.any(i))) + 30 for i in (1, 0))
    assert abs(height - rows) <= 6 and abs(width - columns) <= 6


def test_thin_lines_in_a_large_image_are_ink(read):
    large = np.full((1500, 1200), 255, np.uint8)
    large[300:1200, 600:604] = 0
    image, done = read(large)
    assert image.max() == 255 and "scaled to 1 x 20" in done


def test_other_images_are_scaled_whole(read):
    image, done = read(
        np.full((56, 56), 90, np.uint8) + 20 * np.eye(56, dtype=np.uint8), centre=False
    )
    assert done == "56 x 56, light on dark: scaled to 28 x 28"
    wide = np.full((30, 60), 40, np.uint8)
    wide[10:20, 20:40] = 200
    image, done = read(wide, centre=False)
    assert done == "60 x 30, light on dark: scaled to 28 x 14, padded to 28 x 28"
    assert (image[:7] == 40).all() and (image[-7:] == 40).all()
    assert image[14, 14] == 200
    image, done = read(wide.T, centre=False)
    assert done == "30 x 60, light on dark: scaled to 14 x 28, padded to 28 x 28"
    image, done = read(wide[:1] + wide[15:16], centre=False, shape=(20, 28))
    assert image.shape == (20, 28) and "scaled to 28 x 1, padded to 28 x 20" in done


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_is_white(read, mode):
    image = Image.new(mode, (28, 28), 0)  # black, all of it transparent
    image.putalpha(Image.fromarray(SMALL))
    got, done = read(image)
    np.testing.assert_array_equal(got, SMALL)
    assert done == "28 x 28, dark on light: inverted"


def test_a_transparent_grey_or_colour_of_the_palette_is_white(read):
    grey = np.where(SMALL > 0, 20, 70).astype(np.uint8)
    want = np.where(SMALL > 0, 235, 0)
    got, _ = read(grey, transparency=70)
    np.testing.assert_array_equal(got, want)
    palette = Image.fromarray((SMALL > 0).astype(np.uint8)).convert("P")
    palette.putpalette([9, 9, 9, 20, 20, 20])
    got, _ = read(palette, transparency=0)
    np.testing.assert_array_equal(got, want)
    got, _ = read(grey.astype(np.uint16) << 8, transparency=70 << 8)
    np.testing.assert_array_equal(got, want)


def test_palettes_and_colours_are_grey(read):
    palette = Image.fromarray((SMALL > 0).astype(np.uint8)).convert("P")
    palette.putpalette([0, 0, 0, 255, 0, 0])
    for image in (palette, palette.convert("RGB")):
        got, _ = read(image)
        np.testing.assert_array_equal(got, np.where(SMALL > 0, 76, 0))
    got, _ = read(palette.convert("RGB").convert("CMYK"), "own.tif")
    np.testing.assert_array_equal(got, np.where(SMALL > 0, 76, 0))
    got, _ = read(Image.fromarray(SMALL > 0))
    np.testing.assert_array_equal(got, np.where(SMALL > 0, 255, 0))


@pytest.mark.parametrize("name", ["own.png", "own.tif"])
def test_sixteen_bits_become_eight(read, name):
    deep = SMALL.astype(np.uint16) * 257
    got, _ = read(deep, name)
    np.testing.assert_array_equal(got, SMALL)


def test_32_bits_that_hold_16_become_8(read):
    deep = SMALL.astype(np.int32) * 257
    got, _ = read(deep, "own.tif")
    np.testing.assert_array_equal(got, SMALL)
    with pytest.raises(
        ValueError, match=r"own\.tif: it can't be read: its pixels have more"
    ):
        read(deep * 2, "own.tif")
    with pytest.raises(ValueError, match=r"own\.tif: .*floats, of which none is white"):
        read(deep.astype(np.float32), "own.tif")


def test_a_photo_is_turned_as_its_exif_says(read):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned right by a quarter
    got, _ = read(np.rot90(SMALL).copy(), exif=exif)
    np.testing.assert_array_equal(got, SMALL)


@pytest.mark.parametrize("shape", [(28, 28), (50, 70)])
@pytest.mark.parametrize("grey", [0, 100, 255])
@pytest.mark.parametrize("centre", [True, False])
def test_a_blank_image_is_refused(read, shape, grey, centre):
    with pytest.raises(ValueError, match=r"own\.png: a blank image: .*\.$"):
        read(np.full(shape, grey, np.uint8), centre=centre)


def test_noise_alone_is_blank(read):
    rng = np.random.default_rng(0)
    paper = np.clip(rng.normal(200, 5, (300, 400)), 0, 255).astype(np.uint8)
    with pytest.raises(ValueError, match="a blank image: nothing stands out"):
        read(paper)


def png(width, height, content, sort=(8, 0)):
    """A PNG whose header claims any size; `sort`: bits, and PNG's number of the colours."""

    def chunk(kind, body):
        sum_ = zlib.crc32(kind + body)
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", sum_)

    header = struct.pack(">IIBBBBB", width, height, *sort, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(content))
        + chunk(b"IEND", b"")
    )


@pytest.mark.parametrize(
    "size", [(100_000, 100_000), (10_000, 10_000), (50_000_001, 1)]
)
def test_a_huge_image_is_refused_before_it_is_decoded(read, size):
    with pytest.raises(
        ValueError, match=r"own\.png: .* more than the 50,000,000 pixels allowed.*\.$"
    ):
        read(png(*size, bytes(100)))


def test_a_forged_length_allocates_nothing(read):
    forged = bytearray(png(28, 28, bytes(100)))
    forged[33:37] = b"\x40\0\0\0"  # of the pixels' chunk: 1 GiB
    tracemalloc.start()
    try:
        with pytest.raises(ValueError, match=r"own\.png: it can't be read"):
            read(bytes(forged))
        assert tracemalloc.get_traced_memory()[1] < 16 << 20
    finally:
        tracemalloc.stop()


WHOLE = png(28, 28, bytes(29 * 28))
BROKEN = {
    "empty": (b"", "no image format"),
    "text": (b"no image", "it is in no image format that Pillow knows"),
    "cut header": (WHOLE[:20], ""),
    "cut": (WHOLE[:-30], "image file is truncated"),
    "cut pixels": (png(28, 28, bytes(100)), "image file is truncated"),
    "program": (
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 28 28\n%%EndComments\n",
        "it is a PostScript program, not pixels; save it as PNG",
    ),
}


@pytest.mark.parametrize("content, message", BROKEN.values(), ids=BROKEN)
def test_what_is_no_whole_image_is_refused(read, content, message):
    with pytest.raises(
        ValueError, match=rf"own\.png: it can't be read: .*{message}.*\.$"
    ):
        read(content)


def test_a_missing_file_and_a_folder_are_named(tmp_path):
    with pytest.raises(ValueError, match=r"none\.png: there is no such file\.$"):
        read_image(tmp_path / "none.png", (28, 28), centre=True)
    with pytest.raises(ValueError, match=": a folder, not an image"):
        read_image(tmp_path, (28, 28), centre=True)


def test_a_format_with_warnings_gives_none(read):
    palette = Image.fromarray((SMALL > 0).astype(np.uint8)).convert("P")
    palette.putpalette([9, 9, 9, 20, 20, 20])
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        got, _ = read(palette, transparency=bytes([0, 255]))
    np.testing.assert_array_equal(got, np.where(SMALL > 0, 235, 0))


def test_what_training_images_are_is_learned():
    images = DIGITS.reshape(-1, 64)
    want = {"light_ground": False, "plain_ground": True, "centred": False}
    assert learned(images, (8, 8)) == want
    assert learned(255 - images, (8, 8)) == want | {"light_ground": True}
    grey = images // 2 + 100
    assert learned(grey, (8, 8)) == want | {"plain_ground": False}
    assert learned(images.astype(np.float32), (8, 8)) is None


@pytest.mark.parametrize("row", range(0, 50, 7))
@pytest.mark.parametrize("paper, pen", [(255, 0), (180, 100), (90, 10), (20, 120)])
def test_ink_of_any_grey_is_as_that_of_training_images(read, row, paper, pen):
    ink = np.pad(DIGITS[row].repeat(10, 0).repeat(10, 1), 10)
    page = np.rint(paper + (pen - paper) * (ink / 255)).astype(np.uint8)
    want, _ = read(np.rint(ink * (255 / ink.max())).astype(np.uint8), centre=False)
    got, _ = read(page, centre=False, plain_ground=True)
    # Faint ink apart from the rest may be left out.
    np.testing.assert_allclose(got, want, atol=40)
    assert np.abs(got.astype(int) - want).mean() < 2


@pytest.mark.parametrize("plain_ground", [False, True])
def test_a_picture_that_is_scaled_whole_may_be_blank_too(read, plain_ground):
    rng = np.random.default_rng(0)
    faint = np.full((8, 8), 200, np.uint8)
    faint[3, 3] += 1
    with pytest.raises(ValueError, match="a blank image: "):
        read(faint, centre=False, plain_ground=plain_ground)
    if plain_ground:
        with pytest.raises(ValueError, match=r"blank|uneven"):
            noise = rng.integers(0, 256, (90, 90)).astype(np.uint8)
            read(noise, centre=False, plain_ground=True)


@pytest.mark.parametrize("row", range(0, 50, 7))
def test_training_images_on_white_are_read_back(read, row):
    image = 255 - DIGITS[row]
    got, done = read(image, shape=(8, 8), centre=False, light_ground=True)
    np.testing.assert_array_equal(got, image)
    assert done == "8 x 8, dark on light: as it is"
    got, done = read(DIGITS[row], shape=(8, 8), centre=False, light_ground=True)
    np.testing.assert_array_equal(got, image)
    assert done == "8 x 8, light on dark: inverted"


LIGHT = {
    "left": np.linspace(0.6, 1, 400)[None],
    "down": np.linspace(1, 0.65, 300)[:, None],
    "shade above": np.where(np.arange(300) < 140, 0.7, 1)[:, None],
}


@pytest.mark.parametrize("light", LIGHT.values(), ids=LIGHT)
def test_ink_on_uneven_paper_is_found(read, light):
    paper = np.full((300, 400), 240.0)
    paper[60:220, 150:180] = 20
    _, done = read((paper * light).astype(np.uint8))
    assert "inverted, cropped to 30 x 160" in done


@pytest.mark.parametrize("frame", [10, 120, 215])
@pytest.mark.parametrize("width", [1, 2, 3, 5, 11, 18, 30])
def test_a_dark_frame_is_no_ink(read, width, frame):
    page = 255 - enlarged(DIGITS[5], 15, (200, 200), (40, 40))
    framed = np.pad(page[width:-width, width:-width], width, constant_values=frame)
    got, done = read(framed)
    np.testing.assert_array_equal(got, read(page)[0])
    assert "frame removed, inverted" in done


@pytest.mark.parametrize("width", [1, 6, 20])
def test_a_blurred_frame_is_no_ink(read, width):
    page = np.full((280, 280), 235, np.uint8)
    page[40:240, 120:150] = 10
    done = []
    for image in (page, np.pad(page, width, constant_values=120)):
        blurred = Image.fromarray(image).filter(ImageFilter.GaussianBlur(1.5))
        done.append(read(np.asarray(blurred))[1].rpartition("cropped")[2])
    assert done[0] == done[1]


def test_a_rectangle_that_fills_its_picture_is_ink(read):
    zero = np.pad(np.full((80, 60), 255, np.uint8), 8)
    assert "frame" not in read(zero)[1]


@pytest.mark.parametrize("width", [1, 2, 4])
def test_a_box_drawn_round_the_ink_is_no_ink(read, width):
    page = 255 - enlarged(DIGITS[5], 15, (200, 200), (40, 40))
    boxed = np.full((200, 200), 10, np.uint8)
    boxed[5:-5, 5:-5] = page[5:-5, 5:-5]
    inset = np.pad(
        boxed[5 - width : width - 5, 5 - width : width - 5], 5, constant_values=255
    )
    got, done = read(inset)
    np.testing.assert_array_equal(got, read(page)[0])
    assert "frame removed" in done


@pytest.mark.parametrize("margin", [4, 8, 15, 30])
@pytest.mark.parametrize("light_ground", [False, True])
def test_a_margin_is_no_frame(read, margin, light_ground):
    # Bold, so that most of a line within may be ink, and of all that is within, too.
    page = Image.new("L", (50 + 2 * margin, 110 + 2 * margin))
    ImageDraw.Draw(page).rounded_rectangle(
        (margin, margin, margin + 49, margin + 109), 20, 0, 255, 18
    )
    page = np.asarray(page)
    _, done = read(page if light_ground else 255 - page)
    assert "frame" not in done and "cropped to 50 x 110" in done


@pytest.mark.parametrize("angle", [0, 1, 3])
@pytest.mark.parametrize("kind", ["ruled", "squared", "underlined"])
def test_lined_paper_is_told(read, kind, angle):
    page = Image.new("L", (600, 600), 255)
    lines = range(20, 600, 60) if kind != "underlined" else (440,)
    for place in lines:
        page.paste(60, (0, place, 600, place + 2))
        if kind == "squared":
            page.paste(60, (place, 0, place + 2, 600))
    page = page.rotate(angle, Image.Resampling.BICUBIC, fillcolor=255)
    page = np.asarray(page.crop((50, 50, 550, 550))).copy()
    page[100:340, 200:240] = 0
    with pytest.raises(
        ValueError, match=r"(ruled or )?squared paper: .* use plain paper"
    ):
        read(page)


@pytest.mark.parametrize("extent", [10, 12, 14, 16, 20])
def test_small_ink_in_a_picture_of_the_wanted_size_is_enlarged(read, extent):
    page = np.zeros((28, 28), np.uint8)
    top = 14 - extent // 2
    page[top : top + extent, 13:15] = 255
    _, done = read(page)
    assert ("cropped" in done) == (extent < 17)


@pytest.mark.parametrize("bits", [8, 10, 12])
def test_bits_are_taken_as_they_are_used(read, bits):
    page = 255 - enlarged(DIGITS[5])
    got, _ = read(page.astype(np.uint16) << (bits - 8))
    np.testing.assert_array_equal(got, read(page)[0])


COLOURS = {"grey and alpha": (4, 2), "colours": (2, 3), "colours and alpha": (6, 4)}


def deep_png(pixels, kind, opaque=0xFFFF):
    """Greys of 16 bits as each colour of a PNG file, opaque."""
    number, bands = COLOURS[kind]
    page = np.repeat(pixels.astype(">u2")[..., None], bands, axis=2)
    if "alpha" in kind:
        page[..., -1] = opaque
    rows = b"".join(b"\0" + row.tobytes() for row in page)
    return png(pixels.shape[1], pixels.shape[0], rows, (16, number))


@pytest.mark.parametrize("kind", COLOURS)
def test_bits_of_colours_are_taken_as_they_are_used(read, kind):
    page = (255 - enlarged(DIGITS[5])).astype(np.uint16)
    got, _ = read(deep_png(page << 4, kind))
    np.testing.assert_allclose(got.astype(int), read(page)[0], atol=16)
    with pytest.raises(ValueError, match="no more than the lowest 8 are used; save"):
        read(deep_png(page, kind))
    if "alpha" in kind:
        got, _ = read(deep_png(page << 4, kind, opaque=0xFFF))
        np.testing.assert_allclose(got.astype(int), read(page)[0], atol=16)


@pytest.mark.parametrize("ink", [255, 0])
def test_ink_alone_on_a_transparent_ground(read, ink):
    page = enlarged(DIGITS[5])
    image = Image.new("LA", page.shape[::-1], (ink, 0))
    image.putalpha(Image.fromarray(page))
    got, _ = read(image)
    np.testing.assert_allclose(got.astype(int), read(page)[0], atol=1)


def drawn(*corners, shape=(150, 200), width=12.0):
    """Strokes from corner to corner (x, y): the share of each pixel that is ink."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    nearest = np.full(shape, np.inf)
    for (ax, ay), (bx, by) in itertools.pairwise(corners):
        dx, dy = bx - ax, by - ay
        along = np.clip(((x - ax) * dx + (y - ay) * dy) / (dx * dx + dy * dy), 0, 1)
        nearest = np.minimum(
            nearest, np.hypot(x - ax - along * dx, y - ay - along * dy)
        )
    return np.clip((width + 1) / 2 - nearest, 0, 1)


SEVEN = drawn((70, 35), (130, 35), (90, 115))
NINE = drawn((132, 70), (80, 76), (72, 40), (128, 34), (132, 70), (120, 118))  # a loop
ACROSS = np.linspace(0, 1, 200)[None] + np.zeros((150, 1))
DOWN = np.linspace(0, 1, 150)[:, None] + np.zeros((1, 200))
FROM_MIDDLE = (ACROSS - 0.5) ** 2 + (DOWN - 0.5) ** 2  # 0.5 in the corners


def shadow(place, width):
    """Half of the light, where `place` is above 0: an edge of `width`, both in sides."""
    return 1 - 0.5 * np.clip(place / width + 0.5, 0, 1)


SHADES = {
    "slope": 1 - 0.5 * ACROSS,
    "slope to a corner": 1 - 0.25 * (ACROSS + DOWN),
    "hard half": shadow(ACROSS - 0.5, 1e-3),
    "soft half": shadow(0.45 - DOWN, 0.15),
    "hard third": shadow(DOWN - 0.68, 1e-3),
    "slanting half": shadow(ACROSS - 0.4 - 0.3 * DOWN, 0.01),
    "corner": shadow(0.8 - ACROSS - DOWN, 0.02),
    "most of it": shadow(ACROSS - 0.2, 1e-3),
    "vignette": 1 - FROM_MIDDLE,
}
FINGER = np.minimum(shadow(DOWN - 0.7 - (ACROSS - 0.15), 0.02), 1)
FINGER = np.maximum(FINGER, shadow(DOWN - 0.7 + (ACROSS - 0.15), 0.02))  # a right angle


def photo(ink, light, noise, darkness=0.8):
    grey = 225 * (1 - darkness * ink) * light
    grey = grey + np.random.default_rng(0).normal(0, noise, grey.shape)
    return np.rint(np.clip(grey, 0, 255)).astype(np.uint8)


@pytest.mark.parametrize("ink", [SEVEN, NINE], ids=["seven", "nine"])
@pytest.mark.parametrize("light", SHADES.values(), ids=SHADES)
def test_ink_is_the_same_in_every_light(read, ink, light):
    want, _ = read(photo(ink, np.ones_like(light), 0))
    got, done = read(photo(ink, light, 3))
    assert "dark on light: inverted, cropped to " in done
    assert np.abs(got.astype(int) - want).mean() < 5
    # Where it was white or black it is so still: a shadow's edge leaves no line.
    assert (got[want == 0] < 64).all() and (got[want > 200] > 128).all()


@pytest.mark.parametrize("light", SHADES.values(), ids=SHADES)
def test_a_faint_pen_in_a_jpeg_is_found_in_every_light(read, light):
    faint = photo(SEVEN, light, 1.5, darkness=0.4)
    _, done = read(faint, "own.jpg", quality=75)
    width, height = map(int, done.split("cropped to ")[1].split(",")[0].split(" x "))
    assert abs(width - 73) <= 3 and abs(height - 93) <= 3


def test_chalk_on_an_uneven_board_is_light_on_dark(read):
    want, _ = read(photo(SEVEN, np.ones_like(SEVEN), 0))
    board = 30 + 50 * ACROSS + np.random.default_rng(0).normal(0, 3, SEVEN.shape)
    got, done = read((board + 140 * SEVEN).clip(0, 255).astype(np.uint8))
    assert "light on dark: cropped" in done
    assert np.abs(got.astype(int) - want).mean() < 5


@pytest.mark.parametrize("noise", [1, 5])
@pytest.mark.parametrize("light", SHADES.values(), ids=SHADES)
def test_shadows_on_paper_are_no_ink(read, light, noise):
    with pytest.raises(
        ValueError,
        match=r"a blank image: nothing .*stands out .* contrast is \d+, .* noise .*\.$",
    ):
        read(photo(np.zeros_like(light), light, noise))


def test_the_corner_of_a_shadow_is_no_ink(read):
    want, _ = read(photo(SEVEN, np.ones_like(FINGER), 0))
    got, _ = read(photo(SEVEN, FINGER, 2))
    assert np.abs(got.astype(int) - want).mean() < 5
    with pytest.raises(ValueError, match=r"uneven light: .* passes into its ground"):
        read(photo(np.zeros_like(FINGER), FINGER, 2))


def test_ink_as_wide_as_a_shadow_is_told_on_even_paper_alone(read):
    wide = drawn((70, 35), (130, 35), (90, 115), width=50)
    _, done = read(photo(wide, np.ones_like(wide), 3))
    assert "cropped to 111 x 131" in done
    with pytest.raises(ValueError, match=r"uneven light: .* wider than a quarter"):
        read(photo(wide, SHADES["slope"], 3))


def test_dirt_is_no_ink(read):
    page = photo(SEVEN, np.ones_like(SEVEN), 0)
    want, _ = read(page)
    page[140, 10] = page[8:11, 180:183] = 20
    np.testing.assert_array_equal(read(page)[0], want)
    page[20:130, 40:150] = 225
    with pytest.raises(ValueError, match="blank image: nothing but specks stands out"):
        read(page)


def test_what_is_not_blank_is_not_called_so(read):
    grey = np.random.default_rng(0).normal(128, 35, (150, 200)).clip(0, 255)
    with pytest.raises(
        ValueError, match=r"ink can't be told from so uneven a ground: of 255 .*\.$"
    ):
        read(grey.astype(np.uint8))


@pytest.mark.parametrize("size", [10, 14, 20])
def test_small_pictures_are_enlarged(read, size):
    whole = np.zeros((140, 140))
    whole[:, :] = drawn((40, 25), (100, 25), (60, 115), shape=(140, 140), width=16)
    page = photo(whole, 1, 0)
    want, _ = read(page)
    small = Image.fromarray(page).resize((size, size), Image.Resampling.BOX)
    got, done = read(np.asarray(small))
    assert f"{size} x {size}, dark on light: inverted, cropped to " in done
    overlap = np.corrcoef(got.ravel(), want.ravel())[0, 1]
    assert overlap > 0.8 and got.max() == 255
    got, _ = read(np.asarray(small), centre=False)
    assert got.shape == (28, 28)


@pytest.mark.parametrize("size", [4, 6, 8])
def test_pictures_that_are_too_small_are_refused(read, size):
    page = np.full((size, size), 250, np.uint8)
    page[1:-1, size // 2] = 0
    with pytest.raises(
        ValueError,
        match=rf"own\.png: too small: its ink spans 1 x {size - 2} pixels, and would be .*\.$",
    ):
        read(page)


@pytest.mark.slow
def test_a_run_takes_pictures_as_its_training_images_are(tmp_path, capsys):
    # As MNIST's, 20 pixels long and centred by mass, but dark on white.
    images = np.stack([read_centred(each, tmp_path) for each in DIGITS[:60]])
    images = 255 - images
    labels = load_digits().target[:60] % 2
    names = ("x_train", "y_train", "x_test", "y_test")
    arrays = dict(zip(names, (images, labels, images, labels), strict=True))
    np.savez(tmp_path / "own.npz", **arrays)
    flags = ("--hidden", "--epochs", "1", "--no-plots", "--output-dir")
    own = ("--dataset", str(tmp_path / "own.npz"))
    assert main.train_multiclass([*own, *flags, str(tmp_path / "run")]) == 0
    want = {"light_ground": True, "plain_ground": True, "centred": True}
    config = json.loads((tmp_path / "run" / "config.json").read_text())
    assert config["pictures"] == want
    trained = load_run(tmp_path / "run")
    for row, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / "own.png")
        given = read_input(trained, tmp_path / "own.png")
        np.testing.assert_array_equal(given.features, image[None], str(row))
        # The other ground is brought to that of the training images.
        Image.fromarray(255 - image).save(tmp_path / "own.png")
        given = read_input(trained, tmp_path / "own.png")
        np.testing.assert_array_equal(given.features, image[None], str(row))


def read_centred(digit, tmp_path):
    Image.fromarray(enlarged(digit)).save(tmp_path / "large.png")
    return read_image(tmp_path / "large.png", (28, 28), centre=True)[0]


def test_libtiff_says_nothing_beside_our_sentence(read, tmp_path, capfd):
    Image.fromarray(SMALL).save(tmp_path / "whole.tif", compression="tiff_lzw")
    content = bytearray((tmp_path / "whole.tif").read_bytes())
    content[8:40] = b"\xff" * 32
    with contextlib.suppress(ValueError):
        read(bytes(content), "own.tif")
    assert capfd.readouterr().err == ""
