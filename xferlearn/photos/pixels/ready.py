"""Photos that are decoded one at a time: those that take much memory, before the pipeline."""

import dataclasses
import functools
import io
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING

from PIL import Image

from xferlearn.photos.pixels.formats import BadImage
from xferlearn.photos.pixels.headers import READY_KIND, PreparedImage
from xferlearn.photos.pixels.memory import PixelMemory
from xferlearn.photos.pixels.operations import decode_pixels
from xferlearn.photos.pixels.plainly import decode_plainly
from xferlearn.photos.views import PLAIN
from xferlearn.system.runtime import start_tensorflow
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import numpy as np
    import tensorflow as tf

NO_VIEW = PLAIN.parameters(1, 1)


def signature() -> "tuple[tf.TensorSpec, ...]":
    """Returns number, data, kind, orientation and view of one photo."""
    import tensorflow as tf

    return (
        *(tf.TensorSpec([], kind) for kind in (tf.int64, tf.string, tf.int32, tf.int32)),
        tf.TensorSpec([len(NO_VIEW)], tf.float32),
    )


@functools.lru_cache
def decoder(image_size: int | tuple[int, int], resize: str, views: bool) -> Callable:
    """Returns what decodes one photo, traced once per process: that takes 0.1 s.

    Args:
        image_size: side in px, or height and width.
        resize: "crop" or "squash", see `pixels.resize_pixels`.
        views: whether photos are seen as their view says; else all in the plain view.

    Returns:
        From tensors as in `signature` to the number and pixels, uint8, [height, width, 3].
    """
    import tensorflow as tf

    def decode(number: tf.Tensor, *image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        data, kind, orientation, view = image
        seen = view if views else None
        return number, decode_pixels(data, kind, orientation, image_size, resize, seen)

    # There is no Python control flow to convert, and looking for it takes half a second.
    traced = tf.function(decode, input_signature=signature(), autograph=False)
    return traced.get_concrete_function()


def decode_now(
    image: PreparedImage,
    image_size: int | tuple[int, int],
    resize: str,
    view: tuple[float, ...] | None,
    *,
    views: bool,
) -> "np.ndarray":
    """Returns a photo's pixels, as the pipeline would; arguments as for `decoder`.

    Raises:
        BadImage: on broken data.
    """
    if "tensorflow" not in sys.modules and not views:
        plain = decode_plainly(image, image_size, resize)
        if plain is not None:
            return plain
    start_tensorflow()
    import tensorflow as tf

    values = (0, image.data, image.kind, image.orientation, view or NO_VIEW)
    try:
        with tf.device("/CPU:0"):
            parts = (
                tf.constant(value, spec.dtype)
                for value, spec in zip(values, signature(), strict=True)
            )
            return decoder(image_size, resize, views)(*parts)[1].numpy()
    except tf.errors.OpError as error:
        raise BadImage(f"can't be decoded ({one_line(error, 120)})") from None


def made_ready(
    image: PreparedImage,
    image_size: int | tuple[int, int],
    resize: str,
    view: tuple[float, ...] | None,
    memory: PixelMemory,
) -> PreparedImage:
    """Returns a photo decoded to what the network sees, once there is memory for it.

    Args:
        image: the photo.
        image_size: side in px, or height and width.
        resize: "crop" or "squash", see `pixels.resize_pixels`.
        view: as `View.parameters` returns it; None for the plain view.
        memory: what decoding may take.

    Raises:
        BadImage: on broken data, or when it takes more memory than there will ever be.
    """
    with memory.taken(image.decoded_bytes, f"{image.width} x {image.height} pixels"):
        pixels = decode_now(image, image_size, resize, view, views=view is not None)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "BMP")
    return dataclasses.replace(image, data=buffer.getvalue(), kind=READY_KIND, orientation=1)
