"""Bytes of a photo -> oriented, cropped, resized pixels.

Every photo is looked at twice. `prepare` reads the header in Python, names what can't be used,
and brings rare forms (animation, transparency, palettes, 16 bits) to plain ones. `decode_pixels`
then runs inside tf.data on what is plain: JPEG, PNG or BMP with 8-bit gray or RGB.
"""

import dataclasses
import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import (
    BmpImagePlugin,
    GifImagePlugin,
    Image,
    JpegImagePlugin,
    PngImagePlugin,
    WebPImagePlugin,
)

from xferlearn.views import CROP_FRACTION

if TYPE_CHECKING:
    import tensorflow as tf

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".gif", ".webp")

RESIZE_POLICY = "shorter side to 8/7, centre crop, bilinear, antialias below 1/2"

_JPEG, _PNG, _BMP, _NONE = 0, 4, 5, 6  # 0 to 3: JPEG at 1/1, 1/2, 1/4 and 1/8 of its size
_EXIF_ORIENTATION = 0x0112

# The plug-ins are called by name because Image.open tries dozens of formats and warns, through
# process-wide state, about sizes that `max_pixels` already bounds.
_READERS = (
    (b"\xff\xd8\xff", "JPEG", JpegImagePlugin.JpegImageFile),
    (b"\x89PNG\r\n\x1a\n", "PNG", PngImagePlugin.PngImageFile),
    (b"GIF8", "GIF", GifImagePlugin.GifImageFile),
    (b"BM", "BMP", BmpImagePlugin.BmpImageFile),
    (b"RIFF", "WebP", WebPImagePlugin.WebPImageFile),
)
_FOREIGN = (
    (b"II*\x00", "a TIFF file"),
    (b"MM\x00*", "a TIFF file"),
    (b"%PDF", "a PDF file"),
    (b"<", "an HTML or XML page"),
    (b"\x00\x00\x00\x0cjP", "a JPEG 2000 file"),
    (b"\xff\x0a", "a JPEG XL file"),
)
# 8-bit gray and colour, also CMYK: TensorFlow's decoders read these as they are. BMP has many
# forms that they don't.
_PLAIN = {"JPEG": ("L", "RGB", "CMYK"), "PNG": ("L", "RGB")}


class BadImage(ValueError):
    """A photo can't be used; the message is the reason, in a few words."""


@dataclasses.dataclass(frozen=True, slots=True)
class PreparedImage:
    """A photo that `decode_pixels` can decode.

    Attributes:
        data: bytes of a JPEG, PNG or BMP file, 8-bit gray, RGB or (JPEG) CMYK.
        kind: which decoder, and at what fraction of the size.
        orientation: EXIF orientation, 1 to 8; 1 is upright.
        width: px, as stored, before orientation is applied.
        height: px, likewise.
    """

    data: bytes
    kind: int
    orientation: int
    width: int
    height: int


# Stands for a photo that needs no decoding; `decode_pixels` makes it black.
NO_IMAGE = PreparedImage(b"", _NONE, 1, 1, 1)


def prepare(
    data: bytes,
    image_size: int | tuple[int, int],
    max_pixels: int,
    smallest_window: float = CROP_FRACTION,
) -> PreparedImage:
    """Reads a photo's header, and brings rare forms to plain ones.

    Transparent pixels are put on white, of an animation the first frame is taken, 16 bits become
    8. A JPEG much larger than needed is marked to be decoded at 1/2, 1/4 or 1/8, never below the
    needed size.

    Args:
        data: the file's bytes.
        image_size: side in px of the square that the network sees, or its height and width.
        max_pixels: photos with more pixels than this are refused before decoding.
        smallest_window: the smallest `View.window` that it is to be seen through.

    Raises:
        BadImage: when the photo can't be used.
    """
    name, image = _open(data)
    width, height = image.size
    if width * height > max_pixels:
        raise BadImage(f"{width} x {height} pixels, more than max_image_pixels={max_pixels}")
    orientation = _orientation(image)
    shorter = min(width, height)
    needed = max(_height_and_width(image_size)) / smallest_window
    transparent = "transparency" in image.info
    # TensorFlow reads 16-bit gray rightly too, but Pillow's modes tell only that it is not 8.
    if image.mode in _PLAIN.get(name, ()) and not transparent:
        kind = _JPEG + _halvings(shorter, needed) if name == "JPEG" else _PNG
        return PreparedImage(data, kind, orientation, width, height)
    return PreparedImage(_as_bmp(image, int(shorter / needed)), _BMP, orientation, width, height)


