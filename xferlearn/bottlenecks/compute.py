"""Photos -> bottlenecks, each photo once: look up, decode, network, store.

The steps overlap: photos are read, hashed and decoded ahead, the engine computes on whole batches,
and finished rows go to the store.
"""

import collections
import contextlib
import dataclasses
import functools
import itertools
import operator
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence, Set
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import numpy as np

from xferlearn.bottlenecks.engines import Engine
from xferlearn.bottlenecks.prints import add_prints
from xferlearn.bottlenecks.store import BottleneckStore, PrintStore
from xferlearn.bottlenecks.writing import ROWS_PER_SHARD
from xferlearn.photos.columns import Photos, PhotosBuilder
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.photo import BadPhoto, Photo
from xferlearn.photos.pixels.decoding import DecodedBatch, decoded_batches
from xferlearn.photos.pixels.depth_records import DepthRecords
from xferlearn.photos.reading import Loaded, load_photos
from xferlearn.photos.selecting import pick_photos
from xferlearn.photos.sources import Entry, PhotoSource
from xferlearn.system.progress import progress_bar, working

# Keys that are remembered until the store is asked again what it knows by now.
_MOST_UNKNOWN = 4 * ROWS_PER_SHARD
# Places of a listing that are gone through side by side, so that a shard has rows of many classes.
_CURSORS = 64


@dataclasses.dataclass(frozen=True)
class Extraction:
    """What `extract` found.

    Attributes:
        photos: readable photos in the order of the entries; all have a bottleneck in the store.
        bad: photos that were left out, in the same order.
        computed: how many bottlenecks were computed.
        cached: how many were there already.
        seconds: wall time, without that in which the engine was loaded.
        bit_depth: bits used of photos with more than 8 per channel; None without such.
        warnings: what a person should know of how photos were read, one line each.
        remedies: those of them that say how more photos can be read.
    """

    photos: Photos
    bad: tuple[BadPhoto, ...]
    computed: int
    cached: int
    seconds: float
    bit_depth: int | None = None
    warnings: tuple[str, ...] = ()
    remedies: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        # Whoever makes one by hand has a tuple.
        object.__setattr__(self, "photos", Photos.of(self.photos))

    def __repr__(self) -> str:
        return (
            f"Extraction({len(self.photos)} photos, {len(self.bad)} left out,"
            f" {self.computed} computed, {self.cached} cached, {self.seconds:.1f} s)"
        )

    @property
    def photos_per_second(self) -> float:
        """Photos per second of this stage, cached and bad ones included."""
        return (len(self.photos) + len(self.bad)) / max(self.seconds, 1e-9)

    def joined(self, others: Sequence["Extraction"]) -> "Extraction":
        """Returns what several networks found of the same photos; all must have read a photo.

        Args:
            others: what the other networks found; none returns the same.
        """
        if not others:
            return self
        every = (self, *others)
        left_out = {(bad.name, bad.label): bad for one in others for bad in one.bad}
        known = {(bad.name, bad.label) for bad in self.bad}
        photos = self.photos
        if left_out:
            rows = (row for row, p in enumerate(photos) if (p.name, p.label) not in left_out)
            photos = photos.take(np.fromiter(rows, np.int64))
        return dataclasses.replace(
            self,
            photos=photos,
            bad=(*self.bad, *(bad for key, bad in left_out.items() if key not in known)),
            computed=sum(one.computed for one in every),
            cached=sum(one.cached for one in every),
            seconds=sum(one.seconds for one in every),
            warnings=tuple(dict.fromkeys(line for one in every for line in one.warnings)),
            remedies=tuple(dict.fromkeys(line for one in every for line in one.remedies)),
        )


class Gathered:
    """Photos of an extraction, which come in any order."""

    def __init__(self, order: np.ndarray | None) -> None:
        """Begins with none; `order` has the place of each entry in the listing, None for as is."""
        self._order = order
        self._photos, self._bad = PhotosBuilder(), list[tuple[int, BadPhoto]]()

    def add(self, position: int, item: Loaded) -> None:
        """Adds what became of the entry at a position."""
        place = position if self._order is None else int(self._order[position])
        if item.problem is None:
            self._photos.add(item.photo, place)
        else:
            self._bad.append((place, item.bad))

    def extraction(
        self, computed: int, seconds: float, notes: ReadingNotes, warnings: Iterable[str] = ()
    ) -> Extraction:
        """Returns all of it, photos in the order of the listing; no others may follow."""
        return Extraction(
            photos=self._photos.finish(),
            bad=tuple(one for _, one in sorted(self._bad, key=operator.itemgetter(0))),
            computed=computed,
            cached=len(self._photos) - computed,
            seconds=seconds,
            bit_depth=notes.largest_depth,
            warnings=(*notes.lines(), *notes.training_depth(), *warnings),
            remedies=notes.remedies(),
        )


