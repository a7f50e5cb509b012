"""The photos behind the cells of a confusion matrix: which ones, and small pictures of them."""

import collections
import dataclasses
import io
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import TEST, VALIDATION, Manifest, Photo
from xferlearn.photos.sources import PhotoSource
from xferlearn.summaries.pixels import read_pixels

THUMBNAIL_SIZE = 96
MOST_PER_CELL = 12
MOST_IN_ALL = 600

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
    """

    photo: Photo
    split: str
    truth: int
    predicted: int
    score: float


@dataclasses.dataclass(frozen=True)
class Thumbnail:
    """A small picture of a photo.

    Attributes:
        choice: which one, and what the model says.
        jpeg: `THUMBNAIL_SIZE` px square, cropped as the network sees it.
    """

    choice: Choice
    jpeg: bytes


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
            choice = Choice(photo, split, photo.label, best, float(row[best]))
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
    source: PhotoSource, choices: Sequence[Choice], limits: PhotoLimits
) -> list[Thumbnail]:
    """Reads the chosen photos again, and makes small pictures of them.

    Args:
        source: where the photos came from.
        choices: which ones.
        limits: caps on bytes and pixels.

    Returns:
        Those that could be read, in the order of `choices`. A photo that has changed since it was
        labelled is left out.
    """
    if not choices:
        return []
    photos = [choice.photo for choice in choices]
    pixels = read_pixels(source, photos, THUMBNAIL_SIZE, limits)
    jpegs = {digest: _jpeg(image) for digest, image in pixels.items()}
    return [
        Thumbnail(choice, jpegs[choice.photo.digest])
        for choice in choices
        if choice.photo.digest in jpegs
    ]


def _jpeg(pixels: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=_JPEG_QUALITY, optimize=True)
    return buffer.getvalue()
