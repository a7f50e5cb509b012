"""Photos that were picked for the summaries, read again as the network sees them."""

from collections.abc import Collection

import numpy as np

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import Photo
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import load_photos, readable
from xferlearn.photos.selecting import MOST_BYTES_PASSED, pick_photos
from xferlearn.photos.sources import PhotoSource


def read_pixels(
    source: PhotoSource, photos: Collection[Photo], image_size: int, limits: PhotoLimits
) -> dict[bytes, np.ndarray]:
    """Returns the pixels of photos by their digest, cropped and resized as for the network.

    Photos that were removed or changed, or come after the first `MOST_BYTES_PASSED` of a dataset,
    are not in the result.

    Args:
        source: where the photos come from.
        photos: which ones.
        image_size: side in px of the squares.
        limits: caps on bytes and pixels.

    Returns:
        uint8, [image_size, image_size, 3] each, range [0, 255].
    """
    entries = pick_photos(source, photos, most_bytes=MOST_BYTES_PASSED)
    loaded = readable(load_photos(entries, image_size, limits))
    found: dict[bytes, np.ndarray] = {}
    for batch in decoded_batches(loaded, image_size, limits):
        for item, pixels in zip(batch.photos, batch.pixels, strict=True):
            found[item.digest] = pixels
    return found
