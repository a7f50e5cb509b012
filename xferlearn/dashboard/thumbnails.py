"""The photos behind the cells of a confusion matrix: which ones, and small pictures of photos."""

import collections
import dataclasses
import io
from collections.abc import Collection, Mapping

import numpy as np
from PIL import Image

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import TEST, VALIDATION, Manifest, Photo
from xferlearn.photos.sources import PhotoSource
from xferlearn.summaries.pixels import read_pixels

THUMBNAIL_SIZE = 160
MOST_PER_CELL = 12
MOST_IN_ALL = 600
MOST_LABELS = 5

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
        top: the `MOST_LABELS` labels of highest probability, with that, best first.
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
    any gets its second.

    Args:
        manifest: the photos and their split.
        probabilities: by split, float, [photos of the split, classes], in 0 to 1.
        most_per_cell: photos per cell and split at most.
        most_in_all: photos at most.

    Returns:
        The photos, the most worth showing first.
    """
    cells: dict[tuple[str, int, int], list[Choice]] = collections.defaultdict(list)
    for split in (TEST, VALIDATION):
        scores = probabilities.get(split, np.zeros((0, 1)))
        indices = manifest.judged(split) if split in probabilities else []
        for index, row in zip(indices, scores, strict=True):
            photo, best = manifest.photos[index], int(row.argmax())
            order = np.argsort(-row, kind="stable")[:MOST_LABELS].tolist()
            top = tuple((label, float(row[label])) for label in order)
            choice = Choice(photo, split, photo.label, best, float(row[best]), index, top)
            cells[split, photo.label, best].append(choice)
    ranked: list[tuple[tuple[bool, int, int], Choice]] = []
    for (split, truth, predicted), choices in cells.items():
        right = truth == predicted
        choices.sort(key=lambda choice: choice.score if right else -choice.score)
        for rank, choice in enumerate(choices[:most_per_cell]):
            ranked.append(((right, rank, (TEST, VALIDATION).index(split)), choice))
    ranked.sort(key=lambda pair: pair[0])
    return [choice for _, choice in ranked[:most_in_all]]


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
