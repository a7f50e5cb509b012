"""What every model that labels photos is brought to, whatever file it comes from."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np

from xferlearn.predictors.scores import Ending


class CachedScores(Protocol):
    """Scores that may come from cached bottlenecks."""

    def knows(self, digest: bytes) -> bool:
        """Returns whether a photo's bottleneck is cached."""

    def scores(self, digests: Sequence[bytes], pixels: np.ndarray) -> np.ndarray:
        """Returns scores as `Predictor.scores` does."""

    def flush(self) -> None:
        """Commits what was computed since."""


@dataclasses.dataclass(frozen=True)
class Predictor:
    """A model that is ready to label photos.

    Attributes:
        labels: class names in output order.
        height: of the picture that it sees, px.
        width: likewise.
        resize: how a photo becomes that picture, "crop" or "squash"; see `images.resize_pixels`.
        run: uint8 pixels, [batch, height, width, 3], RGB, range [0, 255], to float32 scores,
            [batch, len(labels)], range [0, 1] and sum 1 where the model ends in a softmax.
        warnings: what was assumed because the model does not tell, a line each.
        cached: scores of photos whose bottlenecks are in the cache; None for models without.
        later_warnings: returns what went wrong so far without harm to the scores, a line each:
            engines that were given up, a cache that is damaged or full.
    """

    labels: tuple[str, ...]
    height: int
    width: int
    resize: str
    run: Callable[[np.ndarray], np.ndarray]
    warnings: tuple[str, ...] = ()
    cached: "CachedScores | None" = None
    later_warnings: Callable[[], tuple[str, ...]] = tuple

    def knows(self, digest: bytes) -> bool:
        """Returns whether a photo can be scored without its pixels."""
        return self.cached is not None and self.cached.knows(digest)

    def scores(self, digests: Sequence[bytes], pixels: np.ndarray) -> np.ndarray:
        """Returns the scores of photos, as `run` does.

        Args:
            digests: SHA-256 of each photo; empty where it is not known.
            pixels: as for `run`; not looked at for photos that the predictor `knows`.
        """
        if self.cached is None:
            return self.run(pixels)
        return self.cached.scores(digests, pixels)

    @property
    def image_size(self) -> tuple[int, int]:
        """Height and width, px."""
        return self.height, self.width


@dataclasses.dataclass(frozen=True)
class Runtime:
    """A model file that its own runtime has loaded.

    Attributes:
        run: uint8 pixels, [batch, height, width, 3], RGB, range [0, 255], to what the model
            answers, [batch, ...].
        ending: what the model does last, where the runtime knows more than the graph tells.
    """

    run: Callable[[np.ndarray], np.ndarray]
    ending: Ending | None = None
