"""How many photos per second the stages of an extraction manage, each by itself."""

import dataclasses
import time

import numpy as np

from xferlearn.bottlenecks.engines import build_engine
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import load_photos, readable
from xferlearn.photos.selecting import pick_photos
from xferlearn.photos.sources import PhotoSource
from xferlearn.training.fit import Part, Prepared

MOST_PHOTOS = 256


@dataclasses.dataclass(frozen=True)
class Rates:
    """Photos per second, on up to `MOST_PHOTOS` of the user's own.

    Attributes:
        decode: from files to pixels.
        network: from pixels to bottlenecks.
    """

    decode: float
    network: float


def measure_rates(
    prepared: Prepared, limits: PhotoLimits, known: dict[Part, Rates | None] | None = None
) -> Rates | None:
    """Measures the stages one after the other, each without the time that its start takes.

    Args:
        prepared: photos and networks; of several networks the times are added.
        limits: caps on bytes and pixels.
        known: the rates of networks that were measured; those that are measured here are added.

    Returns:
        The rates; None if no photo can be read any more.
    """
    known = {} if known is None else known
    for part in prepared.parts:
        if part not in known:
            known[part] = _measure(prepared.source, part, limits)
    found = [rates for part in prepared.parts if (rates := known[part]) is not None]
    if len(found) < len(prepared.parts):
        return None
    return Rates(
        decode=1 / sum(1 / one.decode for one in found),
        network=1 / sum(1 / one.network for one in found),
    )


def _measure(source: PhotoSource, part: Part, limits: PhotoLimits) -> Rates | None:
    chosen = pick_photos(source, part.extraction.photos[:MOST_PHOTOS])
    size = part.space.image_size
    batches: list[np.ndarray] = []
    # When decoding began, and when each batch was done.
    clock = [time.perf_counter()]
    for batch in decoded_batches(readable(load_photos(chosen, size, limits)), size, limits):
        if batch.photos:
            batches.append(batch.pixels)
            clock.append(time.perf_counter())
    if not batches:
        return None
    # The time until the first batch is start-up, which does not grow with the photos.
    first = 1 if len(batches) > 1 else 0
    decoded = sum(map(len, batches[first:])) / max(clock[-1] - clock[first], 1e-9)
    # An engine that computed nothing, because all was cached, need not have been compared.
    run = build_engine(part.network, part.features.plan).run
    run(batches[0])
    started = time.perf_counter()
    for pixels in batches:
        run(pixels)
    return Rates(decoded, sum(map(len, batches)) / (time.perf_counter() - started))
