"""The photos behind the cells of a confusion matrix: which ones, and small pictures of photos."""

import collections
import dataclasses
import io
from collections.abc import Collection, Mapping
from typing import NamedTuple

import numpy as np
from PIL import Image

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import TEST, VALIDATION, Manifest, Photo
from xferlearn.photos.sources import PhotoSource
from xferlearn.summaries.pixels import read_pixels

THUMBNAIL_SIZE = 160
MOST_PER_CELL = 12
MOST_IN_ALL = 600
MOST_LABELS = 50
SMALLEST_SCORE = 0.0005

_JPEG_QUALITY = 85


@dataclasses.dataclass(frozen=True)
class Choice:
    """A photo that is worth showing.

    Attributes:
        photo: which one.
        split: "test" or "validation".
        truth: index of its class.
        predicted: index of the model's first label.
        score: probability of that label, 0 to 1.
        row: its position in the manifest.
        top: the labels with their probabilities, best first: `MOST_LABELS` at most, those below
            `SMALLEST_SCORE` left out, but for the first.
    """

    photo: Photo
    split: str
    truth: int
    predicted: int
    score: float
    row: int
    top: tuple[tuple[int, float], ...]


def choose_photos(
    manifest: Manifest,
    probabilities: Mapping[str, np.ndarray],
    *,
    most_per_cell: int = MOST_PER_CELL,
    most_in_all: int = MOST_IN_ALL,
) -> list[Choice]:
    """Picks photos for the cells of the test's and the validation's confusion matrix.

    Wrong ones come first, in each cell those with the highest scores: those are the labels to
    check. Of the right ones, those with the lowest scores. Each cell gets its first photo before
    any gets its second; but the `most_per_cell` wrong ones of a split that have the highest scores
    come before all others.

    Args:
        manifest: the photos and their split.
        probabilities: by split, float, [photos of the split, classes], in 0 to 1.
        most_per_cell: photos per cell and split at most.
        most_in_all: photos at most.

    Returns:
        The photos, the most worth showing first.
    """
    cells: dict[tuple[str, int, int], list[_Judged]] = collections.defaultdict(list)
    for split in (TEST, VALIDATION):
        if split in probabilities:
            scores = probabilities[split]
            best = scores.argmax(axis=1).tolist()
            for place, row in enumerate(manifest.judged(split)):
                score = float(scores[place, best[place]])
                judged = _Judged(row, scores[place], best[place], score)
                cells[split, manifest.photos[row].label, best[place]].append(judged)
    ranked: list[tuple[tuple[bool, bool, int, int], str, _Judged]] = []
    surest = _surest(cells, most_per_cell)
    for (split, truth, predicted), found in cells.items():
        right = truth == predicted
        found.sort(key=lambda one: one.score if right else -one.score)
        for rank, one in enumerate(found[:most_per_cell]):
            later = (split, one.row) not in surest
            ranked.append(((later, right, rank, (TEST, VALIDATION).index(split)), split, one))
    ranked.sort(key=lambda entry: entry[0])
    return [one.as_choice(manifest, split) for _, split, one in ranked[:most_in_all]]


class _Judged(NamedTuple):
    row: int
    scores: np.ndarray
    best: int
    score: float

    def as_choice(self, manifest: Manifest, split: str) -> Choice:
        photo = manifest.photos[self.row]
        order = np.argsort(-self.scores, kind="stable")[:MOST_LABELS].tolist()
        top = [(label, float(self.scores[label])) for label in order]
        known = [pair for pair in top if pair[1] >= SMALLEST_SCORE] or top[:1]
        return Choice(photo, split, photo.label, self.best, self.score, self.row, tuple(known))


def _surest(cells: Mapping[tuple[str, int, int], list[_Judged]], most: int) -> set[tuple[str, int]]:
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
