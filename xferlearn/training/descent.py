"""What a training of many heads makes small, and by which steps."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from xferlearn.training.plan import HeadPlan

if TYPE_CHECKING:
    import keras


# As Keras clips probabilities.
_LEAST = 1e-7


def optimizer_of(plan: HeadPlan, learning_rate: Any) -> "keras.optimizers.Optimizer":
    """Returns an optimizer that adds the weight decay to the gradients of kernels.

    A penalty in the loss would pass six times over millions of weights in each step, and Keras' own
    Adam (Kingma and Ba 2015) ten times, which is half of the training's time.
    """
    import keras
    import tensorflow as tf

    class Decaying:
        update: Callable[[Any, Any, Any], None]

        def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            gradient = tf.convert_to_tensor(gradient)
            if plan.weight_decay and "kernel" in variable.name:
                gradient += plan.weight_decay * variable
            self.update(gradient, variable, learning_rate)

    class DecayingAdam(Decaying, keras.optimizers.Adam):
        def update(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            index = self._get_variable_index(variable)
            step = tf.cast(self.iterations.value + 1, tf.float32)
            tf.raw_ops.ResourceApplyAdam(
                var=variable.handle,
                m=self._momentums[index].value.handle,
                v=self._velocities[index].value.handle,
                beta1_power=self.beta_1**step,
                beta2_power=self.beta_2**step,
                lr=tf.cast(learning_rate, tf.float32),
                beta1=self.beta_1,
                beta2=self.beta_2,
                epsilon=self.epsilon,
                grad=gradient,
            )

    class DecayingSGD(Decaying, keras.optimizers.SGD):
        def update(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
            keras.optimizers.SGD.update_step(self, gradient, variable, learning_rate)

    return (DecayingSGD if plan.optimizer == "sgd" else DecayingAdam)(learning_rate)


def loss_of_sets(
    weights: np.ndarray, reduction: str = "sum", *, from_logits: bool = True
) -> Callable[[Any, Any], Any]:
    """Returns the sum over heads of the cross-entropy of several labels, summed over the classes.

    Args:
        weights: as `label_weights` returns them; of one head, float32, [2, classes].
        reduction: as Keras names them.
        from_logits: whether it is of logits; else of probabilities.
    """
    import keras
    import tensorflow as tf

    without, with_it = map(tf.constant, weights)

    class LossOfSets(keras.losses.Loss):
        def call(self, y: Any, logits: Any) -> Any:
            if not from_logits:
                inside = tf.clip_by_value(logits, _LEAST, 1 - _LEAST)
                logits = tf.math.log(inside) - tf.math.log1p(-inside)
            each = tf.nn.sigmoid_cross_entropy_with_logits(labels=y, logits=logits)
            return tf.reduce_sum(each * (y * with_it + (1 - y) * without), axis=-1)

    return LossOfSets(reduction=reduction)
