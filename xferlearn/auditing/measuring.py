"""Photos -> measurements of their quality; kept beside the bottlenecks, so each is read once."""

import hashlib
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from xferlearn.auditing import quality
from xferlearn.bottlenecks.store import RowStore
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import Photo
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.pixels.operations import RESIZE_POLICY
from xferlearn.photos.reading import load_photos, readable
from xferlearn.photos.selecting import pick_photos
from xferlearn.photos.sources import PhotoSource
from xferlearn.system.progress import progress_bar


class MeasureStore(RowStore):
    """Measurements of photos on disk; a row is float32, [quality.MEASURES]."""

    def __init__(self, root: str | Path) -> None:
        """Opens the store, and makes its folder if there is none.

        Args:
            root: folder of all stores, `bottleneck_dir`.

        Raises:
            UserError: when the folder can't be made or written to.
        """
        facts = {"measures": quality.VERSION, "side": quality.SIDE, "resize": RESIZE_POLICY}
        about = json.dumps(facts, indent=2, sort_keys=True) + "\n"
        name = hashlib.sha256(about.encode()).hexdigest()[:16]
        super().__init__(root, f"measures/{name}", about, quality.MEASURES, np.float32)


def measure_photos(
    source: PhotoSource,
    photos: Sequence[Photo],
    store: MeasureStore,
    limits: PhotoLimits,
    verbose: int = 0,
) -> np.ndarray:
    """Returns the measurements of photos; those that are not in the store are read for it.

    Args:
        source: where they can be read.
        photos: readable photos.
        store: the measurements.
        limits: caps on bytes and pixels.
        verbose: 0 shows no progress.

    Returns:
        Float32, [photos, quality.MEASURES]; NaN for photos that are gone or have changed.

    Raises:
        XferlearnError: when measurements can't be written.
    """
    wanted = {photo.digest: photo for photo in photos}

    def measure_missing(lacking: Sequence[bytes]) -> None:
        side = quality.SIDE
        entries = pick_photos(source, [wanted[one] for one in lacking])
        loaded = readable(load_photos(entries, side, limits))
        with (
            progress_bar("quality", len(lacking), verbose=verbose) as bar,
            store.writer() as writer,
        ):
            for batch in decoded_batches(loaded, side, limits):
                for item, pixels in zip(batch.photos, batch.pixels, strict=True):
                    writer.add(item.digest, quality.measure(pixels, *(item.size or (0, 0))))
                    bar.update()

    found = np.full((len(photos), quality.MEASURES), np.nan, np.float32)
    there, rows = store.read_or_make([photo.digest for photo in photos], measure_missing)
    found[there] = rows
    return found
