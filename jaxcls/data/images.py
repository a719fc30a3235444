"""An image file as the network's training images are: their size, ground and place.

Source of the rule that centres a digit: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST
database": a box of 20 x 20 pixels, its centre of mass in the middle of 28 x 28.
"""

import math
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from jaxcls.data.ink import (
    INK,
    LEAST_CONTRAST,
    OVERVIEW,
    SEEN,
    border,
    find_ink,
    ground_is_light,
)
from jaxcls.data.pixels import read_grey

_BOX = 20 / 28
_NEAR = 0.75 / 28  # of the side: centres of mass of training images that are centred
_NEAR_ENOUGH = 1.5 / 28  # of the side: a picture that is left where it is
_SMALLEST, _LARGEST = (
    16.5 / 28,
    22 / 28,
)  # its ink's longer side, then; MNIST's has 18 to 20
_MOST_ENLARGED = 3  # times; of smaller digits more than one in ten is taken for another
_PLAIN = 8  # of 255: how far a border of black or white may be from it
_LINE = 3  # pixels of the widest line of a frame along some sides, in an overview
_FRAME = 1 / 6  # of the shorter side: the widest frame along all four
_UNLIKE = 24  # of 255: how far a frame is from the paper


def learned(features: np.ndarray, shape: tuple[int, int] | None) -> dict | None:
    """What training images [N, D] are, which a picture must become: None if they are no bytes.

    `light_ground`: whether most have a light border. `plain_ground`: whether it is all black or
    all white. `centred`: whether nearly all have their centre of mass in the middle, and ink of
    20/28 of the size, as MNIST's.

    >>> learned(np.full((2, 4), 255, np.uint8), (2, 2))
    {'light_ground': True, 'plain_ground': True, 'centred': False}
    """
    if shape is None or features.dtype != np.uint8:
        return None
    images = features[:: max(1, len(features) // 1_000)].reshape(-1, *shape)
    edge = float(np.median(np.median(border(images), axis=-1)))
    light, plain = edge > 127, min(edge, 255 - edge) <= _PLAIN
    inked = 255 - images if light else images
    offsets, extents = _placed(inked[inked.any((1, 2))])
    centred = bool(
        len(offsets)
        and np.quantile(offsets, 0.95) <= _NEAR
        and abs(np.median(extents) - _BOX) < 1.5 / 28
    )
    return {"light_ground": light, "plain_ground": plain, "centred": centred}


def _placed(grey: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How far [...] the mass is from the middle, and the ink's longer side [...].

    Both are shares of the size of images [..., H, W] that have ink.
    """
    offsets, extents = [], []
    for other in (-1, -2):
        profile, size = grey.sum(other, dtype=np.float64), grey.shape[-3 - other]
        mass = profile @ np.arange(size) / profile.sum(-1)
        offsets.append(abs(mass - size / 2) / size)
        lit = grey.max(other) >= INK * grey.max((-2, -1))[..., None]
        end = size - lit[..., ::-1].argmax(-1)
        extents.append((end - lit.argmax(-1)) / size)
    return np.maximum(*offsets), np.maximum(*extents)


def read_image(
    path: str | os.PathLike,
    shape: tuple[int, int],
    *,
    centre: bool,
    light_ground: bool = False,
    plain_ground: bool = False,
) -> tuple[np.ndarray, str]:
    """An image file of any format and size as [H, W] uint8, as the training images are.

    Colours become grey, what is transparent the ground. A picture whose ground is not as that
    of the training images is inverted. A dark or light frame is removed: along all four sides
    one of at most a sixth of the shorter, along two or three one of a few pixels. At most 50
    million pixels are decoded, which takes less than 1 GB beside the file's own size.

    Args:
        path: of a file that Pillow can read; of several frames the first.
        shape: (H, W) wanted.
        centre: whether to cut out the ink, scale it to 20/28 of the wanted size and put its
            centre of mass in the middle, as MNIST's digits are; an image of the wanted size
            whose ink is so already stays. If not, the image is scaled whole, and what its
            aspect leaves free is ground.
        light_ground: whether dark ink on light ground is wanted.
        plain_ground: whether a ground of black or white is wanted also of an image that is
            scaled whole: its own is taken off, and the ink stretched to 255 greys.

    Returns:
        The image, and a phrase that says what was done, sizes as width x height:
        "280 x 280, dark on light: inverted, cropped to 90 x 120, scaled to 15 x 20, centred
        by mass".

    Raises:
        ValueError: there is no such file, it is not a whole image or too large, it is blank,
            or its ink is too small or can't be told from shadows.
    """
    path = Path(path)
    grey = read_grey(path)
    if grey.min() == grey.max():
        raise ValueError(f"{path}: a blank image: all its pixels are of one grey.")
    grey, done = _without_frame(grey)
    is_light = ground_is_light(grey, light_ground, shape, centre)
    found = f"{_size(grey.shape)}, {'dark on light' if is_light else 'light on dark'}"
    if is_light != light_ground:
        done.append("inverted")
    if is_light:
        grey = 255 - grey
    if centre and not (grey.shape == shape and _is_centred(grey)):
        grey, more = _centred(path, grey, shape, is_light)
        done += more
    elif grey.shape != shape:
        if plain_ground:
            ink = _without_ground(path, grey, is_light)
            done += [] if np.array_equal(ink, grey) else ["ground taken off"]
            grey = ink
        elif np.ptp(grey) < LEAST_CONTRAST:
            raise ValueError(
                f"{path}: a blank image: its greys differ by {np.ptp(grey)} of 255, and by "
                f"{LEAST_CONTRAST} where something can be seen."
            )
        grey, more = _whole(grey, shape)
        done += more
    if light_ground:
        grey = 255 - grey
    return grey, f"{found}: {', '.join(done) or 'as it is'}"


def _without_frame(grey: np.ndarray) -> tuple[np.ndarray, list[str]]:
    """Lines of one grey along two sides or more, unlike what is within, become as that is.

    Wide ones only along all sides, and round something: else they may be ink themselves.
    """
    wide, line = round(_FRAME * min(grey.shape)), math.ceil(max(grey.shape) / OVERVIEW)
    for widest, least in ((wide, 4), (_LINE * line, 2)):
        if widest < 1 or min(grey.shape) < 4 * (widest + 1):
            continue
        paper = float(np.median(grey[widest:-widest, widest:-widest]))
        top, bottom, left, right = (
            _frame(lines, widest, paper, blurred=_LINE * line)
            for lines in (grey, grey[::-1], grey.T, grey.T[::-1])
        )
        if sum(width > 0 for width in (top, bottom, left, right)) < least:
            continue
        height, width = grey.shape
        inner = grey[top : height - bottom, left : width - right]
        if least == 4 and np.ptp(inner) < SEEN:
            continue
        margin = ((top, bottom), (left, right))
        return np.pad(inner, margin, mode="edge"), ["frame removed"]
    return grey, []


def _frame(lines: np.ndarray, widest: int, paper: float, blurred: int) -> int:
    """How many of the first lines belong to a frame, with those of its blurred edge.

    They are of one grey, and what follows at once is nearly all of another: of ink beyond a
    margin a line has but little. If that grey is the paper's, what follows must be thin, a line
    drawn round the paper.
    """
    first = lines[: widest + 3 * blurred].astype(np.float32)
    grey = float(np.median(first[0]))
    unlike = np.mean(np.abs(first - grey) > _UNLIKE, axis=1)
    count = int(np.argmax(unlike > 0.1))
    between = 1 - 2 * count / lines.shape[1]  # what the frame's other sides leave free
    inside = np.flatnonzero(unlike[count : count + blurred] >= 0.9 * between)
    if not 0 < count <= widest or not inside.size:
        return 0
    count += int(inside[0])
    # In a large image a line more, which is blurred too little to be seen.
    more = int(len(lines) > OVERVIEW)
    if abs(paper - grey) <= _UNLIKE:
        back = np.flatnonzero(unlike[count : count + 2 * blurred] < 0.5)
        return count + int(back[0]) + more if back.size else 0
    edge = np.median(first[count : count + 2 * blurred], axis=1)
    is_blurred = np.abs(edge - edge[-1]) > _PLAIN
    return count + int(is_blurred.sum()) + more


def _is_centred(grey: np.ndarray) -> bool:
    if np.median(border(grey)) > 0.1 * grey.max():
        return False
    offset, extent = _placed(grey)
    return bool(offset <= _NEAR_ENOUGH and _SMALLEST <= extent <= _LARGEST)


def _centred(
    path: Path, grey: np.ndarray, shape: tuple[int, int], is_light: bool
) -> tuple[np.ndarray, list[str]]:
    """MNIST's rule; from the ground up to the brightest ink, greys are stretched to 0..255.

    `is_light`: whether the picture, here light on dark, was dark on light.
    """
    from PIL import Image

    above, (left, top, right, bottom) = find_ink(path, grey, is_light)
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


def _without_ground(path: Path, grey: np.ndarray, is_light: bool) -> np.ndarray:
    """The ink where it is, on a ground of 0, stretched to 0..255."""
    above, (left, top, right, bottom) = find_ink(path, grey, is_light)
    ink = np.zeros(grey.shape, np.uint8)
    ink[top:bottom, left:right] = np.rint(255 * (above / above.max()))
    return ink


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
    canvas = np.full(shape, np.median(border(grey)), np.uint8)
    top, left = (shape[0] - height) // 2, (shape[1] - width) // 2
    canvas[top : top + height, left : left + width] = np.asarray(scaled)
    done = [f"scaled to {_size((height, width))}"]
    if (height, width) != shape:
        done.append(f"padded to {_size(shape)}")
    return canvas, done


def _size(shape: Sequence[int]) -> str:
    height, width = shape
    return f"{width} x {height}"
