"""What watches a training: validation, the weights after each pass."""

import dataclasses
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.metrics import cross_entropy, mean_average_precision

if TYPE_CHECKING:
    import keras


@dataclasses.dataclass(frozen=True)
class Training:
    """How a head's training went.

    Attributes:
        steps: steps run.
        diverged: True where the loss stopped being a number.
        streamed: whether bottlenecks were read from their stores in every pass, because a training
            on them in memory takes more than there is.
    """

    steps: int
    diverged: bool = False
    streamed: bool = False


def judged_logs(probabilities: np.ndarray, y: np.ndarray) -> dict[str, float]:
    """Returns what an epoch's logs say of validation photos beside their loss.

    Args:
        probabilities: float, [photos, classes], range [0, 1].
        y: class indices, int, [photos]; or whether each photo has each class, [photos, classes].
    """
    if y.ndim == 1:
        return {"val_accuracy": float((probabilities.argmax(axis=1) == y).mean())}
    mean = mean_average_precision(y, probabilities).mean
    return {"val_average_precision": math.nan if mean is None else mean}


def validator(
    predictions: Callable[[], tuple[np.ndarray, np.ndarray]] | None,
) -> "keras.callbacks.Callback":
    """Returns a callback that adds `val_` metrics to an epoch's logs, as `validation_data` would.

    Keras' own evaluation takes longer to start, 50 times a training, than a head to train.

    Args:
        predictions: returns probabilities and classes, as `judged_logs` takes them; None where
            there is nothing to validate on.
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
            logs.update(judged_logs(probabilities, y))

    return Validator()


def weights_keeper() -> Any:
    """Returns a callback that keeps the weights after each pass, and leaves the last ones.

    Not the best ones: a few validation photos can't tell passes apart, and the last pass is the one
    whose learning rate has fallen to zero. `looks` and `weights` are its whole state; `diverged`
    says that the loss stopped being a number, which ends the training.
    """
    import keras

    class WeightsKeeper(keras.callbacks.Callback):
        def __init__(self) -> None:
            super().__init__()
            self.looks = 0
            self.diverged = False
            self.weights: list[np.ndarray] = []

        def on_epoch_end(self, epoch: int, logs: dict[str, float] | None = None) -> None:
            self.looks = epoch + 1
            self.weights = self.model.get_weights()

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            if not math.isfinite((logs or {}).get("loss", 0.0)):
                self.diverged = self.model.stop_training = True

        def on_train_end(self, logs: dict[str, float] | None = None) -> None:
            self.model.set_weights(self.weights)

    return WeightsKeeper()
