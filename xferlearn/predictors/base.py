"""The one form that every model for labelling is brought to, whatever file it comes from."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from xferlearn.inspection import Ending
from xferlearn.model_folder import FAMILIARITY, PREDICTIONS, ModelFolder
from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.sources import Entry
from xferlearn.predictors.feeding import Arrays

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Answers:
    """What a model says of photos.

    Attributes:
        scores: float32, [photos, classes], range [0, 1] and sum 1 where the model ends in a
            softmax; range [0, 1] each where it ends in a sigmoid.
        familiarity: the share of the model's own photos that were less typical than each photo,
            float32, [photos], range [0, 1]; None for models that don't say.
    """

    scores: np.ndarray
    familiarity: np.ndarray | None = None

    def __iter__(self) -> Iterator[tuple[np.ndarray, float | None]]:
        """Yields scores and familiarity, photo by photo."""
        if self.familiarity is None:
            yield from ((row, None) for row in self.scores)
        else:
            yield from zip(self.scores, self.familiarity.tolist(), strict=True)

    @classmethod
    def of_model(cls, outputs: Any) -> "Answers":
        """Returns what the outputs of a model.keras say: probabilities, or a dict of both."""
        if not isinstance(outputs, Mapping):
            return cls(np.asarray(outputs))
        return cls(np.asarray(outputs[PREDICTIONS]), np.asarray(outputs[FAMILIARITY])[:, 0])

    @classmethod
    def joined(cls, parts: "Sequence[Answers]") -> "Answers":
        """Returns the answers of at least one part one after the other, all of the same model."""
        familiarity = [part.familiarity for part in parts if part.familiarity is not None]
        return cls(
            np.concatenate([part.scores for part in parts]),
            np.concatenate(familiarity) if familiarity else None,
        )


class Scorer(Protocol):
    """Scores the photos of one labelling; its engine and cache do not change meanwhile."""

    def knows(self, key: bytes) -> bool:
        """Returns whether a photo can be scored without its pixels."""

    def answer(self, keys: Sequence[bytes], pixels: np.ndarray) -> Answers:
        """Returns what the model says of photos.

        Args:
            keys: names of the photos' bottlenecks, see `Loaded.key`.
            pixels: as for `Predictor.answer`; not looked at for photos that the scorer `knows`.
        """


class CachedScores(Protocol):
    """Scores that may come from cached bottlenecks."""

    @property
    def settled(self) -> Mapping[str, str]:
        """`engine` and `precision` of what computes; {} where several backbones differ."""

    def scoring(
        self, entries: Callable[[], Iterable[Entry]], limits: PhotoLimits
    ) -> contextlib.AbstractContextManager[Scorer]:
        """Returns a scorer as `Predictor.scoring` does."""


@dataclasses.dataclass(frozen=True)
class _Uncached:
    run: Callable[[np.ndarray], Answers]

    def knows(self, key: bytes) -> bool:
        return False

    def answer(self, keys: Sequence[bytes], pixels: np.ndarray) -> Answers:
        return self.run(pixels)


def _as_floats(pixels: np.ndarray) -> np.ndarray:
    return pixels.astype(np.float32)


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model that is ready to label photos.

    Attributes:
        labels: class names in output order.
        height: of the picture that it sees, px.
        width: likewise.
        resize: how a photo becomes that picture, "crop" or "squash"; see `pixels.resize_pixels`.
        answer: uint8 pixels, [batch, height, width, 3], RGB, range [0, 255], to what the model says
            of them.
        warnings: what was assumed because the model does not state it, one line each.
        cached: scores of photos whose bottlenecks are in the cache; None for models without.
        later_warnings: returns what went wrong so far without harm to the scores, one line each:
            engines that are too inexact, a cache that is damaged or full.
        name: what was opened: the path, or the name of the backbone.
        backbone: name of the network in front of the head; "" where it is not recognised.
        load_model: returns the Keras model; None for models of other formats.
        metadata: content of a model folder's metadata.json. Of other files of this package what
            they state, or the folder around them: `decision` with its `labels`, which the user may
            have renamed, `multi_label` where photos may have several, and `familiarity` (`output`,
            `reject`, `photos`, and `step` for int8) where the predictor says it. Of other models
            the first three, where the user states a threshold for labels with scores of their own;
            else {}.
        model_folder: the model folder; None for other models.
        path: where the model is on this machine, of one in a bucket its copy; None for a backbone.
        values: uint8 pixels, as for `answer`, to what the model of `load_model` takes.
        says_familiarity: whether it says how familiar photos are.
        bit_depth: bits used of photos with more than 8 per channel, as in training; None for what
            each photo needs, where the model was not trained on such.
    """

    labels: tuple[str, ...]
    height: int
    width: int
    resize: str
    answer: Callable[[np.ndarray], Answers]
    warnings: tuple[str, ...] = ()
    cached: "CachedScores | None" = None
    later_warnings: Callable[[], tuple[str, ...]] = tuple
    name: str = ""
    backbone: str = ""
    load_model: "Callable[[], keras.Model] | None" = None
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)
    model_folder: ModelFolder | None = dataclasses.field(default=None, repr=False)
    path: Path | None = dataclasses.field(default=None, repr=False)
    values: Callable[[np.ndarray], np.ndarray] = _as_floats
    bit_depth: int | None = None
    says_familiarity: bool = False

    def scoring(
        self, entries: Callable[[], Iterable[Entry]], limits: PhotoLimits
    ) -> contextlib.AbstractContextManager[Scorer]:
        """Returns what scores photos; it settles the engine first, and keeps the cache at the end.

        Args:
            entries: returns the photos to be labelled; the first ones are read if engines have to
                be compared.
            limits: caps on bytes and pixels.
        """
        if self.cached is None:
            return contextlib.nullcontext(_Uncached(self.answer))
        return self.cached.scoring(entries, limits)

    def run(self, pixels: np.ndarray) -> np.ndarray:
        """Returns the scores of `answer`, float32, [photos, len(labels)]."""
        return self.answer(pixels).scores

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.height, self.width


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A model file that its own runtime has loaded.

    Attributes:
        run: uint8 pixels, [batch, height, width, 3], RGB, range [0, 255], to the values of each
            output that is read, [batch, ...], in the order in which they were asked for.
        ending: what gives the first of them, where the runtime knows more than the graph shows.
    """

    run: Callable[[np.ndarray], Arrays]
    ending: Ending | None = None
