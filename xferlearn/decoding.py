"""Photos -> pixels: read and checked by threads ahead, decoded in parallel, in their order.

What is in flight is bounded in bytes.
"""

import collections
import dataclasses
import functools
import hashlib
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING

import numpy as np

from xferlearn.config import ImageConfig
from xferlearn.engines import BATCH_SIZE
from xferlearn.images import NO_IMAGE, BadImage, PreparedImage, decode_pixels, prepare
from xferlearn.manifest import BadPhoto, Photo
from xferlearn.runtime import core_count, untuned
from xferlearn.sources import Entry, PhotoSource
from xferlearn.views import CROP_FRACTION, PLAIN

if TYPE_CHECKING:
    import tensorflow as tf

READ_AHEAD_PHOTOS = 256
READ_AHEAD_BYTES = 64 * 2**20
# A rare form grows when it is read: a WebP of 30 KB can become 5 MB of pixels. By how much is
# known once that is done, so few are on their way at a time.
_UNREAD_A_THREAD = 4
# What Python hands to tf.data at a time: photos one by one cost half a millisecond each, and
# large ones need not wait for each other.
_CHUNK_PHOTOS = 16
_CHUNK_BYTES = 2**20
_NO_VIEW = PLAIN.parameters(1, 1)


@dataclasses.dataclass(frozen=True)
class Loaded:
    """A photo's bytes, read and checked.

    Attributes:
        entry: where it came from.
        digest: SHA-256 of its bytes, or the key of its view; empty where it can't be read.
        image: ready to decode; None where it needs no decoding or can't be read.
        view: as `View.parameters` returns it; None for the plain view.
        problem: why it can't be used; None where it can.
    """

    entry: Entry
    digest: bytes = b""
    image: PreparedImage | None = None
    problem: str | None = None
    view: tuple[float, ...] | None = None

    @property
    def photo(self) -> Photo:
        """The photo as the manifest knows it."""
        return Photo(self.digest, self.entry.label, self.entry.name, self.entry.fixed_split)

    @property
    def bad(self) -> BadPhoto:
        """The photo as the list of those left out knows it."""
        return BadPhoto(self.entry.name, self.entry.label, self.problem or "")


def load_photos(
    source: PhotoSource,
    image_size: int | tuple[int, int],
    limits: ImageConfig,
    known: Callable[[bytes], bool] = lambda digest: False,
) -> Iterator[Loaded]:
    """Yields the photos of a source, read and checked by threads ahead of the reader.

    Args:
        source: where they come from.
        image_size: side in px of the square that the network sees.
        limits: caps on bytes and pixels.
        known: tells whether a digest needs no decoding.
    """

    def load(entry: Entry) -> Loaded:
        try:
            if entry.size > limits.max_image_bytes:
                raise BadImage(
                    f"{entry.size} bytes, more than max_image_bytes={limits.max_image_bytes}"
                )
            data = entry.read()
            digest = hashlib.sha256(data).digest()
            if entry.view is not None:
                view = entry.view[0].view(digest, entry.view[1])
                digest = view.key(digest)
            if known(digest):
                return Loaded(entry, digest)
            image = _prepared(entry, data, image_size, limits)
            if entry.view is None:
                return Loaded(entry, digest, image)
            return Loaded(entry, digest, image, view=view.parameters(image.width, image.height))
        except (OSError, BadImage) as error:
            return Loaded(entry, problem=_reason(error))

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
                or unread >= _UNREAD_A_THREAD * threads
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
            for entry in source.entries():
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


def _prepared(
    entry: Entry, data: bytes, image_size: int | tuple[int, int], limits: ImageConfig
) -> PreparedImage:
    window = CROP_FRACTION if entry.view is None else entry.view[0].smallest_window
    return prepare(data, image_size, limits.max_image_pixels, window)


def _held_bytes(item: Loaded) -> int:
    """Returns what a photo takes in memory: a data set's entries come with their bytes."""
    return max(item.entry.size, len(item.image.data) if item.image else 0)


@dataclasses.dataclass(frozen=True)
class DecodedBatch:
    """Photos that `decoded_batches` has decoded, and those that it could not.

    Attributes:
        photos: the decoded ones, `image` taken off to free its bytes, and those that needed no
            decoding.
        pixels: uint8, [len(photos), height, width, 3], range [0, 255]; no photos, no pixels.
            Black where a photo needed no decoding.
        failed: photos between and before them whose data is broken, `problem` set.
    """

    photos: list[Loaded]
    pixels: np.ndarray
    failed: list[Loaded]


