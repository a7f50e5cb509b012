"""The Images page: samples, confusion matrices, reliability, misclassified and confident photos."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from xferlearn.decisions import Reliability
from xferlearn.metrics import Evaluation
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import TEST, VALIDATION, Photo
from xferlearn.summaries.drawing import CARD_WIDTH, draw_photo, draw_sheet, jpeg, png
from xferlearn.summaries.events import EventWriter, RunWriters
from xferlearn.summaries.matrix import draw_confusion
from xferlearn.summaries.measured import validation_name
from xferlearn.summaries.pixels import read_pixels
from xferlearn.summaries.record import RunRecord
from xferlearn.summaries.reliability import draw_reliability
from xferlearn.system.text import count

SAMPLES_A_CLASS = 8
MOST_CLASSES = 100
# As many as TensorBoard keeps of one tag.
MOST_MISTAKES = 40
MOST_CONFIDENT = 12
LARGEST_SAMPLE = 224  # px; a larger photo is scaled down


@dataclasses.dataclass(frozen=True)
class Judged:
    """A test photo and the model's prediction.

    Attributes:
        photo: the photo.
        predicted: index of the model's first label.
        score: probability of that label, 0 to 1.
        truth_score: probability of the true label, 0 to 1.
    """

    photo: Photo
    predicted: int
    score: float
    truth_score: float

    @property
    def right(self) -> bool:
        """Whether the label is the true one."""
        return self.predicted == self.photo.label


def write_pictures(writers: RunWriters, record: RunRecord) -> None:
    """Writes confusion matrices, reliability, samples, misclassified and most confident photos."""
    for split in (VALIDATION, TEST):
        if record.evaluations[split].total:
            title = validation_name(record.evaluations[split]) if split == VALIDATION else split
            evaluation = record.evaluations[split]
            if isinstance(evaluation, Evaluation):
                write_confusion(writers[split], evaluation, title)
            write_reliability(writers[split], record.reliability(split), title)
    samples = sample_photos(record)
    judged = judge_photos(record, TEST)
    mistakes = [item for item in judged if not item.right]
    confident = [item for item in judged if item.right]
    shown = mistakes[:MOST_MISTAKES], confident[:MOST_CONFIDENT]
    wanted = [photo for photos in samples.values() for photo in photos]
    wanted += [item.photo for items in shown for item in items]
    pixels = read_pixels(record.source, wanted, record.image_size, PhotoLimits.of(record.config))
    labels = record.manifest.labels
    for label, photos in samples.items():
        side = min(record.image_size, LARGEST_SAMPLE)
        tiles = [draw_photo(pixels.get(photo.digest), (), side) for photo in photos]
        sheet = draw_sheet(tiles, columns=2)
        said = f"`{labels[label]}` as the network sees it, {record.image_size} px square"
        writers[""].images(f"samples/{labels[label]}", [jpeg(sheet)], sheet.size, said)
    for tag, all_items, items in (
        ("misclassified", mistakes, shown[0]),
        ("most_confident", confident, shown[1]),
    ):
        if items:
            said = (
                f"{len(items)} of {count(len(all_items), 'test photo')}, the highest scores first"
            )
            _write_judged(writers[TEST], f"{tag}/test", items, pixels, record, said)


def write_confusion(events: EventWriter, evaluation: Evaluation, title: str) -> None:
    """Writes `confusion_matrix/photos` and `confusion_matrix/row_percent` of an evaluation."""
    for tag, percent in (("photos", False), ("row_percent", True)):
        image = draw_confusion(evaluation, title, percent=percent)
        events.images(f"confusion_matrix/{tag}", [png(image)], image.size)


def write_reliability(events: EventWriter, found: Reliability, title: str) -> None:
    """Writes `reliability`, the diagram of how far probabilities and what is right agree."""
    image = draw_reliability(found, title)
    events.images("reliability", [png(image)], image.size, found.summary())


def sample_photos(record: RunRecord) -> dict[int, list[Photo]]:
    """Returns up to `SAMPLES_A_CLASS` photos of each class; the same for the same photos."""
    samples: dict[int, list[Photo]] = {
        label: [] for label in range(min(len(record.manifest.labels), MOST_CLASSES))
    }
    for photo in sorted(record.manifest.photos, key=lambda photo: photo.digest):
        chosen = samples.get(photo.label)
        if chosen is not None and len(chosen) < SAMPLES_A_CLASS:
            chosen.append(photo)
    return samples


def judge_photos(record: RunRecord, split: str) -> list[Judged]:
    """Returns a split's photos with the model's predictions, the highest scores first."""
    judged = []
    for index, scores in zip(
        record.manifest.judged(split), record.probabilities[split], strict=True
    ):
        photo, best = record.manifest.photos[index], int(scores.argmax())
        judged.append(Judged(photo, best, float(scores[best]), float(scores[photo.label])))
    return sorted(judged, key=lambda item: (-item.score, item.photo.digest))


def _write_judged(
    events: EventWriter,
    tag: str,
    items: Sequence[Judged],
    pixels: Mapping[bytes, np.ndarray],
    record: RunRecord,
    said: str,
) -> None:
    labels = record.manifest.labels
    tiles = [
        draw_photo(
            pixels.get(item.photo.digest),
            (*_verdict(item, labels), item.photo.name.rsplit("/", 1)[-1]),
            CARD_WIDTH,
        )
        for item in items
    ]
    events.images(tag, [jpeg(tile) for tile in tiles], tiles[0].size, said)


def _verdict(item: Judged, labels: Sequence[str]) -> list[str]:
    truth = labels[item.photo.label]
    if item.right:
        return [f"{truth}: {item.score:.2%}"]
    return [
        f"true: {truth}, {item.truth_score:.1%}",
        f"predicted: {labels[item.predicted]}, {item.score:.1%}",
    ]
