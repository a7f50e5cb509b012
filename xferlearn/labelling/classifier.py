"""A trained model in Python: photos in, labels out."""

import functools
import hashlib
import numbers
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from xferlearn.config import REJECT, AnswerConfig, ImageConfig, ModelConfig
from xferlearn.config.signatures import from_settings
from xferlearn.errors import UserError, did_you_mean
from xferlearn.labelling.answering import Answer, Answerer
from xferlearn.labelling.explaining import Explainer, Pixels
from xferlearn.labelling.explanation import Explanation
from xferlearn.labelling.streaming import Labelled, label_photos
from xferlearn.photos.folders.columns import Files
from xferlearn.photos.folders.file_source import FileSource
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.pixels.headers import bytes_of_image
from xferlearn.photos.pixels.operations import resize_pixels
from xferlearn.photos.sources import Entry
from xferlearn.predictors import Predictor, open_predictor
from xferlearn.summaries.terminal import first_names
from xferlearn.system.places import check_address
from xferlearn.system.results import facts_block, fit
from xferlearn.system.runtime import start_tensorflow
from xferlearn.system.text import one_line

if TYPE_CHECKING:
    import keras

# Photos that `predict` holds: files are read in batches anyway, arrays are there already.
_FILES_AT_ONCE, _ARRAYS_AT_ONCE = 4096, 32


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
        self._config = limits or ImageConfig()
        self._limits = PhotoLimits.of(self._config)

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

    def predict(self, photos: Any) -> np.ndarray:
        """Returns the probability of each label for each photo.

        Args:
            photos: one photo or any iterable of them, also a generator, which is read as a stream:
                paths, encoded bytes, images of Pillow, or pixels (uint8 or float, range [0, 255],
                [height, width, 3] of any size in RGB, or [height, width] in gray); they may be
                mixed. Pixels of exactly the model's size are taken as they are, all others are
                fitted as files are.

        Returns:
            float32, [photos, labels], range [0, 1]; one row for one photo.

        Raises:
            UserError: for a photo that can't be used, with the reason.
        """
        found = [photo.scores for photo in self._labelled(photos) if photo.scores is not None]
        return np.stack(found) if found else np.zeros((0, len(self.labels)), np.float32)

    def answers(
        self,
        photos: Any,
        *,
        reject: float = REJECT,
        max_error: float | None = None,
        coverage: float | None = None,
    ) -> list[Answer]:
        """Returns what is answered for each photo, as `xferlearn label` does.

        Args:
            photos: as for `predict`.
            reject: familiarity below which a photo is unknown, 0 to 0.5; 0 for none.
            max_error: share of the labels that may be wrong, with 95% confidence, above 0 to 0.5;
                photos of which the model is less sure are left to a person. None answers all.
            coverage: share of the photos whose `label_set` is to have the right label, 0.5 to
                0.999; None for no sets.

        Returns:
            One for each photo, in their order.

        Raises:
            UserError: for a photo that can't be used, and where the model can't keep what is asked
                or does not say what it takes.

        Example:
            >>> [answer] = classifier.answers("cell.png", max_error=0.02)
            >>> answer.status, answer.label, answer.familiarity
            ('answered', 'functional', 0.43)
        """
        asked: dict[str, Any] = {"max_error": max_error, "coverage": coverage}
        if reject != REJECT:  # what is asked for, a model has to be able to do
            asked["reject"] = reject
        answerer = Answerer.of(self.predictor, AnswerConfig(**asked))
        return [answerer.answer(photo) for photo in self._labelled(photos)]

    def label(self, photo: Any, top_k: int = 5) -> list[tuple[str, float]]:
        """Returns the best labels of one photo with their probabilities, best first.

        Where thresholds or costs were set for the model, the first is the one that they decide.
        Where photos may have several labels, all that the photo has come first; `answers` says
        which these are.

        Args:
            photo: one of those that `predict` takes.
            top_k: most labels, at least 1; labels that the photo has are all there.

        Raises:
            UserError: for a photo that can't be used, or a `top_k` below 1.
        """
        _check_top_k(top_k)
        answerer = Answerer.of(self.predictor, AnswerConfig())
        return list(answerer.answer(self._labelled([photo])[0], int(top_k)).scores)

    def _labelled(self, photos: Any) -> list[Labelled]:
        """Returns photos with the model's scores; raises UserError on one that can't be used."""
        found: dict[int, Labelled] = {}
        files: list[tuple[int, Entry]] = []
        pixels: list[tuple[int, np.ndarray]] = []
        for index, photo in enumerate([photos] if _is_photo(photos) else photos):
            if _is_array(photo):
                pixels.append((index, _resized(np.asarray(photo), index, self.predictor)))
            else:
                files.append((index, _entry(index, photo)))
            if len(files) == _FILES_AT_ONCE:
                found |= self._label_files(files)
                files = []
            if len(pixels) == _ARRAYS_AT_ONCE:
                found |= self._label_pixels(pixels)
                pixels = []
        found |= self._label_files(files) | self._label_pixels(pixels)
        return [found[index] for index in range(len(found))]

    def _label_files(self, files: list[tuple[int, Entry]]) -> dict[int, Labelled]:
        entries = [entry for _, entry in files]
        labelled = label_photos(lambda: entries, self.predictor, self._limits) if files else ()
        found = {}
        for (index, _), photo in zip(files, labelled, strict=True):
            if photo.scores is None:
                raise UserError(f"{photo.name} can't be used: {photo.problem}.")
            found[index] = photo
        return found

    def _label_pixels(self, pixels: list[tuple[int, np.ndarray]]) -> dict[int, Labelled]:
        """Returns pixels of the model's size with their scores; their digest is of the pixels."""
        if not pixels:
            return {}
        answers = self.predictor.answer(np.stack([one for _, one in pixels]))
        return {
            index: Labelled(
                f"photo {index}",
                digest=hashlib.sha256(one.tobytes()).digest(),
                scores=scores,
                familiarity=familiarity,
            )
            for (index, one), (scores, familiarity) in zip(pixels, answers, strict=True)
        }

    def explain(self, photo: Any, top_k: int = 5, labels: Sequence[str] = ()) -> Explanation:
        """Returns why a photo has its label: where the model looked, and its nearest own photos.

        A heat map needs a Keras model (a model folder, a Keras file, a backbone) that ends in
        global average pooling and layers on it; nearest photos need a model folder whose
        bottlenecks are in the cache. The `notes` of the result say what could not be found out.

        Args:
            photo: one of those that `predict` takes.
            top_k: most labels, at least 1.
            labels: classes that heat maps are of; empty for the label that the photo has, or where
                it may have several each of them, and the most probable one where it has none.

        Raises:
            UserError: for a photo that can't be used, a `top_k` below 1, or a label that is no
                class.

        Example:
            >>> found = load_classifier("out/flowers").explain("rose.jpg")
            >>> found.label, found.nearest[0].label, found.heat_map.shape
            ('roses', 'roses', (7, 7))
        """
        _check_top_k(top_k)
        labels = (labels,) if isinstance(labels, str) else tuple(labels)
        for label in labels:
            if label not in self.labels:
                near = did_you_mean(label, self.labels)
                raise UserError(
                    f"Expected classes of the model for `labels`. Received: {label!r}.{near} The"
                    f" classes are {first_names(self.labels)}."
                )
        if not _is_photo(photo) or (_is_array(photo) and photo.ndim == 4):
            raise UserError("Expected one photo to explain. Received: several.")
        if _is_array(photo):
            pixels = _resized(np.asarray(photo), 0, self.predictor)
            ((scores, familiarity),) = self.predictor.answer(pixels[None])
            labelled = Labelled("photo 0", scores=scores, familiarity=familiarity)
        else:
            kept, entry = Pixels(1), _entry(0, photo)
            (labelled,) = label_photos(lambda: [entry], self.predictor, self._limits, kept)
            if labelled.scores is None:
                raise UserError(f"{labelled.name} can't be used: {labelled.problem}.")
            pixels = cast("np.ndarray", kept.take(labelled.digest))
        return self._explainer.explain([labelled], pixels[None], top_k, labels)[0]

    @functools.cached_property
    def _explainer(self) -> Explainer:
        answerer = Answerer.of(self.predictor, AnswerConfig())
        return Explainer(self.predictor, answerer, self._config)


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


