"""The IDX format of the MNIST family: a magic number, the dimensions, then the bytes.

Source: Y. LeCun, C. Cortes, C. J. C. Burges, "The MNIST database", section "file formats".
"""

import zlib

import numpy as np

# The third byte, 8, says unsigned bytes; the fourth is the number of dimensions.
_IMAGES_MAGIC = 0x0803
_LABELS_MAGIC = 0x0801
# Six times MNIST's training images: a forged header can ask for no more.
_LARGEST = 300_000_000


def read_images(compressed: bytes, name: str) -> np.ndarray:
    """Images [N, height, width] uint8 of a gzipped IDX file.

    Args:
        compressed: the .gz file's bytes.
        name: what errors call it.

    Raises:
        ValueError: it is no gzip stream, or not an IDX file of images, whole and no longer.
    """
    return _read(compressed, name, _IMAGES_MAGIC, "images", 3)


def read_labels(compressed: bytes, name: str, num_classes: int = 10) -> np.ndarray:
    """Labels [N] uint8 of a gzipped IDX file, each below `num_classes`.

    Args:
        compressed: the .gz file's bytes.
        name: what errors call it.
        num_classes: K.

    Raises:
        ValueError: as `read_images`, or a label outside 0..K-1.
    """
    labels = _read(compressed, name, _LABELS_MAGIC, "labels", 1)
    if labels.size and labels.max() >= num_classes:
        raise ValueError(
            f"{name}: labels must lie in 0..{num_classes - 1}, got {labels.max()}."
        )
    return labels


def _read(
    compressed: bytes, name: str, magic: int, kind: str, num_dims: int
) -> np.ndarray:
    header_size = 4 + 4 * num_dims
    stream = zlib.decompressobj(wbits=31)  # gzip
    try:
        header = stream.decompress(compressed, header_size)
        found = int.from_bytes(header[:4], "big")
        if found != magic or len(header) < header_size:
            raise ValueError(
                f"{name}: not an IDX file of {kind}: it begins with {header[:4].hex() or 'nothing'}, "
                f"wanted {magic:08x} and {num_dims} dimensions."
            )
        shape = tuple(int(size) for size in np.frombuffer(header, ">u4", offset=4))
        size = 1
        for each in shape:
            size *= each
        if size > _LARGEST:
            raise ValueError(
                f"{name}: its header announces {size:,} bytes, more than the {_LARGEST:,} allowed."
            )
        # One byte more than announced would show that the file is longer.
        content = stream.decompress(stream.unconsumed_tail, size + 1)
    except zlib.error as error:
        raise ValueError(f"{name}: not a whole .gz file ({error}).") from None
    if len(content) != size or stream.unused_data:
        found = f"only {len(content):,}" if len(content) < size else "more"
        raise ValueError(
            f"{name}: its header announces {size:,} bytes of {kind} {list(shape)}, but it holds {found}."
        )
    if not stream.eof:  # so its checksum, which comes last, was not compared
        raise ValueError(f"{name}: not a whole .gz file (its end is missing).")
    return np.frombuffer(content, np.uint8).reshape(shape)
