"""What watches a training: validation, the best weights."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.metrics import cross_entropy

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Training:
    """How a head's training went.

    Attributes:
        steps: steps run.
        diverged: True where the loss stopped being a number.
    """

    steps: int
    diverged: bool = False


def validator(
    predictions: Callable[[], tuple[np.ndarray, np.ndarray]] | None,
) -> "keras.callbacks.Callback":
    """Returns a callback that adds `val_` metrics to an epoch's logs, as `validation_data` would.

    Keras' own evaluation takes longer to start, 50 times a training, than a head to train.

    Args:
        predictions: returns probabilities, float32, [photos, classes], and class indices, int,
            [photos]; None where there is nothing to validate on.
    """
    import keras

    class Validator(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            if logs is None or predictions is None:
                return
            probabilities, y = predictions()
            loss = cross_entropy(probabilities, y)
            penalty = float(sum(np.asarray(part) for part in self.model.losses))
            logs["val_cross_entropy"] = loss
            logs["val_loss"] = loss + penalty
            logs["val_accuracy"] = float((probabilities.argmax(axis=1) == y).mean())

    return Validator()


def best_keeper(patience: int) -> Any:
    """Returns a callback that keeps the weights of the lowest validation cross-entropy.

    It stops the training when that has passed, and puts the weights back at the end; unlike
    EarlyStopping also when training ran to its last step. Its attributes `best`, `best_look`,
    `looks` and `weights` are its whole state.

    Args:
        patience: looks without progress after which training stops.
    """
    import keras

    class BestKeeper(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.best = math.inf
            self.best_look = 0
            self.looks = 0
            self.diverged = False
            self.weights: list[np.ndarray] = []

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            logs = logs or {}
            self.looks = epoch + 1
            loss = logs.get("val_cross_entropy")
            if loss is None:
                self.best_look = self.looks
            elif loss < self.best:
                self.best, self.best_look = loss, self.looks
                self.weights = self.model.get_weights()
            elif self.looks - self.best_look >= patience:
                self.model.stop_training = True

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if not math.isfinite((logs or {}).get("loss", 0.0)):
                self.diverged = self.model.stop_training = True

        def on_train_end(self, logs: dict[str, float] | None = None) -> None:
            if self.weights:
                self.model.set_weights(self.weights)

    return BestKeeper()
