"""The model's own photos, found again by content: to prove exports with, and to calibrate int8."""

import collections
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from xferlearn.errors import UserError
from xferlearn.model_folder import ModelFolder
from xferlearn.photos.photo import TEST, TRAIN, VALIDATION
from xferlearn.photos.recorded import RecordedPhoto
from xferlearn.photos.several import labels_in, truth_of
from xferlearn.predictors.own_photos import found_photos, photo_place
from xferlearn.system.text import count

CALIBRATION_PHOTOS = 200


@dataclasses.dataclass(frozen=True)
class ProofPhotos:
    """Photos that exports are compared on.

    Attributes:
        names: of each photo, as in photos.csv.
        truth: index of each photo's class, int, [photos]; where photos may have several labels,
            whether each has each class, bool, [photos, classes].
        pixels: what the network sees, uint8, [photos, height, width, 3], RGB, range [0, 255].
        read: returns the bytes of each photo.
        split: which split they are of; test where the model has test photos.
        learned: whether the model has learned from them, so that they can't tell its accuracy.
        missing: names of the photos of the sample that were not found or can't be read.
    """

    names: tuple[str, ...]
    truth: np.ndarray
    pixels: np.ndarray
    read: tuple[Callable[[], bytes], ...]
    split: str
    learned: bool
    missing: tuple[str, ...] = ()


def export_photos(
    model_folder: ModelFolder, most: int, image_dir: str | Path | None = None, *, calibrate: int = 0
) -> tuple[ProofPhotos, Callable[[], Iterator[np.ndarray]]]:
    """Finds and decodes, in one search, the photos to prove exports on and to calibrate int8 with.

    The proof takes the model's test photos; without any its validation photos, without those its
    training photos. Agreement means the same on any photo; accuracy is measured on those alone that
    the model has not learned from. The calibration
    takes training photos, equally many of each class, or of each set of labels.

    Args:
        model_folder: the model folder.
        most: of more photos than this a sample is taken that keeps the classes' shares.
        image_dir: where the photos are now; None for where they were in training.
        calibrate: how many photos to calibrate with.

    Returns:
        The photos for the proof, and a function of no arguments that yields those for the
        calibration, always the same uint8 pixels, [1, height, width, 3]. It raises UserError if
        none of them was found.

    Raises:
        UserError: when none of the photos for the proof is found.
    """
    by_split: dict[str, list[RecordedPhoto]] = {}
    for photo in model_folder.photos():
        if _has_classes(model_folder, photo):
            by_split.setdefault(photo.split, []).append(photo)
    split = next((one for one in (TEST, VALIDATION, TRAIN) if one in by_split), None)
    if split is None:
        raise UserError(
            f"{model_folder.path} lists no photos of its classes to prove an export with."
        )
    sample = stratified(by_split[split], most)
    training = stratified(by_split.get(TRAIN, []), calibrate, balanced=True)
    wanted = [*sample, *training]
    found = {
        item.digest: (item, pixels)
        for item, pixels in found_photos(model_folder, wanted, image_dir)
    }
    place = photo_place(model_folder, image_dir)
    kept = [photo for photo in sample if photo.digest in found]
    if not kept:
        raise UserError(
            f"Found none of the model's {count(len(sample), f'{split} photo')} in {place}: moved"
            " or changed. Say where they are with `image_dir`."
        )

    def calibration() -> Iterator[np.ndarray]:
        held = [found[photo.digest][1] for photo in training if photo.digest in found]
        if not held:
            raise UserError(
                f"int8 is calibrated on the model's training photos, and none of {len(training)}"
                f" was found in {place}. Say where they are with `image_dir`."
            )
        return (pixels[None] for pixels in held)

    proof = ProofPhotos(
        names=tuple(photo.name for photo in kept),
        truth=_truth(model_folder, kept),
        pixels=np.stack([found[photo.digest][1] for photo in kept]),
        read=tuple(found[photo.digest][0].entry.read for photo in kept),
        split=split,
        learned=any(photo.learned for photo in kept),
        missing=tuple(photo.name for photo in sample if photo.digest not in found),
    )
    return proof, calibration


def _has_classes(model_folder: ModelFolder, photo: RecordedPhoto) -> bool:
    """Returns whether all that a photo shows are classes of the model."""
    named = labels_in(photo.label) if model_folder.is_multi_label else (photo.label,)
    return set(named) <= set(model_folder.labels)


def _truth(model_folder: ModelFolder, photos: Sequence[RecordedPhoto]) -> np.ndarray:
    texts = [photo.label for photo in photos]
    if model_folder.is_multi_label:
        return truth_of(texts, model_folder.labels)
    return np.array([model_folder.labels.index(text) for text in texts])


def stratified(
    photos: Sequence[RecordedPhoto], most: int, *, balanced: bool = False
) -> list[RecordedPhoto]:
    """Returns a sample that is always the same, in an order in which the classes take turns.

    Args:
        photos: to choose from.
        most: size of the sample.
        balanced: equally many photos of each class that has so many; else each class's share.
    """
    members: dict[str, list[RecordedPhoto]] = collections.defaultdict(list)
    for photo in sorted(photos, key=lambda photo: photo.digest):
        members[photo.label].append(photo)
    placed = [
        (rank if balanced else (rank + 0.5) / len(group), label, photo)
        for label, group in members.items()
        for rank, photo in enumerate(group)
    ]
    placed.sort(key=lambda one: one[:2])
    return [photo for _, _, photo in placed[:most]]
