"""Loaded photos -> pixels: decoded in parallel, in their order."""

import dataclasses
import itertools
import sys
from collections.abc import Iterator

import numpy as np

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.pixels.formats import BadImage
from xferlearn.photos.pixels.headers import NO_IMAGE
from xferlearn.photos.pixels.memory import PixelMemory
from xferlearn.photos.pixels.ready import NO_VIEW, decode_now, decoder, signature
from xferlearn.photos.reading import Loaded, load_photos
from xferlearn.system.runtime import start_tensorflow, untuned

# Photos that are decoded, and go through a network, at a time. Larger batches are not faster on
# CPUs, and take memory.
BATCH_SIZE = 32
# What Python hands to tf.data at a time: one by one, photos cost half a millisecond each; large
# ones need not wait for each other.
_CHUNK_PHOTOS = 16
_CHUNK_BYTES = 2**20
# So few are decoded one by one before TensorFlow would be ready.
_CHUNKS_WITHOUT_TENSORFLOW = 8
_NO_PIXELS = np.zeros((0, 0, 0, 3), np.uint8)


@dataclasses.dataclass(frozen=True)
class DecodedBatch:
    """Photos that `decoded_batches` has decoded, and those that it could not decode.

    Attributes:
        photos: the decoded ones, without their `image` to free its bytes, and those that had none.
        pixels: uint8, [len(photos), height, width, 3], range [0, 255]; black for photos that had
            no `image`. Without photos its shape is [0, 0, 0, 3].
        failed: photos between and before them whose data is broken, with their `problem`.
    """

    photos: list[Loaded]
    pixels: np.ndarray
    failed: list[Loaded]


def decoded_batches(
    loaded: Iterator[Loaded],
    image_size: int | tuple[int, int],
    limits: PhotoLimits,
    *,
    resize: str = "crop",
    batch_size: int = BATCH_SIZE,
    views: bool = False,
) -> Iterator[DecodedBatch]:
    """Decodes photos in parallel, in their order.

    Args:
        loaded: as `load_photos` yields them. Those without `image` pass through, in their place.
        image_size: side in px, or height and width.
        limits: caps on bytes and pixels.
        resize: "crop" or "squash", see `pixels.resize_pixels`.
        batch_size: photos per batch; the last batch may be smaller or empty.
        views: whether photos are seen as their `view` says; else all in the plain view.

    Returns:
        Batches that together have every photo once, in `photos` or `failed`.

    Example:
        >>> loaded = load_photos(source.entries(), 224, limits)
        >>> for batch in decoded_batches(loaded, 224, limits):
        ...     print(batch.pixels.shape)
        (32, 224, 224, 3)
    """
    parallel = PixelMemory(limits.max_memory).parallel
    chunks = _chunks(loaded)
    most = 1 if "tensorflow" in sys.modules else _CHUNKS_WITHOUT_TENSORFLOW
    first = list(itertools.islice(chunks, most + 1))
    if len(first) <= most:
        # Who labels photo after photo need not wait 0.15 s for a pipeline each time.
        few = [item for chunk in first for item in chunk]
        for start in range(0, len(few), batch_size):
            yield _decoded_now(few[start : start + batch_size], image_size, resize, views)
        return
    start_tensorflow()
    import tensorflow as tf

    waiting: dict[int, Loaded] = {}
    failure: list[BaseException] = []

    def images() -> Iterator[tuple[list, ...]]:
        number = 0
        try:
            for chunk in itertools.chain(first, chunks):
                images = [item.image or NO_IMAGE for item in chunk]
                numbers = list(range(number, number + len(chunk)))
                for position, item in zip(numbers, chunk, strict=True):
                    waiting[position] = dataclasses.replace(item, image=None)
                yield (
                    numbers,
                    [image.data for image in images],
                    [image.kind for image in images],
                    [image.orientation for image in images],
                    [item.view or NO_VIEW for item in chunk],
                )
                number += len(chunk)
        except BaseException as error:
            # ignore_errors below would swallow it and go on.
            failure.append(error)

    def failed_before(number: int) -> list[Loaded]:
        # Order is kept, so whatever is still waiting here has failed. It is read once more to
        # learn the reason, which ignore_errors drops.
        # The list is a snapshot: the thread that reads ahead adds to `waiting` all the time.
        numbers = sorted(n for n in list(waiting) if n < number)
        return [_with_reason(waiting.pop(n), image_size, limits, resize, views) for n in numbers]

    batches = (
        tf.data.Dataset.from_generator(
            images,
            output_signature=tuple(tf.TensorSpec([None, *s.shape], s.dtype) for s in signature()),
        )
        .prefetch(1)
        .unbatch()
        .map(decoder(image_size, resize, views), num_parallel_calls=parallel)
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
        yield DecodedBatch([], _NO_PIXELS, failed_before(max(waiting) + 1))


def _decoded_now(
    items: list[Loaded], image_size: int | tuple[int, int], resize: str, views: bool
) -> DecodedBatch:
    photos, pixels, failed = [], [], []
    for item in items:
        freed = dataclasses.replace(item, image=None)
        try:
            image = item.image or NO_IMAGE
            pixels.append(decode_now(image, image_size, resize, item.view, views=views))
            photos.append(freed)
        except BadImage as error:
            failed.append(dataclasses.replace(freed, problem=str(error)))
    return DecodedBatch(photos, np.stack(pixels) if pixels else _NO_PIXELS, failed)


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
    item: Loaded, image_size: int | tuple[int, int], limits: PhotoLimits, resize: str, views: bool
) -> Loaded:
    (again,) = load_photos([item.entry], image_size, limits, resize=resize)
    if again.image is None:
        return dataclasses.replace(item, problem=again.problem)
    try:
        # What is broken need not be in the part that another view sees.
        decode_now(again.image, image_size, resize, item.view, views=views)
    except BadImage as error:
        return dataclasses.replace(item, problem=str(error))
    return dataclasses.replace(item, problem="it changed while it was being read")
