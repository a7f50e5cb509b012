"""What every model that labels photos is brought to, whatever file it comes from."""

import dataclasses
from collections.abc import Callable

import numpy as np

from xferlearn.predictors.scores import Ending


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
        notes: what was assumed because the model does not tell, a line each.
    """

    labels: tuple[str, ...]
    height: int
    width: int
    resize: str
    run: Callable[[np.ndarray], np.ndarray]
    notes: tuple[str, ...] = ()

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
