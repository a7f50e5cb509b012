"""The photos behind the cells of a confusion matrix: which ones, and small pictures of photos."""

import collections
import dataclasses
import io
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import TEST, VALIDATION, Photo
from xferlearn.photos.sources import PhotoSource
from xferlearn.summaries.pixels import read_pixels
from xferlearn.summaries.record import RunRecord

THUMBNAIL_SIZE = 160
MOST_PER_CELL = 12
MOST_IN_ALL = 600
MOST_LABELS = 50
SMALLEST_SCORE = 0.0005

_JPEG_QUALITY = 85


Classes = tuple[int, ...]


@dataclasses.dataclass(frozen=True)
class Choice:
    """A photo that is worth showing.

    Attributes:
        photo: which one.
        split: "test" or "validation".
        truth: indices of its classes: one, unless photos may have several.
        predicted: indices of the labels that it gets, likewise.
        score: how sure the model is, 0 to 1: the probability of the label; where photos may have
            several, that of the wrong answer that it is surest of, or of the least sure right one.
        row: its position in the manifest.
        top: the labels with their probabilities, best first: `MOST_LABELS` at most, those below
            `SMALLEST_SCORE` left out, but for the first.
    """

    photo: Photo
    split: str
    truth: Classes
    predicted: Classes
    score: float
    row: int
    top: tuple[tuple[int, float], ...]


def choose_photos(
    record: RunRecord, *, most_per_cell: int = MOST_PER_CELL, most_in_all: int = MOST_IN_ALL
) -> list[Choice]:
    """Picks photos for the cells of the test's and the validation's confusion matrix.

    Wrong ones come first, in each cell those with the highest scores: those are the labels to
    check. Of the right ones, those with the lowest scores. Each cell gets its first photo before
    any gets its second; but the `most_per_cell` wrong ones of a split that have the highest scores
    come before all others. Where photos may have several labels, a cell is one set of them taken
    for another.

    Args:
        record: the run.
        most_per_cell: photos per cell and split at most.
        most_in_all: photos at most.

    Returns:
        The photos, the most worth showing first.
    """
    manifest = record.manifest
    cells: dict[tuple[str, Classes, Classes], list[_Judged]] = collections.defaultdict(list)
    for split in (TEST, VALIDATION):
        if len(record.probabilities.get(split, ())):
            scores, decided = record.probabilities[split], record.decided(split)
            sure = _sureness(scores, decided, record.truth(split))
            rows = zip(
                manifest.judged(split), _classes(decided), scores, sure.tolist(), strict=True
            )
            for row, predicted, of_row, score in rows:
                truth = manifest.classes_of(manifest.photos[row])
                cells[split, truth, predicted].append(_Judged(row, of_row, score))
    ranked: list[tuple[tuple[bool, bool, int, int], Choice]] = []
    surest = _surest(cells, most_per_cell)
    for (split, truth, predicted), found in cells.items():
        right = truth == predicted
        found.sort(key=lambda one: one.score if right else -one.score)
        for rank, one in enumerate(found[:most_per_cell]):
            later = (split, one.row) not in surest
            choice = Choice(
                manifest.photos[one.row], split, truth, predicted, one.score, one.row, one.top()
            )
            ranked.append(((later, right, rank, (TEST, VALIDATION).index(split)), choice))
    ranked.sort(key=lambda entry: entry[0])
    return [choice for _, choice in ranked[:most_in_all]]


def _classes(decided: np.ndarray) -> list[Classes]:
    if decided.ndim == 1:
        return [(label,) for label in decided.tolist()]
    return [tuple(np.flatnonzero(row).tolist()) for row in decided]


def _sureness(scores: np.ndarray, decided: np.ndarray, truth: np.ndarray) -> np.ndarray:
    if decided.ndim == 1:
        return np.take_along_axis(scores, decided[:, None], axis=1)[:, 0]
    # Of each label, how sure it is that the photo has it, or has it not.
    sure = np.where(decided, scores, 1 - scores)
    wrong = decided != truth
    return np.where(
        wrong.any(axis=1), np.where(wrong, sure, 0).max(axis=1), sure.min(axis=1, initial=1)
    )


class _Judged(NamedTuple):
    row: int
    scores: np.ndarray
    score: float

    def top(self) -> tuple[tuple[int, float], ...]:
        order = np.argsort(-self.scores, kind="stable")[:MOST_LABELS].tolist()
        top = [(label, float(self.scores[label])) for label in order]
        return tuple([pair for pair in top if pair[1] >= SMALLEST_SCORE] or top[:1])


def _surest(
    cells: Mapping[tuple[str, Classes, Classes], list[_Judged]], most: int
) -> set[tuple[str, int]]:
    """Returns split and row of the wrong photos with the highest scores of each split."""
    wrong: dict[str, list[_Judged]] = collections.defaultdict(list)
    for (split, truth, predicted), found in cells.items():
        if truth != predicted:
            wrong[split] += found
    return {
        (split, one.row)
        for split, found in wrong.items()
        for one in sorted(found, key=lambda one: -one.score)[:most]
    }


def read_thumbnails(
    source: PhotoSource, photos: Collection[Photo], limits: PhotoLimits
) -> dict[bytes, bytes]:
    """Reads photos again, and makes small pictures of them.

    Args:
        source: where the photos came from.
        photos: which ones.
        limits: caps on bytes and pixels.

    Returns:
        JPEG files by the photos' digests, `THUMBNAIL_SIZE` px square, cropped as the network sees
        them. A photo that is gone, or has changed since it was labelled, is left out.
    """
    if not photos:
        return {}
    pixels = read_pixels(source, photos, THUMBNAIL_SIZE, limits)
    return {digest: _jpeg(image) for digest, image in pixels.items()}


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return buffer.getvalue()
