"""Reads chosen photos again, as the network sees them."""

import dataclasses
import os
from collections.abc import Collection, Iterator

import numpy as np

from xferlearn.config import ImageConfig
from xferlearn.photos.decoding import decoded_batches
from xferlearn.photos.manifest import Photo
from xferlearn.photos.reading import Loaded, load_photos
from xferlearn.photos.sources import Entry, FileSource, PhotoSource

# A dataset has no way to a photo but past all before it.
MOST_BYTES_PASSED = 2**30


@dataclasses.dataclass(frozen=True)
class _Chosen:
    """The entries of a source that have certain names."""

    source: PhotoSource
    names: frozenset[str]

    @property
    def labels(self) -> tuple[str, ...]:
        return self.source.labels

    @property
    def count(self) -> int:
        return len(self.names)

    def entries(self) -> Iterator[Entry]:
        passed = 0
        for entry in self.source.entries():
            passed += entry.size
            if passed > MOST_BYTES_PASSED:
                return
            if entry.name in self.names:
                yield entry


def read_pixels(
    source: PhotoSource,
    photos: Collection[Photo],
    image_size: int,
    limits: ImageConfig,
) -> dict[bytes, np.ndarray]:
    """Returns the pixels of photos by their digest, cropped and resized as for the network.

    Photos that are gone, were changed, or come after the first `MOST_BYTES_PASSED` of a dataset
    are missing in the answer.

    Args:
        source: where the photos come from.
        photos: which ones.
        image_size: side in px of the squares.
        limits: caps on bytes and pixels.

    Returns:
        uint8, [image_size, image_size, 3] each, range [0, 255].
    """
    missing = {photo.digest for photo in photos}
    chosen = narrowed(source, frozenset(photo.name for photo in photos))

    def wanted() -> Iterator[Loaded]:
        for item in load_photos(chosen, image_size, limits, lambda d: d not in missing):
            if item.digest in missing and item.image is not None:
                missing.discard(item.digest)
                yield item
            if not missing:
                return

    found: dict[bytes, np.ndarray] = {}
    for batch in decoded_batches(wanted(), image_size, limits):
        for item, pixels in zip(batch.photos, batch.pixels, strict=True):
            found[item.digest] = pixels
    return found


def narrowed(source: PhotoSource, names: frozenset[str]) -> PhotoSource:
    """Returns a source of only the photos with certain names."""
    if not isinstance(source, FileSource):
        return _Chosen(source, names)
    # Known paths need no listing of the others, which takes seconds at a million photos.
    paths = {os.path.normpath(os.path.join(source.root, name)) for name in names}
    files = tuple(file for file in source.files if os.path.normpath(file[0]) in paths)
    return dataclasses.replace(source, files=files)
