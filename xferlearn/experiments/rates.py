"""How many photos a second the stages of an extraction manage, each for itself."""

import dataclasses
import time

import numpy as np

from xferlearn.config import ImageConfig
from xferlearn.photos.decoding import decoded_batches
from xferlearn.photos.reading import load_photos
from xferlearn.photos.sources import Selection
from xferlearn.training.fit import Prepared

MOST_PHOTOS = 256


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
    """Measures the stages one after the other, each without what its start takes.

    Returns:
        None where no photo can be read any more.
    """
    photos = prepared.extraction.photos[:MOST_PHOTOS]
    chosen = Selection(prepared.source, {photo.name for photo in photos})
    size = prepared.features.store.space.image_size
    batches: list[np.ndarray] = []
    # When decoding began, and when each batch was there.
    clock = [time.perf_counter()]
    # Any other would come out of the decoder black, and at once.
    readable = (item for item in load_photos(chosen, size, limits) if item.problem is None)
    for batch in decoded_batches(readable, size, limits):
        if batch.photos:
            batches.append(batch.pixels)
            clock.append(time.perf_counter())
    if not batches:
        return None
    # What passes until the first batch is start-up, which does not grow with the photos.
    first = 1 if len(batches) > 1 else 0
    decoded = sum(map(len, batches[first:])) / max(clock[-1] - clock[first], 1e-9)
    prepared.features.run(batches[0])
    started = time.perf_counter()
    for pixels in batches:
        prepared.features.run(pixels)
    return Rates(decoded, sum(map(len, batches)) / (time.perf_counter() - started))
