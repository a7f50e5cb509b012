"""Photos -> bottlenecks, each photo once: look up, decode, network, store.

The steps overlap: photos are read, hashed and decoded ahead, the engine computes on whole batches,
and finished rows go to the store.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np

from xferlearn.bottlenecks.engines import Engine
from xferlearn.bottlenecks.prints import add_prints
from xferlearn.bottlenecks.store import BottleneckStore, PrintStore
from xferlearn.errors import UserError
from xferlearn.photos.decoding import DecodedBatch, decoded_batches
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import BadPhoto, Photo
from xferlearn.photos.reading import Loaded, load_photos
from xferlearn.photos.sources import Entry
from xferlearn.system.progress import progress_bar


@dataclasses.dataclass(frozen=True)
class Extraction:
    """What `extract` found.

    Attributes:
        photos: readable photos in the order of the entries; all have a bottleneck in the store.
        bad: photos that were left out, in the same order.
        computed: how many bottlenecks the network computed.
        cached: how many photos needed no network pass.
        seconds: wall time of the whole stage.
    """

    photos: tuple[Photo, ...]
    bad: tuple[BadPhoto, ...]
    computed: int
    cached: int
    seconds: float

    def __repr__(self) -> str:
        return (
            f"Extraction({len(self.photos)} photos, {len(self.bad)} left out,"
            f" {self.computed} computed, {self.cached} cached, {self.seconds:.1f} s)"
        )

    @property
    def photos_per_second(self) -> float:
        """Photos per second of this stage, cached and bad ones included."""
        return (len(self.photos) + len(self.bad)) / max(self.seconds, 1e-9)


def overlapped(
    engine: Callable[[], Engine], batches: Iterator[DecodedBatch]
) -> Iterator[tuple[DecodedBatch, np.ndarray]]:
    """Yields batches with their outputs, in order; the next ones are computed meanwhile.

    Args:
        engine: returns the network; called for the first batch that has pixels.
        batches: as `decoded_batches` yields them.
    """
    ahead: collections.deque[tuple[DecodedBatch, Future[np.ndarray] | None]] = collections.deque()

    def finished() -> tuple[DecodedBatch, np.ndarray]:
        batch, future = ahead.popleft()
        return batch, np.empty((0, 0), np.float32) if future is None else future.result()

    load = functools.cache(engine)
    with ThreadPoolExecutor(2) as pool:
        for batch in batches:
            # Photos that can't be decoded need no network, which may not even be there for them.
            ahead.append((batch, pool.submit(load().run, batch.pixels) if batch.photos else None))
            if len(ahead) > 2:
                yield finished()
        while ahead:
            yield finished()


def extract(
    entries: Iterable[Entry],
    store: BottleneckStore,
    engine: Callable[[], Engine],
    limits: PhotoLimits,
    *,
    count: int | None = None,
    views: bool = False,
    prints: PrintStore | None = None,
    verbose: int = 1,
) -> Extraction:
    """Makes sure that every readable photo has its bottleneck in the store.

    Args:
        entries: the photos.
        store: where bottlenecks are looked up and written.
        engine: returns the network; called once, and only if some photo needs it.
        limits: caps on bytes and pixels, and what to do with bad photos.
        count: number of entries, for the progress bar; None if it is unknown.
        views: whether entries are seen as their `view` says; the digests of the photos found are
            then keys of views.
        prints: where the prints of photos that go through the network are written; None for
            nowhere.
        verbose: 0 shows no progress.

    Raises:
        UserError: on the first bad photo if `limits.on_bad_image` is "fail".
        XferlearnError: when the store can't be written.

    Example:
        >>> features = candidates.settle(sample)
        >>> extract(source.entries(), features.store, features.engine, limits).computed
        1000
    """
    started = time.perf_counter()
    image_size = store.space.image_size
    done: list[tuple[int, Photo | BadPhoto]] = []
    # Copies wait for their first photo. tf.data reads `missing` in a thread of its own, so the lock
    # guards both: `pending` has the photos whose digest is on its way through the network,
    # `through` the digests that are done, with the problem of those that failed.
    lock = threading.Lock()
    pending: dict[bytes, list[tuple[int, Loaded]]] = {}
    through: dict[bytes, str | None] = {}
    computed = 0

    def finish(position: int, item: Loaded) -> None:
        if item.problem is not None and limits.on_bad_image == "fail":
            raise UserError(
                f"{item.entry.name} can't be used: {item.problem}. Remove it, or leave out bad"
                " photos with `on_bad_image='skip'`."
            )
        done.append((position, item.photo if item.problem is None else item.bad))
        bar.update()

    def finish_all(digest: bytes, problem: str | None) -> None:
        with lock:
            through[digest] = problem
            same = pending.pop(digest)
        for position, item in same:
            finish(position, dataclasses.replace(item, problem=problem))

    def known(digest: bytes) -> bool:
        with lock:
            return digest in store or digest in pending or digest in through

    def missing() -> Iterator[Loaded]:
        for position, item in enumerate(load_photos(entries, image_size, limits, known)):
            if item.problem is not None or item.digest in store:
                finish(position, item)
                continue
            freed = dataclasses.replace(item, image=None)
            with lock:
                is_through = item.digest in through
                is_first = not is_through and item.digest not in pending
                if not is_through:
                    pending.setdefault(item.digest, []).append((position, freed))
            if is_through:
                finish(position, dataclasses.replace(freed, problem=through[item.digest]))
            elif is_first:
                yield item

    with progress_bar("bottlenecks", count, verbose=verbose) as bar:
        todo = missing()
        first = next(todo, None)
        if first is not None:
            with contextlib.ExitStack() as writing:
                writer = writing.enter_context(store.writer())
                printing = writing.enter_context(prints.writer()) if prints is not None else None
                batches = decoded_batches(
                    itertools.chain([first], todo), image_size, limits, views=views
                )
                for batch, vectors in overlapped(engine, batches):
                    if printing is not None:
                        add_prints(printing, batch)
                    for item, vector in zip(batch.photos, vectors, strict=True):
                        writer.add(item.digest, vector)
                        computed += 1
                        finish_all(item.digest, None)
                    for item in batch.failed:
                        finish_all(item.digest, item.problem)
    done.sort(key=lambda pair: pair[0])
    photos = tuple(result for _, result in done if isinstance(result, Photo))
    return Extraction(
        photos=photos,
        bad=tuple(result for _, result in done if isinstance(result, BadPhoto)),
        computed=computed,
        cached=len(photos) - computed,
        seconds=time.perf_counter() - started,
    )
