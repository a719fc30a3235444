"""An image file's pixels as grey bytes, whatever its format, depth or transparency."""

import contextlib
import io
import os
import re
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from jaxcls.data.arrays import check_file, readable

if TYPE_CHECKING:
    from PIL import Image

_MOST_PIXELS = 50_000_000  # at four bytes each, and three copies: 0.6 GB
_MOST_BYTES = 500_000_000  # of a file: as many pixels at eight bytes, and some more


def read_grey(path: Path) -> np.ndarray:
    """Reads the first frame of an image file as [H, W] uint8; what is transparent is ground.

    Raises:
        ValueError: there is no such file, or it is not a whole image or too large.
    """
    from PIL import Image, ImageOps, UnidentifiedImageError

    check_file(path, "an image")
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
                # Pillow reads colours of 16 bits as their high bytes; once read, it is forgotten.
                was_deep = re.search(r";16[BLN]", str(image.tile)) is not None
                with _quiet(image):
                    image.load()
                _check_size(image)  # an icon's is known only now
                return _to_grey(ImageOps.exif_transpose(image), was_deep)
        except UnidentifiedImageError:
            raise ValueError("it is in no image format that Pillow knows") from None
        except OSError as error:
            if "truncated" not in str(error):
                raise
            raise ValueError(f"{error}; copy or save it again, whole") from None
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


def _to_grey(image: "Image.Image", was_deep: bool) -> np.ndarray:
    """[H, W] uint8 of any mode that has a white; `was_deep`: its colours had 16 bits."""
    from PIL import Image

    if image.mode.startswith("I"):
        return _high_bytes(np.asarray(image), image.info.get("transparency"))
    if image.mode == "F":
        raise ValueError("its pixels are floats, of which none is white; save bytes")
    if was_deep:
        image = _stretched(image)
    if not image.has_transparency_data:
        return np.array(image.convert("L"))
    image = image.convert("RGBA")
    grey, alpha = image.convert("L"), image.getchannel("A")
    ground = _ground_behind(np.asarray(grey), np.asarray(alpha))
    return np.array(Image.composite(grey, Image.new("L", image.size, ground), alpha))


def _stretched(image: "Image.Image") -> "Image.Image":
    """Colours and alpha of which only the low bits are used, as of 12 in 16, up to 255."""
    from PIL import Image

    bands = [np.asarray(band) for band in image.split()]
    has_alpha = image.mode in ("LA", "RGBA")
    colours, alpha = (bands[:-1], bands[-1:]) if has_alpha else (bands, [])
    # Black ink may stand in the alpha alone.
    in_alpha = has_alpha and np.ptp(alpha) > 0
    if not (np.any(colours) or in_alpha) or (has_alpha and not np.any(alpha)):
        raise ValueError(
            "of its 16 bits no more than the lowest 8 are used; save it with 8 bits"
        )
    widened = [*_up_to_255(colours), *_up_to_255(alpha)]
    return Image.merge(image.mode, [Image.fromarray(band) for band in widened])


def _up_to_255(bands: list[np.ndarray]) -> list[np.ndarray]:
    most = max((int(band.max()) for band in bands), default=0)
    shift = 8 - next(bits for bits in (2, 4, 6, 8) if most < 1 << bits)
    return [band << shift for band in bands]


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
