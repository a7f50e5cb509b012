"""The one form that every model for labelling is brought to, whatever file it comes from."""

import contextlib
import dataclasses
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from xferlearn.photos.limits import PhotoLimits
from xferlearn.photos.sources import Entry
from xferlearn.predictors.scores import Ending

if TYPE_CHECKING:
    import keras


class Scorer(Protocol):
    """Scores the photos of one labelling; its engine and cache do not change meanwhile."""

    def knows(self, digest: bytes) -> bool:
        """Returns whether a photo can be scored without its pixels."""

    def scores(self, digests: Sequence[bytes], pixels: np.ndarray) -> np.ndarray:
        """Returns the scores of photos, as `Predictor.run` does.

        Args:
            digests: SHA-256 of each photo.
            pixels: as for `Predictor.run`; not looked at for photos that the scorer `knows`.
        """


class CachedScores(Protocol):
    """Scores that may come from cached bottlenecks."""

    def scoring(
        self, entries: Callable[[], Iterable[Entry]], limits: PhotoLimits
    ) -> contextlib.AbstractContextManager[Scorer]:
        """Returns a scorer as `Predictor.scoring` does."""


@dataclasses.dataclass(frozen=True)
class _Uncached:
    run: Callable[[np.ndarray], np.ndarray]

    def knows(self, digest: bytes) -> bool:
        return False

    def scores(self, digests: Sequence[bytes], pixels: np.ndarray) -> np.ndarray:
        return self.run(pixels)


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model that is ready to label photos.

    Attributes:
        labels: class names in output order.
        height: of the picture that it sees, px.
        width: likewise.
        resize: how a photo becomes that picture, "crop" or "squash"; see `pixels.resize_pixels`.
        run: uint8 pixels, [batch, height, width, 3], RGB, range [0, 255], to float32 scores,
            [batch, len(labels)], range [0, 1] and sum 1 where the model ends in a softmax.
        warnings: what was assumed because the model does not state it, one line each.
        cached: scores of photos whose bottlenecks are in the cache; None for models without.
        later_warnings: returns what went wrong so far without harm to the scores, one line each:
            engines that are too inexact, a cache that is damaged or full.
        name: what was opened: the path, or the name of the backbone.
        backbone: name of the network in front of the head; "" where it is not recognised.
        load_model: returns the Keras model; None for models of other formats.
        metadata: content of a model folder's metadata.json; {} for other models.
    """

    labels: tuple[str, ...]
    height: int
    width: int
    resize: str
    run: Callable[[np.ndarray], np.ndarray]
    warnings: tuple[str, ...] = ()
    cached: "CachedScores | None" = None
    later_warnings: Callable[[], tuple[str, ...]] = tuple
    name: str = ""
    backbone: str = ""
    load_model: "Callable[[], keras.Model] | None" = None
    metadata: Mapping[str, Any] = dataclasses.field(default_factory=dict, repr=False)

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
            return contextlib.nullcontext(_Uncached(self.run))
        return self.cached.scoring(entries, limits)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.height, self.width


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A model file that its own runtime has loaded.

    Attributes:
        run: uint8 pixels, [batch, height, width, 3], RGB, range [0, 255], to the model's answers,
            [batch, ...].
        ending: what the model does last, where the runtime knows more than the graph shows.
    """

    run: Callable[[np.ndarray], np.ndarray]
    ending: Ending | None = None
