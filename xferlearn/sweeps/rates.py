"""How many photos a second the stages of an extraction manage, each for itself."""

import dataclasses
import time

from xferlearn.config import ImageConfig
from xferlearn.decoding import decoded_batches
from xferlearn.fitting import Prepared
from xferlearn.reading import load_photos
from xferlearn.sources import Selection

MOST_PHOTOS = 128


@dataclasses.dataclass(frozen=True)
class Rates:
    """Photos a second, on up to `MOST_PHOTOS` of the user's own.

    Attributes:
        decode: from files to pixels.
        network: from pixels to bottlenecks.
    """

    decode: float
    network: float


def measure_rates(prepared: Prepared, limits: ImageConfig) -> Rates | None:
    """Measures the stages one after the other; the network once before, to warm up.

    Returns:
        None where no photo can be read any more.
    """
    photos = prepared.extraction.photos[:MOST_PHOTOS]
    chosen = Selection(prepared.source, {photo.name for photo in photos})
    size = prepared.features.store.space.image_size
    started = time.perf_counter()
    batches = [
        batch.pixels
        for batch in decoded_batches(
            # Any other would come out of the decoder black, and at once.
            (item for item in load_photos(chosen, size, limits) if item.problem is None),
            size,
            limits,
        )
        if batch.photos
    ]
    decoded = time.perf_counter() - started
    count = sum(len(pixels) for pixels in batches)
    if not batches:
        return None
    prepared.features.run(batches[0])
    started = time.perf_counter()
    for pixels in batches:
        prepared.features.run(pixels)
    return Rates(count / decoded, count / (time.perf_counter() - started))
