"""Rare forms of photos made plain: 8-bit RGB on white, shrunk to about what is needed.

Strip by strip, so that a large photo takes the memory of its own pixels and no more.
"""

import io
from collections.abc import Callable

import numpy as np
from PIL import Image

from xferlearn.photos.pixels.formats import BadImage

# Pixels of a strip: below it a photo is made plain in one piece.
_STRIP_PIXELS = 2**22
# Memory of a strip on its way: as stored, decoded, on white, and in 8-bit RGB.
STRIP_BYTES = 24 * _STRIP_PIXELS
_WITH_ALPHA = ("RGBA", "LA", "PA", "RGBa", "La")
_OPAQUE = ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV")

# From a row to before another: an image of these rows, of any of Pillow's modes.
Rows = Callable[[int, int], Image.Image]


def rows_of(image: Image.Image) -> Rows:
    """Returns the rows of a decoded image."""
    width, height = image.size

    def rows(top: int, bottom: int) -> Image.Image:
        return image if (top, bottom) == (0, height) else image.crop((0, top, width, bottom))

    return rows


def as_bmp(rows: Rows, size: tuple[int, int], reduction: int) -> bytes:
    """Returns a photo as a BMP file, 8-bit RGB; transparent pixels are put on white.

    Args:
        rows: the photo.
        size: its width and height, px.
        reduction: how many times too large it is; boxes of so many pixels become one.

    Raises:
        BadImage: when its pixels have no brightness between black and white.
    """
    width, height = size
    # Many photos wait between reading and decoding, none of them at 12 megapixels.
    factor = max(1, reduction)
    step = max(1, _STRIP_PIXELS // (width * factor)) * factor
    if step >= height:
        whole = _reduced(_on_white(rows(0, height)), factor)
    else:
        whole = Image.new("RGB", (-(-width // factor), -(-height // factor)))
        for top in range(0, height, step):
            strip = rows(top, min(top + step, height))
            whole.paste(_reduced(_on_white(strip), factor), (0, top // factor))
    buffer = io.BytesIO()
    whole.save(buffer, "BMP")
    return buffer.getvalue()


def _reduced(image: Image.Image, factor: int) -> Image.Image:
    return image.reduce(factor) if factor > 1 else image


def _on_white(image: Image.Image) -> Image.Image:
    if image.mode.startswith("I;16"):
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if "transparency" in image.info or image.mode in _WITH_ALPHA:
        rgba = image.convert("RGBA")
        rgb = Image.new("RGB", image.size, "white")
        rgb.paste(rgba, mask=rgba.getchannel("A"))
        return rgb
    if image.mode in ("I", "F"):
        kind = "32-bit or signed" if image.mode == "I" else "floating-point"
        raise BadImage(
            f"{kind} values, which have no white of their own: save it with 8 or 16 bits per"
            " channel"
        )
    if image.mode not in _OPAQUE:
        raise BadImage(f"pixels of the form {image.mode} are not supported")
    return image.convert("RGB")
