"""Finds photos again by what they contain, where they were or wherever they are now."""

import dataclasses
from collections.abc import Iterable, Iterator, Sequence, Set

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import Photo
from xferlearn.photos.pixels.depth import DEPTHS, key_at
from xferlearn.photos.reading import Loaded, load_photos, readable
from xferlearn.photos.sources import Entry, PhotoSource
from xferlearn.photos.views import Augmentation

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
    wanted = {(photo.name, photo.label): photo for photo in photos}
    entries = iter(source.only({name for name, _ in wanted}, most_bytes).entries())
    # What follows the last one need not be read, nor looked for.
    while wanted and (entry := next(entries, None)) is not None:
        photo = wanted.pop((entry.name, entry.label), None)
        if photo is not None:
            same = dataclasses.replace(entry, digest=photo.digest, bit_depth=photo.bit_depth)
            yield from views_of([same], augmentation, numbers)


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
