"""The Images page: samples, confusion matrices, reliability, misclassified and confident photos."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from xferlearn.decisions import Reliability, certainty
from xferlearn.metrics import Evaluation, MultiLabelEvaluation
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.photo import TEST, VALIDATION, Photo
from xferlearn.photos.several import NO_LABEL, label_text
from xferlearn.summaries.charts import CARD_WIDTH
from xferlearn.summaries.drawing import draw_photo, draw_sheet, jpeg, png
from xferlearn.summaries.events import EventWriter, RunWriters
from xferlearn.summaries.matrix import draw_confusion, draw_together
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
        truth: its label; where it may have several, their text.
        predicted: the model's label, likewise.
        right: whether the label is the true one.
        score: probability of the label, 0 to 1. Of several labels how sure the surest wrong
            decision was, or where all are right the least sure one.
        truth_score: probability of the true label, 0 to 1; None where there may be several.
    """

    photo: Photo
    truth: str
    predicted: str
    right: bool
    score: float
    truth_score: float | None


def write_pictures(writers: RunWriters, record: RunRecord) -> None:
    """Writes confusion matrices, reliability, samples, misclassified and most confident photos."""
    for split in (VALIDATION, TEST):
        if record.evaluations[split].total:
            title = validation_name(record.evaluations[split]) if split == VALIDATION else split
            evaluation = record.evaluations[split]
            if isinstance(evaluation, MultiLabelEvaluation):
                write_together(writers[split], evaluation, title)
            else:
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
            _write_judged(writers[TEST], f"{tag}/test", items, pixels, said)


def write_confusion(events: EventWriter, evaluation: Evaluation, title: str) -> None:
    """Writes `confusion_matrix/photos` and `confusion_matrix/row_percent` of an evaluation."""
    for tag, percent in (("photos", False), ("row_percent", True)):
        image = draw_confusion(evaluation, title, percent=percent)
        events.images(f"confusion_matrix/{tag}", [png(image)], image.size)


def write_together(events: EventWriter, evaluation: MultiLabelEvaluation, title: str) -> None:
    """Writes `co_occurrence/photos` and `co_occurrence/row_percent` of several labels per photo."""
    for tag, percent in (("photos", False), ("row_percent", True)):
        image = draw_together(evaluation, title, percent=percent)
        events.images(f"co_occurrence/{tag}", [png(image)], image.size)


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
        for label in record.manifest.classes_of(photo):
            chosen = samples.get(label)
            if chosen is not None and len(chosen) < SAMPLES_A_CLASS:
                chosen.append(photo)
    return samples


def judge_photos(record: RunRecord, split: str) -> list[Judged]:
    """Returns a split's photos with the model's predictions, the highest scores first."""
    manifest, truth = record.manifest, record.truth(split)
    scores, decided = record.probabilities[split], record.decided(split)
    judged = []
    for row, index in enumerate(manifest.judged(split)):
        photo, right = manifest.photos[index], bool(np.array_equal(decided[row], truth[row]))
        if manifest.is_multi_label:
            sure = certainty(scores[row], decided[row])
            score = sure.min() if right else sure[decided[row] != truth[row]].max()
            names, of_truth = label_text(np.array(manifest.labels)[decided[row]]), None
        else:
            names, score = manifest.labels[decided[row]], scores[row][decided[row]]
            of_truth = float(scores[row][truth[row]])
        judged.append(
            Judged(photo, manifest.label_text(photo), names, right, float(score), of_truth)
        )
    return sorted(judged, key=lambda item: (-item.score, item.photo.digest))


def _write_judged(
    events: EventWriter,
    tag: str,
    items: Sequence[Judged],
    pixels: Mapping[bytes, np.ndarray],
    said: str,
) -> None:
    tiles = [
        draw_photo(
            pixels.get(item.photo.digest),
            (*_verdict(item), item.photo.name.rsplit("/", 1)[-1]),
            CARD_WIDTH,
        )
        for item in items
    ]
    events.images(tag, [jpeg(tile) for tile in tiles], tiles[0].size, said)


def _verdict(item: Judged) -> list[str]:
    truth, predicted = item.truth or NO_LABEL, item.predicted or NO_LABEL
    if item.right:
        return [f"{truth}: {item.score:.2%}"]
    if item.truth_score is None:
        return [f"true: {truth}", f"predicted: {predicted}"]
    return [
        f"true: {truth}, {item.truth_score:.1%}",
        f"predicted: {predicted}, {item.score:.1%}",
    ]