def decoded_batches(
    loaded: Iterator[Loaded],
    image_size: int | tuple[int, int],
    limits: ImageConfig,
    *,
    resize: str = "crop",
    batch_size: int = BATCH_SIZE,
    views: bool = False,
) -> Iterator[DecodedBatch]:
    """Decodes photos in parallel, in their order.

    Args:
        loaded: photos. Those without `image` pass through, in their place.
        image_size: side in px, or height and width.
        limits: caps on bytes and pixels.
        resize: "crop" or "squash", see `images.resize_pixels`.
        batch_size: photos a batch; the last one may be smaller or empty.
        views: whether photos are seen as their `view` says; else all in the plain view.
    """
    import tensorflow as tf

    waiting: dict[int, Loaded] = {}
    failure: list[BaseException] = []

    def images() -> Iterator[tuple[list, ...]]:
        first = 0
        try:
            for chunk in _chunks(loaded):
                images = [item.image or NO_IMAGE for item in chunk]
                numbers = list(range(first, first + len(chunk)))
                for number, item in zip(numbers, chunk, strict=True):
                    waiting[number] = dataclasses.replace(item, image=None)
                yield (
                    numbers,
                    [image.data for image in images],
                    [image.kind for image in images],
                    [image.orientation for image in images],
                    [item.view or _NO_VIEW for item in chunk],
                )
                first += len(chunk)
        except BaseException as error:
            # ignore_errors below would swallow it and go on.
            failure.append(error)

    def failed_before(number: int) -> list[Loaded]:
        # Order is kept, so whatever is still waiting here has failed. It is read once more to
        # learn why, because ignore_errors does not tell.
        # The list is a snapshot: the thread that reads ahead adds to `waiting` all the time.
        numbers = sorted(n for n in list(waiting) if n < number)
        return [_with_reason(waiting.pop(n), image_size, limits, resize, views) for n in numbers]

    batches = (
        tf.data.Dataset.from_generator(
            images,
            output_signature=tuple(tf.TensorSpec([None, *s.shape], s.dtype) for s in _signature()),
        )
        .prefetch(1)
        .unbatch()
        # More than there are cores, because some photos take several times as long as others.
        .map(_decoder(image_size, resize, views), num_parallel_calls=core_count() + 2)
        .ignore_errors(log_warning=False)
        .batch(batch_size)
        .prefetch(2)
    )
    for numbers, pixels in untuned(batches).as_numpy_iterator():
        photos = [waiting.pop(number) for number in numbers.tolist()]
        yield DecodedBatch(photos, pixels, failed_before(int(numbers[-1])))
        if failure:
            break
    if failure:
        raise failure[0]
    if waiting:
        empty = np.zeros((0, 0, 0, 3), np.uint8)
        yield DecodedBatch([], empty, failed_before(max(waiting) + 1))


def _signature() -> "tuple[tf.TensorSpec, ...]":
    """Returns number, data, kind, orientation and view of one photo."""
    import tensorflow as tf

    return (
        *(tf.TensorSpec([], kind) for kind in (tf.int64, tf.string, tf.int32, tf.int32)),
        tf.TensorSpec([len(_NO_VIEW)], tf.float32),
    )


@functools.lru_cache
def _decoder(image_size: int | tuple[int, int], resize: str, views: bool) -> Callable:
    """Returns what decodes one photo, traced once in a process: that takes 0.1 s."""
    import tensorflow as tf

    def decode(number: tf.Tensor, *image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        data, kind, orientation, view = image
        seen = view if views else None
        return number, decode_pixels(data, kind, orientation, image_size, resize, seen)

    # There is no Python control flow to convert, and trying takes half a second.
    traced = tf.function(decode, input_signature=_signature(), autograph=False)
    return traced.get_concrete_function()


def _chunks(loaded: Iterator[Loaded]) -> Iterator[list[Loaded]]:
    chunk: list[Loaded] = []
    size = 0
    for item in loaded:
        chunk.append(item)
        size += len(item.image.data) if item.image else 0
        if len(chunk) == _CHUNK_PHOTOS or size >= _CHUNK_BYTES:
            yield chunk
            chunk, size = [], 0
    if chunk:
        yield chunk


def _with_reason(
    item: Loaded, image_size: int | tuple[int, int], limits: ImageConfig, resize: str, views: bool
) -> Loaded:
    import tensorflow as tf

    reason = "it changed while it was being read"
    try:
        image = _prepared(item.entry, item.entry.read(), image_size, limits)
        decode_pixels(
            tf.constant(image.data),
            tf.constant(image.kind),
            tf.constant(image.orientation),
            image_size,
            resize,
            # What is broken need not be in the part that another view sees.
            tf.constant(item.view or _NO_VIEW) if views else None,
        )
    except (OSError, BadImage) as error:
        reason = _reason(error)
    except tf.errors.OpError as error:
        reason = f"can't be decoded ({_decoder_reason(error.message or '')})"
    return dataclasses.replace(item, problem=reason)


def _reason(error: OSError | BadImage) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _decoder_reason(message: str) -> str:
    # "{{function_node __wrapped__DecodeJpeg_...}} Invalid JPEG data or crop window, ... [Op:...]"
    reason = message.split("}}")[-1].split("[Op:")[0].split(";")[0].strip()
    return " ".join(reason.split())[:120] or "broken data"
