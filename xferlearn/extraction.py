"""Photos -> bottlenecks, each photo once: read, hash, look up, decode, network, store.

The steps overlap: threads read and hash ahead, tf.data decodes in parallel, the engine computes
on whole batches, and finished rows go to the store. What is in flight is bounded in bytes.
"""

import collections
import dataclasses
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from xferlearn.bottlenecks import BottleneckStore
from xferlearn.config import ImageConfig
from xferlearn.engines import BATCH_SIZE, Engine
from xferlearn.errors import UserError
from xferlearn.images import NO_IMAGE, BadImage, PreparedImage, decode_pixels, prepare
from xferlearn.manifest import BadPhoto, Photo
from xferlearn.progress import progress_bar
from xferlearn.sources import Entry, PhotoSource
from xferlearn.views import PLAIN

READ_AHEAD_PHOTOS = 256
READ_AHEAD_BYTES = 64 * 2**20
# Photos that Python hands to tf.data at a time; one by one costs half a millisecond each.
_CHUNK = 16
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


@dataclasses.dataclass(frozen=True)
class Extraction:
    """What `extract` found.

    Attributes:
        photos: readable photos in the source's order; all have a bottleneck in the store.
        bad: photos that were left out, in the source's order.
        computed: how many bottlenecks went through the network.
        cached: how many photos needed no network pass.
        seconds: wall time of the whole stage.
    """

    photos: tuple[Photo, ...]
    bad: tuple[BadPhoto, ...]
    computed: int
    cached: int
    seconds: float

    @property
    def photos_per_second(self) -> float:
        """Photos of any kind a second of this stage."""
        return (len(self.photos) + len(self.bad)) / max(self.seconds, 1e-9)


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
            if entry.view is None:
                image = prepare(data, image_size, limits.max_image_pixels)
                return Loaded(entry, digest, image)
            window = entry.view[0].smallest_window
            image = prepare(data, image_size, limits.max_image_pixels, window)
            return Loaded(entry, digest, image, view=view.parameters(image.width, image.height))
        except (OSError, BadImage) as error:
            return Loaded(entry, problem=_reason(error))

    waiting: collections.deque[tuple[Future[Loaded], int]] = collections.deque()
    in_flight = 0
    with ThreadPoolExecutor(max(2, os.cpu_count() or 1)) as pool:
        try:
            for entry in source.entries():
                while waiting and (
                    len(waiting) >= READ_AHEAD_PHOTOS or in_flight + entry.size > READ_AHEAD_BYTES
                ):
                    future, size = waiting.popleft()
                    in_flight -= size
                    yield future.result()
                waiting.append((pool.submit(load, entry), entry.size))
                in_flight += entry.size
            while waiting:
                yield waiting.popleft()[0].result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


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
        numbered = enumerate(loaded)
        try:
            while chunk := list(itertools.islice(numbered, _CHUNK)):
                images = [item.image or NO_IMAGE for _, item in chunk]
                for number, item in chunk:
                    waiting[number] = dataclasses.replace(item, image=None)
                yield (
                    [number for number, _ in chunk],
                    [image.data for image in images],
                    [image.kind for image in images],
                    [image.orientation for image in images],
                    [item.view or _NO_VIEW for _, item in chunk],
                )
        except BaseException as error:
            # ignore_errors below would swallow it and go on.
            failure.append(error)

    def failed_before(number: int) -> list[Loaded]:
        # Order is kept, so whatever is still waiting here has failed. It is read once more to
        # learn why, because ignore_errors does not tell.
        # The list is a snapshot: the thread that reads ahead adds to `waiting` all the time.
        numbers = sorted(n for n in list(waiting) if n < number)
        return [_with_reason(waiting.pop(n), image_size, limits) for n in numbers]

    # There is no Python control flow to convert, and trying takes half a second.
    @tf.autograph.experimental.do_not_convert
    def decode(number: tf.Tensor, *image: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        data, kind, orientation, view = image
        seen = view if views else None
        return number, decode_pixels(data, kind, orientation, image_size, resize, seen)

    signature = (
        *(tf.TensorSpec([None], kind) for kind in (tf.int64, tf.string, tf.int32, tf.int32)),
        tf.TensorSpec([None, len(_NO_VIEW)], tf.float32),
    )
    batches = (
        tf.data.Dataset.from_generator(images, output_signature=signature)
        .unbatch()
        .map(decode, num_parallel_calls=max(2, os.cpu_count() or 1))
        .ignore_errors(log_warning=False)
        .batch(batch_size)
        .prefetch(2)
    )
    for numbers, pixels in batches:
        photos = [waiting.pop(int(number)) for number in numbers]
        yield DecodedBatch(photos, pixels.numpy(), failed_before(int(numbers[-1])))
        if failure:
            break
    if failure:
        raise failure[0]
    if waiting:
        empty = np.zeros((0, 0, 0, 3), np.uint8)
        yield DecodedBatch([], empty, failed_before(max(waiting) + 1))


def _with_reason(item: Loaded, image_size: int | tuple[int, int], limits: ImageConfig) -> Loaded:
    import tensorflow as tf

    reason = "it changed while it was being read"
    try:
        image = prepare(item.entry.read(), image_size, limits.max_image_pixels)
        decode_pixels(
            tf.constant(image.data),
            tf.constant(image.kind),
            tf.constant(image.orientation),
            image_size,
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


def overlapped(
    run: Callable[[np.ndarray], np.ndarray], batches: Iterator[DecodedBatch]
) -> Iterator[tuple[DecodedBatch, np.ndarray]]:
    """Yields batches with their outputs, in order; the next ones are computed meanwhile.

    Args:
        run: an engine's.
        batches: as `decoded_batches` yields them.
    """
    ahead: collections.deque[tuple[DecodedBatch, Future[np.ndarray] | None]] = collections.deque()

    def finished() -> tuple[DecodedBatch, np.ndarray]:
        batch, future = ahead.popleft()
        return batch, np.empty((0, 0), np.float32) if future is None else future.result()

    with ThreadPoolExecutor(2) as pool:
        for batch in batches:
            ahead.append((batch, pool.submit(run, batch.pixels) if batch.photos else None))
            if len(ahead) > 2:
                yield finished()
        while ahead:
            yield finished()


def extract(
    source: PhotoSource,
    store: BottleneckStore,
    engine: Callable[[], Engine],
    limits: ImageConfig,
    *,
    views: bool = False,
) -> Extraction:
    """Makes sure that every readable photo of a source has its bottleneck in the store.

    Args:
        source: the photos.
        store: where bottlenecks are looked up and written.
        engine: returns the network; called only when some photo needs it.
        limits: what to do with bad photos, and caps.
        views: whether the source's entries are views; their photos' digests are then keys of
            views.

    Raises:
        UserError: on the first bad photo where `limits.on_bad_image` is "fail".
        XferlearnError: when the store can't be written.
    """
    started = time.perf_counter()
    image_size = store.space.image_size
    done: list[tuple[int, Photo | BadPhoto]] = []
    # Copies are claimed by their first photo. tf.data reads `missing` in a thread of its own, so
    # the lock guards both: `pending` has the photos whose digest is on its way through the
    # network, `settled` the digests that are through, with the problem of those that failed.
    lock = threading.Lock()
    pending: dict[bytes, list[tuple[int, Loaded]]] = {}
    settled: dict[bytes, str | None] = {}
    computed = 0

    def finish(position: int, item: Loaded) -> None:
        if item.problem is not None and limits.on_bad_image == "fail":
            raise UserError(
                f"{item.entry.name} can't be used: {item.problem}. Take it out, or leave out bad"
                " photos with --on_bad_image=skip."
            )
        done.append((position, item.photo if item.problem is None else item.bad))
        bar.update()

    def settle(digest: bytes, problem: str | None) -> None:
        with lock:
            settled[digest] = problem
            same = pending.pop(digest)
        for position, item in same:
            finish(position, dataclasses.replace(item, problem=problem))

    def known(digest: bytes) -> bool:
        with lock:
            return digest in store or digest in pending or digest in settled

    def missing() -> Iterator[Loaded]:
        for position, item in enumerate(load_photos(source, image_size, limits, known)):
            if item.problem is not None or item.digest in store:
                finish(position, item)
                continue
            freed = dataclasses.replace(item, image=None)
            with lock:
                through = item.digest in settled
                is_first = not through and item.digest not in pending
                if not through:
                    pending.setdefault(item.digest, []).append((position, freed))
            if through:
                finish(position, dataclasses.replace(freed, problem=settled[item.digest]))
            elif is_first:
                yield item

    with progress_bar("bottlenecks", source.count) as bar:
        todo = missing()
        first = next(todo, None)
        if first is not None:
            run = engine().run
            with store.writer() as writer:
                batches = decoded_batches(
                    itertools.chain([first], todo), image_size, limits, views=views
                )
                for batch, vectors in overlapped(run, batches):
                    for item, vector in zip(batch.photos, vectors, strict=True):
                        writer.add(item.digest, vector)
                        computed += 1
                        settle(item.digest, None)
                    for item in batch.failed:
                        settle(item.digest, item.problem)
    done.sort(key=lambda pair: pair[0])
    photos = tuple(result for _, result in done if isinstance(result, Photo))
    return Extraction(
        photos=photos,
        bad=tuple(result for _, result in done if isinstance(result, BadPhoto)),
        computed=computed,
        cached=len(photos) - computed,
        seconds=time.perf_counter() - started,
    )
