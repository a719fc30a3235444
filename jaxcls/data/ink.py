"""Where the ink of a picture is: its side of the greys, its ground in even and uneven light."""

import math
from pathlib import Path

import numpy as np

OVERVIEW = 512  # pixels of the longer side, in which the ink is looked for
LEAST_CONTRAST = 16  # of 255, between ink and ground
SEEN = 64  # of 255: a contrast that the eye takes for ink, whatever the noise
INK = 0.25  # of that contrast: enough above the ground to count as ink
_EVEN = 0.1  # of that contrast: a ground whose border differs less is of one grey
_STROKE = 1 / 4  # of the shorter side: what is narrower is ink, what is wider ground
_STEP = 0.3  # of a stroke's contrast: what is around it is at least so much darker
_PASSES = 0.05  # of a stroke's outline, where it need not be
_SPECK = 1 / 50  # of the largest stroke: what is smaller is dirt
_ACROSS, _THIN = (
    0.75,
    0.15,
)  # of the picture: a ruled line's length; of that: its height
_HOLES = 4  # that a glyph, or two, may enclose
_DIRT = 1 / 28  # of the shorter side: what is shorter is dirt


def ground_is_light(
    grey: np.ndarray, wanted: bool, shape: tuple[int, int], centre: bool
) -> bool:
    """Whether a picture is dark on light, by its border, or where that says nothing by its strokes.

    A border is light that has three quarters of its pixels on the light side of the greys. If
    neither side has them, a picture of the wanted size is as it is wanted. Of another, and
    where the light may be uneven, each pixel is compared with the lightest and the darkest
    around it: near a stroke more of them are ground than ink, and at a shadow's edge as many
    are light as dark.

    Args:
        grey: [H, W] uint8.
        wanted: what training images are.
        shape: (H, W) of training images.
        centre: whether the ink is cut out, and so may stand in uneven light.
    """
    from scipy.ndimage import maximum_filter, minimum_filter

    edge, middle = border(grey), (int(grey.min()) + int(grey.max())) / 2
    light = float(np.mean(edge > middle))
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


def find_ink(
    path: Path, grey: np.ndarray, is_light: bool
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """Finds the ink of a picture, here light on dark.

    Args:
        path: of its file, for messages.
        grey: [H, W] uint8.
        is_light: whether the picture was dark on light.

    Returns:
        What stands out from the ground where ink is, float32, and where that is in the picture:
        (left, top, right, bottom).

    Raises:
        ValueError: it is blank, or its ink can't be told from shadows.
    """
    from scipy.ndimage import binary_dilation

    overview = _overview(grey)
    even = _is_even(overview)
    if even:
        ground = np.full((1, 1), np.median(border(overview)), np.float32)
        is_ink = _ink(path, overview - ground)
    else:
        ground = _uneven_ground(overview)
        is_ink = _ink(path, _reflected(overview, ground, is_light))
        is_ink = _outlined(path, is_ink, overview, ground)
    _check_plain(path, is_ink)
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


def _check_plain(path: Path, is_ink: np.ndarray) -> None:
    """Raises ValueError for paper with lines, which may be a little aslant, or run into ink.

    A glyph that fills its picture has at most one line across it inside; a line that is no part
    of it is long and thin, and stands beside other ink.
    """
    from scipy.ndimage import find_objects, label

    cells = [
        box
        for box in find_objects(label(~is_ink)[0])
        if all(
            each.start > 0 and each.stop < size
            for each, size in zip(box, is_ink.shape, strict=True)
        )
        and min(each.stop - each.start for each in box) >= _DIRT * min(is_ink.shape)
    ]
    if len(cells) > _HOLES:
        raise ValueError(
            f"{path}: squared paper: {len(cells)} cells are enclosed by lines; use plain paper, or "
            "cut the ink out between them."
        )
    boxes = find_objects(label(is_ink, np.ones((3, 3)))[0])
    for axis, lines in enumerate((is_ink, is_ink.T)):
        crosses = (lines.mean(axis=1) >= 0.9) & lines[:, 0] & lines[:, -1]
        joined = int(np.sum(~crosses[:-1] & crosses[1:])) - int(crosses[-1])
        height, width = lines.shape
        apart = 0
        for box in boxes if len(boxes) > 1 else ():
            across, along = box[axis], box[1 - axis]
            length = along.stop - along.start
            is_inside = across.start > 0 and across.stop < height
            if is_inside and length >= _ACROSS * width:
                apart += across.stop - across.start <= _THIN * length
        if joined >= 2 or apart:
            raise ValueError(
                f"{path}: ruled or squared paper: {max(joined, apart)} lines cross the picture; "
                "use plain paper, or cut the ink out between them."
            )


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
    strokes, count = label(above >= max(INK * contrast, noise), np.ones((3, 3)))
    masses = sum_labels(above, strokes, np.arange(1, count + 1))
    sizes = [
        max(each.stop - each.start for each in box) for box in find_objects(strokes)
    ]
    is_stroke = np.array(sizes) >= _DIRT * min(above.shape)
    least = max(LEAST_CONTRAST, noise)
    if contrast < least or not is_stroke.any():
        found = (
            f"its highest contrast is {contrast:.0f}, and its noise reaches {noise:.0f}"
        )
        if contrast >= SEEN and noise > contrast:
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


def _noise(above: np.ndarray) -> float:
    """Six standard deviations of what is below the ground, where no ink is."""
    below = np.minimum(above, 0)
    return 6 * math.sqrt(np.sum(below**2) / max(1, np.count_nonzero(below)))


def _is_even(overview: np.ndarray) -> bool:
    """Whether the border is of one grey, but for noise and a little ink."""
    edge = border(overview).astype(np.float32)
    away = np.abs(edge - np.median(edge))
    contrast = np.abs(overview - np.median(edge)).max()
    longer = int(np.argmax(overview.shape))
    steps = np.abs(np.diff(overview.astype(np.float32), axis=longer))
    noise = 3 * 1.4826 * float(np.median(steps)) / math.sqrt(2)
    return bool(np.mean(away <= max(_EVEN * contrast, noise)) >= 0.95)


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


def _overview(grey: np.ndarray) -> np.ndarray:
    """In a large image each pixel of the overview is a mean, which has less noise."""
    from PIL import Image

    factor = math.ceil(max(grey.shape) / OVERVIEW)
    height, width = (math.ceil(size / factor) for size in grey.shape)
    return np.asarray(
        Image.fromarray(grey).resize((width, height), Image.Resampling.BOX)
    )


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
    # In integers, so that no rounding leads beyond the image.
    return int(places[0]) * size // of, -(-(int(places[-1]) + 1) * size // of)


def border(grey: np.ndarray) -> np.ndarray:
    """The pixels [..., B] of the four sides of images [..., H, W]."""
    sides = grey[..., 0, :], grey[..., -1, :], grey[..., 0], grey[..., -1]
    return np.concatenate(sides, axis=-1)
