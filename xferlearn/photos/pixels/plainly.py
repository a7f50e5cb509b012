"""Prepared photos -> pixels without TensorFlow, bit by bit as `decode_pixels` makes them.

Starting TensorFlow takes seconds, in which Pillow and NumPy have long decoded a few photos. What
they would do in another way, such as enlarging the colours of a JPEG that stores fewer of them, is
left to TensorFlow.
"""

import io
from typing import Any

import numpy as np
from PIL import Image

from xferlearn.photos.pixels.headers import (
    BMP_KIND,
    JPEG_KIND,
    NO_KIND,
    PNG_KIND,
    READY_KIND,
    PreparedImage,
    height_and_width,
)
from xferlearn.photos.views import CROP_FRACTION

# EXIF 2.3, tag Orientation: whether rows become columns, then which axes are turned round.
_TURNS = {
    1: (False, ()), 2: (False, (1,)), 3: (False, (0, 1)), 4: (False, (0,)),
    5: (True, ()), 6: (True, (1,)), 7: (True, (0, 1)), 8: (True, (0,)),
}  # fmt: skip
_MODES = ("L", "RGB")


def decode_plainly(
    image: PreparedImage, image_size: int | tuple[int, int], resize: str = "crop"
) -> np.ndarray | None:
    """Returns the pixels that `decode_pixels` gives for the centre of a photo.

    Args:
        image: the photo.
        image_size: side in px of the result, or its height and width.
        resize: "crop" or "squash", see `operations.resize_pixels`.

    Returns:
        uint8, [height, width, 3], RGB, range [0, 255]; None for a photo that only TensorFlow
        decodes in this way, and for broken data.
    """
    height, width = height_and_width(image_size)
    if image.kind == NO_KIND:
        return np.zeros((height, width, 3), np.uint8)
    try:
        pixels = _decoded(image)
    except Exception:  # Pillow raises many types on broken data; TensorFlow has the last word
        return None
    if pixels is None:
        return None
    transpose, axes = _TURNS[image.orientation]
    size = (width, height) if transpose else (height, width)
    if resize == "crop" and image.kind != READY_KIND:
        top, left, box_height, box_width = _centre_box(pixels.shape[:2], size)
        pixels = pixels[top : top + box_height, left : left + box_width]
    if pixels.shape[0] > 2 * size[0] or pixels.shape[1] > 2 * size[1]:
        return None  # with antialias
    resized = _bilinear(pixels, size)
    turned = resized.transpose(1, 0, 2) if transpose else resized
    return np.ascontiguousarray(np.flip(turned, axes))


def _decoded(image: PreparedImage) -> np.ndarray | None:
    opened: Any = Image.open(io.BytesIO(image.data), formats=("JPEG", "PNG", "BMP"))
    if opened.mode not in _MODES:
        return None
    if image.kind < PNG_KIND:
        ratio = 2 ** (image.kind - JPEG_KIND)
        if not _colours_are_whole(opened.layer, ratio):
            return None
        # By default, TensorFlow decodes with libjpeg's quick transform, and Pillow with another.
        opened.draft(None, (opened.width // ratio, opened.height // ratio))
        opened.decoderconfig = (ratio, 1)
    elif image.depth is not None and image.kind not in (BMP_KIND, READY_KIND):
        return None
    return np.asarray(opened.convert("RGB"))


def _colours_are_whole(layers: Any, ratio: int) -> bool:
    """Returns whether all components of a JPEG are decoded at the size of the photo."""
    most = [max(layer[axis] for layer in layers) for axis in (1, 2)]
    block = 8 // ratio
    for _, across, down, _ in layers:
        side = block
        while side < 8 and not any(
            whole * block % (samples * side * 2)
            for whole, samples in zip(most, (across, down), strict=True)
        ):
            side *= 2
        if (across * side, down * side) != (most[0] * block, most[1] * block):
            return False
    return True


def _centre_box(sides: tuple[int, ...], size: tuple[int, int]) -> tuple[int, int, int, int]:
    """Returns top, left, height and width of the part that is seen."""
    wanted, whole = np.array(size, np.float32), np.array(sides, np.float32)
    scale = (whole / wanted).min() * np.float32(CROP_FRACTION)
    box = np.maximum(np.round(wanted * scale).astype(int), 1)
    top, left = (np.array(sides) - box) // 2
    return int(top), int(left), int(box[0]), int(box[1])


def _bilinear(pixels: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Returns pixels at a size, in the order of TensorFlow's arithmetic in float32."""
    (above, below, down), (left, right, across) = (
        _places(old, new) for old, new in zip(pixels.shape[:2], size, strict=True)
    )
    across, down = across[:, None], down[:, None, None]
    rows = pixels.astype(np.float32)
    upper, lower = rows[above], rows[below]
    top = upper[:, left] + (upper[:, right] - upper[:, left]) * across
    bottom = lower[:, left] + (lower[:, right] - lower[:, left]) * across
    return np.round(top + (bottom - top) * down).astype(np.uint8)


def _places(old: int, new: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the two neighbours of each new pixel, and how far it is from the first."""
    scale = np.float32(old) / np.float32(new)
    places = (np.arange(new, dtype=np.float32) + np.float32(0.5)) * scale - np.float32(0.5)
    first = np.floor(places)
    low = np.maximum(first, 0).astype(int)
    high = np.minimum(np.ceil(places), old - 1).astype(int)
    return low, high, places - first