def example_of(bad: Iterable[BadPhoto], lost: Set[str]) -> str:
    """Returns one of the photos that were asked for in vain, by these names, and why."""
    reasons = {photo.name: photo.reason for photo in bad}
    name = next((name for name in reasons if name in lost), min(lost))
    return f"{name}: {reasons.get(name, 'it was removed while this was running')}"


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
    order: np.ndarray | None = None,
    views: bool = False,
    prints: PrintStore | None = None,
    notes: ReadingNotes | None = None,
    verbose: int = 1,
) -> Extraction:
    """Makes sure that every readable photo has its bottleneck in the store.

    Photos with more than 8 bits per channel are left for a second pass where `limits.bit_depth` is
    None, because how many bits are used is known after the last of them: see `extract_source`.

    Args:
        entries: the photos.
        store: where bottlenecks are looked up and written.
        engine: returns the network; called once, and only if some photo needs it.
        limits: caps on bytes and pixels, and what to do with bad photos.
        count: number of entries, for the progress bar; None if it is unknown.
        order: the position of each entry in the result, int64, [entries]; None for as they come.
        views: whether entries are seen as their `view` says; the digests of the photos found are
            then keys of views.
        prints: where the prints of photos that go through the network are written; None for
            nowhere.
        notes: counts the photos, in the order of the entries; None for new ones.
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
    found = Gathered(order)
    # Copies wait for their first photo. tf.data reads `missing` in a thread of its own, so the lock
    # guards all of these: `pending` has the photos whose key is on its way through the network,
    # `failed` the problem of those that came to none, `through` the keys that are done, until the
    # store knows them.
    lock = threading.Lock()
    pending: dict[bytes, list[tuple[int, Loaded]]] = {}
    failed: dict[bytes, str] = {}
    through: set[bytes] = set()
    computed, starting = 0, 0.0
    notes, records = notes or ReadingNotes(), DepthRecords(store.folder.parent)

    def finish(position: int, item: Loaded) -> None:
        if item.problem is not None and limits.on_bad_image == "fail":
            advice = " Remove it, or leave out bad photos with `on_bad_image='skip'`."
            raise notes.refusal(item.entry.name, item.problem, advice)
        with lock:
            found.add(position, item)
        bar.update()

    def finish_all(key: bytes, problem: str | None) -> None:
        with lock:
            if problem is None:
                through.add(key)
            else:
                failed[key] = problem
            if len(through) >= _MOST_UNKNOWN:
                store.refresh()
                through.difference_update([one for one in through if one in store])
            same = pending.pop(key)
        for position, item in same:
            finish(position, dataclasses.replace(item, problem=problem))

    def known(key: bytes) -> bool:
        with lock:
            return key in store or key in pending or key in through or key in failed

    def missing() -> Iterator[Loaded]:
        loaded = load_photos(entries, image_size, limits, known, depth_of=records.get)
        for position, item in enumerate(loaded):
            notes.add(item)
            if item.depth is not None:
                records.add(item.digest, item.depth.reached)
            waits = item.depth is not None and item.entry.bit_depth is None
            if item.problem is not None or item.key in store or (waits and not limits.bit_depth):
                finish(position, item)
                continue
            freed = dataclasses.replace(item, image=None)
            with lock:
                is_through = item.key in through or item.key in failed or item.key in store
                is_first = not is_through and item.key not in pending
                if not is_through:
                    pending.setdefault(item.key, []).append((position, freed))
            if is_through:
                finish(position, dataclasses.replace(freed, problem=failed.get(item.key)))
            elif is_first:
                yield item

    def ready() -> Engine:
        nonlocal starting
        bar.hold()
        began = time.perf_counter()
        with working("preparing the engine", verbose):
            made = engine()
        starting = time.perf_counter() - began
        return made

    what = ("augmentation", "view") if views else ("bottlenecks", "photo")
    with progress_bar(what[0], count, what[1], verbose=verbose) as bar:
        todo = missing()
        first = next(todo, None)
        if first is not None:
            with contextlib.ExitStack() as writing:
                writer = writing.enter_context(store.writer())
                printing = writing.enter_context(prints.writer()) if prints is not None else None
                batches = decoded_batches(
                    itertools.chain([first], todo), image_size, limits, views=views
                )
                is_first_batch = True
                for batch, vectors in overlapped(ready, batches):
                    if printing is not None:
                        add_prints(printing, batch)
                    for item, vector in zip(batch.photos, vectors, strict=True):
                        writer.add(item.key, vector)
                        computed += 1
                        finish_all(item.key, None)
                    for item in batch.failed:
                        finish_all(item.key, item.problem)
                    if is_first_batch:  # in which the engine, and all before it, starts
                        bar.restart()
                        is_first_batch = False
    records.save()
    return found.extraction(computed, time.perf_counter() - started - starting, notes)


def extract_source(source: PhotoSource, once: Callable[..., Extraction]) -> Extraction:
    """Extracts all photos of a source, those with more than 8 bits per channel with one depth.

    Args:
        source: the photos.
        once: `extract`, with all but its `entries` and `count`; the `bit_depth` of its limits is
            decided by the photos.

    Returns:
        As of `extract`. Its `bit_depth` is the smallest that holds the values of all photos.
    """
    found = once(**_mixed(source), count=source.count)
    deep = found.photos.take(np.flatnonzero(found.photos.bit_depths))
    if found.bit_depth is None or not deep:
        return found
    again = once(pick_photos(source, deep.with_depth(found.bit_depth)), count=len(deep))
    photos, read = PhotosBuilder(), iter(again.photos)
    following = next(read, None)
    for photo in found.photos:
        if photo.bit_depth is None:
            photos.add(photo)
        elif following is not None and _place(photo) == _place(following):
            photos.add(following)
            following = next(read, None)
    return dataclasses.replace(
        found,
        photos=photos.finish(),
        bad=(*found.bad, *again.bad),
        computed=found.computed + again.computed,
        cached=found.cached - len(deep) + again.cached,
        seconds=found.seconds + again.seconds,
    )


def _mixed(source: PhotoSource) -> dict[str, Any]:
    """Returns the entries of a source, and their order where it is not that of the listing.

    Listings go class by class, and rows that are learned from together are read together.
    """
    if source.count <= ROWS_PER_SHARD or not source.any_order:
        return {"entries": source.entries()}
    step = -(-source.count // _CURSORS)
    order = np.arange(_CURSORS * step).reshape(_CURSORS, step).T.ravel()
    order = order[order < source.count]
    return {"entries": source.entries(order), "order": order}


def _place(photo: Photo) -> tuple[str, int]:
    return photo.name, photo.label
