"""Why a model gives photos their labels: where it looked, and which of its photos are nearest."""

import collections
import contextlib
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, cast

import numpy as np

from xferlearn.config import ImageConfig
from xferlearn.decisions import HeatMap, HeatMaps, Near, pooled_features
from xferlearn.errors import XferlearnError
from xferlearn.labelling.answering import Answer, Answerer
from xferlearn.labelling.explanation import Explanation, Neighbour
from xferlearn.labelling.streaming import Labelled
from xferlearn.model_folder import PREDICTIONS
from xferlearn.photos.recorded import RecordedPhoto
from xferlearn.predictors import NearestPhotos, Predictor, found_photos
from xferlearn.system.runtime import float32_layers
from xferlearn.system.text import count, one_line, plural_of

if TYPE_CHECKING:
    import keras

NEIGHBOURS = 3

_LEARNED = "The model has learned from this very photo."
_DECIDED = (
    "The label is not that of the largest probability: the model's thresholds or costs decide."
)
_NO_NUMBERS = "There is no heat map: the model's scores are no numbers."


def _is_decided(answer: Answer, photo: Labelled) -> bool:
    """Returns whether a photo's label is not that of the largest probability."""
    if photo.scores is None or answer.probability is None:
        return False  # of several labels, each is a question of its own
    return answer.probability < float(photo.scores.max())


class Pixels:
    """Keeps what the model sees of photos that are labelled until they are asked for."""

    def __init__(self, most: int) -> None:
        """Makes an onlooker of `label_photos`.

        Args:
            most: how many photos it is for; later ones need not be decoded for it.
        """
        self._left = most
        self._held: dict[bytes, list[np.ndarray]] = collections.defaultdict(list)

    def knows(self, digest: bytes) -> bool:
        """Returns whether no more photos are needed."""
        return self._left <= 0

    def add(self, digests: Sequence[bytes], pixels: np.ndarray) -> None:
        """Keeps the pixels of photos."""
        for digest, one in zip(digests, pixels, strict=True):
            if self._left > 0:
                self._held[digest].append(one)
                self._left -= 1

    def take(self, digest: bytes) -> np.ndarray | None:
        """Returns a photo's pixels, uint8, [height, width, 3], and forgets them; None for none."""
        held = self._held.get(digest)
        if not held:
            return None
        found = held.pop()
        if not held:
            del self._held[digest]
        return found


