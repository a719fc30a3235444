"""An image file as the network's training images are: their size, ground and place.

Source of the rule that centres a digit: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST
database": a box of 20 x 20 pixels, its centre of mass in the middle of 28 x 28.
"""

import contextlib
import io
import math
import os
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxcls.data.arrays import check_file, readable

if TYPE_CHECKING:
    from PIL import Image

_MOST_PIXELS = 50_000_000  # at four bytes each, and three copies: 0.6 GB
_MOST_BYTES = 500_000_000  # of a file: as many pixels at eight bytes, and some more
_BOX = 20 / 28
_OVERVIEW = 512  # pixels of the longer side, in which the ink is looked for
_LEAST_CONTRAST = 16  # of 255, between ink and ground
_NEAR = 0.75 / 28  # of the side: centres of mass of training images that are centred
_NEAR_ENOUGH = 1.5 / 28  # of the side: a picture that is left where it is
_SMALLEST, _LARGEST = 10 / 28, 22 / 28  # its ink's longer side, then
_SEEN = 64  # of 255: a contrast that the eye takes for ink, whatever the noise
_MOST_ENLARGED = 3  # times; of smaller digits more than one in ten is taken for another
_INK = 0.25  # of that contrast: enough above the ground to count as ink
_EVEN = 0.1  # of that contrast: a ground whose border differs less is of one grey
_STROKE = 1 / 4  # of the shorter side: what is narrower is ink, what is wider ground
_STEP = 0.3  # of a stroke's contrast: what is around it is at least so much darker
_PASSES = 0.05  # of a stroke's outline, where it need not be
_SPECK = 1 / 50  # of the largest stroke: what is smaller is dirt
_DIRT = (
    1 / 28
)  # of the shorter side: what is shorter is dirt; a pixel of MNIST's images
_FRAME = 3  # pixels of the widest frame, in an overview


