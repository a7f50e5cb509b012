"""Entries -> bytes, digest and header: each read once, by threads that read ahead.

What is in flight is bounded in photos and bytes.
"""

import collections
import dataclasses
import hashlib
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from xferlearn.photos.headers import BadImage, PreparedImage, prepare
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import BadPhoto, Photo
from xferlearn.photos.sources import Entry
from xferlearn.photos.views import CROP_FRACTION
from xferlearn.system.runtime import core_count
from xferlearn.system.text import one_line

READ_AHEAD_PHOTOS = 256
READ_AHEAD_BYTES = 64 * 2**20
# A rare form grows when it is read: a WebP of 30 KB can become 5 MB of pixels. By how much is
# known only afterwards, so few are being read at a time.
_UNREAD_PER_THREAD = 4


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A photo's bytes, read and checked.

    Attributes:
        entry: where it came from.
        digest: SHA-256 of its bytes, or the key of its view, 32 bytes; empty if it can't be read.
        image: ready to decode; None if it needs no decoding or can't be used.
        problem: why it can't be used, a few words; None if it can.
        view: as `View.parameters` returns it; None for the plain view.
    """

    entry: Entry
    digest: bytes = b""
    image: PreparedImage | None = None
    problem: str | None = None
    view: tuple[float, ...] | None = None

    @property
    def photo(self) -> Photo:
        """The photo as the manifest knows it."""
        entry = self.entry
        return Photo(self.digest, entry.label, entry.name, entry.fixed_split, entry.group)

    @property
    def bad(self) -> BadPhoto:
        """The photo as the list of those left out knows it."""
        return BadPhoto(self.entry.name, self.entry.label, self.problem or "")


def load_photos(
    entries: Iterable[Entry],
    image_size: int | tuple[int, int],
    limits: PhotoLimits,
    known: Callable[[bytes], bool] = lambda digest: False,
) -> Iterator[Loaded]:
    """Yields photos read and checked, in the order of the entries; threads read ahead.

    Args:
        entries: the photos, e.g. those of a source.
        image_size: side in px of the square that the network sees, or height and width.
        limits: caps on bytes and pixels.
        known: returns whether the photo with a digest needs no decoding; called in the threads.

    Returns:
        One item per entry; those that can't be used have a `problem`.

    Example:
        >>> for item in load_photos(read_files(["*.jpg"]).entries(), 224, PhotoLimits()):
        ...     print(item.entry.name, item.problem or item.digest.hex())
    """

    def load(entry: Entry) -> Loaded:
        try:
            if entry.size > limits.max_image_bytes:
                raise BadImage(
                    f"{entry.size} bytes, more than max_image_bytes={limits.max_image_bytes}"
                )
            data = entry.read()
            digest = hashlib.sha256(data).digest()
            if entry.digest not in (None, digest):
                raise BadImage("it changed while this was running")
            if entry.view is not None:
                view = entry.view[0].view(digest, entry.view[1])
                digest = view.key(digest)
            if known(digest):
                return Loaded(entry, digest)
            image = prepared_image(entry, data, image_size, limits)
            if entry.view is None:
                return Loaded(entry, digest, image)
            return Loaded(entry, digest, image, view=view.parameters(image.width, image.height))
        except (OSError, BadImage) as error:
            return Loaded(entry, problem=one_line(error))

    threads = max(2, core_count())
    waiting: collections.deque[Future[Loaded]] = collections.deque()
    lock = threading.Lock()
    unread = in_flight = 0

    def count_in(future: Future[Loaded]) -> None:
        nonlocal unread, in_flight
        if not future.cancelled() and future.exception() is None:
            item = future.result()
            with lock:
                unread -= 1
                in_flight += _held_bytes(item) - item.entry.size

    def full(entry: Entry) -> bool:
        with lock:
            return (
                len(waiting) >= READ_AHEAD_PHOTOS
                or unread >= _UNREAD_PER_THREAD * threads
                or in_flight + entry.size > READ_AHEAD_BYTES
            )

    def first() -> Loaded:
        nonlocal in_flight
        item = waiting.popleft().result()
        with lock:
            in_flight -= _held_bytes(item)
        return item

    with ThreadPoolExecutor(threads) as pool:
        try:
            for entry in entries:
                while waiting and full(entry):
                    yield first()
                with lock:
                    unread += 1
                    in_flight += entry.size
                waiting.append(pool.submit(load, entry))
                waiting[-1].add_done_callback(count_in)
            while waiting:
                yield first()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def readable(loaded: Iterable[Loaded]) -> Iterator[Loaded]:
    """Yields the photos that there is something to decode of: all others would come out black."""
    return (item for item in loaded if item.image is not None)


def prepared_image(
    entry: Entry, data: bytes, image_size: int | tuple[int, int], limits: PhotoLimits
) -> PreparedImage:
    """Returns a photo's header and data, ready for the view that the entry asks for.

    Raises:
        BadImage: when it can't be used.
    """
    window = CROP_FRACTION if entry.view is None else entry.view[0].smallest_window
    return prepare(data, image_size, limits.max_image_pixels, window)


def _held_bytes(item: Loaded) -> int:
    """Returns the memory that a photo takes: a dataset's entries come with their bytes."""
    return max(item.entry.size, len(item.image.data) if item.image else 0)
