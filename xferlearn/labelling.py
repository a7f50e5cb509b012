"""Photos -> labels: streams any number of photos through a model, in batches and in order."""

import dataclasses
import functools
import numbers
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import numpy as np

from xferlearn.config import ImageConfig, ModelConfig
from xferlearn.config.signatures import from_settings
from xferlearn.errors import UserError
from xferlearn.photos.decoding import decoded_batches
from xferlearn.photos.files import FileSource
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.notes import ReadingNotes
from xferlearn.photos.reading import Loaded, load_photos
from xferlearn.photos.sources import Entry
from xferlearn.predictors import Predictor, open_predictor
from xferlearn.summaries.terminal import first_names
from xferlearn.system.folders import check_no_url
from xferlearn.system.results import facts_block, fit

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Labelled:
    """One photo and the model's prediction.

    Attributes:
        name: the photo, as given.
        label: index of its true class; -1 if it is unknown.
        digest: SHA-256 of its bytes; empty if it can't be read.
        scores: float32, [classes], range [0, 1]; None if the photo can't be used.
        problem: why it can't be used, one line; None if it can.
    """

    name: str
    label: int = -1
    digest: bytes = b""
    scores: np.ndarray | None = None
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
        ...     print(photo.name, photo.top(predictor.labels, 1))
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
            scores = scorer.scores(keys, batch.pixels[good]) if good else ()
            by_row = dict(zip(good, scores, strict=True))
            for row, item in enumerate([*batch.photos, *batch.failed]):
                results[order.pop(id(item.entry))] = _labelled(item, by_row.get(row))
            while following in results:
                yield results.pop(following)
                following += 1


def _labelled(item: Loaded, scores: np.ndarray | None = None) -> Labelled:
    return Labelled(item.entry.name, item.entry.label, item.digest, scores, item.problem)


class Classifier:
    """A trained model in Python: photos in, labels out.

    Attributes:
        labels: class names in output order.
        metadata: content of the model folder's metadata.json; {} for other models.
        predictor: what runs the model, and what was assumed about it.

    Example:
        >>> classifier = load_classifier("out/flowers")
        >>> classifier.label("rose.jpg")
        [('roses', 0.98), ('tulips', 0.01), ...]
    """

    def __init__(self, predictor: Predictor, limits: ImageConfig | None = None) -> None:
        self.labels = predictor.labels
        self.metadata = dict(predictor.metadata)
        self.predictor = predictor
        self._limits = PhotoLimits.of(limits or ImageConfig())

    def __repr__(self) -> str:
        """Returns classes, backbone and size, one line each."""
        predictor = self.predictor
        return fit(
            [
                facts_block(
                    {
                        "classifier": predictor.name,
                        "classes": f"{len(self.labels):,}: {first_names(self.labels)}",
                        "backbone": predictor.backbone or "not recognised",
                        "input": f"{predictor.width} x {predictor.height} px, {predictor.resize}",
                    }
                )
            ]
        )

    @functools.cached_property
    def model(self) -> "keras.Model":
        """The Keras model, of a model folder, a Keras file, or a backbone with its own classes.

        It takes pixels in the range that it was made for: raw ones, [0, 255], for model folders
        and backbones. `predict` knows the range of every model.

        Raises:
            UserError: for models of other formats, which run without Keras.
        """
        if self.predictor.load_model is None:
            raise UserError(
                f"Expected a model folder or a Keras file for `model`. {self.predictor.name} is"
                " neither, and runs without Keras; `predict` and `label` work with it."
            )
        return self.predictor.load_model()

    def predict(self, photos: Sequence[str | Path | bytes | np.ndarray]) -> np.ndarray:
        """Returns the probability of each label for each photo.

        Args:
            photos: paths, encoded bytes, or pixels (uint8 or float, [height, width, 3] of any
                size, RGB, range [0, 255]); they may be mixed. Pixels of exactly the model's size
                are taken as they are, all others are fitted as files are.

        Returns:
            float32, [len(photos), len(labels)], range [0, 1].

        Raises:
            UserError: for a photo that can't be used, with the reason.
        """
        if isinstance(photos, (str, bytes, os.PathLike)) or getattr(photos, "ndim", 4) == 3:
            raise UserError(
                "Expected a sequence of photos. Received one photo: put it in a list, or use"
                " `label`."
            )
        result = np.zeros((len(photos), len(self.labels)), np.float32)
        files: list[tuple[int, Entry]] = []
        arrays: list[int] = []
        for index, photo in enumerate(photos):
            if isinstance(photo, np.ndarray):
                arrays.append(index)
            else:
                files.append((index, _entry(index, photo)))
        entries = [entry for _, entry in files]
        for (index, _), labelled in zip(
            files, label_photos(lambda: entries, self.predictor, self._limits), strict=True
        ):
            if labelled.scores is None:
                raise UserError(f"{labelled.name} can't be used: {labelled.problem}.")
            result[index] = labelled.scores
        for index in arrays:
            pixels = _resized(np.asarray(photos[index]), index, self.predictor)
            result[index] = self.predictor.run(pixels[None])[0]
        return result

    def label(
        self, photo: str | Path | bytes | np.ndarray, top_k: int = 5
    ) -> list[tuple[str, float]]:
        """Returns the best labels of one photo with their probabilities, best first.

        Args:
            photo: as one of those that `predict` takes.
            top_k: most labels, at least 1.

        Raises:
            UserError: for a photo that can't be used, or a `top_k` below 1.
        """
        if not isinstance(top_k, numbers.Integral) or top_k < 1:
            raise UserError(f"Expected `top_k` to be a whole number from 1. Received: {top_k!r}.")
        labelled = Labelled("", scores=self.predict([photo])[0])
        return labelled.top(self.labels, top_k)


