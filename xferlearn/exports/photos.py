"""The model's own photos, found again by content: to prove exports with, and to calibrate int8."""

import collections
import dataclasses
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.config import ImageConfig
from xferlearn.errors import UserError
from xferlearn.model_folder import ModelFolder
from xferlearn.photos.datasets import open_dataset
from xferlearn.photos.folders.files import FileSource, photos_below
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.manifest import TEST, TRAIN, VALIDATION
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import Loaded
from xferlearn.photos.recorded import RecordedPhoto
from xferlearn.photos.selecting import search_photos
from xferlearn.photos.sources import Entry
from xferlearn.photos.tables.opening import photos_in_table
from xferlearn.photos.tables.table_files import ARROW_ENDINGS
from xferlearn.predictors import model_folder_bit_depth, model_folder_resize
from xferlearn.system.text import count

CALIBRATION_PHOTOS = 200
_LIMITS = ("max_image_pixels", "max_image_bytes")


@dataclasses.dataclass(frozen=True)
class ProofPhotos:
    """Photos that exports are compared on.

    Attributes:
        names: of each photo, as in photos.csv.
        truth: index of each photo's class, int, [photos].
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
    takes training photos, equally many of each class.

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
    numbers = {label: number for number, label in enumerate(model_folder.labels)}
    by_split: dict[str, list[RecordedPhoto]] = {}
    for photo in model_folder.photos():
        if photo.label in numbers:
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
        item.digest: (item, pixels) for item, pixels in decoded(model_folder, wanted, image_dir)
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
        truth=np.array([numbers[photo.label] for photo in kept]),
        pixels=np.stack([found[photo.digest][1] for photo in kept]),
        read=tuple(found[photo.digest][0].entry.read for photo in kept),
        split=split,
        learned=any(photo.learned for photo in kept),
        missing=tuple(photo.name for photo in sample if photo.digest not in found),
    )
    return proof, calibration


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


def photo_place(model_folder: ModelFolder, image_dir: str | Path | None) -> str:
    """Returns where a model's photos are looked for, for messages."""
    training = model_folder.metadata.get("training", {})
    return _root(training, image_dir) or f"dataset {training.get('dataset')}"


def _root(training: Mapping[str, Any], image_dir: str | Path | None) -> str | None:
    """Returns the folder or table of a model's photos; None where they are a dataset's."""
    root = image_dir or training.get("image_dir")
    if root is None and (labels := training.get("labels")) is not None:
        # Names are relative to the table's folder where no other one was given.
        stored = os.path.isdir(labels) or labels.lower().endswith(ARROW_ENDINGS)
        return labels if stored else os.path.dirname(labels) or "."
    return None if root is None else str(root)


def decoded(
    model_folder: ModelFolder, photos: Sequence[RecordedPhoto], image_dir: str | Path | None
) -> Iterator[tuple[Loaded, np.ndarray]]:
    """Yields those photos that are found, each once, with their pixels.

    A photo is looked for under its name, then, by its content, in all files of the folder.
    """
    wanted = {photo.digest for photo in photos}
    training = model_folder.metadata.get("training", {})
    limits = PhotoLimits.of(
        ImageConfig(**{name: training[name] for name in _LIMITS if name in training}),
        model_folder_bit_depth(model_folder),
    )
    size, resize = model_folder.image_size, model_folder_resize(model_folder)
    for entries in _places(training, photos, image_dir):
        loaded = search_photos(entries, wanted, size, limits, resize=resize)
        for batch in decoded_batches(loaded, size, limits, resize=resize):
            for item, pixels in zip(batch.photos, batch.pixels, strict=True):
                wanted.discard(item.digest)
                yield item, pixels
        if not wanted:
            return


def _places(
    training: Mapping[str, Any], photos: Sequence[RecordedPhoto], image_dir: str | Path | None
) -> Iterator[Iterator[Entry]]:
    """Yields where to look, the most likely place first; others are listed if asked for."""
    root = _root(training, image_dir)
    if root is None:
        yield open_dataset(str(training.get("dataset")), training.get("data_dir")).entries()
        return
    stored = photos_in_table(root, None if image_dir else training.get("image_column"))
    if stored is not None:
        yield stored.only({photo.name for photo in photos}).entries()
        yield stored.entries()
        return
    root = os.path.dirname(root) or "." if os.path.isfile(root) else root
    if os.path.isdir(root):
        named = dict.fromkeys(str(Path(root) / photo.name) for photo in photos)
        yield FileSource((), tuple((path, -1) for path in named)).entries()
        others = [path for path in photos_below(Path(root)) if path not in named]
        yield FileSource((), tuple((path, -1) for path in others)).entries()