class Explainer:
    """Finds out why a model gives photos their labels.

    Heat maps are computed in float32 TensorFlow, whatever engine labels. The nearest photos are
    those of the model folder whose bottlenecks are in the cache.

    Attributes:
        notes: what can't be found out with this model and why, one sentence each.

    Example:
        >>> explainer = Explainer(predictor, Answerer.of(predictor, config), config)
        >>> explainer.explain([labelled], pixels[None], top_k=5)[0].nearest[0].label
        'roses'
    """

    def __init__(self, predictor: Predictor, answerer: Answerer, config: ImageConfig) -> None:
        """Prepares heat maps and the search, as far as the model admits them.

        Args:
            predictor: the model.
            answerer: how its scores become answers.
            config: `bottleneck_dir`.
        """
        self.notes: list[str] = []
        self._predictor = predictor
        self._answerer = answerer
        self._maps = self._heat_maps()
        self._nearest = self._nearest_photos(config)

    def explain(
        self,
        photos: Sequence[Labelled],
        pixels: np.ndarray,
        top_k: int,
        labels: Sequence[str] = (),
    ) -> list[Explanation]:
        """Returns why photos have their labels, in their order.

        Args:
            photos: what the model says of them; all can be used, and few enough for one batch.
            pixels: what the model sees of them, uint8, [photos, height, width, 3].
            top_k: most labels of each.
            labels: what heat maps are of; empty for the labels that each photo has, or the most
                probable one.
        """
        answers = [self._answerer.answer(photo, top_k) for photo in photos]
        shown = [
            labels or answer.labels[:top_k] or tuple(label for label, _ in answer.scores[:1])
            for answer in answers
        ]
        heats, bottlenecks = self._look(shown, pixels)
        near, notes = self._near(photos, bottlenecks)
        files = self._files([one.photo for found in near for one in found])
        learned = self._nearest.learned if self._nearest is not None else frozenset()
        return [
            Explanation(
                name=photo.name,
                answer=answer,
                heat_maps=heat,
                nearest=tuple(
                    Neighbour(
                        one.photo.name,
                        one.photo.label,
                        one.similarity,
                        one.photo.digest,
                        *files.get(one.photo.digest, (None, None)),
                    )
                    for one in found
                ),
                pixels=seen,
                notes=(
                    *([_LEARNED] if photo.digest in learned else []),
                    *([_DECIDED] if _is_decided(answer, photo) else []),
                    *([_NO_NUMBERS] if self._maps is not None and not heat else []),
                    *self.notes,
                    *notes,
                ),
            )
            for photo, answer, seen, heat, found in zip(
                photos, answers, pixels, heats, near, strict=True
            )
        ]

    def _heat_maps(self) -> HeatMaps | None:
        problem = "the model is not a Keras model, so it has no gradients"
        if self._predictor.load_model is not None:
            model = self._predictor.load_model()
            try:
                if len(model.outputs) == 1:
                    return HeatMaps(model, model.outputs[0])
                if isinstance(model.output, dict) and PREDICTIONS in model.output:
                    return HeatMaps(model, model.output[PREDICTIONS])
                problem = "the model has several outputs"
            except (ValueError, AttributeError) as error:  # of models that are no graphs too
                problem = one_line(error).rstrip(".")
        self.notes.append(f"There is no heat map: {problem}.")
        return None

    def _nearest_photos(self, config: ImageConfig) -> NearestPhotos | None:
        folder = self._predictor.model_folder
        if folder is None:
            self.notes.append(
                "There are no nearest photos: only a model folder, as `xferlearn train` writes it,"
                " knows its own photos."
            )
            return None
        try:
            found = NearestPhotos(folder, config)
        except XferlearnError as error:
            self.notes.append(f"There are no nearest photos: {error}")
            return None
        if found.missing:
            self.notes.append(
                f"{found.missing:,} of {count(len(found.learned), 'photo')} that the model has"
                f" learned from {plural_of(found.missing, 'is', 'are')} not compared: their"
                " bottlenecks are not in the cache any more."
            )
        return found

    def _look(
        self, shown: Sequence[Sequence[str]], pixels: np.ndarray
    ) -> tuple[Sequence[Mapping[str, HeatMap]], list[np.ndarray]]:
        """Returns heat maps of some labels per photo, and bottlenecks, [photos, width] each."""
        heat_maps: list[dict[str, HeatMap]] = [{} for _ in shown]
        if self._maps is not None:
            maps = self._maps.look(self._predictor.values(pixels))
            # A map is of one class of a photo.
            rows = [row for row, labels in enumerate(shown) for _ in labels]
            names = [label for labels in shown for label in labels]
            classes = [self._answerer.labels.index(label) for label in names]
            heats = self._maps.of_classes([one[rows] for one in maps], classes)
            for row, label, heat in zip(rows, names, heats, strict=True):
                if np.isfinite(heat.scale):
                    heat_maps[row][label] = heat
            return heat_maps, pooled_features(maps)
        if self._nearest is None:
            return heat_maps, []
        import keras

        # Keras gives one output alone, and several as a list.
        values = keras.tree.flatten(self._network(self._predictor.values(pixels), training=False))
        return heat_maps, [np.asarray(one) for one in values]

    @functools.cached_property
    def _network(self) -> "keras.Model":
        """From pixels to the bottleneck of each backbone, of a model folder."""
        import keras

        said = self._predictor.metadata["bottleneck"]
        model = cast("Callable[[], keras.Model]", self._predictor.load_model)()
        with float32_layers():
            ends = [model.get_layer(part["layer"]).output for part in said.get("parts", [said])]
            return keras.Model(model.inputs[0], ends)

    def _near(
        self, photos: Sequence[Labelled], bottlenecks: list[np.ndarray]
    ) -> tuple[list[list[Near[RecordedPhoto]]], list[str]]:
        """Returns the nearest photos of each photo, and what went wrong."""
        if self._nearest is not None:
            digests = [photo.digest for photo in photos]
            try:
                return self._nearest.find(bottlenecks, digests, NEIGHBOURS), []
            except XferlearnError as error:
                return [[] for _ in photos], [f"There are no nearest photos: {error}"]
        return [[] for _ in photos], []

    def _files(self, photos: list[RecordedPhoto]) -> dict[bytes, tuple[str | None, np.ndarray]]:
        """Returns the files, and the pixels, of the photos that are where they were in training."""
        folder = self._predictor.model_folder
        found: dict[bytes, tuple[str | None, np.ndarray]] = {}
        if folder is None or not photos:
            return found
        # The folder, table or dataset may be gone.
        with contextlib.suppress(XferlearnError):
            for item, pixels in found_photos(folder, photos, everywhere=False):
                name = item.entry.name
                found[item.digest] = (name if os.path.isfile(name) else None), pixels
        return found
