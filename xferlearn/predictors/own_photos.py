"""The photos that a model was made from, found again by content where they are now."""

import itertools
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xferlearn.config import ImageConfig
from xferlearn.model_folder import ModelFolder
from xferlearn.photos.datasets import open_dataset
from xferlearn.photos.folders.columns import Files
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.folders.listing import path_below
from xferlearn.photos.folders.trees import photos_below
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.pixels.decoding import decoded_batches
from xferlearn.photos.reading import Loaded
from xferlearn.photos.recorded import RecordedPhoto
from xferlearn.photos.selecting import MOST_BYTES_PASSED, search_photos
from xferlearn.photos.sources import Entry
from xferlearn.photos.tables.opening import photos_in_table
from xferlearn.photos.tables.table_files import ARROW_ENDINGS
from xferlearn.predictors.model_folder import model_folder_bit_depth, model_folder_resize
from xferlearn.system.addresses import is_bucket, split_options
from xferlearn.system.places import place_of

_LIMITS = ("max_image_pixels", "max_image_bytes")


def photo_place(model_folder: ModelFolder, image_dir: str | Path | None) -> str:
    """Returns where a model's photos are looked for, for messages."""
    training = model_folder.training
    return _root(training, image_dir) or f"dataset {training.get('dataset')}"


def _root(training: Mapping[str, Any], image_dir: str | Path | None) -> str | None:
    """Returns the folder or table of a model's photos; None where they are a dataset's."""
    root = image_dir or training.get("image_dir")
    if root is None and (labels := training.get("labels")) is not None:
        # Names are relative to the table's folder where no other one was given.
        stored = os.path.isdir(labels) or labels.lower().endswith(ARROW_ENDINGS)
        return labels if stored else os.path.dirname(labels) or "."
    return None if root is None else str(root)


def found_photos(
    model_folder: ModelFolder,
    photos: Sequence[RecordedPhoto],
    image_dir: str | Path | None = None,
    *,
    everywhere: bool = True,
) -> Iterator[tuple[Loaded, np.ndarray]]:
    """Yields those of a model's photos that are found, each once, with what the model sees.

    Args:
        model_folder: the model folder.
        photos: which of its photos.
        image_dir: where the photos are now; None for where they were in training.
        everywhere: whether those that are not under their names are looked for, by their content,
            in all files there.

    Returns:
        The photo, and its pixels, uint8, [height, width, 3], RGB, range [0, 255].
    """
    wanted = {photo.digest for photo in photos}
    training = model_folder.training
    limits = PhotoLimits.of(
        ImageConfig(**{name: training[name] for name in _LIMITS if name in training}),
        model_folder_bit_depth(model_folder),
    )
    size, resize = model_folder.image_size, model_folder_resize(model_folder)
    places = _places(training, photos, image_dir, None if everywhere else MOST_BYTES_PASSED)
    for entries in places if everywhere else itertools.islice(places, 1):
        loaded = search_photos(entries, wanted, size, limits, resize=resize)
        for batch in decoded_batches(loaded, size, limits, resize=resize):
            for item, pixels in zip(batch.photos, batch.pixels, strict=True):
                wanted.discard(item.digest)
                yield item, pixels
        if not wanted:
            return


def _places(
    training: Mapping[str, Any],
    photos: Sequence[RecordedPhoto],
    image_dir: str | Path | None,
    most_bytes: int | None,
) -> Iterator[Iterator[Entry]]:
    """Yields where to look, the most likely place first; others are listed if asked for."""
    yield from _labelled_places(training, photos, image_dir, most_bytes)
    unlabelled = training.get("unlabelled")
    if is_bucket(unlabelled):
        yield photos_below(str(unlabelled)).entries()
    elif unlabelled is not None and os.path.isdir(unlabelled):
        yield photos_below(os.path.abspath(unlabelled)).entries()


def _labelled_places(
    training: Mapping[str, Any],
    photos: Sequence[RecordedPhoto],
    image_dir: str | Path | None,
    most_bytes: int | None,
) -> Iterator[Iterator[Entry]]:
    root = _root(training, image_dir)
    names = {photo.name for photo in photos}
    if root is None:
        dataset = open_dataset(str(training.get("dataset")), training.get("data_dir"))
        yield dataset.only(names, most_bytes).entries()
        yield dataset.entries()
        return
    stored = photos_in_table(root, None if image_dir else training.get("image_column"))
    if stored is not None:
        yield stored.only(names, most_bytes).entries()
        yield stored.entries()
        return
    root = os.path.dirname(root) or "." if os.path.isfile(root) else root
    place = place_of(root) if is_bucket(root) else None
    if place is not None or os.path.isdir(root):
        top = str(Path(root)) if place is None else split_options(place.address)[0]
        named = dict.fromkeys(path_below(top, photo.name) for photo in photos)
        yield FileSource((), Files.of((path, -1) for path in named), place=place).entries()
        others = photos_below(root)
        yield (entry for entry in others.entries() if entry.name not in named)
