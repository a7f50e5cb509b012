"""Photos -> prints: made while they are decoded for the network, or on their own where missing."""

from collections.abc import Sequence

from xferlearn.bottlenecks.store import PrintStore, ShardWriter
from xferlearn.photos.decoding import DecodedBatch, decoded_batches
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Photo
from xferlearn.photos.prints import Prints, make_prints
from xferlearn.photos.reading import load_photos, readable
from xferlearn.photos.selecting import pick_photos
from xferlearn.photos.sources import PhotoSource
from xferlearn.photos.twins import Alike, find_alike


def add_prints(writer: ShardWriter, batch: DecodedBatch) -> None:
    """Writes the prints of the photos of a batch.

    Raises:
        XferlearnError: when they can't be written, such as on a full disk.
    """
    for item, row in zip(batch.photos, make_prints(batch.pixels), strict=True):
        writer.add(item.digest, row)


def look_at_photos(
    source: PhotoSource,
    photos: Sequence[Photo],
    store: PrintStore,
    limits: PhotoLimits,
    *,
    near: bool,
) -> Alike:
    """Returns which photos look alike; those without a print are read once more for it.

    Args:
        source: where they can be read.
        photos: readable photos.
        store: the prints.
        limits: caps on bytes and pixels.
        near: whether to look for near twins too, not only for equal pixels.

    Raises:
        XferlearnError: when prints can't be written.
    """
    missing = {photo.digest: photo for photo in photos if photo.digest not in store}
    if missing:
        # Bottlenecks of earlier versions have no prints beside them.
        entries = pick_photos(source, missing.values())
        size = store.image_size
        with store.writer() as writer:
            loaded = readable(load_photos(entries, size, limits))
            for batch in decoded_batches(loaded, size, limits):
                add_prints(writer, batch)
    # One that changed meanwhile is like no other; reading its bottleneck will say so.
    digests = [digest for digest in {photo.digest: None for photo in photos} if digest in store]
    return find_alike(digests, Prints(store.read(digests)), near=near)