def _open(data: bytes) -> tuple[str, Image.Image]:
    if not data:
        raise BadImage("the file is empty")
    for magic, name, reader in _READERS:
        if data.startswith(magic):
            try:
                return name, reader(io.BytesIO(data))
            except Exception as error:  # Pillow's readers raise many types on broken headers
                raise BadImage(f"broken {name} header ({_short(error)})") from None
    for magic, name in _FOREIGN:
        if data.lstrip()[:16].startswith(magic):
            raise BadImage(f"not a JPEG, PNG, GIF, BMP or WebP file but {name}")
    if data[4:8] == b"ftyp":
        raise BadImage("not a JPEG, PNG, GIF, BMP or WebP file but HEIC, AVIF or a video")
    raise BadImage(f"not a JPEG, PNG, GIF, BMP or WebP file (it begins with {data[:8]!r})")


def _orientation(image: Image.Image) -> int:
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception:  # a broken EXIF block does not make the photo unusable
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _halvings(shorter: int, needed: float) -> int:
    return sum(shorter / ratio >= needed for ratio in (2, 4, 8))


def _as_bmp(image: Image.Image, reduction: int) -> bytes:
    """Decodes with Pillow; `reduction` is how many times too large the photo is."""
    try:
        image.load()
        if image.mode.startswith("I;16") or image.mode == "I":
            rgb = Image.fromarray((np.asarray(image) >> 8).clip(0, 255).astype(np.uint8))
        elif "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "RGBa", "La"):
            rgba = image.convert("RGBA")
            rgb = Image.new("RGB", image.size, "white")
            rgb.paste(rgba, mask=rgba.getchannel("A"))
        elif image.mode in ("1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "LAB", "HSV"):
            rgb = image
        else:
            raise BadImage(f"pixels of the form {image.mode} are not supported")
        rgb = rgb.convert("RGB")
        if reduction > 1:
            # Many photos wait between reading and decoding, none of them at 12 megapixels.
            rgb = rgb.reduce(reduction)
        buffer = io.BytesIO()
        rgb.save(buffer, "BMP")
        return buffer.getvalue()
    except BadImage:
        raise
    except Exception as error:  # Pillow's decoders raise many types on broken data
        raise BadImage(f"can't be decoded ({_short(error)})") from None


def _short(error: Exception) -> str:
    return " ".join(str(error).split())[:120] or type(error).__name__


def decode_pixels(
    data: "tf.Tensor",
    kind: "tf.Tensor",
    orientation: "tf.Tensor",
    image_size: int | tuple[int, int],
    resize: str = "crop",
    view: "tf.Tensor | None" = None,
) -> "tf.Tensor":
    """Decodes a prepared photo to what the network sees; for use in tf.data or eagerly.

    Args:
        data: string, []: `PreparedImage.data`.
        kind: int32, []: `PreparedImage.kind`.
        orientation: int32, []: `PreparedImage.orientation`.
        image_size: side in px of the result, or its height and width.
        resize: "crop" or "squash", see `resize_pixels`.
        view: float32, [6], as `View.parameters` returns it, instead of the centre; None for none.

    Returns:
        uint8, [height, width, 3], RGB, range [0, 255].

    Raises:
        tf.errors.InvalidArgumentError: on broken data.
    """
    import tensorflow as tf

    height, width = _height_and_width(image_size)
    # Orientations 5 to 8 swap the sides, and are applied last, on fewer pixels.
    size = tf.where(orientation > 4, [width, height], [height, width])

    def jpeg(ratio: int) -> tf.Tensor:
        if resize != "crop":
            return tf.io.decode_jpeg(data, channels=3, ratio=ratio)
        # Only the blocks that the crop touches are decoded.
        sides = -(-tf.image.extract_jpeg_shape(data)[:2] // ratio)
        box = _centre_box(sides, size) if view is None else _view_box(sides, view)
        return tf.image.decode_and_crop_jpeg(data, box, channels=3, ratio=ratio)

    def whole(pixels: tf.Tensor) -> tf.Tensor:
        if view is not None:
            return _boxed(pixels, _view_box(tf.shape(pixels)[:2], view))
        return _cropped(pixels, size) if resize == "crop" else pixels

    pixels = tf.switch_case(
        kind,
        [
            lambda: jpeg(1),
            lambda: jpeg(2),
            lambda: jpeg(4),
            lambda: jpeg(8),
            lambda: whole(tf.io.decode_png(data, channels=3)),
            lambda: whole(tf.io.decode_bmp(data, channels=3)),
            lambda: tf.zeros([1, 1, 3], tf.uint8),
        ],
    )
    oriented = _oriented(_scaled(pixels, size), orientation)
    if view is not None:
        flip, brightness = view[4], view[5]
        oriented = tf.cond(flip > 0, lambda: tf.reverse(oriented, [1]), lambda: oriented)
        brighter = tf.round(tf.cast(oriented, tf.float32) * brightness)
        oriented = tf.saturate_cast(brighter, tf.uint8)
    return tf.ensure_shape(oriented, [height, width, 3])


def _height_and_width(image_size: int | tuple[int, int]) -> tuple[int, int]:
    return (image_size, image_size) if isinstance(image_size, int) else image_size


def resize_pixels(pixels: "tf.Tensor", size: "tf.Tensor", resize: str = "crop") -> "tf.Tensor":
    """Resizes pixels to a size, bilinear; with antialias where they shrink to less than a half.

    Args:
        pixels: uint8 or float32, [height, width, 3], range [0, 255].
        size: int32, [2], height and width of the result in px.
        resize: "crop" keeps the aspect ratio: the largest box of the result's shape, and of it
            the central `CROP_FRACTION`. "squash" takes the whole photo, as the lab's tools did.

    Returns:
        uint8, [*size, 3], range [0, 255].
    """
    return _scaled(_cropped(pixels, size) if resize == "crop" else pixels, size)


def _centre_box(sides: "tf.Tensor", size: "tf.Tensor") -> "tf.Tensor":
    """Returns top, left, height and width of the part that is seen, int32, [4]."""
    import tensorflow as tf

    wanted = tf.cast(size, tf.float32)
    scale = tf.reduce_min(tf.cast(sides, tf.float32) / wanted) * CROP_FRACTION
    box = tf.maximum(tf.cast(tf.round(wanted * scale), tf.int32), 1)
    return tf.concat([(sides - box) // 2, box], axis=0)


def _cropped(pixels: "tf.Tensor", size: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf

    return _boxed(pixels, _centre_box(tf.shape(pixels)[:2], size))


def _view_box(sides: "tf.Tensor", view: "tf.Tensor") -> "tf.Tensor":
    """Returns the window of a view in px, as `_centre_box` does."""
    import tensorflow as tf

    box = tf.clip_by_value(
        tf.cast(tf.round(view[2:4] * tf.cast(sides, tf.float32)), tf.int32), 1, sides
    )
    corner = tf.cast(tf.round(view[:2] * tf.cast(sides, tf.float32)), tf.int32)
    return tf.concat([tf.clip_by_value(corner, 0, sides - box), box], axis=0)


def _boxed(pixels: "tf.Tensor", box: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf

    top, left, height, width = tf.unstack(box)
    return pixels[top : top + height, left : left + width]


def _scaled(pixels: "tf.Tensor", size: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf

    # Antialiasing costs as much as decoding. It is kept for where leaving it out would skip
    # pixels, which JPEGs, decoded at a fraction of their size, never come to.
    shrinks = tf.reduce_any(tf.shape(pixels)[:2] > 2 * size)
    resized = tf.cond(
        shrinks,
        lambda: tf.image.resize(pixels, size, antialias=True),
        lambda: tf.image.resize(pixels, size),
    )
    return tf.saturate_cast(tf.round(resized), tf.uint8)


def _oriented(pixels: "tf.Tensor", orientation: "tf.Tensor") -> "tf.Tensor":
    import tensorflow as tf

    def turned(transpose: bool, flip_axes: tuple[int, ...]) -> tf.Tensor:
        turned_pixels = tf.transpose(pixels, [1, 0, 2]) if transpose else pixels
        return tf.reverse(turned_pixels, flip_axes) if flip_axes else turned_pixels

    # EXIF 2.3, tag Orientation: which edges of the picture row 0 and column 0 are.
    cases = [
        (False, ()),
        (False, (1,)),
        (False, (0, 1)),
        (False, (0,)),
        (True, ()),
        (True, (1,)),
        (True, (0, 1)),
        (True, (0,)),
    ]
    return tf.switch_case(orientation - 1, [lambda case=case: turned(*case) for case in cases])
