"""Photos for people: the whole picture, upright, no larger than asked for."""

import io

from PIL import Image

from xferlearn.photos.pixels.formats import BadImage, find_format, open_image
from xferlearn.photos.pixels.headers import prepare
from xferlearn.photos.pixels.memory import PixelMemory
from xferlearn.system.text import one_line

# What brings a photo upright, by its EXIF orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def upright_photo(
    data: bytes, side: int, max_pixels: int, memory: PixelMemory, bit_depth: int | None = None
) -> tuple[Image.Image, tuple[int, int]]:
    """Returns a photo as a person is to see it.

    Args:
        data: the file's bytes, in any format that photos are read from.
        side: most px of its longer side; it is never enlarged.
        max_pixels: photos with more pixels than this are not decoded.
        memory: what decoding may take.
        bit_depth: bits used of its values if it has more than 8 per channel.

    Returns:
        The photo, RGB, and its own width and height in px, upright.

    Raises:
        BadImage: when it can't be decoded.

    Example:
        >>> image, (width, height) = upright_photo(data, 1280, 10**8, PixelMemory())
    """
    plain = prepare(data, side, max_pixels, bit_depth=bit_depth, memory=memory)
    size = (plain.width, plain.height)
    with memory.taken(plain.decoded_bytes, f"{plain.width} x {plain.height} pixels"):
        try:
            image = open_image(plain.data, find_format(plain.data))
            image.draft(None, (side, side))
            # Sides are swapped later, so both may have `side`.
            shown = image.convert("RGB")
            shown.thumbnail((side, side), Image.Resampling.LANCZOS)
        except BadImage:
            raise
        except Exception as error:  # Pillow raises many types on broken data
            raise BadImage(f"can't be decoded ({one_line(error, 120)})") from None
    if plain.orientation in _TURNS:
        shown = shown.transpose(_TURNS[plain.orientation])
    return shown, size if plain.orientation < 5 else size[::-1]


def as_jpeg(image: Image.Image, quality: int) -> bytes:
    """Returns an image as a JPEG file, without any metadata."""
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=quality)
    return buffer.getvalue()
