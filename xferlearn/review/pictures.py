"""The photos of a review as pictures for a browser, named by their content alone."""

import collections
import dataclasses
import hashlib
import threading
from collections.abc import Iterable

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import Photo
from xferlearn.photos.pixels.formats import BadImage
from xferlearn.photos.pixels.memory import PixelMemory
from xferlearn.photos.pixels.upright import as_jpeg, upright_photo
from xferlearn.photos.selecting import MOST_BYTES_PASSED, pick_photos
from xferlearn.photos.sources import PhotoSource

# Of pictures that are kept, because a page asks for the same ones again and again.
_MOST_BYTES = 64 * 2**20
_QUALITY = 88


class PhotoGone(Exception):
    """A photo can't be shown; the message says why, for a person."""


@dataclasses.dataclass(frozen=True)
class Picture:
    """A photo as a browser shows it.

    Attributes:
        jpeg: a JPEG file, upright.
        width: of the photo itself, px, upright.
        height: likewise.
        size: of the photo's own file, bytes.
    """

    jpeg: bytes
    width: int
    height: int
    size: int


class Pictures:
    """Reads photos again and makes pictures of them; threads may call it at the same time."""

    def __init__(self, source: PhotoSource, photos: Iterable[Photo], limits: PhotoLimits) -> None:
        """Prepares pictures.

        Args:
            source: where the photos are.
            photos: those that may be asked for.
            limits: caps on bytes, pixels and memory.
        """
        self._source, self._limits = source, limits
        self._photos = {photo.digest: photo for photo in photos}
        self._memory = PixelMemory(limits.max_memory)
        self._kept: collections.OrderedDict[tuple[bytes, int], Picture] = collections.OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def find(self, digest: bytes, side: int) -> Picture:
        """Returns a photo's picture.

        Args:
            digest: SHA-256 of the photo's bytes.
            side: most px of its longer side.

        Raises:
            PhotoGone: there is no such photo, or it can't be read any more.
        """
        key = digest, side
        with self._lock:
            if key in self._kept:
                self._kept.move_to_end(key)
                return self._kept[key]
        made = self._made(digest, side)
        with self._lock:
            if key not in self._kept:
                self._kept[key] = made
                self._bytes += len(made.jpeg)
            while self._bytes > _MOST_BYTES:
                self._bytes -= len(self._kept.popitem(last=False)[1].jpeg)
        return made

    def _made(self, digest: bytes, side: int) -> Picture:
        photo = self._photos.get(digest)
        if photo is None:
            raise PhotoGone("This review has no such photo.")
        data = self._read(photo)
        limits = self._limits
        try:
            image, (width, height) = upright_photo(
                data,
                side,
                limits.max_image_pixels,
                self._memory,
                photo.bit_depth or limits.bit_depth,
            )
        except BadImage as error:
            raise PhotoGone(f"It can't be shown: {error}.") from None
        return Picture(as_jpeg(image, _QUALITY), width, height, len(data))

    def _read(self, photo: Photo) -> bytes:
        found = pick_photos(self._source, [photo], most_bytes=MOST_BYTES_PASSED)
        try:
            entry = next(found, None)
            data = b"" if entry is None else entry.read()
        except OSError:
            data = b""
        if hashlib.sha256(data).digest() != photo.digest:
            raise PhotoGone("It is not where it was any more, or was changed.")
        return data
