"""Entries -> bytes, digest and header: each read once, by threads that read ahead.

What is in flight is bounded in photos and bytes; what is being decoded here, in bytes of pixels.
"""

import collections
import contextlib
import dataclasses
import functools
import hashlib
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future

from xferlearn.errors import XferlearnError
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import BadPhoto, Photo
from xferlearn.photos.pixels.depth import Depth, key_at
from xferlearn.photos.pixels.formats import BadImage, NoReader
from xferlearn.photos.pixels.headers import PreparedImage, peek, prepare
from xferlearn.photos.pixels.memory import SMALL_BYTES, PixelMemory
from xferlearn.photos.pixels.ready import made_ready
from xferlearn.photos.sources import Entry
from xferlearn.photos.views import CROP_FRACTION
from xferlearn.system.runtime import core_count
from xferlearn.system.text import one_line
from xferlearn.system.workers import Workers

READ_AHEAD_PHOTOS = 256
READ_AHEAD_BYTES = 64 * 2**20
# A rare form grows when it is read: a WebP of 30 KB can become 5 MB of pixels. By how much is
# known only afterwards, so few are being read at a time.
_UNREAD_PER_THREAD = 4
# After so many reads that hang, the place of the photos is gone.
_MOST_HUNG = 8


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A photo's bytes, read and checked.

    Attributes:
        entry: where it came from.
        digest: SHA-256 of its bytes, 32 bytes; empty if it can't be read.
        key: name of its bottleneck in the cache: the digest, unless it is seen in another view, or
            has more than 8 bits per channel.
        image: ready to decode; None if it needs no decoding or can't be used.
        problem: why it can't be used, a few words; None if it can.
        view: as `View.parameters` returns it; None for the plain view.
        depth: how its values are read; None for photos of 8 bits per channel.
        paged: whether it is the first of several pages or pictures of a file.
        remedy: the command that installs the package that it lacks; "" for none.
        size: width and height as stored, px, also where `image` was freed; None where it had none.
    """

    entry: Entry
    digest: bytes = b""
    key: bytes = b""
    image: PreparedImage | None = None
    problem: str | None = None
    view: tuple[float, ...] | None = None
    depth: Depth | None = None
    paged: bool = False
    remedy: str = ""
    size: tuple[int, int] | None = None

    @property
    def photo(self) -> Photo:
        """The photo as the manifest knows it."""
        entry = self.entry
        return Photo(
            self.digest,
            entry.label,
            entry.name,
            entry.fixed_split,
            entry.group,
            self.depth.used if self.depth else None,
        )

    @property
    def bad(self) -> BadPhoto:
        """The photo as the list of those left out knows it."""
        return BadPhoto(self.entry.name, self.entry.label, self.problem or "")


class _Reading:
    """One photo on its way: what is known of it while a thread reads it."""

    def __init__(self, entry: Entry) -> None:
        self.entry = entry
        self.since: float | None = None
        self.future: Future[Loaded] = Future()

    def data(self) -> bytes:
        """Returns the file's bytes; others can see meanwhile how long it takes."""
        self.since = time.monotonic()
        try:
            return self.entry.read()
        finally:
            self.since = None


