"""Photos -> prints: made while they are decoded for the network, or on their own where missing."""

import contextlib
import dataclasses
from collections.abc import Iterator, Sequence

import numpy as np

from xferlearn.bottlenecks.store import PrintStore
from xferlearn.bottlenecks.writing import ShardWriter
from xferlearn.errors import XferlearnError
from xferlearn.photos.columns import Photos
from xferlearn.photos.digests import first_rows
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import Photo
from xferlearn.photos.pixels.decoding import DecodedBatch, decoded_batches
from xferlearn.photos.reading import load_photos, readable
from xferlearn.photos.selecting import pick_photos
from xferlearn.photos.sources import PhotoSource
from xferlearn.photos.twins.finding import Alike, alike_of, recorded_looks
from xferlearn.photos.twins.prints import PRINT_BYTES, Marks, Prints, make_prints, marks_of
from xferlearn.system.vectors import new_table


def add_prints(writer: ShardWriter, batch: DecodedBatch) -> None:
    """Writes the prints of the photos of a batch.

    Raises:
        XferlearnError: when they can't be written, such as on a full disk.
    """
    for item, row in zip(batch.photos, make_prints(batch.pixels), strict=True):
        writer.add(item.digest, row)


@dataclasses.dataclass(frozen=True)
class Looks:
    """What is known of how photos look.

    Attributes:
        alike: which photos have equal pixels, and which are near twins.
        prints: the prints that say it.
    """

    alike: Alike
    prints: PrintStore

    def recorded(self, photos: Photos) -> Iterator[bytes]:
        """Yields what of each photo's print goes with a model; nothing where it has no print."""
        there, looks = self.prints.read_known(
            photos.digests, lambda rows: recorded_looks(Prints(rows))
        )
        places = np.full(len(photos), -1, np.int32)
        places[there] = np.arange(len(there))
        for place in places:
            yield looks[place].tobytes() if place >= 0 else b""


def look_at_photos(
    source: PhotoSource,
    photos: Sequence[Photo],
    store: PrintStore,
    limits: PhotoLimits,
    *,
    near: bool,
) -> Looks:
    """Returns how photos look; those without a print are read once more for it.

    Args:
        source: where they can be read.
        photos: readable photos.
        store: the prints.
        limits: caps on bytes and pixels.
        near: whether to look for near twins too, not only for equal pixels.

    Raises:
        XferlearnError: when prints can't be written.
    """
    every = Photos.of(photos)
    first = first_rows(every.digests)
    rows = np.flatnonzero(first == np.arange(len(first), dtype=np.int32))
    digests = every.digests[rows]

    def make_missing(_: Sequence[bytes]) -> None:
        entries = pick_photos(source, every.take(rows[~store.has(digests)]))
        size = store.image_size
        with store.writer() as writer:
            loaded = readable(load_photos(entries, size, limits))
            for batch in decoded_batches(loaded, size, limits):
                add_prints(writer, batch)

    # Bottlenecks of earlier versions have no prints beside them. A photo that changed meanwhile is
    # like no other; reading its bottleneck will say so.
    there, marks = store.read_or_make(digests, make_missing, marks_of)
    digests = digests[there]

    def prints_of(some: np.ndarray) -> Prints:
        table = new_table(len(some), PRINT_BYTES, np.uint8)
        for places, block in store.blocks(digests[some]):
            table[places] = block
        return Prints(table)

    return Looks(alike_of(digests, Marks(marks), prints_of if near else None), store)


class KeptPrints:
    """Makes prints of photos that are labelled; a full disk ends their keeping, not the labelling.

    Attributes:
        store: the prints.
    """

    def __init__(self, store: PrintStore) -> None:
        """Begins to keep prints; `close` ends it."""
        self.store = store
        self._writing = contextlib.ExitStack()
        self._writer: ShardWriter | None = self._writing.enter_context(store.writer())

    def knows(self, digest: bytes) -> bool:
        """Returns whether a photo's pixels are not needed; damage is found before it is said."""
        return self._writer is None or self.store.has_sound(digest)

    def add(self, digests: Sequence[bytes], pixels: np.ndarray) -> None:
        """Keeps the prints of photos that it does not know.

        Args:
            digests: SHA-256 of each photo.
            pixels: uint8, [photos, height, width, 3], range [0, 255].
        """
        new = [row for row, digest in enumerate(digests) if not self.knows(digest)]
        try:
            for row, made in zip(new, make_prints(pixels[new]), strict=True):
                if self._writer is not None:
                    self._writer.add(digests[row], made)
        except XferlearnError:  # the bottlenecks' store, in the same folder, says it
            self._writer = None

    def close(self) -> None:
        """Commits the last prints."""
        with contextlib.suppress(XferlearnError):
            self._writing.close()