def learned(features: np.ndarray, shape: tuple[int, int] | None) -> dict | None:
    """What training images [N, D] are, which a picture must become: None if they are no bytes.

    `light_ground`: whether most have a light border. `centred`: whether nearly all have their
    centre of mass in the middle, and ink of 20/28 of the size, as MNIST's.

    >>> learned(np.full((2, 4), 255, np.uint8), (2, 2))
    {'light_ground': True, 'centred': False}
    """
    if shape is None or features.dtype != np.uint8:
        return None
    images = features[:: max(1, len(features) // 1_000)].reshape(-1, *shape)
    light = bool(np.median([np.median(_border(each)) for each in images]) > 127)
    inked = (255 - each if light else each for each in images)
    placed = [_placed(each) for each in inked if each.any()]
    offsets, extents = np.reshape(placed, (-1, 2)).T
    centred = bool(
        len(placed)
        and np.quantile(offsets, 0.95) <= _NEAR
        and abs(np.median(extents) - _BOX) < 1.5 / 28
    )
    return {"light_ground": light, "centred": centred}


def _placed(grey: np.ndarray) -> tuple[float, float]:
    """How far the mass is from the middle, and the ink's longer side, in shares of the size."""
    offsets, extents = [], []
    for axis, size in enumerate(grey.shape):
        profile = grey.sum(1 - axis, dtype=np.float64)
        mass = profile @ np.arange(size) / profile.sum()
        offsets.append(abs(mass - size / 2) / size)
        places = np.flatnonzero(grey.max(1 - axis) >= _INK * grey.max())
        extents.append((np.ptp(places) + 1) / size)
    return max(offsets), max(extents)


def read_image(
    path: str | os.PathLike,
    shape: tuple[int, int],
    *,
    centre: bool,
    light_ground: bool = False,
) -> tuple[np.ndarray, str]:
    """An image file of any format and size as [H, W] uint8, as the training images are.

    Colours become grey, what is transparent the ground. A picture whose ground is not as that
    of the training images is inverted. A dark or light frame of a few pixels is removed. At
    most 50 million pixels are decoded, which takes less than 1 GB beside the file's own size.

    Args:
        path: of a file that Pillow can read; of several frames the first.
        shape: (H, W) wanted.
        centre: whether to cut out the ink, scale it to 20/28 of the wanted size and put its
            centre of mass in the middle, as MNIST's digits are; an image of the wanted size
            whose ink is so already stays. If not, the image is scaled whole, and what its
            aspect leaves free is ground.
        light_ground: whether dark ink on light ground is wanted.

    Returns:
        The image, and a phrase that says what was done, sizes as width x height:
        "280 x 280, dark on light: inverted, cropped to 90 x 120, scaled to 15 x 20, centred
        by mass".

    Raises:
        ValueError: there is no such file, it is not a whole image or too large, it is blank,
            or its ink is too small or can't be told from shadows.
    """
    path = Path(path)
    check_file(path, "an image")
    grey = _read_grey(path)
    if grey.min() == grey.max():
        raise ValueError(f"{path}: a blank image: all its pixels are of one grey.")
    grey, done = _without_frame(grey)
    is_light = _ground_is_light(grey, light_ground, shape, centre)
    found = f"{_size(grey.shape)}, {'dark on light' if is_light else 'light on dark'}"
    if is_light != light_ground:
        done.append("inverted")
    if is_light:
        grey = 255 - grey
    if centre and not (grey.shape == shape and _is_centred(grey)):
        grey, more = _centred(path, grey, shape, is_light)
        done += more
    elif grey.shape != shape:
        grey, more = _whole(grey, shape)
        done += more
    if light_ground:
        grey = 255 - grey
    return grey, f"{found}: {', '.join(done) or 'as it is'}"


def _without_frame(grey: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Lines of one grey along two sides or more, unlike what is within, become as that is."""
    widest = _FRAME * math.ceil(max(grey.shape) / _OVERVIEW)
    if min(grey.shape) < 4 * (widest + 1):
        return grey, []
    top, bottom, left, right = (
        _frame(lines, widest) for lines in (grey, grey[::-1], grey.T, grey.T[::-1])
    )
    if sum(width > 0 for width in (top, bottom, left, right)) < 2:
        return grey, []
    height, width = grey.shape
    inner = grey[top : height - bottom, left : width - right]
    return np.pad(inner, ((top, bottom), (left, right)), mode="edge"), ["frame removed"]


def _frame(lines: np.ndarray, widest: int) -> int:
    """How many of the first lines belong to a frame."""
    within = np.median(lines[widest + 1])
    for count in range(widest, 0, -1):
        line = lines[count - 1].astype(np.float32)
        away = line - within
        if np.mean(away > 48) >= 0.9 or np.mean(away < -48) >= 0.9:
            # In a large image a line more, which may be blurred.
            return count + (widest > _FRAME)
    return 0


def _ground_is_light(
    grey: np.ndarray, wanted: bool, shape: tuple[int, int], centre: bool
) -> bool:
    """Whether three quarters of the border are on the light side of the greys.

    If neither side has them, a picture of the wanted size is as it is wanted. Of another, and
    where the light may be uneven, each pixel is compared with the lightest and the darkest
    around it: near a stroke more of them are ground than ink, and at a shadow's edge as many
    are light as dark.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    border, middle = _border(grey), (int(grey.min()) + int(grey.max())) / 2
    light = float(np.mean(border > middle))
    is_clear = light >= 0.75 or light <= 0.25
    if grey.shape == shape:
        return light >= 0.75 if is_clear else wanted
    overview = _overview(grey)
    if is_clear and (_is_even(overview) or not centre):
        return light >= 0.75
    size = max(3, min(overview.shape) // 4 | 1)
    most, least = (
        each(overview, size, mode="nearest").astype(np.float32)
        for each in (maximum_filter, minimum_filter)
    )
    return bool(np.mean(overview - (most + least) / 2) > 0)


def _is_even(overview: np.ndarray) -> bool:
    """Whether the border is of one grey, but for noise and a little ink."""
    border = _border(overview).astype(np.float32)
    away = np.abs(border - np.median(border))
    contrast = np.abs(overview - np.median(border)).max()
    longer = int(np.argmax(overview.shape))
    steps = np.abs(np.diff(overview.astype(np.float32), axis=longer))
    noise = 3 * 1.4826 * float(np.median(steps)) / math.sqrt(2)
    return bool(np.mean(away <= max(_EVEN * contrast, noise)) >= 0.95)


def _noise(above: np.ndarray) -> float:
    """Six standard deviations of what is below the ground, where no ink is."""
    below = np.minimum(above, 0)
    return 6 * math.sqrt(np.sum(below**2) / max(1, np.count_nonzero(below)))


def _overview(grey: np.ndarray) -> np.ndarray:
    """In a large image each pixel of the overview is a mean, which has less noise."""
    from PIL import Image

    factor = math.ceil(max(grey.shape) / _OVERVIEW)
    height, width = (math.ceil(size / factor) for size in grey.shape)
    return np.asarray(
        Image.fromarray(grey).resize((width, height), Image.Resampling.BOX)
    )


def _is_centred(grey: np.ndarray) -> bool:
    if np.median(_border(grey)) > 0.1 * grey.max():
        return False
    offset, extent = _placed(grey)
    return offset <= _NEAR_ENOUGH and _SMALLEST <= extent <= _LARGEST


def _read_grey(path: Path) -> np.ndarray:
    from PIL import Image, ImageOps, UnidentifiedImageError

    with readable(f"{path}: it"):
        # Pillow's own limit is higher; some formats meet it only while they are decoded.
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(io.BytesIO(_content(path))) as image:
                if image.format == "EPS":  # Pillow would start Ghostscript on it
                    raise ValueError(
                        "it is a PostScript program, not pixels; save it as PNG"
                    )
                _check_size(image)
                with _quiet(image):
                    image.load()
                _check_size(image)  # an icon's is known only now
                return _to_grey(ImageOps.exif_transpose(image))
        except UnidentifiedImageError:
            raise ValueError("it is in no image format that Pillow knows") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise ValueError(_too_large()) from None


@contextlib.contextmanager
def _quiet(image: "Image.Image") -> Iterator[None]:
    """Without what libtiff writes to standard error's descriptor: the error says it."""
    if image.format != "TIFF":
        yield
        return
    try:
        kept = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    try:
        with open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _content(path: Path) -> bytes:
    """The file's bytes: of a file itself Pillow asks as many as its header announces."""
    size = path.stat().st_size
    if size > _MOST_BYTES:
        raise ValueError(
            f"it has {size:,} bytes, more than the {_MOST_BYTES:,} allowed"
        )
    return path.read_bytes()


def _check_size(image: "Image.Image") -> None:
    if image.width * image.height > _MOST_PIXELS:
        raise ValueError(_too_large())


def _too_large() -> str:
    return f"it has more than the {_MOST_PIXELS:,} pixels allowed; scale it down"


def _to_grey(image: "Image.Image") -> np.ndarray:
    """[H, W] uint8 of any mode that has a white."""
    from PIL import Image

    if image.mode.startswith("I"):
        return _high_bytes(np.asarray(image), image.info.get("transparency"))
    if image.mode == "F":
        raise ValueError("its pixels are floats, of which none is white; save bytes")
    if not image.has_transparency_data:
        return np.array(image.convert("L"))
    image = image.convert("RGBA")
    grey, alpha = image.convert("L"), image.getchannel("A")
    ground = _ground_behind(np.asarray(grey), np.asarray(alpha))
    return np.array(Image.composite(grey, Image.new("L", image.size, ground), alpha))


def _ground_behind(grey: np.ndarray, alpha: np.ndarray) -> int:
    """The grey of what is transparent: that of the paper, or unlike the ink alone."""
    seen = grey[alpha > 127]
    if seen.size == 0:
        seen = grey[alpha > 0]
    if seen.size == 0:
        return 255
    low, high = np.percentile(seen, [2, 98])
    if seen.size > grey.size / 2 and high - low >= 64:
        return int(np.median(seen))
    return 0 if seen.mean() > 127 else 255


def _high_bytes(pixels: np.ndarray, transparent: int | None) -> np.ndarray:
    """[H, W] uint8 of pixels of up to 16 bits, which Pillow would clip at 255."""
    if pixels.min() < 0 or pixels.max() > 0xFFFF:
        raise ValueError("its pixels have more than 16 bits; save 8 or 16")
    is_clear = np.zeros(pixels.shape, bool)
    if transparent is not None:
        is_clear = pixels == transparent
    most = int(pixels.max())
    # Cameras and scanners put 8, 10, 12 or 14 bits into a file of 16.
    bits = next(each for each in (8, 10, 12, 14, 16) if most < 1 << each)
    grey = (pixels >> (bits - 8)).astype(np.uint8)
    grey[is_clear] = _ground_behind(grey, np.where(is_clear, 0, 255))
    return grey


def _centred(
    path: Path, grey: np.ndarray, shape: tuple[int, int], is_light: bool
) -> tuple[np.ndarray, list[str]]:
    """MNIST's rule; from the ground up to the brightest ink, greys are stretched to 0..255.

    `is_light`: whether the picture, here light on dark, was dark on light.
    """
    from PIL import Image

    above, (left, top, right, bottom) = _find_ink(path, grey, is_light)
    height, width = bottom - top, right - left
    if max(height / shape[0], width / shape[1]) < _BOX / _MOST_ENLARGED:
        raise ValueError(
            f"{path}: too small: its ink spans {_size((height, width))} pixels, and would be "
            f"enlarged to fill {_size([round(_BOX * each) for each in shape])}."
        )
    scale = _BOX * min(shape[0] / height, shape[1] / width)
    scaled_shape = max(1, round(height * scale)), max(1, round(width * scale))
    # In floats: of a thin line in a large image, bytes would leave only a few greys.
    ink = Image.fromarray(above)
    # A larger image's pixels are joined; between those of a smaller one there are more.
    how = Image.Resampling.BICUBIC if scale > 1 else Image.Resampling.BOX
    ink = np.maximum(np.asarray(ink.resize(scaled_shape[::-1], how)), 0)
    ink = np.rint(255 * (ink / ink.max())).astype(np.uint8)
    canvas = np.zeros(shape, np.uint8)
    rows, columns = (
        slice(start, start + size)
        for start, size in zip(_place_by_mass(ink, shape), ink.shape, strict=True)
    )
    canvas[rows, columns] = ink
    return canvas, [
        f"cropped to {_size((height, width))}",
        f"scaled to {_size(scaled_shape)}",
        "centred by mass",
    ]


def _find_ink(
    path: Path, grey: np.ndarray, is_light: bool
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """What stands out from the ground where ink is, float32, and where: (left, top, right, bottom)."""
    from scipy.ndimage import binary_dilation

    overview = _overview(grey)
    even = _is_even(overview)
    if even:
        ground = np.full((1, 1), np.median(_border(overview)), np.float32)
        is_ink = _ink(path, overview - ground)
    else:
        ground = _uneven_ground(overview)
        is_ink = _ink(path, _reflected(overview, ground, is_light))
        is_ink = _outlined(path, is_ink, overview, ground)
    top, bottom = _extent(is_ink, 0, grey.shape)
    left, right = _extent(is_ink, 1, grey.shape)
    crop = np.s_[top:bottom, left:right]
    if even:
        above = grey[crop] - ground
    else:
        above = _reflected(grey[crop], _large(ground, grey.shape)[crop], is_light)
        # What is no ink is no paper's either: a shadow's edge leaves a line.
        near = binary_dilation(is_ink, np.ones((3, 3))).astype(np.float32)
        above *= _large(near, grey.shape)[crop]
    return np.maximum(above, 0, out=above), (left, top, right, bottom)


def _reflected(grey: np.ndarray, ground: np.ndarray, is_light: bool) -> np.ndarray:
    """How far the ink is above its ground; of dark ink the share of the light that it takes."""
    above = grey - ground
    if is_light:
        light = 255 - ground
        above *= 255
        above /= np.maximum(light, 16, out=light)
    return above


def _ink(path: Path, above: np.ndarray) -> np.ndarray:
    """Where ink is, bool [H, W]: all that is far enough above the ground and no speck."""
    from scipy.ndimage import find_objects, label, sum_labels

    contrast, noise = float(above.max()), _noise(above)
    strokes, count = label(above >= max(_INK * contrast, noise), np.ones((3, 3)))
    masses = sum_labels(above, strokes, np.arange(1, count + 1))
    sizes = [
        max(each.stop - each.start for each in box) for box in find_objects(strokes)
    ]
    is_stroke = np.array(sizes) >= _DIRT * min(above.shape)
    least = max(_LEAST_CONTRAST, noise)
    if contrast < least or not is_stroke.any():
        found = (
            f"its highest contrast is {contrast:.0f}, and its noise reaches {noise:.0f}"
        )
        if contrast >= _SEEN and noise > contrast:
            raise ValueError(
                f"{path}: ink can't be told from so uneven a ground: of 255 greys {found}."
            )
        what = "nothing" if contrast < least else "nothing but specks"
        raise ValueError(
            f"{path}: a blank image: {what} stands out from its ground by {least:.0f} of 255 "
            f"greys; {found}."
        )
    is_stroke &= masses >= _SPECK * masses[is_stroke].max()
    return np.concatenate([[False], is_stroke])[strokes]


def _outlined(
    path: Path, is_ink: np.ndarray, overview: np.ndarray, ground: np.ndarray
) -> np.ndarray:
    """Of the ink what is ink: a stroke stands out from all that is around it.

    A shadow's corner, which is too narrow for the ground, passes into the shadow, and ink that
    is too wide to be ink into what is taken for ground.
    """
    from scipy.ndimage import (
        binary_dilation,
        label,
        maximum_filter,
        sum_labels,
        uniform_filter,
    )

    def within(greys: np.ndarray) -> np.ndarray:
        """The mean of the ink's pixels that are near."""
        return uniform_filter(greys * is_ink, 7) / np.maximum(nearby, 1e-6)

    strokes, count = label(is_ink, np.ones((3, 3)))
    numbers = np.arange(1, count + 1)
    nearby = uniform_filter(is_ink.astype(np.float32), 7)
    grey = overview.astype(np.float32)
    passes = within(grey) - grey < _STEP * within(grey - ground)
    # Two pixels off there is none of a blurred edge's.
    off = binary_dilation(is_ink, np.ones((3, 3)), 2)
    around = np.where(off, 0, maximum_filter(strokes, 7))
    share = sum_labels(passes, around, numbers) / np.maximum(
        sum_labels(np.ones_like(grey), around, numbers), 1
    )
    masses = sum_labels(grey - ground, strokes, numbers)
    is_stroke = share <= _PASSES
    if not is_stroke[np.argmax(masses)]:
        raise ValueError(
            f"{path}: uneven light: what stands out most passes into its ground, as a shadow's "
            "corner does, or ink wider than a quarter of the picture; photograph it in even light."
        )
    return np.concatenate([[False], is_stroke])[strokes]


def _uneven_ground(overview: np.ndarray) -> np.ndarray:
    """[H, W] float32, the greys of the ground: without what is narrow and bright.

    An opening, which leaves slopes and shadows with hard edges as they are: they are ground
    as far as a square fits into them, which may reach over the border.
    """
    from PIL import Image, ImageFilter
    from scipy.ndimage import maximum_filter, minimum_filter

    size = round(min(overview.shape) * _STROKE) | 1
    smooth = Image.fromarray(overview).filter(ImageFilter.MedianFilter(5))
    smooth = np.pad(np.asarray(smooth), size, mode="edge")
    opened = maximum_filter(minimum_filter(smooth, size), size)
    opened = opened[size:-size, size:-size].astype(np.float32)
    return opened + np.median(overview - opened)


def _large(overview: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Of the size `shape` again."""
    from PIL import Image

    if overview.shape == shape:
        return overview
    image = Image.fromarray(overview)
    return np.asarray(image.resize((shape[1], shape[0]), Image.Resampling.BILINEAR))


def _extent(is_ink: np.ndarray, axis: int, shape: tuple[int, ...]) -> tuple[int, int]:
    """Where the overview's ink begins and ends, in pixels of the image of `shape`."""
    places = np.flatnonzero(is_ink.any(1 - axis))
    size, of = shape[axis], is_ink.shape[axis]
    # In integers, lest a rounding lead beyond the image.
    return int(places[0]) * size // of, -(-(int(places[-1]) + 1) * size // of)


def _place_by_mass(ink: np.ndarray, shape: tuple[int, int]) -> list[int]:
    """The first row and column that put the ink's centre of mass nearest to H/2, W/2.

    So it is in MNIST's own images: at pixel 14 of 0..27. No ink is cut off for it.
    """
    starts = []
    for axis in (0, 1):
        profile = ink.sum(1 - axis, dtype=np.float64)
        mass = profile @ np.arange(len(profile)) / profile.sum()
        free = shape[axis] - ink.shape[axis]
        starts.append(min(max(round(shape[axis] / 2 - mass), 0), free))
    return starts


def _whole(grey: np.ndarray, shape: tuple[int, int]) -> tuple[np.ndarray, list[str]]:
    """The image in the middle of its ground."""
    from PIL import Image

    scale = min(shape[0] / grey.shape[0], shape[1] / grey.shape[1])
    height, width = (max(1, round(size * scale)) for size in grey.shape)
    scaled = Image.fromarray(grey).resize((width, height), Image.Resampling.BOX)
    canvas = np.full(shape, np.median(_border(grey)), np.uint8)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    canvas[top : top + height, left : left + width] = np.asarray(scaled)
    done = [f"scaled to {_size((height, width))}"]
    if (height, width) != shape:
        done.append(f"padded to {_size(shape)}")
    return canvas, done


def _border(grey: np.ndarray) -> np.ndarray:
    return np.concatenate([grey[0], grey[-1], grey[:, 0], grey[:, -1]])


def _size(shape: Sequence[int]) -> str:
    height, width = shape
    return f"{width} x {height}"
