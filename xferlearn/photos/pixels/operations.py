"""Prepared photos -> oriented, cropped, resized pixels, in TensorFlow operations."""

from typing import TYPE_CHECKING

from xferlearn.photos.pixels.headers import height_and_width
from xferlearn.photos.views import CROP_FRACTION

if TYPE_CHECKING:
    import tensorflow as tf

RESIZE_POLICY = "shorter side to 8/7, centre crop, bilinear, antialias below 1/2"


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
        view: float32, [6], as `View.parameters` returns it, instead of the centre; None for the
            centre.

    Returns:
        uint8, [height, width, 3], RGB, range [0, 255].

    Raises:
        tf.errors.InvalidArgumentError: on broken data.
    """
    import tensorflow as tf

    height, width = height_and_width(image_size)
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
            lambda: tf.io.decode_bmp(data, channels=3),
        ],
    )
    oriented = _oriented(_scaled(pixels, size), orientation)
    if view is not None:
        flip, brightness = view[4], view[5]
        oriented = tf.cond(flip > 0, lambda: tf.reverse(oriented, [1]), lambda: oriented)
        brighter = tf.round(tf.cast(oriented, tf.float32) * brightness)
        oriented = tf.saturate_cast(brighter, tf.uint8)
    return tf.ensure_shape(oriented, [height, width, 3])


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

    # Antialiasing costs as much as decoding. It is kept for photos of which pixels would be skipped
    # without it; JPEGs, decoded at a fraction of their size, never shrink that much.
    shrinks = tf.reduce_any(tf.shape(pixels)[:2] > 2 * size)
    resized = tf.cond(
        shrinks,
        lambda: tf.image.resize(pixels, size, antialias=True),
        # In float32 the same interpolation takes half the time that it takes in uint8.
        lambda: tf.image.resize(tf.cast(pixels, tf.float32), size),
    )
    # Weighted means stay in [0, 255]: a saturating cast would double the cost of the rounding.
    return tf.cast(tf.round(resized), tf.uint8)


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