def _check_top_k(top_k: int) -> None:
    if not isinstance(top_k, numbers.Integral) or top_k < 1:
        raise UserError(f"Expected `top_k` to be a whole number from 1. Received: {top_k!r}.")


def _is_array(photo: Any) -> bool:
    """Returns whether a photo is pixels: an array of NumPy, TensorFlow or PyTorch."""
    return hasattr(photo, "__array__") and hasattr(photo, "ndim")


def _is_image(photo: Any) -> bool:
    """Returns whether a photo is an image of Pillow, which is loaded where somebody has one."""
    pillow = sys.modules.get("PIL.Image")
    return pillow is not None and isinstance(photo, pillow.Image)


def _is_photo(photos: Any) -> bool:
    """Returns whether what `predict` is given is one photo; raises UserError on what is none."""
    if _is_array(photos):
        return photos.ndim in (2, 3)
    if isinstance(photos, (str, bytes, os.PathLike)) or _is_image(photos):
        return True
    if not isinstance(photos, Iterable) or isinstance(photos, Mapping):
        raise UserError(
            "Expected photos: paths, encoded bytes, images of Pillow or arrays of pixels. Received:"
            f" {one_line(repr(photos), 80)}."
        )
    return False


def _entry(index: int, photo: Any) -> Entry:
    if _is_image(photo):
        return Entry(f"photo {index}", -1, lambda: bytes_of_image(photo), 0)
    if not isinstance(photo, (str, bytes, os.PathLike)) or not photo:
        raise UserError(
            "Expected paths, encoded bytes, images of Pillow or arrays of pixels. Received"
            f" {one_line(repr(photo), 80)} for photo {index}."
        )
    if isinstance(photo, bytes):
        return Entry(f"photo {index}", -1, lambda: photo, len(photo))
    path = os.fspath(photo)
    check_address("photos", path)
    return next(FileSource((), Files.of([(path, -1)])).entries())