def load_photos(
    entries: Iterable[Entry],
    image_size: int | tuple[int, int],
    limits: PhotoLimits,
    known: Callable[[bytes], bool] = lambda key: False,
    *,
    resize: str = "crop",
    depth_of: Callable[[bytes], int | None] = lambda digest: None,
) -> Iterator[Loaded]:
    """Yields photos read and checked, in the order of the entries; threads read ahead.

    Args:
        entries: the photos, e.g. those of a source.
        image_size: side in px of the square that the network sees, or height and width.
        limits: caps on bytes, pixels, memory and time.
        known: returns whether the photo with a key needs no decoding; called in the threads.
        resize: "crop" or "squash", see `pixels.resize_pixels`.
        depth_of: returns the bits that the photo with a digest needs, if that is known: one with
            more than 8 per channel is not decoded then to find out; called in the threads.

    Returns:
        One item per entry; those that can't be used have a `problem`.

    Raises:
        XferlearnError: when read after read takes longer than the limit.

    Example:
        >>> for item in load_photos(read_files(["*.jpg"]).entries(), 224, PhotoLimits()):
        ...     print(item.entry.name, item.problem or item.digest.hex())
    """
    memory = PixelMemory(limits.max_memory)

    def load(reading: _Reading) -> Loaded:
        entry = reading.entry
        try:
            if entry.size > limits.max_image_bytes:
                raise BadImage(
                    f"{entry.size} bytes, more than max_image_bytes={limits.max_image_bytes}"
                )
            data = reading.data()
            return _loaded(entry, data, image_size, limits, known, resize, memory, depth_of)
        except (OSError, BadImage) as error:
            remedy = error.remedy if isinstance(error, NoReader) else ""
            return Loaded(entry, problem=one_line(error), remedy=remedy)

    threads = max(2, core_count())
    waiting: collections.deque[_Reading] = collections.deque()
    lock = threading.Lock()
    unread = in_flight = hung = 0

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
        nonlocal in_flight, hung
        reading = waiting.popleft()
        # Work is begun in its order, so the first one is never behind one that hangs.
        while True:
            since = reading.since
            left = limits.read_seconds - (time.monotonic() - since if since else 0)
            with contextlib.suppress(TimeoutError):
                item = reading.future.result(max(left, 0) + 0.01)
                break
            if since is None or reading.since != since or left > 0:
                continue
            late = f"reading it took more than {limits.read_seconds:g} s"
            if workers.give_up(reading.future, Loaded(reading.entry, problem=late)):
                hung += 1
        if hung == _MOST_HUNG:
            raise XferlearnError(
                f"{item.entry.name} is the {hung}th photo that took more than"
                f" {limits.read_seconds:g} s to read. Check the disk or network drive, and run"
                " again."
            )
        with lock:
            in_flight -= _held_bytes(item)
        return item

    workers = Workers(threads)
    try:
        for entry in entries:
            while waiting and full(entry):
                yield first()
            with lock:
                unread += 1
                in_flight += entry.size
            reading = _Reading(entry)
            reading.future = workers.submit(functools.partial(load, reading))
            reading.future.add_done_callback(count_in)
            waiting.append(reading)
        while waiting:
            yield first()
    finally:
        workers.close()


def _loaded(
    entry: Entry,
    data: bytes,
    image_size: int | tuple[int, int],
    limits: PhotoLimits,
    known: Callable[[bytes], bool],
    resize: str,
    memory: PixelMemory,
    depth_of: Callable[[bytes], int | None],
) -> Loaded:
    digest = hashlib.sha256(data).digest()
    if entry.digest not in (None, digest):
        raise BadImage("it changed while this was running")
    view = None if entry.view is None else entry.view[0].view(digest, entry.view[1])
    window = CROP_FRACTION if entry.view is None else entry.view[0].smallest_window
    look = peek(data)
    image = None

    def prepared() -> PreparedImage:
        bits = entry.bit_depth or limits.bit_depth
        return prepare(
            data, image_size, limits.max_image_pixels, window, bit_depth=bits, memory=memory
        )

    def named(bits: int | None) -> bytes:
        plain = key_at(digest, bits)
        return plain if view is None else view.key(plain)

    depth = None
    if look.deep:
        bits = entry.bit_depth
        if bits is None or not known(named(bits)):
            # Where none are asked for, a second reading will say how many are used.
            bits = depth_of(digest) if (bits or limits.bit_depth) is None else None
        if bits is not None:
            return Loaded(entry, digest, named(bits), depth=Depth(bits, bits), paged=look.paged)
        # How many bits it needs is known once it is decoded, and its key only then.
        image = prepared()
        depth = image.depth
    key = named(depth.used if depth else None)
    if known(key):
        return Loaded(entry, digest, key, depth=depth, paged=look.paged)
    image = image or prepared()
    parameters = None if view is None else view.parameters(image.width, image.height)
    if image.decoded_bytes > SMALL_BYTES:
        image = made_ready(image, image_size, resize, parameters, memory)
        parameters = None
    return Loaded(
        entry,
        digest,
        key,
        image,
        view=parameters,
        depth=image.depth,
        paged=image.paged,
        size=(image.width, image.height),
    )


def readable(loaded: Iterable[Loaded]) -> Iterator[Loaded]:
    """Yields the photos that there is something to decode of: all others would come out black."""
    return (item for item in loaded if item.image is not None)


def _held_bytes(item: Loaded) -> int:
    """Returns the memory that a photo takes: a dataset's entries come with their bytes."""
    return max(item.entry.size, len(item.image.data) if item.image else 0)
