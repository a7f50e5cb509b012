"""Finds photos again by what they contain, where they were or wherever they are now."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence, Set
from typing import Any

import numpy as np

from xferlearn.photos.columns import Photos
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import Photo
from xferlearn.photos.pixels.depth import DEPTHS, key_at
from xferlearn.photos.reading import Loaded, load_photos, readable
from xferlearn.photos.sources import Entry, PhotoSource
from xferlearn.photos.views import Augmentation
from xferlearn.system.columns import bytes_of, text_of
from xferlearn.system.growing_table import BLOCK_ROWS

# A dataset has no way to a photo but past all before it.
MOST_BYTES_PASSED = 2**30


def pick_photos(
    source: PhotoSource,
    photos: Iterable[Photo],
    *,
    augmentation: Augmentation | None = None,
    numbers: Sequence[int] = (0,),
    most_bytes: int | None = None,
) -> Iterator[Entry]:
    """Yields photos that were read before, to be read again, in the source's order.

    The name says where to look, the digest decides: a file that holds other bytes by now is a
    photo that can't be used to `load_photos`, not another photo under an old name.

    Args:
        source: where the photos came from.
        photos: which ones.
        augmentation: how their views vary; None for the plain view.
        numbers: the views of each photo, one after the other.
        most_bytes: as in `PhotoSource.only`.

    Example:
        >>> for item in load_photos(pick_photos(source, manifest.photos[:9]), 224, PhotoLimits()):
        ...     print(item.problem or item.digest.hex())
    """
    every = Photos.of(photos)
    names = PhotoNames(every)
    left, count = np.ones(len(every), bool), len(every)
    entries = iter(source.only(names, most_bytes).entries())
    # What follows the last one need not be read, nor looked for.
    while count and (entry := next(entries, None)) is not None:
        rows = names.rows(entry.name)
        rows = rows[left[rows] & (every.labels[rows] == entry.label)]
        if len(rows):
            left[rows] = False
            count -= len(rows)
            photo = every[rows[-1]]
            same = dataclasses.replace(entry, digest=photo.digest, bit_depth=photo.bit_depth)
            yield from views_of([same], augmentation, numbers)


class PhotoNames(Set[str]):
    """The names of photos, to look photos up by, in 12 bytes for each.

    Example:
        >>> names = PhotoNames(photos)
        >>> "a.jpg" in names, names.rows("a.jpg")
        (True, array([0], dtype=int32))
    """

    def __init__(self, photos: Photos) -> None:
        """Takes the photos."""
        self._photos = photos
        hashes = np.fromiter(map(hash, self), np.int64, len(self))
        self._rows = np.argsort(hashes, kind="stable").astype(np.int32)
        self._hashes = hashes[self._rows]

    def __len__(self) -> int:
        return len(self._photos)

    def __iter__(self) -> Iterator[str]:
        for start in range(0, len(self), BLOCK_ROWS):
            yield from map(text_of, self._photos.names[start : start + BLOCK_ROWS].to_pylist())

    def __contains__(self, name: object) -> bool:
        return len(self.rows(str(name))) > 0

    def __reduce__(self) -> tuple[Any, ...]:
        # Another process has other hashes.
        return PhotoNames, (self._photos,)

    def rows(self, name: str) -> np.ndarray:
        """Returns the positions of the photos with this name, int32, ascending."""
        wanted = np.int64(hash(name))
        start, end = (self._hashes.searchsorted(wanted, side) for side in ("left", "right"))
        found = self._rows[start:end]
        same = [self._photos.names[row].as_py() == bytes_of(name) for row in found.tolist()]
        return found[np.array(same, bool)]


def views_of(
    entries: Iterable[Entry], augmentation: Augmentation | None, numbers: Sequence[int]
) -> Iterator[Entry]:
    """Yields each entry in several views, one after the other.

    Args:
        entries: photos in the plain view.
        augmentation: how their views vary; None for the plain view.
        numbers: which views of each.
    """
    for entry in entries:
        for number in numbers:
            view = None if augmentation is None else (augmentation, number)
            yield dataclasses.replace(entry, view=view)


def search_photos(
    entries: Iterable[Entry],
    digests: Set[bytes],
    image_size: int | tuple[int, int],
    limits: PhotoLimits,
    *,
    resize: str = "crop",
) -> Iterator[Loaded]:
    """Yields the photos that have certain digests, whatever their names, each once.

    Args:
        entries: where to look; few are read after the last photo is found.
        digests: SHA-256 of each photo.
        image_size: side in px of the square that the network sees, or height and width.
        limits: caps on bytes and pixels.
        resize: "crop" or "squash", see `pixels.resize_pixels`.
    """
    missing = set(digests)
    keys = {key_at(digest, bits): digest for digest in digests for bits in (None, *DEPTHS)}
    loaded = readable(
        load_photos(
            entries, image_size, limits, lambda key: keys.get(key) not in missing, resize=resize
        )
    )
    while missing and (item := next(loaded, None)) is not None:
        if item.digest in missing:
            missing.discard(item.digest)
            yield item