def _resized(pixels: np.ndarray, index: int, predictor: Predictor) -> np.ndarray:
    shape = list(pixels.shape)
    if pixels.ndim == 2:
        pixels = pixels[..., None]
    if pixels.ndim != 3 or pixels.shape[-1] not in (1, 3) or 0 in pixels.shape:
        raise UserError(
            f"Expected pixels of shape [height, width, 3], or [height, width] in gray. Received"
            f" {shape} for photo {index}."
        )
    if pixels.shape[-1] == 1:
        pixels = np.repeat(pixels, 3, axis=-1)
    if pixels.dtype != np.uint8:
        pixels = pixels.astype(np.float32)
        if not np.isfinite(pixels).all() or pixels.min() < 0 or pixels.max() > 255:
            raise UserError(
                f"Expected pixels in the range [0, 255]. Received {pixels.min():g} to"
                f" {pixels.max():g} for photo {index}."
            )
        if 0 < pixels.max() <= 1:
            raise UserError(
                "Expected pixels in the range [0, 255]. Received"
                f" {pixels.min():g} to {pixels.max():g} for photo {index}: multiply them by 255."
            )
    if pixels.shape[:2] == predictor.image_size:
        return np.round(pixels).astype(np.uint8)
    start_tensorflow()
    import tensorflow as tf

    size = tf.constant(predictor.image_size)
    return resize_pixels(tf.constant(pixels), size, predictor.resize).numpy()
