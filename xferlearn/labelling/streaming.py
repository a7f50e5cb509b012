"""Photos -> labels: streams any number of photos through a model, in batches and in order."""

import dataclasses
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol

import numpy as np

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import Loaded, load_photos
from xferlearn.photos.sources import Entry
from xferlearn.predictors import Predictor


@dataclasses.dataclass(frozen=True)
class Labelled:
    """One photo and the model's prediction.

    Attributes:
        name: the photo, as given.
        label: index of its true class; -1 if it is unknown.
        digest: SHA-256 of its bytes; empty if it can't be read.
        scores: float32, [classes], range [0, 1]; None if the photo can't be used.
        familiarity: the share of the model's own photos that were less typical, 0 to 1; None for
            models that don't say, and if the photo can't be used.
        problem: why it can't be used, one line; None if it can.
    """

    name: str
    label: int = -1
    digest: bytes = b""
    scores: np.ndarray | None = None
    familiarity: float | None = None
    problem: str | None = None

    def top(self, labels: Sequence[str], k: int) -> list[tuple[str, float]]:
        """Returns the `k` best labels with their scores, best first; [] for an unusable photo."""
        if self.scores is None:
            return []
        order = np.argsort(-self.scores, kind="stable")[:k]
        return [(labels[index], float(self.scores[index])) for index in order]


class Onlooker(Protocol):
    """Who else wants the pixels of photos that are labelled."""

    def knows(self, digest: bytes) -> bool:
        """Returns whether a photo's pixels are not needed."""

    def add(self, digests: Sequence[bytes], pixels: np.ndarray) -> None:
        """Looks at photos; the pixels of those that it knows may be anything.

        Args:
            digests: SHA-256 of each photo.
            pixels: uint8, [photos, height, width, 3], range [0, 255].
        """


def label_photos(
    entries: Callable[[], Iterable[Entry]],
    predictor: Predictor,
    limits: PhotoLimits,
    onlooker: Onlooker | None = None,
    notes: ReadingNotes | None = None,
) -> Iterator[Labelled]:
    """Labels photos, one result each, in their order and in flat memory.

    Args:
        entries: returns the photos, as a source's `entries` does; called once more if engines have
            to be compared on some of them first.
        predictor: the model.
        limits: caps on bytes and pixels.
        onlooker: who sees the photos' pixels too; None for nobody.
        notes: counts what is worth a line in the end.

    Example:
        >>> source = read_files(["photos/*.jpg"])
        >>> for photo in label_photos(source.entries, predictor, PhotoLimits()):
        ...     print(photo.name, photo.scores)
    """
    size, resize = predictor.image_size, predictor.resize
    limits = dataclasses.replace(limits, bit_depth=predictor.bit_depth)
    notes = notes or ReadingNotes()
    order: dict[int, int] = {}
    results: dict[int, Labelled] = {}
    following = 0
    with predictor.scoring(entries, limits) as scorer:

        def known(key: bytes) -> bool:
            # Keys of photos with more than 8 bits per channel, of which an onlooker does not know,
            # are decoded anyway.
            return scorer.knows(key) and (onlooker is None or onlooker.knows(key))

        def numbered() -> Iterator[Loaded]:
            loaded = load_photos(entries(), size, limits, known, resize=resize)
            for position, item in enumerate(loaded):
                notes.add(item)
                order[id(item.entry)] = position
                yield item

        for batch in decoded_batches(numbered(), size, limits, resize=resize):
            good = [i for i, item in enumerate(batch.photos) if item.problem is None]
            if onlooker is not None and good:
                onlooker.add([batch.photos[i].digest for i in good], batch.pixels[good])
            keys = [batch.photos[i].key for i in good]
            answers = scorer.answer(keys, batch.pixels[good]) if good else ()
            by_row = dict(zip(good, answers, strict=True))
            for row, item in enumerate([*batch.photos, *batch.failed]):
                results[order.pop(id(item.entry))] = _labelled(item, *by_row.get(row, ()))
            while following in results:
                yield results.pop(following)
                following += 1


def _labelled(
    item: Loaded, scores: np.ndarray | None = None, familiarity: float | None = None
) -> Labelled:
    entry = item.entry
    return Labelled(entry.name, entry.label, item.digest, scores, familiarity, item.problem)
