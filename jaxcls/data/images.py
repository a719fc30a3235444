"""An image file as the network's training images are: small, light ink on dark ground.

Source of the rule that centres a digit: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST
database": a box of 20 x 20 pixels, its centre of mass in the middle of 28 x 28.
"""

import io
import math
import os
import warnings
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
_INK = 0.25  # of that contrast: enough above the ground to count as ink
_NOISE = 5 * 1.4826  # five standard deviations, from the median deviation


def read_image(
    path: str | os.PathLike, shape: tuple[int, int], *, centre: bool
) -> tuple[np.ndarray, str]:
    """An image file of any format and size as [H, W] uint8, light ink on dark ground.

    Transparent parts are white and colours grey; an image whose border is light, by its
    median, is inverted. Then an image of the wanted size stays as it is. At most 50 million
    pixels are decoded, which takes less than 1 GB beside the file's own size.

    Args:
        path: of a file that Pillow can read; of several frames the first.
        shape: (H, W) wanted.
        centre: of an image of another size, whether to cut out the ink, scale it to 20/28 of
            the wanted size and put its centre of mass in the middle, as MNIST's digits are;
            if not, the image is scaled whole, and what its aspect leaves free is ground.

    Returns:
        The image, and a phrase that says what was done, sizes as width x height:
        "280 x 280, dark on light: inverted, cropped to 90 x 120, scaled to 15 x 20, centred
        by mass".

    Raises:
        ValueError: there is no such file, it is not a whole image or too large, or it is
            blank.
    """
    path = Path(path)
    check_file(path, "an image")
    grey = _read_grey(path)
    done = []
    found = f"{_size(grey.shape)}, light on dark"
    if np.median(_border(grey)) > 127:
        grey = 255 - grey
        found = f"{_size(grey.shape)}, dark on light"
        done.append("inverted")
    if grey.min() == grey.max():
        raise ValueError(f"{path}: a blank image: all its pixels are of one grey.")
    if grey.shape != shape:
        grey, more = (_centred if centre else _whole)(path, grey, shape)
        done += more
    return grey, f"{found}: {', '.join(done) or 'as it is'}"


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
                image.load()
                _check_size(image)  # an icon's is known only now
                return _to_grey(ImageOps.exif_transpose(image))
        except UnidentifiedImageError:
            raise ValueError("it is in no image format that Pillow knows") from None
        except (Image.DecompressionBombError, Image.DecompressionBombWarning):
            raise ValueError(_too_large()) from None


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
    white = Image.new("L", image.size, 255)
    return np.array(Image.composite(image.convert("L"), white, image.getchannel("A")))


def _high_bytes(pixels: np.ndarray, transparent: int | None) -> np.ndarray:
    """[H, W] uint8 of 16-bit pixels, which Pillow would clip at 255."""
    if pixels.min() < 0 or pixels.max() > 0xFFFF:
        raise ValueError("its pixels have more than 16 bits; save 8 or 16")
    grey = (pixels >> 8).astype(np.uint8)
    if transparent is not None:
        grey[pixels == transparent] = 255
    return grey


def _centred(
    path: Path, grey: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, list[str]]:
    """MNIST's rule; from the ground up to the brightest ink, greys are stretched to 0..255."""
    from PIL import Image

    ground, (left, top, right, bottom) = _find_ink(path, grey)
    height, width = bottom - top, right - left
    scale = _BOX * min(shape[0] / height, shape[1] / width)
    scaled_shape = max(1, round(height * scale)), max(1, round(width * scale))
    # In floats: of a thin line in a large image, bytes would leave only a few greys.
    above = np.maximum(grey[top:bottom, left:right] - np.float32(ground), 0)
    ink = Image.fromarray(above).resize(scaled_shape[::-1], Image.Resampling.BOX)
    ink = np.asarray(ink)
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


def _find_ink(path: Path, grey: np.ndarray) -> tuple[float, tuple[int, int, int, int]]:
    """The ground's grey, and where ink is: (left, top, right, bottom)."""
    from PIL import Image

    # In a large image each pixel of the overview is a mean, which has less noise.
    factor = math.ceil(max(grey.shape) / _OVERVIEW)
    height, width = (math.ceil(size / factor) for size in grey.shape)
    overview = np.asarray(
        Image.fromarray(grey).resize((width, height), Image.Resampling.BOX)
    )
    border = _border(overview)
    ground = float(np.median(border))
    noise = _NOISE * float(np.median(np.abs(border - ground)))
    contrast = float(overview.max()) - ground
    if contrast < max(_LEAST_CONTRAST, noise):
        raise ValueError(
            f"{path}: a blank image: nothing stands out from its ground by "
            f"{max(_LEAST_CONTRAST, noise):.0f} of 255 greys."
        )
    is_ink = overview >= ground + max(_INK * contrast, noise)
    top, bottom = _extent(is_ink, 0, grey.shape)
    left, right = _extent(is_ink, 1, grey.shape)
    return ground, (left, top, right, bottom)


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


def _whole(
    path: Path, grey: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, list[str]]:
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


def _size(shape: tuple[int, ...]) -> str:
    height, width = shape
    return f"{width} x {height}"
