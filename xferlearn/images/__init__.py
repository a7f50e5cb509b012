"""Bytes of a photo -> oriented, cropped, resized pixels.

Every photo is looked at twice. `prepare` reads the header in Python, names what can't be used,
and brings rare forms (animation, transparency, palettes, 16 bits) to plain ones. `decode_pixels`
then runs inside tf.data on what is plain: JPEG, PNG or BMP with 8-bit gray or RGB.
"""

from xferlearn.images.pixels import RESIZE_POLICY, decode_pixels, resize_pixels
from xferlearn.images.preparing import NO_IMAGE, SUFFIXES, BadImage, PreparedImage, prepare

__all__ = [
    "NO_IMAGE",
    "RESIZE_POLICY",
    "SUFFIXES",
    "BadImage",
    "PreparedImage",
    "decode_pixels",
    "prepare",
    "resize_pixels",
]
