"""The moving average of the weights, which is what a fine-tuning delivers.

The weights of single steps jump about; their average lies nearer to the middle of the minimum
(Polyak and Juditsky 1992). Keras' optimizers keep it; here it stands in for the weights while they
are measured and kept after a pass.
"""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import keras

# Share of all steps that the average reaches back over. On the flowers a half is better than a
# tenth or a quarter, and as good as all.
_REACH = 0.5


def momentum_for(steps: int) -> float:
    """Returns the `ema_momentum` of an optimizer that makes so many steps in all."""
    return 1 - 1 / max(_REACH * steps, 1.0)


def averaged(*callbacks: "keras.callbacks.Callback") -> list["keras.callbacks.Callback"]:
    """Returns callbacks that see the averaged weights at the end of an epoch.

    Args:
        callbacks: for a model whose optimizer has `use_ema`.

    Returns:
        They, between one that puts the averages into the model and one that puts the weights back.
    """
    import keras

    weights: list[np.ndarray] = []

    class Average(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            variables = self.model.trainable_variables
            weights[:] = [np.asarray(variable) for variable in variables]
            self.model.optimizer.finalize_variable_values(variables)

    class Restore(keras.callbacks.Callback):
        def on_epoch_end(self, epoch: int, logs: dict | None = None) -> None:
            for variable, value in zip(self.model.trainable_variables, weights, strict=True):
                variable.assign(value)

    return [Average(), *callbacks, Restore()]