@from_settings(ModelConfig)
def load_classifier(config: ModelConfig) -> Classifier:
    """Loads a model folder that `train` wrote, or a model file of any other format.

    A SavedModel or frozen graph is a program, and loading it runs it: take it only from someone
    you trust. `predictor.warnings` says what was assumed of a model that does not tell, and
    `predictor.later_warnings()` what went wrong since, e.g. an engine that is too inexact.

    Either `model` or `backbone` is required; the other settings say what the model's file does
    not say.

    Returns:
        The model, ready to label photos.

    Raises:
        UserError: the model does not exist, is damaged, or contradicts the settings.

    Example:
        >>> load_classifier("retrained_graph.pb", labels="names.txt").label("rose.jpg")
    """
    return Classifier(open_predictor(config), config)


def _entry(index: int, photo: str | Path | bytes) -> Entry:
    if not isinstance(photo, (str, bytes, os.PathLike)) or not photo:
        raise UserError(
            f"Expected paths, encoded bytes or arrays of pixels. Received {photo!r} for photo"
            f" {index}."
        )
    if isinstance(photo, bytes):
        return Entry(f"photo {index}", -1, lambda: photo, len(photo))
    check_no_url("photos", photo)
    return next(FileSource((), ((str(photo), -1),)).entries())


def _resized(pixels: np.ndarray, index: int, predictor: Predictor) -> np.ndarray:
    import tensorflow as tf

    from xferlearn.photos.pixels import resize_pixels

    if pixels.ndim != 3 or pixels.shape[-1] != 3 or 0 in pixels.shape:
        raise UserError(
            f"Expected pixels of shape [height, width, 3]. Received {list(pixels.shape)} for photo"
            f" {index}."
        )
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 255:
            raise UserError(
                f"Expected pixels in the range [0, 255]. Received {pixels.min():g} to"
                f" {pixels.max():g} for photo {index}."
            )
    if pixels.shape[:2] == predictor.image_size:
        return np.round(pixels).astype(np.uint8)
    size = tf.constant(predictor.image_size)
    return resize_pixels(tf.constant(pixels), size, predictor.resize).numpy()
